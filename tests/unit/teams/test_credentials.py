"""Tests for bot.teams.login.credentials: one fetch for all callers, renewal ahead of time, no secret in the log."""

import asyncio
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from bot.ports.teams import ChatProblem, ChatRefused, ChatUnavailable
from bot.sandbox.teams.microsoft import EXPIRES_IN
from bot.teams.login.client_authentication import StaticSecret
from bot.teams.login.credentials import RENEW_AHEAD, RETRY_GAP
from bot.teams.login.entra import Entra
from bot.teams.net.addresses import AddressRefused
from bot.teams.net.session import open_session
from tests.fakes.edge import Edge, Ticker
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.signing import SECRET

TOKEN = "oauth2/v2.0/token$"


def fetches(ms: FakeMicrosoft) -> int:
    return len(ms.faults.matching("POST", TOKEN))


async def test_simultaneous_calls_share_one_token_request(ms: FakeMicrosoft, edge: Edge) -> None:
    """A hundred simultaneous calls make one request for a token."""
    tokens = await asyncio.gather(*(edge.credentials.bearer() for _ in range(100)))

    assert (len({token.get_secret_value() for token in tokens}), fetches(ms)) == (1, 1)


async def test_connector_token_is_renewed_in_the_background(ms: FakeMicrosoft, edge: Edge, clock: Ticker) -> None:
    """Ten minutes before it expires, the old token is returned while a new one is fetched."""
    old = await edge.credentials.bearer()
    clock.seconds += EXPIRES_IN - RENEW_AHEAD + 1
    held = ms.hold("POST", TOKEN)

    same = await edge.credentials.bearer()
    await held.reached.wait()
    assert held.gate is not None
    held.gate.set()
    clock.seconds += RENEW_AHEAD
    new = await edge.credentials.bearer()

    assert (same == old, new == old) == (True, False)


async def test_failed_renewal_leaves_the_old_connector_token_in_use(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """An outage of the login has no effect as long as the old token is valid."""
    old = await edge.credentials.bearer()
    clock.seconds += EXPIRES_IN - RENEW_AHEAD + 1
    ms.fault("POST", TOKEN, status=503, times=None)

    assert await edge.credentials.bearer() == old
    await edge.credentials._renewal.drain()
    assert (await edge.credentials.bearer() == old, fetches(ms)) == (True, 2)


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"status": 200, "body": "<html>"},
        {"status": 429, "headers": {"Retry-After": "inf"}},
        {"status": 503, "headers": {"Retry-After": "-1"}},
        {"status": 503, "headers": {"Retry-After": "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"}},
    ],
)
async def test_failed_token_request_is_repeated_only_after_five_seconds(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker, fault: dict[str, Any]
) -> None:
    """In the seconds between, every call raises ChatUnavailable without a request, whatever `Retry-After` says."""
    ms.fault("POST", TOKEN, times=None, **fault)
    for _ in range(10):
        with pytest.raises(ChatUnavailable) as failed:
            await edge.credentials.bearer()
        assert not failed.value.ambiguous
    assert fetches(ms) == 1
    ms.faults.heal()
    clock.seconds += RETRY_GAP

    assert await edge.credentials.bearer()


async def test_wrong_client_secret_raises_chat_refused_with_entras_code(ms: FakeMicrosoft, edge: Edge) -> None:
    """The error is not ChatUnavailable, because a repetition cannot help."""
    ms.fault("POST", TOKEN, status=401, body='{"error": "invalid_client", "error_description": "AADSTS7000215"}')

    with pytest.raises(ChatRefused) as refused:
        await edge.credentials.bearer()

    assert (refused.value.problem, refused.value.detail) == (ChatProblem.UNAUTHORIZED, "invalid_client")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "body": "{}"},
        {"status": 200, "body": "junk"},
        {"status": 200, "body": '{"access_token": "", "expires_in": 3600}'},
        {"status": 200, "body": '{"access_token": "a\\r\\nb", "expires_in": 3600}'},
        {"status": 200, "body": '{"access_token": "a", "expires_in": "soon"}'},
        {"status": 200, "body": '{"access_token": "a"}'},
        {"status": 302, "headers": {"Location": "/elsewhere"}},
        {"status": 429, "body": "{}"},
        {"status": 500, "body": "<html>"},
    ],
)
async def test_invalid_token_response_raises_chat_unavailable(
    answer: dict[str, object], ms: FakeMicrosoft, edge: Edge
) -> None:
    """A response without a usable token raises ChatUnavailable. The secret is not sent to the address of a redirect."""
    ms.fault("POST", TOKEN, **answer)

    with pytest.raises(ChatUnavailable):
        await edge.credentials.bearer()

    assert ms.faults.matching("POST", "elsewhere") == []


async def test_second_refusal_of_an_old_connector_token_does_not_drop_the_new_one(
    ms: FakeMicrosoft, edge: Edge
) -> None:
    """After the first refusal, the token is replaced."""
    old = await edge.credentials.bearer()
    edge.credentials.forget(old)
    new = await edge.credentials.bearer()
    edge.credentials.forget(old)

    assert (await edge.credentials.bearer() == new, fetches(ms)) == (True, 2)


async def test_client_secret_and_token_are_in_no_log_line_and_no_error(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """The error and the token's `repr` do not contain a secret or token, even if the response repeats the secret."""
    with structlog.testing.capture_logs() as lines:
        token = await edge.credentials.bearer()
        edge.credentials.forget(token)
        ms.fault("POST", TOKEN, status=401, body=f'{{"error": "invalid_client", "error_description": "{SECRET}"}}')
        with pytest.raises(ChatRefused) as refused:
            await edge.credentials.bearer()

    everything = f"{lines} {refused.value!r} {refused.value} {token!r}"
    assert len(lines) >= 2
    assert SECRET not in everything
    assert token.get_secret_value() not in everything


async def test_login_address_of_the_credentials_with_plain_http_is_refused(clock: Ticker) -> None:
    """The login must use https, except on loopback, because the secret is sent to it."""
    async with open_session() as session:
        with pytest.raises(AddressRefused):
            Entra(
                session,
                authority="http://login.example.com",
                tenant_id="t",
                app_id="a",
                authentication=StaticSecret(SecretStr("s")),
                clock=clock,
            )
