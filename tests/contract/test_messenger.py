"""The Chat port against a Connector on loopback: conversations, order, rate limits, and only the declared errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bot.domain.identity import Person
from bot.domain.record import ROW_LEASE
from bot.ports.store import PersonalChat
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable, Message, Posted
from bot.service.checks.outcomes import Outcomes
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.circuit_breaker import IN_FLIGHT
from bot.teams.outbound.messenger import MOST_DIRECTS, PATIENCE, Messenger
from bot.teams.outbound.service_urls import ServiceUrls
from bot.telemetry import Telemetry
from tests.fakes.activities import Place
from tests.fakes.clock import ManualClock, settled
from tests.fakes.edge import running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO, PEOPLE, TARO, TENANT_ID
from tests.fakes.store import MemoryStore
from tests.fakes.teams_world import APPROVERS, Conversation

GROUP = "19:group-approvers@thread.v2"
TARO_PERSON = Person(TARO.object_id, TENANT_ID, TARO.name, teams_id=TARO.id)


def _message(text: str = "山田 太郎 asks for access to web-1", *, alert: bool = False) -> Message:
    return Message({"type": "AdaptiveCard", "version": "1.5", "body": [text]}, summary=text, alert=alert)


@dataclass(slots=True)
class Room:
    """A messenger that sends to FakeMicrosoft, and its parts."""

    ms: FakeMicrosoft
    messenger: Messenger
    store: MemoryStore
    clock: ManualClock
    urls: ServiceUrls


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with FakeMicrosoft() as ms, running_edge(ms) as edge:
        ms.world.conversations[GROUP] = Conversation(Place(id=GROUP, kind="groupChat"), list(PEOPLE))
        store, clock = MemoryStore(), ManualClock()
        urls = ServiceUrls(
            store, default=ms.service_url, hosts=ServiceHosts(ms.service_hosts), outcomes=Outcomes(clock), clock=clock
        )
        yield Room(
            ms,
            Messenger(
                edge.connector,
                store=store,
                service_urls=urls,
                clock=clock,
                tenant_id=TENANT_ID,
                telemetry=Telemetry(CollectorRegistry()),
            ),
            store,
            clock,
            urls,
        )


# --- conversations


async def test_a_post_in_a_channel_starts_a_thread(room: Room) -> None:
    """The result has the thread for replies and the id for updates."""
    posted = await room.messenger.post(APPROVERS, _message(alert=True))

    [message] = room.ms.posted(APPROVERS)
    assert posted == Posted(f"{APPROVERS};messageid={message.id}", message.id)
    assert message.root == message.id


async def test_a_posted_activity_has_a_card_and_a_summary_but_no_text(room: Room) -> None:
    """If the activity had a text, Teams would send text and card as two messages and return no id."""
    await room.messenger.post(APPROVERS, _message("a", alert=True))
    await room.messenger.post(APPROVERS, _message("b"))

    first, second = (message.activity for message in room.ms.posted(APPROVERS))
    assert first == {
        "type": "message",
        "summary": "a",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "content": _message("a").card},
        ],
        "channelData": {"notification": {"alert": True}},
    }
    assert "channelData" not in second


async def test_a_card_with_half_a_surrogate_pair_is_posted_with_a_question_mark(room: Room) -> None:
    """No JSON in UTF-8 can have it, and everything else must arrive."""
    await room.messenger.post(APPROVERS, _message("佐藤 \ud83d 花子"))

    [message] = room.ms.posted(APPROVERS)
    assert message.activity["summary"] == "佐藤 ? 花子"


async def test_a_post_in_a_group_chat_or_a_personal_chat_is_a_plain_message(room: Room) -> None:
    """These chats have no threads, so posts and replies have the chat's own id."""
    personal = room.ms.world.personal(HANAKO).id
    for conversation in (GROUP, personal):
        posted = await room.messenger.post(conversation, _message())
        assert posted == Posted(conversation, room.ms.posted(conversation)[0].id)
        reply = await room.messenger.reply(posted, _message("reply"))
        assert reply.conversation == conversation


