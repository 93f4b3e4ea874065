"""Makes the adaptive card of a view: picks the template, binds it, and keeps the card small enough for Teams.

Start with `render`; `presentation` is the one table of views and templates. Pure, but it reads each template file once.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from importlib.resources import files
from typing import Final, assert_never

from pydantic_core import to_json

from bot.domain.shown.replies.reply_views import (
    HelpView,
    HistoryView,
    MessageView,
    PendingView,
    SetupView,
    View,
    WeeklyDigestView,
)
from bot.domain.shown.views import CardView, DirectView, NoteView, Notice
from bot.rendering import messages, request_lists, weekly_digests
from bot.rendering.cards import OPEN, card_data
from bot.rendering.formatter import LIMITS, CardFormatter, Data, Limits, Runs
from bot.rendering.i18n import Localizer
from bot.rendering.template import Card, Template
from bot.text.escape import strip_markup

CARD_LIMIT: Final = 28_000  # bytes of JSON; the smallest limit that Teams documents for a message with a card
CARDS_KEPT: Final = 64  # an answer, the update and the refreshes of each open page mostly show the same card


def render(
    view: View | Notice,
    *,
    locale: str,
    timezone: str,
    notice: Notice | None = None,
    reader: tuple[str, str] | None = None,
    brief: bool = False,
) -> Card:
    """Return the adaptive card (JSON) of a view, with a notice for the person who clicked, if there is one.

    `locale` is one of bot.rendering.i18n.LOCALES, `timezone` an IANA name, `reader` the locale and time zone of the
    notice if they differ. Every card is at most CARD_LIMIT bytes. If `brief`, its texts are cut as much as possible,
    because Teams refused the card as too large.

    Equal arguments return the same object while it is among the last CARDS_KEPT cards: do not change it.
    """
    return _rendered(view, (locale, timezone), notice, reader, brief)


@lru_cache(CARDS_KEPT)
def _rendered(
    view: View | Notice, style: tuple[str, str], notice: Notice | None, reader: tuple[str, str] | None, brief: bool
) -> Card:
    template = _template(presentation(view).template)
    card: Card = {}
    for shown, limits in _forms(view, brief=brief):
        formatter = CardFormatter(Localizer(*style), limits, Localizer(*reader) if reader else None)
        card = template.bind(template_data(shown, formatter, notice))
        if _is_within_limit(card):
            break
    return card


def _forms(view: View | Notice, *, brief: bool) -> Iterator[tuple[View | Notice, Limits]]:
    """Yield the forms of a view, the fullest first. The ids of viewers, some kilobytes, go before any word."""
    alone = replace(view, viewers=()) if isinstance(view, CardView) and view.viewers else view
    if alone is not view and not brief:
        yield view, LIMITS[0]
    yield from ((alone, limits) for limits in (LIMITS[-1:] if brief else LIMITS))


def size(card: Card) -> int:
    """Return a card's size in bytes of compact JSON in which every character beyond ASCII is escaped.

    Teams measures UTF-16: at most twice as much, so a card within CARD_LIMIT has at most 56,000 of its 80,000 bytes.
    """
    return len(json.dumps(card, separators=(",", ":")))


def _is_within_limit(card: Card) -> bool:
    """True if `size` of a card is at most CARD_LIMIT. Nearly all cards are so small that a faster bound is enough.

    A character beyond ASCII has one to three bytes more than one, and at most five or eleven more when it is escaped.
    Bound texts have no lone surrogates, which `to_json` refuses, and no controls that only `size` escapes: `escape`.
    """
    encoded = to_json(card)
    characters = len(encoded.decode())
    return characters + 5 * (len(encoded) - characters) <= CARD_LIMIT or size(card) <= CARD_LIMIT


@cache
def _template(name: str) -> Template:
    return Template.parse(json.loads((files("cards") / f"{name}.json").read_text("utf-8")))


@dataclass(frozen=True, slots=True)
class Presentation:
    """How one view is shown: its template, the data for the template, and the line of a notification."""

    template: str  # the name of a file in cards/, without `.json`
    data: Callable[[CardFormatter], Data]
    summary: Callable[[CardFormatter], str]


def presentation(view: View | Notice, notice: Notice | None = None) -> Presentation:
    """Return the presentation of a view. This is the only function with a case for each class of view."""
    match view:
        case CardView():
            template = "request" if view.banner in OPEN else "decided"
            return Presentation(template, partial(card_data, view, notice=notice), partial(_card_summary, view))
        case DirectView():
            data = partial(messages.direct_data, view, notice=notice)
            template = "direct-short" if view.short else "direct-message"
            return Presentation(template, data, partial(_direct_summary, view))
        case NoteView():
            return Presentation("note", partial(messages.note_data, view), partial(_note_summary, view))
        case HelpView():
            return Presentation("help", partial(messages.help_data, view), partial(_words, "summary.help"))
        case PendingView() | HistoryView():
            return Presentation("pending", partial(request_lists.list_data, view), partial(_list_summary, view))
        case MessageView():
            return Presentation("message", partial(messages.message_data, view), partial(_message_summary, view))
        case Notice():
            return Presentation(
                "message", partial(messages.lone_notice_data, view), partial(_words, f"notice.{view.code}")
            )
        case SetupView():
            return Presentation("setup", partial(messages.setup_data, view), partial(_words, "summary.setup"))
        case WeeklyDigestView():
            data = partial(weekly_digests.digest_data, view)
            return Presentation("weekly-digest", data, partial(weekly_digests.digest_summary, view))
        case _:
            assert_never(view)


def template_data(view: View | Notice, formatter: CardFormatter, notice: Notice | None = None) -> Data:
    """Return the data for the view's template, with the language and the text for screen readers."""
    spoken = strip_markup(summary(view, locale=formatter.say.locale))
    return {"lang": formatter.say.locale, "summary": spoken, **presentation(view, notice).data(formatter)}


