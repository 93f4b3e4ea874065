"""The bot's connection to Teams in both directions, on loopback against FakeMicrosoft.

Tests supply the turn handler.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.service.checks.outcomes import Outcomes
from bot.teams.inbound.adapter import TeamsAdapter
from bot.teams.inbound.endpoint import MOST_TURNS, Endpoint
from bot.teams.inbound.keys import SigningKeys
from bot.teams.inbound.tokens import TokenVerifier
from bot.teams.login.client_authentication import StaticSecret
from bot.teams.login.credentials import AppCredentials
from bot.teams.login.entra import Entra
from bot.teams.net.addresses import ServiceHosts
from bot.teams.net.session import open_session
from bot.teams.outbound.calls import ConnectorCalls
from bot.teams.outbound.connector import Connector
from bot.telemetry import Telemetry
from bot.web import server
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, TENANT_ID
from tests.fakes.signing import SECRET
from tests.fakes.world import current_configuration

Turn = Callable[[Any], Awaitable[None]]


class Ticker:
    """`ports.clock.Clock` in seconds. A test may set it. A sleep advances the clock, is recorded and does not wait."""

    def __init__(self, start: float | None = None) -> None:
        self.seconds = time.time() if start is None else start
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def epoch(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@dataclass(slots=True, kw_only=True)
class Edge:
    """The running parts of the connection, and the address of the bot's server."""

    url: str
    keys: SigningKeys
    verifier: TokenVerifier
    credentials: AppCredentials
    connector: Connector
    clock: Ticker
    registry: CollectorRegistry
    outcomes: Outcomes
    turns: list[Any] = field(default_factory=list)
    """The contexts of the turns that ran."""


@asynccontextmanager
async def running_edge(
    ms: FakeMicrosoft,
    *,
    turn: Turn | None = None,
    clock: Ticker | None = None,
    hosts: tuple[str, ...] | None = None,
    most_turns: int = MOST_TURNS,
) -> AsyncIterator[Edge]:
    """Run the parts for the duration of the context, and yield them. Every turn is recorded before `turn` runs."""
    ticks, registry = clock or Ticker(), CollectorRegistry()
    outcomes = Outcomes(ticks)
    turns: list[Any] = []

    async def recorded(context: Any) -> None:
        turns.append(context)
        if turn is not None:
            await turn(context)

    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        keys = await stack.enter_async_context(SigningKeys(session, metadata_url=ms.metadata_url, clock=ticks))
        verifier = TokenVerifier(keys, app_id=APP_ID, clock=ticks)
        entra = Entra(
            session,
            authority=ms.authority,
            tenant_id=TENANT_ID,
            app_id=APP_ID,
            authentication=StaticSecret(SecretStr(SECRET)),
            clock=ticks,
        )
        credentials = await stack.enter_async_context(
            AppCredentials(entra, clock=ticks, telemetry=Telemetry(CollectorRegistry()))
        )
        allowed = ServiceHosts(ms.service_hosts if hosts is None else hosts)
        calls = ConnectorCalls(session, credentials=credentials, hosts=allowed, clock=ticks)
        endpoint = Endpoint(
            verifier=verifier,
            adapter=TeamsAdapter(),
            configuration=replace(current_configuration(), tenant_id=TENANT_ID),
            turn=recorded,
            clock=ticks,
            telemetry=Telemetry(registry),
            outcomes=outcomes,
            most_turns=most_turns,
        )

        async def ready() -> Mapping[str, str]:
            return {} if await keys.warm() else {"keys": "no signing keys yet"}

        app = server.build_app(messages=endpoint.handle, ready=ready)
        listening = await stack.enter_async_context(server.listen(app, host="127.0.0.1", port=0))
        yield Edge(
            url=f"http://127.0.0.1:{listening.port}",
            keys=keys,
            verifier=verifier,
            credentials=credentials,
            connector=Connector(calls, app_id=APP_ID),
            clock=ticks,
            turns=turns,
            registry=registry,
            outcomes=outcomes,
        )
