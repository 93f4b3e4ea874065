"""Role sessions that AWS no longer accepts, in the whole program over real HTTP: no one has to click again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.card_text import shown
from tests.fakes.people import HANAKO
from tests.fakes.product import UNPACED, Product, product


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started."""
    async with product(monkeypatch, tmp_path, rates=UNPACED) as world:
        yield world


async def test_decision_that_aws_denies_in_an_earlier_role_session_is_sent_again_in_a_new_session(
    world: Product,
) -> None:
    """AWS denies the session once, as after somebody deleted the approver role and made it again.

    The click counts: the bot assumes the role again, and AWS accepts the second signal.
    """
    async with world.running():
        first, second = await world.ask(), await world.ask()
        await world.click(HANAKO, await world.card(first), "approve")
        await world.until(lambda: "Approved" in str(shown(world.cards(first)[0].card)))
        world.aws.faults.fail("SendAutomationSignal", "AccessDeniedException")
        await world.click(HANAKO, await world.card(second), "approve")
        await world.until(lambda: "Approved" in str(shown(world.cards(second)[0].card)))
    assert world.signals() == 3  # the first click's, and two of the second
    assert [effect.ops_item_id for effect in world.aws.effects("Approve")] == [first, second]
    assert len(world.aws.calls("AssumeRole")) == 2