def summary(view: View | Notice, *, locale: str) -> str:
    """Return the line that a notification shows: plain text, in which harmless characters replace markup in names."""
    return presentation(view).summary(_notification_formatter(locale))


@cache
def _notification_formatter(locale: str) -> CardFormatter:
    return CardFormatter(Localizer(locale, "UTC"), LIMITS[-1])  # notifications show about this much of a name


def _card_summary(view: CardView, formatter: CardFormatter) -> str:
    requester = formatter.person(view.requester, known=view.requester_is_person)
    return _named(f"summary.{view.banner}", formatter, node=formatter.node(view.shown_node), requester=requester)


def _direct_summary(view: DirectView, formatter: CardFormatter) -> str:
    banner, node = messages.direct_banner(view, formatter), formatter.node(view.shown_node)
    return _named("summary.direct", formatter, banner=banner, node=node)


def _list_summary(view: PendingView | HistoryView, formatter: CardFormatter) -> str:
    words = f"summary.history_{view.kind}" if isinstance(view, HistoryView) else "summary.pending"
    return formatter.say.text(words, amount=_amount(view))


def _amount(view: PendingView | HistoryView) -> str:
    """Return how many requests a list has, with those beyond its limit: "12", or "100+" if there may be more."""
    count = len(view.requests) + view.more
    return f"{count}" if view.counted else f"{count}+"


def _note_summary(view: NoteView, formatter: CardFormatter) -> str:
    return _without_markup(messages.note_sentence(view, formatter))


def _message_summary(view: MessageView, formatter: CardFormatter) -> str:
    return _without_markup(messages.message_runs(view, formatter))


def _words(key: str, formatter: CardFormatter) -> str:
    return formatter.say.text(key)


def _without_markup(runs: Runs) -> str:
    return strip_markup("".join(run["text"] for run in runs))


def _named(key: str, formatter: CardFormatter, **names: str) -> str:
    return formatter.say.text(key, **{place: strip_markup(formatter.short(name)) for place, name in names.items()})
