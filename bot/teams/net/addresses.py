"""Which addresses the bot may speak to: https everywhere, plain http on loopback alone.

Owns the check of an address. Knows nothing of tokens, cards or people.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, ip_address
from urllib.parse import SplitResult, urlsplit


class AddressRefused(ValueError):
    """An address that must not be spoken to; the text says why and names no secret."""


def is_loopback(host: str) -> bool:
    """Tell whether a host name or literal address means this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


LINK = IPv4Network("169.254.0.0/16")  # RFC 3927: routers do not forward it; where clouds keep a machine's metadata


def is_on_this_link(host: str) -> bool:
    """Tell whether a host name or literal address means this machine or its link, which nothing leaves."""
    if is_loopback(host):
        return True
    try:
        return ip_address(host) in LINK
    except ValueError:
        return False


def checked(url: str, *, plain: Callable[[str], bool] = is_loopback) -> SplitResult:
    """Return the parts of an absolute address that is https, or http to a `plain` host; else raise AddressRefused.

    What only a machine itself has may be asked for on its link too; everything else gets plain http on loopback alone.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is no number raises here
    except ValueError as error:
        raise AddressRefused("not an address") from error
    if not host or not _is_plain(url):
        raise AddressRefused("not an absolute address")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("an address with a user name")
    if parts.scheme != "https" and not (parts.scheme == "http" and plain(host)):
        raise AddressRefused("neither https nor loopback")
    return parts


def _is_plain(url: str) -> bool:
    # Backslashes, blanks and letters beyond ASCII are read differently by different parsers: the host that was
    # checked could be another one than the host that is called.
    return url.isascii() and url.isprintable() and not any(character in url for character in "\\ ")


HTTPS = 443  # another port of a listed host may be somebody else's server


class ServiceHosts:
    """The host names to which the bot's own token may be sent.

    An entry is a host name (`smba.trafficmanager.net`), or `*.` and a suffix (`*.example.com`, which takes every name
    below it but not `example.com` itself). Loopback is no exception: it has to be listed too.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        listed = {entry.strip().casefold() for entry in entries}
        self._exact = frozenset(entry for entry in listed if not entry.startswith("*."))
        self._suffixes = tuple(entry[1:] for entry in listed if entry.startswith("*.") and len(entry) > 2)

    def base(self, service_url: str) -> str:
        """Return the address without its trailing slash if it may get the token; else raise AddressRefused."""
        parts = checked(service_url)
        if parts.query or parts.fragment or "?" in service_url or "#" in service_url:
            raise AddressRefused("a service address with a query")
        if not self._lists(parts.hostname or ""):
            raise AddressRefused("a host that is not listed")
        if parts.port not in {None, HTTPS} and not is_loopback(parts.hostname or ""):
            raise AddressRefused("a port that is not that of https")
        return service_url.rstrip("/")

    def _lists(self, host: str) -> bool:
        return host in self._exact or host.endswith(self._suffixes)
