"""Decisions that wait for their turn: who goes first, what people see meanwhile, and what stops a waiting decision."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.decision import QUEUE_SPAN, Decision, DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict, Withdrawal
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import Signal, SignalThrottled
from bot.ports.store import Change
from bot.service.clicks.click import Answer, Verb
from bot.service.clicks.retracting import may_retract
from bot.service.decisions.queue import MOST_OF_A_PERSON, TURNS, Ticket
from tests.fakes.aws import FakeAws
from tests.fakes.card_text import nodes, shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.clock import START, ManualClock
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, World, code_of, new_world
from tests.unit.domain.sample import decision

MEI, PRIYA = person(3, "鈴木 芽依"), person(4, "Priya Nair")
PEOPLE = (HANAKO, ICHIRO, MEI, PRIYA, TARO_PERSON)


def crowded(**more: object) -> World:
    """Return a world with four approvers."""
    return new_world(people=PEOPLE, **more)


async def posted(world: World, *numbers: int, levels: int = 1, required: int = 1) -> list[RequestKey]:
    """Post the cards of requests with these numbers; return their keys."""
    keys = [world.aws.add(number, levels=levels, required=required) for number in numbers]
    for key in keys:
        await world.shown(key)
    return keys


@asynccontextmanager
async def every_turn_taken(world: World) -> AsyncIterator[asyncio.Event]:
    """Let other decisions of Priya have all turns, held in AWS. Yields the event that lets them continue."""
    keys = await posted(world, *range(100, 100 + TURNS))
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        clicks = [asyncio.create_task(world.press(each, PRIYA)) for each in keys]
        await world.clock.advance(0.1)
        try:
            yield gate
        finally:
            gate.set()
            await world.clock.advance(5)
            await asyncio.gather(*clicks)


async def decision_of(world: World, key: RequestKey) -> Decision:
    """Return the latest decision on a request."""
    return (await world.row(key)).decisions[-1]


def approved(world: World) -> list[RequestKey]:
    """Return the requests that were decided, in the order of the signals, without Priya's."""
    return [each.key for each in world.aws.effects if each.session_name != PRIYA.session_name]


async def pressed(world: World, key: RequestKey, who: Person = HANAKO, verb: Verb = Verb.APPROVE) -> Answer:
    """Click, advance the clock by 2.6 seconds, and return the answer."""
    click = asyncio.create_task(world.press(key, who, verb))
    await world.clock.advance(2.6)
    return await click


