"""Makes values storable: what a store returns for them is equal. Pure.

Start with `storable`, and `storable_row` for a row.
"""

import operator
from collections.abc import Callable, Hashable, Iterable
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, partial
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_type_hints

from bot.domain.record import Record

T = TypeVar("T")


def storable(value: T) -> T:
    """Return a value exactly as a store will return it: moments in UTC, text without lone surrogates.

    No store accepts lone surrogates. Comparisons and digests give the same result before a write and after the read.
    Raises ValueError for a moment without a time zone.
    """
    return cast("T", _storable(value))


def storable_row(record: Record, former: Record) -> Record:
    """Return a row like `storable`. Fields with the same objects as in `former`, which is storable, are not examined.

    A change replaces few fields, and a row has hundreds of values.
    """
    names = (name for name in _names_of_parts(Record) if getattr(record, name) is not getattr(former, name))
    kept: Record = _with_storable_parts(record, names)
    return kept


def _storable(value: Any) -> Any:
    return _way(type(value))(value)  # type: ignore[arg-type]  # types are hashable


Way = Callable[[Any], Any]


@cache
def _way(kind: Hashable) -> Way:
    """Return the function that makes values of a type storable. Cached per type: a row has hundreds of values."""
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


def _each_part_of(kind: type) -> Way:
    return partial(_with_storable_parts, names=_names_of_parts(kind))


def _with_storable_parts(value: Any, names: Iterable[str]) -> Any:
    """Return a dataclass with these fields made storable; the same object if that changes nothing."""
    changed = {}
    for name in names:
        part = getattr(value, name)
        kept = _storable(part)
        if kept is not part:
            changed[name] = kept
    return replace(value, **changed) if changed else value


@cache
def _names_of_parts(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields that may have a moment or a text that stores return differently."""
    return tuple(name for name, part in get_type_hints(kind).items() if _may_change(part))


def _may_change(kind: Any) -> bool:
    """Return whether a value of this type may have a moment or a text that stores return differently."""
    if parts := get_args(kind):
        return any(map(_may_change, parts))
    return not (isinstance(kind, type) and issubclass(kind, (int, float, timedelta, Enum, NoneType)))


def _as_it_is(value: Any) -> Any:
    return value


def _text(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be stored")
    if moment.tzinfo is not UTC:
        return moment.astimezone(UTC)
    return moment.replace(fold=0) if moment.fold else moment
