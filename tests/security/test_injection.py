"""Figure 18: with any text from outside, a card has the same structure as with plain text and shows the text.

Every field that can hold such a text is filled with it. The expected card is that of a plain text, with the visible
characters of the tested text. Unicode's categories decide which characters are visible, not the code under test.
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import cycle, islice, product
from typing import Any

import pytest

from bot.domain.shown.replies.reply_views import HistoryView, PendingView, View
from bot.domain.shown.views import Notice
from bot.rendering import render
from bot.rendering.formatter import LIMITS, CardFormatter, Limits
from bot.rendering.i18n import LOCALES, Localizer
from bot.rendering.render import CARD_LIMIT, presentation, size, template_data
from bot.rendering.template import Card, Template
from bot.text.escape import prose
from tests.fakes.card_text import card_schema, nodes
from tests.fakes.hostile import filled, texts
from tests.fakes.views import every_view
from tests.figures import Figure
from tests.figures import size as rounds

pytestmark = pytest.mark.timeout(240)

TOKEN, MORE = "Q7", "¦"  # placeholders for the text and for its further lines; no text of the bot contains them
TOKENS = frozenset({"text", "value", "name", "speak", "fallbackText"})  # properties that hold text from outside
INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffd")  # letters and symbols without a shape, and our mark
MOST_LINES = 12  # of a reason or comment
EACH_LIMIT = [limits for limits in LIMITS for _ in LOCALES]  # repeated, so that each is used in each language
UTF16_LIMIT = 80_000  # bytes; what Microsoft advises for a bot's message, measured in UTF-16


@cache
def template(name: str) -> Template:
    return Template.parse(json.loads((files("cards") / f"{name}.json").read_text("utf-8")))


def made(view: View | Notice, notice: Notice | None, formatter: CardFormatter) -> Card:
    """Return the card of a view with this formatter and the whole reason, without a limit on the card's size."""
    card = template(presentation(view).template).bind(template_data(view, formatter, notice))
    is_folded = any(each.get("id") == "reason" for each in nodes(card))
    shown: Card = unfolded(card, hidden={"show-reason", "reason-start"} if is_folded else set())
    return shown


def unfolded(tree: Any, *, hidden: set[str]) -> Any:
    """Return a card as it is after a tap on the button below a long reason, which hides elements with these ids."""
    if isinstance(tree, list):
        left = [each for each in tree if not (isinstance(each, dict) and each.get("id") in hidden)]
        return [unfolded(each, hidden=hidden) for each in left]
    if not isinstance(tree, dict):
        return tree
    without = {"id", "isVisible"} if tree.get("id") in {"reason", "reason-start"} else set[str]()
    return {key: unfolded(each, hidden=hidden) for key, each in tree.items() if key not in without}


def plain_twin(text: str, limits: Limits) -> str:
    """Return a plain text with as many shown lines as this text: TOKEN, then MORE for each further line."""
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


def unparsed_texts(card: Card) -> Iterator[str]:
    """Yield the texts of TextRuns and input fields, in order. Clients parse no markup in them."""
    for each in nodes(card):
        if each.get("type") == "TextRun":
            yield each["text"]
        elif each.get("type") == "Input.Text":
            yield each["value"]


def visible(text: str) -> str:
    """Return the letters, digits, punctuation and symbols of a text: the characters that are visible on their own."""
    return "".join(each for each in text if unicodedata.category(each)[0] in "LNPS" and each not in INVISIBLE)


def is_beginning(written: str, text: str) -> bool:
    """True for a text that is cut visibly, and shows the beginning of the whole text unchanged."""
    return written.endswith("…") and visible(text).startswith(visible(written.removesuffix("…")))


def shows(card: Card, plain: Card, text: str, *, several_nodes: bool = False, listed: bool = False) -> bool:
    """True if the card shows the text in each place in which the plain card shows the token.

    A place with the names of several nodes may be cut visibly instead: it would be longer than any other name. A list
    of requests may show the beginning of a reason: the card has all of it.
    """
    places = list(zip(unparsed_texts(card), unparsed_texts(plain), strict=True))
    places = [place for place in places if not (listed and place[1].startswith(TOKEN) and is_beginning(place[0], text))]
    whole = [place for place in places if not (several_nodes and "…" in place[0] and place[1].count(TOKEN) > 1)]
    written, wanted = ("".join(each) for each in zip(*whole, strict=True))
    return visible(written) == visible(wanted.replace(MORE, "").replace(TOKEN, text))


@cache
def views() -> Sequence[tuple[View | Notice, Notice | None]]:
    """Return every view with a field for text from outside."""
    return [(view, notice) for view, notice in every_view() if (filled(view, "x"), notice) != (view, notice)]


def test_hostile_text_does_not_change_the_structure_of_a_card(figure: Figure) -> None:
    """The card is compared with that of a plain text, under each set of text limits.

    It contains no `{{DATE(…)}}` or `{{TIME(…)}}`. With the widest limits, it shows every visible character. A text that
    is too long is cut visibly.
    """
    count, shown, cut = rounds(short=500, ci=1_000, long=50_000), 0, 0
    shapes = set[str]()
    numbers = range(len(views()))
    for text, number, locale, limits in zip(texts(18, count), cycle(numbers), cycle(LOCALES), cycle(EACH_LIMIT)):
        whole = _compared(text, number, locale, LIMITS[0], shapes)
        _compared(text, number, locale, limits, shapes)
        shown, cut = shown + whole, cut + (not whole)
    assert cut < count // 8
    figure(18, texts=count, shapes=len(shapes), shown_as_written=shown, cut_visibly=cut, changed=0, lost=0)


