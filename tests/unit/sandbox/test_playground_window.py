"""Tests for bot.sandbox.teams.playground_window: which page shows which message."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.sandbox.teams.card_refresh import CARD_TYPE
from bot.sandbox.teams.gaps import ONLY_FOR
from bot.sandbox.teams.people import HANAKO, TARO, Person
from bot.sandbox.teams.playground_stream import CONVERSATIONS, LOG
from bot.sandbox.teams.playground_window import PlaygroundWindow
from tests.fakes.listening import listening


class _Playground:
    """The Playground's streams, which send nothing. `called` has the paths of other requests, which get `status`."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Accept the connection to a stream, and keep it open; answer another request."""
        if request.path not in {CONVERSATIONS, LOG}:
            self.called.append(request.path)
            return web.Response(status=self.status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket


class _Bot:
    """A bot that shows each person a view of a card. `asked` has the invokes that arrived; None: it does not answer."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.answer: Any = {"type": CARD_TYPE, "value": {"body": "yours", "refresh": {"userIds": [TARO.mri]}}}

    async def invoke(self, activity: Mapping[str, Any]) -> Any:
        """Answer an invoke."""
        self.asked.append(activity)
        return self.answer


@pytest.fixture
def bot() -> _Bot:
    """The bot that the pages ask."""
    return _Bot()


@pytest.fixture
def playground() -> _Playground:
    """The Playground behind the pages."""
    return _Playground()


@pytest.fixture
async def window(bot: _Bot, playground: _Playground) -> AsyncIterator[PlaygroundWindow]:
    """The pages before a Playground that sends nothing."""
    async with listening(playground.answer) as port:
        url = f"http://127.0.0.1:{port}"
        pages = PlaygroundWindow(url, personal_chats={}, typed=lambda *_: None, invoke=bot.invoke)
        await pages.start()
        yield pages
        await pages.stop()


def said(text: str, *, only_for: str = "") -> dict[str, Any]:
    """Return a message in a channel; with `only_for`, a targeted one."""
    card = {"type": "AdaptiveCard", "text": text} | ({ONLY_FOR: only_for} if only_for else {})
    message = {"messageId": text, "attachments": [{"content": card}]}
    return {"action": "createMessage", "actionConversationId": "19:x@thread.tacv2", "message": message}


def viewed(text: str, *, action: str = "createMessage") -> dict[str, Any]:
    """Return a message with a card that names Taro as a viewer."""
    refresh = {"action": {"verb": "refresh", "title": text}, "userIds": []}
    card = {"type": "AdaptiveCard", "body": text, "refresh": refresh, "viewers": [TARO.mri]}
    message = {"messageId": "7", "from": {"id": "28:bot"}, "attachments": [{"content": card}]}
    return {"action": action, "actionConversationId": "19:x@thread.tacv2", "message": message}


async def cards_on_the_page_of(window: PlaygroundWindow, person: Person, count: int) -> list[dict[str, Any]]:
    """Return the cards of the first messages that a person's page gets."""
    messages = await received(window, person, count)
    return [each["attachments"][0]["content"] for each in messages]


async def messages_on_the_page_of(window: PlaygroundWindow, person: Person, count: int) -> list[str]:
    """Return the ids of the first messages that a person's page gets."""
    return [each["messageId"] for each in await received(window, person, count)]


async def received(window: PlaygroundWindow, person: Person, count: int) -> list[dict[str, Any]]:
    """Return the first messages that a person's page gets."""
    url = f"{window.url}{CONVERSATIONS}?person={person.mri}"
    async with aiohttp.ClientSession(trust_env=False) as session, session.ws_connect(url) as page:
        await page.send_str("ready")
        async with asyncio.timeout(30):
            return [json.loads(await page.receive_str())["message"] for _ in range(count)]


async def test_targeted_message_is_on_the_page_of_its_person_only(window: PlaygroundWindow) -> None:
    """Teams shows it to nobody else. Messages around it are on every page."""
    for message in (said("before"), said("secret", only_for=TARO.mri), said("after")):
        window.show(message)
    assert await messages_on_the_page_of(window, TARO, 3) == ["before", "secret", "after"]
    assert await messages_on_the_page_of(window, HANAKO, 2) == ["before", "after"]


async def test_page_shows_its_persons_view_of_a_card(window: PlaygroundWindow, bot: _Bot) -> None:
    """The page asks the bot without a click, as the person, and only if the card lists the person as a viewer."""
    window.show(viewed("everybody's"))
    (card,) = await cards_on_the_page_of(window, TARO, 1)
    assert (card["body"], card["refresh"]) == ("yours", {"userIds": []})  # the Playground would write below the card
    (asked,) = bot.asked
    assert (asked["type"], asked["name"], asked["from"]["id"]) == ("invoke", "adaptiveCard/action", TARO.mri)
    assert (asked["conversation"]["id"], asked["replyToId"]) == ("19:x@thread.tacv2;messageid=7", "7")
    assert asked["value"] == {"trigger": "automatic", "action": {"verb": "refresh", "title": "everybody's"}}
    (card,) = await cards_on_the_page_of(window, HANAKO, 1)
    assert card["body"] == "everybody's"
    assert len(bot.asked) == 1


async def test_page_asks_once_for_a_card_that_was_updated_before_it_was_opened(
    window: PlaygroundWindow, bot: _Bot
) -> None:
    """Teams knows only the newest version of a message. The page gets the older one unchanged."""
    window.show(viewed("old"))
    window.show(viewed("new", action="updateMessage"))
    assert [each["body"] for each in await cards_on_the_page_of(window, TARO, 2)] == ["old", "yours"]
    assert [each["value"]["action"]["title"] for each in bot.asked] == ["new"]


@pytest.mark.parametrize("answer", [None, {"type": "application/vnd.microsoft.error", "value": {"code": "x"}}])
async def test_page_shows_the_channels_card_if_the_bot_has_no_view(
    window: PlaygroundWindow, bot: _Bot, answer: Any
) -> None:
    """The bot is down, or refuses."""
    bot.answer = answer
    window.show(viewed("everybody's"))
    (card,) = await cards_on_the_page_of(window, TARO, 1)
    assert card["body"] == "everybody's"


async def test_pages_install_the_bot_once_in_each_conversation(
    window: PlaygroundWindow, playground: _Playground
) -> None:
    """The Playground's page does it whenever it is opened. A failed installation is repeated."""
    async with aiohttp.ClientSession(window.url, trust_env=False) as session:
        for status, conversation in ((404, "a"), (200, "a"), (200, "a"), (200, "b"), (200, "b")):
            playground.status = status
            async with session.post(f"/_debug/conversation/{conversation}/installation", json={}) as response:
                assert response.status == status
    assert playground.called == [f"/_debug/conversation/{each}/installation" for each in ("a", "a", "b")]
