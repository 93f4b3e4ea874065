"""Activities over real HTTP and the bot's reaction: clicks, commands, installations, membership."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.domain.configuration import PrivateReplies
from bot.domain.decision import Outcome
from bot.domain.shown.replies.reply_views import HelpView, MessageCode, MessageView
from bot.domain.shown.views import Notice, NoticeCode
from bot.ports.teams import Message
from bot.rendering import render, summary
from bot.service.clicks.click import Answer, Verb
from bot.service.commands import Reply
from bot.teams.inbound.personal_chats import ABSENT_FOR, STYLE_CACHED_FOR
from bot.teams.inbound.replies import REPEAT_AFTER
from bot.teams.inbound.tokens import TokenVerifier, VerifiedToken
from bot.teams.outbound.calls import LONGEST_WAIT
from bot.teams.outbound.rate_limit import LIMITS, SHARE
from tests.fakes.activities import Json, activity, invoke
from tests.fakes.clock import ManualClock, settled
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import ALEX, FOREIGN_TENANT_ID, FOREIGNER, HANAKO, ICHIRO, MEI, PRIYA, TARO, TENANT_ID
from tests.fakes.teams_world import APPROVERS, LEADS, TEAM
from tests.fakes.teams_world import Message as Sent
from tests.fakes.turns import Turns, running_turns

ANSWERED = 3.0  # seconds; the test only waits this long if it fails
KEY = "111122223333/ap-northeast-1/oi-0123456789ab"
DATA = {"request": KEY, "step": "Level1"}
THREAD = f"{APPROVERS};messageid=1795456557005"
CARD: Json = {"type": "AdaptiveCard", "version": "1.5", "body": []}
REFUSED = Answer(CARD, Notice(Outcome.AWS_DENIED, detail="AccessDenied", typed="a secret"), "refused", refused=True)


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


@pytest.fixture
async def ms(clock: ManualClock) -> AsyncIterator[FakeMicrosoft]:
    """Microsoft's services, with this clock."""
    async with FakeMicrosoft(now=clock.epoch) as fake:
        yield fake


@pytest.fixture
async def bot(ms: FakeMicrosoft, clock: ManualClock) -> AsyncIterator[Turns]:
    """The bot's HTTP server over these services. Commands and clicks go to fakes."""
    async with running_turns(ms, clock=clock) as turns:
        yield turns


async def _card_to_reply_to(ms: FakeMicrosoft, bot: Turns) -> Sent:
    await bot.side.chat.post(APPROVERS, Message({**CARD, "body": ["waiting"]}, "waiting"))
    return ms.posted(APPROVERS)[0]


def _words(message: Sent) -> str:
    return json.dumps(message.card, ensure_ascii=False)


# --- clicks


async def test_click_is_answered_with_the_card_of_the_click_handler(ms: FakeMicrosoft, bot: Turns) -> None:
    """HTTP status and `statusCode` are 200; the click handler gets the person, the conversation and the click's data."""
    bot.clicks.answer = Answer({**CARD, "body": ["decided"]}, None, "")
    status, body = await ms.post_invoke(bot.url, HANAKO, THREAD, "approve", DATA, inputs={"comment": "はい"})

    assert (status, body["statusCode"], body["type"]) == (200, 200, "application/vnd.microsoft.card.adaptive")
    assert body["value"] == {**CARD, "body": ["decided"]}
    [click] = bot.clicks.clicks
    assert (click.verb, click.request, click.step, click.comment) == (Verb.APPROVE, KEY, "Level1", "はい")
    assert (click.person.object_id, click.person.tenant_id) == (HANAKO.object_id, TENANT_ID)
    assert (click.conversation, click.activity_id) == (THREAD, "1795456557005")


async def test_automatic_refresh_is_no_click_and_stores_nothing(ms: FakeMicrosoft, bot: Turns) -> None:
    """It has its own handler. The service URL of the conversation is not stored; with a click, it is.

    A refresh that the person chose is a click. The verb of a button with the trigger of a refresh is refused.
    """
    place = ms.world.place(THREAD)
    common: Any = {"sender": HANAKO, "place": place, "service_url": ms.service_url}
    status, body = await ms.send(bot.url, invoke("refresh", DATA, trigger="automatic", **common))
    assert (status, body["value"]) == (200, bot.clicks.answer.card)
    assert ([each.verb for each in bot.clicks.refreshes], bot.clicks.clicks) == ([Verb.REFRESH], [])
    assert await bot.store.service_url(APPROVERS) is None

    bot.clicks.answer = Answer(None, None, "")
    status, body = await ms.send(bot.url, invoke("refresh", DATA, trigger="automatic", **common))
    assert (status, body["statusCode"], body["type"]) == (200, 404, "application/vnd.microsoft.error")
    for trigger in ("manual", None):
        await ms.send(bot.url, invoke("refresh", DATA, trigger=trigger, **common))
    _, body = await ms.send(bot.url, invoke("approve", DATA, trigger="automatic", **common))
    assert body["statusCode"] == 400
    assert [each.manual for each in bot.clicks.clicks] == [True, False]
    assert len(bot.clicks.refreshes) == 2
    await settled()
    assert await bot.store.service_url(APPROVERS) == ms.service_url


async def test_click_is_answered_with_text_if_the_click_handler_returns_no_card(ms: FakeMicrosoft, bot: Turns) -> None:
    """The text is the value of a message response."""
    bot.clicks.answer = Answer(None, Notice(NoticeCode.NOT_STORED), "Nothing was sent.")
    status, body = await ms.post_invoke(bot.url, HANAKO, THREAD, "approve", DATA)

    assert status == 200
    assert body == {
        "statusCode": 200,
        "type": "application/vnd.microsoft.activity.message",
        "value": "Nothing was sent.",
    }


