"""The proxy for each call, from `HTTPS_PROXY` and `NO_PROXY` in the environment.

aiohttp's own `trust_env` reads the environment and the netrc file in two threads for each call. Besides, a netrc entry
for one of Microsoft's hosts would make all calls with a token fail.
"""

from typing import Final
from urllib.request import getproxies, proxy_bypass

from aiohttp import BasicAuth, ClientHandlerType, ClientRequest, ClientResponse
from cachetools import LRUCache
from yarl import URL

ORIGINS_KEPT: Final = 64  # the bot calls about five


class EnvironmentProxies:
    """aiohttp's middleware that sets the proxy of a request. It reads the environment once for each origin."""

    def __init__(self) -> None:
        self._kept: LRUCache[URL, URL | None] = LRUCache(ORIGINS_KEPT)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request, through its proxy if it has one."""
        if proxy := self._proxy(request.url.origin()):
            request.update_proxy(proxy.with_user(None), BasicAuth.from_url(proxy), None)
        return await handler(request)

    def _proxy(self, origin: URL) -> URL | None:
        if origin not in self._kept:
            found = None if proxy_bypass(origin.host or "") else getproxies().get(origin.scheme)
            self._kept[origin] = URL(found) if found else None
        return self._kept[origin]
