"""The requester's messages: which state each reports, when, and its contents.

One message per person is updated in place like a card; short ones notify. `requester_messages.py` decides which are
due.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bot.domain.abilities import Abilities
from bot.domain.configuration import Configuration
from bot.domain.decision import Outcome
from bot.domain.escalation import second_channel
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Status, Withdrawal
from bot.domain.rules.permission import can_be_revoked
from bot.domain.shown.buttons import can_end_sessions, has_open_session, is_undecidable
from bot.domain.shown.card import access_is_over, conflicting_policies, node_lines, reviewer_names
from bot.domain.shown.card_places import second_channels
from bot.domain.shown.connecting import powershell_command, shell_command
from bot.domain.shown.decided import decision_lines, was_given_back
from bot.domain.shown.usage import ending_line, usage_line
from bot.domain.shown.views import DirectKind, DirectView
from bot.domain.surface import DeliveryState, Surface, SurfaceKind

LIVING: Final = "living:"
IDENTIFYING_SPAN = timedelta(minutes=15)  # how long after the request's end a direct message waits for a new member
LOOKUP_SPAN = timedelta(hours=6)  # the same, while Teams does not return all rosters
ENDING_SOON = timedelta(minutes=10)  # how long before the end of the access its requester is notified
_WITH_END = frozenset({DirectKind.APPROVED, DirectKind.ENDING_SOON, DirectKind.ENDED})
SHORTEST_REMINDED = 2 * ENDING_SOON  # shorter access ends soon from the beginning

DIRECTS: Final = {
    Status.PENDING: DirectKind.WAITING,
    Status.APPROVED: DirectKind.APPROVED,
    Status.REJECTED: DirectKind.REJECTED,
    Status.REVOKED: DirectKind.REVOKED,
    Status.TIMED_OUT: DirectKind.TIMED_OUT,
    Status.CANCELLED: DirectKind.CANCELLED,
    Status.FAILED: DirectKind.FAILED,
    Status.GONE: DirectKind.GONE,
}
WAITING_KINDS: Final = frozenset({DirectKind.WAITING, DirectKind.UNDECIDABLE})
NOTIFIED: Final = frozenset(
    {
        *WAITING_KINDS,
        DirectKind.APPROVED,
        DirectKind.ENDING_SOON,
        DirectKind.REJECTED,
        DirectKind.TIMED_OUT,
        DirectKind.REVOKED,
        DirectKind.FAILED,
    }
)
"""Kinds with a short message of their own, which notifies. Requesters cancel, delete and give back themselves, and
ENDING_SOON announces the end of the access."""

_USED: Final = frozenset({DirectKind.APPROVED, DirectKind.ENDED, DirectKind.REVOKED, DirectKind.GIVEN_BACK})
_REFUSED_BY_AWS: Final = frozenset({Outcome.AWS_REFUSED, Outcome.AWS_DENIED})
_DECISIONS: Final = frozenset({DirectKind.APPROVED, DirectKind.REJECTED, DirectKind.REVOKED})


# --- names of surfaces


def living_name(person: Person, activity_id: str | None = None) -> str:
    """Return the surface name of a person's message or, with an activity id, of a further copy of that message.

    The name contains the person: if the requester turns out to be another person, that person gets a new message, and
    the first one is no longer updated with facts for the other.
    """
    name = LIVING + person.user
    return f"{name}:{activity_id}" if activity_id else name


def is_living_copy(name: str) -> bool:
    """True for a further copy of a requester's message. Copies are updated, but never posted again."""
    return name.startswith(LIVING) and ":" in name.removeprefix(LIVING)


def alert_name(kind: DirectKind) -> str:
    """Return the surface name of the direct message that notifies once about a state."""
    return f"dm:{kind}"


# --- when


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


def ending_soon_at(request: AccessRequest) -> datetime | None:
    """Return when the requester is notified that the access ends; None without an end, or if the access is short."""
    if request.status is not Status.APPROVED or request.access_until is None:
        return None
    short = request.duration is not None and request.duration < SHORTEST_REMINDED
    return None if short else request.access_until - ENDING_SOON


def direct_kind(record: Record, configuration: Configuration, now: datetime) -> DirectKind | None:
    """Return the kind of direct message that the requester must have now; None if none is due."""
    if record.request is None:
        return None
    deciding = [channel for channel in (configuration.home(record), *second_channels(record, configuration)) if channel]
    if deciding and all(is_undecidable(record, channel, configuration) for channel in deciding):
        return DirectKind.UNDECIDABLE
    if access_is_over(record.request, now):
        return DirectKind.ENDED
    return DirectKind.GIVEN_BACK if was_given_back(record) else DIRECTS.get(record.request.status)


def alert_kind(record: Record, kind: DirectKind, now: datetime) -> DirectKind | None:
    """Return the state that a short message must report now, beside a message of this kind; None if there is none."""
    soon = ending_soon_at(record.request) if record.request and kind is DirectKind.APPROVED else None
    if soon and soon <= now:
        return DirectKind.ENDING_SOON
    return kind if kind in NOTIFIED else None


# --- contents


def direct_view(record: Record, kind: DirectKind, configuration: Configuration) -> DirectView:
    """Return the direct message to the requester; raise ValueError for a row without facts."""
    request = record.request
    if request is None:
        raise ValueError(record.key)
    approved = kind is DirectKind.APPROVED
    view = DirectView(
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
        access_until=request.access_until if kind in _WITH_END else None,
        commands=tuple(shell_command(request.key, node.id) for node in request.targets) if approved else (),
        powershell=tuple(powershell_command(request.key, node.id) for node in request.targets) if approved else (),
        conflicting_policies=conflicting_policies(record),
        cancel=_may_offer_cancel(record, configuration),
        nodes=node_lines(request),
        account_name=configuration.account_name(request.key.account),
        region_name=configuration.region_names.get(request.key.region),
    )
    return _with_level(view, record, configuration) if request.status is Status.PENDING else view


