"""Tests for bot.teams.login.managed_identity: on a virtual machine, and on App Service or Container Apps."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.ports.teams import ChatRefused, ChatUnavailable
from bot.teams.login.credentials import RENEW_AHEAD, AppCredentials
from bot.teams.login.managed_identity import IMDS, IdentityAddress, ManagedIdentity
from bot.teams.net.addresses import AddressRefused
from bot.teams.net.session import open_session
from bot.telemetry import Telemetry
from tests.fakes.edge import Ticker
from tests.fakes.listening import listening
from tests.fakes.people import APP_ID

HEADER = "header-of-the-tests"


class Azure:
    """A fake identity endpoint that answers with `answer` and records the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.status, self.answer = 200, dict[str, Any](access_token="token-1", expires_in="86400", expires_on="0")
        self.location = ""
        self.asked: list[tuple[dict[str, str], dict[str, str]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        seen = {name: request.headers[name] for name in ("Metadata", "X-IDENTITY-HEADER") if name in request.headers}
        self.asked.append((dict(request.query), seen))
        headers = {"Location": self.location} if self.location else {}
        return web.json_response(self.answer, status=self.status, headers=headers)


@pytest.fixture
async def azure() -> AsyncIterator[Azure]:
    """Run the fake identity endpoint."""
    made = Azure()
    async with listening(made.handle) as port:
        made.url = f"http://127.0.0.1:{port}/msi/token"
        yield made


@pytest.fixture
async def credentials(azure: Azure, clock: Ticker) -> AsyncIterator[AppCredentials]:
    """Return credentials of a virtual machine whose identity endpoint is the fake."""
    async with open_session(proxied=False) as session:
        yield _credentials(session, IdentityAddress(azure.url), clock)


def _credentials(session: Any, address: IdentityAddress, clock: Ticker) -> AppCredentials:
    return AppCredentials(
        ManagedIdentity(session, address=address, app_id=APP_ID, clock=clock),
        clock=clock,
        telemetry=Telemetry(CollectorRegistry()),
    )


async def test_managed_identity_request_on_a_virtual_machine_is_the_documented_one(
    azure: Azure, credentials: AppCredentials
) -> None:
    """The request is for a Connector token of the bot's identity, and has the header Metadata that Azure requires."""
    assert (await credentials.bearer()).get_secret_value() == "token-1"
    wanted = {"api-version": "2018-02-01", "resource": "https://api.botframework.com", "client_id": APP_ID}
    assert azure.asked == [(wanted, {"Metadata": "true"})]
    assert IdentityAddress() == IdentityAddress(IMDS, None)
    assert IMDS.startswith("http://169.254.169.254/")


async def test_managed_identity_request_on_app_service_is_the_documented_one(azure: Azure, clock: Ticker) -> None:
    """The request has the header X-IDENTITY-HEADER.

    The response has only `expires_on`, in seconds since 1970, and the token is renewed before that time.
    """
    azure.answer = {"access_token": "token-1", "expires_on": str(int(clock.seconds) + 3600), "token_type": "Bearer"}
    async with open_session(proxied=False) as session:
        credentials = _credentials(session, IdentityAddress(azure.url, SecretStr(HEADER)), clock)
        first = await credentials.bearer()
        clock.seconds += 3600 - RENEW_AHEAD - 1
        assert await credentials.bearer() == first
        assert len(azure.asked) == 1
        clock.seconds += 2
        azure.answer |= {"access_token": "token-2", "expires_on": int(clock.seconds) + 3600}
        assert await credentials.bearer() == first
        await credentials._renewal.join()
        assert (await credentials.bearer()).get_secret_value() == "token-2"
    query, headers = azure.asked[0]
    assert (query["api-version"], query["client_id"]) == ("2019-08-01", APP_ID)
    assert headers == {"X-IDENTITY-HEADER": HEADER}


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
async def test_temporary_error_of_the_metadata_service_raises_chat_unavailable(
    azure: Azure, credentials: AppCredentials, status: int
) -> None:
    """Microsoft's documentation says to retry after these statuses."""
    azure.status, azure.answer = status, {"error": "not_now"}
    with pytest.raises(ChatUnavailable):
        await credentials.bearer()


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_managed_identity_that_is_not_assigned_raises_chat_refused(
    azure: Azure, credentials: AppCredentials, status: int
) -> None:
    """The error has Microsoft's code and nothing else from the response."""
    azure.status, azure.answer = status, {"error": "invalid_request", "error_description": "Identity not found"}
    with pytest.raises(ChatRefused) as refused:
        await credentials.bearer()
    assert refused.value.detail == "invalid_request"


async def test_redirect_of_the_identity_endpoint_is_not_followed(azure: Azure, credentials: AppCredentials) -> None:
    """The request and its header go only to the configured address."""
    azure.status, azure.location = 302, "/elsewhere"
    with pytest.raises(ChatUnavailable):
        await credentials.bearer()
    assert len(azure.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": "", "expires_in": 1},
        {"access_token": "t", "expires_on": "soon"},
        {"access_token": "t", "expires_in": "inf"},
        {"access_token": "t", "expires_in": "nan"},
        {"access_token": "t", "expires_in": 10**400},
        {"access_token": "t"},
    ],
)
async def test_invalid_response_of_the_identity_endpoint_raises_chat_unavailable(
    azure: Azure, credentials: AppCredentials, answer: dict[str, Any]
) -> None:
    """The response has no usable token, or no usable time of expiry."""
    azure.answer = answer
    with pytest.raises(ChatUnavailable):
        await credentials.bearer()


async def test_proxy_is_not_used_for_the_identity_endpoint(
    azure: Azure, credentials: AppCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would use its own machine's link-local address, and would see the header, which is a credential."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert await credentials.bearer()


@pytest.mark.parametrize(
    "address", ["http://10.0.0.1/", "http://169.253.255.255/", "http://169.255.0.0/", "http://login.example.com/"]
)
async def test_identity_endpoint_needs_https_except_on_loopback_and_link_local_addresses(
    address: str, clock: Ticker
) -> None:
    """Every other address must use https."""
    async with open_session(proxied=False) as session:
        with pytest.raises(AddressRefused):
            ManagedIdentity(session, address=IdentityAddress(address), app_id=APP_ID, clock=clock)
        for usable in (IMDS, "http://169.254.131.2:8081/msi/token", "http://localhost:42356/msi/token"):
            ManagedIdentity(session, address=IdentityAddress(usable), app_id=APP_ID, clock=clock)
