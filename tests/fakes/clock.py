"""A clock that a test moves by hand. Sleepers wake in the order of their times."""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
MOST_ROUNDS = 10_000  # beyond that, two tasks wake each other without end


class NeverQuiet(Exception):
    """Tasks kept running although time stood still."""


class ManualClock:
    """`ports.clock.Clock` whose time passes only in `advance`."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._new_sleeper = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def epoch(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has reached the end of the sleep. A sleep of zero or less only lets other tasks run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), woken))
        self._new_sleeper.set()
        await woken

    async def sleeper(self, *, within: float) -> None:
        """Wait until a task sleeps that wakes within these seconds. `advance` does not wait for sockets; this does."""
        while (wake := self.next_wake) is None or wake > self._now + timedelta(seconds=within):
            self._new_sleeper.clear()
            await self._new_sleeper.wait()

    async def advance(self, seconds: float) -> None:
        """Let time pass: wake one sleeper after the other at its time, and wait each time until all tasks wait."""
        until = self._now + timedelta(seconds=seconds)
        await settled()
        while self._sleepers and self._sleepers[0][0] <= until:
            moment, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue  # cancelled
            self._now = max(self._now, moment)
            woken.set_result(None)
            await settled()
        self._now = until
        await settled()

    def set_to(self, moment: datetime) -> None:
        """Set the clock forward or back, like a correction of the machine's clock. Sleeps last as long as before."""
        moved = moment - self._now
        self._now = moment
        self._sleepers = [(wake + moved, order, woken) for wake, order, woken in self._sleepers]  # in the same order

    @property
    def next_wake(self) -> datetime | None:
        """The time at which the next sleeper wakes, or None."""
        return min((moment for moment, _, woken in self._sleepers if not woken.done()), default=None)


async def turns_during(work: Awaitable[object]) -> int:
    """Do the work; return how often another task could run meanwhile. One long piece of work gives it no turn."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await work
    other.cancel()
    return turns


async def most_in_a_turn(work: Awaitable[object], handled: Counter[str]) -> int:
    """Do the work, which counts the items that it handles; return how many it handled at most before another task ran.

    Each key of the counter is one kind of handling, and counts for itself.
    """
    most = 0

    async def watch() -> None:
        nonlocal most
        before = Counter(handled)
        while True:
            await asyncio.sleep(0)
            most = max(most, *(handled - before).values(), 0)
            before = Counter(handled)

    other = asyncio.create_task(watch())
    await asyncio.sleep(0)  # it runs before the work begins
    await work
    await asyncio.sleep(0)  # it sees what the work did last
    other.cancel()
    return most


async def settled() -> None:
    """Run every task until all tasks wait. Raises NeverQuiet if they keep each other busy.

    Does not wait for threads and sockets.
    """
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # no public attribute has the ready tasks
    for _ in range(MOST_ROUNDS):
        await asyncio.sleep(0)
        if not ready:
            return
    raise NeverQuiet
