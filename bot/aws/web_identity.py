"""Who the bot is in AWS, as a signed statement for somebody outside: STS GetWebIdentityToken.

Owns that call. No error holds anything of an answer: only its code goes on. The statement's subject is the ARN of the
bot's role, its issuer the account's own; where the account has not enabled that, AWS refuses.
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
"""

from typing import Final

from pydantic import SecretStr

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import text
from bot.ports.aws import AwsUnavailable

SECONDS: Final = 60  # the shortest that STS makes; it is used at once, and must not outlive the role's session
ALGORITHM: Final = "RS256"  # of the two that STS knows, the one that Entra takes


class WebIdentity:
    """Statements for one audience."""

    def __init__(self, clients: Clients, audience: str) -> None:
        self._clients, self._audience = clients, audience

    async def read(self) -> SecretStr:
        """Have a new one made. Raises AwsUnavailable."""
        wanted = {"Audience": [self._audience], "SigningAlgorithm": ALGORITHM, "DurationSeconds": SECONDS}
        try:
            answer = await self._clients.own("sts", "get_web_identity_token", Lane.LOOK, **wanted)
        except CallFailed as failed:
            raise unavailable(failed) from None  # what the parser tripped over may be the statement itself
        statement = text(answer.get("WebIdentityToken"))
        if statement is None:
            raise AwsUnavailable("NoTokenInAnswer")
        return SecretStr(statement)
