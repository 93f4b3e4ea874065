"""Guarantees of the DynamoDB store for rows with audit entries, beyond the contract: transactions and their limits."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.audit import AuditEntry
from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.ports.store import StoreUnavailable, StoreUncertain
from bot.store.dynamodb.commits import MOST_TOGETHER
from bot.store.dynamodb.items import MOST_BYTES, RowTooLarge
from bot.store.dynamodb.store import DynamoStore
from bot.store.dynamodb.trail import MOST_ENTRIES, MOST_ENTRY_BYTES, Trail
from tests.aws import test_dynamodb
from tests.contract.stores import DynamoShelf
from tests.contract.test_store import counted
from tests.contract.test_store_trail import KEY, NOW, claimed, in_state, trail_of
from tests.fakes.dynamodb import FakeDynamo

TOGETHER = "TransactWriteItems"
MOST_ITEMS, MOST_SIZE = 100, 4_000_000  # AWS's limits for a transaction: items, bytes

shelf, server = test_dynamodb.shelf, test_dynamodb.server
store, impatient = test_dynamodb.store, test_dynamodb.impatient


async def agreed(store: DynamoStore) -> list[str]:
    """Return the claims in the row, after checking that each is in the audit trail once."""
    row = await store.load(KEY)
    names = [each.id for each in row.decisions] if row else []
    assert sorted(await trail_of(store)) == sorted((name, "claimed") for name in names)
    return names


def one_more(record: Record) -> Record:
    """Return the row with one more decision. A change that is applied twice by mistake adds two."""
    return claimed(f"{len(record.decisions)}")(record)


def sent(server: FakeDynamo, since: int) -> list[dict[str, Any]]:
    """Return the transactions that were sent after the given number of calls."""
    return [body for operation, body in server.calls[since:] if operation == TOGETHER]


# --- replies that were lost


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    "how", [{"cut": True}, {"error": (500, "InternalServerError")}, {"body": b'{"Consum'}], ids=str
)
@pytest.mark.parametrize("times", [1, 3])
async def test_transaction_with_a_lost_reply_stores_a_step_once(
    store: DynamoStore, server: FakeDynamo, how: dict[str, Any], before: bool, times: int
) -> None:
    """The step is stored once whether or not the transaction took effect, in a new row and in an existing one."""
    for _ in range(2):
        fault = server.plan(TOGETHER, before=before, times=times, **how)
        await store.apply(KEY, one_more, now=NOW)
        assert fault.reached.is_set()
        server.heal()
    assert await agreed(store) == ["0", "1"]


@pytest.mark.parametrize("landed", [True, False])
async def test_write_without_any_reply_raises_store_uncertain(
    impatient: DynamoStore, server: FakeDynamo, landed: bool
) -> None:
    """Every reply is lost: the error does not claim that nothing was stored, and row and trail agree."""
    server.plan(TOGETHER, times=1000, cut=True, before=not landed)
    server.plan("GetItem", times=1)
    server.plan("GetItem", times=1000, error=(500, "InternalServerError"))
    with pytest.raises(StoreUncertain):
        await impatient.apply(KEY, one_more, now=NOW)
    server.heal()
    assert await agreed(impatient) == (["0"] if landed else [])


async def test_transaction_that_takes_effect_late_stores_a_step_once(
    store: DynamoStore, server: FakeDynamo, shelf: DynamoShelf
) -> None:
    """AWS answers 500 and stores the transaction just before its repetition. Row and trail have the step once."""
    client, seen, late = server.client(), len(server.calls), list[dict[str, Any]]()

    def land(body: dict[str, Any]) -> dict[str, Any]:
        (lost,) = [each for each in sent(server, seen) if each is not body]
        late.append(lost)
        client.transact_write_items(TransactItems=lost["TransactItems"])
        return body

    server.plan(TOGETHER, error=(500, "InternalServerError"))
    server.plan(TOGETHER, change=land)
    await store.apply(KEY, one_more, now=NOW)
    assert len(late) == 1
    assert await agreed(store) == ["0"]


# --- several processes


async def test_concurrent_claim_whose_transaction_is_repeated_has_one_audit_entry(shelf: DynamoShelf) -> None:
    """Two processes claim at the same time, and AWS cancels one transaction. Each claim then has one entry."""
    stores = [await shelf.open(), await shelf.open()]
    both, seen = threading.Barrier(2), len(shelf.server.calls)

    def together(body: dict[str, Any]) -> dict[str, Any]:
        both.wait(10)
        return body

    shelf.server.plan(TOGETHER, times=2, change=together)
    await asyncio.gather(*(store.apply(KEY, claimed(f"{n}"), now=NOW) for n, store in enumerate(stores)))
    assert len(sent(shelf.server, seen)) == 3
    assert sorted(await agreed(stores[0])) == ["0", "1"]


async def test_only_the_stored_attempt_of_a_repeated_change_has_an_audit_entry(shelf: DynamoShelf) -> None:
    """The first attempt of the change, which is not stored, would have no entry."""
    store, other = await shelf.open(), await shelf.open()
    loop = asyncio.get_running_loop()

    def claim_if_counted(record: Record) -> Record:
        return claimed("a")(record) if record.reconcile_failures else replace(record, reconcile_failures=7)

    def overtake(body: dict[str, Any]) -> dict[str, Any]:
        asyncio.run_coroutine_threadsafe(other.apply(KEY, counted, now=NOW), loop).result()
        return body

    shelf.server.plan("PutItem", change=overtake)
    await store.apply(KEY, claim_if_counted, now=NOW)
    assert await agreed(store) == ["a"]


@pytest.mark.parametrize(
    "reasons",
    [
        ("ConditionalCheckFailed", "None"),
        ("TransactionConflict", "None"),
        ("None", "ThrottlingError"),
        ("ProvisionedThroughputExceeded", "ProvisionedThroughputExceeded"),
    ],
)
async def test_transaction_canceled_for_a_temporary_reason_is_repeated(
    store: DynamoStore, server: FakeDynamo, reasons: tuple[str, ...]
) -> None:
    """After a conflict or throttling no item was written, so the transaction is repeated."""
    fault = server.plan(TOGETHER, times=2, error=(400, "TransactionCanceledException"), reasons=reasons)
    await store.apply(KEY, claimed("a"), now=NOW)
    assert fault.times == 0
    assert await agreed(store) == ["a"]


@pytest.mark.parametrize(
    "reasons", [(), ("ValidationError", "None"), ("TransactionConflict", "ItemCollectionSizeLimitExceeded")]
)
async def test_transaction_canceled_for_a_permanent_reason_fails_immediately(
    store: DynamoStore, server: FakeDynamo, reasons: tuple[str, ...]
) -> None:
    """Repeating does not help. It is certain that no item was written."""
    fault = server.plan(TOGETHER, times=5, error=(400, "TransactionCanceledException"), reasons=reasons)
    with pytest.raises(StoreUnavailable, match="TransactionCanceledException") as caught:
        await store.apply(KEY, claimed("a"), now=NOW)
    assert fault.times == 4
    assert not isinstance(caught.value, StoreUncertain)
    server.heal()
    assert await agreed(store) == []


async def test_transaction_that_stays_canceled_fails_in_time(impatient: DynamoStore, server: FakeDynamo) -> None:
    """Every attempt was certainly refused, so the error does not say that the change may be stored."""
    server.plan(TOGETHER, times=1000, error=(400, "TransactionCanceledException"), reasons=("TransactionConflict",))
    with pytest.raises(StoreUnavailable, match="TransactionCanceledException") as caught:
        await impatient.apply(KEY, claimed("a"), now=NOW)
    assert not isinstance(caught.value, StoreUncertain)


async def test_write_that_conflicts_with_a_transaction_is_repeated(store: DynamoStore, server: FakeDynamo) -> None:
    """AWS refuses a write of an item while a transaction writes it. The refused write had no effect."""
    fault = server.plan("PutItem", times=2, error=(400, "TransactionConflictException"))
    assert (await store.apply(KEY, counted, now=NOW)).version == 1
    assert fault.times == 0


async def test_transaction_in_progress_has_an_unknown_result(impatient: DynamoStore, server: FakeDynamo) -> None:
    """AWS received the same call twice: the first may still take effect."""
    server.plan(TOGETHER, times=1000, error=(400, "TransactionInProgressException"))
    with pytest.raises(StoreUncertain):
        await impatient.apply(KEY, claimed("a"), now=NOW)


# --- contents of a transaction


async def test_only_writes_with_audit_entries_are_transactions(store: DynamoStore, server: FakeDynamo) -> None:
    """A row without a step is a plain write. A row with a step is one transaction of two puts."""
    await store.apply(KEY, claimed("a"), now=NOW)
    seen = len(server.calls)
    await store.apply(KEY, counted, now=NOW)
    assert server.operations(seen) == ["GetItem", "PutItem"]
    await store.apply(KEY, in_state(DecisionState.SENT, "a"), now=NOW)
    assert server.operations(seen)[2:] == ["GetItem", TOGETHER]
    assert [list(each) for each in sent(server, seen)[0]["TransactItems"]] == [["Put"], ["Put"]]


async def test_day_is_registered_before_its_first_audit_entry_is_written(
    shelf: DynamoShelf, store: DynamoStore, server: FakeDynamo
) -> None:
    """If a day cannot be registered, nothing is written, because its entries would never be read.

    Each day is registered once.
    """
    server.plan("PutItem", times=1000, error=(400, "AccessDeniedException"))
    with pytest.raises(StoreUnavailable):
        await store.apply(KEY, claimed("a"), now=NOW)
    server.heal()
    assert await store.load(KEY) is None
    seen = len(server.calls)
    for days in (0, 0, 1):
        await store.apply(KEY, claimed(f"{days}"), now=NOW + timedelta(days=days))
    assert server.operations(seen).count("PutItem") == 2
    assert await agreed(await shelf.open()) == ["0", "1"]


async def test_concurrent_steps_share_transactions(store: DynamoStore, server: FakeDynamo) -> None:
    """Each transaction has at most as many items as AWS allows; the other steps follow in order."""
    gate = threading.Event()
    fault, seen = server.plan("GetItem", gate=gate), len(server.calls)
    names = [f"{number}" for number in range(2 * MOST_TOGETHER)]
    first = asyncio.ensure_future(store.apply(KEY, claimed("first"), now=NOW))
    await asyncio.to_thread(fault.reached.wait, 10)
    rest = [asyncio.ensure_future(store.apply(KEY, claimed(f"{name}", f"{name}*"), now=NOW)) for name in names]
    await asyncio.sleep(0)
    gate.set()
    rows = await asyncio.gather(first, *rest)
    assert [row.version for row in rows] == list(range(1, len(names) + 2))
    sizes = [len(body["TransactItems"]) for body in sent(server, seen)]
    assert max(sizes) <= MOST_ITEMS
    assert len(sizes) <= 7
    assert await trail_of(store) == [(each.id, "claimed") for each in rows[-1].decisions]


async def test_change_with_more_steps_than_fit_into_a_transaction_is_refused(store: DynamoStore) -> None:
    """Other changes at the same time succeed. A change with exactly as many steps as fit is stored."""
    many = [f"{number}" for number in range(MOST_ENTRIES)]
    changes = [claimed("a"), claimed(*many, "too many"), claimed("b")]
    first, second, third = await asyncio.gather(
        *(store.apply(KEY, change, now=NOW) for change in changes), return_exceptions=True
    )
    assert isinstance(first, Record)
    assert isinstance(second, RowTooLarge)
    assert isinstance(third, Record)
    assert await agreed(store) == ["a", "b"]
    await store.apply(KEY, claimed(*many), now=NOW)
    assert await agreed(store) == ["a", "b", *many]


async def test_rows_and_entries_that_are_too_large_for_one_transaction_are_split(
    store: DynamoStore, server: FakeDynamo
) -> None:
    """Each transaction, including the row, stays below the 4 MB that AWS accepts."""
    assert MOST_ENTRY_BYTES + MOST_BYTES < MOST_SIZE

    def lengthy(name: str) -> Any:
        def change(record: Record) -> Record:
            others = replace(record, decisions=tuple(replace(each, detail="") for each in record.decisions))
            return in_state(DecisionState.CLAIMED, name, detail="x" * 300_000)(others)

        return change

    seen = len(server.calls)
    await asyncio.gather(*(store.apply(KEY, lengthy(f"{number}"), now=NOW) for number in range(20)))
    assert 2 <= len(sent(server, seen)) <= 20
    assert len(await agreed(store)) == 20
    assert max(sum(len(str(each)) for each in body["TransactItems"]) for body in sent(server, seen)) < MOST_SIZE


def test_audit_entries_never_share_a_key(server: FakeDynamo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of a process ascend, even if the clock of the machine stops or is set back."""
    monkeypatch.setattr("time.time_ns", iter([5, 5, 3, 9, 5]).__next__)
    trail = Trail(server)  # type: ignore[arg-type]  # makes no calls
    places = [item["sk"]["S"] for item in trail.as_items([AuditEntry(NOW, "claimed")] * 5)]
    assert places == sorted(set(places))


