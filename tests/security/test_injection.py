"""Figure 18: with any text from outside, a card has the same structure as with plain text and shows the text.

Each text is in every place of a view at once. The expected card is that of a plain text, with the visible characters
of the tested text. Unicode's categories decide what is visible, not the code under test.
"""

import json
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import cycle, product
from typing import Any

import jsonschema
import pytest

from bot.domain.shown.reply_views import View
from bot.domain.shown.views import Notice
from bot.rendering import render
from bot.rendering.formatter import LIMITS, CardFormatter, Limits
from bot.rendering.i18n import LOCALES, Localizer
from bot.rendering.render import CARD_LIMIT, presentation, size, template_data
from bot.rendering.template import Card, Template
from bot.text.escape import prose
from tests.fakes.hostile import filled, texts
from tests.fakes.views import every_view
from tests.figures import Figure
from tests.figures import size as rounds

pytestmark = pytest.mark.timeout(240)

TOKEN, MORE = "Q7", "¦"  # placeholders for the text and for its further lines; they are in none of our words
TOKENS = frozenset({"text", "value", "name", "speak", "fallbackText"})  # properties that hold text from outside
INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffd")  # letters and symbols without a shape, and our mark
MOST_LINES = 12  # of a reason or comment
EACH_LIMIT = [limits for limits in LIMITS for _ in LOCALES]  # each of them in each language
UTF16_LIMIT = 80_000  # bytes; what Microsoft advises for a bot's message, measured in UTF-16


@cache
def template(name: str) -> Template:
    return Template.parse(json.loads((files("cards") / f"{name}.json").read_text("utf-8")))


def made(view: View | Notice, notice: Notice | None, pen: CardFormatter) -> Card:
    """Bind a view within these limits, without a limit on the card's size."""
    return template(presentation(view).template).bind(template_data(view, pen, notice))


def plain_twin(text: str, limits: Limits) -> str:
    """Return plain text that takes as many lines: the token, and marks for the lines that follow."""
    shown = prose(text, limit=limits.prose)
    if not shown.lines:
        return " "
    if not shown.shortened:
        return "\n".join([TOKEN, *[MORE] * (len(shown.lines) - 1)])
    if shown.lines[-1] == "…" and len(shown.lines) == MOST_LINES:
        return "\n".join([TOKEN, *[MORE] * 20])
    return "\n".join([TOKEN, *[MORE] * (len(shown.lines) - 2), f"{MORE} " * limits.prose][-len(shown.lines) :])


