"""Tests for bot.teams.outbound.connector and calls: bodies, repeated calls, and the hosts that get the token."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.teams.net.session import READ_LIMIT
from tests.fakes.edge import Edge, Ticker, running_edge
from tests.fakes.listening import listening
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, HANAKO, ICHIRO, MEI, TENANT_ID, crowd
from tests.fakes.teams_world import APPROVERS, LEADS

TEXT: dict[str, Any] = {"type": "message", "text": "依頼が届きました"}
ACTIVITIES = "/activities"


async def post(edge: Edge, ms: FakeMicrosoft, conversation: str = APPROVERS) -> str:
    activity_id = await edge.connector.post_to_conversation(ms.service_url, conversation=conversation, activity=TEXT)
    assert activity_id
    return activity_id


def posts(ms: FakeMicrosoft) -> int:
    return len(ms.faults.matching("POST", ACTIVITIES))


# --- operations


async def test_connector_starts_a_thread_replies_in_it_and_updates_its_first_message(
    ms: FakeMicrosoft, edge: Edge
) -> None:
    """The thread's id contains the id of its first message."""
    thread = await edge.connector.create_channel_thread(
        ms.service_url, channel=APPROVERS, tenant_id=TENANT_ID, activity=TEXT
    )
    assert thread.conversation
    assert thread.activity
    await edge.connector.post_to_conversation(ms.service_url, conversation=thread.conversation, activity=TEXT)
    await edge.connector.update_activity(
        ms.service_url,
        conversation=thread.conversation,
        activity_id=thread.activity,
        activity={**TEXT, "text": "changed"},
    )

    assert thread.conversation == f"{APPROVERS};messageid={thread.activity}"
    assert [message.text for message in ms.posted(thread.conversation)] == ["changed", TEXT["text"]]


async def test_body_that_starts_a_thread_is_the_documented_one(ms: FakeMicrosoft, edge: Edge) -> None:
    """The body has the ids of bot, channel and tenant, and the first message."""
    await edge.connector.create_channel_thread(ms.service_url, channel=LEADS, tenant_id=TENANT_ID, activity=TEXT)

    [call] = ms.faults.matching("POST", "/v3/conversations$")
    assert call.body == {
        "isGroup": True,
        "bot": {"id": f"28:{APP_ID}"},
        "tenantId": TENANT_ID,
        "channelData": {"channel": {"id": LEADS}, "tenant": {"id": TENANT_ID}},
        "activity": TEXT,
    }


