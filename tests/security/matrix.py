"""The authorisation matrix: every verb, actor, route, state and forgery, and which clicks are allowed.

`make test` makes a sixth of the clicks: all that are allowed, and in each state every pair of verb, actor, route and
forgery. `make proofs` makes all of them.

It never asks the product who may decide. Otherwise it would compare the product with itself.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import Any, Final

from bot.domain.identity import Person
from bot.domain.request import Approver, ApproverKind, RequestKey, Status, Verdict
from bot.domain.routing import Channel
from bot.ports.teams import GroupProblem
from bot.service.clicks.click import Verb
from tests.fakes import people
from tests.fakes.activities import Place
from tests.fakes.aws import GIVE_BACK_ROLE, FakeAws
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, TENANT
from tests.fakes.clock import START, ManualClock
from tests.fakes.people import FOREIGN_TENANT_ID
from tests.fakes.world import APPROVALS, END_SESSIONS_ROLE, World, current_configuration, new_world
from tests.figures import size

TEAM = "19:team@thread.tacv2"
LEADS = "19:leads@thread.tacv2"
THREAD = f"{CHANNEL};messageid=1000"  # where the fake Teams puts the first card
OTHER_STEP = "Level9"
SHARE = size(short=6, ci=3, long=1)  # of so many clicks, one is made


# --- actors


def _person(number: int, name: str, address: str, *, tenant: str = TENANT, guest: bool = False) -> Person:
    identity = f"aaaaaaaa-0000-4000-8000-8{number:011d}"
    return Person(identity, tenant, name, address, address, f"29:1-m{number}", guest)


STRANGER = _person(1, "Stranger", "stranger@example.com")
GUEST = _person(2, "Guest", "guest@example.org", guest=True)
LISTED_GUEST = _person(3, "Listed Guest", "listed@example.org", guest=True)
FOREIGNER = _person(4, "Foreigner", "foreigner@example.net", tenant=FOREIGN_TENANT_ID, guest=True)
SECOND_ACCOUNT = replace(  # has the requester's mail address, and is listed by id
    _person(5, "Taro at home", "taro@example.org", guest=True), mail=TARO_PERSON.mail
)
UNKNOWN_TO_ENTRA = replace(HANAKO, object_id="")
ACTORS: Final = {
    "approver": HANAKO,
    "another approver": ICHIRO,
    "guest listed by id": LISTED_GUEST,
    "requester": TARO_PERSON,
    "requester's second account, listed by id": SECOND_ACCOUNT,
    "not a member": STRANGER,
    "guest": GUEST,
    "member of another tenant": FOREIGNER,
    "unknown to Entra": UNKNOWN_TO_ENTRA,
}
MAY_DECIDE: Final = frozenset({"approver", "another approver", "guest listed by id"})
MEMBERS: Final = (HANAKO, ICHIRO, TARO_PERSON, GUEST, LISTED_GUEST, FOREIGNER, SECOND_ACCOUNT)


def as_sender(person: Person) -> people.Person:
    """Return a person as the type that tests.fakes.activities needs."""
    return people.Person(
        id=person.teams_id or "",
        name=person.name,
        object_id=person.object_id,
        upn=person.upn or "",
        email=person.mail or "",
        tenant_id=person.tenant_id,
    )


# --- routes


@dataclass(frozen=True, slots=True)
class Route:
    """The conversation of a click. `submitted` is True if an old client sends the click as a message.

    `personal` says whose chat with the bot it is: the clicker's "own" or the "requester's". `tenant` is the tenant of
    the conversation.
    """

    conversation: str = THREAD
    kind: str = "channel"
    submitted: bool = False
    personal: str | None = None
    tenant: str = TENANT

    def place(self, actor: Person) -> Place:
        """Return the place from which this actor clicks."""
        owner = {"own": actor.object_id, "requester's": TARO_PERSON.object_id}.get(self.personal or "")
        where = f"a:{owner}" if self.personal else self.conversation
        return Place(id=where, kind=self.kind, team=TEAM if self.kind == "channel" else None, tenant_id=self.tenant)


ROUTES: Final = {
    "card in the thread": Route(),
    "old client in the thread": Route(submitted=True),
    "another configured channel": Route(f"{LEADS};messageid=1000"),
    "a channel that is not configured": Route("19:elsewhere@thread.tacv2;messageid=1000"),
    "a group chat": Route("19:meeting@thread.v2", kind="groupChat"),
    "the requester's chat": Route(kind="personal", personal="requester's"),
    "the requester's chat, old client": Route(kind="personal", personal="requester's", submitted=True),
    "the clicker's own chat": Route(kind="personal", personal="own"),
    "a conversation of another tenant": Route(tenant=FOREIGN_TENANT_ID),
}
REQUEST_THREAD: Final = frozenset({"card in the thread", "old client in the thread"})
REQUESTER_CHAT: Final = frozenset({"the requester's chat", "the requester's chat, old client"})


# --- states


APPROVERS = ("members", f"user:{LISTED_GUEST.object_id}", f"user:{SECOND_ACCOUNT.object_id}")
HOME = replace(APPROVALS, approvers=APPROVERS)
OTHER = Channel("leads", LEADS, approvers=("members",))
ON_CALL = "cccccccc-0000-4000-8000-000000000001"
BY_GROUP = replace(HOME, approvers=(f"group:{ON_CALL}", f"user:{LISTED_GUEST.object_id}"))
# everyone but "another approver"
IN_GROUP = (HANAKO, TARO_PERSON, STRANGER, GUEST, FOREIGNER, SECOND_ACCOUNT)
SECOND = replace(OTHER, approvers=(f"user:{ICHIRO.object_id}",))  # "another approver", but not "approver"
ESCALATING = replace(HOME, escalate_after=timedelta(hours=1), escalate_to=OTHER.name)
CONSOLE = "arn:aws:sts::111122223333:assumed-role/ConsoleApprover/console"
ROLE_OF_ANYBODY = "arn:aws:sts::111122223333:assumed-role/AnyRole/somebody"


@dataclass(frozen=True, slots=True)
class State:
    """A request in one state. Approvers may decide if it is `pending`, and revoke if it is `granted`.

    The requester may cancel if it is `cancellable`, and give the access back if it is `returnable`. Both approvers and
    the requester may end sessions if access is `over`.
    """

    make: Callable[[], Awaitable[tuple[World, RequestKey]]]
    pending: bool = False
    granted: bool = False
    cancellable: bool = False
    returnable: bool = False
    over: bool = False
    step: str = "Level1"  # the step in the data of the card's buttons
    may_not_approve: frozenset[str] = frozenset()  # approvers who have or may have approved another level
    second: bool = False  # "another approver" may also decide in the other configured channel
    may_decide: frozenset[str] = MAY_DECIDE


def _world(clock: ManualClock, *channels: Channel) -> World:
    configuration = current_configuration(*channels, end_sessions_role=END_SESSIONS_ROLE, give_back_role=GIVE_BACK_ROLE)
    return new_world(people=MEMBERS, clock=clock, aws=FakeAws(clock), configuration=configuration)


async def _waiting(
    home: Channel = HOME, other: Channel = OTHER, *, minutes: int = 0, **facts: Any
) -> tuple[World, RequestKey]:
    """Return a request that has waited for so many minutes when the clock of the endpoint begins."""
    clock = ManualClock(START - timedelta(minutes=minutes))
    world = _world(clock, home, other)
    key = world.aws.add(**facts)
    await world.shown(key)
    await world.pass_time(key, minutes * 60)
    return world, key


async def _by_group(known: frozenset[str] | GroupProblem) -> tuple[World, RequestKey]:
    """Return a request in a channel that lists a group; its members are known, or not since the card was posted."""
    clock = ManualClock()
    world = _world(clock, BY_GROUP, OTHER)
    world.groups.set(ON_CALL, *IN_GROUP)
    key = world.aws.add()
    await world.shown(key)
    world.groups.groups[ON_CALL] = known
    return world, key


async def _granted_by_group() -> tuple[World, RequestKey]:
    world, key = await _by_group(_IDS)
    world.aws.vote(key, CONSOLE, Verdict.APPROVE)
    await world.shown(key)
    return world, key


_IDS: Final = frozenset(each.object_id for each in IN_GROUP)
_OF_GROUP: Final = frozenset({"approver", "guest listed by id"})


async def _ended(status: Status) -> tuple[World, RequestKey]:
    world, key = await _waiting()
    world.aws.end(key, status)
    await world.shown(key)
    return world, key


async def _approved(*, later: timedelta = timedelta(0), home: Channel = HOME) -> tuple[World, RequestKey]:
    world, key = await _waiting()
    world.aws.vote(key, CONSOLE, Verdict.APPROVE)
    await world.shown(key)
    others = tuple(each for each in world.configuration.value.channels if each.name != home.name)
    world.configuration.replace(replace(world.configuration.value, channels=(home, *others)))
    await world.clock.advance(later.total_seconds())
    return world, key


async def _second_level() -> tuple[World, RequestKey]:
    world, key = await _waiting(levels=2)
    world.aws.vote(key, CONSOLE, Verdict.APPROVE)
    await world.shown(key)
    return world, key


async def _approved_by_the_approver() -> tuple[World, RequestKey]:
    world, key = await _waiting(levels=2)
    async with world.running():
        await world.press(key, HANAKO)
    await world.shown(key)
    return world, key


async def _approved_by_somebody(**first: Any) -> tuple[World, RequestKey]:
    world, key = await _waiting(levels=2)
    world.aws.vote(key, CONSOLE, Verdict.APPROVE)
    levels = world.aws.requests[key].levels
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(replace(levels[0], **first), *levels[1:]))
    await world.shown(key)
    return world, key


async def _escalated(
    home: Channel = ESCALATING, other: Channel = SECOND, *, minutes: int = 61, levels: int = 1
) -> tuple[World, RequestKey]:
    """Return a request whose first level was escalated, unless `minutes` are too few, and then apply these channels."""
    world, key = await _waiting(ESCALATING, SECOND, minutes=minutes, levels=levels)
    if (home, other) != (ESCALATING, SECOND):
        world.configuration.replace(replace(world.configuration.value, channels=(home, other)))
        await world.shown(key)
    return world, key


async def _granted_after_escalation() -> tuple[World, RequestKey]:
    world, key = await _escalated()
    world.aws.vote(key, CONSOLE, Verdict.APPROVE)
    await world.shown(key)
    return world, key


async def _next_level_after_escalation() -> tuple[World, RequestKey]:
    world, key = await _escalated(levels=2)
    world.aws.vote(key, CONSOLE, Verdict.APPROVE)
    await world.shown(key)
    return world, key


async def _console_only() -> tuple[World, RequestKey]:
    world, key = await _waiting()
    request = world.aws.requests[key]
    people_only = (Approver(ApproverKind.USER, "aaaaaaaa-0000-4000-8000-000000000000"),)
    world.aws.requests[key] = replace(request, levels=tuple(replace(e, approvers=people_only) for e in request.levels))
    await world.shown(key)
    return world, key


async def _gone() -> tuple[World, RequestKey]:
    world, key = await _waiting()
    del world.aws.requests[key]
    await world.shown(key)
    await world.clock.advance(11 * 60)
    await world.shown(key)
    return world, key


async def _never_seen() -> tuple[World, RequestKey]:
    world, key = await _waiting()
    return world, replace(key, ops_item_id="oi-ffffffffffff")


async def _other_account() -> tuple[World, RequestKey]:
    world, key = await _waiting()
    return world, replace(key, account="999999999999")


async def _replica() -> tuple[World, RequestKey]:
    world, key = await _waiting()
    copied = replace(world.aws.requests[key], replica_of=replace(key, account="444455556666"))
    world.aws.requests[key] = copied
    await world.shown(key)
    return world, key


STATES: Final = {
    "waiting": State(_waiting, pending=True, cancellable=True),
    "waiting at another step": State(_second_level, cancellable=True),
    "waiting at the second level, the first approved by the approver": State(
        _approved_by_the_approver,
        pending=True,
        cancellable=True,
        step="Level2",
        may_not_approve=frozenset({"approver"}),
    ),
    "waiting at the second level, the first approved by a session that proves no one": State(
        _approved_by_somebody, pending=True, cancellable=True, step="Level2", may_not_approve=MAY_DECIDE
    ),
    "waiting at the second level, the votes at the first unreadable": State(
        lambda: _approved_by_somebody(votes=None),
        pending=True,
        cancellable=True,
        step="Level2",
        may_not_approve=MAY_DECIDE,
    ),
    "waiting for people of Identity Center": State(_console_only, cancellable=True),
    "waiting, the channel paused": State(lambda: _waiting(replace(HOME, decide=False)), cancellable=True),
    "waiting, empty approver list": State(lambda: _waiting(replace(HOME, approvers=())), cancellable=True),
    "waiting for a group": State(lambda: _by_group(_IDS), pending=True, cancellable=True, may_decide=_OF_GROUP),
    "waiting for a group that cannot be read": State(
        lambda: _by_group(GroupProblem.CONSENT_MISSING),
        pending=True,
        cancellable=True,
        may_decide=frozenset({"guest listed by id"}),
    ),
    "waiting for a group without people": State(
        lambda: _by_group(GroupProblem.EMPTY),
        pending=True,
        cancellable=True,
        may_decide=frozenset({"guest listed by id"}),
    ),
    "granted in a channel with a group": State(_granted_by_group, granted=True, returnable=True, may_decide=_OF_GROUP),
    "waiting, requester unidentified": State(lambda: _waiting(requester=ROLE_OF_ANYBODY)),
    "escalated to the other channel": State(_escalated, pending=True, cancellable=True, second=True),
    "to be escalated later": State(lambda: _escalated(minutes=59), pending=True, cancellable=True),
    "escalated, the setting removed": State(lambda: _escalated(HOME), pending=True, cancellable=True),
    "escalated, the first channel paused": State(
        lambda: _escalated(replace(ESCALATING, decide=False)), cancellable=True
    ),
    "escalated, the second channel paused": State(
        lambda: _escalated(other=replace(SECOND, decide=False)), cancellable=True
    ),
    "escalated, the second channel without approvers": State(
        lambda: _escalated(other=replace(SECOND, approvers=())), pending=True, cancellable=True
    ),
    "escalated, now at the next level": State(
        _next_level_after_escalation, pending=True, cancellable=True, step="Level2", may_not_approve=MAY_DECIDE
    ),
    "granted after an escalation": State(_granted_after_escalation, granted=True, returnable=True, second=True),
    "granted": State(_approved, granted=True, returnable=True),
    "granted, the window over": State(lambda: _approved(later=timedelta(hours=5)), over=True),
    "granted, the channel paused": State(lambda: _approved(home=replace(HOME, decide=False)), returnable=True),
    "rejected": State(lambda: _ended(Status.REJECTED)),
    "cancelled": State(lambda: _ended(Status.CANCELLED)),
    "timed out": State(lambda: _ended(Status.TIMED_OUT)),
    "revoked": State(lambda: _ended(Status.REVOKED), over=True),
    "failed": State(lambda: _ended(Status.FAILED)),
    "deleted in AWS": State(_gone),
    "never seen": State(_never_seen),
    "of another account": State(_other_account),
    "a replica": State(_replica),
}


# --- forgeries


def _with(**members: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda data: {**data, **members}


FORGERIES: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "another request": _with(request="111122223333/ap-northeast-1/oi-00000000000f"),
    "a request without its account": _with(request="oi-000000000001"),
    "a request with a path": lambda data: {**data, "request": f"{data['request']}/../oi-00000000000f"},
    "another step": _with(step=OTHER_STEP),
    "a step in another case": lambda data: {**data, "step": data["step"].upper() or "level1"},
    "a step that is not a string": _with(step={"name": "Level1"}),
    "a second verb": _with(verb="refresh"),
    "a comment that is not a string": _with(comment={"$ne": ""}),
}
"""Changes to the data of a click, after which the click must not decide: functions from valid to forged data."""
CLAIMS: Final[dict[str, Any]] = {
    "person": {"object_id": HANAKO.object_id},
    "from": {"aadObjectId": HANAKO.object_id},
    "aadObjectId": HANAKO.object_id,
    "approvers": ["members"],
    "requester": "nobody",
    "role": "admin",
    "tenant": TENANT,
    "status": "PendingApproval",
    "approved": True,
    "verdict": "approve",
}
"""Claims that a card could make about a person or the status of a request. None of them changes an answer."""


# --- who is allowed


def is_allowed(verb: Verb, actor: str, route: str, state: State, *, forged: str | None = None) -> bool:
    """Return whether the click must make exactly one call to AWS. Otherwise it must make none."""
    if forged is not None:
        return False
    match verb:
        case Verb.APPROVE if actor in state.may_not_approve:
            return False
        case Verb.APPROVE | Verb.REJECT:
            return state.pending and _is_approver(actor, route, state)
        case Verb.REVOKE | Verb.END_SESSIONS:
            return state.granted and _is_approver(actor, route, state)
        case Verb.CANCEL | Verb.GIVE_BACK:
            possible = state.cancellable if verb is Verb.CANCEL else state.returnable
            return possible and _is_in_own_chat(actor, route)
        case Verb.REFRESH | Verb.WITHDRAW | Verb.REVIEWING:
            return False


def is_marked(actor: str, route: str, state: State, *, forged: str | None = None) -> bool:
    """Return whether a click on "I'm reviewing this" must mark the actor. It needs the permission to reject."""
    return is_allowed(Verb.REJECT, actor, route, state, forged=forged)


def is_ended(actor: str, route: str, state: State, *, forged: str | None = None) -> bool:
    """Return whether a click that ends sessions must begin that. While access runs, it revokes it first."""
    if forged is not None or not (state.granted or state.over):
        return False
    return _is_approver(actor, route, state) or (state.over and _is_in_own_chat(actor, route))


def _is_in_own_chat(actor: str, route: str) -> bool:
    """Return whether the requester clicks in their own chat with the bot."""
    return actor == "requester" and (route in REQUESTER_CHAT or route == "the clicker's own chat")


def _is_approver(actor: str, route: str, state: State) -> bool:
    """Return whether the actor is an approver in the channel of this route: each channel has its own."""
    if route in REQUEST_THREAD:
        return actor in state.may_decide
    return state.second and route == "another configured channel" and actor == "another approver"


# --- clicks


def clicks_in(
    state: str,
    *,
    verbs: Iterable[Verb] = Verb,
    routes: Iterable[str] = ROUTES,
    forgeries: Iterable[str | None] = (None,),
) -> Iterator[tuple[Verb, str, str, str | None]]:
    """Return verb, actor, route and forgery of each click to make in a state.

    The sum of their places in their lists decides which clicks are left out, so that each pair is tried. The next state
    has the neighbouring sums, so that six states together try each click.
    """
    lists: tuple[tuple[Any, ...], ...] = (tuple(verbs), tuple(ACTORS), tuple(routes), tuple(forgeries))
    shift = list(STATES).index(state)
    for places in product(*(range(len(each)) for each in lists)):
        verb, actor, route, forged = (each[place] for each, place in zip(lists, places, strict=True))
        marked = verb is Verb.REVIEWING and is_marked(actor, route, STATES[state], forged=forged)
        marked |= verb is Verb.END_SESSIONS and is_ended(actor, route, STATES[state], forged=forged)
        allowed = marked or is_allowed(verb, actor, route, STATES[state], forged=forged)
        if (sum(places) + shift) % SHARE == 0 or allowed:
            yield verb, actor, route, forged