def living_view(
    view: DirectView, record: Record, configuration: Configuration, now: datetime, *, abilities: Abilities
) -> DirectView:
    """Return the message that is updated in place: who is reviewing, what access was used for, and the way to end it.

    A message that is sent once would say it for ever.
    """
    if view.kind is DirectKind.APPROVED and abilities.give_back:
        refused = _is_give_back_refused(record)
        offered = not refused and _may_offer_give_back(record, configuration, now)
        view = replace(view, give_back=offered, give_back_refused=refused)
    if view.kind in _USED:
        used = replace(view, usage=usage_line(record, configuration, now), ending=ending_line(record))
        over = view.kind is not DirectKind.APPROVED and has_open_session(record)
        return replace(used, end_sessions=over and can_end_sessions(record, configuration, abilities))
    waiting = view.kind in {DirectKind.WAITING, DirectKind.LEVEL_PASSED}
    return replace(view, reviewers=reviewer_names(record, now), current=True) if waiting else view


def short_view(view: DirectView, kind: DirectKind, *, detail: str | None = None) -> DirectView:
    """Return the short message of this kind. It has no commands and no button, and of the decisions only the last."""
    decisions = view.decisions[-1:] if kind in _DECISIONS else ()
    plain = replace(view, cancel=False, commands=(), powershell=(), deciders=(), reviewers=(), current=False)
    return replace(plain, kind=kind, short=True, detail=detail, decisions=decisions)


def _with_level(view: DirectView, record: Record, configuration: Configuration) -> DirectView:
    """Add in which channels a waiting request is decided, who may decide it, and the level at which it waits."""
    home, request = configuration.home(record), record.request
    waiting = request.waiting if request else None
    if request is None or home is None or waiting is None:
        return replace(view, home=record.route.channel if record.route else None)
    number, of = request.levels.index(waiting) + 1, len(request.levels)
    passed = view.kind is DirectKind.WAITING and number > 1
    second = second_channel(record, configuration, waiting.step)
    return replace(
        view,
        kind=DirectKind.LEVEL_PASSED if passed else view.kind,
        home=home.name,
        second=second.name if second else None,
        level=(number, of) if of > 1 else None,
        deciders=home.approvers_at(waiting.step) if view.kind is DirectKind.WAITING else (),
    )


def _may_offer_cancel(record: Record, configuration: Configuration) -> bool:
    """True while the message offers Cancel. Whether the automation execution is known is checked at the click."""
    request = record.request
    if request is None or request.replica_of or configuration.cancel_role(request.key) is None:
        return False
    if request.status is not Status.PENDING:
        return False
    return not any(each.verdict is Withdrawal.CANCEL and each.announced for each in record.live_decisions)


def _may_offer_give_back(record: Record, configuration: Configuration, now: datetime) -> bool:
    """True while the message offers to give the access back: it runs, and no announced revocation is under way."""
    request = record.request
    if request is None or request.replica_of or configuration.give_back_role(request.key) is None:
        return False
    if not can_be_revoked(request, now):
        return False
    return not any(each.verdict is Withdrawal.REVOKE and each.announced for each in record.live_decisions)


def _is_give_back_refused(record: Record) -> bool:
    """True if AWS has refused that the requester gives this access back. Another click would change nothing."""
    return any(each.given_back and each.outcome in _REFUSED_BY_AWS for each in record.decisions)


# --- changes of the row


def requester_of(record: Record) -> Person | None:
    """Return the Teams user who made the request, if that is known for certain."""
    return record.requester.person if record.requester and record.requester.identified else None


def living_messages(record: Record, person: Person) -> tuple[Surface, ...]:
    """Return the surfaces of the message that is updated in place, and of its copies."""
    name = living_name(person)
    return tuple(each for each in record.surfaces if each.name == name or each.name.startswith(f"{name}:"))


def with_living_message(record: Record) -> Record:
    """Take over messages that were sent once, by an earlier version or during an upgrade: they are updated from now on.

    The last one is the requester's message, and the others are its copies. Their contents count as unknown. A row that
    has such a message already, of any person, or no message with an id, is returned unchanged.
    """
    person = requester_of(record)
    if person is None or record.has_unrecognized_surface(living_name(person)):
        return record
    if any(each.kind is SurfaceKind.LIVING for each in record.surfaces):
        return record
    sent = [each for each in record.surfaces if each.kind is SurfaceKind.DIRECT and _can_be_updated(each)]
    for number, each in enumerate(reversed(sent)):
        name = living_name(person, each.activity_id if number else None)
        record = record.with_surface(
            Surface(name, SurfaceKind.LIVING, DeliveryState.DELIVERED, each.conversation, each.activity_id)
        )
    return record


def with_unknown_messages(record: Record) -> Record:
    """Mark the content of the requester's messages as unknown, so that each is updated once more."""
    return replace(
        record,
        surfaces=tuple(
            replace(each, digest=None) if each.kind is SurfaceKind.LIVING else each for each in record.surfaces
        ),
    )


def _can_be_updated(surface: Surface) -> bool:
    delivered = surface.delivery is DeliveryState.DELIVERED
    return delivered and surface.conversation is not None and surface.activity_id is not None
