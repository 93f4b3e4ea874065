"""Proves the bot's identity to Microsoft Entra when it requests a token: client secret or AWS federation.

Each class returns the form fields of one token request.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
https://learn.microsoft.com/entra/workload-id/workload-identity-federation
"""

from collections.abc import Mapping
from typing import Final, Protocol

import structlog
from pydantic import SecretStr

from bot.ports.aws import AwsUnavailable, SecretSource
from bot.ports.clock import Clock
from bot.teams.wire.errors import LONGEST_CODE, ConnectorUnavailable

SECRET_KEPT_FOR: Final = 300.0  # seconds; tokens are renewed once an hour, so each renewal reads the secret again
FEDERATION_AUDIENCE: Final = "api://AzureADTokenExchange"  # the audience that Entra's public cloud requires
JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

log = structlog.get_logger(__name__)


class ClientAuthentication(Protocol):
    """The part of a token request that proves which app sends it."""

    async def form(self) -> Mapping[str, str]:
        """Return the form fields for one request. Raises ConnectorUnavailable."""

    async def renew(self) -> bool:
        """Get new form fields after Entra refused the current ones; return whether they changed. Never raises."""


class StaticSecret:
    """The client secret from the settings. Changing it needs a restart."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    async def form(self) -> Mapping[str, str]:
        """Return the secret's field."""
        return {"client_secret": self._secret.get_secret_value()}

    async def renew(self) -> bool:
        """Return False: the secret does not change."""
        return False


class RotatingSecret:
    """A client secret that AWS stores. It is read again after SECRET_KEPT_FOR, and when Entra refuses it.

    So a rotation needs no restart.
    """

    def __init__(self, source: SecretSource, *, clock: Clock) -> None:
        """Take the source of the secret; the first call of `form` reads it."""
        self._source, self._clock = source, clock
        self._secret: SecretStr | None = None
        self._read_at = float("-inf")
        self._problem = ""

    async def form(self) -> Mapping[str, str]:
        """Return the secret's field. While AWS does not answer, a known secret stays in use.

        Raises ConnectorUnavailable if no secret was ever read.
        """
        if not 0 <= self._clock.epoch() - self._read_at < SECRET_KEPT_FOR:
            await self._read()
        if self._secret is None:
            raise ConnectorUnavailable(self._problem)
        return {"client_secret": self._secret.get_secret_value()}

    async def renew(self) -> bool:
        """Read the secret again; return whether it changed."""
        refused = self._secret
        await self._read()
        return self._secret != refused

    async def _read(self) -> None:
        try:
            found = await self._source.read()
        except AwsUnavailable as problem:
            self._problem = problem.code[:LONGEST_CODE]
            log.warning("app_secret_unavailable", code=self._problem)
            return
        if self._secret not in {None, found}:
            log.info("app_secret_changed")
        self._secret, self._read_at = found, self._clock.epoch()


class Federation:
    """A web identity token that AWS signs and that a federated credential in Entra trusts. No secret is stored.

    The token's audience must be FEDERATION_AUDIENCE. Each request gets a new token.
    """

    def __init__(self, source: SecretSource) -> None:
        self._source = source

    async def form(self) -> Mapping[str, str]:
        """Request a web identity token and return the fields that contain it. Raises ConnectorUnavailable."""
        try:
            assertion = await self._source.read()
        except AwsUnavailable as problem:
            raise ConnectorUnavailable(problem.code[:LONGEST_CODE]) from None
        return {"client_assertion_type": JWT_BEARER, "client_assertion": assertion.get_secret_value()}

    async def renew(self) -> bool:
        """Return False: a new token would state the same identity."""
        return False
