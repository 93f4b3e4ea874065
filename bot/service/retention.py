"""Drops what is too old to be of use to anybody: rows a year after their end."""

import structlog

from bot.ports.clock import Clock
from bot.ports.store import Store, StoreUnavailable
from bot.telemetry import Telemetry

PERIOD = 24 * 3600.0  # seconds; a row that stays a day longer harms nobody
MOST_ROUNDS = 1000  # of some hundred rows each; what is left then is tomorrow's
log = structlog.get_logger(__name__)


class Retention:
    """The loop that does it, at the start and then daily. Several processes may do it side by side."""

    def __init__(self, *, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._store, self._clock, self._telemetry = store, clock, telemetry

    async def run(self) -> None:
        """Forget until cancelled."""
        while True:
            await self.forget()
            await self._clock.sleep(PERIOD)

    async def forget(self) -> int:
        """Forget what has expired; return how many rows that were. A store that is away is asked again tomorrow."""
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
