"""Deletes expired rows, for which `Record.expires_at` says when, and old audit entries."""

import structlog

from bot.ports.clock import Clock
from bot.ports.store import Store, StoreUnavailable
from bot.telemetry import Telemetry

PERIOD = 24 * 3600.0  # seconds; a row that stays a day longer does no harm
MOST_ROUNDS = 1000  # rounds of about a hundred rows; the rest is deleted the next day
log = structlog.get_logger(__name__)


class Retention:
    """The loop that deletes old rows, at the start and then daily. Several processes may run it at the same time."""

    def __init__(self, *, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._store, self._clock, self._telemetry = store, clock, telemetry

    async def run(self) -> None:
        """Delete old rows once a day until cancelled, the first time immediately."""
        while True:
            await self.forget()
            await self._clock.sleep(PERIOD)

    async def forget(self) -> int:
        """Delete expired rows and audit entries; return their number. If the store fails, the rest stays for now."""
        forgotten = 0
        try:
            for _ in range(MOST_ROUNDS):
                dropped = await self._store.forget_expired(self._clock.now())
                forgotten += dropped
                if not dropped:
                    break
        except StoreUnavailable as problem:
            self._telemetry.store_errors.inc()
            log.warning("rows_not_forgotten", code=str(problem))
        if forgotten:
            log.info("rows_forgotten", count=forgotten)
        return forgotten
