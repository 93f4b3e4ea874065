"""Tests for the system clock, and for the clock that tests move by hand."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from bot.clock import SystemClock
from tests.fakes.clock import START, ManualClock, NeverQuiet, settled


async def test_system_clock_returns_ascending_times_in_utc() -> None:
    """Times have a time zone and increase, also as seconds since 1970. A sleep of zero or less ends immediately."""
    clock = SystemClock()
    before = datetime.now(UTC)
    await clock.sleep(0)
    await clock.sleep(-1)
    now = clock.now()
    assert now.tzinfo is UTC
    assert before <= now <= datetime.now(UTC)
    assert now.timestamp() <= clock.epoch() <= datetime.now(UTC).timestamp()


async def test_sleeper_of_the_manual_clock_waits_for_a_task_that_wakes_in_time() -> None:
    """`sleeper` waits until a task sleeps that wakes in time. Longer sleeps do not count."""
    clock = ManualClock()
    long = asyncio.create_task(clock.sleep(60))
    waiting = asyncio.create_task(clock.sleeper(within=5))
    await settled()
    assert not waiting.done()
    short = asyncio.create_task(clock.sleep(5))
    await waiting
    await clock.advance(60)
    await asyncio.gather(long, short)


async def test_sleep_of_the_manual_clock_ends_at_its_time() -> None:
    """A sleeper wakes when its time has come, not before."""
    clock, woken = ManualClock(), list[str]()

    async def sleeper() -> None:
        await clock.sleep(5)
        woken.append(f"{(clock.now() - START).total_seconds()}")

    task = asyncio.create_task(sleeper())
    await clock.advance(4.9)
    assert (woken, clock.next_wake) == ([], START + timedelta(seconds=5))
    await clock.advance(0.2)
    assert (woken, clock.now()) == (["5.0"], START + timedelta(seconds=5.1))
    await task


async def test_sleeps_of_the_manual_clock_end_in_the_order_of_their_times() -> None:
    """Sleepers with the same time wake in the order in which they started. They may sleep again."""
    clock, woken = ManualClock(), list[tuple[str, float]]()

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, (clock.now() - START).total_seconds()))

    naps: list[tuple[str, list[float]]] = [("a", [3, 3]), ("b", [2, 2, 2]), ("c", [6])]
    tasks = [asyncio.create_task(sleeper(name, *each)) for name, each in naps]
    await clock.advance(10)
    assert woken == [("b", 2), ("a", 3), ("b", 4), ("c", 6), ("a", 6), ("b", 6)]
    await asyncio.gather(*tasks)


async def test_manual_clock_skips_a_cancelled_sleep() -> None:
    """The clock has no next time to wake a task."""
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await settled()
    task.cancel()
    await settled()
    assert clock.next_wake is None
    await clock.advance(2)
    assert task.cancelled()


async def test_manual_clock_sleep_of_zero_ends_without_time_passing() -> None:
    """Such a sleep ends although no one moves the clock."""
    await ManualClock().sleep(0)


async def test_waiting_for_idle_tasks_fails_if_a_task_never_waits() -> None:
    """If a task runs without end while time stands still, NeverQuiet is raised, so the test does not hang."""

    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())
    with pytest.raises(NeverQuiet):
        await settled()
    task.cancel()
