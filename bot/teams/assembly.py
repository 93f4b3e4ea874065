"""The Teams side in one piece: builds its parts on one HTTP session, and owns when they begin and end.

`chat` and `people` are there once it is open; the services are built on them and then attached, which gives the
handler of `POST /api/messages`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

import aiohttp
from aiohttp import web

from bot.ports.clock import Clock
from bot.ports.store import Store
from bot.service.configured import Configured
from bot.teams.inbound.adapter import TeamsAdapter
from bot.teams.inbound.endpoint import Endpoint
from bot.teams.inbound.handler import Clicks, Commands, Installations, TeamsHandler
from bot.teams.inbound.keys import SigningKeys
from bot.teams.inbound.personal_chats import PersonalChats
from bot.teams.inbound.replies import Replies
from bot.teams.inbound.tokens import TokenVerifier
from bot.teams.login.client_authentication import ClientAuthentication
from bot.teams.login.clouds import cloud_of
from bot.teams.login.credentials import AppCredentials
from bot.teams.login.entra import Entra
from bot.teams.login.managed_identity import IdentityAddress, ManagedIdentity
from bot.teams.login.token_response import TokenSource
from bot.teams.net.addresses import ServiceHosts
from bot.teams.net.session import open_session
from bot.teams.outbound.calls import ConnectorCalls
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.messenger import Messenger
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.directory import Directory
from bot.telemetry import Telemetry

MessageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrosoftSide:
    """Who the bot is to Microsoft, how it proves that, and where Microsoft is."""

    app_id: str
    credential: ClientAuthentication | IdentityAddress
    tenant_id: str
    service_url: str
    service_hosts: Iterable[str]
    openid_metadata_url: str
    login_authority: str


class TeamsSide:
    """Everything between HTTP and the ports Chat and People."""

    def __init__(
        self, microsoft: MicrosoftSide, *, store: Store, configured: Configured, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._microsoft, self._store, self._configured, self._clock = microsoft, store, configured, clock
        self._telemetry, self._cloud = telemetry, cloud_of(microsoft.openid_metadata_url)
        self._stack = AsyncExitStack()
        self.chat: Messenger
        self.people: Directory

    async def open(self) -> Self:
        """Open the session and build what stands on it; nothing is fetched yet. Raises AddressRefused."""
        async with AsyncExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    async def aclose(self) -> None:
        """End what is under way and close the session."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def attach(self, click_handler: Clicks, commands: Commands, installs: Installations) -> MessageHandler:
        """Put the services behind the endpoint; return the handler of `POST /api/messages`."""
        handler = TeamsHandler(
            clicks=click_handler,
            talk=commands,
            welcome=installs,
            replies=Replies(self.chat, self._configured, self._clock),
            directory=self.people,
            acquaintance=PersonalChats(self._store, self.people, clock=self._clock),
            service_urls=self._service_urls,
        )
        verifier = TokenVerifier(self._keys, app_id=self._microsoft.app_id, issuer=self._cloud.issuer, now=self._now)
        adapter = TeamsAdapter()
        tenant_id = self._microsoft.tenant_id
        return Endpoint(verifier=verifier, adapter=adapter, tenant_id=tenant_id, turn=handler.on_turn).handle

    async def missing(self) -> Mapping[str, str]:
        """Return what is not ready and why, by part; empty once signing keys are there."""
        return {} if await self._keys.warm() else {"keys": "no signing keys of the Bot Framework yet"}

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _build(self, stack: AsyncExitStack) -> None:
        microsoft, hosts = self._microsoft, ServiceHosts(self._microsoft.service_hosts)
        session = open_session()
        stack.push_async_callback(session.close)
        self._keys = SigningKeys(session, metadata_url=microsoft.openid_metadata_url, now=self._now)
        stack.push_async_callback(self._keys.aclose)
        credentials = AppCredentials(self._grants(session, stack), now=self._now)
        stack.push_async_callback(credentials.aclose)
        calls = ConnectorCalls(session, credentials=credentials, hosts=hosts, now=self._now, sleep=self._clock.sleep)
        self._connector = Connector(calls, app_id=microsoft.app_id)
        self._service_urls = ServiceUrls(self._store, default=microsoft.service_url, hosts=hosts)
        self._build_ports(stack)

    def _grants(self, session: aiohttp.ClientSession, stack: AsyncExitStack) -> TokenSource:
        microsoft = self._microsoft
        if isinstance(microsoft.credential, IdentityAddress):
            unproxied = open_session(proxied=False)  # the machine's own address, and a header that opens it
            stack.push_async_callback(unproxied.close)
            return ManagedIdentity(
                unproxied,
                address=microsoft.credential,
                app_id=microsoft.app_id,
                resource=self._cloud.resource,
                now=self._now,
            )
        return Entra(
            session,
            authority=microsoft.login_authority,
            tenant_id=microsoft.tenant_id,
            app_id=microsoft.app_id,
            proof=microsoft.credential,
            scope=self._cloud.scope,
            now=self._now,
        )

    def _build_ports(self, stack: AsyncExitStack) -> None:
        self.chat = Messenger(
            self._connector,
            store=self._store,
            service_urls=self._service_urls,
            clock=self._clock,
            tenant_id=self._microsoft.tenant_id,
            telemetry=self._telemetry,
        )
        self.people = Directory(
            self._connector,
            store=self._store,
            service_urls=self._service_urls,
            clock=self._clock,
            tenant_id=self._microsoft.tenant_id,
            channels=lambda: [channel.conversation for channel in self._configured.channels],
            telemetry=self._telemetry,
        )
        stack.push_async_callback(self.people.aclose)
