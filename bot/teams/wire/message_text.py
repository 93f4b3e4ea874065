"""What somebody wrote to the bot, without the mention of the bot; and in which language to answer.

Owns the text of a message on the wire. Does no I/O and knows no command.
https://learn.microsoft.com/microsoftteams/platform/bots/how-to/conversations/channel-and-group-conversations
"""

from collections.abc import Iterator
from typing import Final

from bot.rendering.i18n import LOCALES
from bot.teams.wire.activity import Inbound

PERSONAL: Final = "personal"
LONGEST_TEXT: Final = 2000  # characters; the longest command has 20


def message_text(inbound: Inbound) -> str:
    """Return the message's words with single blanks; empty if the bot was only mentioned."""
    text = (inbound.wire.text or "")[:LONGEST_TEXT]  # first of all: it is searched once for every mention
    for mention in _mentions_of_the_bot(inbound):
        text = text.replace(mention, " ", 1)
    # Teams writes the blank after a mention as an entity; split() also takes U+00A0 and line ends for blanks.
    return " ".join(text.replace("&nbsp;", " ").split())


def _mentions_of_the_bot(inbound: Inbound) -> Iterator[str]:
    for entity in inbound.wire.entities or ():
        mentioned, text = entity.get("mentioned"), entity.get("text")
        if entity.get("type") != "mention" or not isinstance(mentioned, dict) or not isinstance(text, str):
            continue
        if text and mentioned.get("id") == inbound.wire.recipient.id:
            yield text


def is_personal(inbound: Inbound) -> bool:
    """Tell whether the activity comes from somebody's own chat with the bot."""
    return inbound.wire.conversation.conversation_type == PERSONAL


def client_locale(inbound: Inbound) -> str:
    """Return the locale of the sender's client as far as there are words in it, else English."""
    return stated_locale(inbound) or LOCALES[0]


def stated_locale(inbound: Inbound) -> str | None:
    """Return the locale that the sender's client states, if there are words in it."""
    language = (inbound.wire.locale or "").partition("-")[0].casefold()
    return language if language in LOCALES else None
