"""The bot's own token for outbound calls, for the connector's one scope: cached, and renewed ahead of time.

Owns the token and when it is fetched; it is never logged, and leaves only in the call that needs it. Where it comes
from is next door: `entra` with one of the proofs, or `managed_identity`.
"""

import asyncio
import time
from collections.abc import Callable

import aiohttp
import structlog
from pydantic import SecretStr

from bot.concurrency.single_flight import SingleFlight
from bot.teams.login.token_response import TokenSource
from bot.teams.wire.errors import ConnectorError, ConnectorRefused, ConnectorUnavailable

RENEW_AHEAD = 600.0  # seconds before the end; renewals that fail still have many tries left
USABLE_UNTIL = 30.0  # seconds before the end; a token must outlive the request that carries it
RETRY_GAP = 5.0  # seconds between tries after a failure, so that an outage is not hammered
FETCH_LIMIT = 10.0  # seconds, with what the proof takes

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class AppCredentials:
    """Hands out the bearer token of the app."""

    def __init__(self, grants: TokenSource, *, now: Callable[[], float] = time.time) -> None:
        """Take where tokens come from, and the time in seconds; nothing is fetched yet."""
        self._grants, self._now = grants, now
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
        if self._flight.running() or self._may_try():
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
                grant = await self._grants.fetch()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, ConnectorError) as error:
            self._failed_at = self._now()
            self._failure = error if isinstance(error, ConnectorError) else None
            code = error.error_code if isinstance(error, ConnectorError) else None
            log.warning("connector_token_unavailable", error=type(error).__name__, code=code)
            return
        self._token, self._expires_at = grant.token, self._now() + grant.seconds
        log.info("connector_token_renewed", seconds=grant.seconds)