async def test_a_post_to_a_thread_id_starts_a_thread_in_its_channel(room: Room) -> None:
    """An admin may have copied the id of a thread into the configuration instead of the channel's id."""
    first = await room.messenger.post(APPROVERS, _message())
    second = await room.messenger.post(first.conversation, _message())

    assert second.conversation != first.conversation
    assert second.conversation.startswith(f"{APPROVERS};messageid=")


async def test_a_reply_goes_into_the_thread_of_its_message(room: Room) -> None:
    """The reply arrives in the thread whether or not the conversation id contains it."""
    card = await room.messenger.post(APPROVERS, _message())
    first = await room.messenger.reply(card, _message("one"))
    await room.messenger.reply(Posted(APPROVERS, card.activity_id), _message("two"))

    texts = [message.activity["summary"] for message in room.ms.posted(card.conversation)]
    assert texts == [_message().summary, "one", "two"]
    assert (first.conversation, first.activity_id) == (card.conversation, room.ms.posted(card.conversation)[1].id)


async def test_an_update_replaces_the_message_in_a_channel_or_chat(room: Room) -> None:
    """The message keeps its id."""
    for conversation in (APPROVERS, GROUP):
        posted = await room.messenger.post(conversation, _message("waiting"))
        await room.messenger.update(posted, _message("approved"))

        [message] = room.ms.posted(conversation)
        assert (message.id, message.activity["summary"]) == (posted.activity_id, "approved")


async def test_message_without_an_id_cannot_be_updated(room: Room) -> None:
    """Teams accepted the post and returned no id. No call is made, because it would change another message."""
    posted = await room.messenger.post(APPROVERS, _message("waiting"))
    with pytest.raises(ChatRefused) as refused:
        await room.messenger.update(replace(posted, activity_id=None), _message("approved"))
    assert refused.value.problem is ChatProblem.ACTIVITY_NOT_FOUND
    assert room.ms.faults.matching("PUT", "/v3/") == []
    [message] = room.ms.posted(APPROVERS)
    assert message.activity["summary"] == "waiting"


# --- service URLs


async def test_messages_of_a_channel_go_to_the_stored_service_url_of_the_channel(room: Room) -> None:
    """Threads use the URL of their channel. Other conversations use the configured one."""
    room.urls.learn(f"{APPROVERS};messageid=1", f"{room.ms.base}/teams")
    room.urls.default = "http://127.0.0.1:1/"
    posted = await room.messenger.post(APPROVERS, _message())
    await room.messenger.update(posted, _message("approved"))
    await room.messenger.reply(posted, _message("note"))

    assert len(room.ms.posted(APPROVERS)) == 2
    with pytest.raises(ChatUnavailable):
        await room.messenger.post(GROUP, _message())


async def test_a_stored_service_url_with_an_unlisted_host_is_not_used(room: Room) -> None:
    """The token must not reach such a host. The card goes to the configured URL."""
    room.store.tables.service_urls[APPROVERS] = "http://localhost:1/"

    posted = await room.messenger.post(APPROVERS, _message())
    assert len(room.ms.posted(posted.conversation)) == 1


# --- personal chats


async def test_a_personal_chat_is_requested_once_and_stored(room: Room) -> None:
    """The second message uses the stored chat and makes no further request."""
    first = await room.messenger.direct(TARO_PERSON, _message("waiting", alert=True))
    second = await room.messenger.direct(TARO_PERSON, _message("approved"))

    assert first.conversation == second.conversation == room.ms.world.personal(TARO).id
    assert [message.activity["summary"] for message in room.ms.posted(first.conversation)] == ["waiting", "approved"]
    assert len(room.ms.faults.matching("POST", r"/v3/conversations$")) == 1
    assert room.store.tables.chats[TARO.object_id] == PersonalChat(TARO_PERSON, first.conversation, room.ms.service_url)


