"""Activities as Teams sends them, as plain JSON objects."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.people import APP_ID, BOT_NAME, TENANT_ID, Person

Json = dict[str, Any]
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The conversation of an activity: its id, kind, team and tenant."""

    id: str
    """A channel's thread has `;messageid=…` at its end."""
    kind: str
    """`channel`, `personal` or `groupChat`."""
    team: str | None = None
    tenant_id: str = TENANT_ID

    @property
    def channel(self) -> str:
        return self.id.partition(";")[0]

    @property
    def root(self) -> str | None:
        return self.id.partition(";messageid=")[2] or None

    def as_conversation(self) -> Json:
        group = {} if self.kind == "personal" else {"isGroup": True}
        return {**group, "conversationType": self.kind, "tenantId": self.tenant_id, "id": self.id}

    def as_channel_data(self) -> Json:
        data: Json = {"tenant": {"id": self.tenant_id}}
        if self.kind == "channel":
            data |= {"team": {"id": self.team}, "channel": {"id": self.channel}}
        return data


def activity(kind: str, *, sender: Person, place: Place, service_url: str, **fields: Any) -> Json:
    """Return any activity. `fields` replace or add members; None removes one."""
    body = {
        "type": kind,
        "id": f"f:{next(_numbers):08d}",
        "timestamp": "2026-11-23T09:00:00.000Z",
        "channelId": "msteams",
        "serviceUrl": service_url,
        "from": {"id": sender.id, "name": sender.name, "aadObjectId": sender.object_id},
        "conversation": place.as_conversation(),
        "recipient": {"id": f"28:{APP_ID}", "name": BOT_NAME},
        "channelData": place.as_channel_data(),
        "locale": "en-US",
        "localTimezone": "UTC",
    }
    return {name: value for name, value in {**body, **fields}.items() if value is not None}


def message(text: str, /, *, sender: Person, place: Place, service_url: str, **fields: Any) -> Json:
    """Return a message to the bot. In channels and group chats, it has the mention of the bot."""
    tag = f"<at>{BOT_NAME}</at>"
    mention = {"type": "mention", "text": tag, "mentioned": {"id": f"28:{APP_ID}", "name": BOT_NAME}}
    mentioned = {"text": f"{tag} {text}", "entities": [mention]} if place.kind != "personal" else {"text": text}
    return activity(
        "message",
        sender=sender,
        place=place,
        service_url=service_url,
        **{"textFormat": "plain", **mentioned, **fields},
    )


def submitted(value: Mapping[str, Any], *, sender: Person, place: Place, service_url: str, **fields: Any) -> Json:
    """Return the message of an Action.Submit: it has a value and no text."""
    return activity("message", sender=sender, place=place, service_url=service_url, value=dict(value), **fields)


def invoke(
    verb: str,
    data: Mapping[str, Any],
    *,
    sender: Person,
    place: Place,
    service_url: str,
    reply_to: str | None = None,
    trigger: str | None = None,
    **fields: Any,
) -> Json:
    """Return the invoke of an Action.Execute. `data` is the button's data with the card's inputs."""
    value: Json = {"action": {"type": "Action.Execute", "title": verb, "verb": verb, "data": dict(data)}}
    if trigger is not None:
        value["trigger"] = trigger
    fixed: Json = {"name": "adaptiveCard/action", "value": value, "replyToId": reply_to or place.root}
    return activity("invoke", sender=sender, place=place, service_url=service_url, **{**fixed, **fields})


def installation(action: str, *, sender: Person, place: Place, service_url: str, **fields: Any) -> Json:
    """Return an installationUpdate. `action` is `add`, `remove`, `add-upgrade` or `remove-upgrade`."""
    return activity("installationUpdate", sender=sender, place=place, service_url=service_url, action=action, **fields)


def membership(
    *,
    sender: Person,
    place: Place,
    service_url: str,
    added: Iterable[Person] = (),
    removed: Iterable[Person] = (),
    bot_added: bool = False,
    **fields: Any,
) -> Json:
    """Return a conversationUpdate for people who joined or left, or for the bot that joined."""
    joined = [{"id": person.id, "aadObjectId": person.object_id} for person in added]
    joined += [{"id": f"28:{APP_ID}"}] if bot_added else []
    left = [{"id": person.id, "aadObjectId": person.object_id} for person in removed]
    event = "teamMemberRemoved" if left else "teamMemberAdded"
    data = {**place.as_channel_data(), "eventType": event}
    fixed = {"membersAdded": joined or None, "membersRemoved": left or None, "channelData": data}
    return activity("conversationUpdate", sender=sender, place=place, service_url=service_url, **{**fixed, **fields})


def channel_event(event: str, *, sender: Person, place: Place, service_url: str, **fields: Any) -> Json:
    """Return a conversationUpdate without members, such as `channelUnshared` or `teamUnarchived`."""
    data = {**place.as_channel_data(), "eventType": event}
    return activity(
        "conversationUpdate", sender=sender, place=place, service_url=service_url, **{"channelData": data, **fields}
    )
