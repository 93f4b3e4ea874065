"""Guarantees of the DynamoDB store beyond the contract: lost replies, late indexes, limits, its table, its errors."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit import AuditEntry
from bot.domain.digest_post import DigestPost
from bot.domain.history import term_subject
from bot.domain.record import KEPT, KEPT_UNREAD, Record
from bot.ports.store import MOST_IN_PAGE, Replica, RowUnreadable, StoreDamaged, StoreUnavailable, Watched
from bot.store.dynamodb.calls import CALL_SECONDS, THREADS
from bot.store.dynamodb.items import MOST_BYTES, WRITES_KEPT, RowTooLarge, row_key
from bot.store.dynamodb.reading import MOST_AT_ONCE
from bot.store.dynamodb.store import PATIENCE, SECONDS, DynamoStore
from bot.store.dynamodb.table import SCHEMA_KEY, TableRefused, definition
from tests.contract.stores import DynamoShelf
from tests.contract.test_store import SECOND, asked_at, chat_of, counted, due_at
from tests.contract.test_store_trail import claimed
from tests.fakes.aws import key_of
from tests.fakes.dynamodb import REGION, DynamoEnvironment, FakeDynamo
from tests.fakes.store import all_watched

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
KEY, OTHER = key_of(1), key_of(2)
SHORT = 0.05  # seconds until the impatient store stops repeating calls
CONDITION = ("ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues")
Call = Callable[[DynamoStore], Coroutine[Any, Any, object]]


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[DynamoShelf]:
    """A new table of the shared server, whose faults are removed afterwards."""
    shelf = DynamoShelf(tmp_path)
    yield shelf
    shelf.server.heal()
    await shelf.close()


@pytest.fixture
def server(shelf: DynamoShelf) -> FakeDynamo:
    """Return the fake DynamoDB that has the table."""
    return shelf.server


@pytest.fixture
async def store(shelf: DynamoShelf) -> DynamoStore:
    """Return an open store on the table."""
    return await shelf.open()


@pytest.fixture
async def impatient(shelf: DynamoShelf) -> DynamoStore:
    """A store that repeats calls only for a short time."""
    shelf.patience = SHORT
    return await shelf.open()


@contextmanager
def hurried(store: DynamoStore) -> Iterator[None]:
    """Let the store's calls time out soon. Only for calls to a table that hangs: a busy machine takes as long."""
    patient, store._seconds = store._seconds, 0.2
    try:
        yield
    finally:
        store._seconds = patient


@pytest.fixture
def by_hand(server: FakeDynamo, shelf: DynamoShelf) -> "Hand":
    """Access to the shelf's table without the store, as with the AWS command line."""
    return Hand(server.client(), shelf.table)


class Hand:
    """Calls to one table that bypass the store."""

    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def __call__(self, operation: str, **params: Any) -> Any:
        return getattr(self._client, operation)(TableName=self._table, **params)

    def item(self, number: int = 1) -> dict[str, Any]:
        found: dict[str, Any] = self("get_item", Key=row_key(key_of(number)))["Item"]
        return found


EVERY_CALL: dict[str, Call] = {
    "load": lambda store: store.load(KEY),
    "apply": lambda store: store.apply(KEY, counted, now=NOW),
    "due": lambda store: store.due(NOW, 1),
    "next_due": lambda store: store.next_due(),
    "watched": all_watched,
    "find": lambda store: store.find(KEY.ops_item_id),
    "remember_chat": lambda store: store.remember_chat(chat_of("a")),
    "forget_chat": lambda store: store.forget_chat("a"),
    "personal_chat": lambda store: store.personal_chat("a"),
    "personal_chats": lambda store: store.personal_chats(),
    "remember_service_url": lambda store: store.remember_service_url("19:x", "https://smba.example.com/"),
    "load_several": lambda store: store.load_several([KEY]),
    "history": lambda store: store.history("term:x", NOW, 5),
    "history_began": lambda store: store.history_began(NOW),
    "remember_team_group": lambda store: store.remember_team_group("19:x", "group"),
    "team_group": lambda store: store.team_group("19:x"),
    "digest_post": lambda store: store.digest_post("2026-W14#19:x"),
    "write_digest_post": lambda store: store.write_digest_post(DigestPost("19:x", "2026-W14", NOW, version=1)),
    "service_url": lambda store: store.service_url("19:x"),
    "lease_sweep": lambda store: store.lease_sweep(KEY.account, KEY.region, "a", now=NOW, until=NOW + SECOND),
    "watermark": lambda store: store.watermark(KEY.account, KEY.region),
    "advance_watermark": lambda store: store.advance_watermark(KEY.account, KEY.region, NOW),
    "register_replica": lambda store: store.register_replica(Replica("a", frozenset(), NOW)),
    "replicas": lambda store: store.replicas(NOW),
    "append_audit": lambda store: store.append_audit(AuditEntry(NOW, "clicked")),
    "audit": lambda store: store.audit(NOW),
}


