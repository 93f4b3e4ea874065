"""Activities to the bot: completes each as Teams would have sent it, signs it, and posts it.

Owns the record of activities and answers.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp import web

from bot.sandbox.teams.connector import parsed
from bot.sandbox.teams.gaps import Refusal, completed
from bot.sandbox.teams.microsoft import Microsoft
from bot.sandbox.teams.people import CASTS, Person

MESSAGES_PATH: Final = "/api/messages"
PATIENCE: Final = aiohttp.ClientTimeout(total=15.0)  # seconds; Teams gives up between 10 and 15
KEPT: Final = 10_000  # recorded activities; a sandbox may run for days


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An activity that reached the bot, the bot's answer, and the seconds until the answer."""

    activity: Mapping[str, Any]
    status: int
    answer: Any
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Typed:
    """A message that a person typed and the Playground has not delivered."""

    person: Person
    conversation: str
    text: str


class BotUnreachable(Exception):
    """The bot did not answer: it has not started, it has stopped, or it is too slow for Teams."""


class Inbound:
    """Delivers activities to the bot. `bot_url` (an origin) and `service_url` may be set after the start."""

    def __init__(self, microsoft: Microsoft, *, tenant_id: str, bot_url: str | None = None) -> None:
        self.bot_url = bot_url
        self.service_url = ""
        self.cast = CASTS["ja"]  # the people's names, languages and time zones
        self.personal_chats: Mapping[str, Person] = {}  # owner of each 1:1 conversation, by its id
        self.received: deque[Received] = deque(maxlen=KEPT)
        self._microsoft = microsoft
        self._tenant_id = tenant_id
        self._session: aiohttp.ClientSession | None = None
        self._news = asyncio.Event()
        self._typed: deque[_Typed] = deque(maxlen=100)  # bounded: the Playground may drop some

    def use(self, session: aiohttp.ClientSession) -> None:
        """Use this session, which its owner closes, for outgoing calls."""
        self._session = session

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the simulated Microsoft that this class answers."""
        return [web.head(MESSAGES_PATH, self._probed), web.post(MESSAGES_PATH, self._from_playground)]

    async def wait_received(self, matches: Callable[[Received], bool]) -> Received:
        """Return the first activity that matches, once the bot has answered it. Waits without a limit."""
        while True:
            news = self._news
            for received in self.received:
                if matches(received):
                    return received
            await news.wait()

    def expect(self, person: Person, *, conversation: str, text: str) -> None:
        """Remember that this person typed this message: the Playground sends it with its current user as the sender."""
        self._typed.append(_Typed(person=person, conversation=_root(conversation), text=text))

    async def deliver(self, activity: Mapping[str, Any]) -> Received:
        """Complete and sign this activity, send it to the bot, and return the answer. Raises BotUnreachable."""
        if self._session is None or not self.bot_url:
            raise BotUnreachable("The bot has not started yet")
        whole = completed(
            activity,
            tenant_id=self._tenant_id,
            service_url=self.service_url,
            sender=self._true_sender(activity),
            cast=self.cast,
        )
        try:
            received = await self._post(self._session, f"{self.bot_url.rstrip('/')}{MESSAGES_PATH}", whole)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BotUnreachable(type(error).__name__) from error
        self.received.append(received)
        self._news.set()
        self._news = asyncio.Event()
        return received

    async def answer(self, activity: Mapping[str, Any]) -> Any:
        """Deliver this activity and return the body of the bot's answer; None if there is none."""
        try:
            return (await self.deliver(activity)).answer
        except BotUnreachable:
            return None

    def _true_sender(self, activity: Mapping[str, Any]) -> Person | None:
        conversation = str((activity.get("conversation") or {}).get("id", ""))
        if conversation in self.personal_chats:
            return self.personal_chats[conversation]
        for typed in self._typed:
            if (typed.conversation, typed.text) == (_root(conversation), activity.get("text")):
                self._typed.remove(typed)
                return typed.person
        return None

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
        """Answer the Playground's HEAD probe for the bot, which accepts only POST and may start later."""
        return web.Response()

    async def _from_playground(self, request: web.Request) -> web.Response:
        activity = parsed(await request.read())
        # checks the media type: a foreign web page can post plain text here, but not JSON
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


def _root(conversation: str) -> str:
    """Return the id of the channel of a thread; the Playground creates thread ids after the message was typed."""
    return conversation.partition(";")[0]