async def test_decision_that_waits_for_its_turn_is_answered_at_once_and_named_on_the_card() -> None:
    """The answer says that the decision waits. The card names the person and keeps its buttons. One signal is sent later."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        answer = await world.press(key, HANAKO, comment="ok")  # the clock stands still
        assert code_of(answer) is NoticeCode.QUEUED
        await world.clock.advance(1)
        for card in (answer.card, world.chat.of("post")[0].versions[-1].card):
            assert f"{HANAKO.name} clicked Approve" in shown(card)
            assert "Decision waiting to be sent" in shown(card)
            assert {each.get("verb") for each in nodes(card)} >= {Verb.APPROVE, Verb.REJECT, Verb.WITHDRAW}
        assert (await decision_of(world, key)).queued
        gate.set()
        await world.clock.advance(5)
        assert approved(world) == [key]
        assert "Approved" in shown(world.chat.of("post")[0].versions[-1].card)
    assert len(world.aws.signals) == TURNS + 1


async def test_second_waiting_decision_of_a_person_is_sent_after_the_first_ones_of_other_people() -> None:
    """Hanako clicked on three cards before two others clicked on one each.

    The decisions of the two are sent after her first one and before her second one.
    """
    world = crowded()
    keys = await posted(world, 1, 2, 3, 4, 5)
    async with every_turn_taken(world) as gate:
        for key, who in zip(keys, (HANAKO, HANAKO, HANAKO, ICHIRO, MEI), strict=True):
            await world.press(key, who)
        gate.set()
        await world.clock.advance(5)
    assert approved(world) == [keys[0], keys[3], keys[4], keys[1], keys[2]]


async def test_reject_and_cancellation_overtake_waiting_approvals_of_other_requests() -> None:
    """A reject and a cancellation that are clicked last, on other requests, are sent first."""
    world = crowded()
    keys = await posted(world, 1, 2, 3, 4)
    async with every_turn_taken(world) as gate:
        await world.press(keys[0], HANAKO)
        await world.press(keys[1], ICHIRO)
        await world.press(keys[2], MEI, Verb.REJECT)
        await world.click_handler.click(world.withdrawn(keys[3]))
        gate.set()
        await world.clock.advance(5)
    assert set(approved(world)[:2]) == {keys[2], keys[3]}
    assert approved(world)[2:] == keys[:2]


@pytest.mark.parametrize("who", [ICHIRO, HANAKO])
async def test_reject_withdraws_a_waiting_approval_of_the_same_request(who: Person) -> None:
    """Only the rejection is sent, and a note says who rejected. A person can also reject after their own approval."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        await world.press(key, HANAKO)
        answer = await pressed(world, key, who, Verb.REJECT)
        assert code_of(answer) is NoticeCode.QUEUED
        first, second = (await world.row(key)).decisions
        assert (first.verdict, first.state, first.outcome) == (Verdict.APPROVE, DecisionState.RELEASED, "withdrawn")
        assert (second.verdict, second.queued, first.withdrawn_by) == (Verdict.REJECT, True, second.id)
        gate.set()
        await world.clock.advance(5)
    assert [each.action for each in world.aws.signals if each.key == key] == [Verdict.REJECT]
    (note,) = [shown(each.versions[-1].card) for each in world.chat.of("reply") if "had no effect" in each.card]
    assert f"{who.name} decided before it was sent" in note


@pytest.mark.parametrize(
    "who", [person(50), TARO_PERSON, replace(ICHIRO, tenant_id="another")], ids=["stranger", "requester", "foreigner"]
)
async def test_refused_reject_does_not_withdraw_a_waiting_approval(who: Person) -> None:
    """A person who may not decide clicks Reject. The waiting approval is sent at its turn."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        await world.press(key, HANAKO)
        answer = await pressed(world, key, who, Verb.REJECT)
        assert answer.refused
        assert (await decision_of(world, key)).queued
        gate.set()
        await world.clock.advance(5)
    assert approved(world) == [key]


async def test_cancellation_withdraws_a_waiting_approval_of_the_same_request() -> None:
    """The requester cancels while an approval waits. Only the cancellation is sent."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        await world.press(key, HANAKO)
        cancelling = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.clock.advance(2.6)
        await cancelling
        gate.set()
        await world.clock.advance(5)
    assert [each.action for each in world.aws.signals if each.key == key] == [Withdrawal.CANCEL]


@pytest.mark.parametrize("hours", [-1, 9])
async def test_decision_that_waits_while_the_clock_changes_is_never_sent(hours: int) -> None:
    """The clock is set back by an hour or ahead by nine, so the decision's age is unknown or over the limit.

    The decision is released, and the card no longer names it.
    """
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        await world.press(key, HANAKO)
        await world.clock.advance(0)  # the decision waits for its turn
        world.clock.set_to(world.clock.now() + timedelta(hours=hours))
        if hours < 0:
            await world.clock.advance(3700)
        gate.set()
        await world.clock.advance(10)
    assert [each for each in world.aws.signals if each.key == key] == []
    assert (await decision_of(world, key)).state is DecisionState.RELEASED
    assert HANAKO.name not in shown(world.chat.of("post")[0].versions[-1].card)


class ThrottlingAws(FakeAws):
    """AWS throttles every signal until a time. `sent_at` has the times of the accepted ones."""

    until = START

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.sent_at: list[datetime] = []

    async def signal(self, signal: Signal) -> None:
        """Throttle, or accept."""
        if self._clock.now() < self.until:
            raise SignalThrottled("ThrottlingException")
        self.sent_at.append(self._clock.now())
        await super().signal(signal)


