"""Tests for bot.teams.login.client_authentication: a rotated client secret, and AWS federation."""

from collections.abc import AsyncIterator

import pytest
import structlog
from prometheus_client import CollectorRegistry

from bot.ports.teams import ChatRefused, ChatUnavailable
from bot.teams.login.client_authentication import (
    FEDERATION_AUDIENCE,
    JWT_BEARER,
    SECRET_KEPT_FOR,
    ClientAuthentication,
    Federation,
    RotatingSecret,
)
from bot.teams.login.credentials import RENEW_AHEAD, RETRY_GAP, AppCredentials
from bot.teams.login.entra import Entra
from bot.teams.net.session import open_session
from bot.telemetry import Telemetry
from tests.fakes.edge import Ticker
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, TENANT_ID
from tests.fakes.secret_source import FakeSecretSource
from tests.fakes.signing import SECRET

TOKEN = "oauth2/v2.0/token$"


class Login:
    """Builds credentials that request tokens from FakeMicrosoft with any client authentication."""

    def __init__(self, ms: FakeMicrosoft, clock: Ticker) -> None:
        self.ms, self.clock, self.session = ms, clock, open_session()

    def credentials(self, authentication: ClientAuthentication) -> AppCredentials:
        entra = Entra(
            self.session,
            authority=self.ms.authority,
            tenant_id=TENANT_ID,
            app_id=APP_ID,
            authentication=authentication,
            clock=self.clock,
        )
        return AppCredentials(entra, clock=self.clock, telemetry=Telemetry(CollectorRegistry()))

    def with_secret_from(self, source: FakeSecretSource) -> AppCredentials:
        return self.credentials(RotatingSecret(source, clock=self.clock))

    def sent(self) -> list[str]:
        """Return the forms that were posted to the login, as text."""
        return [str(call.body) for call in self.ms.faults.matching("POST", TOKEN)]


@pytest.fixture
async def login(ms: FakeMicrosoft, clock: Ticker) -> AsyncIterator[Login]:
    """Yield a builder of credentials that sign in to FakeMicrosoft."""
    made = Login(ms, clock)
    yield made
    await made.session.close()


@pytest.fixture
def source() -> FakeSecretSource:
    """Return a source with the secret that FakeMicrosoft accepts."""
    return FakeSecretSource(SECRET)


# --- a stored secret


async def test_a_rotated_client_secret_is_used_at_the_next_renewal_of_the_token(
    login: Login, source: FakeSecretSource
) -> None:
    """A secret that was read more than five minutes ago is read again, because a rotation may soon delete it."""
    credentials = login.with_secret_from(source)
    first = await credentials.bearer()
    source.value = "rotated"
    login.ms.sign_in.rotate_secret("rotated")
    login.clock.seconds += 3600 - RENEW_AHEAD + 1

    with structlog.testing.capture_logs() as lines:
        assert await credentials.bearer() == first
        await credentials._renewal.join()

    assert await credentials.bearer() != first
    assert (source.reads, len(login.sent())) == (2, 2)  # no request was refused in between
    assert [line["event"] for line in lines] == ["app_secret_changed", "connector_token_renewed"]


async def test_a_client_secret_that_entra_refuses_is_read_again_immediately(
    login: Login, source: FakeSecretSource
) -> None:
    """If the secret was rotated, one request is refused. The caller gets a token from the second request."""
    credentials = login.with_secret_from(source)
    credentials.forget(await credentials.bearer())
    source.value = "rotated"
    login.ms.sign_in.rotate_secret("rotated")

    assert await credentials.bearer()
    assert (source.reads, len(login.sent())) == (2, 3)


async def test_a_refused_and_unchanged_client_secret_is_not_sent_twice(login: Login, source: FakeSecretSource) -> None:
    """After a refusal the secret is read again. It is sent again only if it has changed."""
    source.value = "wrong"
    credentials = login.with_secret_from(source)
    with pytest.raises(ChatRefused):
        await credentials.bearer()
    assert (source.reads, len(login.sent())) == (2, 1)

    source.value = SECRET
    login.clock.seconds += RETRY_GAP
    assert await credentials.bearer()
    assert (source.reads, len(login.sent())) == (3, 3)


