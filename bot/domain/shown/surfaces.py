"""Computes what Teams must show for a row, and when that next changes without an event.

It selects the cards, notes and direct messages; `card.py` and `notes.py` fill the first two.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

from bot.domain.configuration import Configuration
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Status, Withdrawal
from bot.domain.routing import Channel
from bot.domain.shown.card import card_view
from bot.domain.shown.card_places import card_places, is_copy
from bot.domain.shown.direct import (
    WAITING_KINDS,
    alert_kind,
    alert_name,
    direct_kind,
    direct_view,
    ending_soon_at,
    is_living_copy,
    living_messages,
    living_name,
    living_view,
    may_still_be_identified,
    requester_of,
    short_view,
)
from bot.domain.shown.notes import blank_note, thread_notes, why_undone
from bot.domain.shown.reply_views import View
from bot.domain.shown.turns import escalates_at, escalation_notes, next_reminder, turn_notes
from bot.domain.shown.views import CardView, DirectKind, DirectView, NoteKind, NoteView
from bot.domain.surface import DeliveryState, Surface, SurfaceKind

TIME_OUT_GRACE = timedelta(seconds=5)  # AWS needs a moment to apply its own time-out before we read the request
LATE_FAILURE = timedelta(days=1)  # a failed request that is older when first seen is not shown


@dataclass(frozen=True, slots=True)
class Wanted:
    """One surface that Teams must show. An `overtaken` message is skipped unless it was sent before."""

    name: str
    kind: SurfaceKind
    view: View
    channel: Channel
    person: Person | None = None  # the recipient of a direct message
    overtaken: bool = False
    announces: tuple[str, ...] = ()  # the direct messages that are not sent if this one is posted

    @property
    def line(self) -> str:
        """The sequence in which it is delivered.

        One for the notes of a channel, one for all direct messages that are sent once, one for each message that is
        updated.
        """
        match self.kind:
            case SurfaceKind.CARD | SurfaceKind.LIVING:
                return self.name
            case SurfaceKind.NOTE:
                return f"{self.kind} {self.channel.name}"
            case SurfaceKind.DIRECT:
                return self.kind
            case _:
                assert_never(self.kind)

    @property
    def is_copy(self) -> bool:
        """True for a further copy of a message. Copies are updated, but never posted again."""
        return is_copy(self.name) or is_living_copy(self.name)

    @property
    def digest(self) -> str:
        """SHA-256 of the message's content: the view's facts, and the channel's language and time zone.

        Rows store it, and each card whose digest differs is updated. It therefore depends on no Python name of a class
        or an enum member, and a new field changes it only where the field differs from its default. Renaming a field
        of a view, or changing its default, updates each card once.
        """
        content = [_codes(self.view), self.channel.locale, self.channel.timezone]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _codes(value: object) -> object:
    """Return the value in the types of JSON: moments in ISO 8601, spans in seconds, views without default values."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case tuple():
            return [_codes(each) for each in value]
        case _ if is_dataclass(value):
            parts = ((each.name, getattr(value, each.name), each.default) for each in fields(value))
            return {name: _codes(part) for name, part, default in parts if part != default}
        case _:
            return value


def desired(
    record: Record, configuration: Configuration, now: datetime, *, in_place: bool = True
) -> tuple[Wanted, ...]:
    """Return everything that Teams must show for this row now, in the order in which it is delivered.

    If not `in_place`, a requester without a message that is updated in place gets one message for each state.
    """
    request = record.request
    if request is None or not _worth_showing(record, request, configuration, now):
        return ()
    cards = [
        Wanted(name, SurfaceKind.CARD, card_view(record, channel, configuration, now), channel)
        for name, channel in card_places(record, configuration)
    ]
    home = configuration.home(record)
    if home is None or request.auto_approved:  # nobody decided, and nobody needs to act
        return tuple(cards)
    notes, delivery_notes = _notes(record, home, cards, now), _delivery_notes(record, home)
    identified = not may_still_be_identified(record, now)
    directs = _requester_messages(record, home, configuration, now, in_place=in_place) if identified else []
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
    if request.auto_approved and not (record.cards or _shows_auto_approved(record, configuration)):
        return False
    if not request.status.ended or record.cards:
        return True
    if request.status is Status.FAILED:
        return request.requested_at is None or now - request.requested_at < LATE_FAILURE
    return request.status is Status.APPROVED and bool(request.access_until and request.access_until > now)


