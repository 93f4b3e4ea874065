"""Tests for keeping calls to AWS within a quota: rate, priority, throttling and the longest wait."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.aws.calls.rate_limit import PATIENCE, Lane, Quota, QuotaWaitTooLong, RateLimiter
from tests.fakes.clock import ManualClock

OPS = Quota("111122223333", "ap-northeast-1", "ssm", "get_ops_item")
START = datetime(2026, 4, 1, tzinfo=UTC)


class Timeline:
    """A clock that wakes the next sleeper once all tasks are asleep."""

    def __init__(self) -> None:
        self.moment = START
        self._sleepers: list[tuple[datetime, int, asyncio.Event]] = []
        self._count = 0

    def now(self) -> datetime:
        return self.moment

    def epoch(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        sleeper = (self.moment + timedelta(seconds=seconds), self._count, asyncio.Event())
        heapq.heappush(self._sleepers, sleeper)
        await sleeper[2].wait()

    async def run(self) -> None:
        """Let time pass while at least one task sleeps."""
        while True:
            for _ in range(20):  # lets every ready task run first
                await asyncio.sleep(0)
            if self._sleepers:
                due, _, event = heapq.heappop(self._sleepers)
                self.moment = max(self.moment, due)
                event.set()

    @property
    def seconds(self) -> float:
        return (self.moment - START).total_seconds()


@pytest.fixture
async def timeline() -> AsyncIterator[Timeline]:
    """Yield a clock that moves forward by itself whenever all tasks sleep."""
    timeline = Timeline()
    running = asyncio.create_task(timeline.run())
    yield timeline
    running.cancel()


async def turns(
    limiter: RateLimiter, timeline: Timeline, count: int, lane: Lane = Lane.SWEEP, quota: Quota = OPS
) -> list[float]:
    """Take several turns at the same time; return the time of each."""
    taken: list[float] = []

    async def take() -> None:
        await limiter.turn(quota, lane)
        taken.append(round(timeline.seconds, 3))

    await asyncio.gather(*(take() for _ in range(count)))
    return taken


async def test_calls_to_aws_follow_the_rate_after_a_burst_of_two_calls(timeline: Timeline) -> None:
    """After a burst of 2 calls come 3 calls a second, so no second has more than 5 calls."""
    taken = await turns(RateLimiter(clock=timeline, rates={"ssm": 3.0}), timeline, 30)
    busiest = max(sum(at <= other < at + 1 for other in taken) for at in taken)
    assert taken[:2] == [0.0, 0.0]
    assert taken[-1] == pytest.approx(28 / 3, abs=0.01)
    assert busiest <= 5, "a burst of 2, and 3 more within the second"


async def test_three_replicas_together_follow_the_rate_of_calls_to_aws(timeline: Timeline) -> None:
    """Each of three replicas takes a third of the rate: a burst of 1 each, and then one call a second each."""
    limiters = [RateLimiter(clock=timeline, rates={"ssm": 3.0}, share=3) for _ in range(3)]
    taken = [at for each in await asyncio.gather(*(turns(it, timeline, 10) for it in limiters)) for at in each]
    assert sorted(taken) == [float(second) for second in range(10) for _ in limiters]


async def test_every_operation_account_and_region_has_a_separate_rate_limit(timeline: Timeline) -> None:
    """AWS counts calls per operation, account and Region, and so does the bot."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 1.0})
    quotas = [
        OPS,
        Quota("444455556666", OPS.region, "ssm", OPS.operation),
        Quota(OPS.account, "us-east-2", "ssm", OPS.operation),
        Quota(OPS.account, OPS.region, "ssm", "send_automation_signal"),
    ]
    for quota in quotas:
        assert await turns(limiter, timeline, 1, quota=quota) == [0.0]


@pytest.mark.parametrize("operation", ["stop_automation_execution", "terminate_session"])
async def test_operation_with_a_lower_rate_gets_one_call_a_second(timeline: Timeline, operation: str) -> None:
    """Or the service's rate if that is lower."""
    stop = Quota(OPS.account, OPS.region, "ssm", operation)
    fast, slow = (RateLimiter(clock=timeline, rates={"ssm": rate}) for rate in (3.0, 0.5))
    assert await turns(fast, timeline, 4, quota=stop) == [0.0, 1.0, 2.0, 3.0]
    began = timeline.seconds
    assert [each - began for each in await turns(slow, timeline, 2, quota=stop)] == [0.0, 2.0]


