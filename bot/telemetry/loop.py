"""Measures the delay of the event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from prometheus_client import Histogram

PERIOD = 0.5  # seconds between two measurements


class LoopWatch:
    """Sleeps, and records the delay of each wake-up in `stall`. Work that blocks the event loop delays this task.

    `monotonic` returns a time in seconds.
    """

    def __init__(
        self,
        stall: Histogram,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stall, self._monotonic, self._sleep = stall, monotonic, sleep

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self.measure()

    async def measure(self) -> None:
        """Sleep for PERIOD seconds, and record how much later than that the sleep ended."""
        began = self._monotonic()
        await self._sleep(PERIOD)
        self._stall.observe(max(0.0, self._monotonic() - began - PERIOD))
