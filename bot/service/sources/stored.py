"""Reads the watched rows of one account and Region (a place) for its sweeps, and finds those that are outdated.

There may be ten thousand rows, of which hardly one has changed since the last sweep. A row that was open and not
outdated is therefore read again only after a write, after the file has changed, or if the sweep is full.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.concurrency.turns import in_turns
from bot.domain.configuration import Configuration
from bot.domain.escalation import with_escalation
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.domain.shown.card_places import is_misplaced
from bot.domain.shown.surfaces import next_change
from bot.domain.shown.turns import may_escalate
from bot.ports.clock import Clock
from bot.ports.store import Place, Store
from bot.service.current_configuration import CurrentConfiguration
from bot.service.sources.listed import RowFacts, facts_of
from bot.service.sources.session_watch import RunningAccess, running_access


@dataclass(frozen=True, slots=True)
class Stored:
    """The watched rows of an account and Region, as a sweep found them.

    `outdated` are those that must be reconciled even if the lists show no change.
    """

    at: datetime  # when the reading began
    configuration: Configuration  # the node-access.toml that the rows were compared with
    watched: dict[RequestKey, RowFacts] = field(default_factory=dict)
    unreadable: list[RequestKey] = field(default_factory=list)
    outdated: set[RequestKey] = field(default_factory=set)
    unidentified: dict[RequestKey, str] = field(default_factory=dict)  # requesters who block every decision
    running: list[RunningAccess] = field(default_factory=list)  # access whose sessions are read

    async def known(self, now: datetime, configuration: Configuration) -> dict[RequestKey, int]:
        """Return the versions of the rows that were open and not outdated.

        None of them if the file has changed since, or the clock was set back.
        """
        if now < self.at or configuration is not self.configuration:
            return {}
        rows = in_turns(self.watched.items())
        return {key: row.version async for key, row in rows if row.open and key not in self.outdated}

    def add(self, row: Record, now: datetime, former: RowFacts | None) -> None:
        """Add a row that was just read. `former` is what the former sweep found of it."""
        found = facts_of(row)
        facts = former if former == found else found  # equal, but once in memory instead of twice
        self.watched[facts.key] = facts
        if _is_outdated(row, self.configuration, now):
            self.outdated.add(row.key)
        if requester := _unidentified(row, self.configuration):
            self.unidentified[row.key] = requester
        if running := running_access(row, now):
            self.running.append(running)

    def add_unchanged(self, key: RequestKey, former: "Stored") -> None:
        """Add a row as a former sweep found it."""
        row = former.watched[key]
        self.watched[row.key] = row  # not `key`, which is equal: one key in memory instead of two
        if key in former.unidentified:
            self.unidentified[key] = former.unidentified[key]


class StoredRows:
    """Reads the watched rows of an account and Region, and keeps what the last sweep found."""

    def __init__(self, place: Place, *, store: Store, clock: Clock, configuration: CurrentConfiguration) -> None:
        self._place, self._store, self._clock, self._configuration = place, store, clock, configuration
        self._last = Stored(clock.now(), configuration.value)

    async def read(self, *, full: bool) -> Stored:
        """Read the rows, a page at a time; unless `full`, only those that may be outdated. Raises StoreUnavailable."""
        stored, former = Stored(self._clock.now(), self._configuration.value), self._last
        known = {} if full else await former.known(stored.at, stored.configuration)
        async for page in self._store.watched(self._place, known=known):
            now = self._clock.now()
            stored.unreadable.extend(page.unreadable)
            for row in page.rows:
                stored.add(row, now, former.watched.get(row.key))
            for key in page.unchanged:
                stored.add_unchanged(key, former)
        self._last = replace(stored, running=[])  # the next sweep compares rows only; access is the larger part
        return stored


def _is_outdated(row: Record, configuration: Configuration, now: datetime) -> bool:
    """True for a row whose channel, requester or due time was determined by a previous node-access.toml.

    Also True for a row that a clock that was ahead stored: by its own due time it would wait too long.
    """
    rules_changed = is_misplaced(row, configuration) or configuration.identified_by_former_rules(row)
    if rules_changed or row.has_times_ahead(now):
        return True
    change = next_change(row, configuration, now)
    is_late = change is not None and (row.requeue_at is None or row.requeue_at > change)
    return is_late or (may_escalate(row, configuration, now) and with_escalation(row, configuration, now) != row)


def _unidentified(row: Record, configuration: Configuration) -> str | None:
    """Return the requester of an open request if no one can decide it before an admin adds them; else None."""
    requester = row.requester
    if row.request is None or row.request.status is not Status.PENDING or requester is None:
        return None
    blocks = not requester.identified and not requester.may_be_found
    return requester.principal.text if blocks and not configuration.identity.allow_unidentified else None
