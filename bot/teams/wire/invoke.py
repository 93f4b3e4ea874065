"""Clicks on buttons: from an activity to a Click, and from an Answer to the response body.

Handles `adaptiveCard/action` and `Action.Submit`. The person comes only from the authenticated activity. The card's
data gives request, step, verb and comment; the services load every other fact themselves. Any body becomes a Click or
NotAClick.
https://learn.microsoft.com/adaptive-cards/authoring-cards/universal-action-model
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from bot.service.clicks.click import Answer, Click, Verb
from bot.teams.wire.activity import Inbound
from bot.teams.wire.message_text import is_personal, stated_locale, stated_timezone
from bot.teams.wire.outgoing import Json, card_answer, error_answer, text_answer
from bot.teams.wire.people import sender

INVOKE: Final = "invoke"
CARD_ACTION: Final = "adaptiveCard/action"
"""Name of the invoke that Action.Execute sends."""
LONGEST_REQUEST: Final = 100  # characters; `account/region/oi-…` has about 45
LONGEST_STEP: Final = 128  # characters; the limit for the name of an automation step
LONGEST_ID: Final = 512  # characters of an id from Teams, which rows store; a channel's thread has about 100
LONGEST_COMMENT: Final = 2000  # characters; the card's field allows fewer
COMMENTS: Final = ("comment", "approval_comment")  # the ids of comment fields; only one of a card is open at a click

_ACTION_TYPES: Final = frozenset({"Action.Execute", "Action.Submit"})


class Rejection(StrEnum):
    """The reason why an activity is not a valid click."""

    VALUE = "value"  # not an object, or without an action
    VERB = "verb"  # missing, unknown, or two different ones
    REQUEST = "request"
    STEP = "step"
    COMMENT = "comment"
    PLACE = "place"  # the id of the conversation or the card is too long
    PERSON = "person"  # the sender has no Entra object id
    AUTOMATIC = "automatic"  # an automatic refresh with the verb of a button


class NotAClick(ValueError):
    """The activity is not a valid click."""

    def __init__(self, reason: Rejection) -> None:
        super().__init__(reason.value)
        self.reason = reason


def is_submit(inbound: Inbound) -> bool:
    """Return whether a message is an Action.Submit: it has a value and no text."""
    return inbound.wire.value is not None and not (inbound.wire.text or "").strip()


def is_automatic(inbound: Inbound) -> bool:
    """Return whether a client sent the activity by itself, to refresh a card that it shows."""
    wire = inbound.wire
    if wire.type != INVOKE:
        return False
    return wire.name == CARD_ACTION and isinstance(wire.value, dict) and wire.value.get("trigger") == "automatic"


def read_click(inbound: Inbound) -> Click:
    """Return the click in an invoke or a message. Raises NotAClick."""
    value = _object(inbound.wire.value, Rejection.VALUE)
    action, data = _parts(value)
    person = sender(inbound)
    if person is None:
        raise NotAClick(Rejection.PERSON)
    verb = _verb(action, data)
    if is_automatic(inbound) and verb is not Verb.REFRESH:
        raise NotAClick(Rejection.AUTOMATIC)
    return Click(
        person=person,
        conversation=_id(inbound.wire.conversation.id),
        verb=verb,
        request=_text(data, "request", LONGEST_REQUEST, Rejection.REQUEST),
        step=_text(data, "step", LONGEST_STEP, Rejection.STEP),
        comment=_comment(data),
        activity_id=_id(inbound.wire.reply_to_id or "") or None,
        locale=stated_locale(inbound),
        timezone=stated_timezone(inbound),
        received_at=inbound.received_at,
        personal=is_personal(inbound),
        manual=value.get("trigger") == "manual",
    )


def _id(text: str) -> str:
    if len(text) > LONGEST_ID:
        raise NotAClick(Rejection.PLACE)
    return text


def _parts(value: Json) -> tuple[Json, Json]:
    """Return the action and its data; {} for the action of a message whose value is the data alone.

    Raises NotAClick.
    """
    if "action" not in value:
        return {}, value
    action = _object(value["action"], Rejection.VALUE)
    if str(action.get("type", "Action.Execute")) not in _ACTION_TYPES:
        raise NotAClick(Rejection.VALUE)
    return action, _object(action.get("data", {}), Rejection.VALUE)


def _verb(action: Json, data: Json) -> Verb:
    """Return the verb. Action.Execute has it beside the data, Action.Submit inside the data. Raises NotAClick."""
    named = [source["verb"] for source in (action, data) if source.get("verb") not in (None, "")]
    if not named or any(each != named[0] for each in named):
        raise NotAClick(Rejection.VERB)
    try:
        return Verb(named[0])
    except ValueError:
        raise NotAClick(Rejection.VERB) from None


def _comment(data: Json) -> str:
    """Return the first comment that is not empty. Raises NotAClick if one is no text."""
    comments = [data[name] for name in COMMENTS if data.get(name) is not None]
    if not all(isinstance(each, str) for each in comments):
        raise NotAClick(Rejection.COMMENT)
    return next((each[:LONGEST_COMMENT] for each in comments if each), "")


def _text(data: Json, key: str, limit: int, rejection: Rejection) -> str:
    value = data.get(key, "")
    if not isinstance(value, str) or len(value) > limit:
        raise NotAClick(rejection)
    return value


def _object(value: Any, rejection: Rejection) -> Json:
    if not isinstance(value, dict):
        raise NotAClick(rejection)
    return value


def click_response(answer: Answer) -> Json:
    """Return the response body for a click: the card if there is one, else the notice's text."""
    return text_answer(answer.text) if answer.card is None else card_answer(answer.card)


def refresh_response(card: Mapping[str, object] | None) -> Json:
    """Return the response body for an automatic refresh. Without a card, the client keeps the one that it shows."""
    return card_answer(card) if card else error_answer("NotRefreshed", "The card was not refreshed.", status=404)


def rejection_response(error: NotAClick) -> Json:
    """Return the response body for an invalid click. It repeats none of the input."""
    return error_answer("BadRequest", f"This button is not understood ({error.reason}).")
