"""Conversations, members and messages of a small Teams, behind the Connector's routes.

Ids of threads, error codes and the status 202 without an id for a message with text and card follow what is known of
Teams. They are not tested against it.
The rules for tenant and person are the sandbox's.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bot.sandbox.teams.gaps import UNKNOWN_PERSON, Refusal, requested_person
from bot.sandbox.teams.people import PLACES
from tests.fakes.activities import Place
from tests.fakes.people import PEOPLE, TENANT_ID, Person

TEAM = PLACES.team
APPROVERS = PLACES.channel
LEADS = "19:leads@thread.tacv2"

Json = dict[str, Any]
Change = Callable[[Json], Json]


@dataclass(slots=True, kw_only=True)
class Message:
    """A message of the bot: its current activity, and in `versions` every earlier one."""

    conversation: str
    """The channel or chat, without `;messageid=`."""
    root: str
    """Id of the thread's first message; its own for that message."""
    id: str
    activity: Json
    versions: list[Json] = field(default_factory=list)
    deleted: bool = False

    @property
    def text(self) -> str:
        return str(self.activity.get("text") or "")

    @property
    def card(self) -> Json | None:
        """The Adaptive Card, or None."""
        for attachment in self.activity.get("attachments") or ():
            if attachment.get("contentType") == "application/vnd.microsoft.card.adaptive":
                return dict(attachment["content"])
        return None


@dataclass(slots=True)
class Conversation:
    """A channel or a chat."""

    place: Place
    members: list[Person]


