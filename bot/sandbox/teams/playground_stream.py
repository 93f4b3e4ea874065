"""One of the Playground's two streams, remembered: what it says is told to every page, from the beginning.

Owns the history and who has heard how much of it. Of what is said it knows only for which conversation it is.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from bot.sandbox.teams.people import AT_THE_BROWSER

CONVERSATIONS: Final = "/_ws_conversation/v1/conversations/stream"
LOG: Final = "/_ws/log/stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMessage:
    """One message of a stream, as the page's client takes it."""

    text: str
    conversation: str  # empty: no conversation's
    typed_on: str  # the page on which a person typed it, which shows it by itself; empty: nobody's


class Stream:
    """Listens to the Playground once, for as long as it runs, and tells any number of pages.

    The one connection is never closed before the Playground is: it answers a request with 500 while a listener
    of its is just going away.
    """

    def __init__(self, path: str, *, concerns: Callable[[StreamMessage, URL], bool]) -> None:
        """Listen at this path; `concerns`: whether a page, by its address, is to be told a message."""
        self.path = path
        self._concerns = concerns
        self._said: list[StreamMessage] = []  # a sandbox is one person's, and a page that opens late needs all of it
        self._held: set[str] = set()
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Listen from now on."""
        connection = await session.ws_connect(self.path, max_msg_size=0)
        self._listening = asyncio.create_task(self._listen(connection))

    async def stop(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def hold(self, page: str) -> None:
        """Tell nothing more to the pages of this name."""
        self._held.add(page)

    def release(self, page: str) -> None:
        """Tell them everything that they have missed."""
        self._held.discard(page)
        self._wake()

    def say(self, message: str, *, typed_on: str = "") -> None:
        """Tell the pages this as well."""
        conversation = json.loads(message).get("actionConversationId", "")
        self._said.append(StreamMessage(text=message, conversation=conversation, typed_on=typed_on))
        self._wake()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Tell a page what was said after the first `after` messages, once it says that it is ready."""
        page = web.WebSocketResponse()
        await page.prepare(request)
        telling: asyncio.Task[None] | None = None
        try:
            async for _ in page:
                telling = telling or asyncio.create_task(self._tell(page, request.url))
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
        return page

    async def _tell(self, page: web.WebSocketResponse, url: URL) -> None:
        known, name, position = int(url.query.get("after", "0")), page_name(url), 0
        while True:
            news = self._news
            if position == len(self._said) or name in self._held:
                await news.wait()
                continue
            said, position = self._said[position], position + 1
            if not self._concerns(said, url):
                continue
            if known:
                known -= 1
            else:
                await page.send_str(said.text)

    async def _listen(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        async for message in connection:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.say(message.data)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def page_name(url: URL) -> str:
    """Return what tells this page from others: whose it is, and which of theirs."""
    return f"{url.query.get('person', AT_THE_BROWSER.mri)} {url.query.get('page', '')}"
