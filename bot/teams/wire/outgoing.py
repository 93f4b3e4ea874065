"""Messages and answers as Teams takes them: plain JSON, made without I/O.

Owns the wire shapes of what the bot says. Knows no card's content and nobody who reads it.
"""

from typing import Any, Final

from bot.ports.teams import Message

CARD: Final = "application/vnd.microsoft.card.adaptive"
TEXT: Final = "application/vnd.microsoft.activity.message"
ERROR: Final = "application/vnd.microsoft.error"

Json = dict[str, Any]


def as_activity(message: Message) -> Json:
    """Return the activity of a message: the card alone, because Teams splits text from card and then names no id.

    `summary` is what a notification shows.
    """
    activity: Json = {
        "type": "message",
        "summary": message.summary,
        "attachments": [{"contentType": CARD, "content": message.card}],
    }
    if message.alert:
        activity["channelData"] = {"notification": {"alert": True}}
    return activity


# Answers to an invoke; the status inside is the protocol's own, the HTTP status is always 200.
# https://learn.microsoft.com/adaptive-cards/authoring-cards/universal-action-model#response-format


def card_answer(card: Json) -> Json:
    """Return the answer that puts a card in the place of the clicker's."""
    return {"statusCode": 200, "type": CARD, "value": card}


def text_answer(text: str) -> Json:
    """Return the answer that leaves the card and shows a line."""
    return {"statusCode": 200, "type": TEXT, "value": text}


def error_answer(code: str, message: str) -> Json:
    """Return the answer that shows an error on the card."""
    return {"statusCode": 400, "type": ERROR, "value": {"code": code, "message": message}}
