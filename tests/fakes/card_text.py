"""Reads a card as a person does: its elements, and the text of its blocks."""

from collections.abc import Iterator
from typing import Any

from bot.rendering.i18n import Localizer


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
    """Return the text of a card's blocks, one block per line."""
    return "\n".join(
        "".join(run["text"] for run in each["inlines"]) if "inlines" in each else each["text"]
        for each in nodes(tree)
        if each.get("type") in {"RichTextBlock", "TextBlock"}
    )


def words(key: str) -> str:
    """Return a phrase in English."""
    return Localizer("en", "UTC").text(key)