def puts_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the writes of a transaction."""
    return [each["Put"] for each in body.get("TransactItems", ())]


async def every_answer(store: DynamoStore) -> dict[str, object]:
    """Make every call of EVERY_CALL at the same time: those of the port that reach items. Return results and errors."""
    answers = await asyncio.gather(*(call(store) for call in EVERY_CALL.values()), return_exceptions=True)
    return dict(zip(EVERY_CALL, answers, strict=True))


# --- replies that were lost


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    "how", [{"cut": True}, {"error": (500, "InternalServerError")}, {"body": b'{"Attrib'}], ids=str
)
@pytest.mark.parametrize("times", [1, 3])
async def test_write_with_a_lost_reply_is_applied_once(
    store: DynamoStore, server: FakeDynamo, how: dict[str, Any], before: bool, times: int
) -> None:
    """The change is in the row once, whether or not the first write took effect, and whether or not the row is new."""
    for version in (1, 2):
        server.plan("PutItem", before=before, times=times, **how)
        assert (await store.apply(KEY, counted, now=NOW)).version == version
        assert await store.load(KEY) == Record(KEY, NOW, version=version, reconcile_failures=version)
        server.heal()


async def test_write_with_a_lost_reply_is_recognized_after_later_writes(shelf: DynamoShelf, store: DynamoStore) -> None:
    """Another process writes before this write is repeated: both changes are applied once."""
    other, loop = await shelf.open(), asyncio.get_running_loop()

    def overtake() -> None:
        asyncio.run_coroutine_threadsafe(other.apply(KEY, counted, now=NOW), loop).result()

    shelf.server.plan("PutItem", before=False, cut=True, meanwhile=overtake)
    assert (await store.apply(KEY, counted, now=NOW)).version == 1
    assert await store.load(KEY) == Record(KEY, NOW, version=2, reconcile_failures=2)


async def test_write_that_takes_effect_late_is_applied_once(
    store: DynamoStore, server: FakeDynamo, by_hand: Hand
) -> None:
    """DynamoDB answers 500 and stores the write just before its repetition. The change is in the row once."""
    late: list[dict[str, Any]] = []

    def land(body: dict[str, Any]) -> dict[str, Any]:
        (lost,) = [sent for operation, sent in server.calls[seen:] if operation == "PutItem" and sent is not body]
        late.append(lost)
        by_hand("put_item", **{name: lost[name] for name in ("Item", *CONDITION) if name in lost})
        return body

    seen = len(server.calls)
    server.plan("PutItem", error=(500, "InternalServerError"))
    server.plan("PutItem", change=land)
    assert (await store.apply(KEY, counted, now=NOW)).version == 1
    assert await store.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)
    assert len(late) == 1


async def test_write_with_an_unknown_result_is_not_repeated(
    store: DynamoStore, server: FakeDynamo, by_hand: Hand
) -> None:
    """After many later writes, a row no longer shows whether an earlier write took effect.

    The caller of that write gets an error, and the row is not written again.
    """

    def forget_it() -> None:
        names = " ".join(f"{50 + number}:x" for number in range(WRITES_KEPT))
        by_hand("put_item", Item={**by_hand.item(), "version": {"N": "90"}, "writes": {"S": names}})

    server.plan("PutItem", before=False, cut=True, meanwhile=forget_it)
    with pytest.raises(StoreUnavailable, match="a reply was lost"):
        await store.apply(KEY, counted, now=NOW)
    assert by_hand.item()["version"] == {"N": "90"}


async def test_row_keeps_the_names_of_a_limited_number_of_writes(store: DynamoStore, by_hand: Hand) -> None:
    """The list of write names does not grow with the row's age."""
    for _ in range(WRITES_KEPT + 3):
        await store.apply(KEY, counted, now=NOW)
    names = by_hand.item()["writes"]["S"].split()
    assert [name.partition(":")[0] for name in names] == [str(4 + number) for number in range(WRITES_KEPT)]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_every_call_to_the_table_with_a_lost_reply_is_repeated(
    store: DynamoStore, server: FakeDynamo, before: bool
) -> None:
    """Every call succeeds. The audit entry is stored once, the chat is deleted, and the change is in the row once."""
    await store.apply(KEY, due_at(NOW), now=NOW)
    for name, call in EVERY_CALL.items():
        fault = server.plan("*", before=before, cut=True)
        await call(store)
        assert fault.times == 0, name
    assert len(await store.audit(NOW)) == len(await store.personal_chats()) + 1 == 1
    assert await store.load(KEY) == Record(KEY, NOW, version=2, reconcile_failures=1, requeue_at=NOW)


