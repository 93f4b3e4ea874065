"""Reads, writes and leases rows for the services, and waits for changes.

A write in this process immediately wakes all waiters of the row in this process. Writes of other processes are found by
polling.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress

import structlog

from bot.concurrency.background import Background, alongside
from bot.concurrency.backoff import backoff
from bot.concurrency.single_flight import SingleFlight
from bot.concurrency.waiting import first_of
from bot.domain.audit import steps
from bot.domain.record import ROW_LEASE, Record
from bot.domain.request import RequestKey
from bot.domain.storable import storable_row
from bot.ports.clock import Clock
from bot.ports.store import Change, RowUnreadable, Store, StoreDamaged, StoreUnavailable
from bot.service.auditing import log_audit_entry

LEASE_RENEWED_EVERY = 10.0  # seconds between renewals, while work under the lease continues
DEFERRED_BRIEFLY = 0.05  # seconds; a delivery's own write is stored by then, unless it waits for a roster, for example
POLL_SECONDS = 0.5  # between reads of a row that another process may have written
PERSIST_SECONDS = 60.0  # in which a write is repeated: at least the longest hold, after which others take over at once
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0  # seconds between the tries of such a write
log = structlog.get_logger(__name__)


class LeaseHeld(Exception):
    """Another process has the row's lease: only that process may write to Teams for this request now."""


def is_outdated(record: Record | None, latest: Record | None) -> bool:
    """True if a newer version of the row is known: the store's answers may arrive out of order."""
    return record is not None and latest is not None and record.version < latest.version


class _Watch:
    """The newest known version of one row, for the waiters in this process. `load` reads the row from the store."""

    def __init__(self, load: Callable[[], Awaitable[Record | None]]) -> None:
        self._load = load
        self._reading = SingleFlight(self._refresh)
        self._latest: Record | None = None
        self.changed = asyncio.Event()
        self.waiting = 0
        self.stale = True  # another process may have written since

    async def read(self) -> Record | None:
        """Return the row, read from the store if it is stale; None if there is none. All waiters share one read."""
        if self.stale:
            await self._reading.join()
        return self._latest  # not necessarily the row just read: a write of this process may be newer

    def take(self, record: Record | None) -> bool:
        """Keep a row unless a newer one is known; return whether it was kept."""
        if is_outdated(record, self._latest):
            return False
        self._latest, self.stale = record, False
        return True

    async def _refresh(self) -> None:
        self.take(await self._load())


