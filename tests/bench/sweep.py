"""Figure 6: a sweep over many open requests of which none has changed.

One request gets its card in the usual way. Its row is then copied for the others, which AWS has as well.
"""

import asyncio
import math
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.jit.requests import AccessRequest
from bot.sandbox.aws.server import utc_now
from bot.sandbox.sandbox import free_port
from bot.store.sqlite.store import SqliteStore
from tests.bench.served import Served, Servers, until
from tests.bench.table import Values
from tests.fakes.people import HANAKO, TARO
from tests.fakes.processes import BotProcess
from tests.fakes.product import Product, product

REQUESTS = 10_000
AT_ONCE = 100  # rows in one transaction
AGO = timedelta(hours=2)  # so that AWS does not list them as modified since the last sweep
PERIOD = 60  # seconds between two sweeps, as by default
LISTS = frozenset({"DescribeOpsItems", "DescribeAutomationExecutions"})
STALL = re.compile(r'^node_access_loop_stall_seconds_bucket{le="([^"]+)"} (\S+)$', re.MULTILINE)
SWEPT_WITHIN = 600.0  # seconds; the simulated AWS needs most of them


async def measure(core: int | None, requests: int = REQUESTS) -> Values:
    """Return list calls, CPU and memory of one sweep, and its longest stall (the bound of its bucket)."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with product(patch, folder) as world:
            await first_card(world, folder, core)
            idle = await _idle(world, folder, core)
            await fill(world, requests)
            async with Servers(core) as servers:
                port = free_port()
                changed = {"NODE_ACCESS_SWEEP_SECONDS": str(PERIOD), "NODE_ACCESS_METRICS_PORT": str(port)}
                served, bot = await servers.serve(world, folder, **changed)
                swept = await _swept(world, served, bot, port)
                pending = await _pending(world, served, port)
    return {
        **pending,
        "sweep_lists": swept.lists,
        "sweep_us": 1e6 * swept.cpu / requests,
        "sweep_stall_ms": 1000 * swept.stall,
        "sweep_mib": swept.mib - idle,
    }


async def first_card(world: Product, folder: Path, core: int | None) -> None:
    """Post the card of one request."""
    async with Servers(core) as servers:
        _, bot = await servers.serve(world, folder)
        await world.card(await world.ask())
        await until(lambda: bool(world.direct_messages(TARO)), seconds=30)
        await asyncio.sleep(1)
        bot.terminate()
        await bot.ended()


async def _idle(world: Product, folder: Path, core: int | None) -> float:
    """Return the MiB of a process with one open request, after a sweep: it has loaded the same models of AWS."""
    async with Servers(core) as servers:
        served, bot = await servers.serve(world, folder)
        await sweeps(bot, 1)
        await asyncio.sleep(5)
        idle = served.resident()
        bot.terminate()
        await bot.ended()
    return idle


async def fill(world: Product, requests: int) -> None:
    """Add requests to AWS that nothing announces, and their rows."""
    (first,) = world.aws.state.all(account=world.aws.world.account, region=world.aws.world.region)
    world.aws.events.deliver(Delivery.NEVER)
    world.aws.state.now = lambda: utc_now() - AGO
    added = await asyncio.to_thread(_added, world, first, requests - 1)
    world.aws.state.now = utc_now
    world.aws.events.deliver(Delivery.ONCE)
    async with SqliteStore(world.store) as store:
        (row,) = await store.find(first.id)
        for start in range(0, len(added), AT_ONCE):
            await asyncio.gather(*(_copied(store, row, each) for each in added[start : start + AT_ONCE]))


def _added(world: Product, first: AccessRequest, count: int) -> list[AccessRequest]:
    return [
        world.aws.state.start(
            first.node_ids,
            f"{first.reason} {number}",
            account=first.account,
            region=first.region,
            by=first.requester,
        )
        for number in range(count)
    ]


async def _copied(store: SqliteStore, row: Record, request: AccessRequest) -> None:
    """Store the row of the first request for another one."""
    assert row.request is not None
    key = RequestKey(request.account, request.region, request.id)
    facts = replace(
        row.request,
        key=key,
        reason=request.reason,
        execution_id=request.execution_id,
        requested_at=request.created_at,
        modified_at=request.modified_at,
    )
    now = request.modified_at
    await store.apply(
        key, lambda new: replace(row, key=key, request=facts, version=new.version, observed_at=now), now=now
    )


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep cost: list calls, CPU seconds, the bound of the longest stall in seconds, and the peak of memory."""

    lists: int
    cpu: float
    stall: float
    mib: float


async def _swept(world: Product, served: Served, bot: BotProcess, port: int) -> Swept:
    """Measure the first sweep that is not full, from its first list call to its end."""
    async with asyncio.timeout(SWEPT_WITHIN):
        await sweeps(bot, 1)
        await asyncio.sleep(5)  # what the first sweep has made due
        while bot.events("sweep_done")[-1]["full"]:
            stalls, made = await _stalls(port), _lists(world)
            await until(lambda: _lists(world) > made, seconds=2 * PERIOD)  # noqa: B023  (called at once)
            before = served.cpu()
            async with _peak(served) as peak:
                await sweeps(bot, len(bot.events("sweep_done")) + 1)
            cpu, after = served.cpu() - before, await _stalls(port)
    return Swept(_lists(world) - made, cpu, _longest(stalls, after), peak[0])


async def sweeps(bot: BotProcess, number: int) -> None:
    """Wait for the end of this many sweeps since the start."""
    while len(bot.events("sweep_done")) < number:
        await bot.news.wait()


async def _pending(world: Product, served: Served, port: int) -> Values:
    """Measure an answer to `pending`: CPU, and the longest stall of the loop meanwhile. The second answer counts."""
    chat = world.microsoft.world.personal(HANAKO)
    for _ in range(2):
        answers, stalls, before = len(world.direct_messages(HANAKO)), await _stalls(port), served.cpu()
        await world.microsoft.post_message(served.url, HANAKO, chat, "pending")
        await until(lambda: len(world.direct_messages(HANAKO)) > answers, seconds=60)  # noqa: B023  (called at once)
        cpu = served.cpu() - before
        await asyncio.sleep(1)  # the watch of the loop measures twice a second
        stall = _longest(stalls, await _stalls(port))
    return {"pending_ms": 1000 * cpu, "pending_stall_ms": 1000 * stall}


def _lists(world: Product) -> int:
    return sum(each.operation in LISTS for each in world.aws.calls())


@asynccontextmanager
async def _peak(served: Served) -> AsyncIterator[list[float]]:
    """Sample the memory during the block. The list has the largest value, in MiB."""
    peak = [served.resident()]

    async def sample() -> None:
        while True:
            await asyncio.sleep(0.05)
            peak[0] = max(peak[0], served.resident())

    task = asyncio.create_task(sample())
    try:
        yield peak
    finally:
        task.cancel()


async def _stalls(port: int) -> dict[float, float]:
    """Return how many stalls the process has counted up to each bound in seconds."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return {float(bound): float(count) for bound, count in STALL.findall(await answer.text())}


def _longest(before: dict[float, float], after: dict[float, float]) -> float:
    """Return the smallest bound above all stalls between two readings, or the largest bound if one was longer."""
    counted = {bound: after[bound] - before[bound] for bound in after}
    return min(max(after.keys() - {math.inf}), *(bound for bound in counted if counted[bound] == counted[math.inf]))
