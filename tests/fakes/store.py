"""A store in memory behind the port, as strict about versions as the real ones."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final

from bot.domain.audit import AuditEntry
from bot.domain.digest_post import DigestPost
from bot.domain.history import HistoryEntry, history_entries
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.spans import latest_end
from bot.domain.storable import storable
from bot.ports.clock import Clock
from bot.ports.store import (
    MOST_IN_PAGE,
    NOTHING_KNOWN,
    Change,
    PersonalChat,
    Place,
    Replica,
    RowUnreadable,
    Store,
    StoreUnavailable,
    StoreUncertain,
    Wanted,
    Watched,
    every_row,
)
from bot.store.rows import apply_change, watched_rows

PORT: Final = frozenset(name for name in vars(Store) if inspect.isroutine(vars(Store)[name]) and name[0] != "_")
"""The names of the port's methods."""


@dataclass(slots=True)
class Tables:
    """The data, which several stores may share as processes share a file."""

    records: dict[RequestKey, Record] = field(default_factory=dict)
    chats: dict[str, PersonalChat] = field(default_factory=dict)
    service_urls: dict[str, str] = field(default_factory=dict)
    history: dict[str, dict[RequestKey, HistoryEntry]] = field(default_factory=dict)
    entries: dict[RequestKey, tuple[Record, Sequence[HistoryEntry]]] = field(default_factory=dict)  # of rows, once read
    history_began: datetime | None = None
    team_groups: dict[str, str] = field(default_factory=dict)
    watermarks: dict[tuple[str, str], datetime] = field(default_factory=dict)
    sweep_leases: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)
    digest_posts: dict[str, DigestPost] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)


