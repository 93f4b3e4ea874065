"""Finds due rows and reconciles them, a few at a time. The only caller of `Reconciler.reconcile`."""

import asyncio
from datetime import datetime, timedelta

import structlog
from structlog.contextvars import bound_contextvars

from bot.concurrency.waiting import first_of
from bot.domain.request import RequestKey
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.reconcile.reconciler import Reconciler
from bot.service.rows import LeaseHeld, Rows
from bot.telemetry import Telemetry

SIDE_BY_SIDE = 8  # reconciliations at once: enough to hide AWS's latency, few enough for its quota of 3 calls a second
SHORTEST_SLEEP = 0.1  # seconds; a store may return a time as next_due shortly before due() lists its row
LONGEST_SLEEP = 1.0  # seconds; a row that another process made due is found within this time
LEASED_PAUSE = timedelta(seconds=1)  # pause before the next attempt at a request that another process is reconciling
CRASHED_PAUSE = timedelta(minutes=1)  # pause after an unexpected error, which would probably occur again at once
STORE_PAUSE = 2.0  # seconds before the next attempt after the store failed
UNWRITABLE_PAUSE = timedelta(seconds=10)  # before the next attempt at a row that the store could not read or write
log = structlog.get_logger(__name__)


class ReconcileLoop:
    """Starts a reconciliation for each due row, SIDE_BY_SIDE at most."""

    def __init__(self, *, rows: Rows, reconciler: Reconciler, clock: Clock, telemetry: Telemetry) -> None:
        self._rows, self._reconciler, self._clock, self._telemetry = rows, reconciler, clock, telemetry
        self._active: dict[RequestKey, asyncio.Task[None]] = {}
        self._put_aside: dict[RequestKey, datetime] = {}  # due rows that are not tried before this time

    async def run(self) -> None:
        """Reconcile due rows until cancelled. Reconciliations in progress then continue; `drain` waits for them."""
        while True:
            self._rows.due.clear()
            await self._start_due()
            # computed first, so that a cancellation leaves no coroutine that never ran
            pause = await self._seconds_to_next()
            await first_of(self._rows.due.wait(), self._clock.sleep(pause))

    async def drain(self) -> None:
        """Wait for reconciliations in progress. If cancelled, cancel them: the rows are due when the leases end."""
        active = tuple(self._active.values())
        try:
            await asyncio.gather(*active, return_exceptions=True)
        finally:
            for task in active:
                task.cancel()

    async def _start_due(self) -> None:
        now = self._clock.now()
        self._put_aside = {key: until for key, until in self._put_aside.items() if until > now}
        passed_over = len(self._active) + len(self._put_aside)
        try:
            due = await self._rows.store.due(now, SIDE_BY_SIDE + passed_over)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            await self._clock.sleep(STORE_PAUSE)
            return
        for key in due:
            if key not in self._active and key not in self._put_aside and len(self._active) < SIDE_BY_SIDE:
                self._active[key] = asyncio.create_task(self._reconcile(key))

    async def _reconcile(self, key: RequestKey) -> None:
        # all log lines of this reconciliation name the request, including the adapters' lines
        with bound_contextvars(request=str(key)):
            try:
                await self._reconciler.reconcile(key)
            except LeaseHeld:  # another request is reconciled meanwhile
                self._put_aside[key] = self._clock.now() + LEASED_PAUSE
            except Exception:  # one request that cannot be reconciled must not end the loop for all others
                log.exception("look_failed")
                await self._put_off(key)
            finally:
                del self._active[key]
                self._rows.due.set()

    async def _put_off(self, key: RequestKey) -> None:
        """Make this request wait for CRASHED_PAUSE, instead of trying it again immediately."""
        self._telemetry.reconciliations.labels(outcome="crashed").inc()
        try:
            await self._reconciler.put_off(key, CRASHED_PAUSE)
        except StoreUnavailable:  # the row stays due: do not spin, and let other rows go first
            self._telemetry.store_errors.inc()
            self._put_aside[key] = self._clock.now() + UNWRITABLE_PAUSE

    async def _seconds_to_next(self) -> float:
        try:
            next_due = await self._rows.store.next_due()
        except StoreUnavailable:
            return LONGEST_SLEEP
        if next_due is None or self._active or self._put_aside:
            return LONGEST_SLEEP
        return min(max(SHORTEST_SLEEP, (next_due - self._clock.now()).total_seconds()), LONGEST_SLEEP)
