"""The port to the store: rows, personal chats, service URLs and teams, sweeps, weekly digests and the audit trail."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol

from bot.domain.audit import AuditEntry
from bot.domain.digest_post import DigestPost
from bot.domain.history import HistoryEntry
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey


@dataclass(frozen=True, slots=True)
class PersonalChat:
    """Where to reach a person who has written to the bot or installed it, and in which language and time zone.

    Language and time zone are those of the person's Teams client, None while they are not known.
    """

    person: Person
    conversation: str
    service_url: str
    locale: str | None = None
    timezone: str | None = None


class StoreUnavailable(Exception):
    """The store could not be read or written. As far as is known, nothing was changed."""


class StoreUncertain(StoreUnavailable):
    """The result of a write is unknown: the data may have been stored, or may be stored later."""


class RowUnreadable(StoreUnavailable):
    """A stored row does not have the form that this version expects."""


class StoreDamaged(StoreUnavailable):
    """The data is missing, was replaced, or is damaged. An admin must act; the text says how."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A page of watched rows (`Record.watched`), oldest first, and the keys of rows that this version cannot read.

    `unchanged` has the keys of watched rows that were not read, because the caller knows their version.
    """

    rows: tuple[Record, ...] = ()
    unreadable: tuple[RequestKey, ...] = ()
    unchanged: tuple[RequestKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that uses the store. `knows` has the stored values that it can read and earlier versions cannot."""

    owner: str
    knows: frozenset[str]
    seen_at: datetime


Change = Callable[[Record], Record]
Wanted = Callable[[Record], bool]
Place = tuple[str, str]  # account, Region
NOTHING_KNOWN: Final[Mapping[RequestKey, int]] = MappingProxyType({})
MOST_IN_PAGE = 100  # rows that are read for one page; decoding one takes about 0.05 ms
MOST_UNREAD_IN_PAGE = 500  # keys of rows that are not read; comparing one takes some microseconds
DIGEST_KEPT = timedelta(days=60)  # weekly digests; they are skipped after a day
MOST_APPENDED = 250  # audit entries in one call; a store must take a thousand a second, and answer in two


def every_row(_: Record) -> bool:
    """Return True."""
    return True