async def test_service_without_a_rate_is_not_limited(timeline: Timeline) -> None:
    """Calls of a service without a configured rate, such as SQS, never wait, not even after throttling."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 1.0})
    quota = Quota(OPS.account, OPS.region, "sqs", "receive_message")
    limiter.throttled(quota)
    assert await turns(limiter, timeline, 50, quota=quota) == [0.0] * 50


async def test_calls_for_clicks_precede_those_for_reconciliations_which_precede_sweeps(timeline: Timeline) -> None:
    """The order of arrival does not matter."""
    limiter, order = RateLimiter(clock=timeline, rates={"ssm": 1.0}), list[Lane]()

    async def take(lane: Lane) -> None:
        await limiter.turn(OPS, lane)
        order.append(lane)

    await limiter.turn(OPS, Lane.SWEEP)
    lanes = [Lane.SWEEP, Lane.SWEEP, Lane.RECONCILE, Lane.CLICK, Lane.RECONCILE, Lane.CLICK]
    await asyncio.gather(*(take(lane) for lane in lanes))
    assert order == sorted(lanes)


async def test_call_for_a_click_precedes_a_sweep_that_already_waits_for_the_quota(timeline: Timeline) -> None:
    """A click that arrives while the first caller waits for a token gets that token."""
    limiter, order = RateLimiter(clock=timeline, rates={"ssm": 0.5}), list[str]()

    async def take(name: str, lane: Lane) -> None:
        await limiter.turn(OPS, lane)
        order.append(name)

    await limiter.turn(OPS, Lane.SWEEP)
    sweep = asyncio.create_task(take("sweep", Lane.SWEEP))
    await timeline.sleep(1)
    await take("click", Lane.CLICK)
    await sweep
    assert order == ["click", "sweep"]


async def test_reconciliation_stops_waiting_after_its_longest_wait_while_clicks_use_the_quota(
    timeline: Timeline,
) -> None:
    """It waits `PATIENCE[Lane.RECONCILE]` seconds. Then QuotaWaitTooLong is raised."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 1.0})

    async def clicks() -> None:
        for _ in range(10):
            await limiter.turn(OPS, Lane.CLICK)

    clicking = asyncio.gather(*(clicks() for _ in range(3)))
    await asyncio.sleep(0)
    began = timeline.seconds
    with pytest.raises(QuotaWaitTooLong):
        await limiter.turn(OPS, Lane.RECONCILE)
    assert timeline.seconds - began == pytest.approx(PATIENCE[Lane.RECONCILE], abs=0.01)
    await clicking


async def test_cancelled_caller_does_not_block_others_that_wait_for_the_quota(timeline: Timeline) -> None:
    """The next caller in the queue gets the turn of the cancelled one."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 1.0})
    await limiter.turn(OPS, Lane.SWEEP)
    first = asyncio.create_task(limiter.turn(OPS, Lane.SWEEP))
    second = asyncio.create_task(limiter.turn(OPS, Lane.SWEEP))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert timeline.seconds == pytest.approx(1.0)


async def test_throttling_halves_the_rate_which_is_restored_within_a_minute(timeline: Timeline) -> None:
    """The burst is removed too."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 4.0})
    limiter.throttled(OPS)
    slowed = await turns(limiter, timeline, 1)
    assert slowed == [pytest.approx(0.5, abs=0.02)]
    await timeline.sleep(60)
    began = timeline.seconds
    taken = await turns(limiter, timeline, 7)
    assert taken[-1] - began == pytest.approx(1.0, abs=0.02)


async def test_simultaneous_throttled_calls_halve_the_rate_once(timeline: Timeline) -> None:
    """Three throttled calls at the same time count as one."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 4.0})
    for _ in range(3):
        limiter.throttled(OPS)
    assert await turns(limiter, timeline, 1) == [pytest.approx(0.5, abs=0.02)]


async def test_call_waits_less_than_five_seconds_after_twenty_throttled_calls(timeline: Timeline) -> None:
    """The rate does not fall to zero."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 3.0})
    for _ in range(20):
        limiter.throttled(OPS)
        await timeline.sleep(1)
    began = timeline.seconds
    await limiter.turn(OPS, Lane.SWEEP)
    assert timeline.seconds - began < 5


@pytest.mark.parametrize("lane", [Lane.CLICK, Lane.RECONCILE, Lane.SWEEP])
async def test_too_long_wait_for_a_quota_is_refused_immediately(timeline: Timeline, lane: Lane) -> None:
    """A caller that would wait longer than PATIENCE allows for its kind of call gets QuotaWaitTooLong immediately."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 1.0})
    served, refused = list[float](), list[float]()

    async def take() -> None:
        try:
            await limiter.turn(OPS, lane)
        except QuotaWaitTooLong:
            refused.append(timeline.seconds)
        else:
            served.append(timeline.seconds)

    await asyncio.gather(*(take() for _ in range(300)))
    assert len(served) == PATIENCE[lane] + 1
    assert served[-1] == pytest.approx(PATIENCE[lane])
    assert refused == [0.0] * (300 - len(served))


async def test_call_for_a_click_waits_at_most_a_second_although_a_hundred_sweeps_wait(timeline: Timeline) -> None:
    """The limit is one call a second."""
    limiter = RateLimiter(clock=timeline, rates={"ssm": 1.0})
    sweeps = [asyncio.create_task(limiter.turn(OPS, Lane.SWEEP)) for _ in range(100)]
    await asyncio.sleep(0)
    await limiter.turn(OPS, Lane.CLICK)
    assert timeline.seconds <= 1.0
    for sweep in sweeps:
        sweep.cancel()
    await asyncio.gather(*sweeps, return_exceptions=True)


@pytest.mark.parametrize("back", [timedelta(minutes=2), timedelta(hours=1), timedelta(days=1)])
async def test_clock_that_is_set_back_does_not_block_calls(back: timedelta) -> None:
    """The clock was ahead and is then corrected. Four clicks still get their turns within ten seconds."""
    clock = ManualClock()
    limiter = RateLimiter(clock=clock)
    await limiter.turn(OPS, Lane.CLICK)
    await clock.advance(10)
    clock.set_to(clock.now() - back)
    turns = [asyncio.create_task(limiter.turn(OPS, Lane.CLICK)) for _ in range(4)]
    await clock.advance(10)
    assert all(each.done() for each in turns)
    await asyncio.gather(*turns)
