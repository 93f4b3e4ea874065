"""The text of a message to the bot, without the mention of the bot, and the language of the sender's client.

https://learn.microsoft.com/microsoftteams/platform/bots/how-to/conversations/channel-and-group-conversations
"""

from collections.abc import Iterator
from typing import Final

from bot.rendering.i18n import LOCALES
from bot.teams.wire.activity import Inbound

PERSONAL: Final = "personal"
LONGEST_TEXT: Final = 2000  # characters; the longest command has 20


def message_text(inbound: Inbound) -> str:
    """Return the message's words, separated by single spaces; empty if it only mentions the bot."""
    text = (inbound.wire.text or "")[:LONGEST_TEXT]  # cut first, because the text is searched once per mention
    for mention in _mentions_of_the_bot(inbound):
        text = text.replace(mention, " ", 1)
    # Teams encodes the space after a mention as an entity; split() also splits at U+00A0 and line ends.
    return " ".join(text.replace("&nbsp;", " ").split())


def _mentions_of_the_bot(inbound: Inbound) -> Iterator[str]:
    for entity in inbound.wire.entities or ():
        mentioned, text = entity.get("mentioned"), entity.get("text")
        if entity.get("type") != "mention" or not isinstance(mentioned, dict) or not isinstance(text, str):
            continue
        if text and mentioned.get("id") == inbound.wire.recipient.id:
            yield text


def is_personal(inbound: Inbound) -> bool:
    """Return whether the activity comes from a personal chat with the bot."""
    return inbound.wire.conversation.conversation_type == PERSONAL


def client_locale(inbound: Inbound) -> str:
    """Return the locale of the sender's client if it is supported, else English."""
    return stated_locale(inbound) or LOCALES[0]


def stated_locale(inbound: Inbound) -> str | None:
    """Return the locale of the sender's client if it is supported, else None."""
    language = (inbound.wire.locale or "").partition("-")[0].casefold()
    return language if language in LOCALES else None
