"""Tests for bot.domain.spans: a stored span of time is over after its end, or if a clock that was ahead stored it."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.spans import SKEW, is_ahead, latest_end, runs

NOW = datetime(2026, 4, 1, 9, tzinfo=UTC)
SPAN = timedelta(seconds=30)
INSTANT = timedelta.resolution


@pytest.mark.parametrize(
    ("end", "running"),
    [
        (-INSTANT, False),
        (timedelta(), False),
        (INSTANT, True),
        (SPAN, True),
        (SPAN + SKEW, True),
        (SPAN + SKEW + INSTANT, False),
        (timedelta(hours=9), False),
    ],
)
def test_stored_span_is_over_after_its_end_or_if_it_ends_too_far_ahead(end: timedelta, *, running: bool) -> None:
    """Clocks may differ by SKEW. A span with a later end than that allows is over."""
    assert runs(NOW + end, now=NOW, span=SPAN) is running


def test_stored_time_may_be_ahead_by_the_skew_of_two_clocks() -> None:
    """Only a time that is ahead by more than SKEW shows that a clock was wrong."""
    assert not is_ahead(NOW + SKEW, NOW)
    assert is_ahead(NOW + SKEW + INSTANT, NOW)


def test_latest_end_of_a_span_allows_for_the_skew_of_two_clocks() -> None:
    """Two clocks may differ by SKEW. An end that has passed sets no limit."""
    assert latest_end(NOW + SPAN, now=NOW) == NOW + SPAN + SKEW
    assert latest_end(NOW, now=NOW) == datetime.max.replace(tzinfo=UTC)
