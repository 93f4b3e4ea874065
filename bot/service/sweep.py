"""Compares AWS's lists with the rows, and marks as due what differs. Makes up for every event that was lost.

The list of pending requests alone is enough: a row that is open here and pending there no longer must be looked at.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports import AwsUnavailable, Clock, Requests, Sighting, StoreUnavailable
from bot.service.configured import Configured
from bot.service.rows import Rows
from bot.telemetry import Telemetry

OVERLAP = timedelta(minutes=5)  # AWS's lists may lag behind its clock; what is listed twice costs nothing
FIRST_SPAN = timedelta(days=14)  # longest access window: what was approved before has ended
log = structlog.get_logger(__name__)


class Sweep:
    """The loop that lists every configured account and Region."""

    def __init__(
        self,
        *,
        rows: Rows,
        requests: Requests,
        clock: Clock,
        configured: Configured,
        period: float,
        telemetry: Telemetry,
    ) -> None:
        self._rows, self._requests, self._clock = rows, requests, clock
        self._configured, self._period, self._telemetry = configured, period, telemetry

    async def run(self) -> None:
        """Sweep at the start and then every `period` seconds, until cancelled."""
        while True:
            await self.sweep()
            await self._clock.sleep(self._period)

    async def sweep(self) -> None:
        """Sweep every configured account and Region once; one that fails does not hinder the others."""
        for account, regions in self._configured.accounts.items():
            for region in sorted(regions):
                await self._sweep_safely(account, region)

    async def _sweep_safely(self, account: str, region: str) -> None:
        name = f"sweep {account} {region}"
        try:
            await self._sweep(account, region)
        except AwsUnavailable as problem:
            self._telemetry.health.failed(name, problem.code)
            log.warning("sweep_failed", account=account, region=region, code=problem.code)
        except StoreUnavailable as problem:
            self._telemetry.store_errors.inc()
            log.warning("sweep_failed", account=account, region=region, code=str(problem))
        else:
            self._telemetry.health.succeeded(name)

    async def _sweep(self, account: str, region: str) -> None:
        began = self._clock.now()
        watermark = await self._rows.store.watermark(account, region) or began - FIRST_SPAN
        sightings = await self._requests.sightings(account, region, watermark - OVERLAP)
        due = await self._differing(account, region, sightings)
        for key in due:
            await self._rows.look(key)
        await self._rows.store.advance_watermark(account, region, began)
        seconds = (self._clock.now() - began).total_seconds()
        self._telemetry.swept(account, region, seconds=seconds, at=self._clock.now())
        log.info("sweep_done", account=account, region=region, listed=len(sightings), due=len(due), seconds=seconds)

    async def _differing(self, account: str, region: str, sightings: Iterable[Sighting]) -> list[RequestKey]:
        rows = {row.key: row for row in await self._rows.store.watched() if _at(row.key, account, region)}
        self._telemetry.open_requests.labels(account=account, region=region).set(
            sum(_undecided(row) for row in rows.values())
        )
        seen = {sighting.key: sighting for sighting in sightings}
        due = {key for key, sighting in seen.items() if await self._differs(sighting, rows.get(key))}
        due |= {key for key, row in rows.items() if key not in seen and row.request and _undecided(row)}
        due |= {key for key, row in rows.items() if key in seen and _unreadable(row)}
        return sorted(due)

    async def _differs(self, sighting: Sighting, row: Record | None) -> bool:
        row = row or await self._rows.load(sighting.key)
        if row is None:
            return True
        request = row.request
        if request is None:
            return row.next_look_at is None
        if sighting.status is not None and sighting.status is not request.status:
            return True
        if sighting.step and request.waiting and sighting.step != request.waiting.step:
            return True
        return _newer(sighting.modified_at, request.modified_at)


def _undecided(row: Record) -> bool:
    return row.request is None or not row.request.status.ended


def _unreadable(row: Record) -> bool:
    """True after a look that failed as a whole; what only a part of lacks is looked at again by its own clock."""
    return bool(row.looks_failed) and (row.request is None or row.request.complete)


def _newer(seen: datetime | None, known: datetime | None) -> bool:
    return seen is not None and (known is None or seen > known)


def _at(key: RequestKey, account: str, region: str) -> bool:
    return key.account == account and key.region == region