class MemoryStore:
    """`ports.store.Store` without a disk. If `broken` is set, every call raises StoreUnavailable.

    Rows in `unreadable` exist but cannot be read, like rows of a newer version.
    """

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = tables or Tables()
        self.broken = self.created = False
        self.unreadable: set[RequestKey] = set()

    def _working(self) -> Tables:
        if self.broken:
            raise StoreUnavailable("broken by the test")
        return self.tables

    def _read(self, key: RequestKey) -> Record | None:
        if key in self.unreadable:
            raise RowUnreadable(f"request {key} cannot be read: set by the test")
        return self._working().records.get(key)

    def _row(self, key: RequestKey) -> Record:
        row = self._read(key)
        assert row is not None
        return row

    async def check(self) -> None:
        self._working()

    async def load(self, key: RequestKey) -> Record | None:
        return self._read(key)

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        self._working()
        return self._keep(*apply_change(self._read(key), key, change, now=now))

    def _keep(self, record: Record, entries: Sequence[AuditEntry]) -> Record:
        """Write a row and its audit entries together. A new row without a change has version 0 and is not written."""
        if record.version:
            self.tables.records[record.key] = record
            self.tables.audit.extend(entries)
        return record

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        records = self._working().records.values()
        due = [(each.requeue_at, str(each.key), each.key) for each in records if each.requeue_at]
        return [key for moment, _, key in sorted(due) if moment <= now][:limit]

    async def next_due(self) -> datetime | None:
        records = self._working().records.values()
        return min((each.requeue_at for each in records if each.requeue_at), default=None)

    async def watched(
        self,
        place: Place | None = None,
        *,
        known: Mapping[RequestKey, int] = NOTHING_KNOWN,
        wanted: Wanted = every_row,
    ) -> AsyncIterator[Watched]:
        found = [each for each in self._working().records.values() if each.watched and is_at(each.key, place)]
        if unchanged := tuple(each.key for each in found if known.get(each.key) == each.version):
            yield Watched(unchanged=unchanged)
        found = [each for each in found if known.get(each.key) != each.version]
        found.sort(key=lambda each: (each.created_at, str(each.key)))
        for first in range(0, len(found), MOST_IN_PAGE):
            await asyncio.sleep(0)  # the real stores read a page in a thread
            self._working()
            page = found[first : first + MOST_IN_PAGE]
            yield watched_rows(((each.key, partial(self._row, each.key)) for each in page), wanted=wanted)

    async def find(self, ops_item_id: str) -> Sequence[Record]:
        records = self._working().records.values()
        rows = [self._row(each.key) for each in records if each.key.ops_item_id == ops_item_id]
        return sorted(rows, key=lambda each: str(each.key))

    async def forget_expired(self, now: datetime) -> int:
        records = self._working().records
        expired = [each.key for each in records.values() if each.expires_at and each.expires_at <= now]
        for key in expired:
            del records[key]
        return len(expired)

    async def load_several(self, keys: Sequence[RequestKey]) -> Sequence[Record]:
        records = self._working().records
        return [records[key] for key in keys if key in records and key not in self.unreadable]

    async def history(self, subject: str, since: datetime, limit: int) -> Sequence[HistoryEntry]:
        every = (each for record in self._working().records.values() for each in self._entries(record))
        found = [each for each in every if each.subject == subject and each.at >= since]
        return sorted(found, key=lambda each: (-each.at.timestamp(), str(each.key)))[:limit]

    def _entries(self, record: Record) -> Sequence[HistoryEntry]:
        row, entries = self.tables.entries.get(record.key, (None, ()))
        if row is not record:
            entries = history_entries(record)
            self.tables.entries[record.key] = (record, entries)
        return entries

    async def history_began(self, now: datetime) -> datetime:
        tables = self._working()
        tables.history_began = tables.history_began or storable(now)
        return tables.history_began

    async def remember_chat(self, chat: PersonalChat) -> None:
        kept = storable(chat)
        self._working().chats[kept.person.object_id.casefold()] = kept

    async def forget_chat(self, object_id: str) -> None:
        self._working().chats.pop(storable(object_id).casefold(), None)

    async def personal_chat(self, object_id: str) -> PersonalChat | None:
        return self._working().chats.get(storable(object_id).casefold())

    async def personal_chats(self) -> Sequence[PersonalChat]:
        return [chat for _, chat in sorted(self._working().chats.items())]

    async def remember_service_url(self, conversation: str, service_url: str) -> None:
        self._working().service_urls[storable(conversation)] = storable(service_url)

    async def service_url(self, conversation: str) -> str | None:
        return self._working().service_urls.get(storable(conversation))

    async def remember_team_group(self, conversation: str, group_id: str) -> None:
        self._working().team_groups[storable(conversation)] = storable(group_id)

    async def team_group(self, conversation: str) -> str | None:
        return self._working().team_groups.get(storable(conversation))

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        leases = self._working().sweep_leases
        holder, held_until = leases.get((account, region), (owner, now))
        if holder != owner and now < held_until <= latest_end(until, now=now):
            return False
        leases[account, region] = (owner, storable(until))
        return True

    async def register_replica(self, replica: Replica) -> None:
        self._working().replicas[replica.owner] = storable(replica)

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        found = sorted(self._working().replicas.values(), key=lambda each: each.owner)
        return [each for each in found if each.seen_at >= since]

    async def watermark(self, account: str, region: str) -> datetime | None:
        return self._working().watermarks.get((account, region))

    async def advance_watermark(self, account: str, region: str, moment: datetime) -> None:
        watermarks = self._working().watermarks
        watermarks[account, region] = max(storable(moment), watermarks.get((account, region), moment))

    async def digest_post(self, name: str) -> DigestPost | None:
        return self._working().digest_posts.get(name)

    async def write_digest_post(self, post: DigestPost) -> bool:
        posts = self._working().digest_posts
        if post.version != (posts[post.name].version + 1 if post.name in posts else 1):
            return False
        posts[post.name] = storable(post)
        return True

    async def append_audit(self, *entries: AuditEntry) -> None:
        self._working().audit.extend(map(storable, entries))

    async def audit(self, since: datetime, until: datetime | None = None) -> Sequence[AuditEntry]:
        found = (each for each in self._working().audit if each.at >= since and (until is None or each.at < until))
        return sorted(found, key=lambda each: each.at)


