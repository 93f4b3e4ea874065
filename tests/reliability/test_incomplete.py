"""Figure 12: if names or tags cannot be read, the card is posted with the known facts and completed later in place.

Runs with a manual clock and outages of random length, and as the whole program over real HTTP.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bot.domain.request import AccessRequest, Node, RequestKey
from tests.fakes.aws import FakeAws
from tests.fakes.product import Product, product
from tests.fakes.world import new_world
from tests.figures import Figure, size

LONGEST_OUTAGE = 3600.0  # seconds
COMPLETED_AFTER = 600.0  # seconds; the longest pause between two reads of an incomplete request
KINDS = ("nothing", "name", "tags")  # which of the two facts of the node can be read during the outage


class Partial(FakeAws):
    """An AWS side that cannot read all facts of a node while `broken`. If `admits`, it marks them as incomplete."""

    broken, admits = "", True

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Return the request without the unreadable facts."""
        whole = await super().observe(key)
        if not self.broken:
            return whole
        node = Node(
            whole.node.id,
            name=whole.node.name if self.broken == "name" else None,
            tags=whole.node.tags if self.broken == "tags" else None,
        )
        return replace(whole, node=node, complete=not self.admits)


async def outage(seed: int, *, admits: bool = True) -> tuple[bool, bool]:
    """Play one outage. Return whether the card came with the known facts, and whether it was completed in place."""
    chance, world = Random(seed), new_world()
    aws = Partial(world.clock)
    aws.admits, aws.broken = admits, chance.choice(KINDS)
    world.aws = aws
    world.build()
    key = aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        cards = world.chat.of("post")
        posted = len(cards) == 1 and cards[0].buttons and "i-02999bd501754105a" in cards[0].card
        await world.clock.advance(chance.uniform(0, chance.choice([10, 600, LONGEST_OUTAGE])))
        aws.broken = ""
        await world.clock.advance(COMPLETED_AFTER + 5)
    cards = world.chat.of("post")
    whole = len(cards) == 1 and all(each in cards[0].card for each in ("web-prod-01", "production"))
    return posted, whole


async def test_card_is_posted_during_an_outage_and_completed_in_place_afterwards(figure: Figure) -> None:
    """The outages have a random kind and length. One card with buttons comes within a second.

    It is complete within ten minutes of the outage's end.
    """
    seeds = size(ci=8, long=500)
    played = [await outage(seed) for seed in range(seeds)]
    late, unfinished = sum(not posted for posted, _ in played), sum(not whole for _, whole in played)
    figure(12, outages=seeds, cards_late=late, not_completed=unfinished)
    assert (late, unfinished) == (0, 0)


async def test_control_card_is_not_completed_if_incomplete_facts_are_marked_as_complete(figure: Figure) -> None:
    """Negative control: if the AWS side marks incomplete facts as complete, some card is not completed."""
    played = [await outage(seed, admits=False) for seed in range(3)]
    unfinished = sum(not whole for _, whole in played)
    figure(12, control="incomplete answers pass for complete", outages=3, not_completed=unfinished)
    assert unfinished > 0


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """Start AWS and Teams, but not the bot."""
    async with product(monkeypatch, tmp_path) as world:
        yield world


@pytest.mark.parametrize("operation", ["DescribeInstances", "DescribeInstanceInformation"])
async def test_whole_program_posts_one_card_that_gets_name_and_tags_despite_an_outage(
    world: Product, operation: str, figure: Figure
) -> None:
    """Over real HTTP, the card is posted while EC2 or Systems Manager's inventory fails.

    Name and tags come from EC2: they are added afterwards, or are on the card from the start.
    """
    world.aws.faults.fail(operation, "RequestLimitExceeded", times=None)
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        assert "'verb': 'approve'" in str(card.card)
        assert world.aws.world.nodes["web-prod-01"] in str(card.card)
        assert ("決済基盤チーム" in str(card.card)) is (operation != "DescribeInstances")
        world.aws.faults.clear()
        if operation == "DescribeInstances":
            await world.until(lambda: "決済基盤チーム" in str(world.cards(request)[0].card))
        assert "web-prod-01" in str(world.cards(request)[0].card)
        cards = len(world.cards(request))
    figure(12, over="real HTTP", away=operation, cards=cards)
    assert cards == 1
