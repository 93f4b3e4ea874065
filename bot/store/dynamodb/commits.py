"""Changes rows: reads, applies changes, and writes on the condition that the version is unchanged.

Changes that wait for the same row in this process are written together, so many changes of one row cost one write, and
only processes compete. The process that loses reads the row and applies its changes again.

A write whose reply was lost may have taken effect, or may do so later. Each write therefore stores its name in the row,
with the names of the writes before it. If the name is found there, the write is done. If it is not, writing again is
safe: either the row is unchanged, and only one of two writes with the same condition can succeed, or the row has
changed, and the lost write can no longer succeed. So no change is applied twice, and no acknowledged change is lost.

Audit entries are in one transaction with their write, so the same holds for them. A write without entries is sent
alone, which costs half as much.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from bot.domain.history import history_entries
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change, StoreUnavailable, StoreUncertain
from bot.store.dynamodb import items
from bot.store.dynamodb.calls import Calls, ConditionFailed, NothingDone, Patience, ReplyLost
from bot.store.dynamodb.reading import Reading
from bot.store.dynamodb.trail import MOST_ENTRIES, Trail, fits_one_write
from bot.store.rows import apply_change

MOST_TOGETHER = 100  # changes in one write; later ones wait for the next
_Outcomes = Sequence[Record | Exception]  # the result of each job


@dataclass(frozen=True, slots=True)
class Job:
    """One change, and the future of its result."""

    change: Change
    now: datetime
    done: Future[Record] = field(default_factory=Future)


@dataclass(slots=True)
class _Draft:
    """The result of applying jobs in order: the outcomes, the row, and the audit entries."""

    row: Record | None
    outcomes: list[Record | Exception] = field(default_factory=list)
    entries: list[items.Item] = field(default_factory=list)

    def has_room(self, entries: Sequence[items.Item]) -> bool:
        """Return True if one write can take these entries too."""
        return fits_one_write([*self.entries, *entries])


class Commits:
    """Commits the jobs of each row in one thread at a time. `start` runs a function in a thread.

    A write is repeated for `patience` seconds.
    """

    def __init__(
        self, calls: Calls, trail: Trail, start: Callable[[Callable[[], None]], object], *, patience: float
    ) -> None:
        self._calls, self._trail, self._start, self._patience = calls, trail, start, patience
        self._lock = threading.Lock()
        self._waiting: dict[RequestKey, list[Job]] = {}  # has an entry for a row while a thread works on it

    def add(self, key: RequestKey, job: Job) -> None:
        """Add a job. If its future is cancelled before the job begins, the job is skipped."""
        with self._lock:
            busy = key in self._waiting
            self._waiting.setdefault(key, []).append(job)
        if not busy:
            self._start(partial(self._work_off, key))

    def _work_off(self, key: RequestKey) -> None:
        while (waiting := self._next_jobs(key)) is not None:
            jobs: Sequence[Job] = [job for job in waiting if job.done.set_running_or_notify_cancel()]
            while jobs:
                jobs = _Commit(self._calls, self._trail, key, jobs).run(Patience(self._patience))

    def _next_jobs(self, key: RequestKey) -> list[Job] | None:
        """Return the next jobs; None if none are left, and then this thread must end."""
        with self._lock:
            waiting = self._waiting[key]
            if not waiting:
                del self._waiting[key]
                return None
            self._waiting[key] = waiting[MOST_TOGETHER:]
            return waiting[:MOST_TOGETHER]


class _Commit:
    """One write of one row for some jobs, repeated until it succeeds or time runs out."""

    def __init__(self, calls: Calls, trail: Trail, key: RequestKey, jobs: Sequence[Job]) -> None:
        self._calls, self._trail, self._key, self._jobs = calls, trail, key, jobs
        self._lost: dict[str, tuple[int, _Outcomes]] = {}  # writes with an unknown result, by name

    def run(self, patience: Patience) -> Sequence[Job]:
        """Answer the jobs; return those for which this write had no room."""
        try:
            outcomes = self._tried(patience)
        except Exception as error:  # noqa: BLE001  # the caller in the other thread gets it
            outcomes = [self._uncertain_if_lost(error)] * len(self._jobs)
        self._resolve(outcomes)
        return self._jobs[len(outcomes) :]

    def _uncertain_if_lost(self, error: Exception) -> Exception:
        """Return StoreUncertain if the reply of an earlier write was lost, because the change may be stored.

        Otherwise return the error unchanged.
        """
        if not self._lost or isinstance(error, StoreUncertain):
            return error
        uncertain = StoreUncertain(str(error))
        uncertain.__cause__ = error
        return uncertain

    def _tried(self, patience: Patience) -> _Outcomes:
        while True:
            try:
                return self._attempt(patience)
            except ConditionFailed:
                patience.wait(StoreUnavailable(f"request {self._key} is written by too many at once"))
            except (NothingDone, ReplyLost) as problem:
                patience.wait(problem)

    def _attempt(self, patience: Patience) -> _Outcomes:
        former = items.stored(Reading(self._calls, patience).item(items.row_key(self._key)))
        if (outcomes := self._outcomes_of_lost(former)) is not None:
            return outcomes
        draft = self._composed(former.record)
        if draft.row is not None and draft.row is not former.record:
            self._write(former, draft.row, draft, patience)
        return draft.outcomes

    def _outcomes_of_lost(self, former: items.Stored) -> _Outcomes | None:
        """Return the outcomes of a lost write that took effect, else None.

        Raises StoreUnavailable if it is unknown whether one took effect.
        """
        for name, (version, outcomes) in self._lost.items():
            if name in former.writes:
                return outcomes
            if not former.remembers(version):
                raise StoreUnavailable(f"request {self._key}: a reply was lost, and too many have written since")
        return None

    def _composed(self, former: Record | None) -> _Draft:
        """Apply the jobs in order, as many as one write can take."""
        draft = _Draft(former)
        for job in self._jobs:
            try:
                after = self._applied(draft, job)
            except Exception as error:  # noqa: BLE001  # fails only this change
                draft.outcomes.append(error)
            else:
                if after is None:
                    break
                draft.outcomes.append(after)
        return draft

    def _applied(self, draft: _Draft, job: Job) -> Record | None:
        """Apply a job to the draft and return the row after it; None if the job must wait for the next write.

        Raises RowTooLarge, and the errors of the change.
        """
        after, new_entries = apply_change(draft.row, self._key, job.change, now=job.now)
        if after.version == (draft.row.version if draft.row else 0):
            return after
        items.row_item(after, ())  # raises if it is too large, before later jobs build on it
        entries = self._trail.as_items(new_entries)
        if not draft.has_room(entries):
            if not draft.entries:
                raise items.RowTooLarge(
                    f"request {self._key}: {len(new_entries)} steps of decisions do not fit into one write"
                )
            return None
        draft.row = after
        draft.entries += entries
        return after

    def _write(self, former: items.Stored, record: Record, draft: _Draft, patience: Patience) -> None:
        name = items.write_name(record.version)
        mark = self._list(former, record, patience)
        row = {"Item": items.row_item(record, (*former.writes, name), history=mark), **_unchanged_since(former.record)}
        self._trail.register_days(draft.entries, patience)
        try:
            self._calls.put(row, *({"Item": each} for each in draft.entries))
        except ReplyLost:
            self._lost[name] = (record.version, draft.outcomes)
            raise

    def _list(self, former: items.Stored, record: Record, patience: Patience) -> str:
        """List the row in the history before it is written, unless its entries are listed; return their mark.

        Not in the same transaction: if the row is then not written, readers skip the entries. Entries that the row no
        longer has are written as not granted.
        """
        entries = history_entries(record)
        mark = items.history_mark(entries)
        if mark != former.history:
            listed = {(each.subject, each.at) for each in entries}
            outdated = history_entries(former.record) if former.record else ()
            dropped = [replace(each, granted=False) for each in outdated if (each.subject, each.at) not in listed]
            puts = [{"Item": items.history_item(each)} for each in (*dropped, *entries)]
            for first in range(0, len(puts), MOST_ENTRIES):
                self._calls.put_repeated(patience, *puts[first : first + MOST_ENTRIES])
        return mark

    def _resolve(self, outcomes: _Outcomes) -> None:
        for job, outcome in zip(self._jobs, outcomes, strict=False):  # jobs without an outcome wait for the next write
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)


def _unchanged_since(former: Record | None) -> Mapping[str, object]:
    """Return the condition that the row still has the version of `former`; if that is None, that it does not exist."""
    if former is None:
        return items.IF_ABSENT
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": items.number(former.version)},
    }
