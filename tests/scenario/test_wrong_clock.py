"""A machine's clock was an hour ahead, or decades off. The leases, holds and pauses that it stored do not last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.decision import HOLD, LONGEST_HOLD, DecisionState, Outcome
from bot.domain.record import GONE_AFTER, LONGEST_RETRY
from bot.domain.request import RequestKey, Status
from bot.ports.teams import ChatUnavailable
from bot.service.clicks.click import Answer
from bot.service.deliver import retry_policy
from bot.teams.wire.errors import LONGEST_RETRY_AFTER
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.world import World, new_world

AHEAD = timedelta(hours=1)


@asynccontextmanager
async def corrected(world: World, *, sweep: bool = True) -> AsyncIterator[None]:
    """Set the clock back by an hour, and run a process in place of the killed one."""
    world.clock.set_to(world.clock.now() - AHEAD)
    world.owner = "replica-2"
    world.build()
    async with world.running():
        sweeping = asyncio.create_task(world.sweep.run() if sweep else asyncio.Event().wait())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)


async def killed_in(world: World, key: RequestKey, call: str) -> None:
    """Start a reconcile and end the process during a call to AWS or Teams."""
    outside = world.aws if call == "observe" else world.chat
    outside.gates[call] = asyncio.Event()
    await world.rows.requeue(key)
    reconciling = asyncio.create_task(world.reconciler.reconcile(key))
    await world.clock.advance(0)
    assert outside.arrived[call].is_set()
    reconciling.cancel()
    await asyncio.gather(reconciling, return_exceptions=True)
    del outside.gates[call]


async def approved(world: World, key: RequestKey, *, within: int) -> None:
    """Click Approve as Ichiro, again after each answer, until AWS has approved. Fail after `within` seconds."""
    clicks: list[asyncio.Task[Answer]] = []
    for _ in range(within):
        if not clicks or clicks[-1].done():
            clicks.append(asyncio.create_task(world.press(key, ICHIRO)))
        await world.clock.advance(1)
        if world.aws.requests[key].status is Status.APPROVED:
            await world.clock.advance(3)  # the time of the last answer
            await asyncio.gather(*clicks)
            return
    raise AssertionError(f"not approved within {within} s")


@pytest.mark.parametrize("sweep", [True, False], ids=["sweep", "no sweep"])
@pytest.mark.parametrize(("call", "within"), [("execution", 3), ("signal", 65)])
async def test_request_can_be_decided_after_a_crash_and_after_the_clock_was_set_back(
    call: str, within: int, *, sweep: bool
) -> None:
    """The crashed process stored its hold with a clock that was an hour ahead.

    An unsent decision is released immediately, and a sent one after a minute. A later click decides.
    """
    world = new_world()
    key = await world.posted()
    await world.crash_in(world.pressed(key, HANAKO), call)
    async with corrected(world, sweep=sweep):
        await approved(world, key, within=within)
    assert len(world.aws.effects) == 1
    states = [each.state for each in (await world.row(key)).decisions]
    assert states == [DecisionState.RELEASED, DecisionState.CONFIRMED]


async def test_decision_whose_click_is_in_the_future_is_never_sent() -> None:
    """By the corrected clock, the click is in the future, so its age is unknown. The decision is released unsent."""
    world = new_world()
    key = await world.posted()
    await world.crash_in(world.pressed(key, HANAKO), "execution")
    async with corrected(world):
        await world.clock.advance(5)
    (decision,) = (await world.row(key)).decisions
    assert (decision.state, decision.outcome) == (DecisionState.RELEASED, Outcome.EXPIRED)
    assert world.aws.count("signal") == 0


async def test_signal_is_not_sent_if_the_clock_is_set_back_during_the_state_check() -> None:
    """The age of the check is unknown, so it allows no signal."""
    world = new_world()
    key = await world.posted()
    async with world.running():
        world.aws.gates["execution"] = gate = asyncio.Event()
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        world.clock.set_to(world.clock.now() - AHEAD)
        gate.set()
        await world.clock.advance(AHEAD.total_seconds() + 60)
        await click
    assert world.aws.count("signal") == 0


@pytest.mark.parametrize("year", [1970, 2099])
@pytest.mark.parametrize("crash", ["", "execution", "signal"])
async def test_request_can_be_decided_after_a_clock_that_was_decades_off_was_corrected(year: int, crash: str) -> None:
    """The machine started with an empty clock battery: the rows, the sweep and any crashed decision have its times.

    With the right clock, a new request gets its card, and a click on the first one's card decides.
    """
    world = new_world()
    right = world.clock.now()
    key = world.aws.add(requested_at=right, modified_at=right)
    world.clock.set_to(datetime(year, 1, 1, 0, 1, tzinfo=UTC))
    async with swept(world):
        await world.clock.advance(70)
        assert len(world.chat.of("post")) == 1
    if crash:
        await world.crash_in(world.pressed(key, HANAKO), crash)
    world.clock.set_to(right + AHEAD)
    world.owner = "replica-2"
    world.build()
    async with swept(world):
        world.aws.add(2)
        await world.clock.advance(130)
        assert len(world.chat.of("post")) == 2
        await approved(world, key, within=3)
    assert len(world.aws.effects) == 1


@asynccontextmanager
async def swept(world: World) -> AsyncIterator[None]:
    """Run the reconcile loop and the sweep."""
    async with world.running():
        sweeping = asyncio.create_task(world.sweep.run())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)


@pytest.mark.parametrize("call", ["observe", "post"])
async def test_card_is_posted_after_a_crash_and_after_the_clock_was_set_back(call: str) -> None:
    """The crashed process has the lease for an hour, by the corrected clock. The first sweep makes the request due."""
    world = new_world()
    key = world.aws.add()
    await killed_in(world, key, call)
    async with corrected(world):
        await world.clock.advance(1)
        assert len(world.chat.of("post")) == 1


async def test_postponed_card_is_posted_within_a_second_after_the_clock_was_set_back() -> None:
    """The wrong clock set the time of the next attempt, now an hour away. The card still comes within a second."""
    world = new_world()
    key = world.aws.add()
    world.chat.before["post"].append(ChatUnavailable("no_answer", ambiguous=False))
    await world.shown(key)
    async with corrected(world):
        await world.clock.advance(1)
        assert len(world.chat.of("post")) == 1


async def test_request_that_aws_no_longer_has_becomes_gone_although_the_clock_was_set_back() -> None:
    """The stored time of the first failed read is now in the future, so the ten minutes count from the next read."""
    world = new_world()
    key = await world.posted()
    del world.aws.requests[key]
    await world.shown(key)
    async with corrected(world):
        await world.clock.advance(GONE_AFTER.total_seconds() + 120)
    row = await world.row(key)
    assert row.request is not None
    assert row.request.status is Status.GONE


def test_longest_retry_pause_and_longest_hold_are_within_the_limits_for_stored_times() -> None:
    """A stored time beyond the limit is ignored, as one that a clock that was ahead has stored."""
    pauses = [
        each for value in vars(retry_policy).values() for each in (value if isinstance(value, tuple) else [value])
    ]
    longest = max(each for each in pauses if isinstance(each, timedelta))
    assert longest + timedelta(seconds=LONGEST_RETRY_AFTER) < LONGEST_RETRY
    assert HOLD <= LONGEST_HOLD


async def test_request_whose_row_was_leased_is_reconciled_soon_after_the_clock_was_set_back() -> None:
    """A process waits while another one has the row's lease. The clock is set back an hour, and the card comes in 5 s."""
    world = new_world()
    key = world.aws.add()
    await world.rows.lease(key, "another process")
    await world.rows.requeue(key)
    async with world.running():
        await world.clock.advance(0.5)
        assert world.aws.count("observe") == 0
        world.clock.set_to(world.clock.now() - AHEAD)
        await world.rows.requeue(key)
        await world.clock.advance(5)
    assert len(world.chat.of("post")) == 1