async def test_the_known_client_secret_stays_in_use_while_its_source_cannot_be_read(
    login: Login, source: FakeSecretSource
) -> None:
    """The error code is logged. Tokens are renewed with the known secret, even if Entra refused it in between."""
    credentials = login.with_secret_from(source)
    first = await credentials.bearer()
    credentials.forget(first)
    source.problem = "ThrottlingException"
    login.clock.seconds += SECRET_KEPT_FOR

    with structlog.testing.capture_logs() as lines:
        assert await credentials.bearer() != first
        login.ms.sign_in.rotate_secret("rotated")
        credentials.forget(await credentials.bearer())
        with pytest.raises(ChatRefused):
            await credentials.bearer()
        login.ms.sign_in.rotate_secret(SECRET)
        login.clock.seconds += RETRY_GAP
        assert await credentials.bearer()

    codes = {line["code"] for line in lines if line["event"] == "app_secret_unavailable"}
    assert codes == {"ThrottlingException"}


async def test_no_token_is_requested_before_the_client_secret_was_read(login: Login, source: FakeSecretSource) -> None:
    """The error is ChatUnavailable. After a pause, the bot tries to read the secret again."""
    source.problem = "AccessDeniedException"
    credentials = login.with_secret_from(source)
    with structlog.testing.capture_logs() as lines, pytest.raises(ChatUnavailable):
        await credentials.bearer()
    assert login.sent() == []
    assert [line["code"] for line in lines] == ["AccessDeniedException", "AccessDeniedException"]

    source.problem = ""
    login.clock.seconds += RETRY_GAP
    assert await credentials.bearer()


async def test_an_outage_of_the_login_causes_no_further_reads_of_the_client_secret(
    login: Login, source: FakeSecretSource
) -> None:
    """Ten attempts within a minute send ten requests to Entra and read the secret once."""
    login.ms.fault("POST", TOKEN, status=503, times=None)
    credentials = login.with_secret_from(source)
    for _ in range(10):
        with pytest.raises(ChatUnavailable):
            await credentials.bearer()
        login.clock.seconds += RETRY_GAP
    assert (source.reads, len(login.sent())) == (1, 10)


async def test_a_client_secret_with_a_read_time_in_the_future_is_read_again(
    login: Login, source: FakeSecretSource
) -> None:
    """The machine's clock was set back after the read."""
    credentials = login.with_secret_from(source)
    credentials.forget(await credentials.bearer())
    login.clock.seconds -= 86_400
    await credentials.bearer()
    assert source.reads == 2


# --- an assertion from AWS


async def test_each_token_request_has_a_new_client_assertion(login: Login, source: FakeSecretSource) -> None:
    """The form has a new client assertion with its type and no secret. Assertions are not cached."""
    credentials = login.credentials(Federation(source))
    for statement in ("statement-1", "statement-2"):
        source.value = statement
        with pytest.raises(ChatRefused):  # FakeMicrosoft accepts only secrets
            await credentials.bearer()
        login.clock.seconds += RETRY_GAP

    first, second = login.sent()
    assert "client_secret" not in first + second
    assert ("statement-1" in first, "statement-2" in second) == (True, True)
    assert await Federation(source).form() == {
        "client_assertion_type": JWT_BEARER,
        "client_assertion": "statement-2",
    }
    assert FEDERATION_AUDIENCE == "api://AzureADTokenExchange"


async def test_no_token_request_is_sent_without_a_client_assertion(login: Login, source: FakeSecretSource) -> None:
    """AWS's error code is logged, and the caller gets ChatUnavailable."""
    source.problem = "OutboundWebIdentityFederationDisabledException"
    with structlog.testing.capture_logs() as lines, pytest.raises(ChatUnavailable):
        await login.credentials(Federation(source)).bearer()
    assert login.sent() == []
    assert [line["code"] for line in lines] == [source.problem]
