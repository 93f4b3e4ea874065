"""The way to the bot: completes each activity as Teams would have sent it, signs it, and posts it.

Owns what the bot received and answered. Knows nothing of the connector.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp import web

from bot.sandbox.microsoft import Microsoft
from bot.sandbox.teams_connector import parsed
from bot.sandbox.teams_gaps import Refusal, completed

MESSAGES_PATH: Final = "/api/messages"
PATIENCE: Final = aiohttp.ClientTimeout(total=15.0)  # seconds; Teams gives up between 10 and 15
KEPT: Final = 10_000  # recorded activities; a sandbox may run for days


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An activity that reached the bot, and what the bot answered after how many seconds."""

    activity: Mapping[str, Any]
    status: int
    answer: Any
    seconds: float


class BotUnreachable(Exception):
    """No bot answered: it has not started, has stopped, or took longer than Teams waits."""


class Inbound:
    """Delivers activities to the bot. `bot_url`, an origin, and `service_url` may be set late."""

    def __init__(self, microsoft: Microsoft, *, tenant_id: str, bot_url: str | None = None) -> None:
        self.bot_url = bot_url
        self.service_url = ""
        self.received: deque[Received] = deque(maxlen=KEPT)
        self._microsoft = microsoft
        self._tenant_id = tenant_id
        self._session: aiohttp.ClientSession | None = None

    def use(self, session: aiohttp.ClientSession) -> None:
        """Make outgoing calls on this session, which its owner closes."""
        self._session = session

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to mount on the sandbox's one loopback address."""
        return [web.head(MESSAGES_PATH, self._probed), web.post(MESSAGES_PATH, self._from_playground)]

    async def deliver(self, activity: Mapping[str, Any]) -> Received:
        """Complete and sign this activity, hand it to the bot, and return what it answered.

        Raises BotUnreachable.
        """
        if self._session is None or not self.bot_url:
            raise BotUnreachable("The bot has not started yet")
        whole = completed(activity, tenant_id=self._tenant_id, service_url=self.service_url)
        try:
            received = await self._post(self._session, f"{self.bot_url.rstrip('/')}{MESSAGES_PATH}", whole)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BotUnreachable(type(error).__name__) from error
        self.received.append(received)
        return received

    async def _post(self, session: aiohttp.ClientSession, url: str, activity: Mapping[str, Any]) -> Received:
        token = self._microsoft.inbound_token(service_url=self.service_url)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        clock = asyncio.get_running_loop()
        began = clock.time()
        body = json.dumps(activity).encode()
        async with session.post(url, data=body, headers=headers, timeout=PATIENCE) as response:
            answer = parsed(await response.read())
            seconds = clock.time() - began
            return Received(activity=activity, status=response.status, answer=answer, seconds=seconds)

    async def _probed(self, _request: web.Request) -> web.Response:
        """Answer the Playground, which asks before its first activity; a bot takes only POST here."""
        return web.Response(status=200 if self.bot_url else 503)

    async def _from_playground(self, request: web.Request) -> web.Response:
        activity = parsed(await request.read())
        # the media type is checked because a foreign web page can post plain text to us, but not JSON
        if request.content_type != "application/json" or not isinstance(activity, dict):
            return web.Response(status=400)
        try:
            received = await self.deliver(activity)
        except BotUnreachable as error:
            refusal = Refusal(status=502, code="BotUnreachable", message=str(error))
            return web.json_response(refusal.body(), status=refusal.status)
        if received.answer is None:
            return web.Response(status=received.status)
        return web.json_response(received.answer, status=received.status)
