"""The one HTTP session through which everything reaches Microsoft's side.

Owns its settings: time-outs, proxies, no cookies. Knows no address and no token.
"""

import json
from typing import Any

import aiohttp

CONNECTIONS = 64  # more than the 50 requests a second that Teams grants one app in one tenant
TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=3)  # seconds; callers that know better say so per call
READ_LIMIT = 4 * 1024 * 1024  # bytes; a roster page of 500 people is a twentieth of it


class OversizedAnswer(ValueError):
    """An answer longer than anything the service is known to send."""


def open_session(*, proxied: bool = True) -> aiohttp.ClientSession:
    """Open the session; the caller closes it. `HTTPS_PROXY` and `NO_PROXY` are honoured where calls are `proxied`."""
    return aiohttp.ClientSession(
        timeout=TIMEOUT,
        trust_env=proxied,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        headers={"User-Agent": "node-access-bot"},
    )


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, or raise OversizedAnswer."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > READ_LIMIT:
            raise OversizedAnswer
        parts.append(part)
    return b"".join(parts)


def as_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; raise ValueError for anything else."""
    try:
        found = json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error for everything that is not the object
    return found
