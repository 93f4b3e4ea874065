"""The store fails for some seconds during a decision: the decision continues as soon as the store answers again.

Each test fails the store at one write of the decision's way from the click to the card. The promise is the same for
all: at most one signal, and within SOON after the store is back, AWS has the decision and the card shows it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from bot.domain.decision import DECISION_SPAN, HOLD, Decision, DecisionState, Outcome
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import SignalThrottled
from bot.service.decisions.queue import TURNS, Ticket
from tests.fakes.aws import FakeAws
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, FakeChat, FakePeople, person
from tests.fakes.clock import ManualClock
from tests.fakes.store import FailingStore, Loss, MemoryStore
from tests.fakes.world import World, code_of

SOON = 5.0  # seconds after the store is back
PRIYA = person(4, "Priya Nair")
Point = Callable[[Record, Record], bool]


def decided(row: Record) -> Decision | None:
    """Return the row's latest decision."""
    return row.decisions[-1] if row.decisions else None


def moves_to(state: DecisionState, *, begun: bool | None = None) -> Point:
    """Return the point at which a decision is first stored in this state, before or after its turn has begun."""

    def point(before: Record, after: Record) -> bool:
        was, now = decided(before), decided(after)
        if now is None or now.state is not state or (begun is not None and (now.turn_at is not None) is not begun):
            return False
        return was is None or (was.state, was.turn_at is None) != (now.state, now.turn_at is None)

    return point


def lease_after_decision(before: Record, after: Record) -> bool:
    """The point at which the reconciliation after the decision takes its lease."""
    return bool(after.decisions) and after.lease is not None and before.lease is None


def card_update(before: Record, after: Record) -> bool:
    """The point at which the decided card is about to be updated in Teams."""
    return bool(after.decisions) and any(
        each.kind == "card" and each.digest is None and each not in before.surfaces for each in after.surfaces
    )


def facts_read(before: Record, after: Record) -> bool:
    """The point at which the decision's effect, as read from AWS, is stored."""
    return before.request is not None and before.request.status != (after.request and after.request.status)


POINTS: dict[str, Point] = {
    "claim": moves_to(DecisionState.CLAIMED, begun=True),
    "claim in the queue": moves_to(DecisionState.CLAIMED, begun=False),
    "turn": moves_to(DecisionState.CLAIMED, begun=True),
    "sending": moves_to(DecisionState.SENT),
    "answer": moves_to(DecisionState.CONFIRMED),
    "lease": lease_after_decision,
    "facts": facts_read,
    "card": card_update,
}
IN_QUEUE = {"claim in the queue", "turn"}  # writes of a decision that has to wait for its turn
OUTAGES = [
    (point, loss, seconds)
    for point in POINTS
    for loss in Loss
    for seconds in (3.0, 20.0, 50.0)  # shorter and longer than a hold and a lease
    if "claim" not in point or loss is Loss.KEPT  # a claim that is not stored is no decision
    if (point, loss, seconds) != ("sending", Loss.KEPT, 50.0)  # after the hold it may have been sent
]


def failing_world() -> tuple[World, FailingStore]:
    """Return a world whose store can fail, and that store."""
    clock = ManualClock()
    store = FailingStore(clock)
    world = World(clock, FakeAws(clock), FakeChat(), FakePeople((HANAKO, ICHIRO, PRIYA, TARO_PERSON)), store)
    return world, store


async def is_over(world: World, key: RequestKey) -> bool:
    """Return whether AWS has the decision, its row says so, and the card shows it without buttons."""
    (card,) = world.chat.of("post")
    row = await world.row(key)
    decision = decided(row)
    confirmed = decision is not None and decision.state is DecisionState.CONFIRMED
    return (
        confirmed and world.aws.requests[key].status is Status.APPROVED and "Approved" in card.card and not card.buttons
    )


def busy_queue(world: World, key: RequestKey) -> Sequence[Ticket]:
    """Let other decisions have all turns until their tickets leave the queue."""
    tickets = [world.signalling.queue.reserve(key, Verdict.REJECT, ICHIRO) for _ in range(TURNS)]
    for ticket in tickets:
        ticket.enter()
    return tickets


async def pass_outage(world: World, store: FailingStore) -> None:
    """Let time pass until SOON after the store is back."""
    await world.clock.advance(0.1)
    await world.clock.advance((store.back_at - world.clock.now()).total_seconds() + SOON)


