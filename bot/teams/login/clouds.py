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

    name: str
    """For people, as in `the <name>`."""
    issuer: str
    """Issuer of the tokens on inbound requests; tokens of another cloud's issuer are refused."""
    resource: str
    """Audience of the bot's own token."""

    @property
    def scope(self) -> str:
        """The scope of a token request to Entra."""
        return f"{self.resource}/.default"


PUBLIC: Final = Cloud("public cloud", issuer="https://api.botframework.com", resource="https://api.botframework.com")
US_GOVERNMENT: Final = Cloud(
    "US government cloud", issuer="https://api.botframework.us", resource="https://api.botframework.us"
)
CLOUDS: Final[Mapping[str, Cloud]] = MappingProxyType(
    {"login.botframework.com": PUBLIC, "login.botframework.azure.us": US_GOVERNMENT}
)
"""Clouds by the host of their OpenID metadata."""


# The Teams clients of the US government's clouds, by the ending of their service URLs' hosts
# https://learn.microsoft.com/microsoft-365/enterprise/microsoft-365-u-s-government-gcc-high-endpoints
_GOVERNMENT_SITES: Final = {
    ".gov.teams.microsoft.us": "https://gov.teams.microsoft.us",
    ".dod.teams.microsoft.us": "https://dod.teams.microsoft.us",
}
_SITE: Final = "https://teams.microsoft.com"  # also of GCC
_PUBLIC_DOMAINS: Final = (
    "botframework.com",
    "microsoft.com",
    "microsoftonline.com",
    "trafficmanager.net",
    "windows.net",
)
# Every address of these clouds ends in a country's domain.
_GOVERNMENT_DOMAINS: Final = ("azure.us", "botframework.us", "microsoft.us", "microsoftonline.us")
_OTHER_DOMAINS: Final = ("azure.cn", "microsoft.cn", "microsoftonline.cn", "microsoftonline.de")


def teams_site(service_url: str) -> str:
    """Return the origin of the Teams client in the cloud of a service URL, for links to messages.

    A simulated Teams on loopback serves such links itself, over http.
    """
    address = urlsplit(service_url)
    if address.scheme == "http":  # the settings allow it on loopback only
        return f"http://{address.netloc}"
    host = address.hostname or ""
    return next((site for end, site in _GOVERNMENT_SITES.items() if host.endswith(end)), _SITE)


class CloudNotSupported(ValueError):
    """The address belongs to a Microsoft cloud whose issuer the bot does not know."""


def cloud_at(url: str) -> Cloud | None:
    """Return the cloud to which any address of Microsoft belongs, by its domain; None for other domains.

    Raises CloudNotSupported.
    """
    host = f".{urlsplit(url).hostname or ''}"

    def within(domains: tuple[str, ...]) -> bool:
        return host.endswith(tuple(f".{domain}" for domain in domains))

    if within(_OTHER_DOMAINS):
        raise CloudNotSupported(host)
    if within(_GOVERNMENT_DOMAINS):
        return US_GOVERNMENT
    return PUBLIC if within(_PUBLIC_DOMAINS) else None


def cloud_of(metadata_url: str) -> Cloud:
    """Return the cloud with this OpenID metadata address; the public cloud for an unknown host."""
    return CLOUDS.get(urlsplit(metadata_url).hostname or "", PUBLIC)
