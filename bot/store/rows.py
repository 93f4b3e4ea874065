"""Encodes rows as JSON, decodes them, and applies changes. Owns the stored names and the validation; knows no database.

A row may have members and values that only a newer version knows; `unrecognized.py` keeps them. Any other mismatch
raises RowUnreadable, which names the row, so that no stored value is lost without an error.
"""

import json
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final, TypeVar, get_args, get_type_hints

from cachetools import LRUCache
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import SchemaValidator

from bot.domain.audit import AuditEntry, steps
from bot.domain.digest_post import DigestPost
from bot.domain.identity import Requester
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.storable import storable, storable_row
from bot.domain.surface import Surface
from bot.ports.store import Change, PersonalChat, RowUnreadable, Wanted, Watched, every_row
from bot.store.unrecognized import FIELD, as_json, decode_newer, merged, with_unrecognized

T = TypeVar("T")

AUDIT_KEPT = timedelta(days=400)  # a year, plus some weeks to ask about its first days
REPLICA_KEPT = timedelta(days=1)  # entry of a process that no longer registers
ROWS_KEPT = 64  # rows, one for each request: more than are worked on at the same time

NOT_STORED: Final[set[str]] = {FIELD}
StoredNames = Mapping[type, Mapping[str, str]]  # class -> Python field -> member of the stored JSON
STORED_NAMES: Final[StoredNames] = {
    Record: {"reconcile_failures": "looks_failed", "requeue_at": "next_look_at"},
    Surface: {"unconfirmed_posts": "lost"},
    Requester: {"identified": "placed"},
}
"""The stored name of each field whose Python name differs from it. Every other field is stored under its Python name.

Rows outlive the code that wrote them, and several versions of the program may share one table. A stored name therefore
never changes. To rename a Python field, add its new name here with the name that the rows already have:

    Record: {"requeue_at": "next_look_at"}

Writing and reading both use the stored name, and only the stored name. Without the entry the old member would be
written back as unknown, and its value would not be used. tests/contract/test_recorded_rows.py fails in that case.
Names of classes and of enum members are not stored, so they need no entry; the values of enums are stored.
"""


def adapter_of(kind: type[T], names: StoredNames = STORED_NAMES) -> TypeAdapter[T]:
    """Return the adapter that encodes and decodes a dataclass, or a container of them, under the stored names.

    Raises ValueError for an entry that names no field, or that gives two fields of a class the same stored name.
    """
    for each, members in names.items():
        _check_names(each, members)
    for each in _dataclasses_in(kind):
        with_config(ConfigDict(alias_generator=_stored_name(names.get(each, {})), extra="forbid"))(each)
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    adapter.validator = SchemaValidator(_with_moments_in_utc(adapter.core_schema))
    return adapter


def _with_moments_in_utc(schema: Any) -> Any:
    """Return a schema of pydantic in which every moment must have a time zone, and is read in Python's UTC.

    To convert the moments of a row after its validation, which rebuilds most of it, takes twice as long as to read it.
    """
    match schema:
        case {"type": "datetime"}:
            in_utc = {"type": "no-info", "function": operator.methodcaller("astimezone", UTC)}
            return {"type": "function-after", "function": in_utc, "schema": {**schema, "tz_constraint": "aware"}}
        case dict():
            return {name: _with_moments_in_utc(each) for name, each in schema.items()}
        case list():
            return [_with_moments_in_utc(each) for each in schema]
        case _:
            return schema


def _dataclasses_in(kind: Any) -> frozenset[type]:
    """Return the dataclass and every dataclass in its fields, at any depth."""
    found: set[type] = set()
    waiting = [kind]
    while waiting:
        each = waiting.pop()
        waiting += get_args(each)
        if isinstance(each, type) and is_dataclass(each) and each not in found:
            found.add(each)
            waiting += get_type_hints(each).values()
    return frozenset(found)


def _check_names(kind: type, members: Mapping[str, str]) -> None:
    known = [each.name for each in fields(kind)]
    if unknown := members.keys() - known:
        raise ValueError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
    if len({members.get(name, name) for name in known}) < len(known):
        raise ValueError(f"two fields of {kind.__name__} have the same stored name")


def _stored_name(members: Mapping[str, str]) -> Callable[[str], str]:
    """Return the function that pydantic calls for each field, once, when it builds an adapter."""
    return lambda name: members.get(name, name)


RECORD: Final = adapter_of(Record)
AUDIT_ENTRY: Final = adapter_of(AuditEntry)
PERSONAL_CHAT: Final = adapter_of(PersonalChat)
DIGEST_POST: Final = adapter_of(DigestPost)