# --- entries without a row


async def test_repeated_batch_of_audit_entries_is_stored_once(impatient: DynamoStore, server: FakeDynamo) -> None:
    """The reply to a batch's second transaction is lost for too long.

    After the caller repeats the batch, each entry is stored once.
    """
    entries = [AuditEntry(NOW, f"{number}") for number in range(MOST_ENTRIES + 9)]
    server.plan(TOGETHER)  # the first transaction is answered
    fault = server.plan(TOGETHER, before=False, cut=True, times=1000)
    with pytest.raises(StoreUnavailable):
        await impatient.append_audit(*entries)
    assert fault.reached.is_set()
    server.heal()
    await impatient.append_audit(*entries)
    assert list(await impatient.audit(NOW)) == entries


async def test_batch_of_long_audit_entries_is_split_into_two_transactions(
    store: DynamoStore, server: FakeDynamo
) -> None:
    """AWS accepts 4 MB per transaction, so 50 entries of 100 KB are sent in two transactions."""
    entries = [AuditEntry(NOW, f"{number}", person_name="x" * 100_000) for number in range(50)]
    seen = len(server.calls)
    await store.append_audit(*entries)
    assert list(await store.audit(NOW)) == entries
    assert [len(body["TransactItems"]) for body in sent(server, seen)] == [34, 16]
