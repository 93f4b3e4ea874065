"""Reads the sessions on nodes while access runs, so that rows say what the access was used for.

The sweep hands over which access runs or ended lately. Each account and Region (a place) is then read at most once per
sweep by any process, however many requests it has; nothing is read while there is none. Only rows whose sessions
changed are written. The permission to list sessions is optional: without it, no row has any.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from bot.concurrency.turns import in_turns
from bot.domain.access.sessions import (
    MARGIN,
    Access,
    Others,
    Reading,
    Usage,
    ended_at,
    has_news,
    is_watched,
    unreadable,
    wants_ended,
    with_reading,
)
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.aws import AwsUnavailable, Sessions, SessionsDenied
from bot.ports.clock import Clock
from bot.ports.store import Change, Place, StoreUnavailable
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.telemetry import Telemetry

SHARE: Final = 5 / 6  # of the sweep's period; no process looks again before, and each sweep can look
DENIED_PAUSE: Final = timedelta(hours=1)  # before a missing permission is tried again
FAILURES: Final = 5  # in a row, before cards say that sessions cannot be read: a card is updated only for what lasts
_LEASE: Final = "sessions"  # the lease of a look is stored beside that of the sweep, under another name
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningAccess:
    """Access whose sessions are read. `usage` is what its row had at the last sweep."""

    key: RequestKey
    access: Access
    end: datetime
    usage: Usage | None


def running_access(row: Record, now: datetime) -> RunningAccess | None:
    """Return the access of a row whose sessions must be read now; None if there is none, or no more to read."""
    access, end = row.access, ended_at(row.request) if row.request else None
    if access is None or end is None or not is_watched(row.usage, end, now):
        return None
    return RunningAccess(row.key, access, end, row.usage)


class SessionWatch:
    """The loops that read the sessions of all configured accounts and Regions. `owner` identifies this process."""

    def __init__(
        self,
        *,
        rows: Rows,
        sessions: Sessions,
        clock: Clock,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
        owner: str,
        period: float,
    ) -> None:
        """Watch the configured accounts and Regions. `period` is the time in seconds between two sweeps of one."""
        pause = timedelta(seconds=period * SHARE)
        self._places = {
            place: _PlaceWatch(
                place, rows=rows, sessions=sessions, clock=clock, telemetry=telemetry, owner=owner, pause=pause
            )
            for place in configuration.value.places
        }

    def swept(self, place: Place, running: Sequence[RunningAccess]) -> None:
        """Take over the access of a place that this process has just swept."""
        if running and place in self._places:
            self._places[place].put(running)

    async def run(self) -> None:
        """Look whenever a place was swept, until cancelled. A place that hangs delays no other place."""
        async with asyncio.TaskGroup() as group:
            for each in self._places.values():
                group.create_task(each.run())

    async def look(self) -> None:
        """Look once at every place that was swept since the last look."""
        await asyncio.gather(*(each.look() for each in self._places.values()))


class _PlaceWatch:
    """Reads the sessions of one account and Region."""

    def __init__(
        self,
        place: Place,
        *,
        rows: Rows,
        sessions: Sessions,
        clock: Clock,
        telemetry: Telemetry,
        owner: str,
        pause: timedelta,
    ) -> None:
        self._place, (self._account, self._region) = place, place
        self._rows, self._sessions, self._clock = rows, sessions, clock
        self._telemetry, self._owner, self._pause = telemetry, owner, pause
        self._running: Sequence[RunningAccess] = ()
        self._news = asyncio.Event()
        self._next: datetime | None = None  # no look before this moment
        self._failures = 0  # in a row

    def put(self, running: Sequence[RunningAccess]) -> None:
        """Take over what the last sweep found."""
        self._running = running
        self._news.set()

    async def run(self) -> None:
        """Look whenever the place was swept, until cancelled."""
        while True:
            await self._news.wait()
            await self.look()

    async def look(self) -> None:
        """Read the sessions, unless any process did so lately. A failure is logged, or counted for the store."""
        self._news.clear()
        running, self._running = self._running, ()
        try:
            if running and await self._is_due():
                await self._look(running)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()

    async def _is_due(self) -> bool:
        """Return True if no process looked lately, and take the time until the next look for this process."""
        now = self._clock.now()
        if self._next and now < self._next <= now + DENIED_PAUSE:
            return False
        lease = (self._account, f"{self._region} {_LEASE}", self._owner)
        if not await self._rows.store.lease_sweep(*lease, now=now, until=now + self._pause):
            return False
        self._next = now + self._pause
        return True

    async def _look(self, running: Sequence[RunningAccess]) -> None:
        try:
            reading = await self._read(running)
        except SessionsDenied as problem:
            self._next = self._clock.now() + DENIED_PAUSE
            log.info("sessions_denied", account=self._account, region=self._region, code=problem.code)
            await self._mark([each for each in running if each.usage])
        except AwsUnavailable as problem:
            self._failures += 1
            log.warning("sessions_unreadable", account=self._account, region=self._region, code=problem.code)
            if self._failures >= FAILURES:
                await self._mark(running)
        else:
            self._failures = 0
            await self._keep(running, reading)

    # --- reading

    async def _read(self, running: Sequence[RunningAccess]) -> Reading:
        """Read the open sessions, and the ended ones if any access needs them. Raises AwsUnavailable."""
        began = self._clock.now()
        active = await self._sessions.active(*self._place)
        over = [each.access.begins for each in running if wants_ended(each.usage, each.end, began)]
        ended = await self._sessions.ended(*self._place, min(over) - MARGIN) if over else None
        return Reading.of(began, active, ended)

    async def _others(self, running: Sequence[RunningAccess], reading: Reading) -> Others:
        """Return the access of all requests if whose a session is depends on it; else none, which is not complete.

        A list that lacks a request whose access runs is not complete either.
        """
        known = tuple(each.access for each in running)
        wanted = [each.access.others_since for each in running if _depends_on_others(each, reading, Others(known))]
        if not wanted:
            return Others()
        try:
            listed = await self._sessions.granted(*self._place, min(wanted))
        except AwsUnavailable as problem:
            log.warning("sessions_unclear", account=self._account, region=self._region, code=problem.code)
            return Others(known)
        missing = _unlisted(known, listed, since=min(wanted))
        return Others((*listed, *missing), complete=not missing)

    # --- rows

    async def _keep(self, running: Sequence[RunningAccess], reading: Reading) -> None:
        others, known = await self._others(running, reading), Others(tuple(each.access for each in running))
        async for each in in_turns(running):
            mine = Others()
            if _depends_on_others(each, reading, known):
                mine = replace(others, access=tuple(one for one in others.access if one.request != each.access.request))
            await self._store(each, _kept(each, reading, mine))

    async def _mark(self, running: Iterable[RunningAccess]) -> None:
        async for each in in_turns(running):
            await self._store(each, lambda row: replace(row, usage=unreadable(row.usage)))

    async def _store(self, running: RunningAccess, change: Change) -> None:
        """Write a change of what was seen, if there is one, and make the row due for a delivery."""
        now = self._clock.now()

        def changed(row: Record) -> Record:
            after = change(row)
            return row if after.usage == row.usage else after.redeliver_at(now)

        stored = Record(running.key, now, usage=running.usage)
        if changed(stored) is not stored:
            await self._rows.apply(running.key, changed)


def _depends_on_others(running: RunningAccess, reading: Reading, known: Others) -> bool:
    """True if there is a session that the row does not have, or whose a session is must be asked again at the end."""
    again = reading.with_ended and running.usage is not None and bool(running.usage.sessions)
    return again or has_news(running.usage, running.access, reading, known)


def _unlisted(known: Iterable[Access], listed: Iterable[Access], *, since: datetime) -> tuple[Access, ...]:
    """Return access that runs after `since` and is not in AWS's list."""
    names = {each.request for each in listed}
    return tuple(each for each in known if each.request not in names and each.ends >= since)


def _kept(running: RunningAccess, reading: Reading, others: Others) -> Change:
    def change(row: Record) -> Record:
        settles = wants_ended(row.usage, running.end, reading.at)
        return replace(row, usage=with_reading(row.usage, running.access, reading, others, settles=settles))

    return change