def encode(adapter: TypeAdapter[T], value: T) -> str:
    """Return the JSON of a value that `storable` returned, with the parts that were not recognized on reading."""
    if isinstance(value, Record) and value.unrecognized:
        current = adapter.dump_python(value, mode="json", by_alias=True, exclude=NOT_STORED)
        return as_json(with_unrecognized(current, value.unrecognized))
    return adapter.dump_json(value, by_alias=True, exclude=NOT_STORED).decode()


def encode_over(adapter: TypeAdapter[T], value: T, former: str | None) -> str:
    """Return the JSON of a value that replaces `former`, with the members of `former` that this version lacks."""
    current = encode(adapter, value)
    return current if former is None else as_json(merged(json.loads(current), json.loads(former)))


def decode(adapter: TypeAdapter[T], text: str, *, where: str) -> T:
    """Return the value of stored JSON, which is storable. Raises RowUnreadable with the place and the problem."""
    try:
        return _decoded(adapter, text)
    except ValidationError as error:
        raise RowUnreadable(f"{where} cannot be read: {_problems(error)}") from None  # a trace would show the values
    except (ValueError, OverflowError) as error:
        raise RowUnreadable(f"{where} cannot be read: {error}") from error


def _decoded(adapter: TypeAdapter[T], text: str) -> T:
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:  # only now, because most rows were written by this version
        return decode_newer(adapter, text, error)


class RecentRows:
    """The rows that this process read or wrote last, each with its JSON. Threads share it.

    A kept row is used only if the store has the same JSON, so writes of other processes and rollbacks do no harm.
    """

    def __init__(self, most: int) -> None:
        self._rows: LRUCache[str, tuple[str, Record]] = LRUCache(most)
        self._lock = Lock()

    def get(self, request: str, text: str) -> Record | None:
        """Return the row that has this JSON; None if it is not kept."""
        with self._lock:
            kept = self._rows.get(request)
        return kept[1] if kept and kept[0] == text else None

    def keep(self, request: str, text: str, row: Record) -> None:
        """Keep a row, which replaces an earlier one of the request."""
        with self._lock:
            self._rows[request] = text, row


RECENT: Final = RecentRows(ROWS_KEPT)


def encode_row(row: Record) -> str:
    """Return the JSON of a row to write, and keep the row for `decode_row`."""
    text = encode(RECORD, row)
    if row.unrecognized is None:  # else decoding finds other parts in what this version wrote
        RECENT.keep(str(row.key), text, row)
    return text


def decode_row(request: str, text: str) -> Record:
    """Return the row of a request, given its key and its stored JSON. Raises RowUnreadable."""
    row = RECENT.get(request, text)
    if row is None:
        row = decode_listed_row(request, text)
        RECENT.keep(request, text, row)
    return row


def apply_change(
    former: Record | None, key: RequestKey, change: Change, *, now: datetime
) -> tuple[Record, tuple[AuditEntry, ...]]:
    """Return the row to write, with its next version, and the audit entries that belong to the same write.

    If nothing changed, the row has its former version (0: it does not exist) and there are no entries. A missing row is
    created at `now`. Errors of `change` pass through.
    """
    start = former or Record(key, storable(now))
    record = storable_row(change(start), start)
    if record == start:
        return start, ()
    written = replace(record, version=start.version + 1)
    return written, tuple(steps(start, written, at=storable(now)))


def decode_listed_row(request: str, text: str) -> Record:
    """Return a row like `decode_row`, but do not cache it: a long list would displace the rows that are in use."""
    return decode(RECORD, text, where=f"request {request}")


def watched_rows(
    found: Iterable[tuple[RequestKey, Callable[[], Record]]],
    *,
    wanted: Wanted = every_row,
    unchanged: Iterable[RequestKey] = (),
) -> Watched:
    """Return a page of watched rows, oldest first, and the keys of the rows that cannot be read, or need not be.

    `found` has the key of each row, and the function that reads it. Rows that are no longer watched, or are not wanted,
    are left out.
    """
    rows, unreadable = [], []
    for key, read in found:
        try:
            rows.append(read())
        except RowUnreadable:
            unreadable.append(key)
    watched = sorted(
        (row for row in rows if row.watched and wanted(row)), key=lambda row: (row.created_at, str(row.key))
    )
    return Watched(tuple(watched), tuple(sorted(unreadable)), tuple(unchanged))


def _problems(error: ValidationError) -> str:
    """Return each invalid member and its error type, without the values: a value may be text that a person wrote."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'row'}: {each['type']}" for each in problems)
