"""Tests that no text from outside is in a field of a card in which Teams clients parse markup."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import pytest
from markdown_it import MarkdownIt

from bot.domain.shown.views import Mention
from bot.rendering import render, summary
from bot.rendering.i18n import LOCALES
from bot.rendering.template import Card
from bot.text.escape import strip_markup
from tests.fakes.card_text import nodes
from tests.fakes.hostile import SNIPPETS, filled
from tests.fakes.views import every_view, request

UNPARSED = {("TextRun", "text"), ("Input.Text", "value")}  # fields in which clients show text as it is
# Every other field with a bound text in the templates, and why text from outside can do no harm in it.
JUSTIFIED = {
    "${open}": "true or false",
    **dict.fromkeys(("${lang}", "${style}", "${weight}", "${font}"), "the bot's own words, from closed sets"),
    **dict.fromkeys(("${banner}", "${heading}", "Input.Text ${label}", "pending TextBlock ${text}"), "fixed words of the locale"),
    "words": "fixed words of the locale, which have no placeholders",
    "${summary}": "without markup: screen readers and old clients may parse it",
    **dict.fromkeys(("${key}", "${step}", "${$root.key}", "${$root.step}"), "ids in a button's data, never shown"),
    "${viewers}": "ids of the roster, never shown",
    "${url}": "the AWS console, or a message in Teams: made from ids only",
    "Action.OpenUrl ${title}": "fixed words of the locale, with a time",
    **dict.fromkeys(
        ("request TextBlock ${text}", "note TextBlock ${text}"), "mentions, from whose names markup is removed"
    ),
    "${entities}": "ids of the roster, and the same text as in the mentions",
}  # fmt: skip
_WORDS = re.compile(r"\$\{(\$root\.)?words\.\w+\}")
MARK = "MARK *b* [x](https://evil.example.com) <at>all</at> <img src=x> {{DATE(2026-11-30T05:19:00Z)}} _i_"


def bound_fields(template: str, tree: Any, kind: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every bound text of a template: the type of its element, the property, and the text."""
    if isinstance(tree, list):
        for each in tree:
            yield from bound_fields(template, each, kind)
    if isinstance(tree, dict):
        kind = tree.get("type", kind)
        for key, value in tree.items():
            if isinstance(value, str) and "${" in value and not key.startswith("$"):
                yield kind, key, value
            yield from bound_fields(template, value, kind)


def names_of(template: str, kind: str, text: str) -> tuple[str, ...]:
    """Return the keys under which JUSTIFIED may have a bound text."""
    return ("words",) if _WORDS.fullmatch(text) else (text, f"{kind} {text}", f"{template} {kind} {text}")


def test_every_bound_field_in_which_clients_parse_markup_is_justified() -> None:
    """Fails for a bound field that is neither in UNPARSED nor in JUSTIFIED, and for an unused entry of JUSTIFIED."""
    used, unsafe = set(), []
    for path in files("cards").iterdir():
        if not path.name.endswith(".json"):
            continue
        template = path.name.removesuffix(".json")
        for kind, key, text in bound_fields(template, json.loads(path.read_text("utf-8"))):
            names = JUSTIFIED.keys() & names_of(template, kind, text)
            used |= names
            if not names and (kind, key) not in UNPARSED:
                unsafe.append((template, kind, key, text))
    assert unsafe == []
    assert used == JUSTIFIED.keys()


def outside(card: Card) -> Iterator[tuple[str, str, str]]:
    """Yield each text that contains MARK: the type of its element, the property, the text. Omit fields of UNPARSED."""
    for each in nodes(card):
        kind = str(each.get("type", ""))
        for key, value in each.items():
            if isinstance(value, str) and "MARK" in value and (kind, key) not in UNPARSED:
                yield kind, key, value


@pytest.mark.parametrize("locale", LOCALES)
def test_text_from_outside_has_no_markup_in_fields_in_which_clients_parse_markup(locale: str) -> None:
    """TextRuns and input fields have the text as it is. In other fields, such as mentions, its markup is removed."""
    seen = 0
    for view, notice in every_view():
        card = render(filled(view, MARK), locale=locale, timezone="Asia/Tokyo", notice=filled(notice, MARK))
        seen += "MARK" in json.dumps(card)
        assert "{{" not in json.dumps(card)
        for kind, key, value in outside(card):
            bare = re.sub("</?at>", "", value) if (kind, key) in {("TextBlock", "text"), ("mention", "text")} else value
            assert not set(bare) & set("<>[]*`&"), (kind, key, value)
            assert "_i_" not in value
        line = summary(filled(view, MARK), locale=locale)
        assert "MARK" not in line or not set(line) & set("<>[]*`&")
    assert seen > 100


@pytest.mark.parametrize("html", [True, False])
def test_name_in_a_mention_is_never_parsed_as_markdown(html: bool) -> None:
    """A Markdown parser, with HTML on or off, treats each name as plain text."""
    reader = MarkdownIt("js-default", {"html": html, "linkify": False})
    for name in SNIPPETS:
        view = request(mentioned=(Mention("29:1-a", name),), rings=True)
        card: Mapping[str, Any] = render(view, locale="en", timezone="Asia/Tokyo")
        (line,) = [each["text"] for each in nodes(card) if each.get("type") == "TextBlock" and "<at>" in each["text"]]
        (entity,) = card["msteams"]["entities"]
        tag = entity["text"] if html else entity["text"].replace("<", "&lt;").replace(">", "&gt;")
        assert reader.render(line.strip()) == f"<p>Mentioned: {tag}</p>\n".replace('"', "&quot;"), name


def test_markdown_parser_finds_markup_in_names_from_which_it_was_not_removed() -> None:
    """Control: the parser finds markup in more than 20 of the same names, and in none after `strip_markup`."""
    reader = MarkdownIt("js-default", {"html": True})
    live = [name for name in SNIPPETS if reader.renderInline(f"a {name} b") != f"a {name} b"]
    assert len(live) > 20
    assert all(
        reader.renderInline(f"a {strip_markup(name)} b") == f"a {strip_markup(name)} b".replace('"', "&quot;")
        for name in live
    )
