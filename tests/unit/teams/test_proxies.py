"""Tests for the proxies of calls to Microsoft: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the environment."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from bot.teams.net.session import open_session
from tests.fakes.listening import listening

ELSEWHERE = "http://service.example.com/v3"  # only a proxy can reach it
HEADERS = {"Authorization": "Bearer sample"}


class Recorder:
    """Answers every request, and records it."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer 200."""
        self.requests.append(request)
        return web.Response()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
    """Return a server on loopback. The environment names no proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    recorder = Recorder()
    async with listening(recorder.answer) as recorder.port:
        yield recorder


async def test_call_goes_through_the_proxy_with_the_credentials_in_its_address(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call, whose proxy is known, as well as the first. The service's own header stays."""
    proxy = URL.build(scheme="http", user="bot", password="p@ss", host="127.0.0.1", port=server.port)
    monkeypatch.setenv("http_proxy", str(proxy))
    async with open_session() as session:
        for _ in range(2):
            async with session.get(ELSEWHERE, headers=HEADERS) as answer:
                assert answer.status == 200
    for request in server.requests:
        assert request.raw_path == ELSEWHERE
        assert request.headers["Proxy-Authorization"] == "Basic " + b64encode(b"bot:p@ss").decode()
        assert request.headers["Authorization"] == HEADERS["Authorization"]
    assert len(server.requests) == 2


async def test_hosts_of_no_proxy_are_called_directly(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same session as calls through the proxy."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    async with open_session() as session:
        for address in (f"http://127.0.0.1:{server.port}/direct", ELSEWHERE):
            async with session.get(address) as answer:
                assert answer.status == 200
    assert [each.raw_path for each in server.requests] == ["/direct", ELSEWHERE]


async def test_netrc_file_changes_no_call(server: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With `trust_env`, aiohttp would refuse a call that has a token if the file names its host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password other\n", "utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    address = f"http://127.0.0.1:{server.port}/"
    async with open_session() as session, session.get(address, headers=HEADERS) as answer:
        assert answer.status == 200
    assert [each.headers["Authorization"] for each in server.requests] == [HEADERS["Authorization"]]


async def test_session_without_proxies_ignores_the_environment(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of a managed identity belongs to this machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with open_session(proxied=False) as session, session.get(f"http://127.0.0.1:{server.port}/direct") as answer:
        assert answer.status == 200
    assert [each.raw_path for each in server.requests] == ["/direct"]
