"""The bot's own token for outbound calls: one POST of client credentials, cached, renewed ahead of time.

Owns the client secret and the token: neither is logged, and neither leaves but in the request that needs it.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import quote

import aiohttp
import structlog
from pydantic import SecretStr

from bot.ports import ChatProblem
from bot.teams.addresses import checked
from bot.teams.errors import LONGEST_CODE, ConnectorError, ConnectorRefused, ConnectorUnavailable
from bot.teams.session import as_object, read_bounded
from bot.teams.single_flight import SingleFlight

SCOPE = "https://api.botframework.com/.default"  # the connector, in the public cloud
RENEW_AHEAD = 600.0  # seconds before the end; renewals that fail still have many tries left
USABLE_UNTIL = 30.0  # seconds before the end; a token must outlive the request that carries it
RETRY_GAP = 5.0  # seconds between tries after a failure, so that an outage is not hammered
FETCH_LIMIT = 10.0  # seconds

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class AppCredentials:
    """Hands out the bearer token of the app."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        authority: str,
        tenant_id: str,
        app_id: str,
        secret: SecretStr,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the login authority (https, or loopback; else AddressRefused), the tenant and the app's secret."""
        checked(authority)
        self._session = session
        self._address = f"{authority.rstrip('/')}/{quote(tenant_id, safe='')}/oauth2/v2.0/token"
        self._app_id = app_id
        self._secret = secret
        self._now = now
        self._token: SecretStr | None = None
        self._expires_at = 0.0
        self._failure: ConnectorError | None = None
        self._failed_at = float("-inf")
        self._flight = SingleFlight(self._renew)

    async def bearer(self) -> SecretStr:
        """Return a token that still lasts; raise ConnectorUnavailable, or ConnectorRefused if Entra refuses the app."""
        left = self._expires_at - self._now()
        if self._token is not None and left > USABLE_UNTIL:
            if left <= RENEW_AHEAD and self._may_try():
                self._flight.start()
            return self._token
        if self._flight.running or self._may_try():
            await self._flight.join()
        return self._current()

    def forget(self, token: SecretStr) -> None:
        """Drop a token that the connector refused, unless it has been replaced already."""
        if self._token == token:
            self._token = None

    async def aclose(self) -> None:
        """End a renewal that is under way."""
        await self._flight.aclose()

    def _current(self) -> SecretStr:
        if self._token is not None and self._expires_at - self._now() > 0:
            return self._token
        if isinstance(self._failure, ConnectorRefused):
            raise ConnectorRefused(
                self._failure.problem, status=self._failure.status, error_code=self._failure.error_code
            )
        raise ConnectorUnavailable("no_connector_token")

    def _may_try(self) -> bool:
        return not 0 <= self._now() - self._failed_at < RETRY_GAP

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(FETCH_LIMIT):
                await self._fetch()
        except (aiohttp.ClientError, TimeoutError, ValueError, ConnectorError) as error:
            self._failed_at = self._now()
            self._failure = error if isinstance(error, ConnectorError) else None
            code = error.error_code if isinstance(error, ConnectorError) else None
            log.warning("connector_token_unavailable", error=type(error).__name__, code=code)

    async def _fetch(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._app_id,
            "client_secret": self._secret.get_secret_value(),
            "scope": SCOPE,
        }
        async with self._session.post(self._address, data=form, allow_redirects=False) as answer:
            raw = await read_bounded(answer)
            if answer.status != 200:
                raise _failure(answer.status, raw)
            self._keep(as_object(raw))

    def _keep(self, body: dict[str, object]) -> None:
        token, lasts = body.get("access_token"), body.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise ValueError("no access token")
        seconds = float(lasts) if isinstance(lasts, int | float | str) else 0.0
        self._token, self._expires_at = SecretStr(token), self._now() + seconds
        log.info("connector_token_renewed", seconds=seconds)


def _failure(status: int, raw: bytes) -> ConnectorError:
    try:
        code = as_object(raw).get("error")
    except ValueError:
        code = None
    named = code[:LONGEST_CODE] if isinstance(code, str) else ""
    if 400 <= status < 500 and status not in (408, 429):
        # a wrong secret, app or tenant
        return ConnectorRefused(ChatProblem.UNAUTHORIZED, status=status, error_code=named)
    return ConnectorUnavailable(named or f"http_{status}", status=status)
