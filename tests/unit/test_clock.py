"""Tests for the system clock, and for the clock that tests move by hand."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from bot.clock import SystemClock
from tests.fakes.clock import START, ManualClock, NeverQuiet, settled


async def test_system_clock_returns_utc() -> None:
    """Times have a time zone and increase, also as seconds since 1970. A sleep of zero or less ends immediately."""
    clock = SystemClock()
    before = datetime.now(UTC)
    await clock.sleep(0)
    await clock.sleep(-1)
    now = clock.now()
    assert now.tzinfo is UTC
    assert before <= now <= datetime.now(UTC)
    assert now.timestamp() <= clock.epoch() <= datetime.now(UTC).timestamp()


async def test_test_can_wait_for_a_sleeper() -> None:
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


async def test_sleeper_wakes_when_time_has_passed() -> None:
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


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
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


async def test_cancelled_sleeper_does_not_wake() -> None:
    """The clock skips the time of a cancelled sleeper."""
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await settled()
    task.cancel()
    await settled()
    assert clock.next_wake is None
    await clock.advance(2)
    assert task.cancelled()


async def test_sleep_of_zero_ends_without_time_passing() -> None:
    """Such a sleep ends although no one moves the clock."""
    await ManualClock().sleep(0)


async def test_tasks_that_never_wait_raise_an_error() -> None:
    """If a task runs without end while time stands still, NeverQuiet is raised, so the test does not hang."""

    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())
    with pytest.raises(NeverQuiet):
        await settled()
    task.cancel()
