"""Finds due rows and reconciles them, a few at a time. The only caller of `Reconciler.reconcile`."""

import asyncio
from datetime import datetime, timedelta

import structlog
from structlog.contextvars import bound_contextvars

from bot.concurrency.backoff import backoff
from bot.concurrency.waiting import first_of
from bot.domain.request import RequestKey
from bot.domain.spans import runs
from bot.ports.clock import Clock
from bot.ports.store import RowUnreadable, StoreDamaged, StoreUnavailable
from bot.service.reconcile.reconciler import Reconciler
from bot.service.rows import LeaseHeld, Rows
from bot.telemetry import Telemetry

SIDE_BY_SIDE = 8  # reconciliations at once: enough to hide AWS's latency, few enough for its quota of 3 calls a second
SHORTEST_SLEEP = 0.1  # seconds; a store may return a time as next_due shortly before due() lists its row
LONGEST_SLEEP = 1.0  # seconds; a row that another process made due is found within this time
LEASED_PAUSE = timedelta(seconds=1)  # pause before the next attempt at a request that another process is reconciling
CRASHED_PAUSE = timedelta(minutes=1)  # pause after an unexpected error, which would probably occur again at once
STORE_PAUSE = 2.0  # seconds before the next attempt after the store failed
UNREADABLE_PAUSE = timedelta(seconds=10)  # the longest; before the next attempt at a row that this version cannot read
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=0.5), timedelta(seconds=4)  # pauses after the store failed for a row
log = structlog.get_logger(__name__)


class ReconcileLoop:
    """Starts a reconciliation for each due row, SIDE_BY_SIDE at most."""

    def __init__(self, *, rows: Rows, reconciler: Reconciler, clock: Clock, telemetry: Telemetry) -> None:
        self._rows, self._reconciler, self._clock, self._telemetry = rows, reconciler, clock, telemetry
        self._active: dict[RequestKey, asyncio.Task[None]] = {}
        self._put_aside: dict[RequestKey, datetime] = {}  # rows that are not tried before this time
        self._failures: dict[RequestKey, int] = {}  # consecutive failures of the store; such rows are tried, due or not

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
        if len(self._active) >= SIDE_BY_SIDE:
            return  # the end of one of them wakes the loop
        now = self._clock.now()
        waiting = self._put_aside.items()
        self._put_aside = {key: until for key, until in waiting if runs(until, now=now, span=UNREADABLE_PAUSE)}
        passed_over = len(self._active) + len(self._put_aside)
        try:
            due = await self._rows.store.due(now, SIDE_BY_SIDE + passed_over)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            await self._clock.sleep(STORE_PAUSE)
            return
        # a row whose lease could not be given back is not due before the lease ends, but this process has the lease
        for key in dict.fromkeys([*self._failures, *due]):
            if key not in self._active and key not in self._put_aside and len(self._active) < SIDE_BY_SIDE:
                self._active[key] = asyncio.create_task(self._reconcile(key))

    async def _reconcile(self, key: RequestKey) -> None:
        # all log lines of this reconciliation name the request, including the adapters' lines
        with bound_contextvars(request=str(key)):
            failures = self._failures.pop(key, 0)
            try:
                await self._reconciler.reconcile(key)
            except LeaseHeld:  # another request is reconciled meanwhile
                self._put_aside[key] = self._clock.now() + LEASED_PAUSE
            except Exception as error:  # one request that cannot be reconciled must not end the loop for all others
                log.exception("look_failed")
                self._telemetry.reconciliations.labels(outcome="crashed").inc()
                await self._failed(key, error, failures)
            finally:
                del self._active[key]
                self._rows.due.set()

    async def _failed(self, key: RequestKey, error: Exception, failures: int) -> None:
        """Choose when to try this request again. The store had failed for it `failures` times before."""
        match error:
            case RowUnreadable() | StoreDamaged():
                self._telemetry.store_errors.inc()
                self._put_aside[key] = self._clock.now() + UNREADABLE_PAUSE
            case StoreUnavailable():
                self._try_again(key, failures)
            case _:
                try:
                    await self._reconciler.put_off(key, CRASHED_PAUSE)  # it would probably fail again at once
                except StoreUnavailable:
                    self._try_again(key, failures)

    def _try_again(self, key: RequestKey, failures: int) -> None:
        """Try this request again soon: the store has failed once more."""
        self._telemetry.store_errors.inc()
        pause = backoff(failures, first=FIRST_RETRY, longest=LONGEST_RETRY)
        self._put_aside[key], self._failures[key] = self._clock.now() + pause, failures + 1

    async def _seconds_to_next(self) -> float:
        if self._active or self._put_aside:
            return LONGEST_SLEEP
        try:
            next_due = await self._rows.store.next_due()
        except StoreUnavailable:
            return LONGEST_SLEEP
        if next_due is None:
            return LONGEST_SLEEP
        return min(max(SHORTEST_SLEEP, (next_due - self._clock.now()).total_seconds()), LONGEST_SLEEP)
