"""What every store promises, whatever it is made of: the contract of `ports.store.Store`."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bot.domain.audit import AuditEntry
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Node, RequestKey, Status
from bot.ports.store import Change, PersonalChat, Store, StoreUnavailable
from tests.contract.stores import KINDS, Shelf
from tests.fakes.aws import TARO, key_of
from tests.fakes.store import HeedlessStore, MemoryStore

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
KEY = key_of(1)
OTHER_REGION = RequestKey(KEY.account, "us-east-1", KEY.ops_item_id)
SECOND = timedelta(seconds=1)


@pytest.fixture(params=KINDS)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """Data of every kind of store, empty."""
    shelf = KINDS[request.param](tmp_path)
    yield shelf
    await shelf.close()


@pytest.fixture
async def store(shelf: Shelf) -> Store:
    """The first store on it."""
    return await shelf.open()


def counted(record: Record) -> Record:
    """Add one: of any number of these none may be lost."""
    return replace(record, reconcile_failures=record.reconcile_failures + 1)


def due_at(moment: datetime | None) -> Change:
    """Set the next moment to look."""
    return lambda record: replace(record, requeue_at=moment)


def with_status(status: Status) -> Change:
    """Take in a request of some status."""
    return lambda record: replace(record, request=AccessRequest(record.key, status, TARO, Node("i-02999bd501754105a")))


class Refused(Exception):
    """What a change may raise."""


def refuse(_record: Record) -> Record:
    raise Refused


# --- rows


async def test_what_was_never_written_is_not_there(store: Store) -> None:
    """An empty store has no rows and nothing due."""
    assert await store.load(KEY) is None
    assert await store.next_due() is None
    assert not [*await store.due(NOW, 10), *(await store.watched()).rows, *await store.find("oi-x")]
    assert not [*await store.personal_chats(), *await store.audit(NOW)]


async def test_a_new_row_is_made_at_the_moment_given(store: Store) -> None:
    """The first change gets an empty row; it is stored as version 1."""
    written = await store.apply(KEY, counted, now=NOW)
    assert written == Record(KEY, NOW, version=1, reconcile_failures=1)
    assert await store.load(KEY) == written


async def test_each_write_is_exactly_one_version_on(store: Store) -> None:
    """Versions count the writes without gaps: the row's own rules rely on it."""
    versions = [(await store.apply(KEY, counted, now=NOW)).version for _ in range(4)]
    assert versions == [1, 2, 3, 4]


async def test_the_birth_of_a_row_stays(store: Store) -> None:
    """Later writes do not move `created_at`."""
    await store.apply(KEY, counted, now=NOW)
    assert (await store.apply(KEY, counted, now=NOW + SECOND)).created_at == NOW


async def test_an_unchanged_row_is_not_written(store: Store) -> None:
    """The same row back, or an equal one, keeps its version; a new one left as it was made is not stored."""
    assert (await store.apply(KEY, lambda record: record, now=NOW)).version == 0
    assert await store.load(KEY) is None
    await store.apply(KEY, counted, now=NOW)
    assert (await store.apply(KEY, replace, now=NOW)).version == 1


async def test_what_a_change_raises_passes_through(store: Store) -> None:
    """A change that raises writes nothing, and its own error comes back."""
    with pytest.raises(Refused):
        await store.apply(KEY, refuse, now=NOW)
    assert await store.load(KEY) is None
    await store.apply(KEY, counted, now=NOW)
    with pytest.raises(Refused):
        await store.apply(KEY, refuse, now=NOW)
    assert await store.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)


async def test_one_who_raises_does_not_hinder_those_beside_them(store: Store) -> None:
    """Of changes at the same moment only those that raise have no effect."""
    changes = [refuse if number % 3 == 0 else counted for number in range(30)]
    answers = await asyncio.gather(*(store.apply(KEY, change, now=NOW) for change in changes), return_exceptions=True)
    assert sum(isinstance(answer, Refused) for answer in answers) == 10
    assert (await store.load(KEY)) == Record(KEY, NOW, version=20, reconcile_failures=20)


async def test_a_row_looks_the_same_written_and_read(store: Store) -> None:
    """Digests are taken of representations: moments come back in UTC, whatever zone they were written in."""
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    written = await store.apply(KEY, due_at(tokyo), now=tokyo)
    assert repr(written) == repr(await store.load(KEY))
    assert written.requeue_at is not None
    assert written.requeue_at.tzinfo is UTC


async def test_rows_do_not_touch_each_other(store: Store) -> None:
    """The same OpsItem id in another Region is another row."""
    await store.apply(KEY, counted, now=NOW)
    await store.apply(OTHER_REGION, due_at(NOW), now=NOW)
    assert (await store.load(KEY)) == Record(KEY, NOW, version=1, reconcile_failures=1)


# --- several writers


