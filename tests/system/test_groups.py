"""Approvers by a group of Microsoft Entra, with the whole program and the sandbox's Graph over real HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.rendering.i18n import LOCALES, Localizer
from bot.sandbox.teams.graph import ON_CALL
from bot.teams.groups import graph, group_members
from bot.text.escape import unwrapped
from tests.fakes.card_text import shown
from tests.fakes.people import ALEX, HANAKO, MEI, PRIYA, TARO
from tests.fakes.product import TOML, UNPACED, Product, product


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the channel lists the on-call group. Failed reads and tokens without the role are repeated at once."""
    monkeypatch.setattr(graph, "RENEWED_EVERY", 0.0)
    monkeypatch.setattr(group_members, "UNREAD_FOR", 0.0)
    async with product(monkeypatch, tmp_path, rates=UNPACED) as world:
        world.toml = TOML.replace('approvers = ["members"]', f'approvers = ["group:{ON_CALL}"]', 1)
        yield world


def says(answer: dict[str, Any], notice: str) -> bool:
    """Return whether the answer to a click has this notice, in any language."""
    text = unwrapped(shown(answer["value"]))
    return any(Localizer(locale, "UTC").text(f"notice.{notice}") in text for locale in LOCALES)


async def test_members_of_the_group_decide_without_a_restart_once_an_administrator_has_consented(
    world: Product,
) -> None:
    """Before, each click says that the group cannot be read. After, only people in the group, or in a nested one, decide."""
    world.microsoft.graph.switch(consent=False)
    async with world.running():
        card = await world.card(await world.ask())
        await world.direct_message(TARO)  # everything that reads the group for the request is done
        assert says(await world.click(HANAKO, card, "approve"), "group_refused")
        world.microsoft.graph.switch(consent=True)
        assert says(await world.click(PRIYA, card, "approve"), "not_in_group")
        assert world.signals() == 0
        await world.click(MEI, card, "approve")
        await world.until(lambda: world.signals() == 1)


@pytest.mark.parametrize(
    "switches",
    [
        {"status": 503},
        {"status": 429, "code": "TooManyRequests", "retry_after": "0"},
    ],
    ids=["away", "throttled"],
)
async def test_click_while_graph_fails_is_refused_and_works_afterwards(
    world: Product, switches: dict[str, Any]
) -> None:
    """The card has buttons all the time."""
    world.microsoft.graph.switch(**switches)
    async with world.running():
        card = await world.card(await world.ask())
        await world.direct_message(TARO)
        assert "'verb': 'approve'" in str(card.card)
        assert says(await world.click(ALEX, card, "approve"), "group_unavailable")
        assert world.signals() == 0
        world.microsoft.graph.switch(status=200, seconds=0.0)
        await world.click(ALEX, card, "approve")
        await world.until(lambda: world.signals() == 1)


async def test_graph_gets_no_call_and_no_token_is_requested_for_it_without_a_group(world: Product) -> None:
    """The bot then needs no permission for Graph."""
    world.toml = TOML
    async with world.running() as program:
        await world.click(HANAKO, await world.card(await world.ask()), "approve")
        await program.services.checks.make()
        await world.until(lambda: world.signals() == 1)
    assert list(world.microsoft.graph.asked) == []
    scopes = {str(call.body["scope"]) for call in world.microsoft.faults.matching("POST", "oauth2/v2.0/token$")}
    assert scopes == {"https://api.botframework.com/.default"}