def blanked(tree: Any) -> Any:
    """Return a card without its texts."""
    if isinstance(tree, list):
        return [blanked(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    return {key: "" if key in TOKENS and isinstance(each, str) else blanked(each) for key, each in tree.items()}


def literal_texts(tree: Any) -> Iterator[str]:
    """Yield what the card shows where text is literal, in order."""
    if isinstance(tree, list):
        for each in tree:
            yield from literal_texts(each)
    if isinstance(tree, dict):
        if tree.get("type") == "TextRun":
            yield tree["text"]
        elif tree.get("type") == "Input.Text":
            yield tree["value"]
        for each in tree.values():
            yield from literal_texts(each)


def visible(text: str) -> str:
    """Return letters, digits, punctuation and symbols: the characters that are visible alone."""
    return "".join(each for each in text if unicodedata.category(each)[0] in "LNPS" and each not in INVISIBLE)


def text_of(card: Card) -> str:
    return "".join(literal_texts(card))


def shows(card: Card, plain: Card, text: str) -> bool:
    """True if the card shows the text in each place in which the plain card shows the token."""
    return visible(text_of(card)) == visible(text_of(plain).replace(MORE, "").replace(TOKEN, text))


@cache
def schema() -> jsonschema.Draft6Validator:
    path = files("adaptive_cards") / "schemas" / "schema-1.5.json"
    return jsonschema.Draft6Validator(json.loads(path.read_text("utf-8")))


def views() -> list[tuple[View | Notice, Notice | None]]:
    """Return every view that has text from outside in it."""
    return [(view, notice) for view, notice in every_view() if (filled(view, "x"), notice) != (view, notice)]


def test_hostile_text_changes_no_card(figure: Figure) -> None:
    """Same structure as with plain text, every visible character shown, and no text function, within all limits."""
    count, shown, cut = rounds(short=500, ci=5_000, long=50_000), 0, 0
    shapes = set[str]()
    for text, (view, notice), locale, limits in zip(
        texts(18, count), cycle(views()), cycle(LOCALES), cycle(EACH_LIMIT)
    ):
        whole = _compared(text, view, notice, CardFormatter(Localizer(locale, "Asia/Tokyo"), LIMITS[0]), shapes)
        _compared(text, view, notice, CardFormatter(Localizer(locale, "Asia/Tokyo"), limits), shapes)
        shown, cut = shown + whole, cut + (not whole)
    assert cut < count // 8
    figure(18, texts=count, shapes=len(shapes), shown_as_written=shown, cut_visibly=cut, changed=0, lost=0)


def _compared(text: str, view: View | Notice, notice: Notice | None, pen: CardFormatter, shapes: set[str]) -> bool:
    """Compare a card with its plain twin. Return whether the text fits, so that it is shown whole."""
    twin = plain_twin(text, pen.limits)
    card = made(filled(view, text), filled(notice, text), pen)
    plain = made(filled(view, twin), filled(notice, twin), pen)
    shape, written = json.dumps(blanked(card)), json.dumps(card, ensure_ascii=False)
    shapes.add(shape)
    assert shape == json.dumps(blanked(plain)), text
    assert written.encode()
    assert "{{" not in written, text
    fits = not prose(text, limit=pen.limits.prose).shortened
    assert not fits or pen.limits is not LIMITS[0] or shows(card, plain, text), text
    assert fits or "…" in written, text
    return fits


def test_hostile_cards_are_valid(figure: Figure) -> None:
    """Cards with hostile texts follow the official schema: every kind of card, in every language."""
    checked = set()
    for locale, text, (view, notice) in zip(
        cycle(LOCALES), texts(181, rounds(short=150, ci=600, long=600)), cycle(views())
    ):
        card = render(filled(view, text), locale=locale, timezone="UTC", notice=filled(notice, text))
        card.pop("msteams", None)  # Teams' own
        shape = json.dumps(_one_of_each(blanked(card)))
        if shape in checked:
            continue
        checked.add(shape)
        problems = [
            f"{list(error.absolute_path)}: {error.message}" for error in schema().iter_errors(json.loads(shape))
        ]
        assert problems == []
    figure(18, shapes_valid=len(checked))


def _one_of_each(tree: Any) -> Any:
    """Leave out equal neighbors, which the schema would check again and again."""
    if isinstance(tree, dict):
        return {key: _one_of_each(each) for key, each in tree.items()}
    if not isinstance(tree, list):
        return tree
    each = [_one_of_each(one) for one in tree]
    return [one for one, before in zip(each, [None, *each], strict=False) if one != before]


HEAVIEST = ("😀", "あ", "\\", "a\n", "x", "👨\u200d👩\u200d👧", '"', "{", "\u202e", "e\u0301\u0301\u0301\u0301")


def test_every_card_is_small_at_the_longest_texts(figure: Figure) -> None:
    """Every card in every language: below 28 KB on the wire, and below Teams' own measure in UTF-16."""
    largest, utf16, cards = 0, 0, 0
    for locale, (view, notice), heavy in product(LOCALES, views(), HEAVIEST[: rounds(short=1, ci=4, long=99)]):
        text = (heavy * 600)[:600]
        card = render(filled(view, text), locale=locale, timezone="Asia/Tokyo", notice=filled(notice, text))
        largest, cards = max(largest, size(card)), cards + 1
        if size(card) > CARD_LIMIT * 3 // 4:
            written = json.dumps(card, ensure_ascii=False, separators=(",", ":"))
            utf16 = max(utf16, len(written.encode("utf-16-le")))
    assert largest <= CARD_LIMIT
    assert utf16 <= UTF16_LIMIT
    figure(18, cards=cards, largest_bytes=largest, largest_utf16=utf16)


@pytest.mark.parametrize(
    ("text", "broken"),
    [("a\nb", lambda card: card["body"].pop()), ("<b>", lambda card: card["body"].append({"type": "Image"}))],
)
def test_comparison_finds_a_changed_structure(text: str, broken: Any) -> None:
    """One block more or less is a difference."""
    (view, notice), pen = views()[0], CardFormatter(Localizer("en", "UTC"), LIMITS[0])
    card: dict[str, Any] = made(filled(view, text), notice, pen)
    before = json.dumps(blanked(card))
    broken(card)
    assert json.dumps(blanked(card)) != before


@pytest.mark.parametrize("lost", ["a", "決", "*", "@", "😀", "1"])
def test_comparison_finds_a_lost_character(lost: str) -> None:
    """The proof would fail if escaping dropped a single visible character."""
    (view, notice), pen = views()[0], CardFormatter(Localizer("en", "UTC"), LIMITS[0])
    text = f"x{lost}y"
    plain = made(filled(view, TOKEN), notice, pen)
    assert shows(made(filled(view, text), notice, pen), plain, text)
    assert not shows(made(filled(view, "xy"), notice, pen), plain, text)
