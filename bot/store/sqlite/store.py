"""The store in one SQLite file, for one machine, with one or several processes.

A row is read, changed and written inside `BEGIN IMMEDIATE`, so no other writer can interfere; the write is conditional
on the version nevertheless. The audit entries of the change are in the same transaction.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from bot.domain.audit import AuditEntry
from bot.domain.digest_post import DigestPost
from bot.domain.history import HistoryEntry, history_entries
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.spans import latest_end
from bot.domain.storable import storable
from bot.ports.store import (
    DIGEST_KEPT,
    MOST_IN_PAGE,
    MOST_UNREAD_IN_PAGE,
    NOTHING_KNOWN,
    Change,
    PersonalChat,
    Place,
    Replica,
    RowUnreadable,
    StoreDamaged,
    StoreUnavailable,
    Wanted,
    Watched,
    every_row,
)
from bot.store.rows import (
    AUDIT_ENTRY,
    AUDIT_KEPT,
    DIGEST_POST,
    PERSONAL_CHAT,
    REPLICA_KEPT,
    apply_change,
    decode,
    decode_listed_row,
    decode_row,
    encode,
    encode_over,
    encode_row,
    watched_rows,
)
from bot.store.sqlite.integrity import check_file, check_writing, open_files
from bot.store.sqlite.schema import APPLICATION_ID, TABLES, connect, connect_in_memory
from bot.store.sqlite.thread import DatabaseThread

BUSY_SECONDS = 2.0  # for another process's lock; a click must be answered within 3, even if only with "not stored"
FORGOTTEN_AT_ONCE = 500  # rows; limits how long other writers wait
_END_OF_TIME = 2**62  # microseconds
_Last = tuple[int, str]  # creation time and key of the last row of a page
_START_OF_TIME: _Last = (-_END_OF_TIME, "")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")

_LOAD = "SELECT record FROM requests WHERE key = ?"
_LOAD_SEVERAL = "SELECT key, record FROM requests WHERE key IN (SELECT value FROM json_each(?))"
_SAVE = """
    INSERT INTO requests (key, ops_item_id, version, created_at, watched, next_look_at, expires_at, record)
    VALUES (:key, :ops_item_id, :version, :created_at, :watched, :next_look_at, :expires_at, :record)
    ON CONFLICT (key) DO UPDATE SET
        version = :version, created_at = :created_at, watched = :watched, next_look_at = :next_look_at,
        expires_at = :expires_at, record = :record
    WHERE version = :version - 1
"""
_DUE = "SELECT key FROM requests WHERE next_look_at <= ? ORDER BY next_look_at, key LIMIT ?"
_NEXT_DUE = "SELECT min(next_look_at) FROM requests WHERE next_look_at IS NOT NULL"
_WATCHED = """
    SELECT created_at, key, version FROM requests
    WHERE watched AND (created_at, key) > (:created_at, :key) AND key >= :first AND key < :end
    ORDER BY created_at, key
