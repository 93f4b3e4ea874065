"""When the weekly digest of a channel is due, and which days it covers, in the channel's time zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # as node-access.toml has them
LATEST: Final = timedelta(hours=24)  # a digest that is later is skipped
_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DigestWeek:
    """The days of one digest: from `since` to before `until`, the moment at which it is due. Both are in UTC.

    `name` is the ISO week of `until` in the channel's time zone, such as `2026-W49`. A channel gets one digest for it.
    """

    name: str
    since: datetime
    until: datetime

    def includes(self, moment: datetime | None) -> bool:
        """True for a known moment within the week."""
        return moment is not None and self.since <= moment < self.until

    def is_over(self, now: datetime) -> bool:
        """True once the digest is too late to be posted."""
        return now - self.until > LATEST


@dataclass(frozen=True, slots=True)
class WeeklyTime:
    """A weekday, 0 for Monday, and a time of day.

    If the clock skips the time, the digest is due as long after midnight as without the change. If it shows the time
    twice, the first one counts.
    """

    weekday: int
    clock: time

    def latest(self, now: datetime, timezone: str) -> DigestWeek:
        """Return the week whose digest was due last, at `now` or before."""
        zone = ZoneInfo(timezone)
        today = now.astimezone(zone).date()
        day = today - timedelta(days=(today.weekday() - self.weekday) % 7)
        if self._on(day, zone) > now:
            day -= _WEEK
        year, week, _ = day.isocalendar()
        return DigestWeek(f"{year}-W{week:02}", self._on(day - _WEEK, zone), self._on(day, zone))

    def _on(self, day: date, zone: ZoneInfo) -> datetime:
        return datetime.combine(day, self.clock, zone).astimezone(UTC)
