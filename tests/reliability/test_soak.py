"""Figure 20: after many complete requests, the process uses no more resources than after the warm-up."""

from datetime import datetime
from pathlib import Path

import pytest

from bot.store.sqlite.store import SqliteStore
from tests.figures import LONG, Figure, size
from tests.reliability.soaking import Measured, soak

pytestmark = pytest.mark.usefixtures("silence")  # the captured log would count as growth

WARM_UP = size(ci=70, long=2_500)  # `ci` fills the caches of rows and cards, `long` also 2,048 tokens and 4,096 texts
LIVES = size(ci=110, long=10_000)
GROWTH = 0.05  # allowed share of growth in memory after the warm-up
CONNECTIONS = 2  # allowed difference in open connections, one in each direction
# Objects that may remain for each request: in a short run the bounded caches still fill. A request that is never
# deleted keeps dozens.
OBJECTS_A_LIFE = size(ci=20, long=1)


def unsettled(measured: Measured) -> dict[str, int]:
    """Return how many rows remain after all requests have ended, and how many have a waiting caller (`watches`)."""
    left = {"watches": measured.watches, "rows": measured.rows}
    return {name: number for name, number in left.items() if number}


@pytest.mark.timeout(7200)
async def test_resources_of_the_process_do_not_grow_with_the_number_of_requests(tmp_path: Path, figure: Figure) -> None:
    """After the warm-up, no descriptors, tasks, rows or waiting callers accumulate.

    A request leaves fewer objects than one that is never deleted. At full size, memory grows by less than 5%.
    """
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
    assert growth < GROWTH or not LONG  # in a short run the allocator's variation is larger


class Hoarder(SqliteStore):
    """A defective store: it never deletes expired rows."""

    async def forget_expired(self, now: datetime) -> int:
        """Delete no row."""
        return 0


async def test_control_rows_that_are_never_deleted_are_counted(tmp_path: Path) -> None:
    """Negative control: the store never deletes rows."""
    async with soak(tmp_path, kind=Hoarder) as soaked:
        await soaked.live(2)
        assert unsettled(await soaked.measured()) == {"rows": 2}


async def test_control_caller_that_waits_for_a_row_forever_is_counted(tmp_path: Path) -> None:
    """Negative control: the caller is among the waiting ones after all requests have ended."""
    async with soak(tmp_path) as soaked:
        await soaked.live(2)
        soaked.world.rows._watches[soaked.world.aws.add(3)] = None  # type: ignore[assignment]  # only counted
        assert unsettled(await soaked.measured()) == {"watches": 1}
