"""Permission is checked again right before the signal, with the rules, the roster and the row as they are then."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict
from bot.domain.routing import LevelRule
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode, Reason
from bot.ports.aws import SignalThrottled
from bot.service.clicks.click import Answer, Verb
from tests.fakes.aws import ACCOUNT
from tests.fakes.aws import TARO as PRINCIPAL
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, FakePeople
from tests.fakes.world import APPROVALS, World, code_of, current_configuration, new_world

BEFORE_THE_CHECK, DURING_THE_CHECK = "prepare", "execution"
CALLS = (BEFORE_THE_CHECK, DURING_THE_CHECK)


def listed_by_id(world: World) -> None:
    """Replace the approvers by a list without Hanako, as an edit of the file does."""
    _channel(world, approvers=(f"user:{ICHIRO.object_id}",))


def paused(world: World) -> None:
    """Switch decisions off in the channel."""
    _channel(world, decide=False)


def left_the_team(world: World) -> None:
    """Remove Hanako from the roster."""
    world.people.people.remove(HANAKO)


def comment_required(world: World) -> None:
    """Require a comment for approvals and rejections."""
    _channel(world, comment_required=frozenset(APPROVALS.comment_required | {Verb.APPROVE, Verb.REJECT}))


def is_the_requester(world: World) -> None:
    """Give Hanako the requester's address, so that the request may be her own."""
    world.people.people[0] = replace(HANAKO, upn=TARO_PERSON.upn, mail=TARO_PERSON.mail)


CHANGES: tuple[tuple[Callable[[World], None], Refusal], ...] = (
    (listed_by_id, Refusal.NOT_APPROVER),
    (paused, Refusal.PAUSED),
    (left_the_team, Refusal.NOT_APPROVER),
    (comment_required, Refusal.COMMENT_REQUIRED),
    (is_the_requester, Refusal.OWN_REQUEST),
)


def _channel(world: World, **changed: object) -> None:
    channel = replace(APPROVALS, **changed)  # type: ignore[arg-type]  # fields of Channel
    world.configuration.replace(replace(world.configuration.value, channels=(channel,)))


async def decided_meanwhile(
    world: World, verb: Verb, call: str, change: Callable[[World], None]
) -> tuple[RequestKey, Answer]:
    """Click as Hanako, change the rules during a call to AWS, and return the request and the answer."""
    key = await world.posted()
    gate = world.aws.gates[call] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, verb))
        await world.aws.arrived[call].wait()
        change(world)
        gate.set()
        answer = await click
    return key, answer


async def _last(world: World, key: RequestKey) -> tuple[DecisionState, Outcome | None, str]:
    (decision,) = (await world.row(key)).decisions
    return decision.state, decision.outcome, decision.detail


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
@pytest.mark.parametrize(("change", "refusal"), CHANGES, ids=lambda each: getattr(each, "__name__", None))
async def test_decision_is_not_sent_if_its_permission_ends_before_the_signal(
    world: World, verb: Verb, call: str, change: Callable[[World], None], refusal: Refusal
) -> None:
    """No signal is sent, the decision is released, and the answer has the reason for the refusal."""
    key, answer = await decided_meanwhile(world, verb, call, change)
    assert world.aws.signals == []
    assert await _last(world, key) == (DecisionState.RELEASED, Outcome.NOT_PERMITTED, refusal)
    assert code_of(answer) is refusal


async def test_permission_for_a_decision_is_checked_again_after_a_crash(world: World) -> None:
    """The approver leaves the team while no process works on the decision: the next process does not send it."""
    key = await world.posted()
    await world.crash_in(world.pressed(key, HANAKO), "prepare")
    left_the_team(world)
    world.build()
    async with world.running():
        await world.clock.advance(40)
    assert world.aws.signals == []
    assert await _last(world, key) == (DecisionState.RELEASED, Outcome.NOT_PERMITTED, Refusal.NOT_APPROVER)
    assert any("did not allow it" in each.card for each in world.chat.of("reply"))


def became_a_guest(world: World) -> None:
    """Let Teams show Hanako as a guest of another tenant."""
    world.people.people[0] = replace(HANAKO, tenant_id="99999999-9999-4999-8999-999999999999", guest=True)


def entered_as_the_requester(world: World) -> None:
    """Write into [people] that Hanako uses the requester's principal."""
    world.change_identity(people={PRINCIPAL: f"user:{HANAKO.object_id}"})


