"""The bot's credentials and tokens are in no log line, error, metric, repr, store, or output of `show`.

The secrets contain the word "canary". The servers send back the requests that they received, so their responses contain
the secret. Then all text that a person could read is searched for that word. The test of a whole run searches for the
tokens that were issued in it.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from bot.aws.assembly import AwsSide
from bot.cli import main
from bot.clock import SystemClock
from bot.ports.aws import SecretSource
from bot.sandbox.aws.callers import Session
from bot.sandbox.aws.server import SandboxAws
from bot.sandbox.sandbox import free_port, trusting
from bot.sandbox.teams.microsoft import BotRegistration
from bot.teams.login.client_authentication import (
    FEDERATION_AUDIENCE,
    ClientAuthentication,
    Federation,
    RotatingSecret,
    StaticSecret,
)
from bot.teams.login.credentials import AppCredentials
from bot.teams.login.entra import Entra
from bot.teams.login.managed_identity import IdentityAddress, ManagedIdentity
from bot.teams.login.token_response import TokenSource
from bot.teams.net.addresses import ServiceHosts
from bot.teams.net.session import open_session
from bot.teams.outbound.calls import ConnectorCalls
from bot.teams.outbound.connector import Connector
from bot.telemetry import Telemetry
from tests.contract.gateway import environment
from tests.fakes.edge import Ticker
from tests.fakes.people import APP_ID, HANAKO, TENANT_ID
from tests.fakes.product import Product, product
from tests.fakes.secret_source import FakeSecretSource
from tests.fakes.signing import SECRET
from tests.fakes.teams_world import APPROVERS

CANARY = "canary"
CREDENTIAL = "canary.secret~of-the_bot"
TOKEN = "canary.token-of_the~bot"
ARN = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:node-access-AbCdEf"
Answering = Callable[[str], web.StreamResponse]


class EchoServer:
    """A server that sends back the request that it received, in a form that the test chooses."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Answering = _granting
        self.received = list[str]()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        sent = f"{await request.text()} {dict(request.headers)} {request.query_string} {CREDENTIAL} {TOKEN}"
        self.received.append(sent)
        if self.answer is _cut:
            return await _half(request, sent)
        if self.answer is _gone:
            assert request.transport is not None
            request.transport.close()
        return self.answer(sent)


def _granting(_: str) -> web.StreamResponse:
    return web.json_response({"access_token": TOKEN, "expires_in": 3600})


def _cut(_: str) -> web.StreamResponse:
    raise AssertionError


def _gone(_: str) -> web.StreamResponse:
    return web.Response()


async def _half(request: web.Request, sent: str) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "100000", "Content-Type": "application/json"})
    await answer.prepare(request)
    await answer.write(sent.encode())
    assert request.transport is not None
    request.transport.close()
    return answer


def _echo(status: int, **headers: str) -> Answering:
    """Return an answer that has the received request in every field that the bot may read."""
    return lambda sent: web.json_response(
        {
            "error": sent,
            "error_description": sent,
            "error_codes": [7000215, sent],
            "errorCode": sent,
            "message": sent,
            "Message": sent,
            "__type": "InternalFailure",
        },
        status=status,
        headers=headers,
    )


def _raw(text: str) -> Answering:
    return lambda sent: web.Response(text=text.replace("SENT", sent), content_type="application/json")


ANSWERS: dict[str, Answering] = {
    "granted": _granting,
    "refused": _echo(401),
    "refused, a word": lambda _: web.json_response({"error": CREDENTIAL, "error_codes": [CREDENTIAL]}, status=400),
    "refused, nested": lambda sent: web.json_response({"error": {"code": sent, "message": sent}}, status=403),
    "refused, code": lambda _: web.json_response({"error": {"code": TOKEN}}, status=403),
    "unavailable": _echo(503, **{"Retry-After": TOKEN}),
    "throttled": _echo(429, **{"Retry-After": CREDENTIAL}),
    "redirected": lambda _: web.Response(status=302, headers={"Location": f"/elsewhere?{CREDENTIAL}&{TOKEN}"}),
    "no JSON": _raw("SENT"),
    "half of JSON": _raw(f'{{"access_token": "{TOKEN}", "x": "{CREDENTIAL}'),
    "no object": _raw(f'["{TOKEN}", "{CREDENTIAL}"]'),
    "no number": _raw(f'{{"access_token": "{TOKEN}", "expires_in": "{TOKEN}"}}'),
    "no token": _raw(f'{{"access_token": "{TOKEN}\\r\\n{CREDENTIAL}", "expires_in": 3600}}'),
    "at its end": _raw(f'{{"access_token": "{TOKEN}", "expires_in": 0}}'),
    "cut": _cut,
    "gone": _gone,
}


