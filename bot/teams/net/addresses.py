"""The rules on which addresses the bot may call: https anywhere, plain http on loopback.

Azure's metadata service is also called with plain http, on the local link.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

LINK: Final = IPv4Network("169.254.0.0/16")  # RFC 3927: routers do not forward it; clouds serve machine metadata there
HTTPS: Final = 443  # another port of a listed host may belong to another server
ACCEPTED_KEPT: Final = 64  # service addresses; a tenant has one or two


class AddressRefused(ValueError):
    """The bot must not call this address. The text gives the reason and contains no secret."""


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address means this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_on_this_link(host: str) -> bool:
    """Return whether a host means this machine, or is an IPv4 link-local address (169.254.0.0/16)."""
    if is_loopback(host):
        return True
    try:
        return ip_address(host) in LINK
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return the host of an address for a report; the address itself if it has none."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def checked(url: str, *, plain: Callable[[str], bool] = is_loopback) -> SplitResult:
    """Return the parts of an absolute address. Raises AddressRefused unless it is https, or http to a `plain` host.

    `plain` is `is_on_this_link` for the metadata service of the machine only.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # raises for a port that is not a number
    except ValueError as error:
        raise AddressRefused("not an address") from error
    if not host or not _is_unambiguous(url):
        raise AddressRefused("not an absolute address")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("an address with a user name")
    if parts.scheme != "https" and not (parts.scheme == "http" and plain(host)):
        raise AddressRefused("neither https nor loopback")
    return parts


def _is_unambiguous(url: str) -> bool:
    # Parsers disagree about backslashes, spaces and non-ASCII letters: the checked host may not be the called one.
    return url.isascii() and url.isprintable() and not any(character in url for character in "\\ ")


class ServiceHosts:
    """The host names that may receive the bot's own token.

    An entry is a host name (`smba.trafficmanager.net`), or `*.` and a suffix (`*.example.com` covers every name below
    `example.com`, but not `example.com` itself). Loopback must be listed too.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        listed = {entry.strip().casefold() for entry in entries}
        self._exact = frozenset(entry for entry in listed if not entry.startswith("*."))
        self._suffixes = tuple(entry[1:] for entry in listed if entry.startswith("*.") and len(entry) > 2)
        self._accepted = lru_cache(ACCEPTED_KEPT)(self._base)  # every call to Teams asks

    def base(self, service_url: str) -> str:
        """Return the address without a trailing slash. Raises AddressRefused if it must not receive the token."""
        return self._accepted(service_url)

    def _base(self, service_url: str) -> str:
        parts = checked(service_url)
        if parts.query or parts.fragment or "?" in service_url or "#" in service_url:
            raise AddressRefused("a service address with a query")
        if not self._lists(parts.hostname or ""):
            raise AddressRefused("a host that is not listed")
        if parts.port not in {None, HTTPS} and not is_loopback(parts.hostname or ""):
            raise AddressRefused("a port other than 443")
        return service_url.rstrip("/")

    def _lists(self, host: str) -> bool:
        return host in self._exact or host.endswith(self._suffixes)
