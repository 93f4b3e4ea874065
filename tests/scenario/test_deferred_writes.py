"""Changes that are stored with the next write of a row: other writes of the row neither lose nor repeat them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from bot.domain.members import Members
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change
from bot.service.rows import Rows
from tests.fakes.chat import HANAKO
from tests.fakes.store import MemoryStore
from tests.fakes.world import new_world
from tests.scenario.test_escalation import HOME, HOUR, LEADS_CHANNEL, card_in, world_of


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


async def test_id_of_a_new_card_is_stored_before_anything_slow() -> None:
    """A second channel gets its card; then names for the requester's message are read, and the process ends."""
    home = replace(HOME, approvers=(f"user:{HANAKO.object_id}",))
    world = world_of(home)
    key = await world.posted()
    await world.clock.advance((2 * HOUR).total_seconds())
    reading = asyncio.Event()

    async def never(conversation: str) -> Members:
        if card_in(world, LEADS_CHANNEL) is None:
            return Members(world.people.rosters[conversation])
        reading.set()
        await asyncio.Event().wait()
        raise AssertionError

    setattr(world.people, "roster", never)  # noqa: B010  # a method
    reconciling = asyncio.create_task(world.reconciler.reconcile(key))
    await asyncio.wait({reconciling, asyncio.ensure_future(reading.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert reading.is_set()
    reconciling.cancel()
    await asyncio.gather(reconciling, return_exceptions=True)
    card = (await world.row(key)).surface("card:leads")
    assert card is not None
    assert card.activity_id is not None