async def test_decisions_that_aws_throttles_for_150_seconds_are_sent_in_time_or_announced() -> None:
    """AWS throttles all of 30 decisions.

    None is sent over five minutes after its click, and a note names each one that is not sent.
    """
    clock = ManualClock()
    aws = ThrottlingAws(clock)
    world = replace(crowded(), clock=clock, aws=aws)
    keys = await posted(world, *range(1, 31))
    began, aws.until = clock.now(), clock.now() + timedelta(seconds=150)
    async with world.running():
        clicks = [asyncio.create_task(world.press(key, PEOPLE[number % 4])) for number, key in enumerate(keys)]
        await clock.advance(600)
        await asyncio.gather(*clicks)
    assert max(aws.sent_at) - began <= QUEUE_SPAN
    decisions = [await decision_of(world, key) for key in keys]
    lost = [each for each in decisions if each.state is not DecisionState.CONFIRMED]
    assert len(aws.sent_at) + len(lost) == len(keys)
    assert all(each.announced and each.state is DecisionState.RELEASED for each in lost)
    assert sum("had no effect" in each.card for each in world.chat.of("reply")) == len(lost)


async def test_reject_withdraws_an_approval_during_its_state_check() -> None:
    """The rejection comes during the approval's state check. It alone is sent, and the approver reads who rejected."""
    world = crowded()
    (key,) = await posted(world, 1)
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        approval = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        rejection = asyncio.create_task(world.press(key, ICHIRO, Verb.REJECT))
        await world.clock.advance(0.1)
        gate.set()
        await world.clock.advance(3)
        answer = await approval
        await rejection
    assert [each.action for each in world.aws.signals] == [Verdict.REJECT]
    assert answer.notice is not None
    assert (answer.notice.verdict, answer.notice.who) == (Verdict.REJECT, ICHIRO.name)


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
async def test_only_the_person_who_clicked_can_withdraw_a_waiting_decision(verb: Verb) -> None:
    """The decision is not sent, and the card no longer shows it. Another person cannot withdraw it, but may decide."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        await world.press(key, HANAKO, verb)
        other = await world.press(key, ICHIRO, Verb.WITHDRAW)
        assert (code_of(other), other.refused) == (NoticeCode.NOTHING_TO_WITHDRAW, True)
        assert (await decision_of(world, key)).queued
        answer = await world.press(key, HANAKO, Verb.WITHDRAW)
        assert code_of(answer) is Outcome.WITHDRAWN
        assert "waits its turn" not in shown(answer.card)
        again = await world.press(key, HANAKO, Verb.WITHDRAW)
        assert code_of(again) is NoticeCode.NOTHING_TO_WITHDRAW
        assert code_of(await world.press(key, ICHIRO)) is NoticeCode.QUEUED
        gate.set()
        await world.clock.advance(5)
    assert [each.session_name for each in world.aws.signals if each.key == key] == [ICHIRO.session_name]


async def test_sent_decision_cannot_be_withdrawn(world: World) -> None:
    """The signal is on its way: Withdraw changes nothing."""
    key = await world.posted()
    gate = world.aws.gates["signal"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["signal"].wait()
        assert code_of(await world.press(key, HANAKO, Verb.WITHDRAW)) is NoticeCode.NOTHING_TO_WITHDRAW
        gate.set()
        await click
    assert (await decision_of(world, key)).state is DecisionState.CONFIRMED


async def test_withdrawal_from_another_conversation_or_tenant_is_refused() -> None:
    """The decision still waits after both clicks."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world):
        await world.press(key, HANAKO)
        forged = replace(world.pressed(key, HANAKO, Verb.WITHDRAW), conversation="19:elsewhere@thread.tacv2")
        assert code_of(await world.click_handler.click(forged)) is Refusal.NOT_HERE
        foreign = world.pressed(key, replace(HANAKO, tenant_id="another"), Verb.WITHDRAW)
        assert code_of(await world.click_handler.click(foreign)) is NoticeCode.NOTHING_TO_WITHDRAW
        assert (await decision_of(world, key)).queued