async def test_click_with_an_unknown_verb_is_answered_with_a_protocol_error(ms: FakeMicrosoft, bot: Turns) -> None:
    """The HTTP status is 200, and the click handler is not called."""
    status, body = await ms.post_invoke(bot.url, HANAKO, THREAD, "destroy", DATA)

    assert (status, body["statusCode"], body["type"]) == (200, 400, "application/vnd.microsoft.error")
    assert bot.clicks.clicks == []


@pytest.mark.parametrize(
    "name", ["composeExtension/query", "task/fetch", "signin/verifyState", "fileConsent/invoke", ""]
)
async def test_invokes_other_than_clicks_are_answered_as_not_supported(
    ms: FakeMicrosoft, bot: Turns, name: str
) -> None:
    """The HTTP status is 200, because after a 5xx Teams would send them again."""
    status, body = await ms.post_invoke(bot.url, HANAKO, THREAD, "approve", DATA, name=name)

    assert (status, body["statusCode"], body["value"]["code"]) == (200, 400, "NotSupported")
    assert bot.clicks.clicks == []


async def test_click_handler_gets_the_tenant_of_a_person_from_another_tenant(ms: FakeMicrosoft, bot: Turns) -> None:
    """The click is answered with HTTP 200."""
    sender = {"id": FOREIGNER.id, "name": "x", "aadObjectId": FOREIGNER.object_id, "tenantId": FOREIGN_TENANT_ID}
    status, _ = await ms.post_invoke(bot.url, FOREIGNER, THREAD, "approve", DATA, **{"from": sender})

    assert status == 200
    assert bot.clicks.clicks[0].person.tenant_id == FOREIGN_TENANT_ID


@pytest.mark.parametrize("depth", [50, 300, 900, 970, 1000, 3000, 4900])
@pytest.mark.parametrize("levels", ["[]", '{"a":}'], ids=["lists", "objects"])
async def test_click_with_a_deeply_nested_value_is_answered_with_200_or_400(
    ms: FakeMicrosoft, bot: Turns, levels: str, depth: int
) -> None:
    """No turn fails, and the next click is handled."""
    begin, end = levels[:-1], levels[-1]
    place = ms.world.place(THREAD)
    body = json.dumps(
        activity(
            "invoke", sender=HANAKO, place=place, service_url=ms.service_url, name="adaptiveCard/action", value="?"
        )
    )
    raw = body.replace('"?"', begin * depth + "1" + end * depth).encode()
    with capture_logs() as logs:
        status, _ = await ms.send_raw(bot.url, raw, headers={"Authorization": ms.signer.header(ms.service_url)})
        await ms.post_invoke(bot.url, HANAKO, THREAD, "approve", DATA)

    assert status in (200, 400)
    assert "turn_failed" not in {line["event"] for line in logs}
    assert len(bot.clicks.clicks) == 1


@pytest.mark.parametrize("name", ["adaptiveCard/action", "task/fetch"])
async def test_first_invoke_of_a_conversation_does_not_wait_for_the_store(
    ms: FakeMicrosoft, bot: Turns, name: str
) -> None:
    """The store hangs while it stores the conversation's service URL.

    The invoke is answered meanwhile, and the URL is stored once the store continues.
    """
    bot.store.hangs = {"remember_service_url"}
    click = asyncio.create_task(ms.post_invoke(bot.url, HANAKO, THREAD, "approve", DATA, name=name))
    await bot.store.reached.wait()
    answered, _ = await asyncio.wait({click}, timeout=ANSWERED)
    bot.store.go.set()
    await click
    await settled()

    assert answered
    assert list(bot.store.tables.service_urls) == [APPROVERS]


