"""Tests for bot.sandbox.teams.front: what the simulated Microsoft serves to browsers."""

from urllib.parse import urlsplit

import aiohttp

from bot.domain.shown.links import TeamsSite
from bot.sandbox.teams.front import TeamsFront
from bot.sandbox.teams.microsoft import BotRegistration
from bot.teams.login.clouds import teams_site

TENANT = "11111111-1111-4111-8111-111111111111"
PAGE = "http://127.0.0.1:1/?chat=My+Team"


async def test_link_to_a_card_opens_the_page_of_the_approvers_channel() -> None:
    """The link is the one that the bot makes for the simulated Teams. It leads to no other machine."""
    front = TeamsFront(BotRegistration(app_id="app", tenant_id=TENANT, app_secret="", federated=None))
    await front.start()
    try:
        front.channel_page = PAGE
        site = TeamsSite(teams_site(front.service_url), TENANT)
        link = site.message_link("19:approvers@thread.tacv2;messageid=1000", "1000", group_id=TENANT)
        assert link is not None
        assert urlsplit(link).hostname == "127.0.0.1"
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.get(link, allow_redirects=False) as answer,
        ):
            assert (answer.status, answer.headers["Location"]) == (302, PAGE)
    finally:
        await front.stop()
