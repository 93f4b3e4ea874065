"""The bot without a secret: it signs in to Microsoft Entra with an assertion from AWS, over real HTTP."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.sandbox.aws.server import SandboxAws
from bot.sandbox.aws.web_identities import KID, WebIdentities
from bot.sandbox.aws.world import BOT_ROLE
from bot.sandbox.sandbox import trusting
from bot.sandbox.teams.federated_credentials import FederatedCredential
from bot.sandbox.teams.microsoft import BotRegistration
from tests.fakes.people import APP_ID, HANAKO, TARO, TENANT_ID
from tests.fakes.product import UNPACED, Product, product

FEDERATION = {"app_credential": "aws-federation", "app_secret": None}
TOKEN = "oauth2/v2.0/token$"
Trust = Callable[[FederatedCredential], FederatedCredential]


@pytest.fixture
def trusted() -> Trust:
    """Return a function that changes the app's federated credential. Here it changes nothing; test classes override it."""
    return lambda credential: credential


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: Trust) -> AsyncIterator[Product]:
    """AWS, and Microsoft's services without a secret of the bot; the bot is not started."""

    def registration(aws: SandboxAws) -> BotRegistration:
        return BotRegistration(app_id=APP_ID, tenant_id=TENANT_ID, federated=trusted(trusting(aws)))

    async with product(monkeypatch, tmp_path, rates=UNPACED, registration=registration) as world:
        world.changed |= FEDERATION
        yield world


async def test_request_is_decided_with_an_assertion_from_aws_instead_of_a_secret(world: Product) -> None:
    """The bot exchanges an assertion for its token, with which it posts, approves and notifies.

    The assertion is for Entra's audience, lives for 60 seconds, and is requested in the bot's role.
    """
    assert world.settings().app_secret.get_secret_value() == ""
    async with world.running():
        card = await world.card(await world.ask())
        await world.click(HANAKO, card, "approve", "どうぞ")
        await world.until(lambda: len(world.microsoft.posted(world.microsoft.world.personal(TARO))) == 2)
        await world.until(lambda: len(world.replies(card)) == 1)
    assert world.signals() == 1
    forms = [str(call.body) for call in world.microsoft.faults.matching("POST", TOKEN)]
    assert forms
    assert not [form for form in forms if "client_secret" in form]
    (asked,) = {str(call.params) for call in world.aws.calls("GetWebIdentityToken")}
    assert "'Audience.member.1': 'api://AzureADTokenExchange'" in asked
    assert "'DurationSeconds': '60'" in asked
    assert {call.caller.split("/")[1] for call in world.aws.calls("GetWebIdentityToken")} == {"NodeAccessBot"}


async def refusals(world: Product) -> list[str]:
    """Let the bot try to post a card; return the codes of the refusals, and check that no call reached Teams."""
    with structlog.testing.capture_logs() as lines:
        async with world.running():
            request = await world.ask()
            await world.until(lambda: bool(world.microsoft.faults.matching("POST", TOKEN)))
        assert world.cards(request) == []
    assert [call for call in world.microsoft.calls if "/v3/" in call.path] == []
    return [line["code"] for line in lines if line["event"] == "connector_token_unavailable"]


class TestAnotherIssuer:
    """The app trusts another account."""

    @pytest.fixture
    def trusted(self) -> Trust:
        return lambda right: replace(right, issuer=right.issuer.replace("111122223333", "444455556666"))

    async def test_assertion_of_an_untrusted_issuer_is_refused(self, world: Product) -> None:
        """No call reaches Teams. The log has Entra's error code for a wrong issuer."""
        assert "invalid_client AADSTS700211" in await refusals(world)


class TestAnotherSubject:
    """The app trusts another role of the same account."""

    @pytest.fixture
    def trusted(self) -> Trust:
        return lambda right: replace(right, subject=f"{BOT_ROLE}s")

    async def test_assertion_for_an_untrusted_subject_is_refused(self, world: Product) -> None:
        """No call reaches Teams. The log has Entra's error code for a wrong subject."""
        assert "invalid_client AADSTS700213" in await refusals(world)


class TestAnotherAudience:
    """The app trusts assertions with another audience."""

    @pytest.fixture
    def trusted(self) -> Trust:
        return lambda right: replace(right, audience="api://another")

    async def test_assertion_for_another_audience_is_refused(self, world: Product) -> None:
        """No call reaches Teams. The log has Entra's error code for a wrong audience."""
        assert "invalid_client AADSTS700212" in await refusals(world)


async def test_assertion_signed_by_another_key_is_refused(world: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """An assertion with the right claims is refused without the signature of the issuer's key."""
    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def forged(_: WebIdentities, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, forger, algorithm="RS256", headers={"kid": KID})

    monkeypatch.setattr(WebIdentities, "signed", forged)
    assert "invalid_client AADSTS700027" in await refusals(world)


@pytest.mark.parametrize(("start", "end"), [(-120, -60), (60, 120)], ids=["over", "not begun"])
async def test_assertion_is_refused_before_it_becomes_valid_and_after_it_has_expired(
    world: Product, monkeypatch: pytest.MonkeyPatch, start: int, end: int
) -> None:
    """An assertion ended a minute ago, or begins in a minute."""
    sign = WebIdentities.signed

    def shifted(self: WebIdentities, claims: dict[str, Any]) -> str:
        return sign(self, {**claims, "iat": claims["iat"] + start, "exp": claims["iat"] + end})

    monkeypatch.setattr(WebIdentities, "signed", shifted)
    assert "invalid_client AADSTS700024" in await refusals(world)
