"""The reaction to a failed delivery: the pause before the next attempt, and the consequence of each refusal.

Pure. The jitter is computed from a seed, not drawn at random: deliveries that failed together are retried at different
times, and the same failure always has the same pause.
infra/docs/operations.md has CONSEQUENCES as a table; a test compares them.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

from bot.concurrency.backoff import backoff
from bot.domain.record import Surface, SurfaceKind
from bot.ports.teams import ChatProblem

OUTAGE: Final = (timedelta(seconds=5), timedelta(minutes=5))  # first and longest pause while Teams does not answer
REFUSAL: Final = (timedelta(minutes=5), timedelta(hours=1))  # while Teams refuses: the app may be installed later
CROWDING: Final = (timedelta(seconds=1), timedelta(minutes=1))  # added to the pause that Teams or our rate limit wants
CAPPED: Final = timedelta(hours=1)  # between posts when several copies may be in Teams already
MOST_POSTS: Final = 4  # posts of one message with unknown results; after these, only one is sent every CAPPED
REPOSTS: Final = 3  # times that a card is posted again after somebody deleted it
LAST_REFUSALS: Final = 8  # about five hours of refusals, after which the card of an ended request is given up


def after_outage(surface: Surface, seed: str) -> timedelta:
    """Return the pause after a call without a usable answer; `surface` as it was before this failure."""
    return _jittered(_grown(OUTAGE, surface.failures), seed)


def after_refusal(surface: Surface, seed: str) -> timedelta:
    """Return the pause after Teams refused the message or its recipient."""
    return _jittered(_grown(REFUSAL, surface.refusals), seed)


def after_throttling(surface: Surface, seed: str, *, retry_after: float) -> timedelta:
    """Return the pause after throttling: at least `retry_after` seconds."""
    return timedelta(seconds=retry_after) + _jittered(_grown(CROWDING, surface.failures), seed)


def _grown(bounds: tuple[timedelta, timedelta], failures: int) -> timedelta:
    first, longest = bounds
    return backoff(failures, first=first, longest=longest)


def _jittered(pause: timedelta, seed: str) -> timedelta:
    """Shorten a pause by up to a quarter."""
    share = int.from_bytes(hashlib.sha256(seed.encode(errors="replace")).digest()[:4]) / (1 << 32)
    return pause * (0.75 + 0.25 * share)


class Consequence(StrEnum):
    """The bot's reaction to a refusal."""

    STAND_IN = "stand_in"  # retry with growing pauses; meanwhile the fallback channel gets a card without buttons
    REPOST = "repost"  # somebody deleted the card: post it again while the request is open, REPOSTS times at most
    TELL = "tell"  # give up, and say why in the card's thread
    DROP = "drop"  # give up; log and metric say so
    WAIT = "wait"  # Teams refuses the bot itself, not this recipient: retry as during an outage


_BY_KIND: Final = {
    SurfaceKind.CARD: Consequence.STAND_IN,
    SurfaceKind.NOTE: Consequence.DROP,
    SurfaceKind.DIRECT: Consequence.TELL,
}
_EXCEPTIONS: Final[Mapping[tuple[SurfaceKind, ChatProblem], Consequence]] = {
    (SurfaceKind.CARD, ChatProblem.ACTIVITY_NOT_FOUND): Consequence.REPOST,
    **{(kind, ChatProblem.UNAUTHORIZED): Consequence.WAIT for kind in SurfaceKind},
}
CONSEQUENCES: Final[Mapping[tuple[SurfaceKind, ChatProblem], Consequence]] = {
    (kind, problem): _EXCEPTIONS.get((kind, problem), _BY_KIND[kind]) for kind in SurfaceKind for problem in ChatProblem
}
