"""Figure 18: Microsoft's own renderer shows hostile text as written, without links, pictures or scripts."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from bot.domain.request import Verdict
from bot.domain.shown.replies.reply_views import PendingView, RequestLine, View
from bot.domain.shown.views import Banner, Mention, NoteKind, Notice, NoticeCode
from bot.rendering import render
from bot.sandbox.node import Node
from tests.e2e.browser import HERE
from tests.fakes.card_text import nodes
from tests.fakes.hostile import SNIPPETS, filled, texts
from tests.fakes.views import AT, decision, direct, note, request
from tests.figures import Figure

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CORPUS = (*SNIPPETS, *texts(200, 80))


def views() -> Iterator[tuple[View | Notice, Notice | None]]:
    """Yield views that together have every place for text from outside."""
    notice = Notice(NoticeCode.DECIDED, who="x", verdict=Verdict.REJECT, at=AT, comment="x", detail="x", typed="x")
    notice = replace(notice, typed_for=Verdict.REJECT)
    people = {"mentions": (Mention("29:1-a", "x"),), "mentioned": (Mention("29:1-b", "x"),)}
    full = {"decisions": (decision(Verdict.APPROVE, "x"),), "conflicting_policies": ("x", "x"), **people}
    yield request(rings=True, **full), notice
    yield request(rings=False, requester_unchecked=True, home="x", **full), None
    yield request(banner=Banner.REJECTED, buttons=False, **full), notice
    yield direct(conflicting_policies=("x",)), None
    yield note(NoteKind.REJECTION, who="x", at=AT, comment="x", call="x", role="x", requester="x", detail="x"), None
    yield PendingView((RequestLine("x", "x", "x", Banner.WAITING, "x"),), AT), None
    yield notice, None


@dataclass(frozen=True, slots=True)
class Rendered:
    """The result of rendering cards: the parts of each card, whether a script ran, and the requested addresses."""

    shown: list[dict[str, Any]]
    ran: bool
    asked: list[str]  # requested addresses


def rendered(node: Node, chromium: str, cards: Sequence[Mapping[str, Any]]) -> Rendered:
    """Render cards in one page."""
    run = subprocess.run(
        [node.program, "render_cards.cjs"],
        input=json.dumps({"program": chromium, "cards": cards}),
        cwd=HERE,
        env={**os.environ, "FONTCONFIG_FILE": str(HERE / "fonts.conf")},
        capture_output=True,
        text=True,
        check=True,
    )
    return Rendered(**json.loads(run.stdout))


def expected(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `render_cards.cjs` must report: texts of rich blocks, inputs and mentions, and no active element."""
    blocks = ["".join(run["text"] for run in each["inlines"]) for each in nodes(card) if "inlines" in each]
    typed = [each["value"] for each in nodes(card) if each.get("type") == "Input.Text"]
    people = card.get("msteams", {}).get("entities", ())
    return {"blocks": blocks, "typed": typed, "ats": [each["mentioned"]["name"] for each in people], "live": []}


def with_single_spaces(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the texts with single spaces, because a page collapses spaces."""
    return {name: [" ".join(text.split()) for text in texts] for name, texts in shown.items()}


def test_hostile_text_is_displayed_as_written_and_has_no_effect(node: Node, chromium: str, figure: Figure) -> None:
    """The text makes no link, picture, script, emphasis or date. Only the card's own mentions work.

    A page shows repeated spaces as one.
    """
    cards = [
        render(filled(view, text), locale="en", timezone="UTC", notice=filled(notice, text))
        for text, (view, notice) in product(CORPUS, views())
    ]
    result = rendered(node, chromium, cards)
    wrong = [
        (with_single_spaces(expected(card)), with_single_spaces(shown))
        for card, shown in zip(cards, result.shown, strict=True)
        if with_single_spaces(expected(card)) != with_single_spaces(shown)
    ]
    assert wrong == []
    assert (result.ran, result.asked) == (False, [])
    figure(18, texts=len(CORPUS), rendered=len(cards), alive=0, seen_otherwise=0)


def test_control_the_page_reports_markup_that_is_not_escaped(node: Node, chromium: str) -> None:
    """Control: the page reports markup that the renderer does not escape."""
    unescaped = {
        "<img": {"type": "TextBlock", "text": "<img src=x onerror='window.live=1'>"},
        "<a": {"type": "TextBlock", "text": "</at><a href='#'>x</a>"},
        "<b": {"type": "FactSet", "facts": [{"title": "<b>x</b>", "value": "y"}]},
    }
    cards = [{"type": "AdaptiveCard", "version": "1.5", "body": [each]} for each in unescaped.values()]
    for sign, shown in zip(unescaped, rendered(node, chromium, cards).shown, strict=True):
        assert any(each.startswith(sign) for each in shown["live"]), sign


def test_control_the_page_shows_a_date_that_the_renderer_evaluates(node: Node, chromium: str) -> None:
    """Control: an unescaped text function is evaluated even in a TextRun, and the comparison would find the date."""
    run = {"type": "TextRun", "text": "{{DATE(2026-11-30T05:19:00Z)}}"}
    card = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "RichTextBlock", "inlines": [run]}]}
    (shown,) = rendered(node, chromium, [card]).shown
    assert "2026" in shown["blocks"][0]
    assert "DATE" not in shown["blocks"][0]
