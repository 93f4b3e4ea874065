"""The documented limits of a conversation, kept without waiting."""

import pytest

from bot.ports.teams import ChatThrottled
from bot.teams.outbound.rate_limit import LIMITS, LONGEST_CLOSED, OVERALL, RateLimit
from tests.fakes.clock import ManualClock

CHANNEL = "19:approvers@thread.tacv2"


def _refused(pace: RateLimit, conversation: str = CHANNEL) -> float:
    with pytest.raises(ChatThrottled) as caught:
        pace.take(conversation)
    return caught.value.retry_after


def test_seven_in_a_second_and_then_patience() -> None:
    """The eighth is told when there is room, and nobody sleeps."""
    pace = RateLimit(ManualClock())
    for _ in range(7):
        pace.take(CHANNEL)

    assert _refused(pace) == pytest.approx(1.0)


async def test_what_is_told_to_come_back_may_then_pass() -> None:
    """After `retry_after` seconds the message goes through."""
    clock = ManualClock()
    pace = RateLimit(clock)
    for _ in range(7):
        pace.take(CHANNEL)
    await clock.advance(_refused(pace))
    pace.take(CHANNEL)

    assert _refused(pace) == pytest.approx(1.0)  # eight in two seconds is the next limit


async def test_no_window_is_ever_overrun() -> None:
    """Sent as fast as allowed for two hours, every window of every length holds at most its limit."""
    clock, sent = ManualClock(), list[float]()
    pace, began = RateLimit(clock), clock.now().timestamp()
    while (now := clock.now().timestamp() - began) < 7200:
        try:
            pace.take(CHANNEL)
            sent.append(now)
        except ChatThrottled as throttled:
            await clock.advance(throttled.retry_after)

    for span, most in LIMITS:
        assert all(later - earlier >= span - 1e-5 for earlier, later in zip(sent, sent[most:], strict=False))
    assert len(sent) == 2 * 1800


def test_conversations_do_not_slow_each_other() -> None:
    """Each has its own count."""
    pace = RateLimit(ManualClock())
    for _ in range(7):
        pace.take(CHANNEL)

    pace.take("19:leads@thread.tacv2")


async def test_nothing_passes_while_teams_asks_for_patience() -> None:
    """A 429 closes the conversation for as long as it says."""
    clock = ManualClock()
    pace = RateLimit(clock)
    pace.close(CHANNEL, 12.0)

    assert _refused(pace) == pytest.approx(12.0)
    await clock.advance(12.0)
    pace.take(CHANNEL)


def test_a_refused_message_is_not_counted() -> None:
    """Asking too early does not push the moment away."""
    pace = RateLimit(ManualClock())
    for _ in range(7):
        pace.take(CHANNEL)

    assert [_refused(pace) for _ in range(50)] == [pytest.approx(1.0)] * 50


async def test_a_clock_that_is_set_back_closes_nothing_for_long() -> None:
    """The wait is never longer than the window."""
    late = ManualClock()
    await late.advance(86400)
    pace = RateLimit(late)
    for _ in range(7):
        pace.take(CHANNEL)
    pace._clock = ManualClock()

    assert _refused(pace) <= 2.0


async def test_patience_of_before_the_clock_was_set_back_is_not_waited_for() -> None:
    """Teams asked for five seconds, and the clock goes back a day: what it asks for from then on is heeded."""
    late = ManualClock()
    await late.advance(86400)
    pace = RateLimit(late)
    pace.close(CHANNEL, 5.0)
    pace._clock = ManualClock()

    pace.take(CHANNEL)
    pace.close(CHANNEL, LONGEST_CLOSED)
    assert _refused(pace) == pytest.approx(LONGEST_CLOSED)


async def test_of_two_calls_the_one_that_was_asked_for_more_patience_counts() -> None:
    """They were on their way side by side; the other's answer comes later and names less."""
    clock = ManualClock()
    pace = RateLimit(clock)
    pace.close(CHANNEL, 600.0)
    pace.close(CHANNEL, 1.0)
    await clock.advance(2.0)

    assert _refused(pace) == pytest.approx(598.0)


async def test_all_conversations_together_keep_below_the_limit_of_the_app() -> None:
    """Forty in a second, whoever they go to; the next is told when there is room."""
    clock = ManualClock()
    pace = RateLimit(clock)
    for number in range(OVERALL[0][1]):
        pace.take(f"19:{number}@thread.tacv2")

    assert _refused(pace) == pytest.approx(1.0)
    await clock.advance(1.0)
    pace.take(CHANNEL)
