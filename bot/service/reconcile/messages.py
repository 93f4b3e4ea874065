"""Words what Teams must show: a surface's view as a message, and the digest that tells its contents apart."""

import hashlib

from bot.domain.shown.surfaces import Wanted
from bot.ports.teams import Message
from bot.rendering import render, summary


def message_of(want: Wanted, *, alert: bool, brief: bool = False) -> Message:
    """Return the message in its channel's locale and time zone; `brief`: as short as it can be."""
    channel = want.channel
    card = render(want.view, locale=channel.locale, timezone=channel.timezone, brief=brief)
    return Message(card, summary(want.view, locale=channel.locale), alert=alert)


def digest_of(want: Wanted) -> str:
    """Return what tells two contents of a surface apart; views are frozen, so their repr is their content."""
    content = repr((want.view, want.channel.locale, want.channel.timezone))
    return hashlib.sha256(content.encode()).hexdigest()
