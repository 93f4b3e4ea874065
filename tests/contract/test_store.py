"""The contract of `ports.store.Store`, which every store fulfils."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit import AuditEntry
from bot.domain.digest_post import DigestPost
from bot.domain.history import term_subject
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Node, RequestKey, Status
from bot.ports.store import MOST_APPENDED, MOST_IN_PAGE, Change, PersonalChat, Replica, Store, StoreUnavailable
from bot.store import rows
from tests.contract.stores import KINDS, Shelf
from tests.fakes.aws import TARO, key_of
from tests.fakes.store import LastWriteWinsStore, MemoryStore, all_watched

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
KEY = key_of(1)
OTHER_REGION = RequestKey(KEY.account, "us-east-1", KEY.ops_item_id)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode each row that is read, as a process does that did not write it."""
    monkeypatch.setattr(rows.RECENT, "keep", lambda *_: None)


@pytest.fixture(params=KINDS)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """Empty data, for each kind of store in turn."""
    shelf = KINDS[request.param](tmp_path)
    yield shelf
    await shelf.close()


@pytest.fixture
async def store(shelf: Shelf) -> Store:
    """The first store on the shelf."""
    return await shelf.open()


def counted(record: Record) -> Record:
    """Return the row with its counter increased by one. The counter shows whether a write was lost."""
    return replace(record, reconcile_failures=record.reconcile_failures + 1)


def due_at(moment: datetime | None) -> Change:
    """Return a change that sets the time of the next reconciliation."""
    return lambda record: replace(record, requeue_at=moment)


def with_status(status: Status) -> Change:
    """Return a change that gives the row a request with this status."""
    return lambda record: replace(record, request=AccessRequest(record.key, status, TARO, Node("i-02999bd501754105a")))


class Refused(Exception):
    """An error that a change raises."""


def refuse(_record: Record) -> Record:
    raise Refused


# --- rows


async def test_empty_store_has_no_rows(store: Store) -> None:
    """A new store has no rows, personal chats or audit entries, and no row is due."""
    assert await store.load(KEY) is None
    assert await store.next_due() is None
    assert not [*await store.due(NOW, 10), *(await all_watched(store)).rows, *await store.find("oi-x")]
    assert not [*await store.personal_chats(), *await store.audit(NOW)]


async def test_new_row_has_the_given_creation_time_and_version_1(store: Store) -> None:
    """The first change gets an empty row, which is stored as version 1."""
    written = await store.apply(KEY, counted, now=NOW)
    assert written == Record(KEY, NOW, version=1, reconcile_failures=1)
    assert await store.load(KEY) == written


async def test_each_write_increases_the_version_by_one(store: Store) -> None:
    """Versions count the writes without gaps."""
    versions = [(await store.apply(KEY, counted, now=NOW)).version for _ in range(4)]
    assert versions == [1, 2, 3, 4]


async def test_later_writes_do_not_change_the_creation_time_of_a_row(store: Store) -> None:
    """The field is `created_at`."""
    await store.apply(KEY, counted, now=NOW)
    assert (await store.apply(KEY, counted, now=NOW + SECOND)).created_at == NOW


async def test_unchanged_row_is_not_written(store: Store) -> None:
    """The same or an equal row keeps its version. An unchanged new row is not stored."""
    assert (await store.apply(KEY, lambda record: record, now=NOW)).version == 0
    assert await store.load(KEY) is None
    await store.apply(KEY, counted, now=NOW)
    assert (await store.apply(KEY, replace, now=NOW)).version == 1


async def test_error_that_a_change_raises_reaches_the_caller_and_nothing_is_written(store: Store) -> None:
    """A change that raises writes nothing, and its error reaches the caller."""
    with pytest.raises(Refused):
        await store.apply(KEY, refuse, now=NOW)
    assert await store.load(KEY) is None
    await store.apply(KEY, counted, now=NOW)
    with pytest.raises(Refused):
        await store.apply(KEY, refuse, now=NOW)
    assert await store.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)


async def test_change_that_raises_does_not_affect_concurrent_changes(store: Store) -> None:
    """Of concurrent changes only those that raise have no effect."""
    changes = [refuse if number % 3 == 0 else counted for number in range(30)]
    answers = await asyncio.gather(*(store.apply(KEY, change, now=NOW) for change in changes), return_exceptions=True)
    assert sum(isinstance(answer, Refused) for answer in answers) == 10
    assert (await store.load(KEY)) == Record(KEY, NOW, version=20, reconcile_failures=20)