@pytest.mark.parametrize("member", [HANAKO.id, HANAKO.object_id])
async def test_opening_a_personal_chat_twice_returns_the_same_id(member: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """The member id may be of either kind."""
    chats = {
        await edge.connector.create_personal_conversation(ms.service_url, member=member, tenant_id=TENANT_ID)
        for _ in range(2)
    }

    assert chats == {ms.world.personal(HANAKO).id}


async def test_body_that_opens_a_personal_chat_is_the_documented_one(ms: FakeMicrosoft, edge: Edge) -> None:
    """The body has the ids of the bot and the person and, in two places, the id of the tenant."""
    await edge.connector.create_personal_conversation(ms.service_url, member=HANAKO.id, tenant_id=TENANT_ID)

    [call] = ms.faults.matching("POST", "/v3/conversations$")
    assert call.body == {
        "isGroup": False,
        "bot": {"id": f"28:{APP_ID}"},
        "members": [{"id": HANAKO.id}],
        "tenantId": TENANT_ID,
        "channelData": {"tenant": {"id": TENANT_ID}},
    }


async def test_opening_a_chat_with_a_person_without_the_app_is_refused(ms: FakeMicrosoft, edge: Edge) -> None:
    """A person who has not installed the bot cannot get messages. The error has the problem NOT_INSTALLED."""
    ms.world.not_installed.add(ICHIRO.id)

    with pytest.raises(ChatRefused) as refused:
        await edge.connector.create_personal_conversation(ms.service_url, member=ICHIRO.object_id, tenant_id=TENANT_ID)

    assert refused.value.problem == ChatProblem.NOT_INSTALLED


async def test_roster_is_read_page_by_page(ms: FakeMicrosoft, edge: Edge) -> None:
    """A roster of 1,200 people is read in pages of 500, each after its turn, and every person is read once."""
    people, turns = crowd(1200), list[int]()
    ms.world.add_channel("19:big@thread.tacv2", members=people)

    async def turn() -> None:
        turns.append(len(ms.faults.matching("GET", "pagedmembers")))

    found = [
        member.object_id
        async for member in edge.connector.all_members(ms.service_url, conversation="19:big@thread.tacv2", turn=turn)
    ]

    assert found == [person.object_id for person in people]
    assert turns == [0, 1, 2]
    assert len(ms.faults.matching("GET", "pagedmembers")) == 3


async def test_roster_with_endless_pages_is_unavailable(ms: FakeMicrosoft, edge: Edge) -> None:
    """If every page has a continuation token, the bot stops reading and raises ChatUnavailable."""
    ms.fault("GET", "pagedmembers", status=200, body='{"members": [], "continuationToken": "x"}', times=None)

    members = edge.connector.all_members(ms.service_url, conversation=APPROVERS, turn=partial(asyncio.sleep, 0))
    with pytest.raises(ChatUnavailable):
        [member async for member in members]


@pytest.mark.parametrize("key", [MEI.id, MEI.object_id, MEI.upn])
async def test_member_is_found_by_any_id(key: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """A member is found by `29:` id, by Entra object id and by UPN."""
    member = await edge.connector.get_member(ms.service_url, conversation=APPROVERS, member=key)

    assert (member.id, member.object_id, member.user_principal_name, member.tenant_id, member.role) == (
        MEI.id,
        MEI.object_id,
        MEI.upn,
        TENANT_ID,
        "user",
    )


async def test_request_for_a_non_member_or_an_invalid_answer_raises_unknown_person(
    ms: FakeMicrosoft, edge: Edge
) -> None:
    """A person outside the roster and a response without a valid member raise the same error."""
    with pytest.raises(ChatRefused) as stranger:
        await edge.connector.get_member(ms.service_url, conversation=APPROVERS, member="29:nobody")
    ms.fault("GET", "/members/", status=200, body='{"name": "no id"}')
    with pytest.raises(ChatRefused) as nonsense:
        await edge.connector.get_member(ms.service_url, conversation=APPROVERS, member=MEI.id)

    assert {stranger.value.problem, nonsense.value.problem} == {ChatProblem.UNKNOWN_PERSON}


# --- repeated calls


@pytest.mark.parametrize("status", [412, 503])
async def test_post_that_was_not_accepted_is_repeated(status: int, ms: FakeMicrosoft, edge: Edge) -> None:
    """If the response guarantees that nothing was posted, the post is sent again after a pause."""
    ms.fault("POST", ACTIVITIES, status=status)

    await post(edge, ms)

    assert (len(ms.posted(APPROVERS)), posts(ms), len(edge.clock.slept)) == (1, 2, 1)


@pytest.mark.parametrize(
    "how", [{"drop": "after"}, {"drop": "before"}, {"status": 500}, {"status": 502}, {"status": 504}]
)
async def test_connector_does_not_retry_a_post_that_may_have_arrived(
    how: dict[str, Any], ms: FakeMicrosoft, edge: Edge
) -> None:
    """A post that may have been accepted is sent once and raises an ambiguous error."""
    ms.fault("POST", ACTIVITIES, **how)

    with pytest.raises(ChatUnavailable) as lost:
        await post(edge, ms)

    assert (lost.value.ambiguous, posts(ms)) == (True, 1)


@pytest.mark.parametrize("how", [{"drop": "after"}, {"drop": "before"}, {"status": 502}, {"status": 504}])
async def test_update_with_a_lost_reply_is_repeated_by_the_connector(
    how: dict[str, Any], ms: FakeMicrosoft, edge: Edge
) -> None:
    """The result of a lost update is unknown, but a second identical update does no harm."""
    activity_id = await post(edge, ms)
    ms.fault("PUT", ACTIVITIES, **how)

    await edge.connector.update_activity(
        ms.service_url, conversation=APPROVERS, activity_id=activity_id, activity={**TEXT, "text": "changed"}
    )

    assert [message.text for message in ms.posted(APPROVERS)] == ["changed"]


async def test_update_is_given_up_after_three_attempts_in_an_outage(ms: FakeMicrosoft, edge: Edge) -> None:
    """The error is ChatUnavailable. The waits between the attempts take less than two seconds in total."""
    ms.fault("PUT", ACTIVITIES, status=503, times=None)

    with pytest.raises(ChatUnavailable) as gone:
        await edge.connector.update_activity(ms.service_url, conversation=APPROVERS, activity_id="1", activity=TEXT)

    assert (gone.value.ambiguous, len(ms.faults.matching("PUT", ACTIVITIES))) == (False, 3)
    assert sum(edge.clock.slept) < 2


async def test_update_is_not_repeated_after_status_500(ms: FakeMicrosoft, edge: Edge) -> None:
    """Microsoft asks clients not to repeat a call after status 500."""
    ms.fault("PUT", ACTIVITIES, status=500)

    with pytest.raises(ChatUnavailable):
        await edge.connector.update_activity(ms.service_url, conversation=APPROVERS, activity_id="1", activity=TEXT)

    assert len(ms.faults.matching("PUT", ACTIVITIES)) == 1


async def test_post_is_repeated_after_a_short_throttling(ms: FakeMicrosoft, edge: Edge) -> None:
    """The call waits for a `Retry-After` of one second, and then succeeds."""
    ms.fault("POST", ACTIVITIES, status=429, headers={"Retry-After": "1"})

    await post(edge, ms)

    assert (edge.clock.slept, len(ms.posted(APPROVERS))) == ([1.0], 1)


async def test_post_is_not_repeated_after_a_long_throttling(ms: FakeMicrosoft, edge: Edge) -> None:
    """A call must not sleep long while its row is leased, so the error says how many seconds to wait."""
    ms.fault("POST", ACTIVITIES, status=429, headers={"Retry-After": "30"})

    with pytest.raises(ChatThrottled) as throttled:
        await post(edge, ms)

    assert (throttled.value.retry_after, edge.clock.slept, posts(ms)) == (30.0, [], 1)


async def test_post_is_not_repeated_after_a_503_with_a_long_retry_after(ms: FakeMicrosoft, edge: Edge) -> None:
    """A call does not wait for the end of a long outage."""
    ms.fault("POST", ACTIVITIES, status=503, headers={"Retry-After": "30"})

    with pytest.raises(ChatUnavailable):
        await post(edge, ms)

    assert (edge.clock.slept, posts(ms)) == ([], 1)


async def test_connector_token_that_is_refused_is_replaced_once(ms: FakeMicrosoft, edge: Edge) -> None:
    """If the Connector refuses a token, the bot gets a new one and repeats the call once."""
    await post(edge, ms)
    ms.sign_in.revoke_tokens()
    await post(edge, ms)
    ms.fault("POST", ACTIVITIES, status=401, times=None)
    before = posts(ms)
    with pytest.raises(ChatRefused) as refused:
        await post(edge, ms)

    assert len(ms.posted(APPROVERS)) == 2
    assert (refused.value.problem, posts(ms) - before) == (ChatProblem.UNAUTHORIZED, 2)


async def test_post_without_a_connection_is_repeated_and_not_ambiguous(clock: Ticker) -> None:
    """A post that was never sent cannot appear twice in Teams."""
    async with FakeMicrosoft(now=clock.epoch) as ms, running_edge(ms, clock=clock) as edge:
        await edge.credentials.bearer()
        closed = await _closed_port()
        with pytest.raises(ChatUnavailable) as failed:
            await edge.connector.post_to_conversation(
                f"http://127.0.0.1:{closed}/", conversation=APPROVERS, activity=TEXT
            )

        assert (failed.value.ambiguous, len(edge.clock.slept)) == (False, 2)


async def test_post_into_a_blocked_conversation_is_refused(ms: FakeMicrosoft, edge: Edge) -> None:
    """The unusual error body of a blocked conversation is parsed."""
    ms.world.blocked.add(APPROVERS)

    with pytest.raises(ChatRefused) as refused:
        await post(edge, ms)

    assert (refused.value.problem, refused.value.detail) == (ChatProblem.WRITES_BLOCKED, "MessageWritesBlocked")


@pytest.mark.parametrize("body", ["", "{}", '{"id": 5}', "[]", "junk", '{"id": ""}'])
async def test_post_without_an_id_is_accepted_once(body: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """The message is in Teams, so the post is not repeated. Instead of an id, the caller gets None."""
    ms.fault("POST", ACTIVITIES, status=201, body=body)

    found = await edge.connector.post_to_conversation(ms.service_url, conversation=APPROVERS, activity=TEXT)

    assert (found, posts(ms)) == (None, 1)


async def test_oversized_response_of_the_connector_raises_chat_unavailable(ms: FakeMicrosoft, edge: Edge) -> None:
    """A response larger than READ_LIMIT raises ChatUnavailable."""
    ms.fault("GET", "pagedmembers", status=200, body=" " * (READ_LIMIT + 1), times=None)

    with pytest.raises(ChatUnavailable):
        await edge.connector.get_paged_members(ms.service_url, conversation=APPROVERS)


# --- hosts that get the token


@pytest.fixture
async def stranger() -> AsyncIterator[tuple[str, list[str]]]:
    """Run a server; return its address, and a list of the Authorization headers that it receives."""
    heard: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization", ""))
        return web.json_response({"id": "x"}, status=201)

    async with listening(handle) as port:
        yield f"http://127.0.0.1:{port}/", heard


async def test_connector_sends_no_request_to_an_unlisted_host(
    ms: FakeMicrosoft, clock: Ticker, stranger: tuple[str, list[str]]
) -> None:
    """A call to a host that is not listed is refused before a token is requested."""
    url, heard = stranger
    async with running_edge(ms, clock=clock, hosts=("smba.trafficmanager.net",)) as edge:
        with pytest.raises(ChatRefused) as refused:
            await edge.connector.post_to_conversation(url, conversation=APPROVERS, activity=TEXT)

    assert (refused.value.problem, refused.value.detail) == (ChatProblem.FORBIDDEN, "host_not_listed")
    assert (heard, ms.faults.matching("POST", "token")) == ([], [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_of_a_connector_call_is_not_followed(
    status: int, ms: FakeMicrosoft, edge: Edge, stranger: tuple[str, list[str]]
) -> None:
    """The token is not sent to the host of a redirect."""
    url, heard = stranger
    ms.fault("POST", ACTIVITIES, status=status, headers={"Location": url})

    with pytest.raises(ChatRefused) as refused:
        await post(edge, ms)

    assert (refused.value.detail, heard, posts(ms)) == ("redirected", [], 1)


async def test_special_characters_in_an_id_do_not_change_the_path_of_the_call(ms: FakeMicrosoft, edge: Edge) -> None:
    """Slashes, dots, queries and fragments in an id have no meaning in the URL."""
    with pytest.raises(ChatRefused):
        await post(edge, ms, "../../v3/conversations/x?y#z")

    [call] = ms.faults.matching("POST", "/v3/conversations/")
    assert call.path == "/teams/v3/conversations/../../v3/conversations/x?y#z/activities"
    assert call.query == {}


async def test_connector_uses_the_proxy_of_the_environment(ms: FakeMicrosoft, clock: Ticker, monkeypatch: Any) -> None:
    """If `HTTPS_PROXY` is set, the call goes through a tunnel of this proxy, which does not see the token."""
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    proxy_server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = proxy_server.sockets[0].getsockname()[1]
    async with running_edge(ms, clock=clock, hosts=("connector.example.com",)) as edge:
        await edge.credentials.bearer()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(ChatUnavailable):
            await edge.connector.post_to_conversation(
                "https://connector.example.com/", conversation=APPROVERS, activity=TEXT
            )
    proxy_server.close()
    await proxy_server.wait_closed()

    assert asked
    assert all(line.startswith(b"CONNECT connector.example.com:443") for line in asked)
    [token] = ms.sign_in.granted
    assert token.encode() not in b"".join(asked)


async def _closed_port() -> int:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
