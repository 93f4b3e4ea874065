"""Whose turn it is: the notes in the thread that call the people of a level that opened.

The first level is called by the card itself, because the post of a card notifies. An update does not, so each later
level is called by a note; so is a first level that could not be decided when its card was posted.
"""

from dataclasses import replace

from bot.domain.record import DeliveryState, Record
from bot.domain.request import Level
from bot.domain.shown.card import asks_for_decision
from bot.domain.shown.card_places import card_name
from bot.domain.shown.notes import Note, blank_note
from bot.domain.shown.reply_views import View
from bot.domain.shown.views import CardView, NoteKind, NoteView


def turn_notes(record: Record, card: CardView) -> list[Note]:
    """Return the notes that call people to the waiting level.

    `card` is the card of the deciding channel. A card that no one can decide calls no one.
    """
    level = record.request.waiting if record.request else None
    if level is None or not asks_for_decision(card) or not _is_posted(record) or not _is_uncalled(record, level):
        return []
    note = replace(blank_note(record, NoteKind.LEVEL), level=card.level)
    return [Note(f"level:{level.step}", note)]


def called_step(view: View) -> str | None:
    """Return the step whose people a message calls: "" for a card that calls no one, None for any other message."""
    match view:
        case CardView():
            return view.step if view.rings else ""
        case NoteView(kind=NoteKind.LEVEL, level=level) if level:
            return level.step
        case _:
            return None


def is_called_already(record: Record, view: View) -> bool:
    """True for the call of a level whose people a card has called since the note was computed."""
    step = called_step(view) if isinstance(view, NoteView) else None
    return bool(step) and record.level_call(step or "") is not None


def _is_posted(record: Record) -> bool:
    """True if the card of the deciding channel is in Teams: otherwise its post will call the people."""
    card = record.surface(card_name(record.route.channel)) if record.route else None
    return card is not None and card.delivery is DeliveryState.DELIVERED


def _is_uncalled(record: Record, level: Level) -> bool:
    """True if no message called the people of this level.

    Earlier versions stored no calls: if there is none, the card called the first level.
    """
    if record.level_call(level.step):
        return False
    is_first = record.request is not None and record.request.levels[0].step == level.step
    return bool(record.level_calls) or not is_first