@pytest.mark.parametrize(("teams_id", "asked_by"), [(TARO.id, TARO.id), (None, TARO.object_id)])
async def test_a_personal_chat_is_requested_by_the_teams_id_or_else_the_object_id(
    room: Room, teams_id: str | None, asked_by: str
) -> None:
    """A Teams id begins with `29:`."""
    await room.messenger.direct(Person(TARO.object_id, TENANT_ID, teams_id=teams_id), _message())

    [call] = room.ms.faults.matching("POST", r"/v3/conversations$")
    assert call.body["members"] == [{"id": asked_by}]


async def test_a_stored_personal_chat_is_used_at_its_own_service_url(room: Room) -> None:
    """The message goes to the service URL that is stored with the chat, not to the configured one."""
    chat = room.ms.world.personal(TARO).id
    await room.store.remember_chat(PersonalChat(TARO_PERSON, chat, f"{room.ms.base}/teams"))
    room.urls.default = "http://127.0.0.1:1/"

    assert (await room.messenger.direct(TARO_PERSON, _message())).conversation == chat


async def test_a_stored_personal_chat_that_teams_does_not_know_is_requested_again(room: Room) -> None:
    """The message goes to the chat that Teams returns, and this chat is stored."""
    await room.store.remember_chat(PersonalChat(TARO_PERSON, "a:gone", room.ms.service_url))
    posted = await room.messenger.direct(TARO_PERSON, _message())

    assert posted.conversation == room.ms.world.personal(TARO).id
    assert room.store.tables.chats[TARO.object_id].conversation == posted.conversation


async def test_a_message_is_not_posted_again_if_teams_returns_the_stored_personal_chat(room: Room) -> None:
    """The refused message is posted only once, because each attempt may leave a message in the chat."""
    await room.messenger.direct(TARO_PERSON, _message("waiting"))
    room.ms.fault("POST", "/activities$", status=404)
    assert await _problem(room, TARO_PERSON) is ChatProblem.CONVERSATION_NOT_FOUND
    assert len(room.ms.faults.matching("POST", "/activities$")) == 2


@pytest.mark.parametrize("remembered", [False, True])
async def test_a_message_to_a_blocked_personal_chat_is_refused(room: Room, remembered: bool) -> None:
    """A requested chat that is blocked is not stored. A stored chat that is blocked stays stored."""
    place = room.ms.world.personal(TARO)
    if remembered:
        await room.store.remember_chat(PersonalChat(TARO_PERSON, place.id, room.ms.service_url))
    room.ms.world.blocked.add(place.id)
    assert await _problem(room, TARO_PERSON) is ChatProblem.WRITES_BLOCKED
    assert room.store.tables.chats.keys() == ({TARO.object_id} if remembered else set())


async def test_direct_messages_to_unknown_people_and_people_without_the_app_are_refused(room: Room) -> None:
    """The error has the exact problem, because the two need different fixes. No chat is stored."""
    room.ms.world.not_installed.add(TARO.id)

    assert await _problem(room, TARO_PERSON) is ChatProblem.NOT_INSTALLED
    assert await _problem(room, Person("nobody", TENANT_ID)) is ChatProblem.UNKNOWN_PERSON
    assert room.store.tables.chats == {}


async def _problem(room: Room, person: Person) -> ChatProblem:
    with pytest.raises(ChatRefused) as caught:
        await room.messenger.direct(person, _message())
    return caught.value.problem


async def test_direct_messages_work_while_the_store_is_unavailable(room: Room) -> None:
    """Teams returns the chat, and the configured service URL is used."""
    room.store.broken = True
    posted = await room.messenger.direct(TARO_PERSON, _message())

    assert len(room.ms.posted(posted.conversation)) == 1


# --- rate limit and order


