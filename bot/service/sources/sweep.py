"""Compares AWS's lists with the rows, and marks as due what differs. Makes up for every event that was lost.

The list of pending requests alone is enough: a row that is open here and pending there no longer must be looked at.
Every account and Region has a loop of its own, so that one that fails or hangs hinders no other; of several processes
one sweeps it at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import structlog

from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.domain.shown.card_places import is_misplaced
from bot.ports.aws import AwsUnavailable, ListedRequest, Requests
from bot.ports.clock import Clock
from bot.ports.store import RowUnreadable, StoreUnavailable
from bot.service.configured import Configured
from bot.service.rows import Rows
from bot.service.sources.listed import Listed, is_open
from bot.telemetry import Telemetry

OVERLAP = timedelta(minutes=5)  # AWS's lists may lag behind its clock; what is listed twice costs nothing
FIRST_SPAN = timedelta(days=14)  # longest access window: what was approved before has ended
LONGEST_LIFE = timedelta(days=44)  # of a request: 30 days pending, 14 days of access
SIDE_BY_SIDE = 8  # sweeps at once; each makes four calls at a time at most, and there are threads for all of them
LEASE = timedelta(seconds=10)  # of a sweep; a process that dies in the midst of one is made up for after it
OVER = datetime(1970, 1, 1, tzinfo=UTC)  # for every clock, one that was set back too
RENEWED = 3.0  # seconds between two renewals of it, while a sweep takes long
FRESH = 0.9  # periods for which another process's sweep is as good as one's own; it is counted from its beginning
SKIPPED_PAUSE = 5.0  # seconds before a process asks again whether a sweep is due
Place = tuple[str, str]  # account, Region
log = structlog.get_logger(__name__)


class Sweep:
    """The loops that list every configured account and Region. `owner` names this process."""

    def __init__(
        self,
        *,
        rows: Rows,
        requests: Requests,
        clock: Clock,
        configured: Configured,
        period: float,
        owner: str,
        telemetry: Telemetry,
    ) -> None:
        self._rows, self._requests, self._clock = rows, requests, clock
        self._configured, self._period, self._owner, self._telemetry = configured, period, owner, telemetry
        self._listed = {place: Listed() for place in configured.places}
        self._bound = asyncio.Semaphore(SIDE_BY_SIDE)
        self._skipped: set[Place] = set()
        self._foreign: set[Place] = set()

    async def run(self) -> None:
        """Sweep every place at the start, then whenever nobody has for a `period` (in seconds), until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for place in self._listed:
                    group.create_task(self._repeat(place))
        finally:
            await asyncio.gather(*(self._let_go(place) for place in self._listed))

    async def sweep(self) -> None:
        """Sweep every place once, side by side; one that fails does not hinder the others."""
        await asyncio.gather(*(self._sweep_safely(place) for place in self._listed))

    async def _repeat(self, place: Place) -> None:
        ours = await self._sweep_safely(place)  # at once, whoever swept before: it may have died right after
        while True:
            await self._clock.sleep(self._period if ours else min(self._period, SKIPPED_PAUSE))
            ours = await self._sweep_safely(place, if_due=True)

    async def _sweep_safely(self, place: Place, *, if_due: bool = False) -> bool:
        """Sweep, unless another process does, or (`if_due`) has lately; return whether it was done here."""
        async with self._bound:
            try:
                ours = await self._sweep_in_turn(place, if_due=if_due)
            except AwsUnavailable as problem:
                await self._failed(place, problem.code)
            except StoreUnavailable as problem:
                self._telemetry.store_errors.inc()
                await self._failed(place, str(problem))
            else:
                self._telemetry.health.succeeded(_check(place))
                return ours
        return True

    async def _failed(self, place: Place, code: str) -> None:
        """Tell it, and let another process try."""
        self._count(place, "failed")
        self._telemetry.health.failed(_check(place), code)
        log.warning("sweep_failed", account=place[0], region=place[1], code=code)
        await self._let_go(place)

    # --- whose turn it is

    async def _sweep_in_turn(self, place: Place, *, if_due: bool) -> bool:
        if (if_due and await self._is_fresh(place)) or not await self._lease(place, LEASE):
            self._skip(place)
            return False
        self._skipped.discard(place)
        async with self._kept(place):
            await self._sweep(place)
        await self._let_go(place)
        return True

    async def _is_fresh(self, place: Place) -> bool:
        """True while the last complete sweep, by whatever process, is too young for another one."""
        last = await self._rows.store.watermark(*place)
        return last is not None and abs(self._clock.now() - last) < timedelta(seconds=self._period * FRESH)

    def _skip(self, place: Place) -> None:
        self._count(place, "skipped")
        if place not in self._skipped:  # told once, not every few seconds
            self._skipped.add(place)
            log.info("sweep_skipped", account=place[0], region=place[1])

    async def _lease(self, place: Place, span: timedelta) -> bool:
        now = self._clock.now()
        return await self._rows.store.lease_sweep(*place, self._owner, now=now, until=now + span)

    @asynccontextmanager
    async def _kept(self, place: Place) -> AsyncIterator[None]:
        """Keep the turn for as long as the sweep takes."""
        renewing = asyncio.create_task(self._renew(place))
        try:
            yield
        finally:
            renewing.cancel()

    async def _renew(self, place: Place) -> None:
        while True:
            await self._clock.sleep(RENEWED)
            with suppress(StoreUnavailable):  # at worst the turn is lost, and another process lists the same again
                await self._lease(place, LEASE)

    async def _let_go(self, place: Place) -> None:
        with suppress(StoreUnavailable):  # it ends by itself
            await self._rows.store.lease_sweep(*place, self._owner, now=self._clock.now(), until=OVER)

    # --- one sweep

    async def _sweep(self, place: Place) -> None:
        began = self._clock.now()
        watermark = min(await self._rows.store.watermark(*place) or began - FIRST_SPAN, began)
        sightings = self._own(place, await self._requests.list_requests(*place, watermark - OVERLAP))
        stored = await self._rows.store.watched()
        unreadable = [key for key in stored.unreadable if _place(key) == place]
        rows = [row for row in stored.rows if _place(row.key) == place]
        due = await self._due(place, [each for each in sightings if each.key not in unreadable], rows)
        await self._requeue(due, unreadable)
        await self._rows.store.advance_watermark(*place, began)
        self._tell_done(place, began, listed=len(sightings), due=len(due))

    async def _requeue(self, due: Iterable[RequestKey], unreadable: Iterable[RequestKey]) -> None:
        """Make rows due; one that the store does not take, or give, hinders no other, and then the sweep has failed."""
        problems = [
            StoreUnavailable(f"request {key} is stored in a shape that is not known here") for key in unreadable
        ]
        for key in due:
            try:
                await self._rows.requeue(key)
            except StoreUnavailable as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    async def _due(self, place: Place, sightings: list[ListedRequest], rows: Iterable[Record]) -> list[RequestKey]:
        watched = {row.key: row for row in rows}
        account, region = place
        self._telemetry.open_requests.labels(account=account, region=region).set(sum(map(is_open, watched.values())))
        told = [*sightings, *await self._revoked(place, watched)]
        answered_at = self._clock.now()
        others = {}
        for each in sightings:
            if each.key not in watched:
                with suppress(RowUnreadable):  # a newer version wrote it; nothing can be done about it here
                    others[each.key] = await self._rows.load(each.key)
        told = [each for each in told if each.key in watched or each.key in others]
        news = self._listed[place].news(told, {**watched, **others}, now=answered_at)
        outdated = (key for key, row in watched.items() if self._is_outdated(row))
        return sorted({*news, *outdated})

    def _is_outdated(self, row: Record) -> bool:
        """True for a row that a former file put into its channel, or said of who asks."""
        return is_misplaced(row, self._configured.rules.channels) or self._configured.identified_by_former_rules(row)

    async def _revoked(self, place: Place, watched: Mapping[RequestKey, Record]) -> list[ListedRequest]:
        """List what was revoked of the approvals whose access still runs; nothing is asked while there are none."""
        running = [row.request for row in watched.values() if row.request and row.request.status is Status.APPROVED]
        if not running:
            return []
        earliest = self._clock.now() - LONGEST_LIFE
        since = min(request.requested_at or earliest for request in running) - OVERLAP
        found = await self._requests.revoked(*place, max(since, earliest))
        return [each for each in found if each.key in watched]

    def _own(self, place: Place, sightings: Iterable[ListedRequest]) -> list[ListedRequest]:
        """Leave out replicas: who decides about them is asked where the request was made."""
        own = []
        for each in sightings:
            if each.replica_of is None and _place(each.key) == place:
                own.append(each)
            else:
                self._note_foreign(each.replica_of or each.key)
        return own

    def _note_foreign(self, source: RequestKey) -> None:
        """Say once of an account and Region that its requests are seen, and get no card."""
        if self._configured.covers(source) or _place(source) in self._foreign:
            return
        self._foreign.add(_place(source))
        log.warning("account_not_configured", account=source.account, region=source.region, request=str(source))

    # --- telling

    def _tell_done(self, place: Place, began: datetime, *, listed: int, due: int) -> None:
        account, region = place
        now = self._clock.now()
        seconds = (now - began).total_seconds()
        self._count(place, "done")
        self._telemetry.swept(account, region, seconds=seconds, at=now)
        log.info("sweep_done", account=account, region=region, listed=listed, due=due, seconds=seconds)

    def _count(self, place: Place, outcome: str) -> None:
        self._telemetry.sweeps.labels(account=place[0], region=place[1], outcome=outcome).inc()


def _place(key: RequestKey) -> Place:
    return key.account, key.region


def _check(place: Place) -> str:
    return f"sweep {place[0]} {place[1]}"
