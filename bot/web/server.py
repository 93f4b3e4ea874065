"""The HTTP server: `/api/messages`, `/livez` and `/readyz`; `/metrics` and a detailed `/readyz` on another port.

Anybody can reach the public port, so it shows no details: no account ids, error codes or versions.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web, web_response
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

MESSAGES: Final = "/api/messages"
LARGEST_REQUEST: Final = 1024 * 1024  # bytes; a second limit behind the handler's own, which is lower
SHUTDOWN_TIMEOUT: Final = 3.0  # seconds for open requests, twice: aiohttp waits, cancels, and waits again
IDLE_TIME: Final = 75.0  # seconds to wait for a complete head; load balancers close idle connections first (ALB: 60)
NAME: Final = "node-access-bot"  # the header Server; aiohttp's own has the versions of Python and of itself
LINGERING_TIME: Final = 1.0  # seconds to read on after refusing a body, so that the sender receives the refusal

MessageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Readiness = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns the parts that are not ready, with the reason (`{"keys": "no signing keys"}`); empty if ready."""
Problems = Callable[[], Mapping[str, str]]
"""Returns the parts with a problem that does not affect readiness, with the reason."""

HANDLER: web.AppKey[MessageHandler] = web.AppKey("handler")
READINESS: web.AppKey[Readiness] = web.AppKey("readiness")
PROBLEMS: web.AppKey[Problems] = web.AppKey("problems")
REGISTRY: web.AppKey[CollectorRegistry] = web.AppKey("registry", CollectorRegistry)

log = structlog.get_logger(__name__)


def build_app(*, messages: MessageHandler, ready: Readiness) -> web.Application:
    """Build the application for Teams and the health probes."""
    app = web.Application(middlewares=[_one_line], client_max_size=LARGEST_REQUEST)
    app[HANDLER], app[READINESS] = messages, ready
    app.router.add_post(MESSAGES, _messages)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    return app


def build_metrics_app(registry: CollectorRegistry, *, ready: Readiness, problems: Problems = dict) -> web.Application:
    """Build the application for operators: Prometheus, and the details of the readiness."""
    app = web.Application()
    app[REGISTRY], app[READINESS], app[PROBLEMS] = registry, ready, problems
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/readyz", _readyz_in_detail)
    return app


async def _messages(request: web.Request) -> web.StreamResponse:
    return await request.app[HANDLER](request)


async def _livez(_request: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def _readyz(request: web.Request) -> web.Response:
    return _readiness(await request.app[READINESS](), {})


async def _readyz_in_detail(request: web.Request) -> web.Response:
    missing = dict(await request.app[READINESS]())
    return _readiness(missing, {"missing": missing, "problems": dict(request.app[PROBLEMS]())})


def _readiness(missing: Mapping[str, str], details: Mapping[str, Mapping[str, str]]) -> web.Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    return web.json_response({"ready": not missing, **details}, status=status)


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(request.app[REGISTRY]), headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def _one_line(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log one line per request; probes and unknown paths only at DEBUG."""
    began = time.perf_counter()
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as error:
        status = error.status
        raise
    else:
        return response
    finally:
        known = request.match_info.route.resource
        write = log.info if known is not None and known.canonical == MESSAGES else log.debug
        write(
            "request_served",
            method=request.method,
            route=known.canonical if known is not None else None,
            status=status,
            milliseconds=round((time.perf_counter() - began) * 1000, 1),
        )


class _NotHttp(logging.Filter):
    """Drops errors about malformed HTTP: anybody can cause many of them, and the traceback repeats the input."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_NOT_HTTP = _NotHttp()


def _server_log() -> logging.Logger:
    server = logging.getLogger("aiohttp.server.node_access")
    server.addFilter(_NOT_HTTP)  # adding the same filter again has no effect
    return server


@dataclass(frozen=True, slots=True)
class Server:
    """An application that listens on a port."""

    runner: web.AppRunner
    host: str
    port: int

    async def close(self) -> None:
        """Stop listening and wait for open requests, 6 s at most. Leaving `listen` does the same."""
        await self.runner.cleanup()


@asynccontextmanager
async def listen(app: web.Application, *, host: str, port: int) -> AsyncIterator[Server]:
    """Listen inside the context; port 0 means any free port. Raises OSError if the port cannot be opened."""
    vars(web_response)["SERVER_SOFTWARE"] = NAME  # no signal or setting covers the answers to malformed requests
    runner = web.AppRunner(
        app,
        logger=_server_log(),
        access_log=None,  # the middleware writes one line per request
        shutdown_timeout=SHUTDOWN_TIMEOUT,
        keepalive_timeout=IDLE_TIME,  # aiohttp's default is an hour, however slowly a head arrives
        auto_decompress=False,  # invalid data would log a traceback, a decompression bomb would fill the memory
        lingering_time=LINGERING_TIME,
    )
    await runner.setup()
    server = Server(runner=runner, host=host, port=port)
    try:
        await web.TCPSite(runner, host, port).start()
        yield replace(server, port=runner.addresses[0][1])
    finally:
        await server.close()
