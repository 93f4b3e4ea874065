"""Automatic refresh of cards, which Teams has and the Playground lacks: each person that a card names gets a view.

Pure functions. The card keeps its viewers in a member that no renderer knows: below a card with `userIds`, the
Playground writes that it supports no views. The pages (`playground_window`) ask the bot as Teams does, when they show
the card and at each update. Teams asks at most once a minute; the pages have no such limit.

https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/universal-actions-for-adaptive-cards/user-specific-views
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.sandbox.teams.people import PLACES, Person

CARD_TYPE: Final = "application/vnd.microsoft.card.adaptive"
VIEWERS: Final = "viewers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """What a page needs to ask for a person's view of a card. `viewers` are `29:` ids, `bot` is the `28:` id."""

    bot: str
    thread: str
    message: str
    viewers: frozenset[str]
    action: Mapping[str, Any]

    def activity(self, person: Person) -> dict[str, Any]:
        """Return the invoke that Teams sends for this person."""
        return {
            "type": "invoke",
            "name": "adaptiveCard/action",
            "from": {"id": person.mri},
            "recipient": {"id": self.bot},
            "conversation": {"id": self.thread, "conversationType": "channel", "isGroup": True},
            "channelData": {"team": {"id": PLACES.team}, "channel": {"id": PLACES.channel}},
            "replyToId": self.message,
            "value": {"action": self.action, "trigger": "automatic"},
        }


def viewers_of(card: Mapping[str, Any]) -> list[Any]:
    """Return the ids of the people that a card names for a refresh."""
    named = as_object(card.get("refresh")).get("userIds")
    return named if isinstance(named, list) else []


def without_user_ids(card: dict[str, Any]) -> dict[str, Any]:
    """Return a card with its viewers in the member VIEWERS instead of the refresh."""
    return card | {"refresh": as_object(card.get("refresh")) | {"userIds": []}, VIEWERS: viewers_of(card)}


def refresh_of(content: Mapping[str, Any]) -> Refresh | None:
    """Return how to refresh the card of a message of the Playground's stream; None if it names no viewers."""
    message = as_object(content.get("message"))
    cards = (as_object(as_object(each).get("content")) for each in message.get("attachments") or [])
    card = next((each for each in cards if each.get(VIEWERS)), None)
    if card is None:
        return None
    channel, subject = str(content.get("actionConversationId", "")), str(message.get("messageId", ""))
    return Refresh(
        bot=str(as_object(message.get("from")).get("id", "")),
        thread=f"{channel};messageid={subject}",
        message=subject,
        viewers=frozenset(card[VIEWERS]),
        action=as_object(as_object(card.get("refresh")).get("action")),
    )


def with_view(text: str, answer: Any) -> str:
    """Return a message of the stream with the card of the bot's answer; the same message if that is no card."""
    view = as_object(answer)
    if view.get("type") != CARD_TYPE or not isinstance(view.get("value"), dict):
        return text
    content = json.loads(text)
    content["message"]["attachments"] = [{"contentType": CARD_TYPE, "content": without_user_ids(view["value"])}]
    return json.dumps(content)


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one for any other value."""
    return value if isinstance(value, dict) else {}
