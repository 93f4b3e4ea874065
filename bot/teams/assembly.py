"""Builds all parts between HTTP and the ports Chat and People, and closes them.

The services need `chat` and `people`, and the HTTP endpoint needs the services. So open TeamsSide with `async with`,
build the services on its ports, then call `attach` to get the handler of `POST /api/messages`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from bot.domain.shown.links import TeamsSite
from bot.ports.clock import Clock
from bot.ports.store import Store
from bot.service.checks.outcomes import Outcomes
from bot.service.current_configuration import CurrentConfiguration
from bot.teams.groups.graph import Graph
from bot.teams.groups.group_members import GroupMembers
from bot.teams.inbound.adapter import TeamsAdapter
from bot.teams.inbound.endpoint import Endpoint
from bot.teams.inbound.handler import Clicks, Commands, Installations, TeamsHandler
from bot.teams.inbound.keys import SigningKeys
from bot.teams.inbound.personal_chats import PersonalChats
from bot.teams.inbound.replies import Replies
from bot.teams.inbound.tokens import TokenVerifier
from bot.teams.login.client_authentication import ClientAuthentication
from bot.teams.login.clouds import cloud_of, teams_site
from bot.teams.login.credentials import Api, AppCredentials
from bot.teams.login.entra import Entra
from bot.teams.login.managed_identity import IdentityAddress, ManagedIdentity
from bot.teams.login.token_response import TokenSource
from bot.teams.net.addresses import ServiceHosts
from bot.teams.net.session import open_session
from bot.teams.outbound.calls import ConnectorCalls
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.messenger import Messenger
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.outbound.team_groups import TeamGroups
from bot.teams.people.directory import Directory
from bot.telemetry import Telemetry

MessageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrosoftSide:
    """The settings for Microsoft: the bot's app id, credential and tenant, and the addresses to call."""

    app_id: str
    credential: ClientAuthentication | IdentityAddress
    tenant_id: str
    service_url: str
    service_hosts: Iterable[str]
    openid_metadata_url: str
    login_authority: str
    graph_url: str


