"""The rows, with someone to wake: a store whose writes are seen at once by whoever waits in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from bot.domain.audit import steps
from bot.domain.decision import Decision
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.clock import Clock
from bot.ports.store import Change, Store, StoreUnavailable
from bot.service.auditing import log_audit_entry

LEASE = timedelta(seconds=30)  # longer than one call to AWS or Teams may take; renewed before each write to Teams
LEASE_KEPT_EVERY = 10.0  # seconds between renewals while something under the lease takes its time
POLL_SECONDS = 0.5  # how often a waiting click looks for what another process wrote


class LeaseHeld(Exception):
    """Another process writes to Teams for this request now."""


@dataclass(slots=True)
class _Watch:
    """The latest row that this process wrote or read, and who waits for a newer one."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    latest: Record | None = None
    stale: bool = True  # another process may have written since
    reading: asyncio.Task[None] | None = None

    def take(self, record: Record | None) -> bool:
        """Keep a row, unless a newer one is known: answers of the store may overtake one another."""
        if record and self.latest and record.version < self.latest.version:
            return False
        self.latest, self.stale = record, False
        return True


class Rows:
    """Reads, writes and waits for rows."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self._clock = store, clock
        self._watches: dict[RequestKey, _Watch] = {}
        self.due = asyncio.Event()  # set when a row wants to be looked at sooner than planned

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row as last written by anybody."""
        return await self.store.load(key)

    async def apply(self, key: RequestKey, change: Change) -> Record:
        """Write a pure change; wake whoever waits for this row and, where it is due now, the looker."""
        now = self._clock.now()
        before: tuple[Decision, ...] = ()

        def seen(record: Record) -> Record:
            nonlocal before
            before = record.decisions
            return change(record)

        try:
            record = await self.store.apply(key, seen, now=now)
        except BaseException:
            self._doubt(key)  # what refused the change may be newer than what is known here
            raise
        self._publish(record)
        for entry in steps(before, record, at=now):  # stored already
            log_audit_entry(entry)
        if record.requeue_at and record.requeue_at <= now:
            self.due.set()
        return record

    async def requeue(self, key: RequestKey) -> Record:
        """Store that this request must be reconciled now."""
        now = self._clock.now()
        return await self.apply(key, lambda record: record.requeue_by(now))

    async def lease(self, key: RequestKey, owner: str) -> Record:
        """Take the right to write to Teams for this request. Raises LeaseHeld."""

        def lease(record: Record) -> Record:
            leased = record.leased_to(owner, now=self._clock.now(), span=LEASE)
            if leased is None:
                raise LeaseHeld
            return leased

        return await self.apply(key, lease)

    async def renew(self, key: RequestKey, owner: str, *, also: Change | None = None) -> Record:
        """Renew that right before a write to Teams. Raises LeaseHeld if it was lost meanwhile.

        `also` is changed in the same write.
        """

        def renew(record: Record) -> Record:
            renewed = record.renewed_by(owner, now=self._clock.now(), span=LEASE)
            if renewed is None:
                raise LeaseHeld
            return also(renewed) if also else renewed

        return await self.apply(key, renew)

    @asynccontextmanager
    async def kept(self, key: RequestKey, owner: str) -> AsyncIterator[None]:
        """Keep that right while something takes its time; who loses it all the same is told at the next `renew`."""
        keeping = asyncio.create_task(self._keep(key, owner))
        try:
            yield
        finally:
            keeping.cancel()

    async def _keep(self, key: RequestKey, owner: str) -> None:
        with suppress(LeaseHeld, StoreUnavailable):
            while True:
                await self._clock.sleep(LEASE_KEPT_EVERY)
                await self.renew(key, owner)

    async def wait(self, key: RequestKey, until: Callable[[Record], bool], *, seconds: float) -> Record | None:
        """Wait for a row to become so; return it as it is then, or as it is when the time is over."""
        watch = self._watches.setdefault(key, _Watch())
        watch.waiting += 1
        try:
            return await self._wait(key, watch, until, seconds)
        finally:
            watch.waiting -= 1
            if not watch.waiting:
                self._watches.pop(key, None)

    async def _wait(
        self, key: RequestKey, watch: _Watch, until: Callable[[Record], bool], seconds: float
    ) -> Record | None:
        deadline = self._clock.now().timestamp() + seconds
        while True:
            record = await self._read(key, watch)
            remaining = deadline - self._clock.now().timestamp()
            if remaining <= 0 or (record and until(record)):
                return record
            await self._changed(watch, min(remaining, POLL_SECONDS))

    async def _read(self, key: RequestKey, watch: _Watch) -> Record | None:
        """Read the row once for all who wait for it."""
        if watch.stale:
            if watch.reading is None or watch.reading.done():
                watch.reading = asyncio.create_task(self._refresh(key, watch))
            await asyncio.shield(watch.reading)
        return watch.latest  # not what was read: a write may have been faster

    async def _refresh(self, key: RequestKey, watch: _Watch) -> None:
        watch.take(await self.store.load(key))

    async def _changed(self, watch: _Watch, seconds: float) -> None:
        """Wait for a write of this process, else have the next read ask the store."""
        changed = watch.changed
        pause = asyncio.ensure_future(self._clock.sleep(seconds))
        wake = asyncio.ensure_future(changed.wait())
        try:
            done, _ = await asyncio.wait({pause, wake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            wake.cancel()
        if wake not in done:
            watch.stale = True

    def _doubt(self, key: RequestKey) -> None:
        if watch := self._watches.get(key):
            watch.stale = True

    def _publish(self, record: Record) -> None:
        watch = self._watches.get(record.key)
        if watch is None or not watch.take(record):
            return
        watch.changed.set()
        watch.changed = asyncio.Event()
