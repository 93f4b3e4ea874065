"""The Connector in memory, behind the HTTP session of the Teams side: each call may get a planned false answer.

Messenger, Connector, calls, errors, rate limit and circuit breaker are the product's own.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from yarl import URL

from bot.ports.clock import Clock
from bot.ports.store import Store
from bot.service.checks.outcomes import Outcomes
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.calls import ConnectorCalls
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.messenger import Messenger
from bot.teams.outbound.service_urls import ServiceUrls
from bot.telemetry import Telemetry
from tests.fakes.people import APP_ID, TENANT_ID

SERVICE = "http://127.0.0.1:9/teams/"
THREAD = ";messageid="


@dataclass(frozen=True, slots=True)
class FalseAnswer:
    """A false answer to one call. If `done`, the call takes effect nevertheless."""

    status: int
    codes: tuple[str, str] = ("", "")  # the vendor's code for a new message or chat, and for an update
    body: str | None = None  # instead of the usual body with the code
    done: bool = False

    def text(self, *, update: bool) -> str:
        """Return the body of the answer. An `update` gets the second of `codes`, all other calls the first."""
        if self.body is not None:
            return self.body
        return json.dumps({"error": {"code": self.codes[update], "message": "…"}})

    def __str__(self) -> str:
        """Name the answer in the list of failed cases."""
        return f"{self.status}{' done' if self.done else ''}"


@dataclass(slots=True)
class Written:
    """One message of the bot.

    `root` is the id of the message's thread, for a card the card's own id, and in a personal chat the chat's id.
    """

    id: str
    root: str
    versions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def card(self) -> dict[str, Any]:
        """The current Adaptive Card."""
        content: dict[str, Any] = self.versions[-1]["attachments"][0]["content"]
        return content


class MemoryConnector:
    """Messages by id, and the false answers by the number of the call."""

    def __init__(self) -> None:
        self.messages: dict[str, Written] = {}
        self.false: dict[int, FalseAnswer] = {}
        self.deleted: dict[str, FalseAnswer] = {}  # by id of a message: the answer to each update of it
        self.calls: list[str] = []  # method and path of every call

    def chat(self, *, store: Store, clock: Clock) -> Messenger:
        """Return the product's adapter over this connector."""
        hosts = ServiceHosts(("127.0.0.1",))
        calls = ConnectorCalls(self, credentials=_Credentials(), hosts=hosts, clock=clock)  # type: ignore[arg-type]  # fakes that have what ConnectorCalls uses
        return Messenger(
            Connector(calls, app_id=APP_ID),
            store=store,
            service_urls=ServiceUrls(store, default=SERVICE, hosts=hosts, outcomes=Outcomes(clock), clock=clock),
            clock=clock,
            tenant_id=TENANT_ID,
            telemetry=Telemetry(CollectorRegistry()),
        )

    @asynccontextmanager
    async def request(self, method: str, url: URL, *, data: bytes, **_: object) -> AsyncIterator["_Response"]:
        """Answer one call, as an HTTP session does."""
        path = [unquote(part) for part in url.raw_path.partition("/v3/conversations")[2].split("/")[1:]]
        deleted = self.deleted.get(path[2]) if method == "PUT" else None
        false = self.false.get(len(self.calls), deleted)
        self.calls.append(f"{method} {'/'.join(path)}")
        if false is None or false.done:
            status, answer = self._answer(method, path, json.loads(data))
        if false is None:
            yield _Response(status, json.dumps(answer))
        else:
            yield _Response(false.status, false.text(update=method == "PUT"))

    def _answer(self, method: str, path: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if not path:
            return 201, self._begin(body)
        conversation, message = path[0], path[2] if len(path) > 2 else None
        if method == "PUT":
            known = self.messages.get(message or "")
            if known is None:
                return 404, {"error": {"code": "ActivityNotFoundInConversation"}}
            known.versions.append(body)
            return 200, {"id": message}
        return 201, {"id": self._add(body, conversation)}

    def _begin(self, body: dict[str, Any]) -> dict[str, Any]:
        """Start a thread in a channel, or return the chat with a person."""
        if "channel" not in body["channelData"]:
            return {"id": f"a:{body['members'][0]['id']}"}
        channel = body["channelData"]["channel"]["id"]
        added = self._add(body["activity"], channel)
        self.messages[added].root = f"{channel}{THREAD}{added}"
        return {"id": f"{channel}{THREAD}{added}", "activityId": added}

    def _add(self, activity: dict[str, Any], root: str) -> str:
        written = Written(str(1000 + len(self.messages)), root, [activity])
        self.messages[written.id] = written
        return written.id


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> "_Response":
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self.text.encode()


class _Credentials:
    async def bearer(self) -> SecretStr:
        return SecretStr("token")

    def forget(self, token: SecretStr) -> None:
        """Do nothing, because the token is never refused."""
