"""The expressions inside `${…}` of a card template: paths, literals, comparisons and `if`. Nothing else is supported.

A small, strict part of the Adaptive Expression Language
(https://learn.microsoft.com/adaptive-cards/templating/language). It must not know about cards.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final


class TemplateError(ValueError):
    """The template contains something that the binder does not support. Raised when the template is loaded."""


class BindError(ValueError):
    """The data lacks a value that the template uses, or the value has the wrong type."""


# A compiled expression gets the data of its scope, all data (`$root`) and the position in a repetition (`$index`).
Expression = Callable[[Any, Any, int | None], object]

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<text>'[^'\\]*'|\"[^\"\\]*\")"
    r"|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])"
    r"|(?P<name>(?:\$root|\$data|\$index|[A-Za-z_]\w*)(?![\w$]))"
    r"|(?P<mark>==|!=|<=|>=|[<>(),.\[\]}])"
    r")",
    re.ASCII,
)
_CONSTANTS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}


@dataclass(slots=True)
class Reader:
    """Parses one expression in a longer text, from `position` on."""

    source: str
    position: int
    kind: str = field(default="", init=False)
    word: str = field(default="", init=False)

    def expression(self) -> Expression:
        """Parse up to and including the closing brace; raise TemplateError for unsupported syntax.

        A constant alone is refused, because it needs no `${}`.
        """
        self._next()
        read = self._comparison()
        if isinstance(read, _Constant):
            raise self._error("a constant needs no expression")
        if self.word != "}":
            raise self._error("} expected")
        return read

    def _next(self) -> None:
        found = _TOKEN.match(self.source, self.position)
        if not found:
            raise self._error("not understood")
        self.kind = found.lastgroup or ""
        self.word = found[self.kind]
        self.position = found.end()

    def _error(self, problem: str) -> TemplateError:
        return TemplateError(f"{problem} before character {self.position} of {self.source!r}")

    def _take(self, mark: str) -> None:
        if self.word != mark or self.kind != "mark":
            raise self._error(f"{mark} expected")
        self._next()

    def _comparison(self) -> Expression:
        left = self._operand()
        if self.kind != "mark" or self.word not in _COMPARISONS:
            return left
        sign = self.word
        self._next()
        return _compared(left, sign, self._operand())

    def _operand(self) -> Expression:
        kind, word = self.kind, self.word
        if kind == "mark":
            raise self._error("a value expected")
        self._next()
        if kind == "text":
            return _Constant(word[1:-1])
        if kind == "number":
            return _Constant(float(word) if "." in word else int(word))
        if word in _CONSTANTS:
            return _Constant(_CONSTANTS[word])
        if self.word == "(" and self.kind == "mark":
            return self._choice(word)
        return self._path(word)

    def _choice(self, function: str) -> Expression:
        if function != "if":
            raise self._error(f"function {function} is not known")
        self._take("(")
        condition = self._comparison()
        self._take(",")
        then = self._comparison()
        self._take(",")
        otherwise = self._comparison()
        self._take(")")

        def chosen(data: object, root: object, index: int | None) -> object:
            branch = then if _truthy(condition(data, root, index)) else otherwise
            return branch(data, root, index)

        return chosen

    def _path(self, first: str) -> Expression:
        keys: list[str | int] = []
        while self.kind == "mark" and self.word in {".", "["}:
            keys.append(self._index() if self.word == "[" else self._key())
        return _looked_up(first, keys)

    def _key(self) -> str:
        self._take(".")
        key = self.word
        if self.kind != "name" or key.startswith("$"):
            raise self._error("a name expected")
        self._next()
        return key

    def _index(self) -> int:
        self._take("[")
        index = self.word
        if self.kind != "number" or not index.isdigit():
            raise self._error("a position expected")
        self._next()
        self._take("]")
        return int(index)


@dataclass(frozen=True, slots=True)
class _Constant:
    value: object

    def __call__(self, _data: object, _root: object, _index: int | None) -> object:
        return self.value


def _truthy(value: object) -> bool:
    """True for everything except false and null, as in `if` of the Adaptive Expression Language."""
    return value is not None and value is not False


def _compared(left: Expression, sign: str, right: Expression) -> Expression:
    compare = _COMPARISONS[sign]
    return lambda data, root, index: compare(left(data, root, index), right(data, root, index))


def _same(one: object, other: object) -> bool:
    """Compare two values; unlike in Python, 1 does not equal true."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _differ(one: object, other: object) -> bool:
    return not _same(one, other)


def _in_order(compare: Callable[[Any, Any], bool], one: object, other: object) -> bool:
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (one, other))
    if numbers or (isinstance(one, str) and isinstance(other, str)):
        return compare(one, other)
    raise BindError("only two numbers or two texts have an order")


_COMPARISONS: Final[Mapping[str, Callable[[object, object], bool]]] = {
    "==": _same,
    "!=": _differ,
    "<": partial(_in_order, operator.lt),
    "<=": partial(_in_order, operator.le),
    ">": partial(_in_order, operator.gt),
    ">=": partial(_in_order, operator.ge),
}


def _looked_up(first: str, keys: Sequence[str | int]) -> Expression:
    """Compile a path. The value in which it begins is chosen here, once; binding only follows the keys."""
    match first:
        case "$root":
            return lambda _data, root, _index: _followed(root, keys)
        case "$data" if keys:
            return lambda data, _root, _index: _followed(data, keys)
        case "$data":
            return lambda data, _root, _index: data
        case "$index":
            if keys:
                raise TemplateError("$index has no parts")
            return _position
        case _:
            return _named(first, keys)


def _named(name: str, keys: Sequence[str | int]) -> Expression:
    """Compile a path that begins with a name in the current data. Nearly all paths are only a name."""
    if keys:
        path = (name, *keys)
        return lambda data, _root, _index: _followed(data, path)

    def value(data: Any, _root: object, _index: int | None) -> object:
        try:
            return data[name]
        except (LookupError, TypeError):
            raise _missing(name) from None

    return value


def _position(_data: object, _root: object, index: int | None) -> int:
    if index is None:
        raise BindError("$index outside of a repetition")
    return index


def _followed(value: Any, keys: Sequence[str | int]) -> object:
    for key in keys:
        if isinstance(key, int) and not isinstance(value, (list, tuple)):
            raise _missing(key)  # a text has characters, but no parts
        try:
            value = value[key]
        except (LookupError, TypeError):
            raise _missing(key) from None
    return value


def _missing(key: str | int) -> BindError:
    return BindError(f"the data have no {key!r}")