class Store(Protocol):
    """Rows, personal chats, service URLs, sweeps, digests and the audit trail. Every call may raise StoreUnavailable.

    `due`, `next_due` and `watched` may miss a write of another process for some seconds. Data that they do return is
    up to date.
    """

    @property
    def created(self) -> bool:
        """True if the store was empty when it was opened: at the first start, or because its data is gone."""

    async def check(self) -> None:
        """Raise StoreUnavailable, or StoreDamaged if the data is missing, was replaced, or is damaged.

        After StoreDamaged every call fails until a check succeeds, because what is written now would be lost. Also
        reports damage that a call has met since the last check.
        """

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row, as last written by any process; None if there is none."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Apply `change` to the row, write the result, and return it with its new version.

        A missing row is created at `now`. `change` is pure, and is applied again if another writer was faster. If it
        raises an error, or returns the same row, nothing is written; the error is passed on.
        The audit entries for changed decisions (`domain.audit.steps`, at `now`) are part of the same write. The
        entries of the row (`domain.history`) are listed before it returns.
        """

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        """Return the keys of at most `limit` rows whose `requeue_at` has passed, longest due first."""

    async def next_due(self) -> datetime | None:
        """Return the earliest `requeue_at` of all rows; None if there is none."""

    def watched(
        self,
        place: Place | None = None,
        *,
        known: Mapping[RequestKey, int] = NOTHING_KNOWN,
        wanted: Wanted = every_row,
    ) -> AsyncIterator[Watched]:
        """Yield the rows whose requests AWS may still change (`Record.watched`), in pages, oldest first.

        With `place`, only rows of this account and Region. There may be ten thousand rows. A page has at most
        MOST_IN_PAGE of them, and is read outside the event loop when the caller requests it. If a row is unreadable,
        the other rows are still returned. Raises StoreUnavailable while iterating.

        `known` has the versions of watched rows that the caller has seen, and must not change while iterating. A row
        that still has this version is not read: a page has its key instead. `wanted` selects among the rows that were
        read; it runs outside the event loop, must be quick, and must not change anything.
        """

    async def forget_expired(self, now: datetime) -> int:
        """Delete rows whose `Record.expires_at` has passed, and audit entries that are too old; return their number.

        One call deletes at most some hundred of each. Does nothing and returns 0 if the database deletes them itself.
        """

    async def find(self, ops_item_id: str) -> Sequence[Record]:
        """Return the rows of an OpsItem id, in any account and Region."""

    async def load_several(self, keys: Sequence[RequestKey]) -> Sequence[Record]:
        """Return those of the rows that exist and can be read, in any order. Costs one read for each key."""

    async def history(self, subject: str, since: datetime, limit: int) -> Sequence[HistoryEntry]:
        """Return the entries of a subject (bot.domain.history) from `since` on, newest first, at most `limit`.

        Reads no more entries than it returns. An entry may be outdated: its row may be gone, or changed since.
        """

    async def history_began(self, now: datetime) -> datetime:
        """Return since when all requests are listed. The first call stores `now`.

        Earlier rows may be from a version without this index. Such a row is listed once it is written again.
        """

    async def remember_chat(self, chat: PersonalChat) -> None:
        """Store the personal chat of a person; it replaces an earlier one."""

    async def forget_chat(self, object_id: str) -> None:
        """Delete the personal chat of a person, if there is one."""

    async def personal_chat(self, object_id: str) -> PersonalChat | None:
        """Return the personal chat of a person; None if it is unknown."""

    async def personal_chats(self) -> Sequence[PersonalChat]:
        """Return the personal chats of all people who can be reached."""

    async def remember_service_url(self, conversation: str, service_url: str) -> None:
        """Store the service URL that Teams uses for a conversation."""

    async def service_url(self, conversation: str) -> str | None:
        """Return the service URL of a conversation; None if it is unknown."""

    async def remember_team_group(self, conversation: str, group_id: str) -> None:
        """Store the Microsoft Entra group of the team that a channel belongs to."""

    async def team_group(self, conversation: str) -> str | None:
        """Return the group of a channel's team; None if it is unknown."""

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the lease for sweeping an account and Region, up to `until`.

        Returns False if another owner has the lease at `now`. A lease that ends later than `until`, by more than the
        clocks of two processes may differ, counts as over.
        """

    async def register_replica(self, replica: Replica) -> None:
        """Store that a process is running, and which stored values it can read. Replaces its earlier entry."""

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        """Return the processes that registered at or after `since`, sorted by owner."""

    async def watermark(self, account: str, region: str) -> datetime | None:
        """Return the time from which the sweep must list changes; None before the first sweep."""

    async def advance_watermark(self, account: str, region: str, moment: datetime) -> None:
        """Store a later watermark. An earlier one is ignored."""

    async def digest_post(self, name: str) -> DigestPost | None:
        """Return the post of a weekly digest with this `DigestPost.name`; None if no process has claimed it."""

    async def write_digest_post(self, post: DigestPost) -> bool:
        """Store the next version of a post. Returns False if another process stored that version before.

        Posts that were due more than DIGEST_KEPT before are deleted, now or later.
        """

    async def append_audit(self, *entries: AuditEntry) -> None:
        """Add entries to the audit trail, in this order, at most MOST_APPENDED.

        After StoreUnavailable some of them may be stored. The next call with the same objects stores each of them once.
        """

    async def audit(self, since: datetime, until: datetime | None = None) -> Sequence[AuditEntry]:
        """Return audit entries from `since` on, before `until` if given, oldest first."""
