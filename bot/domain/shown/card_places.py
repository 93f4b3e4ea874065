"""The cards of a request: which exist, in which channels, and the names of their surfaces.

No other module makes or parses surface names of cards. It must not know the contents of a card.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.domain.access.endings import Ending
from bot.domain.configuration import Configuration
from bot.domain.decision import Decision
from bot.domain.escalation import rules_in, second_channel
from bot.domain.record import Escalation, Record
from bot.domain.routing import Channel, same_conversation
from bot.domain.spans import CLOCKS_APART
from bot.domain.surface import DeliveryState, Surface, SurfaceKind

CARD: Final = "card:"
_MILLISECONDS: Final = re.compile(r"[0-9]{13}")
LATE_ROW = timedelta(minutes=5)  # if a row is so much younger than its request, a lost store may have had a card
MOST_KEPT_CARDS = 5  # cards of one request that are kept up to date; crashes leave fewer, so ids beyond it are forged


def card_name(channel: str, activity_id: str | None = None) -> str:
    """Return the surface name of a channel's card or, with an activity id, of a further copy of that card.

    A copy was posted by a process that could not store its activity id. Colons in a channel's name are written as
    `%3A`, so that the two kinds of names stay distinct.
    """
    name = CARD + channel.replace("%", "%25").replace(":", "%3A")
    return f"{name}:{activity_id}" if activity_id else name


def channel_of_card(name: str) -> str:
    """Return the channel's name from the surface name of a card or a copy."""
    channel = name.removeprefix(CARD).partition(":")[0]
    return channel.replace("%3A", ":").replace("%25", "%")


def is_copy(name: str) -> bool:
    """True for the surface name of a further copy of a card. Copies are updated, but never posted again."""
    return name.startswith(CARD) and ":" in name.removeprefix(CARD)


def is_place_of(record: Record, channel: Channel, conversation: str) -> bool:
    """True if the conversation is the channel's, or has this request's card of that channel."""
    places = (each.conversation for each in record.cards if channel_of_card(each.name) == channel.name)
    return any(same_conversation(each, conversation) for each in (channel.conversation, *places))


def card_places(record: Record, configuration: Configuration) -> list[tuple[str, Channel]]:
    """Return the surface name and the channel of every card that must be shown, the deciding channel's first.

    Cards in channels that were removed from the configuration are left out.
    """
    names = [card_name(record.route.channel)] if record.route else []
    names += [card.name for card in record.cards]
    names += [card_name(second.name) for second in second_channels(record, configuration)]
    names += [card_name(each.name) for each in configuration.channels if each.fallback and _needs_fallback_card(record)]
    known = [(name, configuration.channel(channel_of_card(name))) for name in dict.fromkeys(names)]
    return [(name, channel) for name, channel in known if channel]


def second_channels(record: Record, configuration: Configuration) -> list[Channel]:
    """Return the channels that the request was escalated to; none once it has ended: they get no new cards then."""
    found = (second_channel(record, configuration, each.step) for each in record.escalations)
    return [] if _has_ended(record) else [channel for channel in found if channel]


def deciding_channel(record: Record, configuration: Configuration, decision: Decision | Ending) -> Channel | None:
    """Return the channel of a decision or an ending, with its rules for this step; None if no channel decides.

    It counts as made in the request's own channel, unless its conversation is that of the second channel.
    """
    step, conversation = decision.step, decision.conversation
    home, second = configuration.home(record), second_channel(record, configuration, step)
    if home is None:
        return None
    if second and is_place_of(record, second, conversation) and not is_place_of(record, home, conversation):
        return second
    return rules_in(record, configuration, home.name, step) or home


def home_problem(record: Record) -> str | None:
    """Return the code of Teams' refusal of the card in the deciding channel.

    Return None if no refusal is known, or the bot gave the card up.
    """
    card = record.surface(card_name(record.route.channel)) if record.route else None
    return card.problem if card and card.delivery is not DeliveryState.IMPOSSIBLE else None


def _needs_fallback_card(record: Record) -> bool:
    """True if the request has not ended and Teams refuses its card in its own channel."""
    return home_problem(record) is not None and not _has_ended(record)


def _has_ended(record: Record) -> bool:
    return record.request is not None and record.request.status.ended


