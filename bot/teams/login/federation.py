"""A proof without any secret: a statement of who the bot is, signed by AWS, that a federated credential trusts.

Owns the names that Entra wants. A statement is made for one request and kept nowhere.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
https://learn.microsoft.com/entra/workload-id/workload-identity-federation
"""

from collections.abc import Mapping
from typing import Final

from bot.ports.aws import AwsUnavailable, SecretSource
from bot.teams.wire.errors import LONGEST_CODE, ConnectorUnavailable

AUDIENCE: Final = "api://AzureADTokenExchange"  # what Entra's public cloud wants to be the reader of such a statement
JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Federation:
    """A proof by a web identity token, whose audience must be AUDIENCE."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source

    async def form(self) -> Mapping[str, str]:
        """Have a statement made and return the fields. Raises ConnectorUnavailable."""
        try:
            statement = await self._source.read()
        except AwsUnavailable as problem:
            raise ConnectorUnavailable(problem.code[:LONGEST_CODE]) from None
        return {"client_assertion_type": JWT_BEARER, "client_assertion": statement.get_secret_value()}

    async def renewed(self) -> bool:
        """Tell that another statement would say the same."""
        return False