async def test_of_concurrent_writes_none_is_lost(shelf: Shelf) -> None:
    """Two processes with 40 writers each, on one row: 80 writes, 80 versions, each seen by exactly one writer."""
    stores = [await shelf.open(), await shelf.open()]
    written = await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for store in stores for _ in range(40)))
    assert sorted(row.version for row in written) == list(range(1, 81))
    for store in stores:
        assert (await store.load(KEY)) == Record(KEY, NOW, version=80, reconcile_failures=80)


async def test_a_store_that_heeds_no_version_loses_writes() -> None:
    """The test above is not blind: with the guard gone it would fail."""
    store = HeedlessStore()
    written = await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for _ in range(40)))
    assert sorted(row.version for row in written) != list(range(1, 41))


async def test_a_broken_store_raises_what_the_port_says() -> None:
    """The fake that breaks on demand breaks as a real one does."""
    store = MemoryStore()
    store.broken = True
    for call in (store.load(KEY), store.apply(KEY, counted, now=NOW), store.audit(NOW)):
        with pytest.raises(StoreUnavailable):
            await call


async def test_only_one_of_many_takes_what_is_there_once(shelf: Shelf) -> None:
    """A lease that only a free row gives is given once, whichever process asks."""
    stores = [await shelf.open(), await shelf.open()]

    async def take(store: Store, owner: str) -> bool:
        def leased(record: Record) -> Record:
            taken = record.leased_to(owner, now=NOW, span=SECOND)
            if taken is None:
                raise Refused
            return taken

        try:
            await store.apply(KEY, leased, now=NOW)
        except Refused:
            return False
        return True

    takers = [take(store, f"{index}-{number}") for index, store in enumerate(stores) for number in range(20)]
    assert sum(await asyncio.gather(*takers)) == 1


async def test_what_one_wrote_the_other_reads(shelf: Shelf) -> None:
    """A write that was answered is seen by every process at once."""
    one, other = await shelf.open(), await shelf.open()
    assert await other.load(KEY) is None
    await one.apply(KEY, counted, now=NOW)
    assert await other.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)
    await other.apply(KEY, due_at(NOW), now=NOW)
    assert await one.next_due() == NOW