class TeamsWorld:
    """The state of a small Teams, and the handlers of the Connector's routes."""

    def __init__(self, people: Iterable[Person] = PEOPLE) -> None:
        self.people = list(people)
        self.conversations: dict[str, Conversation] = {}
        self.messages: list[Message] = []
        self.not_installed: set[str] = set()
        """`29:…` ids of people without a personal installation."""
        self.blocked: set[str] = set()
        """Conversations in which the bot's replies, updates and messages are blocked. New threads are not."""
        self.in_pages: Change = dict
        """Changes each entry of a roster's pages, for example removes a field."""
        self.alone: Change = dict
        """Changes the answer about a single member."""
        self._ids = itertools.count(time.time_ns() // 1_000_000)  # like Teams' own ids: the time in milliseconds
        for channel in (TEAM, APPROVERS, LEADS):
            self.add_channel(channel)

    def add_channel(self, channel: str, *, members: Iterable[Person] | None = None) -> Place:
        place = Place(id=channel, kind="channel", team=TEAM)
        self.conversations[channel] = Conversation(place, list(self.people if members is None else members))
        return place

    def personal(self, person: Person) -> Place:
        """Return the one-to-one chat with a person. It is created at the first call."""
        place = Place(id=f"a:{person.id.removeprefix('29:')}", kind="personal", tenant_id=TENANT_ID)
        self.conversations.setdefault(place.id, Conversation(place, [person]))
        return place

    def place(self, conversation: str) -> Place:
        """Return the conversation or thread with this id as a `Place`. KeyError if there is no such conversation."""
        base, _, _ = conversation.partition(";")
        known = self.conversations[base].place
        return Place(id=conversation, kind=known.kind, team=known.team, tenant_id=known.tenant_id)

    def posted(self, conversation: str) -> list[Message]:
        """Return the bot's messages in the conversation with this id, or only in the thread if the id names one.

        Deleted messages are left out.
        """
        base, _, root = conversation.partition(";messageid=")
        return [
            message
            for message in self.messages
            if message.conversation == base and root in ("", message.root) and not message.deleted
        ]

    def routes(self) -> list[web.RouteDef]:
        root = "/v3/conversations"
        return [
            web.post(root, self._create),
            web.post(root + "/{conversation}/activities", self._post),
            web.post(root + "/{conversation}/activities/{activity}", self._post),
            web.put(root + "/{conversation}/activities/{activity}", self._put),
            web.delete(root + "/{conversation}/activities/{activity}", self._delete),
            web.get(root + "/{conversation}/pagedmembers", self._paged),
            web.get(root + "/{conversation}/members/{member}", self._member),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("isGroup"):
            return self._create_thread(body)
        member = requested_person(body, tenant_id=TENANT_ID)
        if isinstance(member, Refusal):
            return refuse(member)
        person = next((one for one in self.people if member in (one.id, one.object_id)), None)
        if person is None:
            return refuse(UNKNOWN_PERSON)
        if person.id in self.not_installed:
            return error(403, "BotNotInConversationRoster", "The bot is not part of the conversation roster.")
        return web.json_response({"id": self.personal(person).id}, status=201)

    def _create_thread(self, body: Json) -> web.Response:
        channel = body["channelData"]["channel"]["id"]
        if channel not in self.conversations:
            return error(404, "ConversationNotFound", "Conversation not found.")
        message = self._add(channel, root=None, activity=body["activity"])
        answer = {"id": f"{channel};messageid={message.id}", "activityId": message.id}
        return web.json_response(answer, status=201)

    async def _post(self, request: web.Request) -> web.Response:
        base, _, root = request.match_info["conversation"].partition(";messageid=")
        refused = self._refusal(base, root)
        if refused is not None:
            return refused
        activity = await request.json()
        if activity.get("text") and activity.get("attachments"):
            self._add(base, root=root, activity=activity)
            return web.json_response({}, status=202)
        above = request.match_info.get("activity") if base.startswith("19:") else None
        message = self._add(base, root=root or above, activity=activity)
        return web.json_response({"id": message.id}, status=201)

    async def _put(self, request: web.Request) -> web.Response:
        message = self._find(request)
        if message is None:
            return error(404, "ActivityNotFoundInConversation", "Activity not found.")
        if message.conversation in self.blocked:
            return blocked()
        message.versions.append(message.activity)
        message.activity = await request.json()
        return web.json_response({"id": message.id})

    async def _delete(self, request: web.Request) -> web.Response:
        message = self._find(request)
        if message is None:
            return error(404, "ActivityNotFoundInConversation", "Activity not found.")
        message.deleted = True
        return web.json_response({})

    async def _paged(self, request: web.Request) -> web.Response:
        conversation = self._conversation(request)
        if conversation is None:
            return error(404, "ConversationNotFound", "Conversation not found.")
        size, start = int(request.query.get("pageSize", "50")), int(request.query.get("continuationToken", "0"))
        members = [self.in_pages(person.as_member()) for person in conversation.members]
        body: Json = {"members": members[start : start + size], "totalCount": len(members) + 1}
        if start + size < len(members):
            body["continuationToken"] = str(start + size)
        return web.json_response(body)

    async def _member(self, request: web.Request) -> web.Response:
        conversation = self._conversation(request)
        wanted = request.match_info["member"].casefold()
        for person in conversation.members if conversation else ():
            if wanted in (person.id.casefold(), person.object_id.casefold(), person.upn.casefold()):
                return web.json_response(self.alone(person.as_member()))
        return error(404, "MemberNotFoundInConversation", "Member not found in conversation")

    def _conversation(self, request: web.Request) -> Conversation | None:
        return self.conversations.get(request.match_info["conversation"].partition(";")[0])

    def _refusal(self, base: str, root: str) -> web.Response | None:
        if base in self.blocked:
            return blocked()
        if base not in self.conversations or (root and not self.posted(f"{base};messageid={root}")):
            return error(404, "ConversationNotFound", "Conversation not found.")
        return None

    def _find(self, request: web.Request) -> Message | None:
        base = request.match_info["conversation"].partition(";")[0]
        wanted = (base, request.match_info["activity"])
        return next((one for one in self.messages if (one.conversation, one.id) == wanted and not one.deleted), None)

    def _add(self, base: str, *, root: str | None, activity: Json) -> Message:
        number = str(next(self._ids))
        message = Message(conversation=base, root=root or number, id=number, activity=activity)
        self.messages.append(message)
        return message


def error(status: int, code: str, message: str) -> web.Response:
    """Return an error with this status and code in the Connector's documented form."""
    return refuse(Refusal(status=status, code=code, message=message))


def refuse(refusal: Refusal) -> web.Response:
    """Return a refusal in the Connector's documented form."""
    return web.json_response(refusal.body(), status=refusal.status)


def blocked() -> web.Response:
    """Return Teams' unusual answer for blocked writes."""
    inner = '{"subCode":"MessageWritesBlocked","details":"Thread is blocked"}'
    return web.json_response({"errorCode": 209, "message": inner}, status=403)
