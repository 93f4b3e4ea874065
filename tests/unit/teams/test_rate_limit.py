"""Tests for bot.teams.outbound.rate_limit: Teams' documented limits are kept without waiting."""

import asyncio

import pytest

from bot.ports.teams import ChatThrottled
from bot.teams.outbound.rate_limit import BOOKED_FOR, LIMITS, OVERALL, RateLimit
from tests.fakes.clock import ManualClock

CHANNEL = "19:approvers@thread.tacv2"


def _refused(limit: RateLimit, conversation: str = CHANNEL) -> float:
    with pytest.raises(ChatThrottled) as caught:
        limit.take(conversation)
    return caught.value.retry_after


def test_the_eighth_message_into_a_conversation_in_a_second_is_throttled() -> None:
    """The error has the seconds to wait. The rate limit itself does not sleep."""
    limit = RateLimit(ManualClock())
    for _ in range(7):
        limit.take(CHANNEL)

    assert _refused(limit) == pytest.approx(1.0)


async def test_a_throttled_message_is_accepted_after_the_seconds_to_wait() -> None:
    """After `retry_after` seconds, the message is accepted and counted."""
    clock = ManualClock()
    limit = RateLimit(clock)
    for _ in range(7):
        limit.take(CHANNEL)
    await clock.advance(_refused(limit))
    limit.take(CHANNEL)

    assert _refused(limit) == pytest.approx(1.0)  # eight in two seconds is the next limit


async def test_no_window_of_the_rate_limit_is_exceeded_in_two_hours() -> None:
    """Messages are sent at the highest possible rate."""
    clock, sent = ManualClock(), list[float]()
    limit, began = RateLimit(clock), clock.now().timestamp()
    while (now := clock.now().timestamp() - began) < 7200:
        try:
            limit.take(CHANNEL)
            sent.append(now)
        except ChatThrottled as throttled:
            await clock.advance(throttled.retry_after)

    for span, most in LIMITS:
        assert all(later - earlier >= span - 1e-5 for earlier, later in zip(sent, sent[most:], strict=False))
    assert len(sent) == 2 * 1800


def test_messages_are_counted_separately_for_each_conversation() -> None:
    """A conversation whose limit is used up does not affect another conversation."""
    limit = RateLimit(ManualClock())
    for _ in range(7):
        limit.take(CHANNEL)

    limit.take("19:leads@thread.tacv2")


def test_a_throttled_message_does_not_count_towards_the_rate_limit() -> None:
    """Trying too early does not make the wait longer."""
    limit = RateLimit(ManualClock())
    for _ in range(7):
        limit.take(CHANNEL)

    assert [_refused(limit) for _ in range(50)] == [pytest.approx(1.0)] * 50


async def test_a_clock_that_is_set_back_does_not_lengthen_the_wait_of_the_rate_limit() -> None:
    """The wait is never longer than the window."""
    late = ManualClock()
    await late.advance(86400)
    limit = RateLimit(late)
    for _ in range(7):
        limit.take(CHANNEL)
    limit._clock = ManualClock()

    assert _refused(limit) <= 2.0


async def test_all_conversations_together_stay_within_the_limit_of_the_app() -> None:
    """The bot may send forty messages a second in total. The next one raises ChatThrottled with the seconds to wait."""
    clock = ManualClock()
    limit = RateLimit(clock)
    for number in range(OVERALL[0][1]):
        limit.take(f"19:{number}@thread.tacv2")

    assert _refused(limit) == pytest.approx(1.0)
    await clock.advance(1.0)
    limit.take(CHANNEL)


# --- moments that are booked


async def _sent_when_booked(limit: RateLimit, clock: ManualClock, attempts: list[float]) -> float:
    """Send a message that comes back at each moment that it gets. Return when it was sent, in seconds."""
    while True:
        attempts.append(clock.epoch())
        if not (wait := _booked(limit)):
            return clock.epoch()
        await clock.sleep(wait)


def _booked(limit: RateLimit) -> float:
    """Return for how many seconds a message must wait until the moment that it has booked; 0 if it was sent."""
    try:
        limit.take_or_book(CHANNEL)
    except ChatThrottled as throttled:
        return throttled.retry_after if throttled.booked else -1
    return 0


async def test_messages_that_wait_use_nearly_all_that_teams_allows_and_none_comes_in_vain() -> None:
    """Of 150 messages at once, 58 of 60 possible ones are sent in each half minute, and each waits at most once."""
    clock, attempts = ManualClock(), list[float]()
    limit = RateLimit(clock)
    sending = asyncio.gather(*(_sent_when_booked(limit, clock, attempts) for _ in range(150)))
    began = clock.epoch()
    await clock.advance(100)
    sent = sorted(at - began for at in await sending)
    for span, most in LIMITS:
        assert all(later - earlier >= span - 1e-5 for earlier, later in zip(sent, sent[most:], strict=False))
    assert [sum(first <= at < first + 30 for at in sent) for first in (0, 30, 60)] == [58, 58, 34]
    assert len(attempts) <= 2 * len(sent)


async def test_update_does_not_wait_behind_messages_that_have_booked() -> None:
    """Teams' limits have room for it: a decided card loses its buttons at once, although many cards wait."""
    clock = ManualClock()
    limit = RateLimit(clock)
    sending = asyncio.gather(*(_sent_when_booked(limit, clock, []) for _ in range(150)))
    await clock.advance(20)
    limit.take(CHANNEL)
    await clock.advance(80)
    assert len(await sending) == 150


async def test_moment_that_its_message_does_not_use_blocks_nothing_for_long() -> None:
    """A message may fail before it comes back. The next one gets a moment, and later ones are not delayed."""
    clock = ManualClock()
    limit = RateLimit(clock)
    latest = [_booked(limit) for _ in range(60)][-1]
    await clock.advance(latest + BOOKED_FOR + 1)
    assert _booked(limit) == 0


async def test_moments_that_were_booked_by_a_wrong_clock_are_dropped() -> None:
    """The clock is set back by a day: messages are sent within the longest short window."""
    late = ManualClock()
    await late.advance(86400)
    limit = RateLimit(late)
    waits = [_booked(limit) for _ in range(70)]
    assert waits[:7] == [0] * 7
    assert waits[-1] >= 30
    limit._clock = ManualClock()
    assert 0 < _booked(limit) <= 2
