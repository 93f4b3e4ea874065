"""Microsoft's clouds. Each has its own issuer of inbound tokens, and its own audience of the bot's token.

The other addresses of a cloud (login, connector) are settings.
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
    """One Microsoft cloud."""

    issuer: str
    """Issuer of the tokens on inbound requests; tokens of another cloud's issuer are refused."""
    resource: str
    """Audience of the bot's own token."""

    @property
    def scope(self) -> str:
        """The scope of a token request to Entra."""
        return f"{self.resource}/.default"


PUBLIC: Final = Cloud(issuer="https://api.botframework.com", resource="https://api.botframework.com")
US_GOVERNMENT: Final = Cloud(issuer="https://api.botframework.us", resource="https://api.botframework.us")
CLOUDS: Final[Mapping[str, Cloud]] = MappingProxyType(
    {"login.botframework.com": PUBLIC, "login.botframework.azure.us": US_GOVERNMENT}
)
"""Clouds by the host of their OpenID metadata."""


def cloud_of(metadata_url: str) -> Cloud:
    """Return the cloud with this OpenID metadata address; the public cloud for an unknown host."""
    return CLOUDS.get(urlsplit(metadata_url).hostname or "", PUBLIC)
