"""How long a delivery waits before it is tried again. Pure: the jitter comes from what is delivered, not from chance.

So rows that failed together come back apart from each other, and the same failure waits equally long in every test.
"""

import hashlib
from datetime import timedelta
from typing import Final

from bot.domain.record import Surface

OUTAGE: Final = (timedelta(seconds=5), timedelta(minutes=5))  # first and longest pause while Teams is no use
REFUSAL: Final = (timedelta(minutes=5), timedelta(hours=1))  # while Teams refuses: the app may be installed meanwhile
CROWDING: Final = (timedelta(seconds=1), timedelta(minutes=1))  # on top of the patience that Teams or our own pace asks
CAPPED: Final = timedelta(hours=1)  # between posts of which several may have arrived already
MOST_COPIES: Final = 4  # posts of one message whose end nobody knows, before the pause is that long
MOST_DOUBLINGS: Final = 16  # beyond, the number itself would be too large


def after_outage(surface: Surface, seed: str) -> timedelta:
    """Return the pause after a call without a useful answer; `surface` as it was before this failure."""
    return _spread(_grown(OUTAGE, surface.failures), seed)


def after_refusal(surface: Surface, seed: str) -> timedelta:
    """Return the pause after Teams refused for good."""
    return _spread(_grown(REFUSAL, surface.refusals), seed)


def after_throttling(surface: Surface, seed: str, *, patience: float) -> timedelta:
    """Return the pause after being asked for patience, in seconds: never shorter than that."""
    return timedelta(seconds=patience) + _spread(_grown(CROWDING, surface.failures), seed)


def _grown(bounds: tuple[timedelta, timedelta], failures: int) -> timedelta:
    first, longest = bounds
    return min(first * (1 << min(failures, MOST_DOUBLINGS)), longest)


def _spread(pause: timedelta, seed: str) -> timedelta:
    """Return three quarters of a pause to the whole."""
    share = int.from_bytes(hashlib.sha256(seed.encode(errors="replace")).digest()[:4]) / (1 << 32)
    return pause * (0.75 + 0.25 * share)
