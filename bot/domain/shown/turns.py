"""Whose turn it is: the notes that call the people of a level that opened, and remind them; when a level is escalated.

The first level is called by the card itself, because the post of a card notifies. An update does not, so each later
level is called by a note; so is a first level that could not be decided when its card was posted.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.configuration import Configuration
from bot.domain.escalation import next_channel
from bot.domain.record import Record
from bot.domain.request import Level
from bot.domain.routing import Channel
from bot.domain.shown.card import asks_for_decision, card_view
from bot.domain.shown.card_places import card_name
from bot.domain.shown.notes import Note, blank_note
from bot.domain.shown.replies.reply_views import View
from bot.domain.shown.views import CardView, NoteKind, NoteView
from bot.domain.spans import is_ahead
from bot.domain.surface import DeliveryState


def turn_notes(record: Record, home: Channel, card: CardView, now: datetime) -> list[Note]:
    """Return the note that calls people to the waiting level, or reminds them; [] if none is due.

    `card` is the card of the deciding channel, `home`. A card that no one can decide calls no one.
    """
    level = record.waiting_level
    if level is None or not asks_for_decision(card) or not _is_posted(record):
        return []
    if _is_uncalled(record, level):
        return [Note(_call_name(level), replace(blank_note(record, NoteKind.LEVEL), level=card.level))]
    return _reminder(record, home, level, card, now)


def _reminder(record: Record, home: Channel, level: Level, card: CardView, now: datetime) -> list[Note]:
    """Return the latest reminder that is due. Those before it are overtaken; in quiet hours, none is due."""
    due = [span for span, moment in _reminders(record, home, level, now) if moment <= now]
    if not due or home.held(now) > now:
        return []
    note = replace(blank_note(record, NoteKind.REMINDER), level=card.level, at=_opened_at(record, level))
    return [Note(_reminder_name(level, due[-1]), replace(note, deadline=level.deadline))]


def next_reminder(record: Record, home: Channel, now: datetime) -> datetime | None:
    """Return when the next reminder is due in the deciding channel, after its quiet hours; None if there is none."""
    level = record.waiting_level
    if level is None:
        return None
    spans = _reminders(record, home, level, now)
    past = [span for span, moment in spans if moment <= now]
    held = [home.held(now)] if past and not _is_sent(record, level, past[-1]) else []
    moments = [*held, *(home.held(moment) for _, moment in spans)]
    return min((moment for moment in moments if moment > now), default=None)


def _reminders(record: Record, home: Channel, level: Level, now: datetime) -> list[tuple[timedelta, datetime]]:
    """Return each reminder of the level, the earliest first: its span, and the moment when it is due.

    A reminder from before the call of the level is left out: the call came late.
    """
    opened_at, call = _opened_at(record, level), record.level_call(level.step)
    if opened_at is None:
        return []
    called_at = call.at if call and not is_ahead(call.at, now) else opened_at
    return [(span, opened_at + span) for span in home.remind_after if opened_at + span > called_at]


def _opened_at(record: Record, level: Level) -> datetime | None:
    """Return when AWS began to wait at this level; if AWS does not say so, when its people were called."""
    call = record.level_call(level.step)
    return level.started_at or (call.at if call else None)


def _call_name(level: Level) -> str:
    return f"level:{level.step}"


def _reminder_name(level: Level, span: timedelta) -> str:
    return f"remind:{level.step}:{int(span.total_seconds())}"


def _is_sent(record: Record, level: Level, span: timedelta) -> bool:
    note = record.surface(f"note:{_reminder_name(level, span)}")
    return note is not None and note.delivery is DeliveryState.DELIVERED


def escalation_notes(record: Record, card: CardView) -> list[Note]:
    """Return the note that calls people in the second channel to the waiting level, after an earlier level of theirs.

    `card` is the card of the second channel. Its post calls its people to their first level.
    """
    level = record.waiting_level
    line = card.escalation
    if level is None or line is None or not line.here or not asks_for_decision(card):
        return []
    first = all(each.step == level.step for each in record.escalations)
    note = replace(blank_note(record, NoteKind.ESCALATED), level=card.level)
    return [] if first else [Note(f"escalated:{level.step}", note)]


def escalates_at(record: Record, configuration: Configuration, now: datetime) -> datetime | None:
    """Return when the time of the waiting level is over; None if it is never escalated, or already was.

    The time counts from the message that called the people of the level. If Teams does not take that message, it counts
    from the opening of the level.
    """
    home, level = configuration.home(record), record.waiting_level
    if home is None or home.escalate_after is None or level is None or next_channel(record, configuration) is None:
        return None
    begins = _called_at(record, level, now)
    return max(begins, level.started_at or begins) + home.escalate_after if begins else None


def _called_at(record: Record, level: Level, now: datetime) -> datetime | None:
    """Return when the people of the level were called, or when they should have been; None if they will be called.

    An earlier version stored no calls: its card called the first level when it opened.
    """
    if call := record.level_call(level.step):
        return call.at if not is_ahead(call.at, now) else level.started_at
    if _is_posted(record) and not record.level_calls:
        return level.started_at
    return level.started_at or record.created_at if _is_call_refused(record, level) else None


def _is_call_refused(record: Record, level: Level) -> bool:
    """True if Teams has not taken the message that would call the people of the level, at the last attempt."""
    card = record.surface(card_name(record.route.channel)) if record.route else None
    calls = (card, record.surface(f"note:{_call_name(level)}"))
    untaken = (each for each in calls if each and each.delivery is not DeliveryState.DELIVERED)
    return any(each.failures or each.delivery is DeliveryState.IMPOSSIBLE for each in untaken)


def may_escalate(record: Record, configuration: Configuration, now: datetime) -> bool:
    """True if the time of the waiting level is over, and someone could decide it now."""
    at, home = escalates_at(record, configuration, now), configuration.home(record)
    if at is None or at > now or home is None:
        return False
    return asks_for_decision(card_view(record, home, configuration, now))


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