async def test_messages_above_the_rate_limit_are_not_sent(room: Room) -> None:
    """The eighth message within a second raises ChatThrottled with the seconds to wait. The messenger does not sleep."""
    for _ in range(7):
        await room.messenger.post(APPROVERS, _message())
    with pytest.raises(ChatThrottled) as caught:
        await room.messenger.post(APPROVERS, _message())

    assert len(room.ms.writes("/v3/conversations")) == 7
    await room.clock.advance(caught.value.retry_after)
    await room.messenger.post(APPROVERS, _message())


async def test_posts_updates_and_replies_share_the_rate_limit_of_a_conversation(room: Room) -> None:
    """Teams counts them together."""
    card = await room.messenger.post(APPROVERS, _message())
    for _ in range(3):
        await room.messenger.update(card, _message())
        await room.messenger.reply(card, _message())
    with pytest.raises(ChatThrottled):
        await room.messenger.reply(card, _message())


@pytest.mark.parametrize("header", ["inf", "36000", "Thu, 01 Jan 2099 00:00:00 GMT"])
async def test_a_long_retry_after_is_cut_to_a_minute(room: Room, header: str) -> None:
    """One wrong answer must not stop a channel for an hour. After a minute, the next message is sent."""
    room.ms.fault("POST", "/v3/conversations$", status=429, headers={"Retry-After": header})
    with pytest.raises(ChatThrottled) as caught:
        await room.messenger.post(APPROVERS, _message())
    assert caught.value.retry_after == 60.0
    await room.clock.advance(60.0)
    await room.messenger.post(APPROVERS, _message())


async def test_no_message_is_sent_while_teams_throttles_the_conversation(room: Room) -> None:
    """After a 429, each message raises ChatThrottled with the seconds of `Retry-After`, until they have passed."""
    room.ms.fault("POST", "/v3/conversations$", status=429, headers={"Retry-After": "30"})
    for _ in range(2):
        with pytest.raises(ChatThrottled) as caught:
            await room.messenger.post(APPROVERS, _message())
        assert caught.value.retry_after == 30.0
    assert len(room.ms.writes("/v3/conversations")) == 1

    await room.clock.advance(30.0)
    await room.messenger.post(APPROVERS, _message())


async def test_messages_into_a_thread_are_sent_in_the_order_of_the_calls(room: Room) -> None:
    """Later messages wait until a slow earlier one was sent."""
    card = await room.messenger.post(APPROVERS, _message("card"))
    held = room.ms.hold("PUT", "activities")
    async with asyncio.TaskGroup() as group:
        group.create_task(room.messenger.update(card, _message("approved")))
        await held.reached.wait()
        for text in ("one", "two", "three"):
            group.create_task(room.messenger.reply(card, _message(text)))
        await settled()
        assert len(room.ms.posted(card.conversation)) == 1
        assert held.gate is not None
        held.gate.set()

    texts = [message.activity["summary"] for message in room.ms.posted(card.conversation)]
    assert texts == ["approved", "one", "two", "three"]


async def test_a_slow_thread_does_not_delay_another_thread(room: Room) -> None:
    """Only messages into the same thread wait for each other."""
    slow = await room.messenger.post(APPROVERS, _message("slow"))
    held = room.ms.hold("PUT", "activities")
    waiting = asyncio.create_task(room.messenger.update(slow, _message("approved")))
    await held.reached.wait()

    other = await room.messenger.post(APPROVERS, _message("other"))
    await room.messenger.update(other, _message("rejected"))
    assert not waiting.done()
    room.ms.faults.heal()
    await waiting


# --- isolation of conversations that hang or fail


