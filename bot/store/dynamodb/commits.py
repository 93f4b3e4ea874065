"""Changes of rows: read, changed, and written on condition that nobody came between. Knows nothing of what a change is.

Changes that wait for the same row in this process are written together, so that only processes contend, and a crowd on
one row costs one write. Whoever loses against another process reads again and applies again.

A write whose reply was lost may have had its effect, or have it later. Each write leaves its name in the row beside
those of the latest before it: who finds theirs there is done. Who does not writes again: either nobody has written
since, and of two writes on the same condition only one can succeed, or somebody has, and the lost one cannot succeed
any more. So no change is applied twice, and none that was answered is lost.

What the audit trail says of a write is one transaction with it, so all of this holds for its entries too. A write of
which it says nothing goes alone, which costs half as much.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change, StoreUnavailable, StoreUncertain
from bot.store.dynamodb import items
from bot.store.dynamodb.calls import Calls, ConditionFailed, NothingDone, Patience, ReplyLost
from bot.store.dynamodb.reading import Reading
from bot.store.dynamodb.trail import Trail
from bot.store.versions import changed

MOST_TOGETHER = 100  # changes in one write; who comes later waits for the next
# Of the trail in one write: a transaction has 100 items of 4 MB, and the row is one of them, of 400 KB at most.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MOST_ENTRIES, MOST_ENTRY_BYTES = 99, 3_500_000
_Outcomes = Sequence[Record | Exception]  # what becomes of each job


@dataclass(frozen=True, slots=True)
class Job:
    """One change, and who waits for it."""

    change: Change
    now: datetime
    done: Future[Record] = field(default_factory=Future)


@dataclass(slots=True)
class _Draft:
    """Jobs applied one after the other: what becomes of each, the row as it is then, what the trail says of it."""

    row: Record | None
    outcomes: list[Record | Exception] = field(default_factory=list)
    entries: list[items.Item] = field(default_factory=list)

    def has_room(self, entries: Sequence[items.Item]) -> bool:
        """Tell whether one write takes these entries too."""
        together = [*self.entries, *entries]
        return len(together) <= MOST_ENTRIES and sum(map(items.size_of, together)) <= MOST_ENTRY_BYTES


class Commits:
    """Has the jobs of each row worked off by one thread at a time; `start` runs something in a thread."""

    def __init__(
        self, calls: Calls, trail: Trail, start: Callable[[Callable[[], None]], object], *, patience: float
    ) -> None:
        self._calls, self._trail, self._start, self._patience = calls, trail, start, patience
        self._lock = threading.Lock()
        self._waiting: dict[RequestKey, list[Job]] = {}  # has a row's entry as long as a thread works on it

    def add(self, key: RequestKey, job: Job) -> None:
        """Have a job done; whoever cancels it before it began is passed over."""
        with self._lock:
            at_work = key in self._waiting
            self._waiting.setdefault(key, []).append(job)
        if not at_work:
            self._start(partial(self._work_off, key))

    def _work_off(self, key: RequestKey) -> None:
        while (taken := self._taken(key)) is not None:
            jobs: Sequence[Job] = [job for job in taken if job.done.set_running_or_notify_cancel()]
            while jobs:
                jobs = _Commit(self._calls, self._trail, key, jobs).run(Patience(self._patience))

    def _taken(self, key: RequestKey) -> list[Job] | None:
        """Return the jobs to be done next; None if there is nothing left, and then this thread must not come back."""
        with self._lock:
            waiting = self._waiting[key]
            if not waiting:
                del self._waiting[key]
                return None
            self._waiting[key] = waiting[MOST_TOGETHER:]
            return waiting[:MOST_TOGETHER]


class _Commit:
    """One write of one row for some jobs, tried until it is done or there is no time left."""

    def __init__(self, calls: Calls, trail: Trail, key: RequestKey, jobs: Sequence[Job]) -> None:
        self._calls, self._trail, self._key, self._jobs = calls, trail, key, jobs
        self._lost: dict[str, tuple[int, _Outcomes]] = {}  # by name: writes of which nobody knows what became

    def run(self, patience: Patience) -> Sequence[Job]:
        """Try until the jobs are answered; return those for which this write has no room."""
        try:
            outcomes = self._tried(patience)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits, in the other thread
            outcomes = [self._doubted(error)] * len(self._jobs)
        self._tell(outcomes)
        return self._jobs[len(outcomes) :]

    def _doubted(self, error: Exception) -> Exception:
        """Say that nobody knows, if a write was lost before: whatever happened since, it may be stored."""
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
        if (outcomes := self._landed(former)) is not None:
            return outcomes
        draft = self._composed(former.record)
        if draft.row is not None and draft.row is not former.record:
            self._write(former, draft.row, draft, patience)
        return draft.outcomes

    def _landed(self, former: items.Stored) -> _Outcomes | None:
        """Return the outcomes of a lost write that had its effect. Raises StoreUnavailable where nobody can tell."""
        for name, (version, outcomes) in self._lost.items():
            if name in former.writes:
                return outcomes
            if not former.tells_of(version):
                raise StoreUnavailable(f"request {self._key}: a reply was lost, and too many have written since")
        return None

    def _composed(self, former: Record | None) -> _Draft:
        """Apply the jobs one after the other, as many as one write takes."""
        draft = _Draft(former)
        for job in self._jobs:
            try:
                after = self._applied(draft, job)
            except Exception as error:  # noqa: BLE001  # what one change raises is its own business
                draft.outcomes.append(error)
            else:
                if after is None:
                    break
                draft.outcomes.append(after)
        return draft

    def _applied(self, draft: _Draft, job: Job) -> Record | None:
        """Apply a job to what is drafted; None if it has to wait for the next write."""
        after, said = changed(draft.row, self._key, job.change, now=job.now)
        if after.version == (draft.row.version if draft.row else 0):
            return after
        items.row_item(after, ())  # raises for one that is too large, before others build on it
        entries = self._trail.placed(said)
        if not draft.has_room(entries):
            if not draft.entries:
                raise items.RowTooLarge(
                    f"request {self._key}: {len(said)} steps of decisions do not fit into one write"
                )
            return None
        draft.row = after
        draft.entries += entries
        return after

    def _write(self, former: items.Stored, record: Record, draft: _Draft, patience: Patience) -> None:
        name = items.write_name(record.version)
        row = {"Item": items.row_item(record, (*former.writes, name)), **_as_it_was(former.record)}
        self._trail.open_days(draft.entries, patience)
        try:
            self._calls.put(row, *({"Item": each} for each in draft.entries))
        except ReplyLost:
            self._lost[name] = (record.version, draft.outcomes)
            raise

    def _tell(self, outcomes: _Outcomes) -> None:
        for job, outcome in zip(self._jobs, outcomes, strict=False):  # who has no outcome waits for the next write
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)


def _as_it_was(former: Record | None) -> dict[str, object]:
    """Return the condition that nobody has written since."""
    if former is None:
        return {"ConditionExpression": "attribute_not_exists(#pk)", "ExpressionAttributeNames": {"#pk": "pk"}}
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": items.number(former.version)},
    }
