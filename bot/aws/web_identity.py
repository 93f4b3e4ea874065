"""Signed tokens that prove the bot's AWS identity to an outside party: STS GetWebIdentityToken.

The subject of a token is the ARN of the bot's role, and its issuer belongs to the account. AWS refuses if the account
has not enabled such tokens. Errors carry only AWS's code, never a part of the answer.
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
"""

from typing import Final

from pydantic import SecretStr

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import text
from bot.ports.aws import AwsUnavailable

SECONDS: Final = 60  # the shortest that STS allows; the token is used at once, and must not outlive the role's session
ALGORITHM: Final = "RS256"  # Entra accepts only this one of the two that STS offers


class WebIdentity:
    """Tokens for one audience."""

    def __init__(self, clients: Clients, audience: str) -> None:
        self._clients, self._audience = clients, audience

    async def read(self) -> SecretStr:
        """Request a new token. Raises AwsUnavailable."""
        wanted = {"Audience": [self._audience], "SigningAlgorithm": ALGORITHM, "DurationSeconds": SECONDS}
        try:
            answer = await self._clients.own("sts", "get_web_identity_token", Lane.RECONCILE, **wanted)
        except CallFailed as failed:
            raise unavailable(failed) from None  # the cause may quote the token
        token = text(answer.get("WebIdentityToken"))
        if token is None:
            raise AwsUnavailable("NoTokenInAnswer")
        return SecretStr(token)
