"""Tokens from Microsoft Entra: the client credentials grant.

Credentials go to the configured authority only, never to an address in a response.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from typing import Final
from urllib.parse import quote

import aiohttp

from bot.ports.clock import Clock
from bot.teams.login.client_authentication import ClientAuthentication
from bot.teams.login.clouds import PUBLIC
from bot.teams.login.token_response import TokenResponse, read_token_response
from bot.teams.net.addresses import checked
from bot.teams.net.session import read_bounded
from bot.teams.wire.errors import ConnectorRefused

_TRANSIENT: Final = frozenset({408, 429})


class Entra:
    """Fetches tokens for an app registration."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        authority: str,
        tenant_id: str,
        app_id: str,
        authentication: ClientAuthentication,
        scope: str = PUBLIC.scope,
        clock: Clock,
    ) -> None:
        """Take the login authority. Raises AddressRefused unless it is https, or http on loopback."""
        checked(authority)
        self._session, self._app_id, self._authentication = session, app_id, authentication
        self._scope, self._clock = scope, clock
        self._address = f"{authority.rstrip('/')}/{quote(tenant_id, safe='')}/oauth2/v2.0/token"

    async def fetch(self) -> TokenResponse:
        """Fetch a token. If Entra refuses the credential, and a newer credential exists, try once more.

        Raises ConnectorError, aiohttp.ClientError, OSError or ValueError.
        """
        try:
            return await self._attempt()
        except ConnectorRefused:
            if not await self._authentication.renew():
                raise
        return await self._attempt()

    async def _attempt(self) -> TokenResponse:
        grant = {"grant_type": "client_credentials", "client_id": self._app_id, "scope": self._scope}
        form = {**grant, **await self._authentication.form()}
        async with self._session.post(self._address, data=form, allow_redirects=False) as answer:
            raw = await read_bounded(answer)
            return read_token_response(answer.status, raw, transient=_TRANSIENT, now=self._clock.epoch())