async def test_sweep_lease_is_held_after_a_lost_reply(store: DynamoStore, server: FakeDynamo) -> None:
    """DynamoDB stores the lease, but its reply is lost. The repeated call finds that its owner has the lease."""
    server.plan("UpdateItem", before=False, cut=True)
    assert await store.lease_sweep(KEY.account, KEY.region, "a", now=NOW, until=NOW + SECOND)
    assert not await store.lease_sweep(KEY.account, KEY.region, "b", now=NOW, until=NOW + SECOND)


# --- several processes


async def test_control_without_the_condition_one_of_two_concurrent_writes_is_lost(shelf: DynamoShelf) -> None:
    """Control: the fault removes the condition from two writes of the same row."""
    stores = [await shelf.open(), await shelf.open()]
    both = threading.Barrier(2)

    def heedless(body: dict[str, Any]) -> dict[str, Any]:
        both.wait(10)
        return {name: value for name, value in body.items() if name not in CONDITION}

    shelf.server.plan("PutItem", times=2, change=heedless)
    written = await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for store in stores))
    assert [row.version for row in written] == [1, 1]
    assert await stores[0].load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)


async def test_concurrent_write_that_the_condition_refuses_is_applied_again(shelf: DynamoShelf) -> None:
    """Two processes write a row at the same time. In the end, both changes are stored."""
    stores = [await shelf.open(), await shelf.open()]
    both = threading.Barrier(2)

    def together(body: dict[str, Any]) -> dict[str, Any]:
        both.wait(10)
        return body

    shelf.server.plan("PutItem", times=2, change=together)
    written = await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for store in stores))
    assert sorted(row.version for row in written) == [1, 2]
    assert await stores[0].load(KEY) == Record(KEY, NOW, version=2, reconcile_failures=2)


async def test_write_whose_condition_never_holds_fails_after_its_time_limit(
    impatient: DynamoStore, server: FakeDynamo
) -> None:
    """The error names too many concurrent writes, and no row is written."""
    server.plan("PutItem", times=1000, error=(400, "ConditionalCheckFailedException"))
    with pytest.raises(StoreUnavailable, match="too many at once"):
        await impatient.apply(KEY, counted, now=NOW)
    assert await impatient.load(KEY) is None


async def test_concurrent_changes_of_a_row_share_writes(store: DynamoStore, server: FakeDynamo) -> None:
    """200 simultaneous changes of one row make only a few writes."""
    seen = len(server.calls)
    await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for _ in range(200)))
    assert server.operations(seen).count("PutItem") <= 5
    assert await store.load(KEY) == Record(KEY, NOW, version=200, reconcile_failures=200)


async def test_change_of_a_cancelled_caller_is_skipped_unless_the_change_has_begun(
    shelf: DynamoShelf, server: FakeDynamo, by_hand: Hand
) -> None:
    """A change whose caller was cancelled before it began is not made; one that has begun is made completely."""
    gate = threading.Event()
    async with shelf.closed() as store:  # leaving it completes everything that has begun
        fault = server.plan("PutItem", gate=gate)
        first = asyncio.ensure_future(store.apply(KEY, counted, now=NOW))
        await asyncio.to_thread(fault.reached.wait, 10)
        second = asyncio.ensure_future(store.apply(KEY, counted, now=NOW))
        await asyncio.sleep(0)
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        gate.set()
    assert by_hand.item()["version"] == {"N": "1"}


async def test_closing_the_store_completes_pending_writes(shelf: DynamoShelf, by_hand: Hand) -> None:
    """Changes requested before the store closes are answered and durable."""
    async with shelf.closed() as store:
        writes = [asyncio.ensure_future(store.apply(KEY, counted, now=NOW)) for _ in range(250)]
        await asyncio.sleep(0)
    assert sorted([(await write).version for write in writes]) == list(range(1, 251))
    assert by_hand.item()["version"] == {"N": "250"}


# --- an index that lags


NOTHING = b'{"Items": [], "Count": 0, "ScannedCount": 0}'


async def test_due_rows_that_the_store_wrote_are_returned_although_the_index_is_empty(
    store: DynamoStore, server: FakeDynamo
) -> None:
    """A row whose due time was removed is not due."""
    await store.apply(KEY, due_at(NOW), now=NOW)
    await store.apply(OTHER, due_at(NOW + SECOND), now=NOW)
    server.plan("Query", body=NOTHING, times=5)
    assert list(await store.due(NOW, 5)) == [KEY]
    assert await store.next_due() == NOW
    await store.apply(KEY, due_at(None), now=NOW)
    assert list(await store.due(NOW, 5)) == []
    assert await store.next_due() == NOW + SECOND
    assert list(await store.due(NOW + SECOND, 5)) == [OTHER]


