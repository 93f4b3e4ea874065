"""Microsoft's clouds: who signs what the connector sends, and what the bot's own token is for, by cloud.

Owns these names. Where the rest of a cloud is (login, connector) are settings.
https://learn.microsoft.com/dotnet/api/microsoft.bot.connector.authentication.governmentauthenticationconstants
https://github.com/microsoft/botbuilder-dotnet/blob/main/libraries/Microsoft.Bot.Connector/Authentication/GovernmentAuthenticationConstants.cs
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Cloud:
    """One of them."""

    issuer: str
    """Who signs for the connector; a token of another cloud's issuer is refused."""
    resource: str
    """What the bot's own token is for."""

    @property
    def scope(self) -> str:
        """The one scope that is asked for."""
        return f"{self.resource}/.default"


PUBLIC: Final = Cloud(issuer="https://api.botframework.com", resource="https://api.botframework.com")
US_GOVERNMENT: Final = Cloud(issuer="https://api.botframework.us", resource="https://api.botframework.us")
CLOUDS: Final[Mapping[str, Cloud]] = MappingProxyType(
    {"login.botframework.com": PUBLIC, "login.botframework.azure.us": US_GOVERNMENT}
)  # by the host of the OpenID metadata, which is where each publishes its signing keys


def cloud_of(metadata_url: str) -> Cloud:
    """Return the cloud whose signing keys are found at that address; the public one for a host of nobody's."""
    return CLOUDS.get(urlsplit(metadata_url).hostname or "", PUBLIC)
