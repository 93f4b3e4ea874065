"""Teams limits the rate of messages. A delivery that waits for Teams reads AWS again only if there may be news."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.ports.teams import ChatThrottled, ChatUnavailable, Message, Posted
from bot.service.reconcile.due_time import FACTS_KEPT, is_recent
from bot.teams.outbound.rate_limit import RateLimit
from tests.fakes.chat import HANAKO, FakeChat
from tests.fakes.clock import ManualClock
from tests.fakes.world import APPROVALS, World, current_configuration, new_world
from tests.unit.domain.sample import KEY, NOW, SECOND, decision, request

POSTS = 101
THROTTLED = 20.0  # seconds


class LimitedChat(FakeChat):
    """Teams with the rate limits of a conversation. A post beyond them raises ChatThrottled."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._limit = RateLimit(clock)

    async def post(self, conversation: str, message: Message) -> Posted:
        """Start a thread if the limits allow it."""
        self._limit.take(conversation)
        return await super().post(conversation, message)


async def test_requests_whose_posts_are_postponed_are_read_from_aws_once() -> None:
    """Of 101 requests at once, most wait for their turn in Teams. None of them is read from AWS again meanwhile."""
    world = new_world()
    world.chat = LimitedChat(world.clock)
    world.build()
    keys = [world.aws.add(number) for number in range(1, POSTS + 1)]
    async with world.running():
        for key in keys:
            await world.rows.requeue(key)
        for _ in range(300):
            await world.clock.advance(1)
            if len(world.chat.of("post")) == POSTS:
                break
    assert len(world.chat.of("post")) == POSTS
    assert world.aws.count("observe") == POSTS


async def _postponed(times: int = 1) -> tuple[World, RequestKey]:
    """Return a world and its request, whose card was throttled once. Teams throttles `times` posts in all.

    Each time, the pause is THROTTLED seconds.
    """
    world = new_world()
    key = world.aws.add()
    world.chat.before["post"] += [ChatThrottled(THROTTLED) for _ in range(times)]
    await world.shown(key)
    assert (world.aws.count("observe"), world.chat.of("post")) == (1, [])
    return world, key


async def test_failed_posts_are_repeated_without_another_read_of_aws() -> None:
    """Teams does not answer three posts. The fourth one succeeds within a minute."""
    world = new_world()
    key = world.aws.add()
    world.chat.before["post"] += [ChatUnavailable("no_answer", ambiguous=False) for _ in range(3)]
    await world.shown(key)
    async with world.running():
        await world.clock.advance(60)
    assert len(world.chat.of("post")) == 1
    assert world.aws.count("observe") == 1


async def test_message_is_sent_at_the_moment_that_is_kept_for_it() -> None:
    """Our own rate limit gives it three moments in turn. No pause is added, and none grows: nothing has failed."""
    world = new_world()
    key = world.aws.add()
    world.chat.before["post"] += [ChatThrottled(THROTTLED, booked=True) for _ in range(3)]
    await world.shown(key)
    async with world.running():
        await world.clock.advance(3 * THROTTLED - 1)
        assert world.chat.of("post") == []
        await world.clock.advance(2)
    assert len(world.chat.of("post")) == 1
    assert world.aws.count("observe") == 1


async def test_event_during_a_postponed_delivery_causes_a_read_of_aws() -> None:
    """The request is rejected while its card waits for Teams. The row then has the rejection."""
    world, key = await _postponed()
    world.aws.decide(key, Verdict.REJECT, "from the console")
    await world.rows.apply(key, lambda row: row.requeue_soon(world.clock.now()))
    async with world.running():
        await world.clock.advance(THROTTLED + 5)
    row = await world.row(key)
    assert row.request is not None
    assert row.request.status is Status.REJECTED


async def test_event_after_a_postponed_delivery_became_due_causes_a_read_of_aws() -> None:
    """The row is already due for its delivery. An event does not move that time, but makes the bot read AWS."""
    world, key = await _postponed()
    await world.clock.advance(THROTTLED + 5)
    due_at = (await world.row(key)).requeue_at
    assert due_at is not None
    assert due_at < world.clock.now()
    await world.rows.requeue(key)
    assert (await world.row(key)).requeue_at == due_at
    async with world.running():
        await world.clock.advance(1)
    assert world.aws.count("observe") == 2


async def test_aws_is_read_every_few_minutes_while_teams_throttles_the_card() -> None:
    """In ten minutes, AWS is read two to four times, the first read included."""
    world, _ = await _postponed(times=100)
    async with world.running():
        await world.clock.advance(600)
    assert 2 <= world.aws.count("observe") <= 4


async def test_request_that_times_out_during_a_postponed_delivery_is_read_again() -> None:
    """The request's deadline passes without an event while no process runs. The next process reads AWS again."""
    world = new_world()
    key = world.aws.add()
    waiting = replace(world.aws.requests[key].levels[0], timeout=timedelta(seconds=THROTTLED + 5))
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(waiting,))
    world.chat.before["post"].append(ChatThrottled(THROTTLED))
    await world.shown(key)
    await world.clock.advance(THROTTLED + 20)
    async with world.running():
        await world.clock.advance(1)
    assert world.aws.count("observe") == 2


async def test_change_of_the_channels_during_a_postponed_delivery_causes_a_read_of_aws() -> None:
    """The file gets another channel while the card waits for Teams."""
    world, _ = await _postponed()
    world.configuration.replace(current_configuration(replace(APPROVALS, name="others")).value)
    async with world.running():
        await world.clock.advance(THROTTLED + 5)
    assert world.aws.count("observe") == 2


POSTPONED = Record(KEY, NOW, request=request(), observed_at=NOW, requeue_at=NOW + SECOND, deliver_at=NOW + SECOND)


@pytest.mark.parametrize(
    ("changed", "recent"),
    [
        ({}, True),
        ({"deliver_at": None}, False),
        ({"request": None}, False),
        ({"request": request(status=Status.UNKNOWN)}, False),
        ({"observed_at": None}, False),
        ({"observed_at": NOW + 2 * SECOND}, False),
        ({"observed_at": NOW + SECOND - FACTS_KEPT}, False),
        ({"reconcile_failures": 1}, False),
        ({"decisions": (decision(HANAKO, state=DecisionState.UNKNOWN),)}, False),
        ({"decisions": (decision(HANAKO, state=DecisionState.CONFIRMED),)}, False),
        ({"decisions": (decision(HANAKO, state=DecisionState.RELEASED),)}, True),
    ],
)
def test_aws_is_read_before_a_postponed_delivery_unless_the_facts_in_the_row_are_recent(
    changed: dict[str, Any], *, recent: bool
) -> None:
    """Facts that are missing, unknown, older than FACTS_KEPT or from the future make a read necessary.

    So do a failed read, a row that is not due for a delivery, and a decision under way. A released decision does not.
    """
    configuration = current_configuration().value
    assert is_recent(replace(POSTPONED, **changed), configuration, NOW + SECOND) is recent
