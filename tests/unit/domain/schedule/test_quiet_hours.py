"""Tests for bot.domain.schedule.quiet_hours: when a reminder is sent that is due at night."""

from datetime import UTC, datetime, time

import pytest

from bot.domain.schedule.quiet_hours import QuietHours

NIGHT = QuietHours(time(22), time(7))
NOON = QuietHours(time(12), time(13, 30))
SHORT_NIGHT = QuietHours(time(23), time(2, 30))


def utc(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "timezone", "due", "sent"),
    [
        (NIGHT, "UTC", "2026-04-01 21:59:59", "2026-04-01 21:59:59"),
        (NIGHT, "UTC", "2026-04-01 22:00", "2026-04-02 07:00"),
        (NIGHT, "UTC", "2026-04-01 23:59:59", "2026-04-02 07:00"),
        (NIGHT, "UTC", "2026-04-02 00:00", "2026-04-02 07:00"),
        (NIGHT, "UTC", "2026-04-02 06:59:59", "2026-04-02 07:00"),
        (NIGHT, "UTC", "2026-04-02 07:00", "2026-04-02 07:00"),
        (NOON, "UTC", "2026-04-01 12:00", "2026-04-01 13:30"),
        (NOON, "UTC", "2026-04-01 13:30", "2026-04-01 13:30"),
        (NIGHT, "Asia/Tokyo", "2026-04-01 13:30", "2026-04-01 22:00"),
        (NIGHT, "Asia/Tokyo", "2026-04-01 12:30", "2026-04-01 12:30"),
    ],
)
def test_reminder_within_quiet_hours_is_held_until_their_end(
    quiet: QuietHours, timezone: str, due: str, sent: str
) -> None:
    """The end itself, and any other time, is not quiet. Hours are those of the channel's time zone."""
    assert quiet.held(utc(due), timezone) == utc(sent)


@pytest.mark.parametrize(
    ("quiet", "due", "sent"),
    [
        (NIGHT, "2026-03-28 21:00", "2026-03-29 05:00"),  # 22:00 in winter time, 07:00 in summer time
        (NIGHT, "2026-03-27 21:00", "2026-03-28 06:00"),
        (NIGHT, "2026-10-24 20:00", "2026-10-25 06:00"),  # 22:00 in summer time, 07:00 in winter time
        (SHORT_NIGHT, "2026-03-28 23:00", "2026-03-29 01:30"),  # the clock skips 02:30
        (SHORT_NIGHT, "2026-10-24 23:00", "2026-10-25 00:30"),  # the first 02:30 of the night
        (SHORT_NIGHT, "2026-10-25 01:10", "2026-10-25 01:30"),  # after the first one: the second
    ],
)
def test_quiet_hours_end_by_the_clock_when_summer_time_begins_or_ends(quiet: QuietHours, due: str, sent: str) -> None:
    """In Berlin, the night of the change has 8 or 10 quiet hours instead of 9."""
    assert quiet.held(utc(due), "Europe/Berlin") == utc(sent)
