"""The operations of the Bot Framework Connector that the bot uses: messages, threads, personal chats and rosters.

Paths and bodies are here; activities are plain JSON objects.
https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled
from bot.teams.outbound.calls import Call, ConnectorCalls
from bot.teams.wire.errors import ConnectorRefused, ConnectorUnavailable
from bot.teams.wire.invoke import LONGEST_ID
from bot.teams.wire.people import MembersPage, TeamMember, read_member, read_page
from bot.telemetry import Telemetry

PAGE_SIZE: Final = 500  # members; the most that Teams returns, and each page counts towards the rate limit
MOST_PAGES: Final = 50  # a team has at most 25,000 members; more pages than that are an error

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Thread:
    """A new thread in a channel: `conversation` is `19:…;messageid=…`, `activity` the id of its first message.

    Teams may return only one of the two ids, or none.
    """

    conversation: str | None
    activity: str | None


class CallKind(StrEnum):
    """The purpose of a call to Teams; a label of the metric `teams_calls`."""

    POST = "post"
    UPDATE = "update"
    REPLY = "reply"
    TARGETED = "targeted"
    DIRECT = "direct"
    CHAT = "chat"  # finds the personal chat of a person
    ROSTER = "roster"
    MEMBER = "member"
    TEAM = "team"
    GROUP = "group"  # the members of an Entra group, from Microsoft Graph


@contextmanager
def counted(telemetry: Telemetry, kind: CallKind) -> Iterator[None]:
    """Count a call by its result: ok, throttled, unavailable, or the ChatProblem."""
    result = "unavailable"  # also the result if the caller gives up
    try:
        yield
        result = "ok"
    except ChatThrottled:
        result = "throttled"
        raise
    except ChatRefused as refused:
        result = refused.problem.value
        raise
    finally:
        telemetry.teams_calls.labels(kind=kind, result=result).inc()


class EndlessRoster(ConnectorUnavailable):
    """Teams does not end the pages of a roster."""

    def __init__(self) -> None:
        super().__init__("endless_roster")


class Connector:
    """The operations. Each raises only ConnectorError: ChatThrottled, ChatUnavailable or ChatRefused."""

    def __init__(self, calls: ConnectorCalls, *, app_id: str) -> None:
        self._calls = calls
        self._bot = {"id": f"28:{app_id}"}

    async def post_to_conversation(self, service_url: str, *, conversation: str, activity: Json) -> str | None:
        """Post a new message and return its activity id; None if Teams returned none."""
        path = ("v3", "conversations", conversation, "activities")
        call = Call(method="POST", service_url=service_url, path=path, body=activity, creates=True)
        return _id(await self._calls.send(call), "id")

    async def post_to_member(self, service_url: str, *, conversation: str, member: str, activity: Json) -> None:
        """Post a new message that only one member of the conversation (`29:…`) sees.

        https://learn.microsoft.com/microsoftteams/platform/agents-in-teams/targeted-messages
        """
        path = ("v3", "conversations", conversation, "activities")
        body = {**activity, "recipient": {"id": member}}
        query = {"isTargetedActivity": "true"}
        call = Call(method="POST", service_url=service_url, path=path, query=query, body=body, creates=True)
        await self._calls.send(call)

    async def update_activity(self, service_url: str, *, conversation: str, activity_id: str, activity: Json) -> None:
        """Replace a message that the bot posted."""
        path = ("v3", "conversations", conversation, "activities", activity_id)
        body = {**activity, "id": activity_id}
        await self._calls.send(Call(method="PUT", service_url=service_url, path=path, body=body))

    async def create_channel_thread(self, service_url: str, *, channel: str, tenant_id: str, activity: Json) -> Thread:
        """Post a message that starts a new thread in a channel."""
        body = {
            "isGroup": True,
            "bot": self._bot,
            "tenantId": tenant_id,
            "channelData": {"channel": {"id": channel}, "tenant": {"id": tenant_id}},
            "activity": activity,
        }
        call = Call(method="POST", service_url=service_url, path=("v3", "conversations"), body=body, creates=True)
        answer = await self._calls.send(call)
        return Thread(conversation=_id(answer, "id"), activity=_id(answer, "activityId"))

    async def create_personal_conversation(self, service_url: str, *, member: str, tenant_id: str) -> str:
        """Return the id of the personal chat with a member (`29:…` or Entra object id), new or existing.

        Raises ConnectorUnavailable also if Teams returns no id.
        """
        body = {
            "isGroup": False,
            "bot": self._bot,
            "members": [{"id": member}],
            "tenantId": tenant_id,
            "channelData": {"tenant": {"id": tenant_id}},
        }
        call = Call(method="POST", service_url=service_url, path=("v3", "conversations"), body=body)
        chat = _id(await self._calls.send(call), "id")
        if chat is None:
            raise ConnectorUnavailable("answer_without_id")  # no message was posted
        return chat

    async def get_paged_members(
        self, service_url: str, *, conversation: str, continuation: str | None = None
    ) -> MembersPage:
        """Return one page of a conversation's roster."""
        query = {"pageSize": str(PAGE_SIZE)} | ({"continuationToken": continuation} if continuation else {})
        path = ("v3", "conversations", conversation, "pagedmembers")
        call = Call(method="GET", service_url=service_url, path=path, query=query)
        return read_page(await self._calls.send(call))

    async def all_members(
        self, service_url: str, *, conversation: str, turn: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[TeamMember]:
        """Yield the members of a roster, page by page. `turn` waits until the next page may be read.

        While iterating, raises ConnectorError; EndlessRoster if a page refers to itself, or after MOST_PAGES.
        """
        continuation: str | None = None
        for _ in range(MOST_PAGES):
            before = continuation
            await turn()
            page = await self.get_paged_members(service_url, conversation=conversation, continuation=continuation)
            for member in page.members:
                yield member
            if (continuation := page.continuation) is None:
                return
            if continuation == before:
                break
        raise EndlessRoster

    async def get_member(self, service_url: str, *, conversation: str, member: str) -> TeamMember:
        """Return one member by `29:…` id, Entra object id or UPN.

        Raises ConnectorRefused with UNKNOWN_PERSON if there is no such member.
        """
        path = ("v3", "conversations", conversation, "members", member)
        found = read_member(await self._calls.send(Call(method="GET", service_url=service_url, path=path)))
        if found is None:
            raise ConnectorRefused(ChatProblem.UNKNOWN_PERSON)
        return found

    async def get_team_group(self, service_url: str, *, team: str) -> str | None:
        """Return the id of a team's Microsoft Entra group; None if Teams returns none. `team` is `19:…`."""
        call = Call(method="GET", service_url=service_url, path=("v3", "teams", team))
        return _id(await self._calls.send(call), "aadGroupId")


def _id(answer: Json, key: str) -> str | None:
    """Return an id in an answer; None for a text that cannot be one, so that no row stores it."""
    value = answer.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        return None
    return value if value.isascii() and value.isprintable() and " " not in value else None
