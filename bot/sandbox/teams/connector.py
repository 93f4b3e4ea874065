"""The Connector API that the bot calls: checks the token, applies faults, and forwards the call to the Playground.

Owns the record of calls and answers. The differences between Teams and the Playground are in `gaps`.

https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

from bot.sandbox.teams.faults import Effect, Fault, Faults
from bot.sandbox.teams.gaps import ConnectorCall, Refusal, to_playground
from bot.sandbox.teams.microsoft import Microsoft

CONNECTOR_PATH: Final = "/amer/"  # real service URLs have a region here
PATIENCE: Final = aiohttp.ClientTimeout(total=30.0)  # seconds; a Playground that runs answers at once
KEPT: Final = 10_000  # recorded calls; a sandbox may run for days


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A Connector call of the bot, and its answer. `path` is decoded and begins with `v3/`."""

    method: str
    path: str
    body: Any
    status: int
    answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    raw: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None

    @classmethod
    def refusing(cls, refusal: Refusal, headers: Mapping[str, str] | None = None) -> "_Answer":
        return cls(status=refusal.status, raw=json.dumps(refusal.body()).encode(), headers=headers)


class Connector:
    """Teams' Connector API on loopback.

    `playground_url` (an origin) and `show` may be set after the start. `show` gets every call that succeeded, with
    the message id of its answer.
    """

    def __init__(self, microsoft: Microsoft, *, tenant_id: str) -> None:
        self.playground_url = ""
        self.show: Callable[[ConnectorCall, str], None] = _show_nothing
        self.sent: deque[Sent] = deque(maxlen=KEPT)
        self.faults = Faults()
        self._microsoft = microsoft
        self._tenant_id = tenant_id
        self._held: list[ConnectorCall] | None = None
        self._session: aiohttp.ClientSession | None = None

    def use(self, session: aiohttp.ClientSession) -> None:
        """Use this session, which its owner closes, for outgoing calls."""
        self._session = session

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the simulated Microsoft that this class answers."""
        return [web.route("*", CONNECTOR_PATH + "{tail:.*}", self._from_bot)]

    def hold_updates(self) -> None:
        """Answer the bot's message updates, but show them on no page until `release_updates`."""
        self._held = self._held or []

    async def release_updates(self) -> None:
        """Show all held updates, in order. Later updates are shown immediately."""
        while self._held:  # one by one, so that no newer update overtakes an older one
            await self._perform(self._held.pop(0))
        self._held = None

    async def _from_bot(self, request: web.Request) -> web.StreamResponse:
        call = ConnectorCall(
            method=request.method,
            path=request.rel_url.raw_path.removeprefix(CONNECTOR_PATH),
            query=request.rel_url.raw_query_string,
            body=await request.read(),
        )
        authorized = self._microsoft.accepts(request.headers.get("Authorization", ""))
        answer = await self._answer(call) if authorized else _Answer.refusing(UNAUTHORIZED)
        if answer is None:
            return _hang_up(request)
        return web.Response(
            status=answer.status, body=answer.raw, content_type=answer.content_type, headers=answer.headers
        )

    async def _answer(self, call: ConnectorCall) -> _Answer | None:
        """Record and return the answer, or None if the connection must be closed without an answer."""
        fault = self.faults.take(call.method, unquote(call.path))
        answer = await (self._served(call) if fault is None else self._faulty(call, fault))
        if answer is not None:
            self._record(call, answer)
        return answer

    async def _faulty(self, call: ConnectorCall, fault: Fault) -> _Answer | None:
        match fault.effect:
            case Effect.REFUSE:
                return _Answer.refusing(fault.refusal(), fault.headers)
            case Effect.DELAY:
                await asyncio.sleep(fault.seconds)
                return await self._served(call)
            case Effect.LOSE_REPLY:
                self._record(call, await self._served(call))
                return None
            case Effect.DISCONNECT:
                return None

    async def _served(self, call: ConnectorCall) -> _Answer:
        translated = to_playground(call, tenant_id=self._tenant_id)
        if isinstance(translated, Refusal):
            return _Answer.refusing(translated)
        if self._held is not None and call.method == "PUT":
            self._held.append(translated)
            return _Answer(status=200, raw=json.dumps({"id": unquote(call.path).rpartition("/")[2]}).encode())
        return await self._perform(translated)

    async def _perform(self, call: ConnectorCall) -> _Answer:
        if self._session is None or not self.playground_url:
            return _Answer.refusing(_NOT_THERE)
        try:
            return await self._forward(self._session, call)
        except (aiohttp.ClientError, TimeoutError):
            return _Answer.refusing(_NOT_THERE)

    async def _forward(self, session: aiohttp.ClientSession, call: ConnectorCall) -> _Answer:
        async with session.request(
            call.method,
            self._address(call),
            data=call.body or None,
            headers={"Content-Type": "application/json"},
            timeout=PATIENCE,
        ) as response:
            raw = await response.read()
        if response.ok:
            self.show(call, _message_id(raw))
        return _Answer(status=response.status, raw=raw, content_type=response.content_type)

    def _address(self, call: ConnectorCall) -> URL:
        query = f"?{call.query}" if call.query else ""
        # encoded: the ids must arrive exactly as the bot wrote them
        return URL(f"{self.playground_url}/_connector/{call.path}{query}", encoded=True)

    def _record(self, call: ConnectorCall, answer: _Answer) -> None:
        path = unquote(call.path)
        body = parsed(answer.raw)
        self.sent.append(Sent(method=call.method, path=path, body=call.json, status=answer.status, answer=body))


UNAUTHORIZED: Final = Refusal(status=401, code="Unauthorized", message="Authorization has been denied for this request")
_NOT_THERE: Final = Refusal(status=503, code="ServiceUnavailable", message="The Playground does not answer")


def parsed(raw: bytes) -> Any:
    """Return the JSON value, or the text if it is not JSON, or None if it is empty."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace") or None


def _message_id(raw: bytes) -> str:
    answer = parsed(raw)
    return str(answer.get("id", "")) if isinstance(answer, dict) else ""


def _show_nothing(_call: ConnectorCall, _message_id: str) -> None:
    """Do nothing, because the Playground shows the call itself."""


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # never sent: the connection is closed