async def test_row_that_is_due_or_watched_only_in_an_outdated_index_is_not_returned(
    shelf: DynamoShelf, store: DynamoStore, by_hand: Hand, server: FakeDynamo
) -> None:
    """The index lags behind the row."""
    other = await shelf.open()
    await store.apply(KEY, due_at(NOW), now=NOW)
    entry = {name: value for name, value in by_hand.item().items() if name in ("pk", "sk", "due", "due_at")}
    stale = json.dumps({"Items": [entry], "Count": 1}).encode()
    await store.apply(KEY, due_at(None), now=NOW)
    server.plan("Query", times=3, body=stale)
    assert [*await other.due(NOW, 5), *(await all_watched(other)).rows] == []
    assert await other.next_due() is None


async def test_all_reads_of_dynamodb_but_index_queries_are_consistent(store: DynamoStore, server: FakeDynamo) -> None:
    """GetItem and BatchGetItem are consistent, and so is Query, except on the indexes `due` and `watched`."""
    await store.apply(KEY, due_at(NOW), now=NOW)
    seen = len(server.calls)
    assert not any(isinstance(answer, Exception) for answer in (await every_answer(store)).values())
    reads = [(name, body) for name, body in server.calls[seen:] if name in {"GetItem", "Query", "BatchGetItem"}]
    assert {name for name, _ in reads} == {"GetItem", "Query", "BatchGetItem"}
    for name, body in reads:
        asked = body["RequestItems"].values() if name == "BatchGetItem" else [body]
        assert all(each.get("ConsistentRead") or each["IndexName"] in {"due", "watched"} for each in asked)


async def test_expressions_contain_no_attribute_name_but_placeholders(store: DynamoStore, server: FakeDynamo) -> None:
    """DynamoDB reserves hundreds of words, such as `owner` and `until`; no expression uses a name directly."""
    await store.apply(KEY, due_at(NOW), now=NOW)
    await every_answer(store)
    await store.apply(KEY, claimed("a"), now=NOW)
    bodies = [part for _, body in server.calls for part in (body, *puts_of(body))]
    expressions = [text for body in bodies for name, text in body.items() if name.endswith("Expression")]
    words = {word for text in expressions for word in re.findall(r"(?<![#:\w])[A-Za-z]\w*", text)}
    assert words == {"SET", "AND", "OR", "attribute_not_exists"}


# --- pages


async def test_audit_entries_beyond_one_page_are_all_read(store: DynamoStore, server: FakeDynamo) -> None:
    """A day's audit entries exceed the 1 MB that DynamoDB returns at a time.

    All entries of two days are returned in order.
    """
    entries = [AuditEntry(NOW + number * timedelta(hours=1), f"{number}", detail="x" * 90_000) for number in range(30)]
    for entry in entries:
        await store.append_audit(entry)
    seen = len(server.calls)
    assert list(await store.audit(NOW)) == entries
    assert any("ExclusiveStartKey" in body for _, body in server.calls[seen:])
    assert list(await store.audit(NOW + timedelta(hours=20))) == entries[20:]


async def test_rows_that_dynamodb_leaves_out_of_a_batch_are_requested_again(
    shelf: DynamoShelf, store: DynamoStore, server: FakeDynamo
) -> None:
    """Rows are read a page at a time. All of them are returned."""
    numbers = range(MOST_AT_ONCE + 9)
    await asyncio.gather(*(store.apply(key_of(number), due_at(NOW), now=NOW) for number in numbers))
    left_out = {"Keys": [row_key(key_of(number)) for number in range(3)], "ConsistentRead": True}
    answer: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {shelf.table: left_out}}
    server.plan("BatchGetItem", body=json.dumps(answer).encode())
    assert [row.key for row in (await all_watched(store)).rows] == [
        key_of(n) for n in (0, 1, 2, *numbers[MOST_IN_PAGE:])
    ]
    assert [row.key for row in (await all_watched(store)).rows] == [key_of(number) for number in numbers]
    assert len(await store.due(NOW, 105)) == 105


# --- the history


