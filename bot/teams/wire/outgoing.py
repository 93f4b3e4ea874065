"""The JSON of messages and of responses to an invoke."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

from bot.concurrency.kept_results import KeptResults
from bot.ports.teams import Message

CARD: Final = "application/vnd.microsoft.card.adaptive"
TEXT: Final = "application/vnd.microsoft.activity.message"
ERROR: Final = "application/vnd.microsoft.error"

Json = dict[str, Any]
CARDS_KEPT: Final = 64  # as many as `bot.rendering.render` keeps: it returns the same object for equal views
_CARDS: Final[KeptResults[bytes]] = KeptResults(CARDS_KEPT)


def as_activity(message: Message) -> Json:
    """Return the activity of a message. Notifications show `summary`.

    The activity has a card and no text: Teams would split them into two messages and return no id.
    """
    activity: Json = {
        "type": "message",
        "summary": message.summary,
        "attachments": [{"contentType": CARD, "content": message.card}],
    }
    if message.alert:
        activity["channelData"] = {"notification": {"alert": True}}
    return activity


# Responses to an invoke. The status inside is the protocol's; the HTTP status is always 200.
# https://learn.microsoft.com/adaptive-cards/authoring-cards/universal-action-model#response-format


def card_answer(card: Mapping[str, object]) -> Json:
    """Return the response that replaces the card for the person who clicked."""
    return {"statusCode": 200, "type": CARD, "value": card}


def text_answer(text: str) -> Json:
    """Return the response that keeps the card and shows a line of text."""
    return {"statusCode": 200, "type": TEXT, "value": text}


def error_answer(code: str, message: str, *, status: int = 400) -> Json:
    """Return the response that shows an error on the card. `status` is 400 for an invalid click, 500 for a failure."""
    return {"statusCode": status, "type": ERROR, "value": {"code": code, "message": message}}


def answer_json(answer: Any) -> bytes:
    """Return a response as JSON. That of a card is kept: many people get the same card, and nobody changes it."""
    if not isinstance(answer, dict) or answer.get("type") != CARD:
        return to_json(answer)
    card = answer["value"]
    head = to_json({name: value for name, value in answer.items() if name != "value"})
    return b'%b,"value":%b}' % (head[:-1], _CARDS.get(lambda: to_json(card), card))