async def test_posts_to_a_hanging_channel_above_the_limit_are_throttled_immediately(room: Room) -> None:
    """The limit is IN_FLIGHT. Messages to group chats and personal chats are still sent."""
    held = room.ms.hold("POST", "/v3/conversations$", times=None, body_holds=APPROVERS)
    posts = [asyncio.create_task(room.messenger.post(APPROVERS, _message())) for _ in range(20)]
    done, _ = await asyncio.wait(posts[IN_FLIGHT:])
    assert {type(post.exception()) for post in done} == {ChatThrottled}
    await room.messenger.post(GROUP, _message())
    await room.messenger.direct(TARO_PERSON, _message())
    assert not any(post.done() for post in posts[:IN_FLIGHT])
    assert held.gate is not None
    held.gate.set()
    await asyncio.gather(*posts[:IN_FLIGHT])


async def test_a_hanging_personal_chat_does_not_delay_other_conversations(room: Room) -> None:
    """Messages to another person and to a channel are still sent."""
    room.ms.hold("POST", f"{room.ms.world.personal(TARO).id}/activities", times=None)
    waiting = [asyncio.create_task(room.messenger.direct(TARO_PERSON, _message())) for _ in range(IN_FLIGHT)]
    await room.ms.faults.until(lambda: len(room.ms.faults.matching("POST", "/v3/conversations$")) == 1)
    hanako = Person(HANAKO.object_id, TENANT_ID, HANAKO.name, teams_id=HANAKO.id)

    await room.messenger.direct(hanako, _message())
    await room.messenger.post(APPROVERS, _message())
    assert not any(each.done() for each in waiting)
    room.ms.faults.heal()
    await asyncio.gather(*waiting)


async def test_direct_messages_above_the_limit_of_hanging_ones_are_throttled_immediately(room: Room) -> None:
    """The limit is MOST_DIRECTS. A post in a channel is still sent."""
    room.ms.hold("POST", "/v3/conversations$", times=None, body_holds="members")
    people = [Person(f"person-{number}", TENANT_ID) for number in range(8)]
    waiting = [asyncio.create_task(room.messenger.direct(each, _message())) for each in people]
    done, _ = await asyncio.wait(waiting[MOST_DIRECTS:])
    assert {type(each.exception()) for each in done} == {ChatThrottled}
    await room.messenger.post(APPROVERS, _message())
    assert not any(each.done() for each in waiting[:MOST_DIRECTS])
    room.ms.faults.heal()
    await asyncio.gather(*waiting, return_exceptions=True)
    await room.messenger.direct(TARO_PERSON, _message())


@pytest.mark.parametrize("fault", [{"status": 502}, {"status": 500}, {"drop": "before"}, {"drop": "after"}])
async def test_no_message_is_sent_to_a_conversation_for_a_while_after_a_failure(
    room: Room, fault: dict[str, Any]
) -> None:
    """Until the wait is over, each message raises ChatThrottled. Other conversations are not affected."""
    room.ms.fault("POST", GROUP, **fault)
    with pytest.raises(ChatUnavailable):
        await room.messenger.post(GROUP, _message())
    calls = len(room.ms.writes(GROUP))
    with pytest.raises(ChatThrottled) as caught:
        await room.messenger.post(GROUP, _message())

    assert len(room.ms.writes(GROUP)) == calls
    await room.messenger.post(APPROVERS, _message())
    await room.clock.advance(caught.value.retry_after)
    await room.messenger.post(GROUP, _message())


async def test_no_direct_message_is_sent_to_a_person_after_a_failed_request_for_the_chat(room: Room) -> None:
    """A message to another person is sent."""
    room.ms.fault("POST", "/v3/conversations$", body_holds=TARO.id, status=500)
    with pytest.raises(ChatUnavailable):
        await room.messenger.direct(TARO_PERSON, _message())
    with pytest.raises(ChatThrottled):
        await room.messenger.direct(TARO_PERSON, _message())
    await room.messenger.direct(Person(HANAKO.object_id, TENANT_ID, teams_id=HANAKO.id), _message())


