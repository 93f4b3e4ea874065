"""Tests that every sample card can be read and used, as Microsoft's renderer draws it with Teams' configuration."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest

from bot.domain.request import Verdict
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import CardView, Notice, NoticeCode
from bot.rendering import render
from bot.rendering.gallery import samples
from bot.rendering.i18n import LOCALES
from bot.sandbox.node import Node
from tests.e2e.gallery import THEMES, WIDTHS, Card, Measurement, cards, measure, page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WORD = "NodeAccessApprover" * 6
SHORT = WORD[:50]  # fits on a desktop only


def drawn(node: Node, chromium: str, *body: dict[str, Any], folder: Path | None = None) -> list[Measurement]:
    """Measure a card with these elements."""
    return measure(node, chromium, [made("card", *body)], folder=folder)


def both_drawn(
    node: Node, chromium: str, one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]
) -> tuple[list[Measurement], list[Measurement]]:
    """Measure two cards with these elements."""
    measured = measure(node, chromium, [made("one", *one), made("other", *other)])
    return [each for each in measured if each.name == "one"], [each for each in measured if each.name == "other"]


def made(name: str, *body: dict[str, Any]) -> Card:
    """Return a card with these elements."""
    return Card(name, {"type": "AdaptiveCard", "version": "1.5", "body": list(body)})


def rich(text: str) -> dict[str, Any]:
    """Return a block with one run of text."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]}


def actions(*each: dict[str, Any]) -> dict[str, Any]:
    """Return a row of buttons."""
    return {"type": "ActionSet", "actions": list(each)}


@pytest.mark.parametrize(("locale", "theme"), list(zip(LOCALES, cycle(THEMES))))
def test_every_card_can_be_read_and_used_on_a_phone(node: Node, chromium: str, locale: str, theme: str) -> None:
    """Also with its parts opened: no text is clipped, and contrast is sufficient.

    Each input has a label, each button a name, and the renderer knows every element and property. Each language has
    one theme, because clipped texts depend on the language, and contrast on the theme. Of the cards with the same
    buttons, the largest is opened. `make gallery` opens all, in both themes, and draws those of a desktop.
    """
    shown = list(cards([locale]))
    measured = measure(node, chromium, shown, everything=False, themes=[theme])
    assert {(each.name, each.width, each.theme) for each in measured} == set(
        product((each.name for each in shown), [min(WIDTHS)], [theme])
    )
    assert [(each.picture, each.faults) for each in measured if each.faults] == []


def test_waiting_card_fits_a_phone(node: Node, chromium: str) -> None:
    """With a reason of two lines and two levels, it is at most 450 px high, and Approve is within the first 400 px.

    This also holds below a notice, if comments are required, and while a person reviews the request.
    """
    reasons = {
        "en": "Orders fail with HTTP 502 since 06:30. Ticket INC-20481",
        "ja": "決済 API の 5xx が増えたため調査します。INC-20481",
    }
    notices = (None, Notice(Refusal.OWN_REQUEST), Notice(NoticeCode.BUSY))
    requirements = ((), (Verdict.APPROVE,), tuple(Verdict))
    shown = []
    for (locale, reason), notice, required, names in product(
        reasons.items(), notices, requirements, ((), ("佐藤 花子",))
    ):
        view = samples(locale)["request"].view
        assert isinstance(view, CardView)
        view = replace(view, reason=reason, mentioned=(), comment_required=required, reviewers=names)
        card = render(view, locale=locale, timezone="Asia/Tokyo", notice=notice)
        shown.append(Card(f"{locale} {notice and notice.code} {required} {len(names)}", card))
    phone = [each for each in measure(node, chromium, shown, everything=False) if not each.opened]
    assert len(phone) == len(shown) * len(THEMES)
    figures = [(each.name, each.theme, each.height, each.buttons[0].bottom) for each in phone]
    assert [each for each in figures if each[2] > 450 or each[3] > 400] == []


def test_control_a_word_that_is_too_long_is_clipped(node: Node, chromium: str) -> None:
    """Control: the renderer does not divide the word, and the measurement finds it where it does not fit."""
    long, short = both_drawn(node, chromium, [rich(WORD)], [rich(SHORT)])
    assert [each.clipped for each in long] == [(WORD[:80],)] * 4
    assert {each.width: each.clipped for each in short} == {320: (SHORT,), 600: ()}


