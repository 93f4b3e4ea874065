"""Picks the template of a view, binds it, and keeps the card small enough. Pure but for loading templates once."""

import json
from functools import cache
from importlib.resources import files
from typing import Final, assert_never

from bot.domain.shown.reply_views import HelpView, MessageView, PendingView, SetupView, View
from bot.domain.shown.views import CardView, DirectView, NoteView, Notice
from bot.rendering import messages
from bot.rendering.cards import OPEN, card_data
from bot.rendering.formatter import LIMITS, CardFormatter, Data
from bot.rendering.i18n import Localizer
from bot.rendering.template import Card, Template
from bot.text.escape import strip_markup

CARD_LIMIT: Final = 28_000  # bytes of JSON; the smallest limit that Teams documents for a message with a card


def render(
    view: View | Notice,
    *,
    locale: str,
    timezone: str,
    notice: Notice | None = None,
    reader: str | None = None,
    brief: bool = False,
) -> Card:
    """Return the adaptive card (JSON) of a view, with a notice line above what was clicked if there is one.

    `locale` is one of bot.rendering.i18n.LOCALES, `timezone` an IANA name, `reader` the locale of the
    notice if that is another.
    The card is under CARD_LIMIT whatever the view holds; `brief`: as short as it can be, for a Teams that finds even
    that too large.
    """
    template = _template(template_name(view))
    card: Card = {}
    for limits in LIMITS[-1:] if brief else LIMITS:
        pen = CardFormatter(Localizer(locale, timezone), limits, Localizer(reader, timezone) if reader else None)
        card = template.bind(template_data(view, pen, notice))
        if size(card) <= CARD_LIMIT:
            break
    return card


def size(card: Card) -> int:
    """Return the bytes of a card on the wire, where all beyond ASCII is escaped.

    Teams measures UTF-16: at most twice as much, so a card within CARD_LIMIT has at most 56,000 of its 80,000 bytes.
    """
    return len(json.dumps(card, separators=(",", ":")))


@cache
def _template(name: str) -> Template:
    return Template.parse(json.loads((files("cards") / f"{name}.json").read_text("utf-8")))


def template_name(view: View | Notice) -> str:
    """Return which file of cards/ a view is bound to, without `.json`."""
    match view:
        case CardView():
            return "request" if view.banner in OPEN else "decided"
        case DirectView():
            return "direct-message"
        case NoteView():
            return "note"
        case HelpView():
            return "help"
        case PendingView():
            return "pending"
        case MessageView() | Notice():
            return "message"
        case SetupView():
            return "setup"
        case _:
            assert_never(view)


def template_data(view: View | Notice, pen: CardFormatter, notice: Notice | None = None) -> Data:
    """Return all that the view's template asks for."""
    spoken = strip_markup(summary(view, locale=pen.say.locale))
    return {"lang": pen.say.locale, "summary": spoken, **_own_data(view, pen, notice)}


def _own_data(view: View | Notice, pen: CardFormatter, notice: Notice | None) -> Data:
    match view:
        case CardView():
            return card_data(view, pen, notice)
        case DirectView():
            return messages.direct_data(view, pen, notice)
        case NoteView():
            return messages.note_data(view, pen)
        case HelpView():
            return messages.help_data(view, pen)
        case PendingView():
            return messages.pending_data(view, pen)
        case MessageView() | Notice():
            return messages.message_data(view, pen)
        case SetupView():
            return messages.setup_data(view, pen)
        case _:
            assert_never(view)


@cache
def _notification_pen(locale: str) -> CardFormatter:
    return CardFormatter(Localizer(locale, "UTC"), LIMITS[-1])  # about as much of a name as a notification shows


def summary(view: View | Notice, *, locale: str) -> str:
    """Return the line that a notification shows: plain text, with no markup left in names."""
    pen = _notification_pen(locale)
    match view:
        case CardView():
            return _named(f"summary.{view.banner}", pen, node=view.shown_node, requester=view.requester)
        case DirectView():
            banner = pen.say.text(f"banner.{view.kind}")
            return _named("summary.direct", pen, banner=banner, node=view.shown_node)
        case NoteView():
            return strip_markup("".join(run["text"] for run in messages.note_sentence(view, pen)))
        case HelpView():
            return pen.say.text("summary.help")
        case PendingView():
            return pen.say.text("summary.pending", count=str(len(view.requests) + view.more))
        case MessageView():
            return strip_markup("".join(run["text"] for run in messages.message_runs(view, pen)))
        case Notice():
            return pen.say.text(f"notice.{view.code}")
        case SetupView():
            return pen.say.text("summary.setup")
        case _:
            assert_never(view)


def _named(key: str, pen: CardFormatter, **names: str) -> str:
    return pen.say.text(key, **{place: strip_markup(pen.short(name)) for place, name in names.items()})
