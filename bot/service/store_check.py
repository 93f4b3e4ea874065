"""Checks whether the store's data is there and undamaged, and reports what it finds to log and readiness."""

from typing import Final

import structlog

from bot.ports.clock import Clock
from bot.ports.store import Store, StoreUnavailable
from bot.service.checks.check import Check, Problem
from bot.telemetry import Telemetry

CHECK: Final = "store"  # the name of this check in /readyz
log = structlog.get_logger(__name__)


def store_check(store: Store) -> Check:
    """Check that the store's data is there and undamaged."""

    async def find() -> Problem | None:
        try:
            await store.check()
        except StoreUnavailable as unavailable:
            return Problem(str(unavailable), "")
        return None

    return Check(CHECK, find)


class StoreCheck:
    """The loop that checks the store. `period` is the time in seconds between two checks."""

    def __init__(self, *, store: Store, clock: Clock, telemetry: Telemetry, period: float) -> None:
        self._store, self._clock, self._telemetry, self._period = store, clock, telemetry, period

    async def run(self) -> None:
        """Check until cancelled, the first time immediately."""
        if self._store.created:
            log.warning("store_created")
        while True:
            await self.check()
            await self._clock.sleep(self._period)

    async def check(self) -> None:
        """Check once. `Health` logs each change."""
        if problem := await store_check(self._store).find():
            self._telemetry.store_errors.inc()
            self._telemetry.health.failed(CHECK, problem.code, problem.advice)
        else:
            self._telemetry.health.succeeded(CHECK)
