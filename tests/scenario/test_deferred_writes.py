"""Changes that are stored with the next write of a row: other writes of the row neither lose nor repeat them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime

import pytest

from bot.domain.members import Members
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict
from bot.ports.store import Change, StoreUnavailable
from bot.service.rows import DEFERRED_BRIEFLY, Rows
from tests.fakes.chat import HANAKO
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, new_world
from tests.scenario.test_escalation import HOME, HOUR, LEADS_CHANNEL, card_in, world_of


class _Refused(Exception):
    """A write is refused, as the claim of a click that comes second."""


class _Slow(MemoryStore):
    """Each write takes some turns of the event loop, and so does its answer."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        await self._wait()
        written = await super().apply(key, change, now=now)
        await self._wait()
        return written

    async def _wait(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def _refuse(_: Record) -> Record:
    raise _Refused


def _requeue(row: Record) -> Record:
    return row.requeue_soon(row.created_at)


async def _write(rows: Rows, key: RequestKey, change: Change, until: asyncio.Event) -> None:
    writes: list[asyncio.Task[Record]] = []
    while not until.is_set():
        writes.append(asyncio.create_task(rows.apply(key, change)))
        await asyncio.sleep(0)
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(each, Record | _Refused) for each in results)


@asynccontextmanager
async def _writing(rows: Rows, key: RequestKey, change: Change) -> AsyncIterator[None]:
    """Write a row again and again during the block. Each write begins while others are in progress."""
    over = asyncio.Event()
    writing = asyncio.create_task(_write(rows, key, change, over))
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
    async with _writing(world.rows, key, _refuse):
        await world.reconciler.reconcile(key)
    row = await world.row(key)
    assert row.request is not None
    assert [(each.name, each.unconfirmed_posts) for each in row.surfaces if not each.activity_id] == []


async def test_incomplete_read_beside_other_writes_counts_once() -> None:
    """Other writes of the row are in progress when an incomplete read is stored: it is one failure, not several."""
    world = new_world(store=_Slow())
    key = world.aws.add()
    world.aws.requests[key] = replace(world.aws.requests[key], complete=False)
    await world.rows.requeue(key)
    async with _writing(world.rows, key, _requeue):
        await world.reconciler.reconcile(key)
    assert (await world.row(key)).reconcile_failures == 1


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


async def test_change_that_is_deferred_briefly_is_stored_with_the_next_write() -> None:
    """It costs no write of its own if another one comes soon."""
    world = new_world()
    row = await world.row(await world.posted())
    async with _waiting_for(world, row.key) as found:
        world.rows.defer_briefly(row, _requeue)
        await world.rows.apply(row.key, lambda record: replace(record, reconcile_failures=3))
        await world.clock.advance(1)
        assert (await world.row(row.key)).version == row.version + 1
        assert found.done()


async def test_change_that_is_deferred_briefly_does_not_wait_for_a_slow_delivery() -> None:
    """No write of the row follows, but a click that waits for the change is answered."""
    world = new_world()
    row = await world.row(await world.posted())
    async with _waiting_for(world, row.key) as found:
        world.rows.defer_briefly(row, _requeue)
        await world.clock.advance(DEFERRED_BRIEFLY)
        assert found.done()


@asynccontextmanager
async def _waiting_for(world: World, key: RequestKey) -> AsyncIterator[asyncio.Task[Record | None]]:
    """Wait, like a click, until the row has the change of `_requeue`."""
    wanted = _requeue(row := await world.row(key)).requeue_at
    assert row.requeue_at != wanted
    found = asyncio.create_task(world.rows.wait(key, lambda each: each.requeue_at == wanted, seconds=60))
    await asyncio.sleep(0)
    yield found
    found.cancel()


class _FailingOnce(MemoryStore):
    """Fails at one write: `left` writes come before it."""

    left = 1_000

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        self.left -= 1
        if self.left == -1:
            raise StoreUnavailable("fails once")
        return await super().apply(key, change, now=now)


@pytest.mark.parametrize("number", range(4))
async def test_one_failed_write_posts_no_message_of_a_new_request_again(number: int) -> None:
    """The store fails once, at any of the four writes after an event: the card and the message are posted once."""
    world = new_world(store=(store := _FailingOnce()))
    key = world.aws.add()
    await world.rows.requeue(key)
    await _reconciled_twice(world, store, key, number)
    assert len(world.chat.of("post")) == len(world.chat.of("direct")) == 1


@pytest.mark.parametrize("number", range(7))
async def test_one_failed_write_posts_no_message_of_a_decision_again(number: int) -> None:
    """The store fails once, at any write after a decision in the console: its note and the message are posted once."""
    world = new_world(store=(store := _FailingOnce()))
    key = await world.posted()
    world.aws.decide(key, Verdict.APPROVE)
    await world.rows.requeue(key)
    await _reconciled_twice(world, store, key, number)
    assert (len(world.chat.of("reply")), len(world.chat.of("direct"))) == (1, 2)


async def _reconciled_twice(world: World, store: _FailingOnce, key: RequestKey, number: int) -> None:
    store.left = number
    with suppress(StoreUnavailable):
        await world.reconciler.reconcile(key)
    assert store.left < 0
    await world.clock.advance(1)
    await world.shown(key)
