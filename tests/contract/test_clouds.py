"""The bot in each Microsoft cloud, over real HTTP: the tokens that it accepts, and the tokens that it requests."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from aiohttp import web

from bot.ports.teams import Message
from bot.teams.login import clouds
from bot.teams.login.clouds import PUBLIC, US_GOVERNMENT, Cloud, cloud_of
from bot.teams.login.managed_identity import IdentityAddress, ManagedIdentity
from bot.teams.net.session import open_session
from tests.fakes.activities import message
from tests.fakes.clock import ManualClock
from tests.fakes.listening import listening
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, HANAKO
from tests.fakes.teams_world import APPROVERS
from tests.fakes.turns import running_turns

CARD: dict[str, object] = {"type": "AdaptiveCard", "version": "1.5", "body": []}


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


@pytest.fixture
async def ms(clock: ManualClock) -> AsyncIterator[FakeMicrosoft]:
    """Microsoft's services, with this clock."""
    async with FakeMicrosoft(now=clock.epoch) as fake:
        yield fake


@pytest.mark.parametrize(
    ("url", "cloud"),
    [
        ("https://login.botframework.com/v1/.well-known/openidconfiguration", PUBLIC),
        ("https://login.botframework.azure.us/v1/.well-known/openidconfiguration", US_GOVERNMENT),
        ("https://LOGIN.botframework.AZURE.us:443/", US_GOVERNMENT),
        ("https://login.botframework.azure.us.example.com/", PUBLIC),
        ("http://127.0.0.1:1/v1/.well-known/openidconfiguration", PUBLIC),
    ],
)
def test_host_of_the_metadata_address_selects_the_cloud(url: str, cloud: Cloud) -> None:
    """The whole host name is compared. An unknown host means the public cloud."""
    assert cloud_of(url) == cloud


@pytest.mark.parametrize(("cloud", "other"), [(PUBLIC, US_GOVERNMENT), (US_GOVERNMENT, PUBLIC)])
async def test_bot_accepts_and_requests_only_tokens_of_its_cloud(
    ms: FakeMicrosoft, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, cloud: Cloud, other: Cloud
) -> None:
    """A token of the other cloud's issuer is answered 401. The bot's own token is for the Connector of its cloud."""
    monkeypatch.setattr(clouds, "CLOUDS", {"127.0.0.1": cloud})
    ms.sign_in.bot = replace(ms.sign_in.bot, resource=cloud.resource)
    words = partial(message, "help", sender=HANAKO, place=ms.world.place(APPROVERS), service_url=ms.service_url)
    async with running_turns(ms, clock=clock) as bot:
        answers = [
            await ms.send(bot.url, words(), authorization=ms.signer.header(ms.service_url, iss=issuer))
            for issuer in (cloud.issuer, other.issuer)
        ]
        await bot.side.chat.post(APPROVERS, Message(CARD, "waiting"))
    assert [status for status, _ in answers] == [200, 401]
    (received,) = bot.commands.messages
    assert received.text == "help"
    assert len(ms.posted(APPROVERS)) >= 1


@pytest.mark.parametrize(
    ("service_url", "site"),
    [
        ("https://smba.trafficmanager.net/teams/", "https://teams.microsoft.com"),
        ("https://smba.infra.gcc.teams.microsoft.com/gcc", "https://teams.microsoft.com"),
        ("https://smba.infra.gov.teams.microsoft.us/gcch", "https://gov.teams.microsoft.us"),
        ("https://smba.infra.dod.teams.microsoft.us/dod", "https://dod.teams.microsoft.us"),
        ("https://smba.infra.gov.teams.microsoft.us.evil.example/", "https://teams.microsoft.com"),
        ("http://127.0.0.1:3979/amer/", "http://127.0.0.1:3979"),
    ],
)
def test_links_lead_to_the_teams_client_of_the_service_urls_cloud(service_url: str, site: str) -> None:
    """Each of the US government's clouds has its own client; the simulated Teams on loopback serves links itself."""
    assert clouds.teams_site(service_url) == site


async def test_managed_identity_requests_a_token_for_its_cloud(clock: ManualClock) -> None:
    """The request states the Connector of the bot's cloud as the resource."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["resource"])
        return web.json_response({"access_token": "token-1", "expires_in": "86400"})

    async with listening(answer) as port, open_session(proxied=False) as session:
        address = IdentityAddress(f"http://127.0.0.1:{port}/")
        for cloud in (PUBLIC, US_GOVERNMENT):
            identity = ManagedIdentity(session, address=address, app_id=APP_ID, resource=cloud.resource, clock=clock)
            await identity.fetch()
    assert asked == [PUBLIC.resource, US_GOVERNMENT.resource]
