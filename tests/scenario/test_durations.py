"""What the metrics of durations measure: from a request to its card and decision, and from a click to AWS's answer."""

import pytest

from bot.domain.request import Verdict
from tests.fakes.chat import HANAKO
from tests.fakes.world import World, new_world


@pytest.fixture
def world() -> World:
    """Return a world with one channel."""
    return new_world()


def measured(world: World, metric: str, **labels: str) -> tuple[float, float]:
    """Return how many durations a histogram has, and their sum in seconds."""
    count, total = (
        world.registry.get_sample_value(f"node_access_{metric}_seconds_{part}", labels) for part in ("count", "sum")
    )
    return count or 0.0, total or 0.0


async def test_time_from_a_request_to_its_first_card_is_measured_once(world: World) -> None:
    """An update of the card is not measured."""
    key = world.aws.add()
    await world.clock.advance(40)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        count, seconds = measured(world, "request_to_card")
        assert count == 1
        assert 40 <= seconds <= 42
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(2)
    assert world.chat.asked["update"] > 0
    assert measured(world, "request_to_card")[0] == 1


async def test_time_from_a_request_to_its_decision_is_measured_once(world: World) -> None:
    """The decision is made in the AWS console. Another read of the decided request measures nothing."""
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(100)
        world.aws.decide(key, Verdict.REJECT)
        for _ in range(2):
            await world.rows.requeue(key)
            await world.clock.advance(2)
    count, seconds = measured(world, "request_to_decision", status="rejected")
    assert count == 1
    assert 100 <= seconds <= 104


async def test_decision_made_before_the_first_read_of_the_request_is_not_measured(world: World) -> None:
    """The bot did not observe how long the request waited."""
    key = world.aws.add()
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(2)
    assert measured(world, "request_to_decision", status="approved") == (0.0, 0.0)


async def test_time_from_a_click_to_the_answer_of_aws_is_measured(world: World) -> None:
    """The time ends when AWS accepts the decision. The verdict is a label of the metric."""
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
    count, seconds = measured(world, "click_to_confirmed", verdict="approve")
    assert count == 1
    assert 0 <= seconds < 3