def _shows_auto_approved(record: Record, configuration: Configuration) -> bool:
    """True if the request's channel is certain, and shows requests that an auto-approval policy approves."""
    home = configuration.home(record)
    return home is not None and home.show_auto_approved and record.route is not None and record.route.settled


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


# --- messages to the requester --------------------------------------------------------------------------------------


def _requester_messages(
    record: Record, home: Channel, configuration: Configuration, now: datetime, *, in_place: bool
) -> list[Wanted]:
    """Return the messages to the requester: one that is updated in place and short ones, or one for each state.

    Each state has a message of its own if the requester is no known Teams user; if the row has no message that is
    updated in place, and `in_place` is False or the message on this state was already sent; or if the bot gave up
    updating.
    """
    kind, person = direct_kind(record, configuration, now), requester_of(record)
    if record.request is None or kind is None:
        return []
    due = Wanted(alert_name(kind), SurfaceKind.DIRECT, direct_view(record, kind, configuration), home, person)
    living = record.surface(living_name(person)) if person else None
    if living and living.delivery is not DeliveryState.IMPOSSIBLE:
        return _updated_messages(record, kind, due, living, now)
    if living or person is None or not in_place or _is_over(record.surface(due.name)):
        return _messages_sent_once(record, replace(due, name=_corrected_name(record, kind)), now)
    return _updated_messages(record, kind, due, None, now)


def _updated_messages(
    record: Record, kind: DirectKind, due: Wanted, living: Surface | None, now: datetime
) -> list[Wanted]:
    """Return the message that is updated in place, its copies, and the short messages beside it.

    `due` is the message about the current state. Its post notifies. An update does not, so a short message notifies
    beside it.
    """
    if due.person is None or not isinstance(due.view, DirectView):
        return []
    alert = alert_kind(record, kind, now)
    names = tuple(dict.fromkeys(alert_name(each) for each in (kind, alert) if each))
    view, name = living_view(due.view, record, now), living_name(due.person)
    message = replace(due, name=name, kind=SurfaceKind.LIVING, view=view, announces=names)
    copies = [replace(message, name=each.name) for each in living_messages(record, due.person) if each is not living]
    updated = living is not None and living.activity_id is not None
    short = []
    if alert and updated:
        short.append(replace(due, name=alert_name(alert), view=short_view(due.view, alert)))
    short += [
        replace(each, view=short_view(each.view, DirectKind.NOT_CANCELLED, detail=each.view.detail))
        for each in _failed_cancellations(record, due, now)
        if isinstance(each.view, DirectView)
    ]
    return [message, *copies, *_overtaken_messages(record, due, {*names, *(each.name for each in short)}), *short]


def _messages_sent_once(record: Record, due: Wanted, now: datetime) -> list[Wanted]:
    failed = _failed_cancellations(record, due, now)
    return [*_overtaken_messages(record, due, {due.name, *(want.name for want in failed)}), due, *failed]


def _overtaken_messages(record: Record, due: Wanted, names: Collection[str]) -> list[Wanted]:
    """Return direct messages that were started but are no longer wanted, so that they are skipped if not delivered."""
    begun = (surface.name for surface in record.surfaces if surface.kind is SurfaceKind.DIRECT)
    return [replace(due, name=name, overtaken=True) for name in begun if name not in names]


def _is_over(surface: Surface | None) -> bool:
    return surface is not None and surface.delivery in {DeliveryState.DELIVERED, DeliveryState.IMPOSSIBLE}


def _corrected_name(record: Record, kind: DirectKind) -> str:
    """Return the name of a message. Each name is sent once, so the correction of a message has its own name."""
    delivered = {each.name for each in record.surfaces if each.delivery is DeliveryState.DELIVERED}
    corrects = kind is DirectKind.WAITING and {alert_name(each) for each in WAITING_KINDS} <= delivered
    return f"{alert_name(kind)}:again" if corrects else alert_name(kind)


def _failed_cancellations(record: Record, due: Wanted, now: datetime) -> list[Wanted]:
    """Return direct messages on cancellations without effect; they offer Cancel again.

    A note is not enough: requesters may not see the thread.
    """
    view = due.view
    if not isinstance(view, DirectView) or not record.request or record.request.status is not Status.PENDING:
        return []
    failed = [(each, why_undone(record, each, now)) for each in record.decisions if each.verdict is Withdrawal.CANCEL]
    return [
        replace(due, name=f"dm:{each.id}", view=replace(view, kind=DirectKind.NOT_CANCELLED, detail=why))
        for each, why in failed
        if why
    ]
