"""Changes that are stored with the next write of a row: other writes of the row neither lose nor repeat them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change
from bot.service.rows import Rows
from tests.fakes.store import MemoryStore
from tests.fakes.world import new_world


class _Refused(Exception):
    """A write is refused, as the claim of a click that comes second."""


class _Slow(MemoryStore):
    """Each write takes some turns of the event loop."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        for _ in range(5):
            await asyncio.sleep(0)
        return await super().apply(key, change, now=now)


def _refuse(_: Record) -> Record:
    raise _Refused


async def _refused_writes(rows: Rows, key: RequestKey, until: asyncio.Event) -> None:
    writes: list[asyncio.Task[Record]] = []
    while not until.is_set():
        writes.append(asyncio.create_task(rows.apply(key, _refuse)))
        await asyncio.sleep(0)
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(each, _Refused) for each in results)


@asynccontextmanager
async def _refused_writes_of(rows: Rows, key: RequestKey) -> AsyncIterator[None]:
    over = asyncio.Event()
    writing = asyncio.create_task(_refused_writes(rows, key, over))
    try:
        yield
    finally:
        over.set()
        await writing


async def test_refused_writes_beside_a_reconciliation_lose_nothing_of_it() -> None:
    """People click in vain while a card is posted: the row has what was read, and the id of every message."""
    world = new_world(store=_Slow())
    key = world.aws.add()
    await world.rows.requeue(key)
    async with _refused_writes_of(world.rows, key):
        await world.reconciler.reconcile(key)
    row = await world.row(key)
    assert row.request is not None
    assert [(each.name, each.unconfirmed_posts) for each in row.surfaces if not each.activity_id] == []
