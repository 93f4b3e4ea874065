"""Exponential back-off."""

from datetime import timedelta
from typing import Final, TypeVar

MOST_DOUBLINGS: Final = 16  # more would only make the number too large to compute with
Pause = TypeVar("Pause", float, timedelta)


def backoff(failures: int, *, first: Pause, longest: Pause) -> Pause:
    """Return the pause after so many earlier failures in a row: `first`, doubled for each, at most `longest`."""
    return min(first * (1 << min(failures, MOST_DOUBLINGS)), longest)