@asynccontextmanager
async def echo_server() -> AsyncIterator[EchoServer]:
    app, made = web.Application(), EchoServer()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def readable(*things: object) -> str:
    """Return all text of some objects that a person could see: texts, reprs and stack traces."""
    texts = [f"{each!r} {each!s}" for each in things]
    for error in (each for each in things if isinstance(each, BaseException)):
        texts += traceback.format_exception(error)
        texts += [f"{error.args} {vars(error)}", f"{error.__cause__!r}"]
    return "\n".join(texts)


async def outcome(doing: Awaitable[object]) -> object:
    """Return the result, or the error that was raised."""
    try:
        return await doing
    except Exception as error:  # noqa: BLE001 - every error is searched
        return error


def token_source_of(kind: str, session: aiohttp.ClientSession, url: str, clock: Ticker) -> TokenSource:
    """Return a token source of this kind. Its secret is CREDENTIAL."""
    if kind == "managed-identity":
        address = IdentityAddress(f"{url}/msi/token", SecretStr(CREDENTIAL))
        return ManagedIdentity(session, address=address, app_id=APP_ID, clock=clock)
    source = FakeSecretSource(CREDENTIAL)
    authentications: dict[str, ClientAuthentication] = {
        "given": StaticSecret(SecretStr(CREDENTIAL)),
        "stored": RotatingSecret(source, clock=clock),
        "federation": Federation(source),
    }
    return Entra(
        session, authority=url, tenant_id=TENANT_ID, app_id=APP_ID, authentication=authentications[kind], clock=clock
    )


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("kind", ["given", "stored", "federation", "managed-identity"])
async def test_no_answer_of_the_login_reveals_a_secret(kind: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No secret is in a result, an error, an object or the log, whether the login grants, refuses, fails or breaks off."""
    caplog.set_level(logging.WARNING)  # the program's log level for libraries
    clock = Ticker()
    async with echo_server() as login, open_session(proxied=False) as session:
        login.answer = ANSWERS[name]
        token_source = token_source_of(kind, session, login.url, clock)
        async with AppCredentials(token_source, clock=clock, telemetry=Telemetry(CollectorRegistry())) as credentials:
            with structlog.testing.capture_logs() as lines:
                direct = await outcome(token_source.fetch())
                bearers = [await outcome(credentials.bearer()) for _ in range(2)]
                credentials.forget(SecretStr(TOKEN))
    assert login.received
    assert lines
    assert CANARY not in readable(
        direct, *bearers, lines, token_source, vars(token_source), credentials, vars(credentials), caplog.text
    )


@pytest.mark.parametrize("name", ANSWERS)
async def test_no_answer_of_the_connector_reveals_the_token(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The token is in no error, object or log line, whether or not the fake Connector sends it back."""
    caplog.set_level(logging.WARNING)
    clock = Ticker()
    async with echo_server() as login, echo_server() as teams, open_session(proxied=False) as session:
        teams.answer = ANSWERS[name]
        async with AppCredentials(
            token_source_of("given", session, login.url, clock), clock=clock, telemetry=Telemetry(CollectorRegistry())
        ) as credentials:
            calls = ConnectorCalls(session, credentials=credentials, hosts=ServiceHosts(["127.0.0.1"]), clock=clock)
            connector = Connector(calls, app_id=APP_ID)
            with structlog.testing.capture_logs() as lines:
                errors = [
                    await outcome(connector.post_to_conversation(teams.url, conversation=APPROVERS, activity={})),
                    await outcome(connector.get_member(teams.url, conversation=APPROVERS, member=HANAKO.object_id)),
                ]
    assert f"Bearer {TOKEN}" in str(teams.received)
    assert [each for each in errors if isinstance(each, Exception)]
    assert CANARY not in readable(*errors, lines, calls, vars(calls), caplog.text)


AWS_ANSWERS: dict[str, Answering] = {
    **{name: ANSWERS[name] for name in ("unavailable", "throttled", "no JSON", "half of JSON", "cut", "gone")},
    "refused": _echo(400),
    "another type": _raw(f'{{"SecretString": ["{CREDENTIAL}"]}}'),
    "an object without the key": _raw(f'{{"SecretString": "{{\\"secret\\": \\"{CREDENTIAL}\\"}}"}}'),
    "a cut answer of STS": lambda _: web.Response(
        text=f"<GetWebIdentityTokenResponse><WebIdentityToken>{CREDENTIAL}", content_type="text/xml"
    ),
    "an error with a message": lambda _: web.Response(
        text=f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>{CREDENTIAL}</Message></Error></ErrorResponse>",
        content_type="text/xml",
        status=403,
    ),
    "no date": lambda _: web.Response(
        text="<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><Expiration>"
        f"{CREDENTIAL}</Expiration></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>",
        content_type="text/xml",
    ),
}


@pytest.mark.parametrize("name", AWS_ANSWERS)
async def test_no_answer_of_aws_reveals_a_secret(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """After invalid answers of Secrets Manager and STS, no secret is in an error, a log line or a metric."""
    caplog.set_level(logging.WARNING)
    registry, clock = CollectorRegistry(), Ticker()
    bot = Session("SANDBOXKEYOFTHEBOT01", "x", "", "arn:aws:iam::111122223333:role/NodeAccessBot", "node-access-bot")
    async with echo_server() as aws, AsyncExitStack() as stack:
        aws.answer = AWS_ANSWERS[name]
        stack.enter_context(environment(aws.url, bot))
        side = await stack.enter_async_context(
            AwsSide(
                region="ap-northeast-1",
                accounts=(),
                queue_url=None,
                clock=SystemClock(),
                telemetry=Telemetry(registry),
            )
        )
        sources: list[SecretSource] = [side.client_secret(ARN), side.web_identity(FEDERATION_AUDIENCE)]
        with structlog.testing.capture_logs() as lines:
            errors = [await outcome(each.read()) for each in sources]
            errors += [await outcome(RotatingSecret(sources[0], clock=clock).form())]
            errors += [await outcome(Federation(sources[1]).form())]
    assert len(aws.received) == 4
    assert all(isinstance(each, Exception) for each in errors)
    assert CANARY not in readable(*errors, lines, *sources, generate_latest(registry).decode(), caplog.text)


# --- a whole run


async def test_log_metrics_and_store_have_no_secret_after_a_decision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No token and no client assertion is in the log, `/metrics`, the output of `show`, or the store's files."""

    def registration(aws: SandboxAws) -> BotRegistration:
        return BotRegistration(app_id=APP_ID, tenant_id=TENANT_ID, federated=trusting(aws))

    port = free_port()
    async with product(monkeypatch, tmp_path, registration=registration) as world:
        world.changed |= {"app_credential": "aws-federation", "app_secret": None, "metrics_port": port}
        with structlog.testing.capture_logs() as lines:
            async with world.running():
                request, metrics = await _decided(world, port)
        statements = [str(call.body["client_assertion"]) for call in world.microsoft.faults.matching("POST", "token$")]
    monkeypatch.setenv("NODE_ACCESS_STORE", f"sqlite:{world.store}")
    rows = await asyncio.to_thread(CliRunner().invoke, main, ["show", request])
    files = await asyncio.to_thread(contents, tmp_path)

    assert (rows.exit_code, request in rows.output) == (0, True)
    assert request.encode() in files
    secrets = [*world.microsoft.sign_in.granted, *statements]
    assert len(secrets) >= 2
    for secret in secrets:
        assert secret not in f"{lines} {metrics} {rows.output}"
        assert secret.encode() not in files


def contents(folder: Path) -> bytes:
    """Return the bytes of all files in a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def _decided(world: Product, port: int) -> tuple[str, str]:
    request = await world.ask()
    await world.click(HANAKO, await world.card(request), "approve", "ok")
    await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    async with (
        aiohttp.ClientSession(trust_env=False) as http,
        http.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        return request, await answer.text()


def test_search_finds_a_secret_in_an_error() -> None:
    """Control: a canary is found in an error's text, in its cause and in its attributes."""
    kept = ValueError("plain")
    kept.doc = TOKEN  # type: ignore[attr-defined]  # as json's own error does
    caused = RuntimeError("plain")
    caused.__cause__ = ValueError(CREDENTIAL)
    assert all(CANARY in readable(each) for each in (ValueError(TOKEN), kept, caused, {"a": CREDENTIAL}))
    assert SECRET not in readable(SecretStr(SECRET))
