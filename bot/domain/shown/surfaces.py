"""Computes what Teams must show for a row, and when that next changes without an event.

It selects the cards, notes and direct messages; `card.py` and `notes.py` fill the first two.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.configuration import Configuration
from bot.domain.identity import Person
from bot.domain.record import DeliveryState, Record, SurfaceKind
from bot.domain.request import AccessRequest, Status, Withdrawal
from bot.domain.routing import Channel
from bot.domain.shown.card import access_is_over, card_view, conflicting_policies, is_undecidable, node_lines
from bot.domain.shown.card_places import card_places
from bot.domain.shown.connecting import powershell_command, shell_command
from bot.domain.shown.decided import decision_lines
from bot.domain.shown.notes import blank_note, thread_notes, why_undone
from bot.domain.shown.reply_views import View
from bot.domain.shown.turns import next_reminder, turn_notes
from bot.domain.shown.views import CardView, DirectKind, DirectView, NoteKind, NoteView

TIME_OUT_GRACE = timedelta(seconds=5)  # AWS needs a moment to apply its own time-out before we read the request
IDENTIFYING_SPAN = timedelta(minutes=15)  # how long after the request's end a direct message waits for a new member
LOOKUP_SPAN = timedelta(hours=6)  # the same, while Teams does not return all rosters
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

    @property
    def line(self) -> str:
        """The sequence in which it is delivered: one for all notes, one for all direct messages, one for each card."""
        return self.name if self.kind is SurfaceKind.CARD else self.kind

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


def desired(record: Record, configuration: Configuration, now: datetime) -> tuple[Wanted, ...]:
    """Return everything that Teams must show for this row now, in the order in which it is delivered."""
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
    directs = [] if may_still_be_identified(record, now) else _directs(record, home, configuration, now)
    overtaken = _overtaken_notes(record, home, (*notes, *delivery_notes))
    return (*cards, *overtaken, *notes, *directs, *delivery_notes)


def next_change(record: Record, configuration: Configuration, now: datetime) -> datetime | None:
    """Return when the desired surfaces change by themselves next; None if they do not.

    That is when a reminder is due, shortly after the request's deadline, when its access ends, or when a person's mark
    as reviewer ends.
    """
    request, home = record.request, configuration.home(record)
    if request is None:
        return None
    moments = [
        next_reminder(record, home, now) if home else None,
        request.deadline + TIME_OUT_GRACE if request.deadline else None,
        request.access_until if request.status is Status.APPROVED else None,
        *(each.until for each in record.reviews if request.status is Status.PENDING),
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


# --- direct messages ---------------------------------------------------------------------------------------------

DIRECTS = {
    Status.PENDING: DirectKind.WAITING,
    Status.APPROVED: DirectKind.APPROVED,
    Status.REJECTED: DirectKind.REJECTED,
    Status.REVOKED: DirectKind.REVOKED,
    Status.TIMED_OUT: DirectKind.TIMED_OUT,
    Status.CANCELLED: DirectKind.CANCELLED,
    Status.FAILED: DirectKind.FAILED,
    Status.GONE: DirectKind.GONE,
}

_WAITING = frozenset({DirectKind.WAITING, DirectKind.UNDECIDABLE})


def may_still_be_identified(record: Record, now: datetime) -> bool:
    """True while a roster may still name the requester, who is unidentified or could not be looked up.

    While it is True, no direct message is due.
    """
    request, requester = record.request, record.requester
    may_be_found = requester is not None and requester.may_be_found
    if request is None or request.replica_of or (requester and requester.identified and not may_be_found):
        return False
    if not request.status.ended:
        return request.status is Status.PENDING
    ended_at = request.modified_at or record.observed_at
    return ended_at is not None and now < ended_at + (LOOKUP_SPAN if may_be_found else IDENTIFYING_SPAN)


def _directs(record: Record, home: Channel, configuration: Configuration, now: datetime) -> list[Wanted]:
    kind = direct_kind(record, configuration, now)
    if record.request is None or kind is None:
        return []
    person = record.requester.person if record.requester and record.requester.identified else None
    due = Wanted(_direct_name(record, kind), SurfaceKind.DIRECT, direct_view(record, kind, configuration), home, person)
    failed = _failed_cancellations(record, due, now)
    names = {due.name, *(want.name for want in failed)}
    claimed = (surface.name for surface in record.surfaces if surface.kind is SurfaceKind.DIRECT)
    overtaken = [replace(due, name=name, overtaken=True) for name in claimed if name not in names]
    return [*overtaken, due, *failed]


def _direct_name(record: Record, kind: DirectKind) -> str:
    """Return the name of a message. Each name is sent once, so the correction of a message has its own name."""
    delivered = {each.name for each in record.surfaces if each.delivery is DeliveryState.DELIVERED}
    corrects = kind is DirectKind.WAITING and {f"dm:{each}" for each in _WAITING} <= delivered
    return f"dm:{kind}:again" if corrects else f"dm:{kind}"


def direct_kind(record: Record, configuration: Configuration, now: datetime) -> DirectKind | None:
    """Return the kind of direct message that the requester must have now; None if none is due."""
    if record.request is None:
        return None
    home = configuration.home(record)
    if home and is_undecidable(record, home, configuration):
        return DirectKind.UNDECIDABLE
    return DirectKind.ENDED if access_is_over(record.request, now) else DIRECTS.get(record.request.status)


def _failed_cancellations(record: Record, due: Wanted, now: datetime) -> list[Wanted]:
    """Return direct messages on cancellations without effect; they offer Cancel again.

    A note is not enough: requesters may not see the thread.
    """
    view = due.view
    if not isinstance(view, DirectView) or view.kind not in _WAITING:
        return []
    failed = [(each, why_undone(record, each, now)) for each in record.decisions if each.verdict is Withdrawal.CANCEL]
    return [
        replace(due, name=f"dm:{each.id}", view=replace(view, kind=DirectKind.NOT_CANCELLED, detail=why))
        for each, why in failed
        if why
    ]


def direct_view(record: Record, kind: DirectKind, configuration: Configuration) -> DirectView:
    """Return the direct message to the requester; raise ValueError for a row without facts."""
    request = record.request
    if request is None:
        raise ValueError(record.key)
    approved = kind is DirectKind.APPROVED
    return DirectView(
        kind=kind,
        key=str(request.key),
        ops_item_id=request.key.ops_item_id,
        account=request.key.account,
        region=request.key.region,
        node_id=request.node.id,
        node_name=request.node.name,
        reason=request.reason,
        duration=request.duration,
        decisions=decision_lines(record),
        requested_at=request.requested_at,
        deadline=request.deadline,
        access_until=request.access_until if approved else None,
        commands=tuple(shell_command(request.key, node.id) for node in request.targets) if approved else (),
        powershell=tuple(powershell_command(request.key, node.id) for node in request.targets) if approved else (),
        conflicting_policies=conflicting_policies(record),
        cancel=_may_offer_cancel(record, configuration),
        home=record.route.channel if record.route and kind is DirectKind.UNDECIDABLE else None,
        nodes=node_lines(request),
        account_name=configuration.account_name(request.key.account),
        region_name=configuration.region_names.get(request.key.region),
    )


def _may_offer_cancel(record: Record, configuration: Configuration) -> bool:
    """True while the message offers Cancel. Whether the automation execution is known is checked at the click."""
    request = record.request
    if request is None or request.replica_of or configuration.cancel_role(request.key) is None:
        return False
    if request.status is not Status.PENDING:
        return False
    return not any(each.verdict is Withdrawal.CANCEL and each.announced for each in record.live_decisions)