async def test_reading_a_history_costs_as_many_reads_as_it_returns_entries(
    store: DynamoStore, server: FakeDynamo
) -> None:
    """30 requests of one node and 30 of others: a list of ten is one query of ten items, and never a scan."""
    rows = [asked_at(NOW + number * SECOND, node=f"i-{number % 2}") for number in range(60)]
    await asyncio.gather(*(store.apply(key_of(number), change, now=NOW) for number, change in enumerate(rows)))
    seen = len(server.calls)
    found = await store.history(term_subject("i-1"), NOW, 10)
    assert [each.key for each in found] == [key_of(number) for number in range(59, 39, -2)]
    ((operation, query),) = server.calls[seen:]
    assert (operation, query["Limit"], query.get("IndexName")) == ("Query", 10, None)
    await store.load_several([each.key for each in found])
    assert server.operations(seen) == ["Query", "BatchGetItem"]


async def test_write_that_changes_no_entry_of_the_history_writes_no_entry(
    store: DynamoStore, server: FakeDynamo
) -> None:
    """The first write with facts lists the row in one transaction. Later ones are as cheap as without the history."""
    seen = len(server.calls)
    await store.apply(KEY, asked_at(NOW), now=NOW)
    assert server.operations(seen) == ["GetItem", "TransactWriteItems", "PutItem"]
    seen = len(server.calls)
    await store.apply(KEY, counted, now=NOW)
    assert server.operations(seen) == ["GetItem", "PutItem"]


async def test_row_of_an_earlier_version_is_listed_at_its_next_write(
    store: DynamoStore, by_hand: Hand, server: FakeDynamo
) -> None:
    """An earlier version stores the row without the mark of its entries, and lists nothing."""
    await store.apply(KEY, asked_at(NOW), now=NOW)
    item = by_hand.item()
    (entry,) = by_hand("query", **partition("history#term:i-1"))["Items"]
    by_hand("delete_item", Key={name: entry[name] for name in ("pk", "sk")})
    by_hand("put_item", Item={name: value for name, value in item.items() if name != "history"})
    assert await store.history(term_subject("i-1"), NOW, 10) == []
    await store.apply(KEY, counted, now=NOW)
    assert [each.key for each in await store.history(term_subject("i-1"), NOW, 10)] == [KEY]


async def test_row_is_listed_before_it_is_written_so_that_no_crash_loses_an_entry(
    impatient: DynamoStore, server: FakeDynamo
) -> None:
    """The write of the row fails after its entries were put. The entry leads to no row until the row is written."""
    server.plan("PutItem", times=1000, error=(400, "ConditionalCheckFailedException"))
    with pytest.raises(StoreUnavailable):
        await impatient.apply(KEY, asked_at(NOW), now=NOW)
    server.heal()
    (entry,) = await impatient.history(term_subject("i-1"), NOW, 10)
    assert list(await impatient.load_several([entry.key])) == []


async def test_entry_of_the_history_expires(store: DynamoStore, by_hand: Hand) -> None:
    """DynamoDB deletes it after 400 days, later than its row."""
    await store.apply(KEY, asked_at(NOW), now=NOW)
    (entry,) = by_hand("query", **partition("history#term:i-1"))["Items"]
    assert int(entry["expires_at"]["N"]) == int((NOW + timedelta(days=400)).timestamp())


def partition(pk: str) -> dict[str, Any]:
    """Return the query for a partition."""
    return {
        "KeyConditionExpression": "#pk = :pk",
        "ExpressionAttributeNames": {"#pk": "pk"},
        "ExpressionAttributeValues": {":pk": {"S": pk}},
    }


# --- expiry


async def test_row_that_is_not_watched_has_an_expiry_time(store: DynamoStore, by_hand: Hand) -> None:
    """The time is in whole seconds since 1970, rounded up. It is removed when the row is watched."""
    moment = NOW + timedelta(microseconds=1)
    await store.apply(KEY, counted, now=moment)
    assert int(by_hand.item()["expires_at"]["N"]) == int((NOW + KEPT_UNREAD).timestamp()) + 1
    await store.apply(KEY, due_at(NOW), now=NOW)
    assert "expires_at" not in by_hand.item()
    await store.apply(KEY, due_at(None), now=NOW)
    assert "expires_at" in by_hand.item()


async def test_expired_row_can_be_read_and_written_until_dynamodb_deletes_it(store: DynamoStore) -> None:
    """DynamoDB deletes days late. Until then, the row is read, found, written, and watched again."""
    await store.apply(KEY, counted, now=NOW)
    later = NOW + KEPT + timedelta(days=2)
    assert await store.forget_expired(later) == 0
    assert await store.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)
    assert len(await store.find(KEY.ops_item_id)) == 1
    assert list((await all_watched(store)).rows) == []
    row = await store.apply(KEY, due_at(later), now=later)
    assert (row.version, row.created_at, list(await store.due(later, 1))) == (2, NOW, [KEY])


# --- errors


