"""Middleware of every aiohttp server of the sandbox: only requests to a loopback name are served."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from yarl import URL

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost"})


@web.middleware
async def only_by_loopback_name(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse other host names with 421. A hostile page's domain could resolve to 127.0.0.1, and then share our origin.

    Refuse foreign pages with 403, by the header Origin, which browsers send with every request that could change
    something.
    """
    if request.url.host not in LOOPBACK_NAMES:
        raise web.HTTPMisdirectedRequest
    origin = request.headers.get("Origin")
    if origin is not None and URL(origin).host not in LOOPBACK_NAMES:
        raise web.HTTPForbidden  # a foreign page that calls our address
    return await handler(request)
