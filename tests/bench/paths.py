"""What one operation costs on each of the program's four main paths: CPU time, and calls to AWS, Teams and the store.

    python -m tests.bench.paths

It prints a JSON line for each path, for `tests.bench.comparing`.

- invoke: a click on Refresh, over HTTP from the endpoint to the answer: token, activity, row and card.
- click: a click on Approve over fakes: claim, state check, signal, answer, and the decided card.
- event: a message from the queue over fakes, until card and direct message are posted.
- sweep: a sweep over fakes that finds nothing new, with ROWS open requests.

CPU time is that of this process, fakes and HTTP client included; it is comparable only on one machine. The counts are
the same in every run. This module must run in the checkout of an earlier commit as well (`tests.bench.comparing`), so
it uses only what the fakes have had for long.
"""

import asyncio
import gc
import inspect
import itertools
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bot.service.clicks.click import Verb
from bot.service.sources.intake import Intake
from bot.store.sqlite.store import SqliteStore
from bot.telemetry.logs import configure_logging
from tests.fakes.chat import HANAKO
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO as SIGNED_IN
from tests.fakes.queue import MemoryQueue
from tests.fakes.store import PORT, MemoryStore
from tests.fakes.world import World, new_world
from tests.reliability.soaking import soak

ROWS: Final = 1000  # open requests in the sweep
BATCHES: Final = 6  # the first warms up; the fastest of the others counts, because other programs only slow one down
IN_BATCH: Final = {"invoke": 40, "click": 25, "event": 25, "sweep": 1}  # operations
BY_TIME: Final = frozenset({"due", "next_due", "append_audit"})  # polls and batches: their number depends on the time


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operation costs: CPU microseconds, and calls. Those of BY_TIME are not counted."""

    path: str
    cpu_us: float
    aws: float
    teams: float
    store: float


class Counted:
    """Counts the calls of a store's port, for a class that also derives from a store."""

    counted = 0

    def __getattribute__(self, name: str) -> Any:
        if name in PORT and name not in BY_TIME:
            self.counted += 1
        return super().__getattribute__(name)


class CountedMemoryStore(Counted, MemoryStore):
    """The store of the fakes, with a count."""


class CountedSqliteStore(Counted, SqliteStore):
    """A SQLite file, with a count."""


Calls = tuple[int, int, int]  # to AWS, Teams and the store, so far


async def _cost(path: str, batch: Callable[[], Awaitable[object]], calls: Callable[[], Calls]) -> Cost:
    """Run the batches. Garbage is collected between them, not in them."""
    fastest = float("inf")
    for number in range(BATCHES):
        if number == 1:
            before = calls()
        gc.collect()
        gc.disable()
        began = time.process_time()
        await batch()
        took = time.process_time() - began
        gc.enable()
        fastest = min(fastest, took) if number else fastest
    operations = IN_BATCH[path]
    made = [(after - start) / operations / (BATCHES - 1) for after, start in zip(calls(), before, strict=True)]
    return Cost(path, round(fastest / operations * 1e6), *(round(each, 3) for each in made))


async def invoke(folder: Path) -> Cost:
    """Measure clicks on Refresh over HTTP."""
    async with soak(folder, kind=CountedSqliteStore) as running:
        world, microsoft = running.world, running.microsoft
        key = world.aws.add()
        await world.rows.requeue(key)
        card = await _first_card(microsoft)
        place = f"{card.conversation};messageid={card.root}"
        await world.reconcile_loop.drain()

        async def batch() -> None:
            for _ in range(IN_BATCH["invoke"]):
                data = {"request": str(key), "step": "Level1"}
                status, _ = await microsoft.post_invoke(running.url, SIGNED_IN, place, Verb.REFRESH, data)
                assert status == 200

        def calls() -> Calls:
            return len(world.aws.calls), len(microsoft.calls), running.store.counted  # type: ignore[attr-defined]  # a CountedSqliteStore

        return await _cost("invoke", batch, calls)


async def _first_card(microsoft: FakeMicrosoft) -> Any:
    """Wait for the card and the direct message, and return the card's message."""
    while len(microsoft.world.messages) < 2:  # noqa: ASYNC110  # measured only afterwards
        await asyncio.sleep(0.05)
    return microsoft.world.messages[0]


@asynccontextmanager
async def _over_fakes(requests: int) -> AsyncIterator[tuple[World, list[Any], Callable[[], Calls]]]:
    """Run the services over fakes, with open requests. Yields also their keys, and the count of calls."""
    store = CountedMemoryStore()
    world = new_world(store=store)
    keys = await world.posted_many(requests)

    def calls() -> Calls:
        return len(world.aws.calls), sum(world.chat.asked.values()), store.counted

    await world.clock.advance(60)  # nothing is due any more
    yield world, keys, calls


async def click(_: Path) -> Cost:
    """Measure decisions over fakes."""
    async with _over_fakes(BATCHES * IN_BATCH["click"]) as (world, keys, calls), world.running():
        left = iter(keys)

        async def batch() -> None:
            for _ in range(IN_BATCH["click"]):
                await world.press(next(left), HANAKO)
            await world.clock.advance(5)

        return await _cost("click", batch, calls)


async def event(_: Path) -> Cost:
    """Measure events of new requests over fakes."""
    async with _over_fakes(1) as (world, _keys, calls), world.running():
        queue = MemoryQueue(world.clock)
        intake, numbers = _intake(world, queue), itertools.count(2)

        async def batch() -> None:
            for _ in range(IN_BATCH["event"]):
                queue.send(world.aws.add(next(numbers)))
                await intake.take()
            await world.clock.advance(5)

        return await _cost("event", batch, calls)


def _intake(world: World, queue: MemoryQueue) -> Intake:
    """Return the intake of a queue. That of an earlier commit takes fewer services."""
    services: dict[str, Any] = {
        "queue": queue,
        "rows": world.rows,
        "clock": world.clock,
        "configuration": world.configuration,
        "telemetry": world.telemetry,
        "outcomes": getattr(world, "outcomes", None),
    }
    return Intake(**{name: services[name] for name in inspect.signature(Intake).parameters})


async def sweep(_: Path) -> Cost:
    """Measure sweeps that find nothing new, over fakes."""
    async with _over_fakes(ROWS) as (world, _keys, calls):
        return await _cost("sweep", world.sweep.sweep, calls)


PATHS: Final = (invoke, click, event, sweep)


async def _measure() -> None:
    for path in PATHS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(await path(Path(folder)))), flush=True)


if __name__ == "__main__":
    with Path(os.devnull).open("w") as log:
        configure_logging(format="json", level="info", stream=log)  # logs are a part of the cost
        asyncio.run(_measure())