def test_control_a_text_without_contrast_is_found(node: Node, chromium: str) -> None:
    """Control: Teams' yellow on white cannot be read. Its gray can."""
    yellow = {"type": "TextBlock", "text": "pale", "color": "Warning"}
    gray = {"type": "TextBlock", "text": "quiet", "isSubtle": True}
    pale, readable = both_drawn(node, chromium, [gray, yellow], [gray])
    light = [each for each in pale if each.theme == "light"]
    assert [(each.contrast.text, each.faults != []) for each in light] == [("pale", True)] * 2
    assert [each.faults for each in readable] == [[]] * 4


def test_control_an_input_without_label_and_a_button_without_name_are_found(node: Node, chromium: str) -> None:
    """Control: a placeholder is no label."""
    bare = {"type": "Input.Text", "id": "a", "placeholder": "Comment"}
    labelled = {"type": "Input.Text", "id": "b", "label": "Comment"}
    blank = {"type": "Action.Execute", "title": " ", "verb": "x"}
    named = {"type": "Action.Execute", "title": "Approve", "verb": "x"}
    faulty, sound = both_drawn(node, chromium, [bare, labelled, actions(blank, named)], [labelled, actions(named)])
    for each in faulty:
        assert (len(each.unlabelled), len(each.unnamed)) == (1, 1)
        assert "Comment" in each.unlabelled[0]
    assert [each.faults for each in sound] == [[]] * 4


def test_control_an_element_that_the_renderer_does_not_know_is_found(node: Node, chromium: str) -> None:
    """Control: the renderer would silently leave it out."""
    assert all(each.invalid for each in drawn(node, chromium, {"type": "Sparkline"}))


def test_hidden_parts_are_measured_after_a_click_on_their_button(node: Node, chromium: str) -> None:
    """A clipped text in a part that a button opens is found, and the height of the closed card is reported."""
    hidden = {**rich(SHORT), "id": "facts", "isVisible": False}
    toggle = {"type": "Action.ToggleVisibility", "title": "All facts", "targetElements": ["facts"]}
    form = {"type": "Action.ShowCard", "title": "Reject", "card": {"type": "AdaptiveCard", "body": [rich(SHORT)]}}
    measured = [each for each in drawn(node, chromium, hidden, actions(toggle, form)) if each.width == 320]
    light = [each for each in measured if each.theme == "light"]
    assert [(each.opened, bool(each.clipped)) for each in light] == [("", False), ("All facts", True), ("Reject", True)]
    assert light[0].height < min(light[1].height, light[2].height)


def test_buttons_are_reported_with_their_bottom_edge(node: Node, chromium: str) -> None:
    """The position of Approve is measured from the top of the card."""
    approve = {"type": "Action.Execute", "title": "Approve", "verb": "approve"}
    nine, one = ([*[rich("line")] * lines, actions(approve)] for lines in (9, 1))
    low, high = (each[0].buttons[0].bottom for each in both_drawn(node, chromium, nine, one))
    assert low > high + 8 * 14  # eight lines of 14 px
    assert high > 14


def test_elements_for_another_width_are_left_out(node: Node, chromium: str) -> None:
    """`targetWidth` is applied as Teams does: the narrow card has one column."""
    narrow, wide = (
        {**rich("narrow"), "targetWidth": "AtMost:narrow"},
        {**rich("wide"), "targetWidth": "atLeast:standard"},
    )
    heading = {"type": "TextBlock", "style": "heading", "text": "for a phone", "targetWidth": "narrow"}
    both, one = both_drawn(node, chromium, [narrow, wide, heading], [narrow])
    assert {each.width: each.headings for each in both} == {320: ("for a phone",), 600: ()}
    assert {each.width: each.height for each in one}[320] > {each.width: each.height for each in one}[600]


def test_the_gallery_has_a_picture_and_the_figures_of_each_card(node: Node, chromium: str, tmp_path: Path) -> None:
    """The page shows every picture with its height, its buttons and what is wrong with it."""
    measured = drawn(node, chromium, rich("<b>" + WORD), folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(each.picture for each in measured)
    assert all((tmp_path / each.picture).read_bytes().startswith(b"\x89PNG") for each in measured)
    shown = page(measured)
    assert all(f'src="{each.picture}"' in shown and f"{each.height} px high" in shown for each in measured)
    assert "clipped: &lt;b&gt;" in shown
    assert Measurement.parse(json.dumps(asdict(measured[0]))) == measured[0]
