"""Which messages the requester must have: one that is updated in place, and short ones; or one for each state."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from bot.domain.abilities import Abilities
from bot.domain.configuration import Configuration
from bot.domain.record import Record
from bot.domain.request import Status, Withdrawal
from bot.domain.routing import Channel
from bot.domain.shown.direct import (
    WAITING_KINDS,
    alert_kind,
    alert_name,
    direct_kind,
    direct_view,
    living_messages,
    living_name,
    living_view,
    requester_of,
    short_view,
)
from bot.domain.shown.notes import why_undone
from bot.domain.shown.views import DirectKind, DirectView
from bot.domain.shown.wanted import Wanted
from bot.domain.surface import DeliveryState, Surface, SurfaceKind


def requester_messages(
    record: Record, home: Channel, configuration: Configuration, now: datetime, *, abilities: Abilities
) -> list[Wanted]:
    """Return the messages to the requester: one that is updated in place and short ones, or one for each state.

    Each state has a message of its own if the requester is no known Teams user; if the row has no message that is
    updated in place, and the bot lacks the ability or the message on this state was already sent; or if the bot gave up
    updating.
    """
    kind, person = direct_kind(record, configuration, now), requester_of(record)
    if record.request is None or kind is None:
        return []
    view = direct_view(record, kind, configuration)
    due = Wanted(alert_name(kind), SurfaceKind.DIRECT, view, home, person)
    living = record.surface(living_name(person)) if person else None
    gave_up = living is not None and living.delivery is DeliveryState.IMPOSSIBLE
    unknown = person is None or not abilities.living_messages or _is_over(record.surface(due.name))
    if gave_up or (living is None and unknown):
        return _messages_sent_once(record, replace(due, name=_corrected_name(record, kind)), now)
    updated = living_view(view, record, configuration, now, abilities=abilities)
    return _updated_messages(record, kind, due, living, view=updated, now=now)


def _updated_messages(
    record: Record, kind: DirectKind, due: Wanted, living: Surface | None, *, view: DirectView, now: datetime
) -> list[Wanted]:
    """Return the message that is updated in place (`view`), its copies, and the short messages beside it.

    `due` is the message about the current state. Its post notifies. An update does not, so a short message notifies
    beside it.
    """
    if due.person is None or not isinstance(due.view, DirectView):
        return []
    alert = alert_kind(record, kind, now)
    names = tuple(dict.fromkeys(alert_name(each) for each in (kind, alert) if each))
    message = replace(due, name=living_name(due.person), kind=SurfaceKind.LIVING, view=view, announces=names)
    copies = [replace(message, name=each.name) for each in living_messages(record, due.person) if each is not living]
    updated = living is not None and living.activity_id is not None
    short = []
    if alert and updated:
        short.append(replace(due, name=alert_name(alert), view=short_view(due.view, alert)))
    short += [
        replace(each, view=short_view(each.view, each.view.kind, detail=each.view.detail))
        for each in _failed_withdrawals(record, due, now)
        if isinstance(each.view, DirectView)
    ]
    return [message, *copies, *_overtaken_messages(record, due, {*names, *(each.name for each in short)}), *short]


def _messages_sent_once(record: Record, due: Wanted, now: datetime) -> list[Wanted]:
    failed = _failed_withdrawals(record, due, now)
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


_POSSIBLE: Final[Mapping[Status, tuple[Withdrawal, DirectKind]]] = {
    Status.PENDING: (Withdrawal.CANCEL, DirectKind.NOT_CANCELLED),
    Status.APPROVED: (Withdrawal.GIVE_BACK, DirectKind.NOT_GIVEN_BACK),
}
"""What requesters may do in a state, and the message if that had no effect."""


def _failed_withdrawals(record: Record, due: Wanted, now: datetime) -> list[Wanted]:
    """Return direct messages on the requester's own decisions that had no effect, while another could have one.

    A note is not enough: requesters may not see the thread.
    """
    view, possible = due.view, _POSSIBLE.get(record.request.status) if record.request else None
    if not isinstance(view, DirectView) or possible is None or view.kind is DirectKind.ENDED:
        return []
    action, kind = possible
    failed = [(each, why_undone(record, each, now)) for each in record.decisions if each.action is action]
    return [
        replace(due, name=f"dm:{each.id}", view=replace(view, kind=kind, detail=why)) for each, why in failed if why
    ]
