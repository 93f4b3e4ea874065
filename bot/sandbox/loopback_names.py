"""The guard of every server of the sandbox: reached by a loopback name, or not at all."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost"})


@web.middleware
async def only_by_loopback_name(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse foreign names: a web page may point its own name at 127.0.0.1 and would then be served as ours."""
    if request.url.host not in LOOPBACK_NAMES:
        raise web.HTTPMisdirectedRequest
    return await handler(request)