@pytest.mark.parametrize(("point", "loss", "seconds"), OUTAGES)
async def test_decision_takes_effect_within_five_seconds_after_a_store_outage(
    point: str, loss: Loss, seconds: float
) -> None:
    """The store fails at one write between click and card, for 3, 20 or 50 seconds. One signal is sent."""
    world, store = failing_world()
    key = await world.posted()
    store.fail(POINTS[point], loss=loss, seconds=seconds)
    async with world.running():
        ahead = busy_queue(world, key) if point in IN_QUEUE else ()
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(0.05)
        for ticket in ahead:
            ticket.leave()
        await pass_outage(world, store)
        await click
        over = await is_over(world, key)
        await world.clock.advance(120)
    assert over
    assert len(world.aws.signals) == 1


@pytest.mark.parametrize("loss", [Loss.REFUSED, Loss.LOST])
async def test_second_click_takes_effect_after_a_store_outage_in_which_the_first_claim_was_not_stored(
    loss: Loss,
) -> None:
    """The answer to the first click does not promise a decision. One signal is sent."""
    world, store = failing_world()
    key = await world.posted()
    store.fail(POINTS["claim"], loss=loss, seconds=3)
    async with world.running():
        answer = await world.press(key, HANAKO)
        await world.clock.advance(3.1)
        again = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(SOON)
        await again
        assert code_of(answer) is (NoticeCode.NOT_STORED if loss is Loss.REFUSED else NoticeCode.STORE_SLOW)
        assert await is_over(world, key)
        await world.clock.advance(120)
    assert len(world.aws.signals) == 1


async def test_write_that_the_store_refused_once_is_repeated_after_a_quarter_of_a_second() -> None:
    """Most failures are short, and a person waits for the answer."""
    world, store = failing_world()
    key = await world.posted()
    store.fail(lambda _before, _after: True, loss=Loss.REFUSED, seconds=0.2)
    writing = asyncio.create_task(world.rows.persist(key, lambda row: replace(row, reconcile_failures=7)))
    await world.clock.advance(0.25)
    assert writing.done()
    assert (await writing).reconcile_failures == 7


async def test_click_whose_row_cannot_be_read_is_answered_not_stored_and_never_sent() -> None:
    """A second click, four seconds after the store works again, takes effect with one signal."""
    world, store = failing_world()
    key = await world.posted()
    store.broken = True
    async with world.running():
        assert code_of(await world.press(key, HANAKO)) is NoticeCode.NOT_STORED
        store.broken = False
        await world.clock.advance(4)
        assert world.aws.signals == []
        again = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(SOON)
        await again
        assert await is_over(world, key)
    assert len(world.aws.signals) == 1


async def test_decisions_that_wait_for_their_turn_take_effect_within_five_seconds_after_a_store_outage() -> None:
    """More decisions than turns are under way when the store fails for 20 s. All take effect, one signal each."""
    world, store = failing_world()
    keys = [world.aws.add(number) for number in range(1, TURNS + 6)]
    for key in keys:
        await world.shown(key)
    store.fail(POINTS["sending"], loss=Loss.LOST, seconds=20)
    async with world.running():
        clicks = [asyncio.create_task(world.press(key, PRIYA)) for key in keys]
        await pass_outage(world, store)
        await asyncio.gather(*clicks)
        effects = len(world.aws.effects)
        await world.clock.advance(120)
    assert effects == len(keys)
    assert len(world.aws.signals) == len(keys)


async def test_repeated_writes_during_a_store_outage_are_logged_a_bounded_number_of_times() -> None:
    """The log names the request and the reason. In an outage of 20 s it has 10 to 40 such lines."""
    world, store = failing_world()
    key = await world.posted()
    store.fail(POINTS["sending"], loss=Loss.REFUSED, seconds=20)
    async with world.running():
        with capture_logs(processors=[merge_contextvars]) as said:
            click = asyncio.create_task(world.press(key, HANAKO))
            await pass_outage(world, store)
            await click
    found = [each for each in said if each["event"] == "write_repeated"]
    assert {each["request"] for each in found} == {str(key)}
    assert "not written, as the test planned" in {each["reason"] for each in found}
    assert 10 <= len(found) <= 40


async def test_second_approval_does_not_wait_for_the_hold_of_the_first_approval() -> None:
    """The level needs two approvals. The answer to the first claim is lost, and the second person clicks afterwards."""
    world, store = failing_world()
    key = await world.posted(required=2)
    store.fail(POINTS["claim"], loss=Loss.KEPT, seconds=3)
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(3.1)
        second = asyncio.create_task(world.press(key, ICHIRO))
        await world.clock.advance(SOON)
        await second
        assert await is_over(world, key)
    assert {each.session_name for each in world.aws.signals} == {HANAKO.session_name, ICHIRO.session_name}
    assert len(world.aws.signals) == 2