async def test_written_and_read_rows_have_the_same_repr(store: Store) -> None:
    """A row is the same before and after storage: times are read in UTC, even if they were written in another zone."""
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    written = await store.apply(KEY, due_at(tokyo), now=tokyo)
    assert repr(written) == repr(await store.load(KEY))
    assert written.requeue_at is not None
    assert written.requeue_at.tzinfo is UTC


async def test_rows_of_one_ops_item_id_in_two_regions_are_separate(store: Store) -> None:
    """A change of one row does not change the row of the other Region."""
    await store.apply(KEY, counted, now=NOW)
    await store.apply(OTHER_REGION, due_at(NOW), now=NOW)
    assert (await store.load(KEY)) == Record(KEY, NOW, version=1, reconcile_failures=1)


# --- several writers


async def test_no_concurrent_write_is_lost(shelf: Shelf) -> None:
    """Two stores with 40 writers each write one row. The row gets 80 versions, and each writer gets a different one."""
    stores = [await shelf.open(), await shelf.open()]
    written = await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for store in stores for _ in range(40)))
    assert sorted(row.version for row in written) == list(range(1, 81))
    for store in stores:
        assert (await store.load(KEY)) == Record(KEY, NOW, version=80, reconcile_failures=80)


async def test_control_a_store_without_a_version_check_loses_concurrent_writes() -> None:
    """Control: a store that does not check versions overwrites concurrent writes."""
    store = LastWriteWinsStore()
    written = await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for _ in range(40)))
    assert sorted(row.version for row in written) != list(range(1, 41))


async def test_broken_fake_store_raises_store_unavailable() -> None:
    """With `broken`, the fake store raises StoreUnavailable, as a real store would."""
    store = MemoryStore()
    store.broken = True
    for call in (store.load(KEY), store.apply(KEY, counted, now=NOW), store.audit(NOW)):
        with pytest.raises(StoreUnavailable):
            await call


async def test_only_one_of_many_simultaneous_writers_gets_the_lease_of_a_row(shelf: Shelf) -> None:
    """Forty writers of two processes try to lease the same free row at the same time; one of them succeeds."""
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


async def test_write_is_visible_to_other_processes(shelf: Shelf) -> None:
    """An acknowledged write is visible to every process immediately."""
    one, other = await shelf.open(), await shelf.open()
    assert await other.load(KEY) is None
    await one.apply(KEY, counted, now=NOW)
    assert await other.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)
    await other.apply(KEY, due_at(NOW), now=NOW)
    assert await one.next_due() == NOW


