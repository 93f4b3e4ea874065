"""Changes of rows: read, changed, and written on condition that nobody came between. Knows nothing of what a change is.

Changes that wait for the same row in this process are written together, so that only processes contend, and a crowd on
one row costs one write. Whoever loses against another process reads again and applies again.

A write whose reply was lost may have had its effect, or have it later. Each write leaves its name in the row beside
those of the latest before it: who finds theirs there is done. Who does not writes again: either nobody has written
since, and of two writes on the same condition only one can succeed, or somebody has, and the lost one cannot succeed
any more. So no change is applied twice, and none that was answered is lost.
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
from bot.store import dynamodb_items as items
from bot.store.dynamodb_calls import Calls, ConditionFailed, NothingDone, Patience, ReplyLost
from bot.store.dynamodb_reading import Reading
from bot.store.versions import changed

MOST_TOGETHER = 100  # changes in one write; who comes later waits for the next
_Outcomes = Sequence[Record | Exception]  # what becomes of each job


@dataclass(frozen=True, slots=True)
class Job:
    """One change, and who waits for it."""

    change: Change
    now: datetime
    done: Future[Record] = field(default_factory=Future)


class Commits:
    """Has the jobs of each row worked off by one thread at a time; `start` runs something in a thread."""

    def __init__(self, calls: Calls, start: Callable[[Callable[[], None]], object], *, patience: float) -> None:
        self._calls, self._start, self._patience = calls, start, patience
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
            if jobs := [job for job in taken if job.done.set_running_or_notify_cancel()]:
                _Commit(self._calls, key, jobs).run(Patience(self._patience))

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

    def __init__(self, calls: Calls, key: RequestKey, jobs: Sequence[Job]) -> None:
        self._calls, self._key, self._jobs = calls, key, jobs
        self._lost: dict[str, tuple[int, _Outcomes]] = {}  # by name: writes of which nobody knows what became

    def run(self, patience: Patience) -> None:
        """Try until every job is answered."""
        try:
            self._tell(self._tried(patience))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits, in the other thread
            self._tell([self._doubted(error)] * len(self._jobs))

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
        outcomes, last = self._composed(former.record)
        if last is not None:
            self._write(former, last, outcomes)
        return outcomes

    def _landed(self, former: items.Stored) -> _Outcomes | None:
        """Return the outcomes of a lost write that had its effect. Raises StoreUnavailable where nobody can tell."""
        for name, (version, outcomes) in self._lost.items():
            if name in former.writes:
                return outcomes
            if not former.tells_of(version):
                raise StoreUnavailable(f"request {self._key}: a reply was lost, and too many have written since")
        return None

    def _composed(self, former: Record | None) -> tuple[_Outcomes, Record | None]:
        """Apply the jobs one after the other; return what becomes of each, and the row to write (None: none)."""
        row, outcomes, last = former, list[Record | Exception](), None
        for job in self._jobs:
            try:
                after = changed(row, self._key, job.change, now=job.now)
                if after.version != (row.version if row else 0):
                    items.row_item(after, ())  # raises for one that is too large, before others build on it
                    row = last = after
            except Exception as error:  # noqa: BLE001  # what one change raises is its own business
                outcomes.append(error)
            else:
                outcomes.append(after)
        return outcomes, last

    def _write(self, former: items.Stored, record: Record, outcomes: _Outcomes) -> None:
        name = items.write_name(record.version)
        item = items.row_item(record, (*former.writes, name))
        try:
            self._calls.once("put_item", Item=item, **_as_it_was(former.record))
        except ReplyLost:
            self._lost[name] = (record.version, outcomes)
            raise

    def _tell(self, outcomes: _Outcomes) -> None:
        for job, outcome in zip(self._jobs, outcomes, strict=True):
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