def _compared(text: str, number: int, locale: str, limits: Limits, shapes: set[str]) -> bool:
    """Compare the card of a text with the card of its plain twin. Return whether the text fits within the limits."""
    view = views()[number][0]
    card = _filled_card(number, text, locale, limits)
    plain = _plain_card(number, plain_twin(text, limits), locale, limits)
    shape, written = json.dumps(blanked(card)), json.dumps(card, ensure_ascii=False)
    shapes.add(shape)
    assert shape == json.dumps(blanked(plain)), text
    assert written.encode()
    assert "{{" not in written, text
    fits = not prose(text, limit=limits.prose).shortened
    several_nodes = bool(getattr(view, "nodes", ()))
    listed = isinstance(view, PendingView | HistoryView)
    whole = limits is not LIMITS[0] or shows(card, plain, text, several_nodes=several_nodes, listed=listed)
    assert not fits or whole, text
    is_shown = any(mark in shown for shown in unparsed_texts(plain) for mark in (TOKEN, MORE))
    assert fits or not is_shown or "…" in written, text
    return fits


def _filled_card(number: int, text: str, locale: str, limits: Limits) -> Card:
    view, notice = views()[number]
    return made(filled(view, text), filled(notice, text), CardFormatter(Localizer(locale, "Asia/Tokyo"), limits))


_plain_card = cache(_filled_card)  # few twins differ


def test_cards_with_hostile_texts_follow_the_schema(figure: Figure) -> None:
    """The schema is the official one of Adaptive Cards. Cards in every language are checked."""
    checked = set()
    for locale, text, (view, notice) in zip(
        cycle(LOCALES), texts(181, rounds(short=150, ci=300, long=600)), cycle(views())
    ):
        card = render(filled(view, text), locale=locale, timezone="UTC", notice=filled(notice, text))
        shape = json.dumps(blanked({key: each for key, each in card.items() if key != "msteams"}))  # that is Teams' own
        if shape in checked:
            continue
        checked.add(shape)
        problems = [
            f"{list(error.instance_path)}: {error.message}" for error in card_schema().iter_errors(json.loads(shape))
        ]
        assert problems == []
    figure(18, shapes_valid=len(checked))


HEAVIEST = ("😀", "あ", "\\", "a\n", "x", "👨\u200d👩\u200d👧", '"', "{", "\u202e", "e\u0301\u0301\u0301\u0301")


def test_card_with_the_longest_texts_is_within_the_size_limits(figure: Figure) -> None:
    """Every card in every language is at most CARD_LIMIT bytes of JSON, and at most UTF16_LIMIT bytes in UTF-16.

    The short form of `make test` renders every third card, in one language.
    """
    largest, utf16, cards = 0, 0, 0
    languages, heaviest = rounds(short=1, ci=len(LOCALES), long=len(LOCALES)), rounds(short=1, ci=1, long=99)
    for number, (view, notice) in enumerate(views()[:: rounds(short=3, ci=1, long=1)]):
        for locale, heavy in product(islice(cycle(LOCALES), number, number + languages), HEAVIEST[:heaviest]):
            text = (heavy * 600)[:600]
            card = render(filled(view, text), locale=locale, timezone="Asia/Tokyo", notice=filled(notice, text))
            measured = size(card)
            largest, cards = max(largest, measured), cards + 1
            if measured > CARD_LIMIT * 3 // 4:
                written = json.dumps(card, ensure_ascii=False, separators=(",", ":"))
                utf16 = max(utf16, len(written.encode("utf-16-le")))
    assert largest <= CARD_LIMIT
    assert utf16 <= UTF16_LIMIT
    figure(18, cards=cards, largest_bytes=largest, largest_utf16=utf16)


@pytest.mark.parametrize(
    ("text", "broken"),
    [("a\nb", lambda card: card["body"].pop()), ("<b>", lambda card: card["body"].append({"type": "Image"}))],
)
def test_comparison_of_cards_finds_a_changed_structure(text: str, broken: Any) -> None:
    """Control: one block more or less is a difference."""
    (view, notice), formatter = views()[0], CardFormatter(Localizer("en", "UTC"), LIMITS[0])
    card = made(filled(view, text), notice, formatter)
    before = json.dumps(blanked(card))
    broken(card)
    assert json.dumps(blanked(card)) != before


@pytest.mark.parametrize("lost", ["a", "決", "*", "@", "😀", "1"])
def test_comparison_of_cards_finds_a_lost_character(lost: str) -> None:
    """Control: a card without one visible character of the text does not show the text."""
    (view, notice), formatter = views()[0], CardFormatter(Localizer("en", "UTC"), LIMITS[0])
    text = f"x{lost}y"
    plain = made(filled(view, TOKEN), notice, formatter)
    assert shows(made(filled(view, text), notice, formatter), plain, text)
    assert not shows(made(filled(view, "xy"), notice, formatter), plain, text)
