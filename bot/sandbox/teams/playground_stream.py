"""One of the Playground's two WebSocket streams, recorded: every page gets all messages from the beginning.

Owns the history and each page's position in it. It parses only what decides which page gets a message, in which form.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from bot.sandbox.teams.card_refresh import Refresh, refresh_of
from bot.sandbox.teams.gaps import only_reader
from bot.sandbox.teams.people import AT_THE_BROWSER

CONVERSATIONS: Final = "/_ws_conversation/v1/conversations/stream"
LOG: Final = "/_ws/log/stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMessage:
    """One message of a stream, in the form that the page expects."""

    text: str
    conversation: str  # empty if the message has none
    only_for: str  # `29:` id of the only person who sees it; else empty
    typed_on: str  # id of the page on which a person typed it (that page already shows it); else empty
    subject: str  # id of the posted or updated message; empty if there is none
    refresh: Refresh | None  # how a page asks for its person's view of the card; None if the card has no views


class Stream:
    """Listens to the Playground with one connection, and serves any number of pages.

    The connection stays open as long as the Playground runs: while a listener disconnects, the Playground answers
    requests with 500.
    """

    def __init__(
        self,
        path: str,
        *,
        concerns: Callable[[StreamMessage, URL], bool],
        seen: Callable[[StreamMessage, URL], Awaitable[str]],
    ) -> None:
        """Listen at this path. `concerns(message, address of a page)` returns whether the page gets the message.

        `seen(message, address of a page)` returns the text of a message with a refresh as this page shows it.
        """
        self.path = path
        self._concerns, self._seen = concerns, seen
        self._messages: list[StreamMessage] = []  # unbounded: a page that opens late needs all messages
        self._newest: dict[str, StreamMessage] = {}  # by subject
        self._held: set[str] = set()
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Connect to the Playground, and record its messages from now on."""
        connection = await session.ws_connect(self.path, max_msg_size=0)
        self._listening = asyncio.create_task(self._listen(connection))

    async def stop(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def hold(self, page: str) -> None:
        """Send nothing more to the pages with this name, until `release`."""
        self._held.add(page)

    def release(self, page: str) -> None:
        """Send these pages all messages that they missed."""
        self._held.discard(page)
        self._wake()

    def say(self, message: str, *, typed_on: str = "") -> None:
        """Add a message to the stream. `typed_on` is the id of the page on which a person typed it."""
        content = json.loads(message)
        said = StreamMessage(
            text=message,
            conversation=content.get("actionConversationId", ""),
            only_for=only_reader(content),
            typed_on=typed_on,
            subject=str((content.get("message") or {}).get("messageId", "")),
            refresh=refresh_of(content),
        )
        self._messages.append(said)
        self._newest[said.subject] = said
        self._wake()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Send a page all messages, once it has sent one itself to show that it is ready.

        With `?after=N` in the address, the first N messages are left out.
        """
        page = web.WebSocketResponse()
        await page.prepare(request)
        sending: asyncio.Task[None] | None = None
        try:
            async for _ in page:
                sending = sending or asyncio.create_task(self._send(page, request.url))
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        return page

    async def _send(self, page: web.WebSocketResponse, url: URL) -> None:
        known, name, position = int(url.query.get("after", "0")), page_name(url), 0
        while True:
            news = self._news
            if position == len(self._messages) or name in self._held:
                await news.wait()
                continue
            said, position = self._messages[position], position + 1
            if not self._concerns(said, url):
                continue
            if known:
                known -= 1
                continue
            text = await self._text(said, url)
            await self._released(name)  # it may be held since the bot was asked
            await page.send_str(text)

    async def _released(self, name: str) -> None:
        """Wait while the pages with this name are held."""
        while name in self._held:
            await self._news.wait()

    async def _text(self, said: StreamMessage, url: URL) -> str:
        """Return the message as the page shows it; an older version of a card is not asked for."""
        current = said.refresh is not None and self._newest[said.subject] is said
        return await self._seen(said, url) if current else said.text

    async def _listen(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        async for message in connection:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.say(message.data)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def page_name(url: URL) -> str:
    """Return the name of a page: its person, and what distinguishes several pages of this person."""
    return f"{url.query.get('person', AT_THE_BROWSER.mri)} {url.query.get('page', '')}"
