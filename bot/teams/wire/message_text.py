"""The text of a message to the bot, without mentions, and the language of the sender's client.

https://learn.microsoft.com/microsoftteams/platform/bots/how-to/conversations/channel-and-group-conversations
"""

import html
import re
from collections.abc import Iterator
from typing import Final

from bot.rendering.i18n import known_timezone, matching_locale
from bot.teams.wire.activity import Inbound

PERSONAL: Final = "personal"
LONGEST_ZONE: Final = 64  # characters; the longest name of a time zone has 32
LONGEST_TEXT: Final = 2000  # characters; the longest command has 20
_TAG: Final = re.compile(r"<at\b[^>]*>.*?</at>", re.IGNORECASE | re.DOTALL)


def message_text(inbound: Inbound) -> str:
    """Return the message's words, separated by single spaces; empty if it only mentions the bot or people.

    Teams encodes what people type as HTML, so each tag `<at>` is a mention. Names in tags are encoded as well, not
    always in the same way as in the entity, and one mention may have several tags.
    """
    text = (inbound.wire.text or "")[:LONGEST_TEXT]  # cut first, because the text is searched once per mention
    text = html.unescape(_TAG.sub(" ", text))
    for mention in _mentions_without_tag(inbound):
        text = text.replace(mention, " ", 1)
    return " ".join(text.split())  # split() also splits at U+00A0, which Teams writes after a mention, and at line ends


def _mentions_without_tag(inbound: Inbound) -> Iterator[str]:
    for entity in inbound.wire.entities or ():
        text = entity.get("text")
        if entity.get("type") != "mention" or not isinstance(entity.get("mentioned"), dict):
            continue
        if isinstance(text, str) and text and not _TAG.search(text):
            yield html.unescape(text)


def is_personal(inbound: Inbound) -> bool:
    """Return whether the activity comes from a personal chat with the bot."""
    return inbound.wire.conversation.conversation_type == PERSONAL


def stated_timezone(inbound: Inbound) -> str | None:
    """Return the time zone of the sender's client, an IANA name; None if it is not stated or not known."""
    name = inbound.raw.get("localTimezone")
    return known_timezone(name) if isinstance(name, str) and len(name) <= LONGEST_ZONE else None


def stated_locale(inbound: Inbound) -> str | None:
    """Return the locale of the sender's client if it is supported, else None."""
    return matching_locale(inbound.wire.locale or "")
