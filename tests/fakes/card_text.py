"""Reads a card in tests: its objects, the text of its blocks, and the official schema of cards."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs

from bot.rendering.i18n import Localizer


@cache
def card_schema() -> jsonschema_rs.Draft6Validator:
    """Return a validator with the official schema of Adaptive Cards 1.5."""
    path = files("adaptive_cards") / "schemas" / "schema-1.5.json"
    return jsonschema_rs.Draft6Validator(json.loads(path.read_text("utf-8")))


def nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Yield every object in a card."""
    if isinstance(tree, dict):
        yield tree
        for each in tree.values():
            yield from nodes(each)
    if isinstance(tree, list):
        for each in tree:
            yield from nodes(each)


def shown(tree: object) -> str:
    """Return the text of a card's blocks as people see it, one block per line, without what only directs wrapping."""
    text = "\n".join(
        "".join(run["text"] for run in each["inlines"]) if "inlines" in each else each["text"]
        for each in nodes(tree)
        if each.get("type") in {"RichTextBlock", "TextBlock"}
    )
    return text.replace("\u200b", "").replace("\N{WORD JOINER}", "").replace("\N{NO-BREAK SPACE}", " ")


def words(key: str) -> str:
    """Return the English text with this key."""
    return Localizer("en", "UTC").text(key)


def without_viewers(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card without its viewers. They depend on the roster at the moment of its delivery."""
    return {name: part for name, part in card.items() if name != "refresh"}