def _operations(room: Room, posted: Posted) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return the four operations of the port by name. `posted` is the message to update and to reply to."""
    return {
        "post": lambda: room.messenger.post(APPROVERS, _message()),
        "update": lambda: room.messenger.update(posted, _message()),
        "reply": lambda: room.messenger.reply(posted, _message()),
        "direct": lambda: room.messenger.direct(TARO_PERSON, _message()),
    }


@pytest.mark.parametrize(
    ("operation", "ambiguous"), [("post", True), ("update", False), ("reply", True), ("direct", False)]
)
async def test_a_call_to_teams_that_takes_too_long_raises_chat_unavailable(
    room: Room, operation: str, ambiguous: bool
) -> None:
    """The next call into the conversation is throttled.

    A new message may have arrived (`ambiguous`). A direct message whose chat was still being requested cannot have
    arrived.
    """
    call = _operations(room, await room.messenger.post(APPROVERS, _message()))[operation]
    room.ms.hold("*", "/v3/", times=None)
    room.messenger._patience = 0.0
    with pytest.raises(ChatUnavailable) as caught:
        await call()

    assert (caught.value.code, caught.value.ambiguous) == ("too_slow", ambiguous)
    room.messenger._patience = PATIENCE
    with pytest.raises(ChatThrottled):
        await call()


def test_the_time_limit_of_a_call_to_teams_is_five_seconds_shorter_than_the_lease() -> None:
    """The remaining time of the caller's lease is for the store's writes."""
    assert ROW_LEASE.total_seconds() - PATIENCE >= 5


# --- errors


@pytest.mark.parametrize("operation", ["post", "update", "reply", "direct"])
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 502},
        {"status": 503, "headers": {"Retry-After": "60"}},
        {"status": 429, "headers": {"Retry-After": "60"}},
        {"status": 429, "headers": {"Retry-After": "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"}},
        {"status": 503, "headers": {"Retry-After": "Thu, 01 Jan 2026 00:00:00 +99999999999999999999"}},
        {"status": 429, "headers": {"Retry-After": "9" * 4000}},
        {"status": 201, "body": '{"id": "\\ud800"}'},
        {"status": 201, "body": '{"id": " "}'},
        {"status": 400},
        {"status": 401},
        {"status": 403, "body": '{"error": {"code": "BotDisabledByAdmin"}}'},
        {"status": 404},
        {"status": 413, "body": "<html>"},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
        {"status": 200, "body": "<html>"},
        {"status": 201, "body": "{}"},
        {"drop": "before"},
        {"drop": "after"},
    ],
)
async def test_any_response_of_teams_is_a_success_or_raises_a_declared_error(
    room: Room, operation: str, fault: dict[str, Any]
) -> None:
    """Each operation succeeds or raises one of the port's three errors. A message needs no id to be delivered."""
    call = _operations(room, await room.messenger.post(APPROVERS, _message()))[operation]
    room.ms.fault("*", "/v3/", times=None, **fault)
    try:
        await call()
    except (ChatThrottled, ChatUnavailable, ChatRefused):
        return
    assert fault["status"] == 201
    assert operation != "direct"  # its chat was requested first, and a chat without an id cannot be used


@pytest.mark.parametrize(
    "body",
    [
        *("{}", "", "null", "[]", '"Accepted"', "Accepted", '{"id": null}', '{"id": ""}', "{"),
        *('{"id": "two words"}', '{"id": "\\ud800"}', json.dumps({"id": "1" * 5000})),
    ],
)
@pytest.mark.parametrize("operation", ["post", "reply", "direct", "update"])
async def test_message_that_teams_accepts_without_an_id_counts_as_delivered(
    room: Room, operation: str, body: str
) -> None:
    """Teams answers 2xx, without an id or with a text that cannot be one. The next message is sent immediately."""
    await room.messenger.direct(TARO_PERSON, _message())
    call = _operations(room, await room.messenger.post(APPROVERS, _message()))[operation]
    path = {"post": "/v3/conversations$"}.get(operation, "/activities")
    room.ms.fault("*", path, status=202, body=body)
    posted = await call()
    if isinstance(posted, Posted):
        assert posted.activity_id is None
    await call()


