"""Counts events within sliding time windows."""

from collections import deque
from collections.abc import Iterable


class SlidingWindow:
    """Limits how many events fit into a period.

    `limits` are pairs of seconds and a number of events; all of them apply. Times are seconds; the caller must always
    use the same clock.
    """

    def __init__(self, limits: Iterable[tuple[float, int]]) -> None:
        self._limits = tuple(limits)
        self._taken: deque[float] = deque(maxlen=max(most for _, most in self._limits))

    def wait(self, now: float) -> float:
        """Return the seconds until another event fits; 0 if it fits now."""
        return max(0.0, *(self._wait(now, seconds, most) for seconds, most in self._limits))

    def free_at(self, now: float) -> float:
        """Return when another event fits: `now`, or later. Events that were added may be in the future."""
        return max((now, *(self._taken[-most] + span for span, most in self._limits if len(self._taken) >= most)))

    def add(self, now: float) -> None:
        """Count one event, even if it does not fit."""
        self._taken.append(now)

    def take(self, now: float) -> bool:
        """Count an event if it fits now; return False if it does not."""
        if self.wait(now) > 0:
            return False
        self.add(now)
        return True

    def _wait(self, now: float, seconds: float, most: int) -> float:
        if len(self._taken) < most:
            return 0.0
        # never longer than the window: a clock that was set back must not block for longer
        return min(seconds, self._taken[-most] + seconds - now)
