"""The bot's client secret in AWS Secrets Manager, read in the Region that its ARN names.

Owns the two forms in which it may be kept. No error holds anything of an answer: only its code goes on.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from typing import Final

from pydantic import SecretStr

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import decoded, mapping, text
from bot.ports.aws import AwsUnavailable

KEY: Final = "client_secret"  # where it stands if the secret is a JSON object, as the console makes them
NOT_THERE: Final = "NoClientSecretInIt"


class ClientSecret:
    """One secret, by its ARN. `AWSCURRENT` is what is read."""

    def __init__(self, clients: Clients, arn: str) -> None:
        self._clients, self._arn, self._region = clients, arn, arn.split(":")[3]

    async def read(self) -> SecretStr:
        """Ask Secrets Manager. Raises AwsUnavailable."""
        try:
            answer = await self._clients.own_in(
                self._region, "secretsmanager", "get_secret_value", Lane.LOOK, SecretId=self._arn
            )
        except CallFailed as failed:
            raise unavailable(failed) from None  # what the parser tripped over may be the secret itself
        return _inside(text(answer.get("SecretString")) or "")


def _inside(kept: str) -> SecretStr:
    # Entra's secrets have no braces; who keeps other values beside it keeps a JSON object.
    bare = text(mapping(decoded(kept)).get(KEY)) or "" if kept.lstrip().startswith("{") else kept
    if not bare.strip():
        raise AwsUnavailable(NOT_THERE)
    return SecretStr(bare.strip())
