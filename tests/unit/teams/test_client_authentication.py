"""Tests for bot.teams.login.client_authentication: a rotated client secret, and AWS federation."""

from collections.abc import AsyncIterator

import pytest
import structlog

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
from tests.fakes.edge import Ticker
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, TENANT_ID
from tests.fakes.secret_source import FakeSecretSource
from tests.fakes.signing import SECRET

TOKEN = "oauth2/v2.0/token$"


class Proving:
    """Token requests to FakeMicrosoft with any kind of client authentication."""

    def __init__(self, ms: FakeMicrosoft, clock: Ticker) -> None:
        self.ms, self.clock, self.session = ms, clock, open_session()

    def by(self, authentication: ClientAuthentication) -> AppCredentials:
        entra = Entra(
            self.session,
            authority=self.ms.authority,
            tenant_id=TENANT_ID,
            app_id=APP_ID,
            authentication=authentication,
            clock=self.clock,
        )
        return AppCredentials(entra, clock=self.clock)

    def stored(self, source: FakeSecretSource) -> AppCredentials:
        return self.by(RotatingSecret(source, clock=self.clock))

    def sent(self) -> list[str]:
        """Return the forms that were posted to the login, as text."""
        return [str(call.body) for call in self.ms.faults.matching("POST", TOKEN)]


@pytest.fixture
async def proving(ms: FakeMicrosoft, clock: Ticker) -> AsyncIterator[Proving]:
    made = Proving(ms, clock)
    yield made
    await made.session.close()


@pytest.fixture
def source() -> FakeSecretSource:
    return FakeSecretSource(SECRET)


# --- a stored secret


async def test_a_rotated_secret_is_used_at_the_next_renewal(proving: Proving, source: FakeSecretSource) -> None:
    """A secret that was read more than five minutes ago is read again, because a rotation may soon delete it."""
    credentials = proving.stored(source)
    first = await credentials.bearer()
    source.value = "rotated"
    proving.ms.sign_in.rotate_secret("rotated")
    proving.clock.seconds += 3600 - RENEW_AHEAD + 1

    with structlog.testing.capture_logs() as lines:
        assert await credentials.bearer() == first
        await credentials._renewal.join()

    assert await credentials.bearer() != first
    assert (source.reads, len(proving.sent())) == (2, 2)  # no request was refused in between
    assert [line["event"] for line in lines] == ["app_secret_changed", "connector_token_renewed"]


async def test_a_secret_that_is_refused_is_read_again_at_once(proving: Proving, source: FakeSecretSource) -> None:
    """An immediate rotation costs one refused request, which callers do not notice."""
    credentials = proving.stored(source)
    credentials.forget(await credentials.bearer())
    source.value = "rotated"
    proving.ms.sign_in.rotate_secret("rotated")

    assert await credentials.bearer()
    assert (source.reads, len(proving.sent())) == (2, 3)


async def test_a_refused_and_unchanged_secret_is_not_sent_twice(proving: Proving, source: FakeSecretSource) -> None:
    """Each attempt reads the secret again and sends one request to Entra."""
    source.value = "wrong"
    credentials = proving.stored(source)
    with pytest.raises(ChatRefused):
        await credentials.bearer()
    assert (source.reads, len(proving.sent())) == (2, 1)

    source.value = SECRET
    proving.clock.seconds += RETRY_GAP
    assert await credentials.bearer()
    assert (source.reads, len(proving.sent())) == (3, 3)


async def test_the_known_secret_stays_in_use_while_it_cannot_be_read(
    proving: Proving, source: FakeSecretSource
) -> None:
    """The error code is logged. Tokens are renewed with the known secret, even after Entra refused it once."""
    credentials = proving.stored(source)
    first = await credentials.bearer()
    credentials.forget(first)
    source.problem = "ThrottlingException"
    proving.clock.seconds += SECRET_KEPT_FOR

    with structlog.testing.capture_logs() as lines:
        assert await credentials.bearer() != first
        proving.ms.sign_in.rotate_secret("rotated")
        credentials.forget(await credentials.bearer())
        with pytest.raises(ChatRefused):
            await credentials.bearer()
        proving.ms.sign_in.rotate_secret(SECRET)
        proving.clock.seconds += RETRY_GAP
        assert await credentials.bearer()

    codes = {line["code"] for line in lines if line["event"] == "app_secret_unavailable"}
    assert codes == {"ThrottlingException"}


async def test_a_secret_that_was_never_read_is_an_outage(proving: Proving, source: FakeSecretSource) -> None:
    """Without a secret, no request is sent to Entra. After a pause, the bot tries to read the secret again."""
    source.problem = "AccessDeniedException"
    credentials = proving.stored(source)
    with structlog.testing.capture_logs() as lines, pytest.raises(ChatUnavailable):
        await credentials.bearer()
    assert proving.sent() == []
    assert [line["code"] for line in lines] == ["AccessDeniedException", "AccessDeniedException"]

    source.problem = ""
    proving.clock.seconds += RETRY_GAP
    assert await credentials.bearer()


async def test_an_outage_of_the_login_causes_no_further_secret_reads(
    proving: Proving, source: FakeSecretSource
) -> None:
    """A secret that was read a moment ago is not read again for every attempt."""
    proving.ms.fault("POST", TOKEN, status=503, times=None)
    credentials = proving.stored(source)
    for _ in range(10):
        with pytest.raises(ChatUnavailable):
            await credentials.bearer()
        proving.clock.seconds += RETRY_GAP
    assert (source.reads, len(proving.sent())) == (1, 10)


async def test_a_clock_that_was_set_back_does_not_keep_a_secret_for_ever(
    proving: Proving, source: FakeSecretSource
) -> None:
    """A secret with a read time in the future is read again."""
    credentials = proving.stored(source)
    credentials.forget(await credentials.bearer())
    proving.clock.seconds -= 86_400
    await credentials.bearer()
    assert source.reads == 2


# --- an assertion from AWS


async def test_each_request_gets_a_new_assertion(proving: Proving, source: FakeSecretSource) -> None:
    """The form has a new client assertion with its type and no secret. Assertions are not cached."""
    credentials = proving.by(Federation(source))
    for statement in ("statement-1", "statement-2"):
        source.value = statement
        with pytest.raises(ChatRefused):  # FakeMicrosoft accepts only secrets
            await credentials.bearer()
        proving.clock.seconds += RETRY_GAP

    first, second = proving.sent()
    assert "client_secret" not in first + second
    assert ("statement-1" in first, "statement-2" in second) == (True, True)
    assert await Federation(source).form() == {
        "client_assertion_type": JWT_BEARER,
        "client_assertion": "statement-2",
    }
    assert FEDERATION_AUDIENCE == "api://AzureADTokenExchange"


async def test_without_an_assertion_nothing_is_sent(proving: Proving, source: FakeSecretSource) -> None:
    """AWS's error code is logged. Callers see an outage, which ends when AWS answers."""
    source.problem = "OutboundWebIdentityFederationDisabledException"
    with structlog.testing.capture_logs() as lines, pytest.raises(ChatUnavailable):
        await proving.by(Federation(source)).bearer()
    assert proving.sent() == []
    assert [line["code"] for line in lines] == [source.problem]
