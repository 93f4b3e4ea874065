"""The bot's token from Microsoft Entra: one POST of client credentials.

Owns that request. The proof goes to the configured authority and to no address that an answer names.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import time
from collections.abc import Callable
from urllib.parse import quote

import aiohttp

from bot.teams.login.client_authentication import ClientAuthentication
from bot.teams.login.clouds import PUBLIC
from bot.teams.login.token_response import TokenResponse, read_token_response, refusal
from bot.teams.net.addresses import checked
from bot.teams.net.session import read_bounded
from bot.teams.wire.errors import ConnectorRefused

_TRANSIENT = frozenset({408, 429})


class Entra:
    """Grants tokens to the app that the proof proves."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        authority: str,
        tenant_id: str,
        app_id: str,
        proof: ClientAuthentication,
        scope: str = PUBLIC.scope,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the login authority (https, or loopback; else AddressRefused), the tenant, and what the token is for."""
        checked(authority)
        self._session, self._app_id, self._proof, self._now = session, app_id, proof, now
        self._scope = scope
        self._address = f"{authority.rstrip('/')}/{quote(tenant_id, safe='')}/oauth2/v2.0/token"

    async def fetch(self) -> TokenResponse:
        """Get a token; where the proof is refused and there is another one by now, ask once more with that."""
        try:
            return await self._ask()
        except ConnectorRefused:
            if not await self._proof.renewed():
                raise
        return await self._ask()

    async def _ask(self) -> TokenResponse:
        named = {"grant_type": "client_credentials", "client_id": self._app_id, "scope": self._scope}
        form = {**named, **await self._proof.form()}
        async with self._session.post(self._address, data=form, allow_redirects=False) as answer:
            raw = await read_bounded(answer)
            if answer.status != 200:
                raise refusal(answer.status, raw, transient=_TRANSIENT)
            return read_token_response(raw, now=self._now())
