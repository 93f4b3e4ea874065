"""Rate limits for messages, per conversation and for the whole app, so that Teams rarely has to throttle the bot.

It never waits: above a limit it raises ChatThrottled with the seconds to wait.
https://learn.microsoft.com/microsoftteams/platform/bots/how-to/rate-limit
"""

from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from bot.concurrency.window import SlidingWindow
from bot.ports.clock import Clock
from bot.ports.teams import ChatThrottled

LIMITS: Final = ((1.0, 7), (2.0, 8), (30.0, 60), (3600.0, 1800))
"""Seconds, and the number of messages that one bot may send into one conversation in that time, as documented."""
OVERALL: Final = ((1.0, 40),)
"""The same for all conversations together. Teams allows an app 50 calls a second in a tenant, and throttles the app
above that. Roster reads and the calls of other replicas count too."""
SHARE: Final = 2
"""Replies get all limits divided by this number: people may write any number of messages, and cards must not wait."""
COUNTED: Final = 1024  # conversations; more than a bot for approvals has active at once


class RateLimit:
    """Counts messages, per conversation and overall. All limits are divided by `share`, the number of processes."""

    def __init__(self, clock: Clock, *, share: int = 1) -> None:
        self._clock, self._limits = clock, _parts(LIMITS, share)
        self._sent: LRUCache[str, SlidingWindow] = LRUCache(COUNTED)
        self._overall = SlidingWindow(_parts(OVERALL, share))

    def take(self, conversation: str) -> None:
        """Count one message. Raises ChatThrottled if a limit is reached."""
        now = self._clock.epoch()
        sent = self._sent.setdefault(conversation, SlidingWindow(self._limits))
        wait = max(sent.wait(now), self._overall.wait(now))
        if wait > 0:
            raise ChatThrottled(wait)
        sent.add(now)
        self._overall.add(now)


def _parts(limits: Sequence[tuple[float, int]], share: int) -> tuple[tuple[float, int], ...]:
    return tuple((span, max(1, most // share)) for span, most in limits)