async def test_giving_up_leaves_the_row_whole(store: Store) -> None:
    """Writers that are cancelled on the way have written or not; every other one has."""
    tasks = [asyncio.create_task(store.apply(KEY, counted, now=NOW)) for _ in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    done = sum(isinstance(answer, Record) for answer in answers)
    row = await store.load(KEY)
    assert row is not None
    assert 20 <= done <= row.version == row.reconcile_failures <= 40


# --- what is due, open, or asked for


async def test_due_rows_come_longest_due_first(store: Store) -> None:
    """What is due at this moment counts, what is due later does not."""
    for number, seconds in [(1, 0), (2, -60), (3, 1), (4, -30)]:
        await store.apply(key_of(number), due_at(NOW + seconds * SECOND), now=NOW)
    await store.apply(key_of(5), counted, now=NOW)
    assert list(await store.due(NOW, 10)) == [key_of(2), key_of(4), key_of(1)]
    assert list(await store.due(NOW, 2)) == [key_of(2), key_of(4)]
    assert await store.next_due() == NOW - 60 * SECOND


async def test_a_moment_is_kept_to_the_microsecond(store: Store) -> None:
    """A row is not due one microsecond before its moment."""
    moment = NOW + timedelta(microseconds=1)
    await store.apply(KEY, due_at(moment), now=NOW)
    assert list(await store.due(NOW, 1)) == []
    assert list(await store.due(moment, 1)) == [KEY]
    assert await store.next_due() == moment


async def test_a_row_without_an_appointment_is_not_due(store: Store) -> None:
    """Once the next look is taken away the row is not found any more."""
    await store.apply(KEY, due_at(NOW), now=NOW)
    await store.apply(KEY, due_at(None), now=NOW)
    assert list(await store.due(NOW, 1)) == []
    assert await store.next_due() is None


@pytest.mark.parametrize("status", Status)
async def test_rows_are_watched_until_their_request_has_ended(store: Store, status: Status) -> None:
    """A row is listed as watched while somebody can still decide."""
    await store.apply(KEY, with_status(status), now=NOW)
    assert [row.key for row in (await store.watched()).rows] == ([] if status.ended else [KEY])


async def test_a_row_is_watched_while_a_look_is_to_come(store: Store) -> None:
    """An approval whose access still runs may be revoked; one whose end was seen, and a request let go, is history."""
    await store.apply(KEY, with_status(Status.APPROVED), now=NOW)
    await store.apply(KEY, due_at(NOW), now=NOW)
    await store.apply(key_of(2), counted, now=NOW)
    assert [row.key for row in (await store.watched()).rows] == [KEY]
    await store.apply(KEY, due_at(None), now=NOW)
    assert list((await store.watched()).rows) == []


async def test_watched_rows_come_oldest_first(store: Store) -> None:
    """In the order of their birth."""
    for number, seconds in [(1, 2), (2, 0), (3, 1)]:
        await store.apply(key_of(number), due_at(NOW), now=NOW + seconds * SECOND)
    assert [row.key for row in (await store.watched()).rows] == [key_of(2), key_of(3), key_of(1)]


async def test_rows_are_found_by_their_ops_item_id(store: Store) -> None:
    """In whatever account and Region it is."""
    for key in (KEY, OTHER_REGION, key_of(2)):
        await store.apply(key, counted, now=NOW)
    assert [row.key for row in await store.find(KEY.ops_item_id)] == [KEY, OTHER_REGION]
    assert list(await store.find("'; DROP TABLE requests; --\ud800")) == []


# --- people and conversations


def chat_of(object_id: str, conversation: str = "a:1") -> PersonalChat:
    return PersonalChat(Person(object_id, "tenant", "佐藤 花子"), conversation, "https://smba.example.com/teams/")


async def test_chats_are_kept_and_forgotten(store: Store) -> None:
    """The latest chat of a person counts, until they are forgotten; forgetting twice is no error."""
    await store.remember_chat(chat_of("b"))
    await store.remember_chat(chat_of("a", "a:0"))
    await store.remember_chat(chat_of("a", "a:2"))
    assert await store.personal_chat("a") == chat_of("a", "a:2")
    assert list(await store.personal_chats()) == [chat_of("a", "a:2"), chat_of("b")]
    await store.forget_chat("a")
    await store.forget_chat("a")
    assert await store.personal_chat("a") is None
    assert list(await store.personal_chats()) == [chat_of("b")]


async def test_object_ids_are_the_same_in_any_case(store: Store) -> None:
    """Microsoft writes the same id now in small and now in capital letters."""
    await store.remember_chat(chat_of("aaaa-BBBB"))
    await store.remember_chat(chat_of("AAAA-bbbb", "a:2"))
    assert list(await store.personal_chats()) == [chat_of("AAAA-bbbb", "a:2")]
    assert await store.personal_chat("aaaa-bbbb") == chat_of("AAAA-bbbb", "a:2")
    await store.forget_chat("AAAA-BBBB")
    assert await store.personal_chat("aaaa-BBBB") is None


async def test_service_urls_are_kept(store: Store) -> None:
    """The latest address of a conversation counts."""
    assert await store.service_url("19:x") is None
    for address in ("https://one.example.com/", "https://two.example.com/"):
        await store.remember_service_url("19:x", address)
    assert await store.service_url("19:x") == "https://two.example.com/"
    assert await store.service_url("19:y") is None


# --- the sweep and the audit trail


async def test_one_sweeps_at_a_time(shelf: Shelf) -> None:
    """The right to sweep a place is one owner's until its end, and whoever has it renews it; other places are free."""
    one, other = await shelf.open(), await shelf.open()

    async def lease(store: Store, owner: str, at: datetime, region: str = KEY.region) -> bool:
        return await store.lease_sweep(KEY.account, region, owner, now=at, until=at + 2 * SECOND)

    assert await lease(one, "one", NOW)
    assert not await lease(other, "other", NOW + SECOND)
    assert await lease(other, "other", NOW, "us-east-1")
    assert await lease(one, "one", NOW + SECOND)
    assert not await lease(other, "other", NOW + 2 * SECOND)
    assert await lease(other, "other", NOW + 3 * SECOND)


async def test_of_many_that_want_to_sweep_one_may(shelf: Shelf) -> None:
    """Asked at the same moment by two processes, twenty times each."""
    stores = [await shelf.open(), await shelf.open()]
    asking = [
        store.lease_sweep(KEY.account, KEY.region, f"{index}-{number}", now=NOW, until=NOW + SECOND)
        for index, store in enumerate(stores)
        for number in range(20)
    ]
    assert sum(await asyncio.gather(*asking)) == 1


async def test_watermarks_only_advance(store: Store) -> None:
    """Of two sweepers the one that began later counts, whoever is written last; each Region has its own."""
    assert await store.watermark(KEY.account, KEY.region) is None
    for seconds in (0, 5, 3):
        await store.advance_watermark(KEY.account, KEY.region, NOW + seconds * SECOND)
    assert await store.watermark(KEY.account, KEY.region) == NOW + 5 * SECOND
    assert await store.watermark(KEY.account, "us-east-1") is None


async def test_the_audit_trail_is_in_order(store: Store) -> None:
    """Entries come oldest first, from the moment asked for on; equal moments in the order of writing."""
    entries = [AuditEntry(NOW + seconds * SECOND, f"event {seconds}") for seconds in (3, 1, 2)]
    entries += [AuditEntry(NOW + SECOND, "later", person_name="佐藤\ud800", detail="'; DROP TABLE audit; --")]
    for entry in entries:
        await store.append_audit(entry)
    assert [entry.event for entry in await store.audit(NOW + SECOND)] == ["event 1", "later", "event 2", "event 3"]
    assert [entry.event for entry in await store.audit(NOW + 2 * SECOND)] == ["event 2", "event 3"]
    assert [entry.person_name for entry in await store.audit(NOW)][1] == "佐藤?"
