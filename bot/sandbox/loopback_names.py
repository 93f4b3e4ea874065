"""The guard of every server of the sandbox: reached by a loopback name, or not at all."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from yarl import URL

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost"})


@web.middleware
async def only_by_loopback_name(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse foreign names: a web page may point its own name at 127.0.0.1 and would then be served as ours.

    Foreign pages are refused by their Origin, which browsers send with every request that could change something.
    """
    if request.url.host not in LOOPBACK_NAMES:
        raise web.HTTPMisdirectedRequest
    origin = request.headers.get("Origin")
    if origin is not None and URL(origin).host not in LOOPBACK_NAMES:
        raise web.HTTPForbidden  # a page from elsewhere that asks by our own name
    return await handler(request)