def may_have_more(record: Record) -> bool:
    """True if Teams may have a card that is not in the row, because the result of a post or the store's data was lost.

    If not, a click on an unknown card is forged. Adopting its card would overwrite the card of another request. So a
    row with MOST_KEPT_CARDS cards adopts no more.
    """
    asked_at = record.request.requested_at if record.request else None
    late = asked_at is not None and record.created_at - asked_at > LATE_ROW
    kept = [card for card in record.cards if card.delivery is not DeliveryState.IMPOSSIBLE]
    return len(kept) < MOST_KEPT_CARDS and (late or any(card.may_have_copies for card in record.cards))


def is_too_old_or_new(record: Record, activity_id: str) -> bool:
    """True for a message that was posted too early or too late to be a card of this request.

    False if its id does not say when it was posted.

    No card is older than its request. If every post is confirmed, only a card from before the store's loss can be
    missing in the row, and that card is older than the row.
    """
    posted_at, request = _posted_at(activity_id), record.request
    if posted_at is None:
        return False
    begun = min(record.created_at, (request and request.requested_at) or record.created_at)
    lost = any(card.may_have_copies for card in record.cards)
    return posted_at < begun - CLOCKS_APART or (not lost and posted_at > record.created_at + CLOCKS_APART)


def _posted_at(activity_id: str) -> datetime | None:
    # Assumed: the id is the moment of the post in milliseconds since 1970, as in all of Microsoft's examples. For other
    # ids, the moment is unknown. https://learn.microsoft.com/graph/api/chatmessage-get
    return datetime.fromtimestamp(int(activity_id) / 1000, UTC) if _MILLISECONDS.fullmatch(activity_id) else None


def with_adopted_card(record: Record, channel: str, conversation: str, activity_id: str) -> Record:
    """Add a card that is in Teams but not in the row: as the channel's card if it has none, else as a copy.

    Return the row unchanged if it has the card or cannot have more cards.
    """
    if any(card.activity_id == activity_id for card in record.cards) or not may_have_more(record):
        return record
    card = Surface(card_name(channel), SurfaceKind.CARD, DeliveryState.DELIVERED, conversation, activity_id)
    own = record.surface(card.name)
    if own is None:
        return record.with_surface(card)
    found = own.with_copy_found()
    if own.activity_id:
        return record.with_surface(found).with_surface(replace(card, name=card_name(channel, activity_id)))
    place = replace(found, conversation=conversation, activity_id=activity_id, delivery=DeliveryState.DELIVERED)
    # which of several posts this is, and so what it shows, is unknown
    return record.with_surface(replace(place, digest=None, problem=None, failures=0, refusals=0, retry_at=None))


def with_unknown_content(record: Record, channel: str) -> Record:
    """Mark the content of a channel's cards and their copies as unknown, so that each is updated once more.

    Cards without an id are left unchanged, because they cannot be updated. Call this after a clicked card without an id
    has been adopted (`with_adopted_card`).
    """
    shown = {card.name for card in record.cards if channel_of_card(card.name) == channel and card.activity_id}
    surfaces = (replace(each, digest=None) if each.name in shown else each for each in record.surfaces)
    return replace(record, surfaces=tuple(surfaces))


def renamed(record: Record, configuration: Configuration) -> Record:
    """Replace the channel names in the row by their current names. Channels are recognized by their conversation."""
    for surface in record.cards:
        channel = _new_name(channel_of_card(surface.name), surface.conversation, configuration)
        if channel:
            taken = record.surface(card_name(channel)) is not None  # two channels of the file were merged into one
            copy = surface.activity_id if taken or is_copy(surface.name) else None
            others = tuple(each for each in record.surfaces if each is not surface)
            record = replace(record, surfaces=others).with_surface(replace(surface, name=card_name(channel, copy)))
    record = replace(record, escalations=tuple(_renamed(each, configuration) for each in record.escalations))
    route = record.route
    moved = _new_name(route.channel, route.conversation, configuration) if route else None
    return replace(record, route=replace(route, channel=moved)) if route and moved else record


def _renamed(escalation: Escalation, configuration: Configuration) -> Escalation:
    name = _new_name(escalation.channel, escalation.conversation, configuration)
    return replace(escalation, channel=name) if name else escalation


def is_misplaced(record: Record, configuration: Configuration) -> bool:
    """True if the request's channel was removed from the configuration or renamed in it."""
    gone = record.route is not None and configuration.home(record) is None
    return gone or renamed(record, configuration) != record


def _new_name(name: str, conversation: str | None, configuration: Configuration) -> str | None:
    """Return a channel's new name; None if it was not renamed, or was removed."""
    if configuration.channel(name):
        return None
    here = (each.name for each in configuration.channels if same_conversation(each.conversation, conversation))
    return next(here, None)
