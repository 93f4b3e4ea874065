"""Quiet hours: the time of day at which a channel gets no reminders, in the channel's time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to before `end`, on the clock of the time zone; over midnight if `start` is later than `end`."""

    start: time
    end: time

    def include(self, clock: time) -> bool:
        """True if the clock shows a time within the quiet hours."""
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def held(self, moment: datetime, timezone: str) -> datetime:
        """Return the end of the quiet hours that the moment is in; the moment itself outside of them.

        When the clock changes: if it skips the end, the quiet hours are as long as without the change. If it shows the
        end twice, the first one after the moment counts.
        """
        zone = ZoneInfo(timezone)
        local = moment.astimezone(zone)
        if not self.include(local.time()):
            return moment
        day = local.date() + timedelta(days=local.time() >= self.end)
        ends = (datetime.combine(day, self.end, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        return next((end for end in ends if end > moment), moment)