"""
_FORGET_EXPIRED = """
    DELETE FROM requests WHERE key IN (SELECT key FROM requests WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
"""
_FIND = "SELECT key, record FROM requests WHERE ops_item_id = ? ORDER BY key"
_LISTED = "SELECT subject, at, granted FROM history WHERE key = ?"
_UNLIST = "DELETE FROM history WHERE key = ?"
_LIST = "INSERT INTO history (subject, at, granted, key) VALUES (?, ?, ?, ?)"
_HISTORY = "SELECT at, key, granted FROM history WHERE subject = ? AND at >= ? ORDER BY at DESC, key LIMIT ?"
_BEGIN_HISTORY = "INSERT INTO history_began SELECT ? WHERE NOT EXISTS (SELECT 1 FROM history_began)"
_HISTORY_BEGAN = "SELECT at FROM history_began"
_REMEMBER_CHAT = "INSERT INTO personal_chats VALUES (?, ?) ON CONFLICT (object_id) DO UPDATE SET chat = excluded.chat"
_FORGET_CHAT = "DELETE FROM personal_chats WHERE object_id = ?"
_CHAT = "SELECT object_id, chat FROM personal_chats WHERE object_id = ?"
_CHATS = "SELECT object_id, chat FROM personal_chats ORDER BY object_id"
_REMEMBER_URL = """
    INSERT INTO service_urls VALUES (?, ?)
    ON CONFLICT (conversation) DO UPDATE SET service_url = excluded.service_url
"""
_URL = "SELECT service_url FROM service_urls WHERE conversation = ?"
_REMEMBER_GROUP = """
    INSERT INTO team_groups VALUES (?, ?)
    ON CONFLICT (conversation) DO UPDATE SET group_id = excluded.group_id
"""
_GROUP = "SELECT group_id FROM team_groups WHERE conversation = ?"
_LEASE_SWEEP = """
    INSERT INTO sweep_leases VALUES (:account, :region, :owner, :until)
    ON CONFLICT (account, region) DO UPDATE SET owner = :owner, until = :until
        WHERE owner = :owner OR until <= :now OR until > :latest
"""
_REGISTER = """
    INSERT INTO replicas VALUES (?, ?, ?)
    ON CONFLICT (owner) DO UPDATE SET knows = excluded.knows, seen_at = excluded.seen_at
"""
_REPLICAS = "SELECT owner, knows, seen_at FROM replicas WHERE seen_at >= ? ORDER BY owner"
_FORGET_REPLICAS = "DELETE FROM replicas WHERE seen_at < ?"
_WATERMARK = "SELECT moment FROM watermarks WHERE account = ? AND region = ?"
_ADVANCE = """
    INSERT INTO watermarks VALUES (?, ?, ?)
    ON CONFLICT (account, region) DO UPDATE SET moment = excluded.moment WHERE excluded.moment > moment
"""
_DIGEST_POST = "SELECT name, post FROM digest_posts WHERE name = ?"
_WRITE_DIGEST_POST = """
    INSERT INTO digest_posts VALUES (:name, :version, :due_at, :post)
    ON CONFLICT (name) DO UPDATE SET version = :version, post = :post WHERE version = :version - 1
"""
_FORGET_DIGEST_POSTS = "DELETE FROM digest_posts WHERE due_at < ?"
_APPEND = "INSERT INTO audit (at, entry) VALUES (?, ?)"
_AUDIT = "SELECT id, entry FROM audit WHERE at >= ? AND at < ? ORDER BY at, id"
_FORGET_AUDIT = """
    DELETE FROM audit WHERE id IN (
        SELECT id FROM audit WHERE at <= min(:until, (SELECT max(at) FROM audit) - :kept) ORDER BY at LIMIT :most
    )
"""


class SqliteStore:
    """`ports.store.Store` in a file, which `async with` opens and closes.

    With `path` None, it is an empty store in memory, which ends when it is closed. `busy_seconds` limits the wait for
    another process's lock.
    """

    def __init__(self, path: Path | None, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._thread = DatabaseThread(partial(connect, path, busy_seconds=busy_seconds) if path else connect_in_memory)
        self._path, self._files, self.created = path, dict[Path, tuple[int, int]](), False
        self._history_began: datetime | None = None  # once it is stored, it never changes

    async def __aenter__(self) -> Self:
        """Open the file; create or migrate it if necessary. Raises StoreUnavailable, SchemaRefused."""
        self.created = self._path is None or not self._path.exists() or self._path.stat().st_size == 0
        await self._thread.__aenter__()
        self._files = dict(open_files(self._path)) if self._path else {}
        return self

    async def __aexit__(self, *error: object) -> None:
        """Complete pending work and close the file."""
        await self._thread.__aexit__(*error)

    async def check(self) -> None:
        """Check the file, and that it can be written. A store in memory has nothing to check.

        Raises StoreUnavailable, or StoreDamaged if the file was deleted, replaced or damaged, or if a call met damage
        since the last check. After this check finds damage in the file, every call fails until a check finds none.
        """
        if self._path is None:
            return
        met, self._thread.damage = self._thread.damage, None
        try:
            await asyncio.to_thread(check_file, self._path, self._files, owner=APPLICATION_ID, tables=TABLES)
        except StoreDamaged as damage:
            self._thread.refusal = damage
            raise
        self._thread.refusal = None
        if met:
            raise StoreDamaged(str(met)) from met
        await self._thread.write(check_writing)

    # --- requests

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row, as last written by any process; None if there is none."""
        return await self._thread.read(partial(_load, key=key))

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write what `change` returns for the row. `change` runs in the store's thread."""
        return await self._thread.write(partial(_apply, key=key, change=change, now=now))

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        """Return the keys of the rows whose `requeue_at` has passed, longest due first."""
        return [RequestKey.parse(key) for (key,) in await self._rows(_DUE, _micros(now), limit)]

    async def next_due(self) -> datetime | None:
        """Return the earliest `requeue_at` of all rows; None if there is none."""
        return _moment((await self._rows(_NEXT_DUE))[0][0])

    async def watched(
        self,
        place: Place | None = None,
        *,
        known: Mapping[RequestKey, int] = NOTHING_KNOWN,
        wanted: Wanted = every_row,
    ) -> AsyncIterator[Watched]:
        """Yield the rows whose requests AWS may still change, in pages, oldest first."""
        last: _Last | None = _START_OF_TIME
        while last is not None:
            read = partial(_watched, place=place, known=known, wanted=wanted, after=last)
            page, last = await self._thread.read(read)
            yield page

    async def forget_expired(self, now: datetime) -> int:
        """Delete expired rows and audit entries, a limited number of each; return how many were deleted."""

        def forget(connection: sqlite3.Connection) -> int:
            rows = connection.execute(_FORGET_EXPIRED, (_micros(now), FORGOTTEN_AT_ONCE)).rowcount
            kept = AUDIT_KEPT // timedelta(microseconds=1)
            bounds = {"until": _micros(now) - kept, "kept": kept, "most": FORGOTTEN_AT_ONCE}
            trail = connection.execute(_FORGET_AUDIT, bounds).rowcount
            return rows + trail

        return await self._thread.write(forget)

    async def find(self, ops_item_id: str) -> Sequence[Record]:
        """Return the rows of an OpsItem id, in any account and Region."""
        return await self._read(_FIND, _record, ops_item_id)

    async def load_several(self, keys: Sequence[RequestKey]) -> Sequence[Record]:
        """Return those of the rows that exist and can be read."""

        def read(connection: sqlite3.Connection) -> list[Record]:
            found: list[Record] = []
            for _, decoded in _listed(connection, keys):
                with suppress(RowUnreadable):
                    found.append(decoded())
            return found

        return await self._thread.read(read)

    async def history(self, subject: str, since: datetime, limit: int) -> Sequence[HistoryEntry]:
        """Return the entries of a subject from `since` on, newest first, at most `limit`."""
        kept = storable(subject)
        return await self._read(_HISTORY, partial(_history_entry, kept), kept, _micros(since), limit)

    async def history_began(self, now: datetime) -> datetime:
        """Return since when all requests are listed. The first call stores `now`."""

        def began(connection: sqlite3.Connection) -> datetime:
            connection.execute(_BEGIN_HISTORY, (_micros(now),))
            (at,) = connection.execute(_HISTORY_BEGAN).fetchone()
            return _EPOCH + timedelta(microseconds=at)

        if self._history_began is None:
            self._history_began = await self._thread.write(began)
        return self._history_began

    # --- people and conversations

    async def remember_chat(self, chat: PersonalChat) -> None:
        """Store the personal chat of a person; it replaces an earlier one."""
        kept = storable(chat)
        object_id = kept.person.object_id.casefold()

        def remember(connection: sqlite3.Connection) -> None:
            former = connection.execute(_CHAT, (object_id,)).fetchone()
            text = encode_over(PERSONAL_CHAT, kept, former[1] if former else None)
            connection.execute(_REMEMBER_CHAT, (object_id, text))

        await self._thread.write(remember)

    async def forget_chat(self, object_id: str) -> None:
        """Delete the personal chat of a person, if there is one."""
        await self._write(_FORGET_CHAT, object_id.casefold())

    async def personal_chat(self, object_id: str) -> PersonalChat | None:
        """Return the personal chat of a person; None if it is unknown."""
        return next(iter(await self._read(_CHAT, _chat, object_id.casefold())), None)

    async def personal_chats(self) -> Sequence[PersonalChat]:
        """Return all personal chats."""
        return await self._read(_CHATS, _chat)

    async def remember_service_url(self, conversation: str, service_url: str) -> None:
        """Store the service URL that Teams uses for a conversation."""
        await self._write(_REMEMBER_URL, conversation, service_url)

    async def service_url(self, conversation: str) -> str | None:
        """Return the service URL of a conversation; None if it is unknown."""
        return next((str(url) for (url,) in await self._rows(_URL, conversation)), None)

    async def remember_team_group(self, conversation: str, group_id: str) -> None:
        """Store the Microsoft Entra group of the team that a channel belongs to."""
        await self._write(_REMEMBER_GROUP, conversation, group_id)

    async def team_group(self, conversation: str) -> str | None:
        """Return the group of a channel's team; None if it is unknown."""
        return next((str(group) for (group,) in await self._rows(_GROUP, conversation)), None)

    # --- the sweep and the audit trail

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the lease for sweeping an account and Region; False while another owner has it."""
        latest = latest_end(until, now=now)  # a later end was stored by a clock that was ahead
        times = {"until": _micros(until), "now": _micros(now), "latest": _micros(latest)}
        values = {"account": account, "region": region, "owner": owner, **times}
        return await self._thread.write(lambda connection: connection.execute(_LEASE_SWEEP, values).rowcount == 1)

    async def register_replica(self, replica: Replica) -> None:
        """Store that a process is running, and which stored values it can read.

        Deletes entries older than REPLICA_KEPT.
        """
        values = (replica.owner, " ".join(sorted(replica.knows)), _micros(replica.seen_at))

        def register(connection: sqlite3.Connection) -> None:
            connection.execute(_REGISTER, values)
            connection.execute(_FORGET_REPLICAS, (_micros(replica.seen_at - REPLICA_KEPT),))

        await self._thread.write(register)

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        """Return the processes that registered at or after `since`, sorted by owner."""
        return await self._read(_REPLICAS, _replica, _micros(since))

    async def watermark(self, account: str, region: str) -> datetime | None:
        """Return the time from which the sweep must list changes; None before the first sweep."""
        return next((_moment(moment) for (moment,) in await self._rows(_WATERMARK, account, region)), None)

    async def advance_watermark(self, account: str, region: str, moment: datetime) -> None:
        """Store a later watermark. An earlier one changes nothing."""
        await self._write(_ADVANCE, account, region, _micros(moment))

    async def digest_post(self, name: str) -> DigestPost | None:
        """Return the post of a weekly digest; None if no process has claimed it."""
        return next(iter(await self._read(_DIGEST_POST, _digest_post, name)), None)

    async def write_digest_post(self, post: DigestPost) -> bool:
        """Store the next version of a post; False if another process was first. Deletes old posts."""
        kept = storable(post)
        values = {"name": kept.name, "version": kept.version, "due_at": _micros(kept.due_at)}

        def write(connection: sqlite3.Connection) -> bool:
            connection.execute(_FORGET_DIGEST_POSTS, (_micros(kept.due_at - DIGEST_KEPT),))
            written = connection.execute(_WRITE_DIGEST_POST, {**values, "post": encode(DIGEST_POST, kept)})
            return written.rowcount == 1

        return await self._thread.write(write)

    async def append_audit(self, *entries: AuditEntry) -> None:
        """Add entries to the audit trail, all or none."""

        def append(connection: sqlite3.Connection) -> None:
            connection.executemany(_APPEND, [_appended(storable(entry)) for entry in entries])

        await self._thread.write(append)

    async def audit(self, since: datetime, until: datetime | None = None) -> Sequence[AuditEntry]:
        """Return audit entries from `since` on, before `until` if given, oldest first."""
        return await self._read(_AUDIT, _audit_entry, _micros(since), _micros(until) if until else _END_OF_TIME)

    # --- statements

    async def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._read(sql, tuple, *values)

    async def _read(self, sql: str, shape: Callable[[tuple[Any, ...]], T], *values: object) -> list[T]:
        bound = storable(values)
        return await self._thread.read(lambda connection: [shape(row) for row in connection.execute(sql, bound)])

    async def _write(self, sql: str, *values: object) -> None:
        bound = storable(values)
        await self._thread.write(lambda connection: connection.execute(sql, bound) and None)


def _load(connection: sqlite3.Connection, *, key: RequestKey) -> Record | None:
    found = connection.execute(_LOAD, (str(key),)).fetchone()
    return decode_row(str(key), found[0]) if found else None


def _apply(connection: sqlite3.Connection, *, key: RequestKey, change: Change, now: datetime) -> Record:
    former = _load(connection, key=key)
    record, entries = apply_change(former, key, change, now=now)
    if record.version != (former.version if former else 0):
        _save(connection, record)
        connection.executemany(_APPEND, map(_appended, entries))
    return record


def _save(connection: sqlite3.Connection, record: Record) -> None:
    columns = {
        "key": str(record.key),
        "ops_item_id": record.key.ops_item_id,
        "version": record.version,
        "created_at": _micros(record.created_at),
        "watched": record.watched,
        "next_look_at": None if record.requeue_at is None else _micros(record.requeue_at),
        "expires_at": None if record.expires_at is None else _micros(record.expires_at),
        "record": encode_row(record),
    }
    if connection.execute(_SAVE, columns).rowcount != 1:
        raise StoreUnavailable(f"request {record.key} was written by a process without the lock")
    _list(connection, record)


def _list(connection: sqlite3.Connection, record: Record) -> None:
    """List the row in the history. A version without this index may have written it last."""
    key = str(record.key)
    wanted = {(each.subject, _micros(each.at), int(each.granted)) for each in history_entries(record)}
    if wanted == set(connection.execute(_LISTED, (key,))):
        return
    connection.execute(_UNLIST, (key,))
    connection.executemany(_LIST, [(*each, key) for each in wanted])


def _history_entry(subject: str, row: tuple[Any, ...]) -> HistoryEntry:
    at, key, granted = row
    return HistoryEntry(subject, _EPOCH + timedelta(microseconds=at), RequestKey.parse(key), granted=bool(granted))


def _watched(
    connection: sqlite3.Connection,
    *,
    place: Place | None,
    known: Mapping[RequestKey, int],
    wanted: Wanted,
    after: _Last,
) -> tuple[Watched, _Last | None]:
    """Return a page of watched rows, and the creation time and key of its last row; None if no rows follow."""
    first, end = (f"{'/'.join(place)}/", f"{'/'.join(place)}0") if place else ("", "~")  # 0 follows / in ASCII
    bounds = {"created_at": after[0], "key": after[1], "first": first, "end": end}
    changed, unchanged = list[RequestKey](), list[RequestKey]()
    last: _Last | None = None
    for created_at, text, version in connection.execute(_WATCHED, bounds):
        key = RequestKey.parse(text)
        (unchanged if known.get(key) == version else changed).append(key)
        if len(changed) == MOST_IN_PAGE or len(unchanged) == MOST_UNREAD_IN_PAGE:
            last = created_at, text
            break
    return watched_rows(_listed(connection, changed), wanted=wanted, unchanged=unchanged), last


def _listed(
    connection: sqlite3.Connection, keys: Iterable[RequestKey]
) -> Iterator[tuple[RequestKey, Callable[[], Record]]]:
    """Yield the key of each row that exists, and the function that decodes it."""
    wanted = {str(key): key for key in keys}
    for key, text in connection.execute(_LOAD_SEVERAL, (json.dumps([*wanted]),)):
        yield wanted[key], partial(decode_listed_row, key, text)


def _record(row: tuple[Any, ...]) -> Record:
    return decode_row(row[0], row[1])


def _appended(entry: AuditEntry) -> tuple[int, str]:
    return _micros(entry.at), encode(AUDIT_ENTRY, entry)


def _replica(row: tuple[Any, ...]) -> Replica:
    owner, knows, seen_at = row
    return Replica(owner, frozenset(knows.split()), _EPOCH + timedelta(microseconds=seen_at))


def _chat(row: tuple[Any, ...]) -> PersonalChat:
    return decode(PERSONAL_CHAT, row[1], where=f"personal chat {row[0]}")


def _digest_post(row: tuple[Any, ...]) -> DigestPost:
    return decode(DIGEST_POST, row[1], where=f"digest {row[0]}")


def _audit_entry(row: tuple[Any, ...]) -> AuditEntry:
    return decode(AUDIT_ENTRY, row[1], where=f"audit entry {row[0]}")


def _micros(moment: datetime) -> int:
    """Return microseconds since 1970, which are exact and sortable."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)
