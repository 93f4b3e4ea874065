"""Validates a value against a botocore shape: types, required and unknown members, enums, lengths, patterns.

botocore itself validates only requests, and of these only types, required members and minimum lengths. This module
knows no operation.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import regex
from botocore.model import Shape
from botocore.validate import ParamValidator


def problems(value: object, shape: Shape) -> list[str]:
    """Return the problems of `value`, one line each; empty if it fits `shape`."""
    report = ParamValidator().validate(cast("Any", value), shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(_walk(value, shape, ""))


def _walk(value: object, shape: Shape, at: str) -> Iterator[str]:
    yield from _limits(value, shape, at)
    for child, child_shape, name in _children(value, shape):
        yield from _walk(child, child_shape, f"{at}.{name}")


def _children(value: object, shape: Any) -> Iterator[tuple[object, Shape, str]]:
    if shape.type_name == "structure" and isinstance(value, dict):
        yield from ((v, shape.members[k], k) for k, v in value.items() if k in shape.members)
    elif shape.type_name == "map" and isinstance(value, dict):
        yield from ((k, shape.key, "<key>") for k in value)
        yield from ((v, shape.value, str(k)) for k, v in value.items())
    elif shape.type_name == "list" and isinstance(value, list):
        yield from ((v, shape.member, str(i)) for i, v in enumerate(value))


def _limits(value: object, shape: Shape, at: str) -> Iterator[str]:
    rules, size = shape.metadata, _size(value)
    if size is not None and not rules.get("min", size) <= size <= rules.get("max", size):
        yield f"{at}: {size} is outside {rules.get('min', '')}..{rules.get('max', '')}"
    if not isinstance(value, str):
        return
    if rules.get("enum") and value not in rules["enum"]:
        yield f"{at}: {value!r} is not one of {', '.join(rules['enum'])}"
    if rules.get("pattern") and not _compiled(rules["pattern"]).fullmatch(value):
        yield f"{at}: {value!r} does not match {rules['pattern']}"


def _size(value: object) -> float | None:
    match value:
        case bool():
            return None
        case int() | float():
            return value
        case str() | bytes() | list() | dict():
            return len(value)
        case _:
            return None


@cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    r"""Compile a Java pattern of the model, with classes like `\p{L}`."""
    # Java's \w is ASCII by default: a session name in Japanese must not pass. The flag would restrict `\p` too.
    return regex.compile(pattern, 0 if r"\p" in pattern else regex.ASCII)
