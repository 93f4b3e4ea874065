"""Figure 24: while EventBridge replays many old events, the card of a new request appears within ten seconds.

AWS allows three calls a second of each operation. Its quota and the bot's rate limit run on the injected clock.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from bot.aws.calls.rate_limit import Lane, Quota, QuotaWaitTooLong, RateLimiter
from bot.domain.request import AccessRequest, RequestKey, Status
from bot.ports.aws import AwsThrottled, Hint
from bot.service.sources import intake
from tests.fakes.aws import FakeAws
from tests.fakes.clock import ManualClock
from tests.fakes.world import World, new_world
from tests.figures import Figure, size

pytestmark = pytest.mark.usefixtures("silence")

EVENTS: Final = size(ci=500, long=10_000)
WANTED: Final = 10  # seconds
OPERATIONS: Final = ("get_ops_item", "get_automation_execution", "describe_instances", "describe_automation_steps")
KIND: Final = "Requester Access Request Status Update"
BATCH: Final = 10


class LimitedAws(FakeAws):
    """AWS behind the bot's rate limit: each read of a request makes one call of each operation."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._limits = RateLimiter(clock=clock)

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Return the request once the quota allows the calls."""
        try:
            for operation in OPERATIONS:
                await self._limits.turn(Quota(key.account, key.region, "ssm", operation), Lane.RECONCILE)
        except QuotaWaitTooLong as error:
            raise AwsThrottled("ThrottlingException") from error
        return await super().observe(key)


class BatchQueue:
    """A queue with many messages, BATCH at a time."""

    def __init__(self, hints: Sequence[Hint]) -> None:
        self._hints = list(hints)

    async def check(self) -> None:
        """Report that the queue answers."""

    async def receive(self) -> Sequence[Hint]:
        """Return the next messages; wait if there is none, as a long poll does."""
        if not self._hints:
            await asyncio.Event().wait()
        batch, self._hints = self._hints[:BATCH], self._hints[BATCH:]
        return batch

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Do nothing, because `receive` has already removed the message."""


def _old_events(world: World, when: datetime) -> list[Hint]:
    keys = [world.aws.add(number, status=Status.REJECTED, modified_at=when) for number in range(1, EVENTS + 1)]
    return [Hint("", key, KIND, occurred_at=when) for key in keys]


def _of_deleted_requests(world: World, when: datetime) -> list[Hint]:
    """Old events of requests whose OpsItems AWS has deleted since."""
    hints = _old_events(world, when)
    world.aws.requests.clear()
    return hints


def _of_one_request(world: World, when: datetime) -> list[Hint]:
    """As many copies of one old event."""
    return [_old_events(world, when)[0]] * EVENTS


def _half_of_foreign_accounts(world: World, when: datetime) -> list[Hint]:
    """Old events of requests that have ended. Every second one names one of five accounts that are not configured."""
    hints = _old_events(world, when)
    return [
        replace(each, key=replace(each.key, account=f"{number % 10:012d}")) if each.key and number % 2 else each
        for number, each in enumerate(hints)
    ]


Events = Callable[[World, datetime], list[Hint]]


async def _seconds_to_card(position: float, events: Events = _old_events) -> int:
    """Replay the events, with a new request's event at this share of them. Return the seconds until its card."""
    world = new_world()
    world.aws = LimitedAws(world.clock)
    world.build()
    hints = events(world, world.clock.now() - timedelta(days=30))
    new = world.aws.add(EVENTS + 1)  # a later key: rows that are due at the same moment are reconciled in this order
    hints.insert(int(position * len(hints)), Hint("", new, KIND, occurred_at=world.clock.now()))
    taking = asyncio.create_task(world.intake(BatchQueue(hints)).run())
    seconds = 0
    async with world.running():
        while not world.chat.of("post") and seconds < 10 * WANTED:
            await world.clock.advance(1)
            seconds += 1
        taking.cancel()
        ending = asyncio.create_task(world.clock.advance(60))  # reads in progress wait for the quota on this clock
    await asyncio.gather(taking, ending, return_exceptions=True)
    return seconds


@pytest.mark.parametrize("position", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
async def test_new_request_gets_its_card_within_ten_seconds_during_a_replay_of_old_events(
    position: float, figure: Figure
) -> None:
    """The event of the request is at any position among the old ones."""
    seconds = await _seconds_to_card(position)
    figure(24, old_events=EVENTS, position=position, seconds=seconds)
    assert seconds <= WANTED


@pytest.mark.parametrize("events", [_of_deleted_requests, _of_one_request, _half_of_foreign_accounts])
async def test_new_request_gets_its_card_during_a_replay_of_irrelevant_events(events: Events) -> None:
    """The OpsItems were deleted, all events are copies of one, or half of them are of accounts that are not configured."""
    assert await _seconds_to_card(1.0, events) <= WANTED


async def test_new_request_gets_its_card_within_ten_seconds_while_all_open_requests_are_due() -> None:
    """A changed file or a restored channel makes them due at once. The new request does not wait for them."""
    world = new_world()
    world.aws = LimitedAws(world.clock)
    world.build()
    posting = asyncio.create_task(world.posted_many(EVENTS))
    await world.clock.advance(60)
    for key in await posting:
        await world.rows.requeue(key)
    await world.clock.advance(1)
    new = world.aws.add(EVENTS + 1)
    taking = asyncio.create_task(world.intake(BatchQueue([Hint("", new, KIND, occurred_at=world.clock.now())])).run())
    async with world.running():
        await world.clock.advance(WANTED)
        assert len(world.chat.of("post")) == 2
        taking.cancel()
        ending = asyncio.create_task(world.clock.advance(60))
    await asyncio.gather(taking, ending, return_exceptions=True)


async def test_control_card_of_a_new_request_is_late_if_old_events_are_treated_as_new(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Negative control: if every event makes its request due immediately, the new request waits behind all others."""
    monkeypatch.setattr(intake, "OLD", timedelta.max)
    seconds = await _seconds_to_card(1.0)
    figure(24, old_events_treated_as_new=EVENTS, seconds=seconds)
    assert seconds > WANTED
