"""Figure 27: if Teams refuses a roster or returns it incompletely, no click is refused silently or allowed wrongly.

The directory reads a fake Teams over real HTTP; the services above it run over fakes. In each cell, one person clicks
one button on one request, in a channel with one degraded roster. Teams returns single members completely, or degraded
in the same way.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import product as every
from random import Random
from typing import Any

import pytest

from bot.domain.identity import IdentityRules
from bot.domain.identity import Person as Actor
from bot.domain.request import RequestKey, Verdict
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import Reason
from bot.service.clicks.click import Click, Verb
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people import directory as directories
from bot.teams.people.directory import Directory
from bot.teams.people.roster_reader import RosterReader
from bot.teams.wire.people import TeamMember
from tests.fakes.aws import TARO as PRINCIPAL
from tests.fakes.edge import running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import FOREIGNER, GUEST, HANAKO, ICHIRO, TARO, TENANT_ID, Person
from tests.fakes.teams_world import APPROVERS, Change
from tests.fakes.world import APPROVALS, World, code_of, new_world
from tests.figures import Figure, size

SHORT = 0.05  # seconds that the directory waits for a slow answer of Teams
STRANGER = replace(ICHIRO, id="29:1-stranger", object_id="aaaaaaaa-0000-4000-8000-000000000077", upn="s@example.com")
VERBS = (Verb.APPROVE, Verb.REJECT, Verb.CANCEL, Verb.REVOKE)
PEOPLE = (HANAKO, TARO, GUEST, FOREIGNER, STRANGER)  # an approver, the requester, two outsiders, and no member

# refusals that name what Teams does not return
NAMING = frozenset(
    {
        Refusal.ROSTER_UNAVAILABLE,
        Refusal.ROSTER_REFUSED,
        Refusal.TENANT_UNKNOWN,
        Refusal.ADDRESS_UNKNOWN,
        Refusal.NOT_COMPARABLE,
        Refusal.REQUESTER_UNREAD,
    }
)


def without(*fields: str, **replaced: str) -> Change:
    """Return a change of a member's entry: some fields are missing, and others replaced."""
    return lambda entry: {name: value for name, value in {**entry, **replaced}.items() if name not in fields}


@dataclass(frozen=True, slots=True)
class Degradation:
    """One way in which Teams falls short: a change of each entry, a fault of each call, or slow answers."""

    name: str
    entry: Change = dict
    fault: dict[str, object] = field(default_factory=dict)
    slow: bool = False

    def begin(self, ms: FakeMicrosoft, *, alone: bool) -> None:
        """Degrade the pages of the roster and, if `alone`, also the answers about single members."""
        ms.world.in_pages = self.entry
        ms.world.alone = self.entry if alone else dict
        path = "members" if alone else "pagedmembers$"
        if self.slow:
            ms.hold("GET", path, times=None)
        elif self.fault:
            ms.fault("GET", path, times=None, **self.fault)


