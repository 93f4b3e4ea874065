"""Retries waiting messages immediately if the bot is added or a conversation comes back."""

from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from bot.domain.record import Record
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.rows import Rows
from bot.telemetry import Telemetry

MOST_FAILURES: Final = 5  # writes; after these, the store itself has failed
log = structlog.get_logger(__name__)


class InstallationEvents:
    """Makes rows due that wait for Teams. The event does not name the team's channels: all channels are retried."""

    def __init__(self, *, rows: Rows, clock: Clock, telemetry: Telemetry) -> None:
        self._rows, self._clock, self._telemetry = rows, clock, telemetry

    async def arrived(self) -> None:
        """Make all rows due that have a waiting message, or a requester who may be in a roster that was not read.

        A row that the store cannot write keeps its later retry time; after MOST_FAILURES of them, so do all others.
        """
        failures = due = 0
        try:
            waiting = [row.key async for page in self._rows.store.watched() for row in page.rows if _waits(row)]
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            return
        for key in waiting:
            try:
                await self._rows.apply(key, lambda row: _due(row, self._clock.now()))
                due += 1
            except StoreUnavailable:
                self._telemetry.store_errors.inc()
                if (failures := failures + 1) == MOST_FAILURES:
                    break
        log.info("arrival_noted", due=due)


def _waits(record: Record) -> bool:
    sought = record.requester is not None and record.requester.may_be_found
    return sought or any(surface.retry_at and surface.woken() != surface for surface in record.surfaces)


def _due(record: Record, now: datetime) -> Record:
    return replace(record, surfaces=tuple(each.woken() for each in record.surfaces)).requeue_by(now)
