"""Presses of a button: from an activity to a Click, from an Answer to the body of the invoke's response. Sans-IO.

Owns the wire shapes of `adaptiveCard/action` and of `Action.Submit`. The person comes from the signed activity alone;
of what the card carries only request, step, verb and comment are taken, and each is looked up anew by whoever decides.
A body either becomes a Click or raises NotAClick, whatever it holds.
https://learn.microsoft.com/adaptive-cards/authoring-cards/universal-action-model
"""

from enum import StrEnum
from typing import Any, Final

from bot.service.clicks.click import Answer, Click, Verb
from bot.teams.wire.activity import Inbound
from bot.teams.wire.message_text import stated_locale
from bot.teams.wire.outgoing import Json, card_answer, error_answer, text_answer
from bot.teams.wire.people import sender

CARD_ACTION: Final = "adaptiveCard/action"
"""Name of the invoke that an Action.Execute sends."""
LONGEST_REQUEST: Final = 100  # characters; `account/region/oi-…` has about 45
LONGEST_STEP: Final = 128  # characters; the longest name that a step of an automation may have
LONGEST_ID: Final = 512  # characters of an id that Teams gives; a channel's thread has about 100. Rows hold it
LONGEST_COMMENT: Final = 2000  # characters; the field on the card takes fewer

_ACTION_TYPES: Final = frozenset({"Action.Execute", "Action.Submit"})


class Oddity(StrEnum):
    """Why something is no press of one of our buttons; for the log."""

    VALUE = "value"  # no object, or no action in it
    VERB = "verb"  # none, none of ours, or two that differ
    REQUEST = "request"
    STEP = "step"
    COMMENT = "comment"
    PLACE = "place"  # the conversation or the card has an id that Teams does not give
    PERSON = "person"  # nobody that Entra knows
    AUTOMATIC = "automatic"  # a client refreshed by itself; nobody pressed anything


class NotAClick(ValueError):
    """The activity is no press of one of our buttons."""

    def __init__(self, reason: Oddity) -> None:
        super().__init__(reason.value)
        self.reason = reason


def is_submit(inbound: Inbound) -> bool:
    """Tell whether a message is an Action.Submit: it carries a value and no words."""
    return inbound.wire.value is not None and not (inbound.wire.text or "").strip()


def read_click(inbound: Inbound) -> Click:
    """Return the press of a button in an invoke or in a message; raise NotAClick."""
    value = _object(inbound.wire.value, Oddity.VALUE)
    action, data = _parts(value)
    person = sender(inbound)
    if person is None:
        raise NotAClick(Oddity.PERSON)
    verb = _verb(action, data)
    if value.get("trigger") == "automatic" and verb is not Verb.REFRESH:
        raise NotAClick(Oddity.AUTOMATIC)
    return Click(
        person=person,
        conversation=_id(inbound.wire.conversation.id),
        verb=verb,
        request=_text(data, "request", LONGEST_REQUEST, Oddity.REQUEST),
        step=_text(data, "step", LONGEST_STEP, Oddity.STEP),
        comment=_comment(data),
        activity_id=_id(inbound.wire.reply_to_id or "") or None,
        locale=stated_locale(inbound),
    )


def _id(text: str) -> str:
    if len(text) > LONGEST_ID:
        raise NotAClick(Oddity.PLACE)
    return text


def _parts(value: Json) -> tuple[Json, Json]:
    """Return the action and its data. A message's value is the data itself, or has the action around it too."""
    if "action" not in value:
        return {}, value
    action = _object(value["action"], Oddity.VALUE)
    if str(action.get("type", "Action.Execute")) not in _ACTION_TYPES:
        raise NotAClick(Oddity.VALUE)
    return action, _object(action.get("data", {}), Oddity.VALUE)


def _verb(action: Json, data: Json) -> Verb:
    """Return the one verb that is named: beside the data by Action.Execute, within it by Action.Submit."""
    named = [source["verb"] for source in (action, data) if source.get("verb") not in (None, "")]
    if not named or any(each != named[0] for each in named):
        raise NotAClick(Oddity.VERB)
    try:
        return Verb(named[0])
    except ValueError:
        raise NotAClick(Oddity.VERB) from None


def _comment(data: Json) -> str:
    comment = data.get("comment")
    if comment is None:
        return ""
    if not isinstance(comment, str):
        raise NotAClick(Oddity.COMMENT)
    return comment[:LONGEST_COMMENT]


def _text(data: Json, key: str, limit: int, oddity: Oddity) -> str:
    value = data.get(key, "")
    if not isinstance(value, str) or len(value) > limit:
        raise NotAClick(oddity)
    return value


def _object(value: Any, oddity: Oddity) -> Json:
    if not isinstance(value, dict):
        raise NotAClick(oddity)
    return value


def response_to(answer: Answer) -> Json:
    """Return the body of the response to a click: the card if there is one, else the notice's words."""
    return text_answer(answer.text) if answer.card is None else card_answer(answer.card)


def response_to_oddity(oddity: NotAClick) -> Json:
    """Return the body of the response to what is no click; it names no content."""
    return error_answer("BadRequest", f"This button is not understood ({oddity.reason}).")
