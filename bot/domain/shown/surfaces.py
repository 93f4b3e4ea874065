"""Computes what Teams must show for a row, and when that next changes without an event.

It selects the cards and notes, which `card.py` and `notes.py` fill, and `requester_messages.py` the direct messages.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.abilities import ALL_ABILITIES, Abilities
from bot.domain.configuration import Configuration
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Status
from bot.domain.routing import Channel
from bot.domain.shown.card import card_view
from bot.domain.shown.card_places import card_places, is_copy
from bot.domain.shown.direct import ending_soon_at, may_still_be_identified
from bot.domain.shown.notes import blank_note, thread_notes
from bot.domain.shown.requester_messages import requester_messages
from bot.domain.shown.turns import escalates_at, escalation_notes, next_reminder, turn_notes
from bot.domain.shown.views import CardView, NoteKind, NoteView
from bot.domain.shown.wanted import Wanted
from bot.domain.surface import DeliveryState, SurfaceKind

TIME_OUT_GRACE = timedelta(seconds=5)  # AWS needs a moment to apply its own time-out before we read the request
LATE_FAILURE = timedelta(days=1)  # a failed request that is older when first seen is not shown
LATE_GRANT = timedelta(hours=1)  # an auto-approved request whose row is older gets no card: the setting is newer


def desired(
    record: Record, configuration: Configuration, now: datetime, *, abilities: Abilities = ALL_ABILITIES
) -> tuple[Wanted, ...]:
    """Return everything that Teams must show for this row now, in the order in which it is delivered.

    Without the ability, a requester without a message that is updated in place gets one message for each state.
    """
    request = record.request
    if request is None or not _worth_showing(record, request, configuration, now):
        return ()
    cards = [
        Wanted(name, SurfaceKind.CARD, card_view(record, channel, configuration, now, abilities=abilities), channel)
        for name, channel in card_places(record, configuration)
    ]
    home = configuration.home(record)
    if home is None or request.auto_approved:  # nobody decided, and nobody needs to act
        return tuple(cards)
    notes, delivery_notes = _notes(record, home, cards, now), _delivery_notes(record, home)
    identified = not may_still_be_identified(record, now)
    directs = requester_messages(record, home, configuration, now, abilities=abilities) if identified else []
    escalated = _escalation_notes(record, home, cards)
    overtaken = _overtaken_notes(record, home, (*notes, *escalated, *delivery_notes))
    return (*cards, *overtaken, *notes, *directs, *delivery_notes, *escalated)


def next_change(record: Record, configuration: Configuration, now: datetime) -> datetime | None:
    """Return when the desired surfaces change by themselves next; None if they do not.

    That is when a reminder is due, shortly after the request's deadline, when its access ends, some minutes before, or
    when a person's mark as reviewer ends.
    """
    request, home = record.request, configuration.home(record)
    if request is None:
        return None
    moments = [
        next_reminder(record, home, now) if home else None,
        escalates_at(record, configuration, now),
        request.deadline + TIME_OUT_GRACE if request.deadline else None,
        request.access_until if request.status is Status.APPROVED else None,
        *(each.until for each in record.reviews if request.status is Status.PENDING),
        ending_soon_at(request),
    ]
    return min((moment for moment in moments if moment and moment > now), default=None)


def _worth_showing(record: Record, request: AccessRequest, configuration: Configuration, now: datetime) -> bool:
    if request.replica_of:
        return False
    if request.auto_approved and not (record.cards or _shows_auto_approved(record, configuration, now)):
        return False
    if not request.status.ended or record.cards:
        return True
    if request.status is Status.FAILED:
        return request.requested_at is None or now - request.requested_at < LATE_FAILURE
    return request.status is Status.APPROVED and bool(request.access_until and request.access_until > now)


def _shows_auto_approved(record: Record, configuration: Configuration, now: datetime) -> bool:
    """True if the channel is certain and shows auto-approved requests, and the row is younger than LATE_GRANT.

    An older row without a card is there because another channel shows such requests.
    """
    home, route = configuration.home(record), record.route
    shows = home is not None and home.show_auto_approved and route is not None and route.settled
    return shows and now - record.created_at < LATE_GRANT


# --- notes in the thread -----------------------------------------------------------------------------------------


def _notes(record: Record, home: Channel, cards: Sequence[Wanted], now: datetime) -> list[Wanted]:
    card = next((want.view for want in cards if want.channel is home and isinstance(want.view, CardView)), None)
    calls = turn_notes(record, home, card, now) if card else []
    return [
        replace(_wanted_note(f"note:{each.name}", each.view, home), overtaken=each.overtaken)
        for each in (*thread_notes(record, now), *calls)
    ]


def _escalation_notes(record: Record, home: Channel, cards: Sequence[Wanted]) -> list[Wanted]:
    """Return the notes in the thread of the second channel's card."""
    elsewhere = ((want.channel, want.view) for want in cards if want.channel is not home and not is_copy(want.name))
    return [
        _wanted_note(f"note:{each.name}", each.view, channel)
        for channel, view in elsewhere
        if isinstance(view, CardView)
        for each in escalation_notes(record, view)
    ]


def _overtaken_notes(record: Record, home: Channel, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return notes that were started but are no longer wanted, so that they are skipped if not delivered."""
    names = {want.name for want in wanted}
    begun = (each.name for each in record.surfaces if each.kind is SurfaceKind.NOTE)
    blank = blank_note(record, NoteKind.OUTSIDE)
    return [replace(_wanted_note(name, blank, home), overtaken=True) for name in begun if name not in names]


def _wanted_note(name: str, view: NoteView, home: Channel) -> Wanted:
    return Wanted(name, SurfaceKind.NOTE, view, home)


def _delivery_notes(record: Record, home: Channel) -> list[Wanted]:
    failed = [
        surface
        for surface in record.surfaces
        if surface.kind is SurfaceKind.DIRECT and surface.delivery is DeliveryState.IMPOSSIBLE
    ]
    if not failed:
        return []
    note = replace(blank_note(record, NoteKind.DIRECT_IMPOSSIBLE), detail=failed[0].problem)
    return [_wanted_note("note:direct_impossible", note, home)]
