"""`doctor --url`: what a proxy, firewall or certificate in front of the bot does to Microsoft's calls.

TLS servers on loopback stand for what is in front of the bot.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from bot.doctor.endpoint import NotAnAddress, endpoint_address, endpoint_problem, public_roots
from tests.fakes.tls import certificate_file

LIMIT = 8 * 1024  # bytes; the limit of a common web application firewall
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate that no authority signed."""
    return certificate_file(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts the certificate, as the world trusts a public authority."""
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture
async def serve(certificate: Path) -> AsyncIterator[Serve]:
    """Serve a handler with TLS at every path. Return the address of the host."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_route("*", "/{path:.*}", handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        return f"https://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def bot(_request: web.Request) -> web.Response:
    """Refuse a call without a token, as the bot does."""
    return web.json_response({"error": "Unauthorized"}, status=401)


def answering(status: int, **how: str) -> Handler:
    """Answer every call with a status, as a proxy."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text="<html>", headers=how)

    return answer


async def firewall(request: web.Request) -> web.Response:
    """Refuse large bodies, and let the others through to the bot."""
    return web.Response(status=403) if len(await request.read()) > LIMIT else await bot(request)


async def test_public_address_with_a_trusted_certificate_is_no_problem(serve: Serve, trusting: ssl.SSLContext) -> None:
    """The host alone is enough: the bot's path is added."""
    assert await endpoint_problem(endpoint_address(await serve(bot)), trusting) is None


@pytest.mark.parametrize(
    ("handler", "code", "words"),
    [
        (answering(404), "endpoint_wrong", "another program answers, or the proxy does not forward /api/messages"),
        (answering(403), "endpoint_wrong", "a firewall or proxy refuses the call before the bot"),
        (answering(401), "endpoint_wrong", "401, but not the bot's"),
        (answering(302, Location="https://login.example.com"), "endpoint_wrong", "Microsoft does not follow it"),
        (answering(503), "endpoint_wrong", "no healthy target"),
        (answering(200), "endpoint_wrong", "200: not the bot's answer"),
        (firewall, "endpoint_body_limit", "a body of 9 KB is not answered like a small one"),
    ],
)
async def test_wrong_answer_at_the_public_address_is_a_problem_with_advice(
    serve: Serve, trusting: ssl.SSLContext, handler: Handler, code: str, words: str
) -> None:
    """The problem has a code for the kind of answer.

    A proxy, a firewall or another program answers instead of the bot.
    """
    problem = await endpoint_problem(endpoint_address(await serve(handler)), trusting)
    assert problem is not None
    assert problem.code == code
    assert words in problem.advice


async def test_certificate_that_no_public_authority_signed_is_a_problem(
    serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Microsoft does not know a company's authority, even if this machine trusts it by SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    problem = await endpoint_problem(endpoint_address(await serve(bot)), public_roots())
    assert problem is not None
    assert problem.code == "endpoint_certificate"
    assert "the whole chain" in problem.advice


async def test_public_address_that_refuses_connections_is_a_problem(
    trusting: ssl.SSLContext, unused_tcp_port: int
) -> None:
    """No server listens at the port."""
    problem = await endpoint_problem(f"https://127.0.0.1:{unused_tcp_port}/api/messages", trusting)
    assert problem is not None
    assert problem.code == "endpoint_unreachable"


async def test_public_address_with_a_wrong_path_is_a_problem(trusting: ssl.SSLContext) -> None:
    """The problem names the bot's path."""
    problem = await endpoint_problem("https://bot.example.com/messages", trusting)
    assert problem is not None
    assert "the bot serves /api/messages" in problem.advice


@pytest.mark.parametrize(
    "text",
    ["bot.example.com", "http://bot.example.com", "https://", "https://user@example.com", "https://[", "https://a:x"],
)
def test_text_that_is_not_an_https_address_is_refused(text: str) -> None:
    """The error says what to write."""
    with pytest.raises(NotAnAddress, match=r"write|not an address"):
        endpoint_address(text)
