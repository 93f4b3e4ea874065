"""Errors in the settings: all problems together, each with what to do.

Owns the exception and the texts for pydantic's errors. Repeats names but never values, which could be secrets.
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]
LONGEST_NAME = 120  # characters of a name in a message; an assumed-role ARN fits

_COMMON = "NODE_ACCESS_"  # all settings share it; without it, similar names are easier to find

_WORDS = {
    "string_type": 'write text in quotes: "…"',
    "string_unicode": "write text that is valid UTF-8",
    "list_type": "write a list: […]",
    "bool_type": "write true or false",
    "dict_type": "write a table",
    "model_type": "write a table",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "finite_number": "write a number",
    "greater_than": "write a number above {gt}",
    "greater_than_equal": "write a number from {ge} on",
    "less_than_equal": "write a number up to {le}",
    "too_short": "write at least one entry",
    "literal_error": "write {expected}",
}


class ConfigurationProblems(Exception):
    """The settings are invalid: one line for each problem, without any value."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def explain(
    error: ValidationError,
    *,
    place: Callable[[Location], str],
    known: Callable[[Location], list[str]],
    missing: Callable[[Location], str],
) -> list[str]:
    """Turn pydantic's errors into lines of text.

    `place` describes a location, `known` lists the keys of a table, `missing` describes a missing key.
    """
    lines = []
    for each in error.errors(include_url=False, include_input=False):
        words = missing(each["loc"]) if each["type"] == "missing" else _words(each, known)
        lines.append(f"{place(each['loc'])}: {words}")
    return lines


def hint(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?`, or an empty string if no known name is similar."""
    bare = {each.removeprefix(_COMMON): each for each in known}
    given = name.removeprefix(_COMMON)
    near = get_close_matches(given, bare, n=1) or _with_more_words(given, bare)
    return f"; did you mean {bare[near[0]]}?" if near else ""


def _with_more_words(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that have every word of `name`, the shortest first."""
    words = set(name.split("_"))
    return sorted((each for each in known if words <= set(each.split("_"))), key=lambda each: (len(each), each))


def shown(name: str) -> str:
    """Return a name from outside as one short, printable line."""
    plain = name if name.isprintable() else repr(name)
    return plain if len(plain) <= LONGEST_NAME else f"{plain[:LONGEST_NAME]}…"


def _words(error: ErrorDetails, known: Callable[[Location], list[str]]) -> str:
    *table, key = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        return f"unknown{hint(str(key), known(tuple(table)))}"
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    words = _WORDS.get(error["type"])
    return words.format(**context) if words else error["msg"]