def test_person_without_an_object_id_has_no_vote_to_withdraw() -> None:
    """Two people without an id are not the same person."""
    nameless = replace(HANAKO, object_id="")
    assert may_retract(HANAKO, decision(HANAKO))
    assert not may_retract(nameless, decision(nameless))


async def test_decision_that_waits_for_its_turn_is_not_taken_over_by_another_process() -> None:
    """The process renews its hold as long as the decision waits, so the idle process beside it sends nothing."""
    store = MemoryStore()
    world = crowded(store=store)
    other = replace(world, store=MemoryStore(store.tables), owner="replica-2")
    (key,) = await posted(world, 1)
    tickets = [world.signalling.queue.reserve(key, Verdict.APPROVE, PRIYA) for _ in range(TURNS)]
    for ticket in tickets:
        ticket.enter()
    await world.press(key, HANAKO)
    async with other.running():
        for _ in range(14):
            await world.clock.advance(20)
            assert (await decision_of(world, key)).queued
        for ticket in tickets:
            ticket.leave()
        await world.clock.advance(5)
    assert len(world.aws.signals) == 1


class CrowdingStore(MemoryStore):
    """A store during whose next write of a decision other decisions take all turns."""

    world: World | None = None
    tickets: Sequence[Ticket] = ()

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write, then let others take all turns once."""
        record = await super().apply(key, change, now=now)
        if self.world and record.decisions and not self.tickets:
            queue = self.world.signalling.queue
            self.tickets = [queue.reserve(key, Verdict.APPROVE, PRIYA) for _ in range(TURNS)]
            for each in self.tickets:
                each.enter()
        return record


async def test_decision_whose_turn_others_take_during_its_claim_waits_without_using_its_minute() -> None:
    """It is stored as claimed with its turn, and then as waiting. Two minutes later its turn comes, and it is sent."""
    store = CrowdingStore()
    world = crowded(store=store)
    (key,) = await posted(world, 1)
    store.world = world
    await world.press(key, HANAKO)
    for _ in range(6):
        await world.clock.advance(20)
        assert (await decision_of(world, key)).queued
    for each in store.tickets:
        each.leave()
    await world.clock.advance(5)
    assert (await decision_of(world, key)).state is DecisionState.CONFIRMED
    assert len(world.aws.signals) == 1


async def test_permission_and_state_are_checked_again_when_a_turn_begins() -> None:
    """While decisions wait, the channel's list loses Hanako and the console rejects Ichiro's request: neither is sent."""
    world = crowded()
    keys = await posted(world, 1, 2, 3)
    async with every_turn_taken(world) as gate:
        for key, who in zip(keys, (HANAKO, ICHIRO, MEI), strict=True):
            await world.press(key, who)
        others = tuple(f"user:{each.object_id}" for each in (ICHIRO, MEI, PRIYA))
        channel = replace(APPROVALS, approvers=others)
        world.configuration.replace(replace(world.configuration.value, channels=(channel,)))
        world.aws.decide(keys[1], Verdict.REJECT, "from the console")
        gate.set()
        await world.clock.advance(5)
    assert approved(world) == [keys[2]]
    outcomes = [((await decision_of(world, key)).outcome, (await decision_of(world, key)).detail) for key in keys]
    assert outcomes == [(Outcome.NOT_PERMITTED, "not_approver"), (Outcome.SETTLED, ""), (None, "")]
    assert sum("had no effect" in each.card for each in world.chat.of("reply")) == 2


async def test_decision_without_a_turn_for_five_minutes_is_never_sent() -> None:
    """Other decisions keep every turn. After five minutes the decision is released, and a note names its person."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        await world.press(key, HANAKO)
        await world.clock.advance(299)
        assert (await decision_of(world, key)).queued
        await world.clock.advance(5)
        decision = await decision_of(world, key)
        assert (decision.state, decision.outcome) == (DecisionState.RELEASED, Outcome.EXPIRED)
        gate.set()
        await world.clock.advance(5)
    assert [each for each in world.aws.signals if each.key == key] == []
    notes = [shown(each.versions[-1].card) for each in world.chat.of("reply")]
    assert any(f"{HANAKO.name}’s approval had no effect" in each for each in notes)


