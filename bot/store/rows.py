"""Rows as JSON and back. Owns the stored shape and its validation; knows no database.

Fields that a newer minor version added are passed over; anything else that does not fit is RowUnreadable, which names
the row: what cannot be understood is never dropped in silence.
"""

import operator
from collections.abc import Callable, Hashable, Iterable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from bot.domain.audit import AuditEntry
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import PersonalChat, RowUnreadable, Watched

T = TypeVar("T")

AUDIT_KEPT = timedelta(days=400)  # a year, and the weeks in which somebody asks about its first days
RECORD: Final = TypeAdapter(Record)
AUDIT_ENTRY: Final = TypeAdapter(AuditEntry)
PERSONAL_CHAT: Final = TypeAdapter(PersonalChat)


def storable(value: T) -> T:
    """Return a value as it will be read back: moments in UTC, and text without lone surrogates, which no store takes.

    What is compared or digested is thus the same before and after its way through the store. Raises ValueError for a
    moment without a time zone.
    """
    return cast("T", _storable(value))


def _storable(value: Any) -> Any:
    return _way(type(value))(value)  # type: ignore[arg-type]  # types are hashable


Way = Callable[[Any], Any]


@cache
def _way(kind: Hashable) -> Way:
    """Return how values of a type become storable; found once, as a row has hundreds of values."""
    match kind:
        case type() if issubclass(kind, datetime):
            return _in_utc
        case type() if issubclass(kind, str) and not issubclass(kind, Enum):
            return _text
        case type() if issubclass(kind, (tuple, frozenset)):
            return _each_of(kind)
        case type() if is_dataclass(kind):
            return _each_part_of(kind)
        case _:
            return _as_it_is


def _each_of(kind: Callable[[list[Any]], Any]) -> Way:
    def storable_each(values: Any) -> Any:
        kept = [_storable(each) for each in values]
        return values if all(map(operator.is_, kept, values)) else kind(kept)

    return storable_each


def _each_part_of(kind: Callable[..., Any]) -> Way:
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]  # a dataclass, as its caller found

    def storable_parts(value: Any) -> Any:
        parts = [getattr(value, name) for name in names]
        kept = [_storable(part) for part in parts]
        return value if all(map(operator.is_, kept, parts)) else kind(**dict(zip(names, kept, strict=True)))

    return storable_parts


def _as_it_is(value: Any) -> Any:
    return value


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be stored")
    return moment if moment.tzinfo is UTC and not moment.fold else moment.astimezone(UTC).replace(fold=0)


def encode(adapter: TypeAdapter[T], value: T) -> str:
    """Return the JSON of a value that went through `storable`."""
    return adapter.dump_json(value).decode()


def decode(adapter: TypeAdapter[T], text: str | bytes, *, where: str) -> T:
    """Return the value of stored JSON. Raises RowUnreadable, which says `where` it was found and what is wrong."""
    try:
        return storable(adapter.validate_json(text, strict=True))
    except ValidationError as error:
        raise RowUnreadable(f"{where} cannot be read: {_problems(error)}") from None  # a trace would tell the values
    except ValueError as error:
        raise RowUnreadable(f"{where} cannot be read: {error}") from error


def watched_rows(found: Iterable[tuple[RequestKey, Callable[[], Record]]]) -> Watched:
    """Return those rows that are watched, oldest first; what cannot be read is named beside them."""
    rows, unreadable = [], []
    for key, read in found:
        try:
            rows.append(read())
        except RowUnreadable:
            unreadable.append(key)
    watched = sorted((row for row in rows if row.watched), key=lambda row: (row.created_at, str(row.key)))
    return Watched(tuple(watched), tuple(sorted(unreadable)))


def _problems(error: ValidationError) -> str:
    """Name fields and what is wrong with them, without the values: they may be a person's words."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'row'}: {each['type']}" for each in problems)