async def test_cancelled_writers_leave_a_consistent_row(store: Store) -> None:
    """Cancelled writers have written completely or not at all; all others have written."""
    tasks = [asyncio.create_task(store.apply(KEY, counted, now=NOW)) for _ in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    done = sum(isinstance(answer, Record) for answer in answers)
    row = await store.load(KEY)
    assert row is not None
    assert 20 <= done <= row.version == row.reconcile_failures <= 40


# --- due rows, watched rows, and rows of an OpsItem id


async def test_due_rows_are_listed_longest_due_first(store: Store) -> None:
    """Only rows that are due now are listed."""
    for number, seconds in [(1, 0), (2, -60), (3, 1), (4, -30)]:
        await store.apply(key_of(number), due_at(NOW + seconds * SECOND), now=NOW)
    await store.apply(key_of(5), counted, now=NOW)
    assert list(await store.due(NOW, 10)) == [key_of(2), key_of(4), key_of(1)]
    assert list(await store.due(NOW, 2)) == [key_of(2), key_of(4)]
    assert await store.next_due() == NOW - 60 * SECOND


async def test_due_time_is_kept_to_the_microsecond(store: Store) -> None:
    """A row is not due one microsecond early."""
    moment = NOW + timedelta(microseconds=1)
    await store.apply(KEY, due_at(moment), now=NOW)
    assert list(await store.due(NOW, 1)) == []
    assert list(await store.due(moment, 1)) == [KEY]
    assert await store.next_due() == moment


async def test_row_without_a_due_time_is_not_due(store: Store) -> None:
    """After its due time is removed, the row is not listed."""
    await store.apply(KEY, due_at(NOW), now=NOW)
    await store.apply(KEY, due_at(None), now=NOW)
    assert list(await store.due(NOW, 1)) == []
    assert await store.next_due() is None


@pytest.mark.parametrize("status", Status)
async def test_rows_are_watched_until_their_request_has_ended(store: Store, status: Status) -> None:
    """A row is listed as watched only if its request has not ended."""
    await store.apply(KEY, with_status(status), now=NOW)
    assert [row.key for row in (await all_watched(store)).rows] == ([] if status.ended else [KEY])


async def test_row_with_a_due_time_is_watched(store: Store) -> None:
    """An approved request is watched only while its row has a due time."""
    await store.apply(KEY, with_status(Status.APPROVED), now=NOW)
    await store.apply(KEY, due_at(NOW), now=NOW)
    await store.apply(key_of(2), counted, now=NOW)
    assert [row.key for row in (await all_watched(store)).rows] == [KEY]
    await store.apply(KEY, due_at(None), now=NOW)
    assert list((await all_watched(store)).rows) == []


async def test_watched_rows_are_listed_oldest_first(store: Store) -> None:
    """The order is that of creation."""
    for number, seconds in [(1, 2), (2, 0), (3, 1)]:
        await store.apply(key_of(number), due_at(NOW), now=NOW + seconds * SECOND)
    assert [row.key for row in (await all_watched(store)).rows] == [key_of(2), key_of(3), key_of(1)]


async def test_watched_rows_come_in_pages_that_are_read_outside_the_event_loop(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of ten thousand rows in one piece would stop the event loop, and all clicks, for seconds."""
    numbers = range(2 * MOST_IN_PAGE + 9)
    await asyncio.gather(*(store.apply(key_of(number), due_at(NOW), now=NOW) for number in numbers))
    in_loop: list[bool] = []
    decode = rows.decode

    def noted(*given: Any, **named: Any) -> Any:
        in_loop.append(threading.current_thread() is threading.main_thread())
        return decode(*given, **named)

    monkeypatch.setattr(rows, "decode", noted)
    pages = [page async for page in store.watched()]
    assert [row.key for page in pages for row in page.rows] == [key_of(number) for number in numbers]
    assert max(len(page.rows) for page in pages) <= MOST_IN_PAGE
    assert in_loop == ([] if isinstance(store, MemoryStore) else [False] * len(numbers))


async def test_watched_rows_of_one_account_and_region_are_listed_alone(store: Store) -> None:
    """Only rows of exactly the given account and Region are listed."""
    for key in (KEY, OTHER_REGION, key_of(2)):
        await store.apply(key, due_at(NOW), now=NOW)
    found = await all_watched(store, (KEY.account, "us-east-1"))
    assert [row.key for row in found.rows] == [OTHER_REGION]
    assert (await all_watched(store, (KEY.account, "us-east"))).rows == ()


async def test_watched_rows_whose_version_is_known_are_not_read(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these rows, only the keys are listed. A row that any process has written since, and a new row, are read."""
    store, other = await shelf.open(), await shelf.open()
    numbers = range(MOST_IN_PAGE + 9)
    written = await asyncio.gather(*(store.apply(key_of(number), due_at(NOW), now=NOW) for number in numbers))
    known = {row.key: row.version for row in written}
    changed = await other.apply(key_of(1), counted, now=NOW)
    ended = await other.apply(key_of(2), due_at(None), now=NOW)
    del known[key_of(3)]
    read: list[str] = []
    decode = rows.decode

    def noted(*given: Any, where: str) -> Any:
        read.append(where)
        return decode(*given, where=where)

    monkeypatch.setattr(rows, "decode", noted)
    found = await all_watched(store, known=known)
    assert found.rows == (changed, written[3])
    assert sorted(found.unchanged) == [key_of(number) for number in numbers if number not in {1, 2, 3}]
    assert ended.key not in found.unchanged
    assert read == ([] if isinstance(store, MemoryStore) else [f"request {each}" for each in (key_of(1), key_of(3))])


async def test_watched_rows_that_are_not_wanted_are_left_out_outside_the_event_loop(store: Store) -> None:
    """The keys of unchanged rows are listed all the same: they were not read."""
    written = [await store.apply(key_of(number), due_at(NOW), now=NOW) for number in range(4)]
    in_loop: list[bool] = []

    def wanted(row: Record) -> bool:
        in_loop.append(threading.current_thread() is threading.main_thread())
        return row.key == key_of(2)

    found = await all_watched(store, known={key_of(3): written[3].version}, wanted=wanted)
    assert (found.rows, found.unchanged) == ((written[2],), (key_of(3),))
    assert in_loop == [isinstance(store, MemoryStore)] * 3


async def test_rows_are_found_by_their_ops_item_id(store: Store) -> None:
    """The rows of every account and Region are found."""
    for key in (KEY, OTHER_REGION, key_of(2)):
        await store.apply(key, counted, now=NOW)
    assert [row.key for row in await store.find(KEY.ops_item_id)] == [KEY, OTHER_REGION]
    assert list(await store.find("'; DROP TABLE requests; --\ud800")) == []


# --- people and conversations


def chat_of(object_id: str, conversation: str = "a:1") -> PersonalChat:
    return PersonalChat(Person(object_id, "tenant", "佐藤 花子"), conversation, "https://smba.example.com/teams/")


async def test_personal_chats_are_stored_and_deleted(store: Store) -> None:
    """The latest chat of a person is returned until it is deleted. A second deletion is not an error."""
    await store.remember_chat(chat_of("b"))
    await store.remember_chat(chat_of("a", "a:0"))
    await store.remember_chat(chat_of("a", "a:2"))
    assert await store.personal_chat("a") == chat_of("a", "a:2")
    assert list(await store.personal_chats()) == [chat_of("a", "a:2"), chat_of("b")]
    await store.forget_chat("a")
    await store.forget_chat("a")
    assert await store.personal_chat("a") is None
    assert list(await store.personal_chats()) == [chat_of("b")]


async def test_personal_chats_are_found_by_object_ids_in_upper_or_lower_case(store: Store) -> None:
    """Microsoft writes the same id in lower or upper case."""
    await store.remember_chat(chat_of("aaaa-BBBB"))
    await store.remember_chat(chat_of("AAAA-bbbb", "a:2"))
    assert list(await store.personal_chats()) == [chat_of("AAAA-bbbb", "a:2")]
    assert await store.personal_chat("aaaa-bbbb") == chat_of("AAAA-bbbb", "a:2")
    await store.forget_chat("AAAA-BBBB")
    assert await store.personal_chat("aaaa-BBBB") is None


# --- the history


def facts_of(
    record: Record, *, node: str = "i-1", status: Status = Status.PENDING, at: datetime = NOW
) -> AccessRequest:
    """Return facts of a request for a node."""
    return AccessRequest(record.key, status, TARO, Node(node, name=f"name of {node}"), requested_at=at)


def asked_at(moment: datetime, *, node: str = "i-1", status: Status = Status.PENDING) -> Change:
    """Return a change that gives the row a request for a node, made at a moment."""
    return lambda record: replace(record, request=facts_of(record, node=node, status=status, at=moment))


async def listed_keys(store: Store, subject: str, *, since: datetime = NOW, limit: int = 10) -> list[RequestKey]:
    """Return the requests of a subject, in the order of the list."""
    return [each.key for each in await store.history(subject, since, limit)]


async def test_requests_are_listed_by_subject_newest_first_from_a_moment_on(store: Store) -> None:
    """A limit keeps the newest ones. Another subject has its own list."""
    for number in range(1, 6):
        await store.apply(key_of(number), asked_at(NOW + number * SECOND, node=f"i-{number % 2}"), now=NOW)
    subject = term_subject("Name of i-1")
    assert await listed_keys(store, subject) == [key_of(5), key_of(3), key_of(1)]
    assert await listed_keys(store, subject, since=NOW + 3 * SECOND) == [key_of(5), key_of(3)]
    assert await listed_keys(store, subject, limit=2) == [key_of(5), key_of(3)]
    assert await listed_keys(store, term_subject("i-0")) == [key_of(4), key_of(2)]
    assert await listed_keys(store, term_subject("i-9")) == []


async def test_list_shows_whether_access_was_granted_after_the_row_changed(store: Store) -> None:
    """The entry is the same; only its mark changes."""
    await store.apply(KEY, asked_at(NOW), now=NOW)
    (before,) = await store.history(term_subject("i-1"), NOW, 10)
    await store.apply(KEY, asked_at(NOW, status=Status.APPROVED), now=NOW)
    (after,) = await store.history(term_subject("i-1"), NOW, 10)
    assert (before.granted, after) == (False, replace(before, granted=True))


async def test_request_that_leaves_a_list_is_no_longer_granted_there(store: Store) -> None:
    """A store may keep the entry until it expires, but it counts nowhere as access that was granted."""
    await store.apply(KEY, asked_at(NOW, status=Status.APPROVED), now=NOW)
    await store.apply(KEY, asked_at(NOW, node="i-2", status=Status.APPROVED), now=NOW)
    assert not any(each.granted for each in await store.history(term_subject("i-1"), NOW, 10))
    assert await listed_keys(store, term_subject("i-2")) == [KEY]


async def test_moment_at_which_the_history_began_is_stored_once(shelf: Shelf) -> None:
    """A later call, also of another process, returns the first moment."""
    first, second = await shelf.open(), await shelf.open()
    assert await first.history_began(NOW) == NOW
    assert await second.history_began(NOW + SECOND) == NOW
    assert await first.history_began(NOW + SECOND) == NOW


async def test_several_rows_are_loaded_at_once_and_missing_ones_are_left_out(store: Store) -> None:
    """The order is not defined."""
    for number in (1, 2, 3):
        await store.apply(key_of(number), counted, now=NOW)
    found = await store.load_several([key_of(3), key_of(9), key_of(1)])
    assert {row.key for row in found} == {key_of(1), key_of(3)}
    assert list(await store.load_several([])) == []


async def test_latest_group_of_a_channels_team_is_returned(store: Store) -> None:
    """A later write replaces the group. Another channel has none."""
    assert await store.team_group("19:x") is None
    for group in ("one", "two"):
        await store.remember_team_group("19:x", group)
    assert await store.team_group("19:x") == "two"
    assert await store.team_group("19:y") is None


async def test_latest_service_url_of_a_conversation_is_returned(store: Store) -> None:
    """A conversation without a stored URL has none."""
    assert await store.service_url("19:x") is None
    for address in ("https://one.example.com/", "https://two.example.com/"):
        await store.remember_service_url("19:x", address)
    assert await store.service_url("19:x") == "https://two.example.com/"
    assert await store.service_url("19:y") is None


# --- weekly digests


async def test_only_one_process_stores_the_next_version_of_a_digest(shelf: Shelf) -> None:
    """Three processes claim at once, and one succeeds. The next version follows its version, and no older one."""
    stores = [await shelf.open() for _ in range(3)]
    first = DigestPost("19:x", "2026-W14", NOW, version=1, held_until=NOW + SECOND)
    claims = [replace(first, owner=owner) for owner in ("one", "two", "three")]
    written = await asyncio.gather(
        *(store.write_digest_post(claim) for store, claim in zip(stores, claims, strict=True))
    )
    assert sorted(written) == [False, False, True]
    for store in stores:
        assert await store.digest_post(first.name) == claims[written.index(True)]
    assert await stores[0].write_digest_post(replace(first, version=2, ended=True))
    assert not await stores[1].write_digest_post(replace(first, version=2))
    assert await stores[2].digest_post(first.name) == replace(first, version=2, ended=True)


async def test_digests_of_another_channel_or_week_are_separate(store: Store) -> None:
    """Each channel has one post for each week."""
    first = DigestPost("19:x", "2026-W14", NOW, version=1)
    for post in (first, replace(first, conversation="19:y"), replace(first, week="2026-W15")):
        assert await store.digest_post(post.name) is None
        assert await store.write_digest_post(post)
        assert await store.digest_post(post.name) == post


# --- the sweep and the audit trail


async def test_sweep_lease_of_a_region_has_one_owner_until_it_ends(shelf: Shelf) -> None:
    """An owner holds the lease of an account and Region until it ends, and may renew it. Other Regions are free."""
    one, other = await shelf.open(), await shelf.open()

    async def lease(store: Store, owner: str, at: datetime, region: str = KEY.region) -> bool:
        return await store.lease_sweep(KEY.account, region, owner, now=at, until=at + 2 * SECOND)

    assert await lease(one, "one", NOW)
    assert not await lease(other, "other", NOW + SECOND)
    assert await lease(other, "other", NOW, "us-east-1")
    assert await lease(one, "one", NOW + SECOND)
    assert not await lease(other, "other", NOW + 2 * SECOND)
    assert await lease(other, "other", NOW + 3 * SECOND)


async def test_sweep_lease_with_an_end_too_far_ahead_counts_as_over(shelf: Shelf) -> None:
    """A clock that was an hour ahead made the lease.

    A lease that ends a few seconds later than a new one would is still held.
    """
    store = await shelf.open()

    async def lease(owner: str, at: datetime) -> bool:
        return await store.lease_sweep(KEY.account, KEY.region, owner, now=at, until=at + 2 * SECOND)

    assert await lease("ahead", NOW + 3600 * SECOND)
    assert await lease("right", NOW)
    assert await lease("right", NOW + 4 * SECOND)
    assert not await lease("slow", NOW)
    assert await store.lease_sweep(KEY.account, KEY.region, "slow", now=NOW, until=NOW - SECOND) is False


async def test_only_one_of_many_simultaneous_callers_gets_the_sweep_lease(shelf: Shelf) -> None:
    """Two processes request the lease at the same time, twenty times each."""
    stores = [await shelf.open(), await shelf.open()]
    asking = [
        store.lease_sweep(KEY.account, KEY.region, f"{index}-{number}", now=NOW, until=NOW + SECOND)
        for index, store in enumerate(stores)
        for number in range(20)
    ]
    assert sum(await asyncio.gather(*asking)) == 1


async def test_latest_entry_of_each_running_process_is_listed(shelf: Shelf) -> None:
    """The latest entry of each process is returned. Entries from before the given time are not listed."""
    one, other = await shelf.open(), await shelf.open()
    await one.register_replica(Replica("b", frozenset({"x"}), NOW))
    await other.register_replica(Replica("a", frozenset(), NOW + SECOND))
    await one.register_replica(Replica("b", frozenset({"x", "y"}), NOW + 2 * SECOND))
    a, b = Replica("a", frozenset(), NOW + SECOND), Replica("b", frozenset({"x", "y"}), NOW + 2 * SECOND)
    assert await other.replicas(NOW + SECOND) == [a, b]
    assert await one.replicas(NOW + 2 * SECOND) == [b]


async def test_watermark_of_a_region_only_advances(store: Store) -> None:
    """The later watermark is kept, in any order of writing; each Region has its own."""
    assert await store.watermark(KEY.account, KEY.region) is None
    for seconds in (0, 5, 3):
        await store.advance_watermark(KEY.account, KEY.region, NOW + seconds * SECOND)
    assert await store.watermark(KEY.account, KEY.region) == NOW + 5 * SECOND
    assert await store.watermark(KEY.account, "us-east-1") is None


async def test_audit_entries_are_returned_in_order_of_time(store: Store) -> None:
    """They are returned oldest first, from the given time on. Entries of one time are in order of writing.

    A character that UTF-8 cannot encode is stored as `?`.
    """
    entries = [AuditEntry(NOW + seconds * SECOND, f"event {seconds}") for seconds in (3, 1, 2)]
    entries += [AuditEntry(NOW + SECOND, "later", person_name="佐藤\ud800", detail="'; DROP TABLE audit; --")]
    await store.append_audit(*entries[:2])
    await store.append_audit(*entries[2:])
    assert [entry.event for entry in await store.audit(NOW + SECOND)] == ["event 1", "later", "event 2", "event 3"]
    assert [entry.event for entry in await store.audit(NOW + 2 * SECOND)] == ["event 2", "event 3"]
    assert [entry.person_name for entry in await store.audit(NOW)][1] == "佐藤?"


async def test_one_call_appends_many_audit_entries_in_order(store: Store) -> None:
    """The number is MOST_APPENDED."""
    entries = [AuditEntry(NOW, f"event {number}") for number in range(MOST_APPENDED)]
    await store.append_audit(*entries)
    assert list(await store.audit(NOW)) == entries
