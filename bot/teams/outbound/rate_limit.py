"""Keeps the bot below Teams' rate limits, of a conversation and of the whole app, so that Teams does not have to.

Owns the limits and the count. It never waits: who is too fast is told when to come back.
https://learn.microsoft.com/microsoftteams/platform/bots/how-to/rate-limit
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from bot.ports.clock import Clock
from bot.ports.teams import ChatThrottled

LIMITS: Final = ((1.0, 7), (2.0, 8), (30.0, 60), (3600.0, 1800))
"""Seconds and how many messages one bot may send into one conversation within them, as documented."""
OVERALL: Final = ((1.0, 40),)
"""The same for all conversations together. Teams allows an app 50 calls a second in a tenant; rosters and other
replicas take theirs from it too, and whoever is above is told so by Teams."""
SHARE: Final = 2
"""Answers to what people write take half of all this at most: anybody may write without end, and cards do not wait."""
LONGEST_CLOSED: Final = 3600.0  # seconds; the longest of those windows
_ALMOST: Final = 1e-3  # seconds; what floating point makes of none
COUNTED: Final = 1024  # conversations; a busier bot than one of approvals would still be within the limits

_Sent = deque[float]


class RateLimit:
    """Counts what is sent, into each conversation and in all. `share`: one part in so many of the limits."""

    def __init__(self, clock: Clock, *, share: int = 1) -> None:
        self._clock = clock
        self._limits, self._overall_limits = _parts(LIMITS, share), _parts(OVERALL, share)
        self._sent: LRUCache[str, _Sent] = LRUCache(COUNTED)
        self._overall: _Sent = deque(maxlen=self._overall_limits[-1][1])
        self._closed: LRUCache[str, float] = LRUCache(COUNTED)

    def take(self, conversation: str) -> None:
        """Count one message, or raise ChatThrottled with the seconds after which there is room."""
        now = self._clock.now().timestamp()
        sent = self._sent.setdefault(conversation, deque(maxlen=self._limits[-1][1]))
        wait = max(
            _wait(sent, now, self._limits),
            _wait(self._overall, now, self._overall_limits),
            self._closed_for(conversation, now),
        )
        if wait > 0:
            raise ChatThrottled(wait)
        sent.append(now)
        self._overall.append(now)

    def close(self, conversation: str, seconds: float) -> None:
        """Let nothing pass for as long as Teams asked for; of calls side by side the one that was asked for most."""
        now = self._clock.now().timestamp()
        self._closed[conversation] = now + max(min(seconds, LONGEST_CLOSED), self._closed_for(conversation, now))

    def _closed_for(self, conversation: str, now: float) -> float:
        seconds = self._closed.get(conversation, 0.0) - now
        return seconds if 0 < seconds <= LONGEST_CLOSED + _ALMOST else 0.0  # more: the clock was set back


def _parts(limits: Sequence[tuple[float, int]], share: int) -> tuple[tuple[float, int], ...]:
    return tuple((span, max(1, most // share)) for span, most in limits)


def _wait(sent: _Sent, now: float, limits: Sequence[tuple[float, int]]) -> float:
    # Bounded by the window itself: a clock that was set back must not close a conversation for longer.
    return max(
        (min(span, sent[-most] + span - now) for span, most in limits if len(sent) >= most),
        default=0.0,
    )
