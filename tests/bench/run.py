"""One run of all figures: the real `serve` process, and AWS, Microsoft and the load in this process.

`python -m tests.bench` makes three runs. A part is named by the number of its row in the table of figures.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

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
from tests.bench.table import Values
from tests.fakes.people import TARO
from tests.fakes.product import product

PARTS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")
IDLE = 10.0  # seconds of idleness that are measured


async def run(parts: Iterable[str]) -> Values:
    """Measure the named parts once."""
    parts, began = set(parts), time.process_time()
    values = rendering.measure() if "8" in parts else {}
    if parts & {"1", "2", "3", "5", "7"}:
        values |= await _served(parts)
    if "5" in parts:
        with tempfile.TemporaryDirectory() as name:
            values |= await on_dynamodb.measure(measured_core(), Path(name))
    if "6" in parts:
        values |= {**await sweep.measure(measured_core()), **await trail.measure()}
    if "4" in parts:
        values |= await at_once.measure()
    if "9" in parts:
        values |= {**await rosters.measure(), **await members.measure(measured_core())}
    return {**values, "fakes_s": time.process_time() - began}


async def _served(parts: set[str]) -> Values:
    """Measure everything that needs one process with an almost empty store."""
    values: Values = {}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with product(patch, folder) as world, Servers(measured_core()) as servers:
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
                values |= await cards.measure(world, served)
                values |= await intake.measure(world)
    return values


async def _idle(served: Served) -> Values:
    """Return memory, and CPU seconds a minute, without work."""
    before = served.cpu()
    await asyncio.sleep(IDLE)
    return {"idle_mib": served.resident(), "idle_cpu_s": (served.cpu() - before) * 60 / IDLE}
