"""Binds card templates (Adaptive Cards Templating Language, on the parsed tree) to data.

`Template.parse` compiles each node of the tree, once, into a function that builds its part of a card; `Template.bind`
calls the function of the root. Like an expression, such a function gets the data of its scope, all data, and the
position in a repetition.

Supported: `${…}` as in expressions.py, `$data` (an object: its scope; an array: repetition), `$when`, `$index` and
`$root`. Anything else raises TemplateError when the template is loaded. Bound values are data: they are escaped
and never parsed as templates. This module must not know the cards.
https://learn.microsoft.com/adaptive-cards/templating/language
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from bot.rendering.expressions import BindError, Expression, Reader, TemplateError
from bot.text.escape import escape

__all__ = ["BindError", "Card", "Template", "TemplateError"]

Card = Mapping[str, object]  # cards are shared: nobody changes one
_Build = Callable[[Any, Any, int | None], object]  # data, root, index -> a part of the card
_Append = Callable[[list[object], Any, Any, int | None], None]  # appends to an array
_OPEN: Final = "${"
_KEPT_KEYS: Final = frozenset({"$schema"})  # an ordinary property, although its name begins with a dollar sign


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. A card has no object in common with the template or the data."""

    _build: _Build

    @classmethod
    def parse(cls, tree: object) -> "Template":
        """Compile a parsed template; raise TemplateError for anything that the binder does not support."""
        if not isinstance(tree, dict):
            raise TemplateError("a template is an object")
        return cls(_object(tree))

    def bind(self, data: Mapping[str, object]) -> Card:
        """Return the card for this data; raise BindError if a value is missing or has the wrong type."""
        return cast("Card", self._build(data, data, None))


def _node(tree: object) -> _Build:
    match tree:
        case dict():
            return _object(tree)
        case list():
            return _array(tree)
        case str():
            return _text(tree)
        case None | bool() | int() | float():
            return lambda _data, _root, _index: tree
        case _:
            raise TemplateError(f"{type(tree).__name__} is no JSON")


def _object(tree: Mapping[str, object]) -> _Build:
    if "$when" in tree:
        raise TemplateError("$when belongs to an element of an array")  # elsewhere it would produce a null
    build = _properties(tree)
    if "$data" not in tree:
        return build
    select = _selector(tree["$data"], "$data")

    def scoped(data: object, root: object, index: int | None) -> object:
        selected = select(data, root, index)
        built = [build(each, root, at) for at, each in _scopes(selected, index)]
        return built[0] if isinstance(selected, Mapping) else built

    return scoped


def _properties(tree: Mapping[str, object]) -> _Build:
    own = {_key(key): value for key, value in tree.items() if key not in {"$data", "$when"}}
    builds = tuple((key, _node(value)) for key, value in own.items() if not _is_fixed(value))

    def filled(data: object, root: object, index: int | None) -> dict[str, object]:
        card = own.copy()  # has the fixed properties, and all keys in order
        for key, build in builds:
            card[key] = build(data, root, index)
        return card

    return filled


def _is_fixed(value: object) -> bool:
    """True for values that are the same in every card and immutable."""
    return (
        _split(value) in ([], [value]) if isinstance(value, str) else value is None or isinstance(value, (int, float))
    )


def _key(key: str) -> str:
    if (key.startswith("$") and key not in _KEPT_KEYS) or _OPEN in key:
        raise TemplateError(f"property {key!r} is not understood")
    return key


def _array(tree: list[object]) -> _Build:
    elements = [_element(each) for each in tree]

    def filled(data: object, root: object, index: int | None) -> list[object]:
        array: list[object] = []
        for append in elements:
            append(array, data, root, index)
        return array

    return filled


def _element(tree: object) -> _Append:
    """Compile an element of an array. Binding turns it into any number of elements."""
    if not isinstance(tree, dict) or not {"$data", "$when"} & tree.keys():
        single = _node(tree)
        return lambda array, data, root, index: array.append(single(data, root, index))
    build = _properties(tree)
    when = _selector(tree["$when"], "$when") if "$when" in tree else None
    select = _selector(tree["$data"], "$data") if "$data" in tree else None

    def repeated(array: list[object], data: object, root: object, index: int | None) -> None:
        for at, each in _scopes(select(data, root, index), index) if select else [(index, data)]:
            if when is None or when(each, root, at) is True:
                array.append(build(each, root, at))

    return repeated


def _selector(text: object, key: str) -> Expression:
    if not isinstance(text, str) or not text.startswith(_OPEN):
        raise TemplateError(f"{key} takes one expression")
    reader = Reader(text, len(_OPEN))
    expression = reader.expression()
    if reader.position != len(text):
        raise TemplateError(f"{key} takes one expression, not {text!r}")
    return expression


def _scopes(selected: object, index: int | None) -> Iterable[tuple[int | None, object]]:
    """Return the position and the data of each scope that `$data` makes."""
    match selected:
        case list() | tuple():
            return enumerate(selected)
        case Mapping():
            return [(index, selected)]
        case _:
            raise BindError("$data needs an object or an array")


def _text(text: str) -> _Build:
    parts = _split(text)
    match parts:
        case [] | [str()]:
            return lambda _data, _root, _index: text
        case [expression] if callable(expression):
            return _value(expression)
        case _:
            pieces = [_piece(part) for part in parts]
            # escape the joined text, because two pieces may form a {{
            return lambda data, root, index: escape("".join([piece(data, root, index) for piece in pieces]))


def _value(expression: Expression) -> _Build:
    def bound(data: object, root: object, index: int | None) -> object:
        value = expression(data, root, index)
        return escape(value) if isinstance(value, str) else _copied(value)

    return bound


def _split(text: str) -> list[str | Expression]:
    """Split a text into literal pieces and expressions. Raises TemplateError for a text feature or an escape."""
    if "{{" in text or "\\$" in text:
        raise TemplateError(f"{text!r} has a text feature or an escape; neither is understood")
    parts: list[str | Expression] = []
    start = 0
    while (opened := text.find(_OPEN, start)) >= 0:
        if opened > start:
            parts.append(text[start:opened])
        reader = Reader(text, opened + len(_OPEN))
        parts.append(reader.expression())
        start = reader.position
    return [*parts, text[start:]] if start < len(text) else parts


def _piece(part: str | Expression) -> Callable[[Any, Any, int | None], str]:
    if isinstance(part, str):
        return lambda _data, _root, _index: part
    return lambda data, root, index: _spelt(part(data, root, index))


def _spelt(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return value
        case _:
            raise BindError(f"{type(value).__name__} has no place inside a text")


def _copied(value: object) -> object:
    """Copy a value from the data and escape every text in it. Raises BindError for a value that is not JSON."""
    match value:
        case str():
            return escape(value)
        case None | bool() | int() | float():
            return value
        case list() | tuple():
            return [_copied(each) for each in value]
        case Mapping():
            return {str(key): _copied(each) for key, each in value.items()}
        case _:
            raise BindError(f"{type(value).__name__} is no JSON")
