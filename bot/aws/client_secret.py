"""The bot's client secret in AWS Secrets Manager, read in the Region of its ARN.

It may be stored as plain text or as a JSON object. Errors carry only AWS's code, never a part of the answer.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from typing import Final

from pydantic import SecretStr

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import decoded, mapping, text
from bot.ports.aws import AwsUnavailable

KEY: Final = "client_secret"  # the secret's member if it is stored as a JSON object, the form that the console creates
MISSING: Final = "NoClientSecretInIt"


class ClientSecret:
    """One secret, named by its ARN, in its version `AWSCURRENT`."""

    def __init__(self, clients: Clients, arn: str) -> None:
        self._clients, self._arn, self._region = clients, arn, arn.split(":")[3]

    async def read(self) -> SecretStr:
        """Read the secret, never from a cache. Raises AwsUnavailable, also if there is no client secret in it."""
        try:
            answer = await self._clients.own_in(
                self._region, "secretsmanager", "get_secret_value", Lane.RECONCILE, SecretId=self._arn
            )
        except CallFailed as failed:
            raise unavailable(failed) from None  # the cause may quote the secret
        return _inside(text(answer.get("SecretString")) or "")


def _inside(kept: str) -> SecretStr:
    # Secrets of Entra contain no braces; a JSON object may hold other values, too.
    bare = text(mapping(decoded(kept)).get(KEY)) or "" if kept.lstrip().startswith("{") else kept
    if not bare.strip():
        raise AwsUnavailable(MISSING)
    return SecretStr(bare.strip())