def test_constructing_a_store_starts_no_thread() -> None:
    """Threads are started only when the store is opened."""
    before = threading.active_count()
    DynamoStore("rows", region=REGION)
    assert threading.active_count() == before


async def test_call_to_a_store_that_is_not_open_raises_an_error(shelf: DynamoShelf) -> None:
    """Before opening and after closing every call fails immediately."""
    store = shelf.closed()
    for _ in range(2):
        for name, answer in (await every_answer(store)).items():
            assert isinstance(answer, StoreUnavailable), name
            assert "not open" in str(answer)
        async with store:
            pass


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
async def test_throttled_call_to_dynamodb_is_repeated(store: DynamoStore, server: FakeDynamo, code: str) -> None:
    """Every call succeeds after two throttled attempts."""
    for name, call in EVERY_CALL.items():
        fault = server.plan("*", times=2, error=(400, code))
        await call(store)
        assert fault.times == 0, name


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"error": (400, "ThrottlingException")}, "ThrottlingException: planned by the test"),
        ({"error": (503, "ServiceUnavailable")}, "ServiceUnavailable: planned by the test"),
        ({"cut": True}, "Connection"),
        ({"body": b'{"Item": {"pk'}, "JSONDecodeError"),
        ({"body": b"<html>welcome</html>"}, "JSONDecodeError"),
        ({"body": b"[]"}, "ResponseParserError: the answer is not a JSON object"),
    ],
)
async def test_lasting_failure_of_dynamodb_raises_an_error_that_names_it(
    impatient: DynamoStore, server: FakeDynamo, how: dict[str, Any], message: str
) -> None:
    """Every call raises an error that names the failure. An unreadable answer never counts as a missing row."""
    await impatient.apply(KEY, due_at(NOW), now=NOW)
    server.plan("*", times=10_000, **how)
    for name, answer in (await every_answer(impatient)).items():
        assert isinstance(answer, StoreUnavailable), name
        assert message in str(answer)
    server.heal()
    assert (await impatient.apply(KEY, counted, now=NOW)).reconcile_failures == 1


async def test_answer_that_lacks_its_members_raises_an_error(store: DynamoStore, server: FakeDynamo) -> None:
    """A server that answers 200 and {} to every call is not taken for an empty table."""
    await store.apply(KEY, due_at(NOW), now=NOW)
    lists = [store.due(NOW, 1), store.next_due(), all_watched(store), store.find("oi-x"), store.personal_chats()]
    server.plan("*", times=1000, body=b"{}")
    for answer in await asyncio.gather(*lists, store.audit(NOW), return_exceptions=True):
        assert isinstance(answer, StoreUnavailable)
        assert str(answer).startswith("IncompleteAnswer: it has no ")


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "ExpiredTokenException"])
async def test_call_that_fails_permanently_is_not_repeated(store: DynamoStore, server: FakeDynamo, code: str) -> None:
    """A missing permission, for example, is an error after one call."""
    fault = server.plan("*", times=100, error=(400, code))
    for name, answer in (await every_answer(store)).items():
        assert isinstance(answer, StoreUnavailable), name
        assert str(answer) == f"{code}: planned by the test"
    assert fault.times == 100 - len(EVERY_CALL)


async def test_calls_to_a_hanging_table_raise_an_error_while_the_table_still_hangs(
    store: DynamoStore, server: FakeDynamo
) -> None:
    """Afterwards, the store works again."""
    gate = threading.Event()
    server.plan("*", times=10_000, gate=gate)
    with hurried(store):
        answers = await every_answer(store)
    for name, answer in answers.items():
        assert isinstance(answer, StoreUnavailable), name
        assert "did not answer within" in str(answer)
    assert not gate.is_set()
    server.heal()
    assert (await store.apply(OTHER, counted, now=NOW)).version == 1


async def test_repeated_audit_entry_is_stored_once(store: DynamoStore, server: FakeDynamo) -> None:
    """The table stores the entry but answers too late, so the caller repeats it. An equal new entry is stored again."""
    await store.append_audit(AuditEntry(NOW, "claimed"))
    server.plan("PutItem", before=False, gate=threading.Event())
    sent = AuditEntry(NOW, "sent")
    with hurried(store), pytest.raises(StoreUnavailable, match="did not answer within"):
        await store.append_audit(sent)
    server.heal()
    await store.append_audit(sent)
    await store.append_audit(AuditEntry(NOW, "sent"))
    assert [entry.event for entry in await store.audit(NOW)] == ["claimed", "sent", "sent"]


