"""Exponential back-off."""

from datetime import timedelta
from typing import Final, TypeVar

MOST_DOUBLINGS: Final = 16  # further doublings would only make the number too large
Pause = TypeVar("Pause", float, timedelta)


def backoff(failures: int, *, first: Pause, longest: Pause) -> Pause:
    """Return the pause after a failure: `first`, doubled for each of the `failures` before it, at most `longest`."""
    return min(first * (1 << min(failures, MOST_DOUBLINGS)), longest)