@pytest.mark.parametrize(("down", "sent"), [(70, True), (290, True), (310, False)])
async def test_waiting_decision_is_sent_after_a_crash_if_its_click_is_younger_than_five_minutes(
    down: float, sent: bool
) -> None:
    """The process restarts. A decision whose click is older expires."""
    world = crowded()
    (key,) = await posted(world, 1)
    await world.crash_in(world.pressed(key, HANAKO), "prepare")
    waiting = replace(await decision_of(world, key), turn_at=None)
    await world.rows.apply(key, lambda row: row.with_decision(waiting))
    world.build()
    await world.clock.advance(down)
    async with world.running():
        await world.clock.advance(5)
    assert len(world.aws.signals) == sent
    decision = await decision_of(world, key)
    assert decision.announced
    assert decision.outcome is (None if sent else Outcome.EXPIRED)


async def test_decision_whose_turn_began_over_a_minute_before_a_restart_is_not_sent() -> None:
    """The process crashed during the turn and started again 61 seconds later. The click is younger than five minutes."""
    world = crowded()
    (key,) = await posted(world, 1)
    await world.crash_in(world.pressed(key, HANAKO), "prepare")
    world.build()
    await world.clock.advance(61)
    async with world.running():
        await world.clock.advance(5)
    assert world.aws.signals == []
    assert (await decision_of(world, key)).outcome is Outcome.EXPIRED


async def test_waiting_decisions_continue_in_another_process_after_a_shutdown() -> None:
    """The first process drains: what has its turn is finished, and the rest is left to the other process at once."""
    store = MemoryStore()
    first = crowded(store=store)
    second = replace(first, store=MemoryStore(store.tables), owner="replica-2")
    keys = await posted(first, *range(1, TURNS + 4))
    gate = first.aws.gates["prepare"] = asyncio.Event()
    clicks = [asyncio.create_task(first.press(each, HANAKO)) for each in keys]
    await first.clock.advance(3)
    drain = asyncio.create_task(first.click_handler.drain())
    gate.set()
    await first.clock.advance(0.5)
    await asyncio.gather(*clicks, drain)
    assert len(first.aws.effects) == TURNS
    async with second.running():
        await second.clock.advance(5)
    assert len(first.aws.effects) == TURNS + 3


async def test_person_with_too_many_waiting_decisions_is_refused_and_others_are_not() -> None:
    """The answer says that the queue is full, and no decision is stored. Another person's decision is sent."""
    world = crowded()
    keys = await posted(world, 1, 2)
    queue = world.signalling.queue
    tickets = [queue.reserve(keys[0], Verdict.APPROVE, HANAKO) for _ in range(MOST_OF_A_PERSON)]
    async with world.running():
        refused = await pressed(world, keys[0])
        assert code_of(refused) is NoticeCode.QUEUE_FULL
        assert (await world.row(keys[0])).decisions == ()
        await pressed(world, keys[0], ICHIRO)
        for ticket in tickets:
            ticket.leave()
        await pressed(world, keys[1])
    assert [each.session_name for each in world.aws.effects] == [ICHIRO.session_name, HANAKO.session_name]


async def test_repeated_click_on_a_waiting_decision_is_answered_like_the_first_click() -> None:
    """Teams resends a click: the person reads again that the decision waits, and nothing is queued twice."""
    world = crowded()
    (key,) = await posted(world, 1)
    async with every_turn_taken(world) as gate:
        answers = [await world.press(key, HANAKO) for _ in range(3)]
        assert [code_of(each) for each in answers] == [NoticeCode.QUEUED] * 3
        assert len((await world.row(key)).decisions) == 1
        gate.set()
        await world.clock.advance(5)
    assert approved(world) == [key]
