"""Arbitrary values of the domain's types, built from annotations, so that tests cover a new field automatically."""

import types
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from bot.domain.record import Unrecognized
from bot.domain.request import RequestKey

REQUEST_KEYS = st.builds(
    RequestKey,
    account=st.sampled_from(["111122223333", "444455556666"]),
    region=st.sampled_from(["ap-northeast-1", "us-east-1"]),
    ops_item_id=st.integers(0, 3).map(lambda number: f"oi-{number:012x}"),
)
MOMENTS = st.datetimes(
    datetime(1990, 1, 1),  # noqa: DTZ001  # the zone comes from `timezones`
    datetime(2100, 1, 1),  # noqa: DTZ001  # the zone comes from `timezones`
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=9))]),
)
SPANS = st.timedeltas(timedelta(0), timedelta(days=400))
_LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    RequestKey: REQUEST_KEYS,
    Unrecognized: st.none(),  # only decoding a row creates it
    datetime: MOMENTS,
    timedelta: SPANS,
    str: st.text(max_size=20),
    int: st.integers(0, 1000),
    bool: st.booleans(),
    types.NoneType: st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for arbitrary values of a type."""
    if kind in _LEAVES:
        return _LEAVES[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, Union}:
        return st.one_of(*map(values, arguments))
    if origin is tuple:
        return _tuples(arguments)
    if origin is frozenset:
        return st.frozensets(values(arguments[0]), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return _dataclasses(kind)


def _dataclasses(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{each.name: values(hints[each.name]) for each in fields(kind)})


def _tuples(arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    return st.tuples(*map(values, arguments))