async def test_click_has_the_arrival_time_of_its_http_request_not_the_time_after_the_token_check(
    ms: FakeMicrosoft, bot: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token check takes 1.5 s. It is part of the time for the answer, which counts from `received_at`."""
    arrived_at = bot.clock.now()
    verify = TokenVerifier.verify

    async def slow(verifier: TokenVerifier, header: str | None) -> VerifiedToken:
        await bot.clock.advance(1.5)
        return await verify(verifier, header)

    monkeypatch.setattr(TokenVerifier, "verify", slow)
    await ms.post_invoke(bot.url, HANAKO, THREAD, "approve", DATA)

    assert [click.received_at for click in bot.clicks.clicks] == [arrived_at]


# --- Action.Submit


async def test_submit_in_a_personal_chat_reaches_the_click_handler_before_the_chat_is_stored(
    ms: FakeMicrosoft, bot: Turns
) -> None:
    """The store hangs while the chat is stored."""
    bot.store.hangs = {"personal_chat"}
    value = {**DATA, "verb": "cancel"}
    click = asyncio.create_task(ms.post_submit(bot.url, HANAKO, ms.world.personal(HANAKO), value))
    await bot.store.reached.wait()
    handled = [each.verb for each in bot.clicks.clicks]
    bot.store.go.set()
    await click

    assert handled == [Verb.CANCEL]


async def test_action_submit_reaches_the_click_handler_like_an_invoke(ms: FakeMicrosoft, bot: Turns) -> None:
    """Old clients send a message instead of an invoke. An accepted click gets no message as an answer."""
    value = {**DATA, "verb": "reject", "comment": "no"}
    status, body = await ms.post_submit(bot.url, HANAKO, THREAD, value, replyToId="1795456557005")

    assert (status, body) == (200, None)
    [click] = bot.clicks.clicks
    assert (click.verb, click.comment, click.activity_id) == (Verb.REJECT, "no", "1795456557005")
    assert ms.world.messages == []


async def test_refused_submit_in_a_channel_is_explained_in_the_persons_own_chat(ms: FakeMicrosoft, bot: Turns) -> None:
    """The message has every detail, in the language of the person's client. The channel gets no message."""
    card = await _card_to_reply_to(ms, bot)
    bot.clicks.answer = REFUSED
    await ms.post_submit(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", {**DATA, "verb": "approve"})

    [told] = ms.posted(ms.world.personal(HANAKO))
    assert REFUSED.notice is not None
    assert told.card == render(REFUSED.notice, locale="en", timezone="Asia/Tokyo")
    assert ms.posted(APPROVERS) == [card]


async def test_refused_submit_of_a_person_without_a_personal_chat_is_explained_in_the_thread(
    ms: FakeMicrosoft, bot: Turns
) -> None:
    """The message has neither AWS's error code nor the comment, because others can read it."""
    card = await _card_to_reply_to(ms, bot)
    ms.world.not_installed.add(HANAKO.id)
    bot.clicks.answer = REFUSED
    await ms.post_submit(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", {**DATA, "verb": "approve"})

    told = ms.posted(f"{APPROVERS};messageid={card.id}")[1]
    assert told.card == render(Notice(Outcome.AWS_DENIED), locale="ja", timezone="Asia/Tokyo")
    assert "AccessDenied" not in _words(told)
    assert "a secret" not in _words(told)


async def test_replies_to_repeated_submits_are_rate_limited_for_each_person(ms: FakeMicrosoft, bot: Turns) -> None:
    """One person's answers use half of Teams' limit at most.

    Another person still gets an answer, and the channel gets none.
    """
    card = await _card_to_reply_to(ms, bot)
    bot.clicks.answer = REFUSED
    for _ in range(20):
        await ms.post_submit(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", {**DATA, "verb": "approve"})
    await ms.post_submit(bot.url, ICHIRO, f"{APPROVERS};messageid={card.id}", {**DATA, "verb": "approve"})

    at_once = min(most // SHARE for _, most in LIMITS)
    assert len(ms.posted(ms.world.personal(HANAKO))) == at_once
    assert len(ms.posted(ms.world.personal(ICHIRO))) == 1
    assert ms.posted(APPROVERS) == [card]


async def test_private_answer_to_a_message_in_a_channel_is_sent_to_the_persons_chat_only(
    ms: FakeMicrosoft, bot: Turns
) -> None:
    """The thread gets nothing."""
    card = await _card_to_reply_to(ms, bot)
    bot.commands.reply = Reply(HelpView(), "en", "UTC", private=True)
    await ms.post_message(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", "history")
    assert len(ms.posted(ms.world.personal(HANAKO))) == 1
    assert ms.posted(APPROVERS) == [card]


async def test_private_answer_that_cannot_be_sent_is_never_posted_in_the_channel(ms: FakeMicrosoft, bot: Turns) -> None:
    """Teams refuses messages to the person. The thread says that the bot cannot message them, without the answer."""
    card = await _card_to_reply_to(ms, bot)
    bot.commands.reply = Reply(MessageView(MessageCode.NOT_FOUND, "oi-5ec4e70a5ec4"), "en", "UTC", private=True)
    ms.world.blocked.add(ms.world.personal(HANAKO).id)
    await ms.post_message(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", "history")
    said = json.dumps(ms.posted(APPROVERS)[-1].card, ensure_ascii=False)
    assert "チャットに送信できませんでした" in said
    assert "5ec4e70a" not in said


def target_private_replies(bot: Turns) -> None:
    """Set `private_replies` to `targeted`."""
    value = bot.configuration.value
    bot.configuration.replace(replace(value, private_replies=PrivateReplies.TARGETED))


async def test_targeted_answer_is_posted_in_the_thread_for_its_person_only(ms: FakeMicrosoft, bot: Turns) -> None:
    """The call has the parameter that Teams documents, and the person as the recipient. Their chat gets nothing."""
    card = await _card_to_reply_to(ms, bot)
    target_private_replies(bot)
    bot.commands.reply = Reply(HelpView(), "en", "UTC", private=True)
    await ms.post_message(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", "history")
    (call,) = [each for each in ms.faults.matching("POST", "/activities") if each.query]
    assert (dict(call.query), call.body["recipient"]) == ({"isTargetedActivity": "true"}, {"id": HANAKO.id})
    assert f"messageid={card.id}" in unquote(call.path)
    assert ms.posted(ms.world.personal(HANAKO)) == []


async def test_targeted_answer_that_teams_refuses_is_sent_to_the_persons_chat(ms: FakeMicrosoft, bot: Turns) -> None:
    """The thread gets neither the answer nor a hint."""
    card = await _card_to_reply_to(ms, bot)
    target_private_replies(bot)
    bot.commands.reply = Reply(HelpView(), "en", "UTC", private=True)
    ms.fault("POST", "/activities", status=403)
    await ms.post_message(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", "history")
    assert len(ms.posted(ms.world.personal(HANAKO))) == 1
    assert ms.posted(APPROVERS) == [card]


async def test_answer_in_a_personal_chat_is_never_targeted(ms: FakeMicrosoft, bot: Turns) -> None:
    """The chat is private already."""
    target_private_replies(bot)
    await ms.post_message(bot.url, HANAKO, ms.world.personal(HANAKO), "help")
    assert not any(each.query for each in ms.faults.matching("POST", "/activities"))
    assert len(ms.posted(ms.world.personal(HANAKO))) == 1


async def test_refused_submit_in_a_personal_chat_is_answered_in_the_same_chat(ms: FakeMicrosoft, bot: Turns) -> None:
    """The chat is private, so it gets the answer."""
    bot.clicks.answer = REFUSED
    chat = ms.world.personal(HANAKO)
    await ms.post_submit(bot.url, HANAKO, chat, {**DATA, "verb": "approve"})

    assert len(ms.posted(chat)) == 1


async def test_submit_with_an_unknown_verb_is_answered_in_the_thread(ms: FakeMicrosoft, bot: Turns) -> None:
    """The message says that the click failed. The click handler is not called."""
    card = await _card_to_reply_to(ms, bot)
    status, _ = await ms.post_submit(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", {"verb": "destroy"})

    assert (status, bot.clicks.clicks) == (200, [])
    assert ms.posted(APPROVERS)[1].card == render(MessageView(MessageCode.FAILED), locale="ja", timezone="Asia/Tokyo")


# --- commands


async def test_command_in_the_thread_of_a_card_is_answered_in_this_thread(ms: FakeMicrosoft, bot: Turns) -> None:
    """The answer is a card, and the command gets the text without the mention."""
    card = await _card_to_reply_to(ms, bot)
    bot.commands.reply = Reply(MessageView(MessageCode.NOTHING_PENDING), "ja", "Asia/Tokyo")
    status, _ = await ms.post_message(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", "pending")

    assert status == 200
    [said] = bot.commands.messages
    assert (said.text, said.person.object_id, said.personal) == ("pending", HANAKO.object_id, False)
    assert said.conversation == f"{APPROVERS};messageid={card.id}"
    answer = ms.posted(f"{APPROVERS};messageid={card.id}")[1]
    assert answer.card == render(bot.commands.reply.view, locale="ja", timezone="Asia/Tokyo")
    assert answer.activity["summary"] == summary(bot.commands.reply.view, locale="ja")


async def test_command_in_a_personal_chat_is_answered_in_the_same_chat(ms: FakeMicrosoft, bot: Turns) -> None:
    """The command gets the language of the person's client. The answer is in the language that the command returns."""
    chat = ms.world.personal(HANAKO)
    bot.commands.reply = Reply(HelpView(personal=True), "ja", "UTC")
    await ms.post_message(bot.url, HANAKO, chat, "help", locale="ja-JP")

    assert (bot.commands.messages[0].personal, bot.commands.messages[0].locale) == (True, "ja")
    assert [each.card for each in ms.posted(chat)] == [render(HelpView(personal=True), locale="ja", timezone="UTC")]


async def test_command_without_a_message_id_is_answered_in_the_personal_chat(ms: FakeMicrosoft, bot: Turns) -> None:
    """The answer does not refer to the message, so its id is not needed."""
    personal = ms.world.personal(ICHIRO)
    await ms.post_message(bot.url, ICHIRO, personal, "help", id=None)

    assert len(ms.posted(personal)) == 1


async def test_mention_without_text_reaches_the_command_service_as_an_empty_text(ms: FakeMicrosoft, bot: Turns) -> None:
    """test_commands proves that the command service answers an empty text with help."""
    card = await _card_to_reply_to(ms, bot)
    await ms.post_message(bot.url, HANAKO, f"{APPROVERS};messageid={card.id}", "")

    assert bot.commands.messages[0].text == ""


async def test_command_that_fails_while_the_store_is_unavailable_is_answered(ms: FakeMicrosoft, bot: Turns) -> None:
    """The answer says that the command failed."""
    chat, bot.commands.broken, bot.store.broken = ms.world.personal(HANAKO), True, True
    await ms.post_message(bot.url, HANAKO, chat, "pending")

    assert [each.card for each in ms.posted(chat)] == [
        render(MessageView(MessageCode.FAILED), locale="en", timezone="Asia/Tokyo")
    ]


async def test_many_commands_in_a_channel_do_not_delay_its_cards(ms: FakeMicrosoft, bot: Turns) -> None:
    """Replies use only a part of the rate limit of a channel; the rest is for cards."""
    card = await _card_to_reply_to(ms, bot)
    thread = f"{APPROVERS};messageid={card.id}"
    for _ in range(3):
        for who in (HANAKO, ICHIRO, MEI, TARO, ALEX, PRIYA) * 3:
            await ms.post_message(bot.url, who, thread, "help")
        await bot.side.chat.post(APPROVERS, Message(CARD, "waiting"))  # ChatThrottled: the card would have to wait
        await bot.clock.advance(10)

    assert len(bot.commands.messages) == 54
    assert 0 < len(ms.posted(thread)) - 1 <= 30
    await bot.clock.advance(30)
    await ms.post_message(bot.url, HANAKO, thread, "help")
    assert len(ms.posted(thread)) > 2


@pytest.mark.parametrize("place", ["channel", "personal"])
async def test_commands_above_a_persons_limit_cause_no_work(ms: FakeMicrosoft, bot: Turns, place: str) -> None:
    """Some commands read many rows, one person's after another's. Another person's command is still answered."""
    card = await _card_to_reply_to(ms, bot)
    bot.commands.reply = Reply(HelpView(), "en", "UTC", private=place == "channel")
    for who, times in ((HANAKO, 20), (ICHIRO, 1)):
        conversation = f"{APPROVERS};messageid={card.id}" if place == "channel" else ms.world.personal(who)
        for number in range(times):
            await ms.post_message(bot.url, who, conversation, f"history node-{number}")
    askers = Counter(each.person.object_id for each in bot.commands.messages)
    assert askers == {HANAKO.object_id: min(most // SHARE for _, most in LIMITS), ICHIRO.object_id: 1}
    await bot.clock.advance(2)
    await ms.post_message(bot.url, HANAKO, ms.world.personal(HANAKO), "history")
    assert len(bot.commands.messages) == askers.total() + 1


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 500}, {"status": 429, "headers": {"Retry-After": "9"}}])
async def test_command_whose_reply_teams_refuses_is_answered_with_http_200(
    ms: FakeMicrosoft, bot: Turns, fault: dict[str, Any]
) -> None:
    """After a 200, Teams does not send the message again."""
    ms.fault("POST", "/activities", times=None, **fault)
    status, _ = await ms.post_message(bot.url, HANAKO, ms.world.personal(HANAKO), "help")

    assert status == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 502},
        {"status": 404},
        {"status": 403, "body": '{"error": {"code": "BotDisabledByAdmin"}}'},
        {"status": 400},
        {"status": 429, "headers": {"Retry-After": "2"}},
        {"status": 409, "body": "<html>"},
        {"status": 302, "headers": {"Location": "/login"}},
        {"drop": "before"},
    ],
)
async def test_reply_that_fails_once_is_repeated(ms: FakeMicrosoft, bot: Turns, fault: dict[str, Any]) -> None:
    """The turn ends without a reply. The reply comes once, seconds later, and the next command is answered too."""
    chat = ms.world.personal(HANAKO)
    ms.fault("POST", "/activities", **fault)
    await ms.post_message(bot.url, HANAKO, chat, "help")
    assert ms.posted(chat) == []
    await bot.clock.advance(REPEAT_AFTER)
    await ms.faults.until(lambda: bool(ms.posted(chat)))
    await ms.post_message(bot.url, HANAKO, chat, "help")
    assert len(ms.posted(chat)) == 2


async def test_reply_that_teams_answers_with_503_is_repeated_within_the_turn(ms: FakeMicrosoft, bot: Turns) -> None:
    """After a 503, the reply is not in Teams. It is repeated immediately, although its Retry-After is unreadable."""
    chat = ms.world.personal(HANAKO)
    unreadable = "Thu, 01 Jan 2026 00:00:00 +99999999999999999999"
    ms.fault("POST", "/activities", status=503, headers={"Retry-After": unreadable})
    turn = asyncio.create_task(ms.post_message(bot.url, HANAKO, chat, "help"))
    await bot.clock.sleeper(within=LONGEST_WAIT)
    await bot.clock.advance(LONGEST_WAIT)
    assert (await turn)[0] == 200
    assert len(ms.posted(chat)) == 1


async def test_reply_that_fails_twice_is_given_up(ms: FakeMicrosoft, bot: Turns) -> None:
    """The bot tries to send the reply twice, and not again in the next ten minutes."""
    chat = ms.world.personal(HANAKO)
    ms.fault("POST", "/activities", times=None, status=500)
    await ms.post_message(bot.url, HANAKO, chat, "help")
    await bot.clock.advance(REPEAT_AFTER)
    await ms.faults.until(lambda: len(ms.writes(chat)) == 2)
    await bot.clock.advance(600)
    assert len(ms.writes(chat)) == 2


async def test_reply_that_teams_accepts_without_an_id_is_not_repeated(ms: FakeMicrosoft, bot: Turns) -> None:
    """Teams answers 202. The next command gets a reply too."""
    chat = ms.world.personal(HANAKO)
    ms.fault("POST", "/activities", status=202)
    for _ in range(2):
        await ms.post_message(bot.url, HANAKO, chat, "help")
    await bot.clock.advance(600)
    assert len(ms.writes(chat)) == 2


async def test_senders_without_an_object_id_are_not_answered(ms: FakeMicrosoft, bot: Turns) -> None:
    """Another bot, which has no object id, gets no reply, so two bots never talk endlessly."""
    sender = {"id": "28:another-bot", "name": "Another bot"}
    chat = ms.world.personal(HANAKO)
    assert (await ms.post_message(bot.url, HANAKO, chat, "help", **{"from": sender}))[0] == 200

    for action in ("add", "remove"):
        assert (await ms.post_installation(bot.url, HANAKO, chat, action, **{"from": sender}))[0] == 200

    assert (bot.commands.messages, ms.posted(chat), bot.store.tables.chats) == ([], [], {})


# --- installations


async def test_person_who_installs_the_bot_is_welcomed_once(ms: FakeMicrosoft, bot: Turns) -> None:
    """Teams sends two events at the same time; later messages and a second installation cause no welcome message."""
    chat = ms.world.personal(TARO)
    await asyncio.gather(
        ms.post_installation(bot.url, TARO, chat, locale="ja-JP"),
        ms.post_membership(bot.url, TARO, chat, bot_added=True, locale="ja-JP"),
    )
    await ms.post_message(bot.url, TARO, chat, "help")
    await ms.post_installation(bot.url, TARO, chat)

    greeting, help_card = ms.posted(chat)
    assert greeting.card == render(MessageView(MessageCode.WELCOME), locale="ja", timezone="Asia/Tokyo")
    assert help_card.card == render(HelpView(), locale="en", timezone="UTC")
    known = bot.store.tables.chats[TARO.object_id]
    assert (known.conversation, known.service_url) == (chat.id, ms.service_url)
    assert (known.person.upn, known.person.mail, known.person.teams_id) == (TARO.upn, TARO.email, TARO.id)


async def test_known_person_is_not_welcomed_again_after_a_restart(
    ms: FakeMicrosoft, bot: Turns, clock: ManualClock
) -> None:
    """The store has every person who was welcomed."""
    chat = ms.world.personal(TARO)
    await ms.post_installation(bot.url, TARO, chat)
    async with running_turns(ms, clock=clock) as again:
        again.store.tables.chats |= bot.store.tables.chats
        await ms.post_installation(again.url, TARO, chat)

    assert len(ms.posted(chat)) == 1


async def test_person_who_writes_is_stored_without_an_installation_event(ms: FakeMicrosoft, bot: Turns) -> None:
    """The event may have been lost while the bot was down."""
    chat = ms.world.personal(TARO)
    await ms.post_message(bot.url, TARO, chat, "help")

    assert bot.store.tables.chats[TARO.object_id].conversation == chat.id
    assert len(ms.posted(chat)) == 1  # the answer; a person who writes needs no welcome message


async def test_missing_upn_of_a_person_is_stored_with_the_next_message(ms: FakeMicrosoft, bot: Turns) -> None:
    """At the installation Teams does not return the person's data. The chat is stored immediately."""
    chat = ms.world.personal(TARO)
    ms.fault("GET", "/members/", status=500)
    await ms.post_installation(bot.url, TARO, chat)
    assert bot.store.tables.chats[TARO.object_id].person.upn is None

    await ms.post_message(bot.url, TARO, chat, "help")
    assert bot.store.tables.chats[TARO.object_id].person.upn == TARO.upn


async def test_upn_of_a_person_is_read_again_with_a_message_a_day_later(
    ms: FakeMicrosoft, bot: Turns, clock: ManualClock
) -> None:
    """A UPN can change. If it cannot be read, the stored one stays."""
    chat = ms.world.personal(TARO)
    await ms.post_installation(bot.url, TARO, chat)
    members = ms.world.conversations[chat.id].members
    members[members.index(TARO)] = replace(TARO, upn="taro.sato@example.com")
    for _ in range(2):
        await ms.post_message(bot.url, TARO, chat, "help")
    assert bot.store.tables.chats[TARO.object_id].person.upn == TARO.upn

    await clock.advance(86_400)
    ms.fault("GET", "/members/", status=500)
    await ms.post_message(bot.url, TARO, chat, "help")
    assert bot.store.tables.chats[TARO.object_id].person.upn == TARO.upn
    await ms.post_message(bot.url, TARO, chat, "help")
    assert bot.store.tables.chats[TARO.object_id].person.upn == "taro.sato@example.com"


async def test_personal_chat_is_deleted_from_the_store_when_the_person_uninstalls_the_bot(
    ms: FakeMicrosoft, bot: Turns
) -> None:
    """A new installation causes a new welcome message. An upgrade deletes no chat and causes no message."""
    chat = ms.world.personal(TARO)
    await ms.post_installation(bot.url, TARO, chat)
    for action in ("remove-upgrade", "add-upgrade"):
        await ms.post_installation(bot.url, TARO, chat, action)
    assert (len(ms.posted(chat)), list(bot.store.tables.chats)) == (1, [TARO.object_id])

    await ms.post_installation(bot.url, TARO, chat, "remove")
    assert bot.store.tables.chats == {}
    await ms.post_installation(bot.url, TARO, chat)
    assert len(ms.posted(chat)) == 2


async def test_language_and_time_zone_of_a_person_are_stored_with_their_chat(ms: FakeMicrosoft, bot: Turns) -> None:
    """A later message changes both. A message without them, or with unknown ones, changes nothing."""
    chat = ms.world.personal(TARO)
    for said in (
        {"locale": "ja-JP", "localTimezone": "Asia/Tokyo"},
        {"locale": "en-GB", "localTimezone": "Europe/London"},
        {"locale": "xx", "localTimezone": "Mars/Base"},
        {"locale": None, "localTimezone": None},
    ):
        await ms.post_message(bot.url, TARO, chat, "help", **said)
        known = bot.store.tables.chats[TARO.object_id]
        assert (known.locale, known.timezone) == (
            ("ja", "Asia/Tokyo") if said["locale"] == "ja-JP" else ("en", "Europe/London")
        )


async def test_language_that_another_process_stored_meanwhile_is_corrected(
    ms: FakeMicrosoft, bot: Turns, clock: ManualClock
) -> None:
    """Taro tries Japanese, which another process sees, and returns to English. Minutes later, English is stored."""
    chat = ms.world.personal(TARO)
    async with running_turns(ms, clock=clock) as other:
        other.store.tables.chats = bot.store.tables.chats
        for seen_by, locale in ((bot, "en-US"), (other, "ja-JP"), (bot, "en-US")):
            await clock.advance(STYLE_CACHED_FOR)
            await ms.post_message(seen_by.url, TARO, chat, "help", locale=locale)
            await settled()
        assert bot.store.tables.chats[TARO.object_id].locale == "en"


async def test_new_language_costs_no_read_of_the_persons_addresses(ms: FakeMicrosoft, bot: Turns) -> None:
    """A client may state another language with every message."""
    chat = ms.world.personal(TARO)
    await ms.post_message(bot.url, TARO, chat, "help", locale="en-US")
    reads = len(ms.faults.matching("GET", "/members/"))
    await ms.post_message(bot.url, TARO, chat, "help", locale="ja-JP")
    await settled()
    assert bot.store.tables.chats[TARO.object_id].locale == "ja"
    assert len(ms.faults.matching("GET", "/members/")) == reads


async def test_click_in_a_channel_stores_the_language_of_a_person_who_has_a_chat(ms: FakeMicrosoft, bot: Turns) -> None:
    """Of a person without a chat nothing is stored. An unchanged style causes no write."""
    await ms.post_installation(bot.url, TARO, ms.world.personal(TARO))
    data = {"request": "111122223333/ap-northeast-1/oi-000000000001", "step": "Level1"}
    for person in (TARO, HANAKO):
        await ms.post_invoke(bot.url, person, APPROVERS, "approve", data, locale="ja-JP", localTimezone="Asia/Tokyo")
    known = bot.store.tables.chats[TARO.object_id]
    assert (known.locale, known.timezone) == ("ja", "Asia/Tokyo")
    assert list(bot.store.tables.chats) == [TARO.object_id]
    await ms.post_invoke(bot.url, TARO, APPROVERS, "approve", data, locale="ja-JP", localTimezone="Asia/Tokyo")
    assert bot.store.tables.chats[TARO.object_id] is known


async def test_language_of_a_person_whose_chat_another_process_stored_is_learned_within_a_minute(
    ms: FakeMicrosoft, bot: Turns, clock: ManualClock
) -> None:
    """Of a person without a chat, the store is asked once a minute."""
    data = {"request": "111122223333/ap-northeast-1/oi-000000000001", "step": "Level1"}
    await ms.post_invoke(bot.url, TARO, APPROVERS, "approve", data, locale="ja-JP")
    async with running_turns(ms, clock=clock) as other:
        other.store.tables.chats = bot.store.tables.chats
        await ms.post_installation(other.url, TARO, ms.world.personal(TARO), locale="en-US")
    for waited, locale in ((0, "en"), (ABSENT_FOR, "ja")):
        await clock.advance(waited)
        await ms.post_invoke(bot.url, TARO, APPROVERS, "approve", data, locale="ja-JP")
        await settled()
        assert bot.store.tables.chats[TARO.object_id].locale == locale


async def test_installation_in_a_team_causes_no_welcome_message(ms: FakeMicrosoft, bot: Turns) -> None:
    """Neither of the two events of an installation causes a message, and no chat is stored."""
    await ms.post_installation(bot.url, TARO, APPROVERS)
    await ms.post_membership(bot.url, TARO, APPROVERS, bot_added=True)

    assert (ms.world.messages, bot.store.tables.chats) == ([], {})


async def test_removing_the_bot_from_a_team_keeps_the_stored_personal_chats(ms: FakeMicrosoft, bot: Turns) -> None:
    """The installations of a team and of a person are independent."""
    await ms.post_installation(bot.url, TARO, ms.world.personal(TARO))
    await ms.post_installation(bot.url, TARO, APPROVERS, "remove")

    assert list(bot.store.tables.chats) == [TARO.object_id]


async def test_activities_are_accepted_while_the_store_is_unavailable(ms: FakeMicrosoft, bot: Turns) -> None:
    """Installations, removals and clicks are answered with 200.

    Once the store works, the next installation event causes the welcome message.
    """
    chat, bot.store.broken = ms.world.personal(TARO), True
    for send in (
        ms.post_installation(bot.url, TARO, chat),
        ms.post_installation(bot.url, TARO, chat, "remove"),
        ms.post_invoke(bot.url, HANAKO, THREAD, "approve", DATA),
    ):
        assert (await send)[0] == 200
    assert (len(bot.clicks.clicks), ms.posted(chat)) == (1, [])

    bot.store.broken = False
    await ms.post_installation(bot.url, TARO, chat)
    assert len(ms.posted(chat)) == 1


# --- membership


@pytest.mark.parametrize("where", [APPROVERS, LEADS])
async def test_person_who_leaves_the_team_is_no_longer_a_member(ms: FakeMicrosoft, bot: Turns, where: str) -> None:
    """Teams sends the event in this channel or in another one of the team. In both cases the roster is read again."""
    assert await bot.side.people.member(APPROVERS, MEI.object_id)
    ms.world.conversations[APPROVERS].members.remove(MEI)
    await ms.post_membership(bot.url, HANAKO, where, removed=[MEI])

    assert await bot.side.people.member(APPROVERS, MEI.object_id) is None


@pytest.mark.parametrize(
    "event", ["channelUnshared", "channelShared", "channelDeleted", "teamDeleted", "teamArchived", "addedLater", ""]
)
async def test_person_who_loses_access_to_a_channel_without_a_member_event_is_no_longer_a_member(
    ms: FakeMicrosoft, bot: Turns, event: str
) -> None:
    """These events name no members. After each of them, even an unknown one, the roster is read again."""
    assert await bot.side.people.member(APPROVERS, MEI.object_id)
    ms.world.conversations[APPROVERS].members.remove(MEI)
    await ms.post_channel_event(bot.url, HANAKO, APPROVERS, event)

    assert await bot.side.people.member(APPROVERS, MEI.object_id) is None


@pytest.mark.parametrize(
    "event",
    [
        "ChannelUnshared",
        "channelMemberRemoved",
        "teamHardDeleted",
        "teamMemberRemoved",
        "channelRestored",
        "channelRenamed ",
        None,
    ],
)
async def test_any_event_that_may_be_about_members_invalidates_the_roster(
    ms: FakeMicrosoft, bot: Turns, event: Any
) -> None:
    """An event whose kind has other capitals or a blank at its end, is unknown, or is missing may be about members."""
    assert await bot.side.people.member(APPROVERS, MEI.object_id)
    ms.world.conversations[APPROVERS].members.remove(MEI)
    data = {"tenant": {"id": TENANT_ID}, "team": {"id": TEAM}, "channel": {"id": APPROVERS}, "eventType": event}
    status, _ = await ms.post_channel_event(bot.url, HANAKO, APPROVERS, "", channelData=data)

    assert (status, await bot.side.people.member(APPROVERS, MEI.object_id)) == (200, None)


@pytest.mark.parametrize(
    ("where", "data"),
    [
        (TEAM, {"team": {"id": TEAM}}),
        (APPROVERS, {}),
        (THREAD, {}),
        (LEADS, {"team": {"id": TEAM}, "channel": {"id": LEADS}}),
        (LEADS, {"team": {"id": TEAM}, "channel": None}),
        (LEADS, {"team": None, "channel": {"id": APPROVERS}}),
    ],
    ids=["team", "conversation only", "thread", "other channel", "no channel", "no team"],
)
async def test_event_that_names_only_team_channel_or_conversation_invalidates_the_roster(
    ms: FakeMicrosoft, bot: Turns, where: str, data: Json
) -> None:
    """The team, the channel, or only the conversation of the activity may say which rosters changed."""
    assert await bot.side.people.member(APPROVERS, MEI.object_id)
    ms.world.conversations[APPROVERS].members.remove(MEI)
    whole = {"tenant": {"id": TENANT_ID}, "eventType": "channelUnshared", **data}
    status, _ = await ms.post_channel_event(bot.url, HANAKO, where, "channelUnshared", channelData=whole)

    assert (status, await bot.side.people.member(APPROVERS, MEI.object_id)) == (200, None)


async def test_person_who_is_removed_while_the_roster_is_read_is_no_longer_a_member(
    ms: FakeMicrosoft, bot: Turns
) -> None:
    """The event arrives during the read, so the result of that read is not used."""
    held = ms.hold("GET", "pagedmembers$")
    looking = asyncio.create_task(bot.side.people.member(APPROVERS, MEI.object_id))
    await held.reached.wait()
    ms.world.conversations[APPROVERS].members.remove(MEI)
    await ms.post_membership(bot.url, HANAKO, APPROVERS, removed=[MEI])
    assert held.gate is not None
    held.gate.set()

    assert await looking is None


async def test_event_with_a_shared_channel_but_no_team_invalidates_the_roster(ms: FakeMicrosoft, bot: Turns) -> None:
    """The event arrives in another channel."""
    assert await bot.side.people.member(APPROVERS, MEI.object_id)
    ms.world.conversations[APPROVERS].members.remove(MEI)
    data = {"tenant": {"id": TENANT_ID}, "channel": {"id": APPROVERS}, "eventType": "channelUnshared"}
    await ms.post_channel_event(bot.url, HANAKO, LEADS, "channelUnshared", channelData=data)

    assert await bot.side.people.member(APPROVERS, MEI.object_id) is None


async def test_event_without_a_change_of_members_invalidates_no_roster(ms: FakeMicrosoft, bot: Turns) -> None:
    """The bot is added to a personal chat, a channel or team is renamed, or a channel is created."""
    assert await bot.side.people.member(APPROVERS, ICHIRO.object_id)
    await ms.post_membership(bot.url, TARO, ms.world.personal(TARO), bot_added=True)
    for event in ("channelRenamed", "teamRenamed", "channelCreated"):
        await ms.post_channel_event(bot.url, TARO, APPROVERS, event)
    assert await bot.side.people.member(APPROVERS, ICHIRO.object_id)

    assert len(ms.faults.matching("GET", "pagedmembers")) == 1


# --- every activity


@pytest.mark.parametrize(
    "kind", ["messageReaction", "messageUpdate", "messageDelete", "event", "typing", "endOfConversation", "x"]
)
async def test_activities_that_need_no_reply_are_accepted_without_a_reply(
    ms: FakeMicrosoft, bot: Turns, kind: str
) -> None:
    """Such activities may have any content. Only the service URL of the conversation is stored."""
    body = activity(
        kind,
        sender=HANAKO,
        place=ms.world.place(THREAD),
        service_url=ms.service_url,
        name="application/vnd.microsoft.readReceipt",
        value=["odd"],
        channelData={"tenant": {"id": TENANT_ID}, "eventType": "softDeleteMessage", "settings": 5},
    )
    with capture_logs() as logs:
        status, answer = await ms.send(bot.url, body)

    assert (status, answer, ms.world.messages) == (200, None, [])
    assert "turn_failed" not in {line["event"] for line in logs}
    assert bot.store.tables.service_urls == {APPROVERS: ms.service_url}


async def test_bot_becomes_ready_when_it_has_the_signing_keys(ms: FakeMicrosoft, bot: Turns) -> None:
    """Before that, /readyz answers 503, and the keys are missing."""
    ms.fault("GET", "well-known", status=500)
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{bot.url}/readyz") as answer:
            assert answer.status == 503
        assert list(await bot.side.missing()) == ["keys"]
        await bot.clock.advance(60)
        async with http.get(f"{bot.url}/readyz") as answer:
            assert answer.status == 200


async def test_service_that_retries_refused_cards_is_notified_of_an_installation_in_a_team(
    ms: FakeMicrosoft, bot: Turns
) -> None:
    """Teams reports it as an installation or as a new member. Removals, new people and personal chats are ignored."""
    await ms.post_installation(bot.url, HANAKO, APPROVERS, "add")
    await ms.post_membership(bot.url, HANAKO, APPROVERS, bot_added=True)
    assert bot.installations.count == 2
    await ms.post_installation(bot.url, HANAKO, APPROVERS, "remove")
    await ms.post_membership(bot.url, HANAKO, APPROVERS, added=[ICHIRO])
    await ms.post_installation(bot.url, HANAKO, ms.world.personal(HANAKO), "add")
    assert bot.installations.count == 2


@pytest.mark.parametrize("event", ["channelRestored", "teamUnarchived", "teamRestored"])
async def test_service_that_retries_refused_cards_is_notified_when_a_channel_or_team_is_restored(
    ms: FakeMicrosoft, bot: Turns, event: str
) -> None:
    """A team may also be unarchived. The service is not notified of other events of a team."""
    for other in ("channelDeleted", "teamArchived", "channelRenamed"):
        await ms.post_channel_event(bot.url, HANAKO, APPROVERS, other)
    assert bot.installations.count == 0
    await ms.post_channel_event(bot.url, HANAKO, APPROVERS, event)
    assert bot.installations.count == 1


async def test_service_that_retries_refused_cards_is_notified_of_an_upgrade_in_a_team(
    ms: FakeMicrosoft, bot: Turns
) -> None:
    """The new version may be allowed in channels that refused the earlier one."""
    await ms.post_installation(bot.url, HANAKO, APPROVERS, "add-upgrade")
    assert bot.installations.count == 1


@pytest.mark.parametrize("action", ["add", "add-upgrade", "remove"])
async def test_installation_upgrade_or_removal_in_a_team_invalidates_its_rosters(
    ms: FakeMicrosoft, bot: Turns, action: str
) -> None:
    """The roster is read again, because what the bot may read depends on where it is installed."""
    assert await bot.side.people.member(APPROVERS, MEI.object_id)
    ms.world.conversations[APPROVERS].members.remove(MEI)
    await ms.post_installation(bot.url, HANAKO, APPROVERS, action)

    assert await bot.side.people.member(APPROVERS, MEI.object_id) is None
