"""How the costs grow with requests, ended rows, members, channels, accounts and Regions, and replicas.

In this process over fakes. The exponent is the slope of cost against size, both as logarithms: 0 is a cost that does not
depend on the size, 1 one that grows with it. Calls of Python functions are the same in every run; those of the store's
own thread are not counted, but its CPU is.
"""

import asyncio
import math
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final

from bot.domain.request import Status
from bot.domain.routing import Account
from bot.service.incoming import IncomingMessage
from bot.store.sqlite.store import SqliteStore
from tests.bench.members import people as japanese
from tests.fakes.aws import key_of
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.clock import ManualClock
from tests.fakes.many_channels import ManyChannels
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.work import function_calls_during
from tests.fakes.world import World, current_configuration, new_world

Work = Callable[[], Awaitable[object]]
Setting = Callable[[int], AbstractAsyncContextManager[Work]]
REPEATS: Final = 3  # the fastest counts
NUMBERS: Final = count(10_000_000)  # of new requests


@dataclass(frozen=True, slots=True)
class Growth:
    """The cost of one operation at each size: calls of Python functions, and milliseconds of CPU."""

    operation: str
    grows_with: str
    sizes: tuple[int, ...]
    calls: tuple[int, ...]
    cpu_ms: tuple[float, ...]

    @property
    def exponents(self) -> tuple[float, float]:
        """The slopes of calls and CPU."""
        return exponent(self.sizes, self.calls), exponent(self.sizes, self.cpu_ms)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the slope of a line through the logarithms of sizes and costs."""
    return linear_regression([math.log(each) for each in sizes], [math.log(max(each, 1e-6)) for each in costs]).slope


# --- the operations


async def _card(world: World) -> None:
    """Post the card of a new request, as after its event."""
    key = world.aws.add(next(NUMBERS), reason="障害の調査です。@member.7@example.com さん、確認をお願いします")
    await world.rows.requeue(key)
    await world.reconciler.reconcile(key)
    assert (await world.row(key)).cards


@asynccontextmanager
async def _stored(size: int, *, ended: bool) -> AsyncIterator[World]:
    """Return a world whose SQLite store has this many rows, copies of one that is open or has ended."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.db"
        async with SqliteStore(file) as store:
            world = new_world(store=store)
            key = world.aws.add(1)
            await world.rows.requeue(key)
            await world.reconciler.reconcile(key)
            if ended:
                world.aws.end(key, Status.REJECTED)
                await world.rows.requeue(key)
                await world.reconciler.reconcile(key)
        await asyncio.to_thread(_multiply, file, key.ops_item_id, size)
        if not ended:
            request = world.aws.requests[key]
            for number in range(2, size + 1):
                world.aws.requests[key_of(number)] = replace(request, key=key_of(number))
        async with SqliteStore(file) as store:
            world = replace(world, store=store)
            world.build()
            yield world


def _multiply(file: Path, ops_item: str, size: int) -> None:
    """Copy the only row of a store until there are `size` of them."""
    with sqlite3.connect(file) as rows:
        columns = [name for _, name, *_ in rows.execute("PRAGMA table_info(requests)")]
        changed = {"key", "ops_item_id", "record"}
        selected = [f"replace({each}, :old, printf('oi-%012x', n))" if each in changed else each for each in columns]
        rows.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < :size) "
            f"INSERT INTO requests ({', '.join(columns)}) SELECT {', '.join(selected)} FROM numbers, requests",
            {"old": ops_item, "size": size},
        )
    rows.close()


@asynccontextmanager
async def card_among_open(size: int) -> AsyncIterator[Work]:
    """A new card while many requests are open."""
    async with _stored(size, ended=False) as world:
        yield lambda: _card(world)


@asynccontextmanager
async def card_among_ended(size: int) -> AsyncIterator[Work]:
    """A new card while the store has many ended rows."""
    async with _stored(size, ended=True) as world:
        yield lambda: _card(world)


@asynccontextmanager
async def poll_among_ended(size: int) -> AsyncIterator[Work]:
    """A search for due rows while the store has many ended rows."""
    async with _stored(size, ended=True) as world:

        async def poll() -> None:
            assert await world.store.due(world.clock.now(), 8) == []
            await world.store.next_due()

        yield poll


@asynccontextmanager
async def sweep_of_open(size: int) -> AsyncIterator[Work]:
    """A sweep that finds nothing new."""
    async with _stored(size, ended=False) as world:
        yield world.sweep.sweep


@asynccontextmanager
async def pending_of_open(size: int) -> AsyncIterator[Work]:
    """The command `pending` in the personal chat of an approver."""
    async with _stored(size, ended=False) as world:
        yield lambda: world.commands.answer(IncomingMessage("pending", HANAKO, "a:hanako", personal=True))


