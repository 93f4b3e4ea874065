"""The bot's token where it is hosted in Azure: the managed identity's own, from an address of the machine itself.

Owns the two protocols of such addresses. The bot is of the app type UserAssignedMSI then: its app id is the client id
of a user-assigned identity, and that identity's token for the connector is the bot's. No app registration takes part.
https://learn.microsoft.com/azure/bot-service/provision-and-publish-a-bot
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference

Assumed, as no page says it: plain http of App Service and Container Apps is on loopback or on 169.254.0.0/16.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from pydantic import SecretStr

from bot.teams.login.clouds import PUBLIC
from bot.teams.login.token_response import TokenResponse, read_token_response, refusal
from bot.teams.net.addresses import checked, is_on_this_link
from bot.teams.net.session import read_bounded

IMDS: Final = "http://169.254.169.254/metadata/identity/oauth2/token"  # the same on every virtual machine
# A virtual machine answers 404 and 410 for up to 70 seconds while its metadata service is being updated.
_TRANSIENT: Final = frozenset({404, 408, 410, 429})


@dataclass(frozen=True, slots=True)
class IdentityAddress:
    """Where identities' tokens are. With a `header` as App Service and Container Apps do it, else as a machine does."""

    url: str = IMDS
    header: SecretStr | None = None

    def query(self) -> dict[str, str]:
        """Return what says which protocol is spoken."""
        return {"api-version": "2019-08-01" if self.header else "2018-02-01"}

    def headers(self) -> Mapping[str, str]:
        """Return what shows that no web page and no proxy asks."""
        return {"X-IDENTITY-HEADER": self.header.get_secret_value()} if self.header else {"Metadata": "true"}


class ManagedIdentity:
    """Grants tokens to the identity whose client id is the app's id."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        address: IdentityAddress,
        app_id: str,
        resource: str = PUBLIC.resource,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take a session without a proxy, and the address (https, or on this machine's link; else AddressRefused)."""
        checked(address.url, plain=is_on_this_link)
        self._session, self._address, self._app_id, self._now = session, address, app_id, now
        self._resource = resource

    async def fetch(self) -> TokenResponse:
        """Get a token."""
        query = {**self._address.query(), "resource": self._resource, "client_id": self._app_id}
        headers = self._address.headers()
        async with self._session.get(self._address.url, params=query, headers=headers, allow_redirects=False) as answer:
            raw = await read_bounded(answer)
            if answer.status != 200:
                raise refusal(answer.status, raw, transient=_TRANSIENT)
            return read_token_response(raw, now=self._now())
