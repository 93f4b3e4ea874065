"""Finds the rows that are due and has each converged. The only caller of converge."""

import asyncio
from datetime import datetime, timedelta

import structlog

from bot.domain.request import RequestKey
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.reconcile.reconciler import Reconciler
from bot.service.rows import LeaseHeld, Rows
from bot.telemetry import Telemetry

SIDE_BY_SIDE = 8  # looks at once: enough to hide AWS's latency, few enough for its quota of 3 calls a second
SHORTEST_SLEEP = 0.1  # seconds; a store may know of a moment that has come before it lists what is due
LONGEST_SLEEP = 1.0  # seconds; what another process made due is found within this
LEASED_PAUSE = timedelta(seconds=1)  # before a request is tried again that another process is busy with
STORE_PAUSE = 2.0  # seconds before the store is tried again
UNWRITABLE_PAUSE = timedelta(seconds=10)  # before a row is tried again that the store would not take or could not read
log = structlog.get_logger(__name__)


class ReconcileLoop:
    """The loop that converges due rows."""

    def __init__(self, *, rows: Rows, reconciler: Reconciler, clock: Clock, telemetry: Telemetry) -> None:
        self._rows, self._reconciler, self._clock, self._telemetry = rows, reconciler, clock, telemetry
        self._active: dict[RequestKey, asyncio.Task[None]] = {}
        self._elsewhere: dict[RequestKey, datetime] = {}  # not tried before: another process is busy with it

    async def run(self) -> None:
        """Converge due rows until cancelled; the looks under way go on, `drain` waits for them."""
        while True:
            self._rows.due.clear()
            await self._start_due()
            await self._pause()

    async def drain(self) -> None:
        """Wait for the looks that are under way; cut short, cancel them: their rows are due again by the lease."""
        looks = tuple(self._active.values())
        try:
            await asyncio.gather(*looks, return_exceptions=True)
        finally:
            for look in looks:
                look.cancel()

    async def _start_due(self) -> None:
        now = self._clock.now()
        self._elsewhere = {key: until for key, until in self._elsewhere.items() if until > now}
        passed_over = len(self._active) + len(self._elsewhere)
        try:
            due = await self._rows.store.due(now, SIDE_BY_SIDE + passed_over)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            await self._clock.sleep(STORE_PAUSE)
            return
        for key in due:
            if key not in self._active and key not in self._elsewhere and len(self._active) < SIDE_BY_SIDE:
                self._active[key] = asyncio.create_task(self._reconcile(key))

    async def _reconcile(self, key: RequestKey) -> None:
        try:
            await self._reconciler.reconcile(key)
        except LeaseHeld:  # its place is for another request meanwhile
            self._elsewhere[key] = self._clock.now() + LEASED_PAUSE
        except Exception:  # one request that cannot be looked at must not end the loop for all others
            log.exception("look_failed", request=str(key))
            await self._put_off(key)
        finally:
            del self._active[key]
            self._rows.due.set()

    async def _put_off(self, key: RequestKey) -> None:
        """Look again after a minute instead of at once and for ever."""
        self._telemetry.reconciliations.labels(outcome="crashed").inc()
        try:
            await self._reconciler.put_off(key, timedelta(minutes=1))
        except StoreUnavailable:  # not even that can be written down; the row stays due, so do not spin
            self._telemetry.store_errors.inc()
            self._elsewhere[key] = self._clock.now() + UNWRITABLE_PAUSE  # if it is this row alone, the others go on

    async def _pause(self) -> None:
        """Wait until something is due: told so by this process, or by the clock."""
        wake = asyncio.ensure_future(self._rows.due.wait())
        pause = asyncio.ensure_future(self._clock.sleep(await self._seconds_to_next()))
        try:
            await asyncio.wait({wake, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()
            pause.cancel()

    async def _seconds_to_next(self) -> float:
        try:
            next_due = await self._rows.store.next_due()
        except StoreUnavailable:
            return LONGEST_SLEEP
        if next_due is None or self._active or self._elsewhere:
            return LONGEST_SLEEP
        return min(max(SHORTEST_SLEEP, (next_due - self._clock.now()).total_seconds()), LONGEST_SLEEP)
