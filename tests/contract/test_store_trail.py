"""The contract of every store for rows and audit entries: both are one write."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from bot.domain.audit import AuditEntry
from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Verdict
from bot.ports.store import Change, Store
from tests.contract import test_store
from tests.contract.stores import Shelf
from tests.contract.test_store import Refused, counted, refuse
from tests.fakes.aws import key_of

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
KEY = key_of(1)
SECOND = timedelta(seconds=1)
ROLE = "arn:aws:iam::111122223333:role/NodeAccessApprover"

shelf, store = test_store.shelf, test_store.store


def in_state(state: DecisionState, *names: str, **fields: object) -> Change:
    """Return a change that sets the decisions of these names to a state, and creates missing ones."""

    def change(record: Record) -> Record:
        for name in names:
            former = record.decision(name) or Decision(
                name, Person(f"id of {name}", "tenant", name), Verdict.APPROVE, "Level1", NOW, NOW + SECOND
            )
            record = record.with_decision(replace(former, state=state, **fields))  # type: ignore[arg-type]  # the names are fields of Decision
        return record

    return change


def claimed(*names: str) -> Change:
    """Return a change that adds claimed decisions of these names."""
    return in_state(DecisionState.CLAIMED, *names)


async def trail_of(store: Store) -> list[tuple[str, str]]:
    """Return the decision and the event of each audit entry."""
    return [(entry.decision, entry.event) for entry in await store.audit(NOW - SECOND)]


async def test_audit_entry_of_a_step_has_the_data_of_its_row(store: Store) -> None:
    """The entry is written with the row and has the time of that write."""
    sending = in_state(DecisionState.SENT, "a", role=ROLE, execution_id="an-execution", conversation="19:x")
    await store.apply(KEY, claimed("a"), now=NOW)
    await store.apply(KEY, sending, now=NOW + SECOND)
    first, second = await store.audit(NOW)
    assert first == AuditEntry(NOW, "claimed", str(KEY), "Level1", "approve", "id of a", "a", "tenant", decision="a")
    assert second == replace(
        first,
        at=NOW + SECOND,
        event="sent",
        conversation="19:x",
        execution="an-execution",
        role=ROLE,
        session="id of a",
    )


async def test_every_step_of_a_decision_has_an_audit_entry(store: Store) -> None:
    """A new state is a step, and so is a new outcome alone. Other changes are not."""
    fields: list[tuple[DecisionState, Outcome | None]] = [
        (DecisionState.CLAIMED, None),
        (DecisionState.CLAIMED, Outcome.THROTTLED),
        (DecisionState.SENT, None),
        (DecisionState.UNKNOWN, Outcome.NO_ANSWER),
        (DecisionState.CONFIRMED, None),
    ]
    for state, outcome in fields:
        await store.apply(KEY, in_state(state, "a", outcome=outcome), now=NOW)
        await store.apply(KEY, in_state(state, "a", outcome=outcome, announced=True), now=NOW)
    trail = await store.audit(NOW)
    assert [entry.event for entry in trail] == ["claimed", "claimed", "sent", "unanswered", "accepted"]
    assert [entry.outcome for entry in trail] == ["", "throttled", "", "no_answer", ""]


async def test_write_that_changes_no_decision_has_no_audit_entry(store: Store) -> None:
    """Reconciliations and changes that return an equal row add no entry."""
    await store.apply(KEY, counted, now=NOW)
    await store.apply(KEY, claimed("a"), now=NOW)
    await store.apply(KEY, counted, now=NOW)
    await store.apply(KEY, replace, now=NOW)
    assert await trail_of(store) == [("a", "claimed")]


async def test_change_that_raises_has_no_audit_entry(store: Store) -> None:
    """Concurrent changes have theirs."""
    changes = [refuse if number % 3 == 0 else claimed(f"{number}") for number in range(12)]
    answers = await asyncio.gather(*(store.apply(KEY, change, now=NOW) for change in changes), return_exceptions=True)
    assert sum(isinstance(answer, Refused) for answer in answers) == 4
    assert sorted(await trail_of(store)) == sorted((f"{number}", "claimed") for number in range(12) if number % 3)


async def test_audit_entries_of_the_same_time_are_in_order_of_writing(store: Store) -> None:
    """The order is kept within one write, across writes, and among entries that are appended alone."""
    await store.apply(KEY, claimed("c", "a", "b"), now=NOW)
    await store.append_audit(AuditEntry(NOW, "clicked"))
    await store.apply(KEY, in_state(DecisionState.SENT, "b", "a"), now=NOW)
    await store.append_audit(AuditEntry(NOW, "clicked"))
    assert await trail_of(store) == [
        *(("c", "claimed"), ("a", "claimed"), ("b", "claimed"), ("", "clicked")),
        *(("b", "sent"), ("a", "sent"), ("", "clicked")),
    ]


async def test_times_of_audit_entries_are_returned_in_utc(store: Store) -> None:
    """Steps that were written with times of Tokyo are returned in UTC. The entries of several days are in order."""
    tokyo = timezone(timedelta(hours=9))
    for days in (0, 3, 1):
        await store.apply(KEY, claimed(f"{days}"), now=(NOW + timedelta(days=days)).astimezone(tokyo))
    assert [repr(entry.at) for entry in await store.audit(NOW)] == [repr(NOW + timedelta(days=n)) for n in (0, 1, 3)]


async def test_audit_entries_with_hostile_text_are_stored_with_all_entries_of_the_same_write(store: Store) -> None:
    """No text from a click keeps its entry, or the entries of other clicks in the same write, out of the trail."""
    hostile = ("\ud800", "\0", "a\u202eb", "'); DROP TABLE audit; --", "#" * 512, "😀" * 256, "\r\n", "{}", " ")
    entries = [
        AuditEntry(NOW, "clicked", person=f"{number}", person_name=text, tenant=text, conversation=text, step=text)
        for number, text in enumerate(hostile * 4)
    ]
    await store.append_audit(*entries)
    stored = await store.audit(NOW - SECOND)
    assert [each.person for each in stored] == [each.person for each in entries]
    assert [each.conversation for each in stored[1:9]] == list(hostile[1:])


async def test_equal_audit_entries_of_two_processes_are_all_stored(shelf: Shelf) -> None:
    """Each process stores thirty equal entries at the same time. None replaces another."""
    stores = [await shelf.open(), await shelf.open()]
    clicks = [[AuditEntry(NOW, "clicked", person=name) for _ in range(30)] for name in ("one", "two")]
    await asyncio.gather(*(store.append_audit(*some) for store, some in zip(stores, clicks, strict=True)))
    stored = [each.person for each in await stores[0].audit(NOW - SECOND)]
    assert (stored.count("one"), stored.count("two")) == (30, 30)


async def test_concurrent_changes_leave_one_audit_entry_each(shelf: Shelf) -> None:
    """Two stores with 30 writers each add a decision to one row. Each decision has one entry, in the row's order."""
    stores = [await shelf.open(), await shelf.open()]
    names = [f"{which}-{number}" for which in range(2) for number in range(30)]
    await asyncio.gather(*(stores[number % 2].apply(KEY, claimed(name), now=NOW) for number, name in enumerate(names)))
    row = await stores[0].load(KEY)
    assert row is not None
    assert sorted(each.id for each in row.decisions) == sorted(names)
    assert await trail_of(stores[1]) == [(each.id, "claimed") for each in row.decisions]


async def test_step_that_several_writers_make_has_one_audit_entry(shelf: Shelf) -> None:
    """Two stores with ten writers each settle the same decision at the same time."""
    stores = [await shelf.open(), await shelf.open()]
    await stores[0].apply(KEY, claimed("a"), now=NOW)
    settle = in_state(DecisionState.CONFIRMED, "a")
    await asyncio.gather(*(stores[number % 2].apply(KEY, settle, now=NOW) for number in range(20)))
    assert await trail_of(stores[1]) == [("a", "claimed"), ("a", "accepted")]


async def test_cancelled_writers_leave_row_and_trail_consistent(store: Store) -> None:
    """A cancelled writer has stored both its decision and the audit entry, or neither."""
    tasks = [asyncio.create_task(store.apply(KEY, claimed(f"{number}"), now=NOW)) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    row = await store.load(KEY)
    assert row is not None
    assert len(row.decisions) >= 10
    assert await trail_of(store) == [(each.id, "claimed") for each in row.decisions]
