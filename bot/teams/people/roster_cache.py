"""One conversation's roster, read at most once at a time and believed for five minutes.

Owns age, sharing and staleness. Knows neither the wire nor who may do what.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from bot.concurrency.single_flight import SingleFlight
from bot.domain.identity import Person
from bot.ports.clock import Clock
from bot.ports.teams import RosterUnavailable
from bot.teams.wire.errors import ConnectorError, ConnectorThrottled

BELIEVED_FOR: Final = timedelta(minutes=5)  # Teams' own advice is to cache; membership events drop it sooner
RESTARTS: Final = 3  # reads that membership events overtook, in a row; then the next caller asks again

Roster = Mapping[str, Person]
"""People by case-folded object id."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CachedRoster:
    """Shares one read among everybody who asks."""

    def __init__(self, read: Callable[[], Awaitable[Roster]], *, clock: Clock, conversation: str) -> None:
        """Take the read; it raises ConnectorError and nothing else. The conversation's id is for the log."""
        self._read, self._clock, self._conversation = read, clock, conversation
        self._roster: Roster | None = None
        self._asked_at: datetime | None = None  # before the read began
        self._closed: tuple[datetime, datetime] | None = None  # Teams asked for patience: from when, until when
        self._dropped = False
        self._edition = 0
        self._flight = SingleFlight(self._refresh)

    async def get(self, *, patience: float) -> Roster:
        """Return the roster; raise RosterUnavailable, or TimeoutError after `patience` seconds of a slow read.

        A read that is too slow for one caller goes on for the next. One that events overtake without end is slow, too:
        Teams answers, so whoever needs one member can ask for that one.
        """
        if (fresh := self._fresh()) is not None:
            return fresh
        if self._closed and _lies_in(self._clock.now(), *self._closed):
            raise RosterUnavailable
        async with asyncio.timeout(patience):
            await self._flight.join()
        if (fresh := self._fresh()) is not None:
            return fresh
        raise TimeoutError if self._dropped else RosterUnavailable

    @property
    def edition(self) -> int:
        """Another number after each drop and each read: what was asked for before is older than the roster."""
        return self._edition

    def add(self, person: Person, *, edition: int) -> None:
        """Put in somebody who was asked for by themselves, unless the edition is not that of before the question."""
        if self._roster is not None and edition == self._edition:
            self._roster = {**self._roster, person.object_id: person}

    def drop(self) -> None:
        """Believe it no longer; a read under way begins anew."""
        self._roster, self._dropped = None, True
        self._edition += 1

    async def aclose(self) -> None:
        """End a read that is under way."""
        await self._flight.aclose()

    def _fresh(self) -> Roster | None:
        if self._roster is None or self._asked_at is None:
            return None
        believed = _lies_in(self._clock.now(), self._asked_at, self._asked_at + BELIEVED_FOR)
        return self._roster if believed else None

    async def _refresh(self) -> None:
        for _ in range(RESTARTS):
            self._dropped, asked_at = False, self._clock.now()
            roster = await self._attempt()
            if not self._dropped:
                self._roster, self._asked_at = roster, min(asked_at, self._clock.now())
                self._edition += 1
                return

    async def _attempt(self) -> Roster | None:
        try:
            return await self._read()
        except ConnectorError as error:
            if isinstance(error, ConnectorThrottled):
                now = self._clock.now()
                self._closed = (now, now + timedelta(seconds=error.retry_after))
            log.warning("roster_unavailable", conversation=self._conversation, code=error.error_code)
            return None


def _lies_in(now: datetime, since: datetime, until: datetime) -> bool:
    """False before it, too: a clock that was set back makes nothing last longer."""
    return since <= now < until
