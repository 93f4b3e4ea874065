"""The store as the services see it: rows, where people can be reached, the audit trail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.audit import AuditEntry
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey


@dataclass(frozen=True, slots=True)
class PersonalChat:
    """A person who has talked to the bot or installed it: where to reach them."""

    person: Person
    conversation: str
    service_url: str


class StoreUnavailable(Exception):
    """The store did not take or give a row; nothing was changed as far as is known."""


class StoreUncertain(StoreUnavailable):
    """A write left and nobody knows what became of it: it may be stored, or be stored yet."""


class RowUnreadable(StoreUnavailable):
    """A stored row does not have the shape that this version knows."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The rows that AWS may still change, oldest first, and those of them that this version cannot read."""

    rows: tuple[Record, ...] = ()
    unreadable: tuple[RequestKey, ...] = ()


Change = Callable[[Record], Record]


class Store(Protocol):
    """Rows, people and the audit trail. Every call may raise StoreUnavailable.

    `due`, `next_due` and `watched` may hear a second late of what another process wrote; what they return is true.
    """

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row, as last written by anybody."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write what `change` makes of the row (of a new one, made at `now`, where there is none).

        `change` is pure and is applied again when another writer was faster; the same row back writes nothing; what
        it raises passes through and nothing is written. Returns the row as it is then, with its new version.
        What the write changes about the row's decisions (`domain.audit.steps`, at `now`) is in the audit trail if and
        only if the row is written: both are one write.
        """

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        """Return the rows whose `requeue_at` has come, longest due first."""

    async def next_due(self) -> datetime | None:
        """Return the earliest `requeue_at` of all rows."""

    async def watched(self) -> Watched:
        """Return the rows that AWS may still change (`Record.watched`); one that cannot be read hides no other."""

    async def forget_expired(self, now: datetime) -> int:
        """Drop rows whose `Record.expires_at` has come, some hundred at most; return how many were dropped here."""

    async def find(self, ops_item_id: str) -> Sequence[Record]:
        """Return the rows of that OpsItem id, in whatever account and Region."""

    async def remember_chat(self, chat: PersonalChat) -> None:
        """Keep where a person can be reached."""

    async def forget_chat(self, object_id: str) -> None:
        """Drop it."""

    async def personal_chat(self, object_id: str) -> PersonalChat | None:
        """Return where a person can be reached."""

    async def personal_chats(self) -> Sequence[PersonalChat]:
        """Return everybody who can be reached."""

    async def remember_service_url(self, conversation: str, service_url: str) -> None:
        """Keep where Teams wants messages for a conversation to go."""

    async def service_url(self, conversation: str) -> str | None:
        """Return it."""

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the right to sweep an account and Region; False while another owner has it after `now`."""

    async def watermark(self, account: str, region: str) -> datetime | None:
        """Return since when the sweep must list changes."""

    async def advance_watermark(self, account: str, region: str, moment: datetime) -> None:
        """Keep it."""

    async def append_audit(self, entry: AuditEntry) -> None:
        """Add to the audit trail."""

    async def audit(self, since: datetime, until: datetime | None = None) -> Sequence[AuditEntry]:
        """Return the audit trail from then on, up to another moment or its end, oldest first."""

    async def close(self) -> None:
        """Let go of files and connections."""