async def test_all_of_more_hanging_calls_than_threads_raise_an_error(store: DynamoStore, server: FakeDynamo) -> None:
    """While the table hangs, calls that have a thread and calls that wait for one all raise an error."""
    gate = threading.Event()
    server.plan("*", times=10_000, gate=gate)
    asked = [store.load(key_of(number)) for number in range(3 * THREADS)]
    with hurried(store):
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert not gate.is_set()


def test_time_limit_of_the_store_fits_into_the_three_seconds_of_a_click() -> None:
    """The store answers within 2.5 seconds, and the last repetition can end within them."""
    assert SECONDS <= 2.5
    assert PATIENCE + CALL_SECONDS < SECONDS


async def test_row_that_is_too_large_is_refused(store: DynamoStore) -> None:
    """DynamoDB accepts 400 KB per item. The error has both sizes, the row is unchanged, and other changes succeed."""

    def bloated(record: Record) -> Record:
        return replace(record, conflicting_policies=("ポリシー" * 40_000,))

    changes = [counted, bloated, counted]
    first, second, third = await asyncio.gather(
        *(store.apply(KEY, change, now=NOW) for change in changes), return_exceptions=True
    )
    assert isinstance(second, RowTooLarge)
    assert re.search(rf"{KEY} does not fit into a DynamoDB item: \d+ bytes of {MOST_BYTES}", str(second))
    assert isinstance(first, Record)
    assert await store.load(KEY) == third == Record(KEY, NOW, version=2, reconcile_failures=2)


async def test_row_of_the_largest_size_is_accepted(store: DynamoStore, by_hand: Hand) -> None:
    """The store and the simulated DynamoDB accept a row of nearly MOST_BYTES. The store refuses a larger one."""
    await store.apply(KEY, counted, now=NOW)
    spare = MOST_BYTES - len(json.dumps(by_hand.item()))
    await store.apply(KEY, lambda row: replace(row, conflicting_policies=("x" * spare,)), now=NOW)
    assert by_hand.item()["version"] == {"N": "2"}
    with pytest.raises(RowTooLarge):
        await store.apply(KEY, lambda row: replace(row, conflicting_policies=("x" * MOST_BYTES,)), now=NOW)


async def test_unreadable_row_is_reported_and_kept(store: DynamoStore, by_hand: Hand) -> None:
    """The error and the list name the row; other rows are returned, and the row stays stored."""
    for number in (1, 2):
        await store.apply(key_of(number), due_at(NOW), now=NOW)
    for broken in ({"record": {"S": "{}"}}, {"record": {"N": "1"}}):
        by_hand("put_item", Item={**by_hand.item(), **broken})
        for ask in (store.load(KEY), store.apply(KEY, counted, now=NOW), store.find(KEY.ops_item_id)):
            with pytest.raises(RowUnreadable, match=str(KEY)):
                await ask
        assert await store.load(OTHER) is not None
        assert await all_watched(store) == Watched((await store.apply(OTHER, lambda row: row, now=NOW),), (KEY,))
        assert list(await store.due(NOW, 2)) == [KEY, OTHER]
        assert by_hand.item()["record"] == broken["record"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"due_at": {"S": "2026#x"}}, "due_at is not a time"),
        ({"sk": {"S": "mine"}}, "sk names no request"),
    ],
)
async def test_error_for_an_item_with_invalid_attributes_names_its_key(
    shelf: DynamoShelf, by_hand: Hand, broken: dict[str, Any], message: str
) -> None:
    """No version of the bot wrote the item."""
    await (await shelf.open()).apply(KEY, due_at(NOW), now=NOW)
    by_hand("put_item", Item={**by_hand.item(), **broken})
    with pytest.raises(RowUnreadable, match=rf"item request#{KEY.ops_item_id} .*: {message}"):
        await (await shelf.open()).due(NOW + SECOND, 5)


# --- the table


def without_index(table: dict[str, Any]) -> None:
    del table["GlobalSecondaryIndexes"][1]
    del table["AttributeDefinitions"][4:]


def other_key(table: dict[str, Any]) -> None:
    table["KeySchema"] = [{"AttributeName": "pk", "KeyType": "HASH"}]
    del table["AttributeDefinitions"][1]


