"""The HTTP server of the simulated Microsoft: one loopback address for sign-in, Graph, Connector and activities.

Owns the server, its addresses and the connections. The handlers are in `microsoft`, `graph`, `connector`, `inbound` and
`controls`.
"""

from typing import Final

import aiohttp
from aiohttp import web

from bot.sandbox.loopback_names import only_by_loopback_name
from bot.sandbox.teams.connector import CONNECTOR_PATH, Connector
from bot.sandbox.teams.controls import control_routes
from bot.sandbox.teams.graph import MicrosoftGraph
from bot.sandbox.teams.inbound import MESSAGES_PATH, Inbound
from bot.sandbox.teams.microsoft import METADATA_PATH, BotRegistration, Microsoft

LARGEST_BODY: Final = 1024 * 1024  # bytes; ten times the largest message of a bot


class TeamsFront:
    """Connects the Playground and the bot: both directions on one port of 127.0.0.1."""

    def __init__(self, bot: BotRegistration, *, bot_url: str | None = None) -> None:
        self.microsoft = Microsoft(bot)
        self.graph = MicrosoftGraph(self.microsoft)
        self.connector = Connector(self.microsoft, tenant_id=bot.tenant_id)
        self.inbound = Inbound(self.microsoft, tenant_id=bot.tenant_id, bot_url=bot_url)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._origin = ""
        self.channel_page = ""  # where links to messages lead; the page of the approvers' channel

    @property
    def login_authority(self) -> str:
        """The value of the bot's setting NODE_ACCESS_LOGIN_AUTHORITY; also the origin of this front."""
        return self._origin

    @property
    def graph_url(self) -> str:
        """The value of the bot's setting NODE_ACCESS_GRAPH_URL."""
        return self._origin

    @property
    def openid_metadata_url(self) -> str:
        """The value of the bot's setting NODE_ACCESS_OPENID_METADATA_URL."""
        return self._origin + METADATA_PATH

    @property
    def service_url(self) -> str:
        """The bot's SERVICE_URL, and the `serviceUrl` of every activity."""
        return self._origin + CONNECTOR_PATH

    @property
    def inbound_url(self) -> str:
        """The address to which the Playground sends activities."""
        return self._origin + MESSAGES_PATH

    async def start(self, *, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 is any free port. Raises OSError if the port is in use."""
        self._session = aiohttp.ClientSession(trust_env=False)  # no proxy for loopback
        self.connector.use(self._session)
        self.inbound.use(self._session)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self._origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.inbound.service_url = self.service_url
        self.microsoft.graph_url = self.graph_url

    async def stop(self) -> None:
        """Close the address and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[only_by_loopback_name], client_max_size=LARGEST_BODY)
        app.add_routes(self.microsoft.routes())
        app.add_routes(self.graph.routes())
        app.add_routes(self.inbound.routes())
        app.add_routes(self.connector.routes())
        app.add_routes(control_routes(self.connector, self.inbound, self.graph))
        app.router.add_get("/l/message/{channel}/{message}", self._linked)
        return app

    async def _linked(self, _request: web.Request) -> web.Response:
        """Open the approvers' channel: it is the only one, and the Playground cannot scroll to a message."""
        raise web.HTTPFound(self.channel_page)
