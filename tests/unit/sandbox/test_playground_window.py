"""Tests for bot.sandbox.teams.playground_window: which page shows which message."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.sandbox.teams.gaps import ONLY_FOR
from bot.sandbox.teams.people import HANAKO, TARO, Person
from bot.sandbox.teams.playground_stream import CONVERSATIONS, LOG
from bot.sandbox.teams.playground_window import PlaygroundWindow
from tests.fakes.listening import listening


class _Playground:
    """The Playground's streams, which send nothing."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Accept the connection to a stream, and keep it open."""
        assert request.path in {CONVERSATIONS, LOG}
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket


@pytest.fixture
async def window() -> AsyncIterator[PlaygroundWindow]:
    """The pages before a Playground that sends nothing."""
    async with listening(_Playground().answer) as port:
        pages = PlaygroundWindow(f"http://127.0.0.1:{port}", personal_chats={}, typed=lambda *_: None)
        await pages.start()
        yield pages
        await pages.stop()


def said(text: str, *, only_for: str = "") -> dict[str, Any]:
    """Return a message in a channel; with `only_for`, a targeted one."""
    card = {"type": "AdaptiveCard", "text": text} | ({ONLY_FOR: only_for} if only_for else {})
    message = {"messageId": text, "attachments": [{"content": card}]}
    return {"action": "createMessage", "actionConversationId": "19:x@thread.tacv2", "message": message}


async def messages_on_the_page_of(window: PlaygroundWindow, person: Person, count: int) -> list[str]:
    """Return the first messages that a person's page gets."""
    url = f"{window.url}{CONVERSATIONS}?person={person.mri}"
    async with aiohttp.ClientSession(trust_env=False) as session, session.ws_connect(url) as page:
        await page.send_str("ready")
        async with asyncio.timeout(30):
            return [json.loads(await page.receive_str())["message"]["messageId"] for _ in range(count)]


async def test_targeted_message_is_on_the_page_of_its_person_only(window: PlaygroundWindow) -> None:
    """Teams shows it to nobody else. Messages around it are on every page."""
    for message in (said("before"), said("secret", only_for=TARO.mri), said("after")):
        window.show(message)
    assert await messages_on_the_page_of(window, TARO, 3) == ["before", "secret", "after"]
    assert await messages_on_the_page_of(window, HANAKO, 2) == ["before", "after"]
