"""The HTTP server: `/api/messages`, `/livez`, `/readyz`, and `/metrics` on a port of its own.

Owns sockets, routes and probes. The handler of the messages is handed in; what it does is not known here.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

MESSAGES = "/api/messages"
LARGEST_REQUEST = 1024 * 1024  # bytes; a backstop, the handler's own limit is lower
SHUTDOWN_TIMEOUT = 3.0  # seconds for open requests, twice: aiohttp waits, cancels, and waits again
IDLE_TIME = 75.0  # seconds for a request's head to come whole; longer than a load balancer keeps idle ones (ALB: 60)
LINGERING_TIME = 1.0  # seconds to read on after refusing a body, so that the sender can hear the refusal

MessageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Readiness = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns what is missing and why, by part (`{"keys": "not fetched yet"}`); empty: ready."""
Problems = Callable[[], Mapping[str, str]]
"""Returns what does not work just now and keeps nobody from being served, by part."""

HANDLER: web.AppKey[MessageHandler] = web.AppKey("handler")
READINESS: web.AppKey[Readiness] = web.AppKey("readiness")
PROBLEMS: web.AppKey[Problems] = web.AppKey("problems")
REGISTRY: web.AppKey[CollectorRegistry] = web.AppKey("registry", CollectorRegistry)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def build_app(*, messages: MessageHandler, ready: Readiness, problems: Problems = dict) -> web.Application:
    """Build the public application."""
    app = web.Application(middlewares=[_one_line], client_max_size=LARGEST_REQUEST)
    app[HANDLER] = messages
    app[READINESS], app[PROBLEMS] = ready, problems
    app.router.add_post(MESSAGES, _messages)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    return app


def build_metrics_app(registry: CollectorRegistry) -> web.Application:
    """Build the application that Prometheus scrapes."""
    app = web.Application()
    app[REGISTRY] = registry
    app.router.add_get("/metrics", _metrics)
    return app


async def _messages(request: web.Request) -> web.StreamResponse:
    return await request.app[HANDLER](request)


async def _livez(_request: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def _readyz(request: web.Request) -> web.Response:
    missing = dict(await request.app[READINESS]())
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    body = {"ready": not missing, "missing": missing, "problems": dict(request.app[PROBLEMS]())}
    return web.json_response(body, status=status)


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(request.app[REGISTRY]), headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def _one_line(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log one line per request that reached a route; probes and strangers' paths only at debug."""
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
    """Passes over what is no HTTP: anybody can send it without end, and its trace repeats what was sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_NOT_HTTP = _NotHttp()


def _server_log() -> logging.Logger:
    server = logging.getLogger("aiohttp.server.node_access")
    server.addFilter(_NOT_HTTP)  # once: the same filter is not added again
    return server


@dataclass(frozen=True, slots=True)
class Server:
    """A listening application."""

    runner: web.AppRunner
    host: str
    port: int

    async def stop(self) -> None:
        """Stop listening, let open requests finish (6 s at most), close."""
        await self.runner.cleanup()


async def start(app: web.Application, *, host: str, port: int) -> Server:
    """Listen; port 0 takes a free one, which the returned Server names. Raise OSError if the port is taken."""
    runner = web.AppRunner(
        app,
        logger=_server_log(),
        access_log=None,  # one line per request is written by the middleware
        shutdown_timeout=SHUTDOWN_TIMEOUT,
        keepalive_timeout=IDLE_TIME,  # by itself aiohttp waits an hour, however slowly a head drips
        auto_decompress=False,  # what does not unfold ends in a traceback, what unfolds without end in a full memory
        lingering_time=LINGERING_TIME,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return Server(runner=runner, host=host, port=runner.addresses[0][1])