class TeamsSide:
    """The Teams adapter. `chat`, `people` and `groups` exist inside `async with`."""

    def __init__(
        self,
        microsoft: MicrosoftSide,
        *,
        store: Store,
        configuration: CurrentConfiguration,
        clock: Clock,
        telemetry: Telemetry,
        outcomes: Outcomes,
    ) -> None:
        self._outcomes = outcomes
        self._microsoft, self._store, self._configuration, self._clock = microsoft, store, configuration, clock
        self._telemetry, self._cloud = telemetry, cloud_of(microsoft.openid_metadata_url)
        self._stack: AsyncExitStack
        self.chat: Messenger
        self.people: Directory
        self.groups: GroupMembers

    async def __aenter__(self) -> Self:
        """Open the HTTP session and build the parts; no request is sent. Raises AddressRefused."""
        async with AsyncExitStack() as stack:
            await self._build(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def attach(self, click_handler: Clicks, commands: Commands, installs: Installations) -> MessageHandler:
        """Connect the services to the endpoint; return the handler of `POST /api/messages`."""
        replies = Replies(self.chat, self._configuration, self._clock)
        self._stack.push_async_callback(replies.close)
        personal_chats = PersonalChats(self._store, self.people, clock=self._clock)
        self._stack.push_async_callback(personal_chats.drain)
        handler = TeamsHandler(
            clicks=click_handler,
            commands=commands,
            installations=installs,
            replies=replies,
            directory=self.people,
            personal_chats=personal_chats,
            service_urls=self._service_urls,
            team_groups=self._team_groups,
        )
        verifier = TokenVerifier(
            self._keys, app_id=self._microsoft.app_id, issuer=self._cloud.issuer, clock=self._clock
        )
        endpoint = Endpoint(
            verifier=verifier,
            adapter=TeamsAdapter(),
            configuration=self._configuration,
            turn=handler.on_turn,
            clock=self._clock,
            telemetry=self._telemetry,
            outcomes=self._outcomes,
        )
        return endpoint.handle

    @property
    def site(self) -> TeamsSite:
        """Where links to messages lead."""
        return TeamsSite(teams_site(self._microsoft.service_url), self._microsoft.tenant_id)

    async def missing(self) -> Mapping[str, str]:
        """Fetch signing keys if none can be trusted. Return the parts that are not ready, with the reason."""
        if await self._keys.warm():
            return {}
        why = self._keys.why_not
        return {"keys": f"no signing keys of the Bot Framework yet{f': {why}' if why else ''}"}

    # --- ports.probes.TeamsProbes

    async def sign_in(self) -> None:
        """Fetch a new token for the bot. Raises MicrosoftRefused."""
        await self._credentials.prove()

    async def fetch_keys(self) -> None:
        """Fetch the signing keys of the Bot Framework. Raises MicrosoftRefused."""
        await self._keys.fetch()

    @property
    def microsoft_ahead(self) -> float | None:
        """The seconds that Microsoft's clock was ahead of ours at the last answer; None if no answer has come."""
        return self._keys.microsoft_ahead

    async def read_members(self, conversation: str) -> None:
        """Read the first members of a channel now, and one of them singly if something is missing.

        Raises ConnectorError.
        """
        await self.people.read_members(conversation)

    def roster_problems(self, conversation: str) -> Sequence[str]:
        """Return what Teams has left out or refused in this channel's roster; empty if nothing."""
        return self.people.roster_problems(conversation)

    async def _build(self, stack: AsyncExitStack) -> None:
        microsoft, clock, hosts = self._microsoft, self._clock, ServiceHosts(self._microsoft.service_hosts)
        session = await stack.enter_async_context(open_session())
        keys = SigningKeys(session, metadata_url=microsoft.openid_metadata_url, clock=clock)
        self._keys = await stack.enter_async_context(keys)
        self._credentials = await self._tokens_for(Api.CONNECTOR, self._cloud.resource, session, stack)
        calls = ConnectorCalls(session, credentials=self._credentials, hosts=hosts, clock=clock)
        self._connector = Connector(calls, app_id=microsoft.app_id)
        self._service_urls = ServiceUrls(
            self._store, default=microsoft.service_url, hosts=hosts, outcomes=self._outcomes, clock=self._clock
        )
        stack.push_async_callback(self._service_urls.drain)
        self._team_groups = TeamGroups(
            self._store,
            self._connector,
            service_urls=self._service_urls,
            is_configured=lambda channel: self._configuration.value.channel_at(channel) is not None,
            clock=clock,
            telemetry=self._telemetry,
        )
        stack.push_async_callback(self._team_groups.drain)
        self.chat = self._messenger()
        self.people = await stack.enter_async_context(self._directory())
        # the resource of tokens for Graph is its origin, in every cloud
        tokens = await self._tokens_for(Api.GRAPH, str(URL(microsoft.graph_url).origin()), session, stack)
        graph = Graph(session, url=microsoft.graph_url, credentials=tokens, clock=clock)
        members = GroupMembers(graph, clock=clock, telemetry=self._telemetry)
        self.groups = await stack.enter_async_context(members)

    async def _tokens_for(
        self, api: Api, resource: str, session: aiohttp.ClientSession, stack: AsyncExitStack
    ) -> AppCredentials:
        source = await self._token_source(resource, session, stack)
        credentials = AppCredentials(source, clock=self._clock, telemetry=self._telemetry, api=api)
        return await stack.enter_async_context(credentials)

    async def _token_source(self, resource: str, session: aiohttp.ClientSession, stack: AsyncExitStack) -> TokenSource:
        microsoft = self._microsoft
        if isinstance(microsoft.credential, IdentityAddress):
            # no proxy: the address belongs to this machine, and the header is a credential for it
            return ManagedIdentity(
                await stack.enter_async_context(open_session(proxied=False)),
                address=microsoft.credential,
                app_id=microsoft.app_id,
                resource=resource,
                clock=self._clock,
            )
        return Entra(
            session,
            authority=microsoft.login_authority,
            tenant_id=microsoft.tenant_id,
            app_id=microsoft.app_id,
            authentication=microsoft.credential,
            scope=f"{resource}/.default",
            clock=self._clock,
        )

    def _messenger(self) -> Messenger:
        return Messenger(
            self._connector,
            store=self._store,
            service_urls=self._service_urls,
            clock=self._clock,
            tenant_id=self._microsoft.tenant_id,
            telemetry=self._telemetry,
        )

    def _directory(self) -> Directory:
        return Directory(
            self._connector,
            store=self._store,
            service_urls=self._service_urls,
            clock=self._clock,
            tenant_id=self._microsoft.tenant_id,
            channels=lambda: [channel.conversation for channel in self._configuration.value.channels],
            telemetry=self._telemetry,
        )