def has_the_requesters_mail_as_an_alias(world: World) -> None:
    """Give Hanako the requester's mail address in full width, beside her own UPN."""
    world.people.people[0] = replace(HANAKO, mail="ｔａｒｏ.ｙａｍａｄａ@example.com")


def distrusted(world: World) -> None:
    """No longer trust the requester's role, so that the requester is unidentified."""
    world.change_identity(trusted_roles=frozenset())


def level_with_its_own_approvers(world: World) -> None:
    """Give the level its own approvers, who do not include Hanako."""
    _channel(world, levels=(LevelRule("Level1", (f"user:{ICHIRO.object_id}",)),))


def no_channels(world: World) -> None:
    """Remove every channel."""
    world.configuration.replace(replace(world.configuration.value, channels=()))


def has_another_object_id(world: World) -> None:
    """Give Hanako's entry in the roster another object id, so that no member has the one that clicked."""
    world.people.people[0] = replace(HANAKO, object_id="aaaaaaaa-0000-4000-8000-000000000088")


MORE_CHANGES: tuple[tuple[Callable[[World], None], Reason], ...] = (
    (became_a_guest, Refusal.FOREIGN),
    (entered_as_the_requester, Refusal.OWN_REQUEST),
    (has_the_requesters_mail_as_an_alias, Refusal.OWN_REQUEST),
    (distrusted, Refusal.UNIDENTIFIED),
    (level_with_its_own_approvers, Refusal.NOT_APPROVER),
    (no_channels, NoticeCode.APPLYING),  # no channel's card can show the outcome
    (has_another_object_id, Refusal.NOT_APPROVER),
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("change", "code"), MORE_CHANGES, ids=lambda each: getattr(each, "__name__", None))
async def test_decision_is_not_sent_if_the_person_or_a_rule_changes_before_the_signal(
    world: World, call: str, change: Callable[[World], None], code: Reason
) -> None:
    """No signal is sent within two minutes, and the decision is released.

    The answer says why, unless no channel is left.
    """
    key = await world.posted()
    gate = world.aws.gates[call] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived[call].wait()
        change(world)
        gate.set()
        await world.clock.advance(120)
        answer = await click
    (decision,) = (await world.row(key)).decisions
    assert (world.aws.signals, decision.state) == ([], DecisionState.RELEASED)
    assert decision.outcome is (Outcome.NOT_ROUTED if change is no_channels else Outcome.NOT_PERMITTED)
    assert code_of(answer) is code


@pytest.mark.parametrize("change", [each for each, _ in (*CHANGES, *MORE_CHANGES)], ids=lambda each: each.__name__)
async def test_decision_is_not_sent_if_its_permission_ends_after_assuming_its_role_was_throttled(
    world: World, change: Callable[[World], None]
) -> None:
    """Permission is checked again before the second attempt. The decision is released."""
    key = await world.posted()
    world.aws.before["prepare"].append(SignalThrottled("ThrottlingException"))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["prepare"].wait()
        change(world)
        await world.clock.advance(150)
        await click
    assert (world.aws.signals, (await world.row(key)).decisions[0].state) == ([], DecisionState.RELEASED)


async def test_decision_is_not_sent_if_unidentified_requesters_are_disallowed_before_the_signal() -> None:
    """The file said `unplaced_requesters = "allow"` at the click, and says "refuse" before the signal."""
    world = new_world(configuration=current_configuration(allow_unidentified=True))
    key = world.aws.add(requester=f"arn:aws:iam::{ACCOUNT}:user/batch")
    await world.shown(key)
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        world.change_identity(allow_unidentified=False)
        gate.set()
        answer = await click
    assert (world.aws.signals, code_of(answer)) == ([], Refusal.UNIDENTIFIED)


@pytest.mark.parametrize("removed", ["cancel_role", "account"])
async def test_cancellation_is_not_sent_if_its_role_or_account_is_removed_during_the_state_check(
    world: World, removed: str
) -> None:
    """The account, or its `cancel_role`, is removed from the file before the cancellation is sent."""
    key = await world.posted()
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.aws.arrived["execution"].wait()
        value = world.configuration.value
        accounts = tuple(replace(each, cancel_role=None) for each in value.accounts) if removed == "cancel_role" else ()
        world.configuration.replace(replace(value, accounts=accounts))
        gate.set()
        await world.clock.advance(120)
        await click
    assert (world.aws.signals, (await world.row(key)).decisions[0].state) == ([], DecisionState.RELEASED)


