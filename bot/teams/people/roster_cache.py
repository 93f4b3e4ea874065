"""The roster of one conversation: read once at a time, cached for five minutes, invalidated by membership events."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from bot.concurrency.single_flight import SingleFlight
from bot.domain.identity import Person
from bot.domain.members import Members
from bot.ports.clock import Clock
from bot.ports.teams import RosterUnavailable
from bot.teams.wire.errors import ConnectorError, ConnectorThrottled
from bot.teams.wire.people import TeamMember

CACHED_FOR: Final = timedelta(minutes=5)  # Teams recommends to cache rosters; membership events invalidate sooner
UNREAD_FOR: Final = timedelta(seconds=10)  # a refused or empty roster may be a passing fault of Teams
ATTEMPTS: Final = 3  # reads in a row during which membership events arrived; then the next caller starts again


@dataclass(frozen=True, slots=True)
class Roster:
    """The people of a conversation.

    If not `whole`, Teams refused the roster, or it was empty; `people` are then only members that were requested
    singly. `unclear` has, by case-folded object id, the entries that lack a UPN, a mail address or a usable tenant,
    until the member is requested singly.
    """

    people: Members
    whole: bool = True
    unclear: Mapping[str, TeamMember] = field(default_factory=dict)

    def with_member(self, person: Person) -> "Roster":
        """Return the roster with a member who was requested singly."""
        unclear = {each: member for each, member in self.unclear.items() if each != person.object_id}
        return Roster(self.people.with_member(person), self.whole, unclear)


log = structlog.get_logger(__name__)


class RosterCache:
    """Shares one read of a roster among all callers."""

    def __init__(self, read: Callable[[], Awaitable[Roster]], *, clock: Clock, conversation: str) -> None:
        """Take the function that reads the roster. It raises only ConnectorError. `conversation` is for the log."""
        self._read, self._clock, self._conversation = read, clock, conversation
        self._roster: Roster | None = None
        self._read_at: datetime | None = None  # when the read began
        self._throttled: tuple[datetime, datetime] | None = None  # begin and end of the wait that Teams asked for
        self._invalidated = False
        self._generation = 0
        self._refresh = SingleFlight(self._read_until_current)

    async def get(self, *, patience: float) -> Roster:
        """Return the roster. Raises RosterUnavailable, or TimeoutError if the read takes more than `patience` seconds.

        A slow read continues for the next caller. TimeoutError is also raised if membership events arrive during every
        attempt: Teams answers, so a caller can still request a single member.
        """
        if (cached := self.current) is not None:
            return cached
        if self._throttled and _is_within(self._clock.now(), *self._throttled):
            raise RosterUnavailable
        async with asyncio.timeout(patience):
            await self._refresh.join()
        if (cached := self.current) is not None:
            return cached
        raise TimeoutError if self._invalidated else RosterUnavailable

    @property
    def generation(self) -> int:
        """The number of invalidations and reads. Discard results that were requested under an older generation."""
        return self._generation

    def add(self, person: Person, *, generation: int) -> None:
        """Add a member that was requested singly. Does nothing if `generation` is no longer the current one."""
        if self._roster is not None and generation == self._generation:
            self._roster = self._roster.with_member(person)

    def invalidate(self) -> None:
        """Drop the roster. A read in progress starts again."""
        self._roster, self._invalidated = None, True
        self._generation += 1

    async def aclose(self) -> None:
        """Cancel a read in progress."""
        await self._refresh.aclose()

    @property
    def current(self) -> Roster | None:
        """The cached roster; None if there is none, or if it is too old."""
        if self._roster is None or self._read_at is None:
            return None
        cached_for = CACHED_FOR if self._roster.whole else UNREAD_FOR
        current = _is_within(self._clock.now(), self._read_at, self._read_at + cached_for)
        return self._roster if current else None

    async def _read_until_current(self) -> None:
        for _ in range(ATTEMPTS):
            self._invalidated, began = False, self._clock.now()
            roster = await self._attempt()
            if not self._invalidated:
                self._roster, self._read_at = roster, min(began, self._clock.now())
                self._generation += 1
                return

    async def _attempt(self) -> Roster | None:
        try:
            return await self._read()
        except ConnectorError as error:
            if isinstance(error, ConnectorThrottled):
                now = self._clock.now()
                self._throttled = (now, now + timedelta(seconds=error.retry_after))
            log.warning("roster_unavailable", conversation=self._conversation, code=error.error_code)
            return None


def _is_within(now: datetime, since: datetime, until: datetime) -> bool:
    """Return whether `now` is in the span. A time before the span is outside: the clock was set back."""
    return since <= now < until
