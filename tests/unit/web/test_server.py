"""Tests for bot.web.server: probes, metrics and shutdown."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from bot.web import server


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read())


async def _ready() -> Mapping[str, str]:
    return {}


def _app(*, messages: server.MessageHandler = _echo, missing: Mapping[str, str] | None = None) -> web.Application:
    async def ready() -> Mapping[str, str]:
        return missing or {}

    return server.build_app(messages=messages, ready=ready)


@asynccontextmanager
async def _running(missing: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    async with server.listen(_app(missing=missing), host="127.0.0.1", port=0) as listening:
        yield f"http://127.0.0.1:{listening.port}"


async def test_livez_is_answered_200_even_if_a_part_is_not_ready() -> None:
    """`/livez` is 200 even if parts of the program are not ready."""
    async with (
        _running(missing={"keys": "gone"}) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/livez") as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize(("missing", "status"), [({}, 200), ({"queue": "no answer yet"}, 503)])
async def test_public_readyz_returns_only_whether_the_bot_is_ready(missing: dict[str, str], status: int) -> None:
    """`/readyz` is 200 if no part is missing, else 503. Anybody may ask, so the body names no part and no reason."""
    async with (
        _running(missing=missing) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/readyz") as answer,
    ):
        assert answer.status == status
        assert await answer.json() == {"ready": not missing}


@pytest.mark.parametrize(("missing", "status"), [({}, 200), ({"queue": "AccessDenied"}, 503)])
async def test_readyz_of_the_metrics_port_returns_missing_parts_and_problems(
    missing: dict[str, str], status: int
) -> None:
    """The body has each missing part, and each part whose last attempt failed, with the reason."""

    async def ready() -> Mapping[str, str]:
        return missing

    app = server.build_metrics_app(CollectorRegistry(), ready=ready, problems=lambda: {"sweep": "Throttled"})
    async with (
        server.listen(app, host="127.0.0.1", port=0) as metrics,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{metrics.port}/readyz") as answer,
    ):
        assert answer.status == status
        assert await answer.json() == {"ready": not missing, "missing": missing, "problems": {"sweep": "Throttled"}}


@pytest.mark.parametrize("request_line", ["GET /livez HTTP/1.1", "GET /unknown HTTP/1.1", "not HTTP at all"])
async def test_answers_of_the_public_port_do_not_name_versions(request_line: str) -> None:
    """The header `Server` has only the name of the bot, also in the answer to a malformed request."""
    async with _running() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"{request_line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()
    assert re.findall(r"(?m)^Server: (.*?)\r$", head) == ["node-access-bot"]


SECRETS = ("AccessDenied", "111122223333", "queue", "aiohttp", "Python", "Traceback", "clicks")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND"])
@pytest.mark.parametrize(
    "path",
    [
        "/readyz",
        "/readyz?verbose=1",
        "/readyz/",
        "/READYZ",
        "//readyz",
        "/./readyz",
        "/livez/../readyz",
        "/%72eadyz",
        "/livez",
        "/metrics",
        "/metrics/",
        "/api/messages/../../metrics",
        "/api/messages;/metrics",
        "/.env",
        "/",
        "*",
    ],
)
async def test_answers_of_the_public_port_have_no_details(method: str, path: str) -> None:
    """No answer has a missing part, reason, account, metric or version. Only `/livez` is answered 200."""
    async with _running(missing={"queue": "AccessDenied in 111122223333"}) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        answer = (await reader.read()).decode()
        writer.close()
    status = int(answer.split()[1])
    assert [each for each in SECRETS if each in answer] == []
    assert status in (200, 400, 404, 405, 503)
    assert (status == 503) <= (method in ("GET", "HEAD"))
    assert status != 200 or "livez" in path


async def test_error_in_a_readiness_check_is_answered_without_its_text() -> None:
    """Both ports answer 500."""

    async def broken() -> Mapping[str, str]:
        raise RuntimeError("AccessDenied in 111122223333")

    public = server.build_app(messages=_echo, ready=broken)
    own = server.build_metrics_app(CollectorRegistry(), ready=broken)
    for app in (public, own):
        async with (
            server.listen(app, host="127.0.0.1", port=0) as listening,
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{listening.port}/readyz") as answer,
        ):
            text = await answer.text()
            assert (answer.status, [each for each in SECRETS if each in text]) == (500, [])


async def test_only_the_metrics_application_serves_metrics() -> None:
    """The path `/metrics` of this application answers in Prometheus' text format; the public one answers 404."""
    registry = CollectorRegistry()
    Counter("clicks", "Clicks.", registry=registry).inc()
    async with (
        server.listen(server.build_metrics_app(registry, ready=_ready), host="127.0.0.1", port=0) as metrics,
        _running() as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/metrics") as public,
        http.get(f"http://127.0.0.1:{metrics.port}/metrics") as own,
    ):
        assert public.status == 404
        assert (own.status, "clicks_total 1.0" in await own.text()) == (200, True)
        assert own.headers["Content-Type"].startswith("text/plain")


async def test_closing_the_server_waits_for_open_requests() -> None:
    """A request in progress is still answered while the server closes."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return web.Response(text="finished")

    async with (
        server.listen(_app(messages=slow), host="127.0.0.1", port=0) as listening,
        aiohttp.ClientSession() as http,
    ):
        asked = asyncio.create_task(http.post(f"http://127.0.0.1:{listening.port}/api/messages", data=b"{}"))
        await arrived.wait()
        stopping = asyncio.create_task(listening.close())
        await asyncio.sleep(0)
        go_on.set()
        async with await asked as answer:
            assert await answer.text() == "finished"
        await stopping


async def test_listening_on_a_port_in_use_raises_os_error() -> None:
    """A second server on the same port raises OSError."""
    async with server.listen(_app(), host="127.0.0.1", port=0) as first:
        with pytest.raises(OSError, match="in use"):
            async with server.listen(_app(), host="127.0.0.1", port=first.port):
                pytest.fail("it listens")
