"""The HTTP client session for calls to Microsoft: time-outs, proxies, no cookies. Reads bounded responses."""

import json
from typing import Any, Final

import aiohttp

from bot.teams.net.proxies import EnvironmentProxies

CONNECTIONS: Final = 64  # more than the 50 requests a second that Teams grants one app in one tenant
TIMEOUT: Final = aiohttp.ClientTimeout(total=15, sock_connect=3)  # seconds; a call may override it
READ_LIMIT: Final = 4 * 1024 * 1024  # bytes; twenty times a roster page of 500 people


class OversizedAnswer(ValueError):
    """The response body is longer than READ_LIMIT."""


def open_session(*, proxied: bool = True) -> aiohttp.ClientSession:
    """Return a session for `async with`. If `proxied`, it honours `HTTPS_PROXY` and `NO_PROXY`."""
    return aiohttp.ClientSession(
        timeout=TIMEOUT,
        middlewares=[EnvironmentProxies()] if proxied else [],
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        headers={"User-Agent": "node-access-bot"},
    )


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body. Raises OversizedAnswer."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > READ_LIMIT:
            raise OversizedAnswer
        parts.append(part)
    return b"".join(parts)


def as_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a body. Raises ValueError for anything else."""
    try:
        found = json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error type for every malformed body
    return found
