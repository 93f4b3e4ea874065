"""Binds card templates (Adaptive Cards Templating Language, on the parsed tree) to data.

Supported: `${…}` as in expressions.py, `$data` (an object: its scope; an array: repetition), `$when`, `$index` and
`$root`. Anything else raises TemplateError when the template is loaded. Bound values are data: they are escaped
and never parsed as templates. This module must not know the cards.
https://learn.microsoft.com/adaptive-cards/templating/language
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from bot.rendering.expressions import BindError, Expression, Reader, Scope, TemplateError
from bot.text.escape import escape

__all__ = ["BindError", "Card", "Template", "TemplateError"]

Card = Mapping[str, object]  # cards are shared: nobody changes one
_Build = Callable[[Scope], object]
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
        return cast("Card", self._build(Scope(data, data)))


def _node(tree: object) -> _Build:
    match tree:
        case dict():
            return _object(tree)
        case list():
            return _array(tree)
        case str():
            return _text(tree)
        case None | bool() | int() | float():
            return lambda _: tree
        case _:
            raise TemplateError(f"{type(tree).__name__} is no JSON")


def _object(tree: Mapping[str, object]) -> _Build:
    if "$when" in tree:
        raise TemplateError("$when belongs to an element of an array")  # elsewhere it would produce a null
    build = _properties(tree)
    if "$data" not in tree:
        return build
    select = _selector(tree["$data"], "$data")

    def scoped(scope: Scope) -> object:
        inner = _inner_scopes(select(scope), scope)
        return [build(each) for each in inner] if isinstance(inner, list) else build(inner)

    return scoped


def _properties(tree: Mapping[str, object]) -> Callable[[Scope], dict[str, object]]:
    own = {_key(key): value for key, value in tree.items() if key not in {"$data", "$when"}}
    built = [(key, _node(value)) for key, value in own.items() if not _is_fixed(value)]

    def filled(scope: Scope) -> dict[str, object]:
        card = own.copy()  # has the fixed properties, and all keys in order
        for key, build in built:
            card[key] = build(scope)
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
    return lambda scope: [built for element in elements for built in element(scope)]


def _element(tree: object) -> Callable[[Scope], list[object]]:
    """Compile an element of an array. Binding turns it into any number of elements."""
    if not isinstance(tree, dict) or not {"$data", "$when"} & tree.keys():
        single = _node(tree)
        return lambda scope: [single(scope)]
    build = _properties(tree)
    select = _selector(tree["$data"], "$data") if "$data" in tree else None
    when = _selector(tree["$when"], "$when") if "$when" in tree else None

    def repeated(scope: Scope) -> list[object]:
        inner = _inner_scopes(select(scope), scope) if select else scope
        scopes = inner if isinstance(inner, list) else [inner]
        return [build(each) for each in scopes if when is None or when(each) is True]

    return repeated


def _selector(text: object, key: str) -> Expression:
    if not isinstance(text, str) or not text.startswith(_OPEN):
        raise TemplateError(f"{key} takes one expression")
    reader = Reader(text, len(_OPEN))
    expression = reader.expression()
    if reader.position != len(text):
        raise TemplateError(f"{key} takes one expression, not {text!r}")
    return expression


def _inner_scopes(value: object, outer: Scope) -> Scope | list[Scope]:
    match value:
        case list() | tuple():
            return [Scope(each, outer.root, index) for index, each in enumerate(value)]
        case Mapping():
            return Scope(value, outer.root, outer.position)
        case _:
            raise BindError("$data needs an object or an array")


def _text(text: str) -> _Build:
    parts = _split(text)
    match parts:
        case [] | [str()]:
            return lambda _: text
        case [expression] if callable(expression):
            return lambda scope: _bound(expression(scope))
        case _:
            builds = [_piece(part) for part in parts]
            # escape the joined text, because two pieces may form a {{
            return lambda scope: escape("".join([build(scope) for build in builds]))


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


def _piece(part: str | Expression) -> Callable[[Scope], str]:
    if isinstance(part, str):
        return lambda _: part
    return lambda scope: _spelt(part(scope))


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


def _bound(value: object) -> object:
    """Copy a value from the data and escape every text in it. Raises BindError for a value that is not JSON."""
    match value:
        case str():
            return escape(value)
        case None | bool() | int() | float():
            return value
        case list() | tuple():
            return [_bound(each) for each in value]
        case Mapping():
            return {str(key): _bound(each) for key, each in value.items()}
        case _:
            raise BindError(f"{type(value).__name__} is no JSON")
