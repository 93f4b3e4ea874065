"""Differences between real Teams and the Microsoft 365 Agents Playground, in both directions, as pure functions.

Each difference has its reason. No I/O, no tokens, no servers. Delete a function if a later Playground no longer
needs it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, unquote

from bot.sandbox.teams.card_refresh import as_object, viewers_of, without_user_ids
from bot.sandbox.teams.people import CASTS, Cast, Client, Person, person_called

# Microsoft documents 100 KB for a bot's message, measured in UTF-16.
# https://learn.microsoft.com/microsoftteams/platform/bots/how-to/format-your-bot-messages
LARGEST_MESSAGE: Final = 100 * 1024  # bytes

ONLY_FOR: Final = "onlyFor"  # a member of a card that no renderer knows

_ACTIVITY: Final = re.compile(r"v3/conversations/([^/]+)/activities(?:/[^/]+)?")
_MEMBER: Final = re.compile(r"(v3/conversations/[^/]+/members/)([^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorCall:
    """One call of the bot. `path` begins with `v3/` and is percent-encoded."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""

    @property
    def json(self) -> Any:
        """Return the parsed body, or None if it is empty or not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer of the Connector."""

    status: int
    code: str
    message: str

    def body(self) -> dict[str, Any]:
        """Return the body of the answer, in the Connector's documented form for errors."""
        return {"error": {"code": self.code, "message": self.message}}


UNKNOWN_PERSON: Final = Refusal(status=400, code="BadArgument", message="Invalid user identity in provided tenant")


# ---- from the Playground to the bot ----


def completed(
    activity: Mapping[str, Any],
    *,
    tenant_id: str,
    service_url: str,
    sender: Person | None = None,
    cast: Cast = CASTS["ja"],
) -> dict[str, Any]:
    """Return the activity with all members that Teams sends to a bot.

    `sender` is the real sender, if the Playground names its current user instead. `cast` has the name of each person,
    and the language and time zone of the person's client.
    """
    if sender is not None:
        activity = {**activity, "from": {"id": sender.mri}}
    person = cast.called(str(as_object(activity.get("from")).get("id", "")))
    channel_data = {"tenant": {"id": tenant_id}} | as_object(activity.get("channelData"))
    conversation = {"tenantId": tenant_id} | as_object(activity.get("conversation"))
    whole = {**activity, "channelId": "msteams", "serviceUrl": service_url}
    whole |= {"channelData": channel_data, "conversation": conversation}
    if person is not None:
        whole |= _of_the_sender(whole, person, person.client)
    if whole.get("type") == "invoke":
        # the Playground names no trigger; Teams says "manual" for a click and "automatic" for a refresh
        whole["value"] = {"trigger": "manual"} | as_object(whole.get("value"))
    return whole


def _of_the_sender(activity: Mapping[str, Any], person: Person, client: Client) -> dict[str, Any]:
    """Return the members that depend on the sender; the Playground sometimes omits the object id."""
    sender = {"aadObjectId": person.object_id, "name": person.name} | as_object(activity.get("from"))
    # the Playground sends en-US and UTC for all people; Teams sends the language and zone of the person's client
    own = {"from": sender, "locale": client.locale, "localTimezone": client.timezone}
    entities = [_client_info(entity, client) for entity in activity.get("entities") or []]
    return own | ({"entities": entities} if entities else {})


def _client_info(entity: Any, client: Client) -> Any:
    if as_object(entity).get("type") != "clientInfo":
        return entity
    return {**entity, "locale": client.locale, "timezone": client.timezone, "country": client.locale[-2:]}


# ---- from the bot to the Playground ----


def shown_message(call: ConnectorCall, message_id: str, *, timestamp: int) -> dict[str, Any] | None:
    """Return a message of the bot in the form of the Playground's stream; None if the call is not about a message.

    Needed for 1:1 conversations of people other than the Playground's current user: the Playground accepts messages to
    them, but shows these on no page. `timestamp` is in milliseconds since 1970.
    """
    found = _ACTIVITY.fullmatch(call.path)
    activity = as_object(call.json)
    if found is None or activity.get("type") != "message":
        return None
    text = {"text": activity["text"]} if activity.get("text") else {}
    message = text | {
        "messageId": message_id,
        "timestamp": timestamp,
        "from": {"id": as_object(activity.get("from")).get("id", "")},
        "textFormat": activity.get("textFormat") or "markdown",
        "attachments": activity.get("attachments") or [],
        "attachmentLayout": activity.get("attachmentLayout") or "list",
        "mentions": [],
    }
    action = "updateMessage" if call.method == "PUT" else "createMessage"
    return {"action": action, "actionConversationId": unquote(found[1]), "message": message}


