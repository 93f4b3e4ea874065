"""Rate limits for messages, per conversation and for the whole app, so that Teams rarely has to throttle the bot.

It never waits: above a limit it raises ChatThrottled with the seconds to wait. A message that can wait books a
separate moment, so that a hundred of them are sent one after another, as fast as Teams allows.
https://learn.microsoft.com/microsoftteams/platform/bots/how-to/rate-limit
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from bot.concurrency.window import SlidingWindow
from bot.ports.clock import Clock
from bot.ports.teams import ChatThrottled

LIMITS: Final = ((1.0, 7), (2.0, 8), (30.0, 60), (3600.0, 1800))
"""Seconds, and the number of messages that one bot may send into one conversation in that time, as documented."""
BOOKABLE: Final = ((1.0, 7), (2.0, 8), (30.0, 58), (3600.0, 1740))
"""How many of these can be booked. The rest is for updates of cards, which do not queue behind new cards."""
OVERALL: Final = ((1.0, 40),)
"""The same for all conversations together. Teams allows an app 50 calls a second in a tenant, and throttles the app
above that. Roster reads and the calls of other replicas count too."""
SHARE: Final = 2
"""Replies get all limits divided by this number: people may write any number of messages, and cards must not wait."""
COUNTED: Final = 1024  # conversations; more than a bot for approvals has active at once
BOOKED_FOR: Final = 10.0  # seconds; a message that is so late has failed otherwise, and others may have its moment


class RateLimit:
    """Counts messages, per conversation and overall. All limits are divided by `share`, the number of processes."""

    def __init__(self, clock: Clock, *, share: int = 1) -> None:
        self._clock, self._share = clock, share
        self._timetables: LRUCache[str, _Timetable] = LRUCache(COUNTED)
        self._overall = SlidingWindow(_parts(OVERALL, share))

    def take(self, conversation: str) -> None:
        """Count one message. Raises ChatThrottled if a limit is reached."""
        now, timetable = self._clock.epoch(), self._timetable(conversation)
        self._send(timetable, now, wait=timetable.sent.wait(now))

    def take_or_book(self, conversation: str) -> None:
        """Count one message, or raise ChatThrottled with a moment that is kept for it, if it comes back in time."""
        now, timetable = self._clock.epoch(), self._timetable(conversation)
        if (wait := timetable.moment(now) - now) > 0:
            raise ChatThrottled(wait, booked=True)
        self._send(timetable, now)
        timetable.keep(now)

    def _send(self, timetable: "_Timetable", now: float, *, wait: float = 0.0) -> None:
        if (wait := max(wait, self._overall.wait(now))) > 0:
            raise ChatThrottled(wait)
        timetable.sent.add(now)
        self._overall.add(now)

    def _timetable(self, conversation: str) -> "_Timetable":
        if (found := self._timetables.get(conversation)) is None:
            self._timetables[conversation] = found = _Timetable(self._share)
        return found


class _Timetable:
    """The messages of one conversation: those that were sent, and the moments that are booked. Times are seconds."""

    def __init__(self, share: int) -> None:
        self.sent = SlidingWindow(_parts(LIMITS, share))
        self._share, self._latest = share, 0.0
        self._planned, self._booked = SlidingWindow(_parts(BOOKABLE, share)), deque[float]()

    def moment(self, now: float) -> float:
        """Return when the caller may send a message: `now`, or a moment that is kept for it."""
        self._forget(now)
        free = now + self.sent.wait(now)
        if self._booked and self._booked[0] <= now:
            return free  # the caller's own moment has come, or that of a caller who is late
        planned = max(free, self._planned.free_at(now))
        if planned > now or self._booked:
            self._planned.add(planned)
            self._booked.append(planned)
        return planned

    def keep(self, now: float) -> None:
        """Count a message that was sent at its moment."""
        if self._booked:
            self._booked.popleft()
        else:
            self._planned.add(now)

    def _forget(self, now: float) -> None:
        """Drop moments that nobody used, and all of them if the clock was set back."""
        if now < self._latest:
            self._planned, self._booked = SlidingWindow(_parts(BOOKABLE, self._share)), deque()
        self._latest = now
        while self._booked and self._booked[0] < now - BOOKED_FOR:
            self._booked.popleft()


def _parts(limits: Sequence[tuple[float, int]], share: int) -> tuple[tuple[float, int], ...]:
    return tuple((span, max(1, most // share)) for span, most in limits)
