"""The expressions inside `${…}` of a card template: paths, literals, comparisons and `if`. Nothing else is supported.

A small, strict part of the Adaptive Expression Language
(https://learn.microsoft.com/adaptive-cards/templating/language). It must not know about cards.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple


class TemplateError(ValueError):
    """The template contains something that the binder does not support. Raised when the template is loaded."""


class BindError(ValueError):
    """The data lacks a value that the template uses, or the value has the wrong type."""


class Scope(NamedTuple):
    """The data that an expression can read: the current data, all data, and the position in a repetition."""

    data: object
    root: object
    position: int | None = None


Expression = Callable[[Scope], object]

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
_COMPARISONS: Final = ("==", "!=", "<=", ">=", "<", ">")
_ORDERED: Final[dict[str, Callable[..., bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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
        return lambda scope: then(scope) if _truthy(condition(scope)) else otherwise(scope)

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

    def __call__(self, _scope: Scope) -> object:
        return self.value


def _truthy(value: object) -> bool:
    """True for everything except false and null, as in `if` of the Adaptive Expression Language."""
    return value is not None and value is not False


def _compared(left: Expression, sign: str, right: Expression) -> Expression:
    if sign == "==":
        return lambda scope: _same(left(scope), right(scope))
    if sign == "!=":
        return lambda scope: not _same(left(scope), right(scope))
    return lambda scope: _in_order(_ORDERED[sign], left(scope), right(scope))


def _same(one: object, other: object) -> bool:
    """Compare two values; unlike in Python, 1 does not equal true."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _in_order(compare: Callable[..., bool], one: object, other: object) -> bool:
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (one, other))
    if numbers or (isinstance(one, str) and isinstance(other, str)):
        return compare(one, other)
    raise BindError("only two numbers or two texts have an order")


def _looked_up(first: str, keys: Sequence[str | int]) -> Expression:
    match first:
        case "$root":
            return lambda scope: _followed(scope.root, keys)
        case "$data":
            return lambda scope: _followed(scope.data, keys)
        case "$index":
            if keys:
                raise TemplateError("$index has no parts")
            return _index_of
        case _:
            path = (first, *keys)
            return lambda scope: _followed(scope.data, path)


def _index_of(scope: Scope) -> int:
    if scope.position is None:
        raise BindError("$index outside of a repetition")
    return scope.position


def _followed(value: object, keys: Sequence[str | int]) -> object:
    for key in keys:
        value = _step(value, key)
    return value


def _step(value: object, key: str | int) -> object:
    try:
        if isinstance(key, str) and isinstance(value, Mapping):
            return value[key]
        if isinstance(key, int) and isinstance(value, (list, tuple)):
            return value[key]
    except (KeyError, IndexError):
        pass
    raise BindError(f"the data have no {key!r}")