@asynccontextmanager
async def card_among_members(size: int) -> AsyncIterator[Work]:
    """A new card in a channel of many members with Japanese names. The reason mentions one of them."""
    crowd = [person(each, other.name) for each, other in enumerate(japanese(size), start=100)]
    named = replace(crowd[7], upn="member.7@example.com")
    world = new_world(people=[HANAKO, ICHIRO, TARO_PERSON, *crowd[:7], named, *crowd[8:]])
    yield lambda: _card(world)


@asynccontextmanager
async def look_up_in_channels(size: int) -> AsyncIterator[Work]:
    """A search for people by name in the rosters of many channels, which are read."""
    teams, names = ManyChannels(ManualClock()), frozenset({HANAKO.upn or ""})
    async with teams.directory(size) as people:
        reading = asyncio.create_task(people.known(names))
        await teams.clock.advance(size)
        assert (await reading).complete
        yield lambda: people.known(names)


@asynccontextmanager
async def sweep_of_places(size: int) -> AsyncIterator[Work]:
    """A sweep of many accounts and Regions without requests: ten Regions in each account, or one."""
    regions = tuple(f"us-east-{number}" for number in range(1, min(size, 10) + 1))
    accounts = tuple(Account(f"{number:012d}", regions) for number in range(1, max(1, size // 10) + 1))
    configuration = current_configuration()
    configuration.replace(replace(configuration.value, accounts=accounts))
    world = new_world(configuration=configuration)
    yield world.sweep.sweep


@asynccontextmanager
async def minute_of_replicas(size: int) -> AsyncIterator[Work]:
    """An idle minute of several processes on one store: polls, and the sweeps that they share."""
    first, tables = new_world(), Tables()
    worlds = [
        replace(first, store=MemoryStore(tables), owner=f"replica-{number}", sharing=size) for number in range(size)
    ]

    async def minute() -> None:
        loops = [asyncio.create_task(loop) for each in worlds for loop in (each.reconcile_loop.run(), each.sweep.run())]
        await first.clock.advance(60)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    yield minute


SETTINGS: Final[tuple[tuple[str, str, tuple[int, ...], Setting], ...]] = (
    ("card", "open requests", (1000, 10_000), card_among_open),
    ("sweep", "open requests", (1000, 10_000), sweep_of_open),
    ("pending", "open requests", (1000, 10_000), pending_of_open),
    ("card", "ended rows", (1000, 100_000), card_among_ended),
    ("search for due rows", "ended rows", (1000, 100_000), poll_among_ended),
    ("card with a mention", "members", (10, 1000, 10_000), card_among_members),
    ("search by name", "channels", (1, 100), look_up_in_channels),
    ("sweep without requests", "accounts x Regions", (1, 20, 100), sweep_of_places),
    ("idle minute", "replicas", (1, 3), minute_of_replicas),
)


async def measure() -> list[Growth]:
    """Measure each operation at each of its sizes."""
    found = []
    for operation, grows_with, sizes, setting in SETTINGS:
        costs = [await _cost(setting, size) for size in sizes]
        found.append(
            Growth(operation, grows_with, sizes, tuple(calls for calls, _ in costs), tuple(cpu for _, cpu in costs))
        )
        print(".", end="", flush=True)
    print()
    return found


async def _cost(setting: Setting, size: int) -> tuple[int, float]:
    """Return the function calls, and the fewest milliseconds of CPU, of an operation at one size."""
    async with setting(size) as work:
        await work()  # fills what is cached
        calls, fastest = await function_calls_during(work()), math.inf
        for _ in range(REPEATS):
            began = time.process_time()
            await work()
            fastest = min(fastest, 1000 * (time.process_time() - began))
    return calls, fastest


def rows(found: Sequence[Growth]) -> list[dict[str, Any]]:
    """Return the table for the JSON file."""
    return [
        {
            "operation": each.operation,
            "grows_with": each.grows_with,
            "sizes": each.sizes,
            "calls": each.calls,
            "cpu_ms": each.cpu_ms,
            "exponents": each.exponents,
        }
        for each in found
    ]


def text(found: Sequence[Growth]) -> str:
    """Return the table as aligned text."""
    head = ("operation", "with", "sizes", "function calls", "exponent", "ms CPU", "exponent")
    cells = [head, *map(_cells, found)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cells(growth: Growth) -> tuple[str, ...]:
    calls, cpu = growth.exponents
    return (
        growth.operation,
        growth.grows_with,
        _listed(f"{each:,}" for each in growth.sizes),
        _listed(f"{each:,}" for each in growth.calls),
        f"{calls:.2f}",
        _listed(f"{each:.3g}" for each in growth.cpu_ms),
        f"{cpu:.2f}",
    )


def _listed(values: Any) -> str:
    return " / ".join(values)
