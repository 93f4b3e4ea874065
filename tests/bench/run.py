"""One run of all figures: the real `serve` process, and AWS, Microsoft and the load in this process.

`python -m tests.bench` makes three runs. A part is named by the number of its row in the table of figures.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.bench import (
    at_once,
    cards,
    click,
    event,
    intake,
    invoke,
    members,
    on_dynamodb,
    rendering,
    rosters,
    sweep,
    trail,
)
from tests.bench.served import Served, Servers, measured_core, until
from tests.bench.table import Run, Values
from tests.bench.yardstick import Yardstick
from tests.fakes.people import TARO
from tests.fakes.product import product

PARTS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")
IDLE = 10.0  # seconds of idleness that are measured


async def run(parts: Iterable[str]) -> Run:
    """Measure the named parts once."""
    rows, began = frozenset(parts), time.process_time()
    core = measured_core()
    values, scales = Values(), Values()
    async with Yardstick(core) as yardstick:
        for names, measure in _MEASURES:
            if rows & names:
                found = await measure(rows & names, core)
                values |= found
                scales |= dict.fromkeys(found, await yardstick.scale())
    return Run({**values, "fakes_s": time.process_time() - began}, scales)


async def _served(parts: frozenset[str], core: int | None) -> Values:
    """Measure everything that needs one process with an almost empty store."""
    values: Values = {}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with product(patch, folder) as world, Servers(core) as servers:
            began = time.monotonic()
            served, bot = await servers.serve(world, folder)
            ready = {"ready_s": time.monotonic() - began, "ready_cpu_s": served.cpu()}
            await bot.wait_for_event("sweep_done")
            if "7" in parts:
                values |= {**ready, **await _idle(served)}
            card = await world.card(await world.ask())
            await until(lambda: bool(world.direct_messages(TARO)), seconds=30)
            if "1" in parts:
                values |= await invoke.measure(servers, world, served, card, folder)
            if "2" in parts:
                values |= await click.measure(world)
            if "3" in parts:
                values |= await event.measure(world)
            if "5" in parts:
                values |= await intake.measure(world)
    return values


async def _rendering(_parts: frozenset[str], _core: int | None) -> Values:
    return rendering.measure()


async def _cards(_parts: frozenset[str], core: int | None) -> Values:
    with tempfile.TemporaryDirectory() as name:
        return {**await cards.measure(core), **await on_dynamodb.measure(core, Path(name))}


async def _sweep(_parts: frozenset[str], core: int | None) -> Values:
    return await sweep.measure(core)


async def _trail(_parts: frozenset[str], _core: int | None) -> Values:
    return await trail.measure()


async def _at_once(_parts: frozenset[str], _core: int | None) -> Values:
    return await at_once.measure()


async def _members(_parts: frozenset[str], core: int | None) -> Values:
    return {**await rosters.measure(), **await members.measure(core)}


_MEASURES: Final[Sequence[tuple[frozenset[str], Callable[[frozenset[str], int | None], Awaitable[Values]]]]] = (
    (frozenset({"8"}), _rendering),
    (frozenset({"1", "2", "3", "5", "7"}), _served),
    (frozenset({"5"}), _cards),
    (frozenset({"6"}), _sweep),
    (frozenset({"6"}), _trail),
    (frozenset({"4"}), _at_once),
    (frozenset({"9"}), _members),
)
"""The rows of the table that are measured together, and how. The yardstick is read before and after each."""


async def _idle(served: Served) -> Values:
    """Return memory, and CPU seconds a minute, without work."""
    before = served.cpu()
    await asyncio.sleep(IDLE)
    return {"idle_mib": served.resident(), "idle_cpu_s": (served.cpu() - before) * 60 / IDLE}
