"""The bot's own token for outbound calls to one API: cached, and renewed before it expires.

Tokens come from `entra.py` or `managed_identity.py`. A token is never logged.
"""

import asyncio
from enum import StrEnum
from typing import Final, Self

import aiohttp
import structlog
from pydantic import SecretStr

from bot.concurrency.single_flight import SingleFlight
from bot.ports.clock import Clock
from bot.ports.probes import MicrosoftRefused
from bot.teams.login.token_response import TokenSource
from bot.teams.wire.errors import ConnectorError, ConnectorRefused, ConnectorUnavailable
from bot.telemetry import Telemetry

RENEW_AHEAD: Final = 600.0  # seconds before expiry; leaves time for many retries of a failed renewal
USABLE_UNTIL: Final = 30.0  # seconds before expiry, so that a token does not expire during the request
RETRY_GAP: Final = 5.0  # seconds after a failed renewal, to limit the load on a service that has an outage
FETCH_LIMIT: Final = 10.0  # seconds for one renewal, client authentication included


class Api(StrEnum):
    """The APIs of Microsoft for which the bot has tokens."""

    CONNECTOR = "connector"
    GRAPH = "graph"


log = structlog.get_logger(__name__)


class AppCredentials:
    """Provides the app's bearer token. Leaving the context cancels a renewal in progress."""

    def __init__(self, source: TokenSource, *, clock: Clock, telemetry: Telemetry, api: Api = Api.CONNECTOR) -> None:
        """Take the source of tokens for `api`; the first call of `bearer` fetches one."""
        self._source, self._clock, self._telemetry, self._api = source, clock, telemetry, api
        self._token: SecretStr | None = None
        self._expires_at = 0.0
        self._failure: Exception | None = None  # of the last renewal
        self._failed_at = float("-inf")
        self._renewal = SingleFlight(self._renew)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._renewal.aclose()

    async def bearer(self) -> SecretStr:
        """Return a valid token. Raises ConnectorUnavailable, or ConnectorRefused if Microsoft refuses the app."""
        left = self._expires_at - self._clock.epoch()
        if self._token is not None and left > USABLE_UNTIL:
            if left <= RENEW_AHEAD and self._may_try():
                self._renewal.start()
            return self._token
        if self._renewal.running() or self._may_try():
            await self._renewal.join()
        return self._current()

    async def prove(self) -> None:
        """Fetch a new token now, although the current one may be valid. Raises MicrosoftRefused."""
        await self._renewal.join()
        if self._failure:
            raise _refusal(self._failure)

    def forget(self, token: SecretStr) -> None:
        """Drop a token that Microsoft refused, unless it was already replaced."""
        if self._token == token:
            self._token = None

    def _current(self) -> SecretStr:
        if self._token is not None and self._expires_at - self._clock.epoch() > 0:
            return self._token
        if isinstance(self._failure, ConnectorRefused):
            raise ConnectorRefused(
                self._failure.problem, status=self._failure.status, error_code=self._failure.error_code
            )
        raise ConnectorUnavailable(f"no_{self._api}_token")

    def _may_try(self) -> bool:
        return not 0 <= self._clock.epoch() - self._failed_at < RETRY_GAP

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(FETCH_LIMIT):
                response = await self._source.fetch()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, ConnectorError) as error:
            self._failed_at = self._clock.epoch()
            self._failure = error
            code = error.error_code if isinstance(error, ConnectorError) else None
            log.warning("connector_token_unavailable", api=self._api, error=type(error).__name__, code=code)
            return
        self._token, self._expires_at = response.token, self._clock.epoch() + response.seconds
        self._failure = None
        if self._api is Api.CONNECTOR:
            self._telemetry.token_expiry.set(self._expires_at)
        log.info("connector_token_renewed", api=self._api, seconds=response.seconds)


def _refusal(error: Exception) -> MicrosoftRefused:
    """Return the refusal with Microsoft's or AWS's code, else with the status or the name of the error."""
    if isinstance(error, ConnectorError):
        return MicrosoftRefused(error.error_code or f"http_{error.status}", answered=error.status is not None)
    return MicrosoftRefused(type(error).__name__, answered=isinstance(error, ValueError))