@pytest.mark.parametrize(("loss", "seconds"), [*((loss, 65.0) for loss in Loss), (Loss.KEPT, HOLD.total_seconds() + 1)])
async def test_decision_whose_write_of_sending_fails_for_too_long_is_released_without_a_signal(
    loss: Loss, seconds: float
) -> None:
    """No decision is sent over 60 s after its turn began, or after a hold in which it may have been sent.

    A note in the thread names the person.
    """
    world, store = failing_world()
    key = await world.posted()
    store.fail(POINTS["sending"], loss=loss, seconds=seconds)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await pass_outage(world, store)
        await world.clock.advance(max(0.0, DECISION_SPAN.total_seconds() - seconds))
        await click
        decision = decided(await world.row(key))
        await world.clock.advance(120)
    assert world.aws.signals == []
    assert decision is not None
    assert (decision.state, decision.outcome) in {
        (DecisionState.RELEASED, Outcome.EXPIRED),
        (DecisionState.RELEASED, Outcome.NO_ANSWER),
    }
    assert [HANAKO.name in note.card for note in world.chat.of("reply")] == [True]


async def test_decision_is_sent_although_the_answer_to_the_write_of_its_take_over_is_lost() -> None:
    """A process died, and the next one takes its decision over. AWS has the decision within 5 s after the store is back."""
    world, store = failing_world()
    key = await world.posted()
    await world.crash_in(world.pressed(key, HANAKO), "prepare")
    world.build()
    store.fail(lambda before, after: before.decisions != after.decisions, loss=Loss.KEPT, seconds=3)
    async with world.running():
        await world.clock.advance(HOLD.total_seconds() + 1)
        await pass_outage(world, store)
        assert await is_over(world, key)
    assert len(world.aws.signals) == 1


# --- another process works on the decision meanwhile


def beside(world: World, store: FailingStore) -> World:
    """Return a second process over the same AWS, Teams and tables, whose store works."""
    return replace(world, store=MemoryStore(store.tables), owner="replica-2")


@pytest.mark.parametrize("loss", list(Loss))
async def test_process_sends_no_second_signal_after_another_process_took_its_decision_over(loss: Loss) -> None:
    """The first process loses its store while it stores "sending". After the hold, another process takes the decision over.

    It sends the signal if "sending" was not stored. The first process then has its store again, and sends none.
    """
    world, store = failing_world()
    other, key = beside(world, store), await world.posted()
    store.fail(POINTS["sending"], loss=loss, seconds=HOLD.total_seconds() + 3)
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.clock.advance(3)
    answered = world.aws.gates["signal"] = asyncio.Event()
    async with other.running():
        await pass_outage(world, store)
        answered.set()
        await world.clock.advance(DECISION_SPAN.total_seconds())
        await click
    await world.click_handler.drain()
    decision = decided(await other.row(key))
    assert decision is not None
    sent = 0 if loss is Loss.KEPT else 1  # stored as "sending": nobody but the first process knows that it was not sent
    assert len(world.aws.signals) == sent
    assert decision.state is (DecisionState.CONFIRMED if sent else DecisionState.RELEASED)


async def test_throttled_process_sends_no_further_signal_after_another_process_took_its_decision_over() -> None:
    """AWS throttles the first process's signal, and the answer to the write of that is lost, although it is stored.

    After the hold, another process sends the decision. The first process then repeats its write, and sends nothing.
    """
    world, store = failing_world()
    other, key = beside(world, store), await world.posted()
    world.aws.before["signal"].append(SignalThrottled("ThrottlingException"))

    def back_to_claimed(before: Record, after: Record) -> bool:
        was, now = decided(before), decided(after)
        return bool(was and now and (was.state, now.state) == (DecisionState.SENT, DecisionState.CLAIMED))

    store.fail(back_to_claimed, loss=Loss.KEPT, seconds=HOLD.total_seconds() + 3)
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.clock.advance(3)
    answered = world.aws.gates["signal"] = asyncio.Event()
    async with other.running():
        await pass_outage(world, store)
        assert (len(world.aws.signals), world.aws.effects) == (2, [])
        await world.clock.advance(2)
        answered.set()
        await world.clock.advance(SOON)
        await click
    await world.click_handler.drain()
    assert (len(world.aws.signals), len(world.aws.effects)) == (2, 1)


async def test_card_is_posted_within_five_seconds_after_a_store_failure_during_the_reconciliation() -> None:
    """The store fails for 3 s. Card and direct message of a new request do not wait for the end of the lease."""
    world, store = failing_world()
    await world.rows.requeue(world.aws.add())
    store.fail(lambda before, after: bool(after.surfaces) and not before.surfaces, loss=Loss.REFUSED, seconds=3)
    async with world.running():
        await pass_outage(world, store)
        assert [each.kind for each in world.chat.sent.values()] == ["post", "direct"]
        await world.clock.advance(timedelta(minutes=2).total_seconds())
    assert len(world.chat.of("post")) == 1