def to_playground(call: ConnectorCall, *, tenant_id: str) -> ConnectorCall | Refusal:
    """Return the call in the form that the Playground accepts, or the refusal with which Teams would answer."""
    if refusal := size_refusal(call.body):
        return refusal  # the Playground answers with an HTML page
    call = _with_viewers_apart(call)
    if found := _MEMBER.fullmatch(call.path):
        return _with_known_member(call, found)
    if (call.method, call.path) == ("POST", "v3/conversations"):
        return _new_conversation(call, tenant_id)
    if call.method == "POST" and "isTargetedActivity=true" in call.query.split("&"):
        return _targeted(call)
    return call


def _with_viewers_apart(call: ConnectorCall) -> ConnectorCall:
    """Return the call with the viewers of its cards where the Playground ignores them (`card_refresh`)."""
    body = as_object(call.json)
    activity = as_object(body.get("activity")) or body
    attached = activity.get("attachments")
    if not isinstance(attached, list) or not any(viewers_of(_content(each)) for each in attached):
        return call
    activity["attachments"] = [
        {**each, "content": without_user_ids(_content(each))} if viewers_of(_content(each)) else each
        for each in attached
    ]
    return replace(call, body=json.dumps(body).encode())


def _content(attachment: Any) -> dict[str, Any]:
    return as_object(as_object(attachment).get("content"))


def size_refusal(body: bytes) -> Refusal | None:
    """Return the refusal of a body that is too large in UTF-16, or None."""
    if len(body.decode(errors="replace").encode("utf-16-le")) > LARGEST_MESSAGE:
        return Refusal(status=413, code="MessageSizeTooBig", message="Message size too large")
    return None


def _with_known_member(call: ConnectorCall, found: re.Match[str]) -> ConnectorCall:
    """Use the `29:` id: Teams also accepts object ids and UPNs, the Playground does not."""
    person = person_called(unquote(found[2]))
    if person is None:
        return call  # the Playground answers 404
    return replace(call, path=found[1] + quote(person.mri, safe=""))


def _targeted(call: ConnectorCall) -> ConnectorCall | Refusal:
    """Mark the message's card with the only person who sees it: the Playground shows it to everybody.

    The pages (`playground_window`) show it to this person only.
    """
    activity = as_object(call.json)
    person = person_called(str(as_object(activity.get("recipient")).get("id", "")))
    if person is None:
        return UNKNOWN_PERSON
    marked = [
        {**each, "content": {**as_object(each.get("content")), ONLY_FOR: person.mri}}
        for each in activity.get("attachments") or []
    ]
    activity = {name: value for name, value in activity.items() if name != "recipient"} | {"attachments": marked}
    return replace(call, query="", body=json.dumps(activity).encode())


def only_reader(message: Mapping[str, Any]) -> str:
    """Return the `29:` id of the only person who sees a message of the stream; "" if everybody does."""
    attachments = as_object(message.get("message")).get("attachments") or []
    marks = (as_object(as_object(each).get("content")).get(ONLY_FOR) for each in attachments)
    return next((str(mark) for mark in marks if mark), "")


def _new_conversation(call: ConnectorCall, tenant_id: str) -> ConnectorCall | Refusal:
    wanted = call.json
    if not isinstance(wanted, dict):
        return Refusal(status=400, code="BadSyntax", message="Could not parse the conversation parameters")
    if wanted.get("isGroup"):
        return call
    return _direct_conversation(call, wanted, tenant_id)


def _direct_conversation(call: ConnectorCall, wanted: dict[str, Any], tenant_id: str) -> ConnectorCall | Refusal:
    """Return the call with the person's `29:` id, or Teams' refusal.

    For an unknown person, the Playground would create a conversation that reaches no person.
    """
    spelling = requested_person(wanted, tenant_id=tenant_id)
    if isinstance(spelling, Refusal):
        return spelling
    person = person_called(spelling)
    if person is None or spelling.casefold() == person.upn.casefold():  # Teams accepts no UPN here
        return UNKNOWN_PERSON
    body = wanted | {"members": [{"id": person.mri}]}
    return replace(call, body=json.dumps(body).encode())


def requested_person(wanted: Mapping[str, Any], *, tenant_id: str) -> str | Refusal:
    """Return the person's id in the parameters of a new 1:1 conversation, "" if there is none.

    Return the refusal if the tenant is missing or wrong. Its text is not documented.
    """
    given_tenant = as_object(as_object(wanted.get("channelData")).get("tenant")).get("id") or wanted.get("tenantId")
    if given_tenant != tenant_id:
        return Refusal(status=400, code="BadSyntax", message="Bad tenant id")
    members = wanted.get("members")
    first = members[0] if isinstance(members, list) and members else None
    return str(as_object(first).get("id", ""))
