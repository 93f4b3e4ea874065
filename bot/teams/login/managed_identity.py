"""Tokens from an Azure managed identity, for a bot that runs in Azure.

The bot then has the app type UserAssignedMSI: its app id is the client id of a user-assigned identity, and there is no
app registration. Virtual machines and App Service or Container Apps offer tokens under two different protocols.
https://learn.microsoft.com/azure/bot-service/provision-and-publish-a-bot
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference

Assumption that no page confirms: App Service and Container Apps serve plain http on loopback or 169.254.0.0/16 only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from pydantic import SecretStr

from bot.ports.clock import Clock
from bot.teams.login.clouds import PUBLIC
from bot.teams.login.token_response import TokenResponse, read_token_response
from bot.teams.net.addresses import checked, is_on_this_link
from bot.teams.net.session import read_bounded

IMDS: Final = "http://169.254.169.254/metadata/identity/oauth2/token"  # the same on every virtual machine
# A virtual machine answers 404 and 410 for up to 70 seconds while its metadata service is being updated.
_TRANSIENT: Final = frozenset({404, 408, 410, 429})


@dataclass(frozen=True, slots=True)
class IdentityAddress:
    """Address of the token endpoint. With a `header`, the protocol is App Service's, else that of virtual machines."""

    url: str = IMDS
    header: SecretStr | None = None

    def query(self) -> dict[str, str]:
        """Return the query parameter with the protocol's version."""
        return {"api-version": "2019-08-01" if self.header else "2018-02-01"}

    def headers(self) -> Mapping[str, str]:
        """Return the header that the endpoint requires. A web page or a proxy could not set it."""
        return {"X-IDENTITY-HEADER": self.header.get_secret_value()} if self.header else {"Metadata": "true"}


class ManagedIdentity:
    """Fetches tokens for the identity whose client id is the app id."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        address: IdentityAddress,
        app_id: str,
        resource: str = PUBLIC.resource,
        clock: Clock,
    ) -> None:
        """Take a session without a proxy. Raises AddressRefused unless the address is https or on the local link."""
        checked(address.url, plain=is_on_this_link)
        self._session, self._address, self._app_id, self._clock = session, address, app_id, clock
        self._resource = resource

    async def fetch(self) -> TokenResponse:
        """Fetch a token. Raises ConnectorError, aiohttp.ClientError, OSError or ValueError."""
        query = {**self._address.query(), "resource": self._resource, "client_id": self._app_id}
        headers = self._address.headers()
        async with self._session.get(self._address.url, params=query, headers=headers, allow_redirects=False) as answer:
            raw = await read_bounded(answer)
            return read_token_response(answer.status, raw, transient=_TRANSIENT, now=self._clock.epoch())