class Rows:
    """Reads, writes and leases rows, and waits for changes. Every call may raise StoreUnavailable.

    `storable` makes the last change before each write of a row.
    """

    def __init__(self, store: Store, clock: Clock, *, storable: Change) -> None:
        self.store, self._clock, self._storable = store, clock, storable
        self._watches: dict[RequestKey, _Watch] = {}
        self._deferred: dict[RequestKey, tuple[Change, ...]] = {}
        self._background = Background()
        self.due = asyncio.Event()  # set when a row may be due; wakes the reconcile loop

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row as last written by any process; None if there is none."""
        return await self.store.load(key)

    async def apply(self, key: RequestKey, change: Change) -> Record:
        """Write a pure change, after those that were deferred. Wakes the waiters of this row.

        If the row is due now, it wakes the reconcile loop, too. The errors of `change` pass through.
        """
        now = self._clock.now()
        before, deferred = Record(key, now), tuple[Change, ...]()

        def seen(record: Record) -> Record:
            nonlocal before, deferred
            before, deferred = record, self._deferred.get(key, ())
            for each in deferred:
                record = storable_row(each(record), record)
            return self._storable(change(record))

        try:
            record = await self.store.apply(key, seen, now=now)
        except BaseException:
            self._mark_stale(key)  # the change may have been refused because of a newer row
            raise
        self._drop_written(key, deferred)
        self._publish(record)
        for entry in steps(before, record, at=now):  # the same write has stored them
            log_audit_entry(entry)
        if record.requeue_at and record.requeue_at <= now:
            self.due.set()
        return record

    def defer(self, record: Record, change: Change) -> Record:
        """Return the row with a pure change that is stored in the same write as the next change of the row.

        For the holder of the lease, who writes the row again at once: a change that is deferred is lost in a crash. It
        must be correct on its own result. It stays deferred until a write with it succeeds, or `forget_deferred`: other
        writes of this process, which may be refused, are in progress at the same time.
        """
        self._deferred[record.key] = (*self._deferred.get(record.key, ()), change)
        return storable_row(change(record), record)

    def defer_briefly(self, record: Record, change: Change) -> Record:
        """Defer a change like `defer`, but for DEFERRED_BRIEFLY at most: a click waits for what was read."""
        self._background.begin(self._write_deferred(record.key, change))
        return self.defer(record, change)

    async def _write_deferred(self, key: RequestKey, change: Change) -> None:
        await self._clock.sleep(DEFERRED_BRIEFLY)
        if change in self._deferred.get(key, ()):
            with suppress(StoreUnavailable):  # the changes stay deferred: the next write tries again
                await self.apply(key, lambda record: record)

    def is_awaited(self, key: RequestKey) -> bool:
        """True while somebody in this process waits for the row, such as a click for its answer."""
        return key in self._watches

    def forget_deferred(self, key: RequestKey) -> None:
        """Drop the changes that are deferred: a write with them failed, or the holder of the lease has ended."""
        self._deferred.pop(key, None)

    async def persist(self, key: RequestKey, change: Change) -> Record:
        """Write a pure change as `apply` does, and repeat the write for PERSIST_SECONDS while the store fails.

        A try whose answer was lost may be stored, so `change` must be correct on its own result. Raises
        StoreUnavailable: immediately if waiting does not help, because the row is unreadable or the store is damaged.
        """
        last, failures = self._clock.epoch() + PERSIST_SECONDS, 0
        while True:
            try:
                return await self.apply(key, change)
            except (RowUnreadable, StoreDamaged):
                raise
            except StoreUnavailable as problem:
                if self._clock.epoch() >= last:
                    raise
                log.warning("write_repeated", reason=str(problem), failed=failures + 1)
            await self._clock.sleep(backoff(failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE))
            failures += 1

    async def requeue(self, key: RequestKey) -> Record:
        """Store that this request must be reconciled now."""
        now = self._clock.now()
        return await self.apply(key, lambda record: record.requeue_by(now))

    # --- the right to write to Teams

    async def lease(self, key: RequestKey, owner: str) -> Record:
        """Take the lease: the right to write to Teams for this request. Raises LeaseHeld if another process has it."""

        def lease(record: Record) -> Record:
            now = self._clock.now()
            leased = record.corrected(now).leased_to(owner, now=now, span=ROW_LEASE)
            if leased is None:
                raise LeaseHeld
            return leased

        return await self.apply(key, lease)

    async def renew(self, key: RequestKey, owner: str, *, also: Change | None = None) -> Record:
        """Renew the lease right before a write to Teams. Raises LeaseHeld if it was lost.

        `also` is a further change in the same write.
        """

        def renew(record: Record) -> Record:
            renewed = record.renewed_by(owner, now=self._clock.now(), span=ROW_LEASE)
            if renewed is None:
                raise LeaseHeld
            return also(renewed) if also else renewed

        return await self.apply(key, renew)

    def lease_kept(self, key: RequestKey, owner: str) -> AbstractAsyncContextManager[None]:
        """Renew the lease during the block. If the lease is lost anyway, the next `renew` raises LeaseHeld."""
        return alongside(self._keep_lease(key, owner))

    async def _keep_lease(self, key: RequestKey, owner: str) -> None:
        with suppress(LeaseHeld, StoreUnavailable):
            while True:
                await self._clock.sleep(LEASE_RENEWED_EVERY)
                await self.renew(key, owner)

    # --- waiting

    async def wait(self, key: RequestKey, until: Callable[[Record], bool], *, seconds: float) -> Record | None:
        """Wait until the row meets a condition, at most `seconds`. Return the newest row; None if there is none."""
        watch = self._watches.setdefault(key, _Watch(lambda: self.store.load(key)))
        watch.waiting += 1
        try:
            return await self._wait(watch, until, seconds)
        finally:
            watch.waiting -= 1
            if not watch.waiting:
                self._watches.pop(key, None)

    async def _wait(self, watch: _Watch, until: Callable[[Record], bool], seconds: float) -> Record | None:
        deadline = self._clock.now().timestamp() + seconds
        while True:
            record = await watch.read()
            remaining = deadline - self._clock.now().timestamp()
            if remaining <= 0 or (record and until(record)):
                return record
            pause = self._clock.sleep(min(remaining, POLL_SECONDS))
            if not await first_of(watch.changed.wait(), pause):
                watch.stale = True  # no write in this process: read the store again

    def _drop_written(self, key: RequestKey, written: tuple[Change, ...]) -> None:
        """Drop the deferred changes that a write has stored."""
        left = tuple(each for each in self._deferred.get(key, ()) if each not in written)
        if left:
            self._deferred[key] = left
        else:
            self._deferred.pop(key, None)

    def _mark_stale(self, key: RequestKey) -> None:
        if watch := self._watches.get(key):
            watch.stale = True

    def _publish(self, record: Record) -> None:
        watch = self._watches.get(record.key)
        if watch is None or not watch.take(record):
            return
        watch.changed.set()
        watch.changed = asyncio.Event()