def is_at(key: RequestKey, place: Place | None) -> bool:
    """True for a request of this account and Region, or if no place is given."""
    return place is None or (key.account, key.region) == place


async def all_watched(store: Store, place: Place | None = None, **named: Any) -> Watched:
    """Return all pages of watched rows as one. `named` has further arguments of `Store.watched`."""
    pages = [page async for page in store.watched(place, **named)]
    rows = tuple(row for page in pages for row in page.rows)
    unchanged = tuple(key for page in pages for key in page.unchanged)
    return Watched(rows, tuple(sorted(key for page in pages for key in page.unreadable)), unchanged)


class LastWriteWinsStore(MemoryStore):
    """A defective store for negative controls: it overwrites changes that others made since its read."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        written = apply_change(await self.load(key), key, change, now=now)
        await asyncio.sleep(0)
        return self._keep(*written)


class Loss(StrEnum):
    """What happens to the write during which a store fails."""

    REFUSED = "refused"  # it is not stored, and the caller knows
    LOST = "lost"  # it is not stored, and the caller does not know
    KEPT = "kept"  # it is stored, and the caller does not know


class FailingStore(MemoryStore):
    """A store that fails for some seconds on the clock, from a write that a test chooses.

    Every call of this store fails then. Other stores on the same tables work: only this process cannot reach them.
    """

    def __init__(self, clock: Clock, tables: Tables | None = None) -> None:
        super().__init__(tables)
        self._clock = clock
        self._point: Callable[[Record, Record], bool] | None = None
        self._loss, self._seconds = Loss.REFUSED, 0.0
        self.failed_at: datetime | None = None

    def fail(self, point: Callable[[Record, Record], bool], *, loss: Loss, seconds: float) -> None:
        """Fail for `seconds` from the first write that changes a row as `point` says: the row before, and after."""
        self._point, self._loss, self._seconds, self.failed_at = point, loss, seconds, None

    @property
    def back_at(self) -> datetime:
        """When the store works again. AssertionError if it has not failed."""
        assert self.failed_at is not None, "no write of this kind was made"
        return self.failed_at + timedelta(seconds=self._seconds)

    def _working(self) -> Tables:
        if self.failed_at and self._clock.now() < self.back_at:
            raise StoreUnavailable("failing, as the test planned")
        return super()._working()

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        self._working()
        before = self._read(key) or Record(key, now)
        if self._point is None or not self._point(before, change(before)):
            return await super().apply(key, change, now=now)
        self._point = None
        if self._loss is Loss.KEPT:
            await super().apply(key, change, now=now)
        self.failed_at = self._clock.now()
        if self._loss is Loss.REFUSED:
            raise StoreUnavailable("not written, as the test planned")
        raise StoreUncertain("the answer was lost, as the test planned")


class HangingStore(MemoryStore):
    """A store that hangs: calls of the methods that `hangs` names wait before their effect until `go` is set.

    `reached` is set when a call waits.
    """

    def __init__(self, tables: Tables | None = None) -> None:
        super().__init__(tables)
        self.hangs: set[str] = set()
        self.go, self.reached = asyncio.Event(), asyncio.Event()

    def __getattribute__(self, name: str) -> Any:
        inner = super().__getattribute__(name)
        if name not in PORT:
            return inner
        pages = inspect.isasyncgenfunction(inner)
        return partial(self._later_pages if pages else self._later, name, inner)

    async def _later(self, name: str, call: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
        await self._wait(name)
        return await call(*given, **named)

    async def _later_pages(
        self, name: str, call: Callable[..., AsyncIterator[Any]], *given: Any, **named: Any
    ) -> AsyncIterator[Any]:
        await self._wait(name)
        async for page in call(*given, **named):
            yield page

    async def _wait(self, call: str) -> None:
        if call in self.hangs:
            self.reached.set()
            await self.go.wait()
