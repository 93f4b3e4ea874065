"""Records clicks in the audit trail, and logs the entries of the trail.

The steps of a decision are stored by the write of its row (`ports.store.Store.apply`); this module only logs them. The
entry of a click is stored separately, and the answer to the click does not wait for it: entries that the store has not
accepted are kept in memory, and are stored together once it does. They are already in the log.

A click that only shows the card changes nothing, so its entry waits for the next write: most clicks of a busy channel
are such, and a durable write would be the largest part of their cost.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

import structlog

from bot.concurrency.background import Background
from bot.domain.audit import AuditEntry
from bot.ports.clock import Clock
from bot.ports.store import MOST_APPENDED, Store, StoreUnavailable
from bot.telemetry import Telemetry

# Clicks kept while the store is slow or unavailable: a minute with a thousand a second, about 60 MB. Beyond that, the
# oldest are only in the log.
KEPT_WAITING = 60_000
RETRY_SECONDS = 10.0  # seconds between attempts to store waiting entries; the entry of a view waits as long
MINUTE = timedelta(minutes=1)
MOST_CLICKS = 60  # clicks recorded one by one per person and minute; anyone in the tenant can click without limit
_LOGGED = tuple(each.name for each in fields(AuditEntry) if each.name not in {"at", "event"})
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Tally:
    """The number of one person's clicks within a minute, and the last click that was counted but not recorded."""

    since: datetime
    clicks: int = 0
    last: AuditEntry | None = None

    def covers(self, moment: datetime) -> bool:
        """True if the moment is within the minute. An earlier one is not: the clock was set back."""
        return self.since <= moment < self.since + MINUTE

    @property
    def unrecorded(self) -> int:
        return max(0, self.clicks - MOST_CLICKS)


def log_audit_entry(entry: AuditEntry) -> None:
    """Log an entry of the audit trail."""
    values = {name: getattr(entry, name) for name in _LOGGED}
    log.info("audit_noted", what=entry.event, **{name: str(value) for name, value in values.items() if value})


class Auditing:
    """Records clicks. `run` retries entries that the store did not accept."""

    def __init__(self, *, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._trail, self._clock, self._telemetry = store, clock, telemetry
        self._waiting: deque[AuditEntry] = deque()
        self._batch: tuple[AuditEntry, ...] = ()  # the store may have some of these, so this batch is repeated as it is
        self._tallies: dict[str, _Tally] = {}
        self._background = Background()
        self._storing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Retry waiting entries, and record the counted clicks of minutes that are over, until cancelled."""
        while True:
            await self._clock.sleep(RETRY_SECONDS)
            self._close_minutes(at=self._clock.now())
            await self._stored()

    async def drain(self) -> None:
        """Store as many waiting entries as the store accepts, before shutdown."""
        self._close_minutes(at=None)
        await self._background.drain()
        await self._stored()

    def clicked(self, entry: AuditEntry, *, shows_only: bool = False) -> None:
        """Record a click and its answer, without waiting for the store. `shows_only`: the click can change nothing.

        After MOST_CLICKS of a person within a minute, further clicks are only counted. The last of them is recorded
        with the outcome `counted` and their number.
        """
        tally = self._tallies.get(entry.person)
        if tally is None or not tally.covers(entry.at):
            self._close(entry.person)
            tally = self._tallies[entry.person] = _Tally(entry.at)
        tally.clicks += 1
        if tally.clicks > MOST_CLICKS:
            tally.last = entry
            return
        self._record(entry, at_once=not shows_only)

    # --- storing

    def _close_minutes(self, *, at: datetime | None) -> None:
        """Record the counted clicks of the minutes that are over at this moment; of all minutes if it is None."""
        for person in [person for person, tally in self._tallies.items() if at is None or not tally.covers(at)]:
            self._close(person)

    def _close(self, person: str) -> None:
        tally = self._tallies.pop(person, None)
        if tally and tally.last:
            self._record(replace(tally.last, outcome="counted", detail=f"{tally.unrecorded} clicks within a minute"))

    def _record(self, entry: AuditEntry, *, at_once: bool = True) -> None:
        log_audit_entry(entry)
        if len(self._waiting) >= KEPT_WAITING:
            self._give_up_oldest()
        self._waiting.append(entry)
        if at_once or len(self._waiting) >= MOST_APPENDED:
            self._begin_storing()

    def _give_up_oldest(self) -> None:
        given_up = self._waiting.popleft()
        self._telemetry.audit_given_up.inc()
        log.error("audit_given_up", what=given_up.event, request=given_up.request, person=given_up.person)

    async def _stored(self) -> None:
        """Wait until the waiting entries are stored, or the store refuses. Cancelling the caller cancels no write."""
        await asyncio.wait({self._begin_storing()})

    def _begin_storing(self) -> asyncio.Task[None]:
        """Start to store the waiting entries, unless that is in progress. Return the task, which never raises."""
        if self._storing is None or self._storing.done():
            self._storing = self._background.begin(self._store_waiting())
        return self._storing

    async def _store_waiting(self) -> None:
        try:
            while self._batch or self._waiting:
                if not self._batch:
                    self._batch = tuple(self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_APPENDED)))
                await self._trail.append_audit(*self._batch)
                self._batch = ()
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            log.error("audit_not_stored", waiting=len(self._batch) + len(self._waiting))
