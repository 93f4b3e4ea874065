"""Sweeps every configured account and Region, so that lost events do no harm.

Each of these places has its own loop, so that a place that fails or hangs never delays other places.
"""

import asyncio

from bot.ports.store import Place
from bot.service.sources.place_sweep import PlaceSweep, SweepServices

SIDE_BY_SIDE = 8  # sweeps at once; each makes at most four calls at a time, and there are threads for all of them
SKIPPED_PAUSE = 5.0  # seconds before a process checks again whether a sweep is due


class Sweep:
    """The loops that sweep all configured accounts and Regions."""

    def __init__(self, services: SweepServices) -> None:
        self._clock, self._period = services.clock, services.period
        self._bound = asyncio.Semaphore(SIDE_BY_SIDE)
        reported: set[Place] = set()
        places = services.configuration.value.places
        self._sweeps = [PlaceSweep(place, services, reported=reported) for place in places]

    async def run(self) -> None:
        """Sweep every account and Region at the start, then each that no process has swept for `period` seconds.

        Ends only if it is cancelled.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for each in self._sweeps:
                    group.create_task(self._repeat(each))
        finally:
            await asyncio.gather(*(each.release() for each in self._sweeps))

    async def sweep(self) -> None:
        """Sweep every account and Region once, several at once. A failure is logged and stops no other sweep."""
        await asyncio.gather(*(self._sweep(each) for each in self._sweeps))

    async def _repeat(self, sweep: PlaceSweep) -> None:
        ours = await self._sweep(sweep)  # even after a recent sweep by another process, which may have died since
        while True:
            await self._clock.sleep(self._period if ours else min(self._period, SKIPPED_PAUSE))
            ours = await self._sweep(sweep, if_due=True)

    async def _sweep(self, sweep: PlaceSweep, *, if_due: bool = False) -> bool:
        async with self._bound:
            return await sweep.sweep(if_due=if_due)
