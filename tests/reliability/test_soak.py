"""Figure 20: ten thousand requests through their whole life, and the process is as it was after the first ones."""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from bot.store.sqlite.store import SqliteStore
from tests.figures import LONG, Figure, size
from tests.reliability.soaking import Measured, soak

WARM_UP = size(ci=40, long=2_500)  # the long one: until 2,048 tokens and 4,096 texts are remembered, which is the most
LIVES = size(ci=120, long=10_000)
GROWTH = 0.05  # of memory after warm-up
CONNECTIONS = 2  # that may be open at one moment and not at another, one in either direction
# that may stay: bounded caches still fill during a short run; of a request that is kept it would be dozens
OBJECTS_A_LIFE = size(ci=20, long=1)


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Write no log: a captured one would be what grows."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def unsettled(measured: Measured) -> dict[str, int]:
    """Name what is left of lives that are over; the loop that looks and the test itself are no leftovers."""
    left = {"watches": measured.watches, "rows": measured.rows}
    return {name: number for name, number in left.items() if number}


@pytest.mark.timeout(7200)
async def test_nothing_grows(tmp_path: Path, figure: Figure) -> None:
    """Memory grows by less than 5 % after warm-up, file descriptors and tasks stay, and nothing is left unsettled."""
    async with soak(tmp_path) as soaked:
        await soaked.live(WARM_UP)
        warm = await soaked.measured()
        await soaked.live(LIVES - WARM_UP)
        end = await soaked.measured()
    growth = end.resident / warm.resident - 1
    kept = (end.objects - warm.objects) / (LIVES - WARM_UP)
    figure(
        20,
        requests=soaked.lived,
        clicks_answered=soaked.statuses,
        resident_mib=f"{warm.resident / 2**20:.1f} -> {end.resident / 2**20:.1f}",
        growth=f"{growth:.2%}",
        objects_a_life=round(kept, 3),
        descriptors=f"{warm.descriptors} -> {end.descriptors}",
        tasks=f"{warm.tasks} -> {end.tasks}",
        unsettled=unsettled(end),
    )
    assert soaked.statuses == LIVES
    assert unsettled(end) == {}
    assert end.tasks <= warm.tasks
    assert end.descriptors <= warm.descriptors + CONNECTIONS
    assert kept < OBJECTS_A_LIFE
    assert growth < GROWTH or not LONG  # of so few lives the allocator's own ups and downs are more


class Hoarder(SqliteStore):
    """A defective store: it never forgets."""

    async def forget_expired(self, now: datetime) -> int:
        """Keep everything."""
        return 0


async def test_what_is_never_forgotten_is_told(tmp_path: Path) -> None:
    """The control: rows that a store keeps for ever are left over."""
    async with soak(tmp_path, kind=Hoarder) as soaked:
        await soaked.live(2)
        assert unsettled(await soaked.measured()) == {"rows": 2}


async def test_who_still_waits_is_told(tmp_path: Path) -> None:
    """The control: somebody who waits for a row without end is left over."""
    async with soak(tmp_path) as soaked:
        await soaked.live(2)
        soaked.world.rows._watches[soaked.world.aws.add(3)] = None  # type: ignore[assignment]  # only counted
        assert unsettled(await soaked.measured()) == {"watches": 1}