DEGRADED = (
    Degradation("no tenant id", without("tenantId")),
    Degradation("foreign form", without(tenantId="29:1a2b-tenant")),
    Degradation("no UPN and mail", without("userPrincipalName", "email")),
    Degradation("none of them", without("tenantId", "userPrincipalName", "email", "userRole")),
    Degradation("page refused: 403", fault={"status": 403}),
    Degradation("page refused: 404", fault={"status": 404}),
    Degradation("page refused: 405", fault={"status": 405}),
    Degradation("page empty", fault={"status": 200, "body": '{"members": []}'}),
    Degradation("slow", slow=True),
)
APPROVED_BY = {
    "members": ("members",),
    "by name": (f"upn:{HANAKO.upn}", f"upn:{TARO.upn}"),
    "by id": (f"user:{HANAKO.object_id}", f"user:{TARO.object_id}"),
}
TRUSTED = IdentityRules(trusted_roles=frozenset({"Operator"}))
IDENTIFIED_BY = {
    "by roster": TRUSTED,
    "by domain": replace(TRUSTED, people_domains=frozenset({"example.com"}), allow_unmatched=True),
    "by entry": replace(TRUSTED, people={PRINCIPAL: f"user:{TARO.object_id}"}),
    "not at all": IdentityRules(allow_unidentified=True),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One click. If `alone`, Teams' answers about single members are degraded as well as the pages."""

    degradation: Degradation
    alone: bool
    verb: Verb
    person: Person
    approvers: str = "members"
    identified: str = "by roster"

    @property
    def allowed(self) -> bool:
        """True if the click would be allowed with a complete roster."""
        if self.verb is Verb.CANCEL:
            return self.person is TARO and self.identified != "not at all"
        return self.person is HANAKO


@dataclass(frozen=True, slots=True)
class Result:
    """What the click did: the number of its signals, the code of the answer, and whether it was refused.

    `shown` is True if the health report or the answer names the problem, and always for a slow roster.
    """

    effects: int
    code: Reason | None
    refused: bool
    shown: bool

    def wrongly_allowed(self, cell: Cell) -> bool:
        """True if the click had an effect that it would not have with a complete roster."""
        return self.effects > int(cell.allowed)

    def silently_refused(self, cell: Cell) -> bool:
        """True if a person who may decide is refused without a named cause, or although single members are complete."""
        if not cell.allowed or self.effects == 1:
            return False
        named = self.code in NAMING or (cell.verb is Verb.CANCEL and self.refused)
        return not (cell.alone and named and self.shown)


Build = Callable[..., Directory]


class Unhurried(Directory):
    """Waits briefly for a slow roster, but up to 5 s for a single member, so that a slow test machine changes nothing."""

    async def _get_member(self, service_url: str, conversation: str, member: str) -> TeamMember:
        self._patience, brief = 5.0, self._patience
        try:
            return await super()._get_member(service_url, conversation, member)
        finally:
            self._patience = brief


READING = ("service_urls", "tenant_id", "telemetry")  # what a RosterReader also needs


@asynccontextmanager
async def teams() -> AsyncIterator[tuple[FakeMicrosoft, Connector]]:
    """Start a Teams whose channel has two approvers, the requester, a guest and a person of another tenant."""
    async with FakeMicrosoft((HANAKO, ICHIRO, TARO, GUEST, FOREIGNER)) as ms, running_edge(ms) as edge:
        yield ms, edge.connector


async def play(cell: Cell, ms: FakeMicrosoft, connector: Connector, build: Build) -> Result:
    """Let the request arrive and the person click, all with the degraded roster."""
    channel = replace(APPROVALS, approvers=APPROVED_BY[cell.approvers])
    world = new_world(channel)
    identity = IDENTIFIED_BY[cell.identified]
    world.configuration.value = replace(world.configuration.value, identity=identity)
    cell.degradation.begin(ms, alone=cell.alone)
    try:
        unhurried = cell.degradation.slow and not cell.alone
        async with _directory(Unhurried if unhurried else build, ms, connector, world) as people:
            world.people = people  # type: ignore[assignment]  # the real directory instead of the fake
            world.build()
            return await _clicked(world, cell, people)
    finally:
        ms.faults.heal()
        ms.faults.calls.clear()


def _directory(build: Build, ms: FakeMicrosoft, connector: Connector, world: World) -> Directory:
    return build(
        connector,
        store=world.store,
        service_urls=ServiceUrls(
            world.store,
            default=ms.service_url,
            hosts=ServiceHosts(ms.service_hosts),
            outcomes=world.outcomes,
            clock=world.clock,
        ),
        clock=world.clock,
        tenant_id=TENANT_ID,
        channels=lambda: [APPROVERS],
        telemetry=world.telemetry,
        patience=SHORT if any(fault.gate for fault in ms.faults.planned) else 5.0,
    )


async def _clicked(world: World, cell: Cell, people: Directory) -> Result:
    key = world.aws.add(requester=PRINCIPAL)
    if cell.verb is Verb.REVOKE:
        world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    before = len(world.aws.signals)
    # in the worst case Teams states the channel's own tenant for every sender
    person = Actor(cell.person.object_id, TENANT_ID, cell.person.name, teams_id=cell.person.id)
    async with world.running():
        answer = await world.click_handler.click(_click(world, key, cell.verb, person))
    shown = bool(people.roster_problems(APPROVERS)) or code_of(answer) is Refusal.ROSTER_UNAVAILABLE
    return Result(len(world.aws.signals) - before, code_of(answer), answer.refused, shown or cell.degradation.slow)


def _click(world: World, key: RequestKey, verb: Verb, person: Actor) -> Click:
    if verb is Verb.CANCEL:
        return world.withdrawn(key, person)
    return world.pressed(key, person, verb)


CELLS = [
    Cell(degradation, alone, verb, person, approvers, identified)
    for degradation, alone, verb, person, approvers, identified in every(
        DEGRADED, (False, True), VERBS, PEOPLE, APPROVED_BY, IDENTIFIED_BY
    )
]


async def played(cells: Iterable[Cell], build: Build = Directory) -> dict[str, int]:
    """Play the cells, and count the results."""
    counts = Counter[str]()
    async with teams() as (ms, connector):
        for cell in cells:
            result = await play(cell, ms, connector, build)
            counts["wrongly_allowed"] += result.wrongly_allowed(cell)
            counts["silently_refused"] += result.silently_refused(cell)
            counts["allowed" if result.effects else "refused"] += 1
    return dict(counts)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the directory wait only briefly for a slow roster."""
    monkeypatch.setattr(directories, "KNOWN_PATIENCE", SHORT)


async def test_click_with_a_degraded_roster_is_never_refused_without_a_cause_or_wrongly_allowed(figure: Figure) -> None:
    """Approvers decide if Teams returns single members completely. Otherwise, their refusal names the cause."""
    cells = Random(27).sample(CELLS, size(ci=160, long=len(CELLS)))
    counts = await played(cells)
    figure(27, cells=len(cells), **counts)
    assert (counts["wrongly_allowed"], counts["silently_refused"]) == (0, 0)
    assert counts["allowed"] > 0


async def test_person_of_a_foreign_tenant_is_refused_if_teams_returns_no_tenant_id() -> None:
    """Neither the pages nor the answer for the single member have the tenant, and the click names the channel's tenant."""
    async with teams() as (ms, connector):
        result = await play(Cell(DEGRADED[0], True, Verb.APPROVE, FOREIGNER), ms, connector, Directory)
    assert (result.effects, result.code) == (0, Refusal.TENANT_UNKNOWN)


@pytest.mark.parametrize("approvers", APPROVED_BY)
@pytest.mark.parametrize("missing", [("userRole",), ("userRole", "userPrincipalName")], ids=["role", "role and UPN"])
async def test_guest_may_not_decide_if_teams_returns_no_role(missing: tuple[str, ...], approvers: str) -> None:
    """Teams returns the guest with this tenant's id and without a role, in pages and singly.

    An approver without a role decides; without role and UPN, the refusal names the cause.
    """
    degradation = Degradation("no role", without(*missing))
    async with teams() as (ms, connector):
        for verb in (Verb.APPROVE, Verb.REJECT, Verb.REVOKE):
            guest = await play(Cell(degradation, True, verb, GUEST, approvers), ms, connector, Directory)
            assert (guest.effects, guest.refused) == (0, True)
            cell = Cell(degradation, True, verb, HANAKO, approvers)
            own = await play(cell, ms, connector, Directory)
            assert not own.silently_refused(cell)
            assert own.effects == 1 or len(missing) == 2


class TrustingReader(RosterReader):
    """Treats members whose tenant Teams does not say as people of this tenant."""

    def person(self, member: TeamMember) -> Actor | None:
        found = super().person(member)
        return replace(found, tenant_id=TENANT_ID, guest=False) if found and not found.tenant_id else found


class ContentReader(RosterReader):
    """Takes every entry of a roster for complete, so that no member is requested singly."""

    def is_unclear(self, member: TeamMember) -> bool:
        return False


class Trusting(Directory):
    """A directory with a TrustingReader."""

    def __init__(self, connector: Connector, **given: Any) -> None:
        super().__init__(connector, **given)
        self._reader = TrustingReader(connector, pace=self._pace, **{name: given[name] for name in READING})


class Content(Directory):
    """A directory with a ContentReader."""

    def __init__(self, connector: Connector, **given: Any) -> None:
        super().__init__(connector, **given)
        self._reader = ContentReader(connector, pace=self._pace, **{name: given[name] for name in READING})


async def test_control_clicks_are_wrongly_allowed_if_a_missing_tenant_counts_as_the_own_one(figure: Figure) -> None:
    """Negative control: if members without a tenant id count as people of this tenant, some clicks are wrongly allowed."""
    cells = [each for each in CELLS if each.degradation.name == "no tenant id" and each.identified == "by roster"]
    counts = await played(cells, Trusting)
    figure(27, control="an unknown tenant passes for ours", cells=len(cells), **counts)
    assert counts["wrongly_allowed"] > 0


async def test_control_some_approvers_are_refused_if_no_member_is_requested_singly(figure: Figure) -> None:
    """Negative control: some approvers are refused as guests, although Teams returns single members completely."""
    cells = [each for each in CELLS if each.degradation.name == "foreign form" and each.identified == "by roster"]
    counts = await played(cells, Content)
    figure(27, control="nobody is requested singly", cells=len(cells), **counts)
    assert counts["silently_refused"] > 0