@pytest.mark.parametrize("body", ['{"id": "%s;messageid=7"}', '{"activityId": "7"}'])
async def test_thread_id_and_message_id_of_a_new_thread_are_derived_from_each_other(room: Room, body: str) -> None:
    """Teams returns only one of them. The thread's id contains the id of its first message."""
    room.ms.fault("POST", "/v3/conversations$", status=201, body=body.replace("%s", APPROVERS))
    posted = await room.messenger.post(APPROVERS, _message())
    assert posted == Posted(f"{APPROVERS};messageid=7", "7")


async def test_html_page_with_status_200_does_not_count_as_an_accepted_message(room: Room) -> None:
    """A login page with status 200 does not come from Teams. The message may or may not have arrived."""
    room.ms.fault("POST", "/v3/conversations$", status=200, body=" <!doctype html><html></html>")
    with pytest.raises(ChatUnavailable) as caught:
        await room.messenger.post(APPROVERS, _message())
    assert caught.value.ambiguous


async def test_personal_chat_without_an_id_is_requested_again(room: Room) -> None:
    """The error is not ambiguous, because no message was posted. After a pause, the chat can be requested."""
    room.ms.fault("POST", "/v3/conversations$", status=201, body="{}")
    with pytest.raises(ChatUnavailable) as caught:
        await room.messenger.direct(TARO_PERSON, _message())
    assert not caught.value.ambiguous
    await room.clock.advance(60.0)
    await room.messenger.direct(TARO_PERSON, _message())
    assert len(room.ms.faults.matching("POST", "/v3/conversations$")) == 2


async def test_reply_to_a_message_without_an_id_starts_a_thread(room: Room) -> None:
    """The bot cannot name the thread of that message, so the reply is posted in the channel."""
    reply = await room.messenger.reply(Posted(APPROVERS, None), _message("note"))
    [message] = room.ms.posted(APPROVERS)
    assert (reply.activity_id, message.activity["summary"]) == (message.id, "note")


@pytest.mark.parametrize(
    ("status", "body"), [(403, '{"error": {"code": "ServiceError", "message": "Unknown"}}'), (404, "")]
)
async def test_update_of_a_deleted_message_raises_activity_not_found(room: Room, status: int, body: str) -> None:
    """Teams does not always announce a deleted message with the documented code."""
    posted = await room.messenger.post(APPROVERS, _message())
    room.ms.fault("PUT", "/activities", status=status, body=body)
    with pytest.raises(ChatRefused) as caught:
        await room.messenger.update(posted, _message())
    assert caught.value.problem is ChatProblem.ACTIVITY_NOT_FOUND


async def test_a_lost_response_to_a_post_is_ambiguous(room: Room) -> None:
    """The messenger does not post again, because the message may have arrived."""
    room.ms.fault("POST", "/v3/conversations$", drop="after")
    with pytest.raises(ChatUnavailable) as caught:
        await room.messenger.post(APPROVERS, _message())

    assert caught.value.ambiguous
    assert len(room.ms.posted(APPROVERS)) == 1


async def test_a_message_that_timed_out_while_it_waited_for_another_is_not_ambiguous(room: Room) -> None:
    """A post that waited behind a slow one and was never sent cannot have arrived."""
    held = room.ms.hold("POST", "activities")
    first = asyncio.create_task(room.messenger.post(GROUP, _message("first")))
    await held.reached.wait()
    room.messenger._patience = 0.1
    with pytest.raises(ChatUnavailable) as caught:
        await room.messenger.post(GROUP, _message("second"))
    room.ms.faults.heal()
    await first
    assert [message.activity["summary"] for message in room.ms.posted(GROUP)] == ["first"]
    assert not caught.value.ambiguous