def numbers(table: dict[str, Any]) -> None:
    table["AttributeDefinitions"][3]["AttributeType"] = "N"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_index, "the index `watched` is missing"),
        (other_key, r"the table has the key \(pk\) instead of the texts \(pk, sk\)"),
        (numbers, r"the index `due` has the key \(due, due_at\) instead of the texts"),
    ],
)
async def test_table_with_a_wrong_key_or_index_is_refused(
    shelf: DynamoShelf, by_hand: Hand, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    """A mistyped name must not put the bot's items into another program's table. The message says what to do."""
    wanted = definition()
    spoil(wanted)
    by_hand("delete_table")
    by_hand("create_table", **wanted)
    with pytest.raises(TableRefused, match=f"{message}.*doctor --create-table"):
        async with DynamoStore(shelf.table, region=REGION):
            pass
    assert by_hand("describe_table")["Table"]["ItemCount"] == 0


async def test_table_that_is_not_ready_is_refused(shelf: DynamoShelf, by_hand: Hand) -> None:
    """A table that is being created is reported with its status."""
    shown = json.loads(json.dumps(by_hand("describe_table")["Table"], default=str))
    shown = {name: shown[name] for name in ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes")}
    shown["GlobalSecondaryIndexes"][0]["IndexStatus"] = "CREATING"
    shelf.server.plan("DescribeTable", body=json.dumps({"Table": {**shown, "TableStatus": "CREATING"}}).encode())
    with pytest.raises(TableRefused, match="the table is CREATING, not ACTIVE; the index `due` is CREATING"):
        async with DynamoStore(shelf.table, region=REGION):
            pass


async def test_error_for_a_missing_table_names_the_command_that_creates_it(shelf: DynamoShelf) -> None:
    """The message names the table, the Region and the command that creates it."""
    with pytest.raises(TableRefused, match=f"no table nowhere in {REGION}: make it with .*doctor --create-table"):
        async with DynamoStore("nowhere", region=REGION):
            pass


async def test_table_with_a_newer_schema_is_refused(store: DynamoStore, shelf: DynamoShelf, by_hand: Hand) -> None:
    """The message says how to continue, and the store writes nothing."""
    by_hand("put_item", Item={**SCHEMA_KEY, "version": {"N": "99"}})
    seen = len(shelf.server.calls)
    with pytest.raises(TableRefused, match=r"newer version of the bot.*schema 99.*install that version again"):
        async with DynamoStore(shelf.table, region=REGION):
            pass
    assert shelf.server.operations(seen) == ["DescribeTable", "GetItem"]


async def test_opening_a_store_on_a_new_table_stores_the_schema_version(store: DynamoStore, by_hand: Hand) -> None:
    """The table was created without `doctor --create-table`."""
    assert by_hand("get_item", Key=SCHEMA_KEY)["Item"]["version"] == {"N": "1"}


async def test_store_does_not_open_without_a_connection_to_its_table() -> None:
    """The error names the endpoint."""
    server = FakeDynamo()
    aimed = DynamoEnvironment(server)
    server.stop()
    with pytest.raises(StoreUnavailable, match=f"EndpointConnectionError.*{server.endpoint}"):
        async with DynamoStore("rows", region=REGION, patience=SHORT):
            pass
    aimed.undo()


async def test_error_for_a_missing_aws_profile_names_it(
    shelf: DynamoShelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error names the profile that does not exist."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(StoreUnavailable, match=r"ProfileNotFound.*nobodys"):
        async with DynamoStore(shelf.table, region=REGION):
            pass


async def test_store_does_not_open_without_aws_credentials(
    shelf: DynamoShelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error is NoCredentialsError."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreUnavailable, match="NoCredentialsError"):
        async with DynamoStore(shelf.table, region=REGION):
            pass


# --- a missing table


async def test_deleted_table_is_reported_and_a_new_one_is_not_used_before_a_restart(
    shelf: DynamoShelf, store: DynamoStore, server: FakeDynamo
) -> None:
    """Reads and the check name the table. The new table has the same name and is empty."""
    await store.check()
    with closing(server.client()) as client:
        client.delete_table(TableName=shelf.table)
        with pytest.raises(StoreDamaged, match=f"no table {shelf.table}"):
            await store.load(KEY)
        with pytest.raises(StoreDamaged, match=f"no table {shelf.table}"):
            await store.check()
        client.create_table(TableName=shelf.table, **definition())
    with pytest.raises(StoreDamaged, match="deleted and made again"):
        await store.check()
    with pytest.raises(StoreDamaged, match="deleted and made again"):
        await store.apply(KEY, counted, now=NOW)
    other = await shelf.open()
    assert (other.created, (await other.apply(KEY, counted, now=NOW)).version) == (True, 1)


async def test_failed_check_of_the_table_reports_no_damage_and_blocks_no_write(
    impatient: DynamoStore, server: FakeDynamo
) -> None:
    """Only the check fails. It raises StoreUnavailable."""
    server.plan("DescribeTable", error=(500, "InternalServerError"), times=1000)
    with pytest.raises(StoreUnavailable) as caught:
        await impatient.check()
    assert not isinstance(caught.value, StoreDamaged)
    assert (await impatient.apply(KEY, counted, now=NOW)).version == 1