class PeopleDuringAnEdit(FakePeople):
    """People whose second lookup, the one before the signal, takes so long that the file is edited meanwhile."""

    edit: Callable[[], None]

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the person; edit the file during the second lookup."""
        found = await super().member(conversation, object_id)
        if self.asked == 2:
            self.edit()
        return found


async def test_decision_is_not_sent_if_its_role_is_removed_during_the_roster_lookup() -> None:
    """The decision was claimed for the approver role. The bot never sends it with its own credentials instead."""
    people = PeopleDuringAnEdit((HANAKO, ICHIRO, TARO_PERSON))
    world = new_world(people=people.people)
    world.people = people
    world.build()
    people.edit = lambda: _channel(world, approver_role=None)
    key = await world.posted()
    people.asked = 0
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(5)
        await click
    assert world.aws.signals == []
    state, outcome, _ = await _last(world, key)
    assert (state, outcome) == (DecisionState.RELEASED, Outcome.NOT_ROUTED)


async def _clicked_before_the_roster_fails(world: World, key: RequestKey) -> asyncio.Task[Answer]:
    """Click, and let the roster fail while the role is assumed for the signal."""
    gate = world.aws.gates["prepare"] = asyncio.Event()
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["prepare"].wait()
    world.people.failing = True
    gate.set()
    return click


async def test_decision_waits_while_the_roster_is_unreadable_and_is_released_after_a_minute(world: World) -> None:
    """The roster fails after the click, while the role is assumed. No signal is sent."""
    key = await world.posted()
    async with world.running():
        click = await _clicked_before_the_roster_fails(world, key)
        await world.clock.advance(10)
        await click
        assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.CLAIMED]
        await world.clock.advance(80)
    assert world.aws.signals == []
    assert await _last(world, key) == (DecisionState.RELEASED, Outcome.NOT_PERMITTED, Refusal.ROSTER_UNAVAILABLE)


async def test_decision_is_sent_after_a_short_failure_of_the_roster(world: World) -> None:
    """The roster fails after the click, and can be read again 0.2 seconds later."""
    key = await world.posted()
    async with world.running():
        click = await _clicked_before_the_roster_fails(world, key)
        await world.clock.advance(0.2)
        world.people.failing = False
        await world.clock.advance(5)
        await click
    assert len(world.aws.effects) == 1


async def test_revocation_is_not_sent_if_its_channel_is_paused_during_the_state_check(world: World) -> None:
    """The channel is paused during the state check: the revocation is not sent, and the answer says why."""
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
        world.aws.requests[key] = replace(
            world.aws.requests[key], access_until=world.clock.now().replace(hour=23), modified_at=world.clock.now()
        )
        await world.shown(key)
        gate = world.aws.gates["grant"] = asyncio.Event()
        click = asyncio.create_task(world.press(key, HANAKO, Verb.REVOKE))
        await world.aws.arrived["grant"].wait()
        paused(world)
        gate.set()
        answer = await click
    assert [each.action for each in world.aws.signals] == [Verdict.APPROVE]
    assert code_of(answer) is Refusal.PAUSED


async def test_cancellation_is_not_sent_if_the_person_who_clicked_is_no_longer_the_requester(world: World) -> None:
    """The requester is identified as another person before the cancellation is sent. So it is not sent."""
    key = await world.posted()
    gate = world.aws.gates["execution"] = asyncio.Event()

    def renamed(row: Record) -> Record:
        assert row.requester
        return replace(row, requester=replace(row.requester, person=ICHIRO))

    async with world.running():
        click = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.aws.arrived["execution"].wait()
        await world.rows.apply(key, renamed)
        gate.set()
        await world.clock.advance(3)
        await click
    assert world.aws.signals == []
    assert await _last(world, key) == (DecisionState.RELEASED, Outcome.NOT_PERMITTED, Refusal.NOT_REQUESTER)


async def test_decision_is_not_sent_if_its_channel_is_paused_while_the_state_sent_is_stored() -> None:
    """The answer to the click says that the channel is paused."""
    world = new_world()
    key = await world.posted()
    apply = world.rows.apply

    async def slow(*given: object) -> Record:
        record = await apply(*given)  # type: ignore[arg-type]  # the arguments of `apply`
        if any(each.state is DecisionState.SENT for each in record.decisions) and not world.configuration.revision:
            paused(world)
        return record

    world.rows.apply = slow  # type: ignore[method-assign, assignment]  # a store that answers late
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(5)
        answer = await click
    assert world.aws.signals == []
    assert code_of(answer) is Refusal.PAUSED
    assert world.configuration.revision == 1
