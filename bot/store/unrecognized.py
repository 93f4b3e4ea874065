"""Keeps the members and values of a row that a newer version of the program stored and this one does not know.

During an upgrade, several versions share a table, so no version may lose the data of another:

- A member that this version does not know is skipped on reading and written back.
- A decision, surface or ending with an unknown value is left out on reading and written back. `Unrecognized` lists it,
  so that no action builds on its absence.
- A fact (the request, its requester, its route or its usage) with an unknown value counts as not read yet; it is
  written back until this version writes the fact itself.

Works on parsed JSON. It must not know databases.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from bot.domain.record import Record, Unrecognized

Json = Any
T = TypeVar("T")
LISTS: Final[Mapping[str, str]] = {"decisions": "id", "surfaces": "name", "endings": "id"}
"""The lists of a row whose elements are left out one by one, and the member that identifies an element."""
FACTS: Final = frozenset({"request", "requester", "route", "usage"})  # members of a row that may be missing
# the first one that an object has identifies it
IDENTITIES: Final = ("id", "object_id", "user", "name", "step", "owner")
UNKNOWN_MEMBER: Final = "unexpected_keyword_argument"  # pydantic's error for a member that is no field of a dataclass
FIELD: Final = "unrecognized"  # the field of a row that is not stored


def as_json(value: Json) -> str:
    """Return the JSON as the stores have it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode_newer(adapter: TypeAdapter[T], text: str, error: ValidationError) -> T:
    """Decode the JSON that raised `error`, without its unknown members and values.

    Raises ValidationError if it has any other problem.
    """
    problems = error.errors(include_url=False, include_context=False)
    if any(not _is_of_newer_version(each) for each in problems):
        raise error
    row = json.loads(text)
    omitted = frozenset(filter(None, (_omitted(row, each) for each in problems)))
    value = adapter.validate_json(as_json(_without(row, omitted, problems)), strict=True)
    return cast("T", replace(value, unrecognized=Unrecognized(text, omitted))) if isinstance(value, Record) else value


def with_unrecognized(current: Json, kept: Unrecognized) -> Json:
    """Return a row as it is stored: `current` and everything that was not recognized when it was read."""
    former = json.loads(kept.text)
    whole = merged(current, former)
    for name in FACTS & kept.omitted:
        if current[name] is None:
            whole[name] = former[name]
    for name, identity in LISTS.items():
        whole[name] += [each for each in former.get(name, ()) if f"{name}/{each.get(identity)}" in kept.omitted]
    return whole


def _is_of_newer_version(problem: ErrorDetails) -> bool:
    place = problem["loc"]
    if problem["type"] == UNKNOWN_MEMBER:
        return True
    return problem["type"] == "enum" and (place[0] in FACTS or (place[0] in LISTS and len(place) > 1))


def _omitted(row: Json, problem: ErrorDetails) -> str | None:
    """Return the fact or the element of a list that has an unknown value; None for an unknown member."""
    if problem["type"] == UNKNOWN_MEMBER:
        return None
    name, *rest = problem["loc"]
    return str(name) if name in FACTS else f"{name}/{row[name][rest[0]].get(LISTS[str(name)])}"


def _without(row: Json, omitted: Iterable[str], problems: Sequence[ErrorDetails]) -> Json:
    for problem in problems:
        if problem["type"] == UNKNOWN_MEMBER:
            *place, name = problem["loc"]
            _at(row, place).pop(name, None)
    for name in FACTS.intersection(omitted):
        row[name] = None
    for name in {each.partition("/")[0] for each in omitted} & LISTS.keys():
        row[name] = [each for each in row[name] if f"{name}/{each.get(LISTS[name])}" not in omitted]
    return row


def _at(value: Json, place: Iterable[int | str]) -> Json:
    for step in place:
        value = value[step]
    return value


def merged(current: Json, former: Json) -> Json:
    """Return `current` with the members of `former` that it lacks, in every object that both have.

    `current` has every member that this version knows, so a missing one is unknown to it.
    """
    match current, former:
        case dict(), dict() if _identity(current) == _identity(former):
            unknown = {name: value for name, value in former.items() if name not in current}
            return {name: merged(value, former.get(name)) for name, value in current.items()} | unknown
        case list(), list():
            return [merged(each, _counterpart(each, former)) for each in current]
        case _:
            return current


def _identity(value: Mapping[str, Json]) -> Json:
    return next(((name, value[name]) for name in IDENTITIES if name in value), None)


def _counterpart(element: Json, former: Sequence[Json]) -> Json:
    """Return the matching element of the former list, or None.

    An element with an identity matches by its identity. One without matches an element that has all of its values.
    """
    if not isinstance(element, dict):
        return None
    identity = _identity(element)
    for each in former:
        if not isinstance(each, dict):
            continue
        if _identity(each) == identity if identity else element.items() <= each.items():
            return each
    return None
