"""Which cards a request has and in which channels: the names of their surfaces, and who stands in for whom.

The one place that knows how a card's surface is named. Knows nothing of what a card shows.
"""

from collections.abc import Mapping
from typing import Final

from bot.domain.record import Delivery, Record, SurfaceKind
from bot.domain.routing import Channel

CARD: Final = "card:"


def card_name(channel: str, activity_id: str | None = None) -> str:
    """Return the surface name of the card that is posted in a channel; with an activity id, that of a further copy.

    A copy was posted by a process that could not note it down. Colons in a channel's name are written `%3A`, so that
    neither can be taken for the other.
    """
    name = CARD + channel.replace("%", "%25").replace(":", "%3A")
    return f"{name}:{activity_id}" if activity_id else name


def channel_of_card(name: str) -> str:
    """Return the channel's name that a card's surface name holds."""
    channel = name.removeprefix(CARD).partition(":")[0]
    return channel.replace("%3A", ":").replace("%25", "%")


def is_copy(name: str) -> bool:
    """True for a further copy: it is updated while it is there, and never posted."""
    return ":" in name.removeprefix(CARD)


def card_places(record: Record, channels: Mapping[str, Channel]) -> list[tuple[str, Channel]]:
    """Return the surface name and the channel of every card that must be shown, the deciding channel's first."""
    names = [card_name(record.route.channel)] if record.route else []
    names += [surface.name for surface in record.surfaces if surface.kind is SurfaceKind.CARD]
    names += [card_name(each.name) for each in channels.values() if each.fallback and _needs_stand_in(record)]
    known = [(name, channels.get(channel_of_card(name))) for name in dict.fromkeys(names)]
    return [(name, channel) for name, channel in known if channel]


def home_problem(record: Record) -> str | None:
    """Return why the card cannot be shown where the request is decided, None while it can as far as is known."""
    card = record.surface(card_name(record.route.channel)) if record.route else None
    return card.problem if card and card.delivery is not Delivery.IMPOSSIBLE else None


def _needs_stand_in(record: Record) -> bool:
    """A request that waits must be seen by somebody; one that has ended asks for nothing."""
    ended = record.request is not None and record.request.status.ended
    return home_problem(record) is not None and not ended
