"""The reaction to a failed delivery: the pause before the next attempt, and the consequence of each lasting refusal.

Teams refuses about one message in a thousand for no reason. So a refused message is repeated within a minute first, and
only a lasting refusal has a consequence.
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
from bot.domain.surface import Surface
from bot.ports.teams import ChatProblem

OUTAGE: Final = (timedelta(seconds=5), timedelta(minutes=5))  # first and longest pause while Teams does not answer
REFUSAL: Final = (timedelta(minutes=5), timedelta(hours=1))  # while Teams refuses: the app may be installed later
REMAINS: Final = (timedelta(minutes=5), timedelta(hours=12))  # for a card that may only have outdated buttons
CROWDING: Final = (timedelta(seconds=1), timedelta(minutes=1))  # added to the pause that Teams or our rate limit wants
CAPPED: Final = timedelta(hours=1)  # between posts when several copies may be in Teams already
MOST_POSTS: Final = 4  # posts of one message with unknown results; after these, only one is sent every CAPPED
REPOSTS: Final = 3  # times that a card is posted again after a person deleted it
MESSAGE_REPOSTS: Final = 1  # the same for a requester's message: a person who deletes it twice does not want it
UPDATE_REPEATS: Final = tuple(timedelta(seconds=each) for each in (1, 2, 4, 8, 15, 30))
"""Pauses before a refused update is repeated: a minute in all. A repeated update does no harm."""
POST_REPEATS: Final = tuple(timedelta(seconds=each) for each in (10, 30))
"""Pauses before a refused post is repeated. Each post that was refused by mistake leaves one more message in Teams."""
DELETED_REFUSALS: Final = 8  # about a day of REMAINS, after which a card that Teams reports as deleted is given up


class Task(StrEnum):
    """The kind of call that a delivery makes to Teams."""

    CARD = "card"  # a post
    UPDATE = "update"  # of a card that was posted
    NOTE = "note"
    DIRECT = "direct"

    @property
    def repeats(self) -> tuple[timedelta, ...]:
        """The pauses after the first refusals of a message; these refusals have no consequence, except for AT_ONCE."""
        return UPDATE_REPEATS if self is Task.UPDATE else POST_REPEATS


class Consequence(StrEnum):
    """The bot's reaction to a lasting refusal."""

    STAND_IN = "stand_in"  # retry with growing pauses; meanwhile the fallback channel gets a card without buttons
    REPOST = "repost"  # the card may be deleted: post it again while people need it, REPOSTS times at most
    TELL = "tell"  # give up, and say why in the card's thread
    DROP = "drop"  # give up; log and metric say so
    WAIT = "wait"  # Teams refuses the bot itself, not this recipient: retry as during an outage


_BY_TASK: Final = {
    Task.CARD: Consequence.STAND_IN,
    Task.UPDATE: Consequence.STAND_IN,
    Task.NOTE: Consequence.DROP,
    Task.DIRECT: Consequence.TELL,
}
# A deleted card is not always reported as such: https://github.com/microsoft/BotFramework-Services/issues/269
_MAY_BE_DELETED: Final = (
    ChatProblem.ACTIVITY_NOT_FOUND,
    ChatProblem.CONVERSATION_NOT_FOUND,
    ChatProblem.FORBIDDEN,
    ChatProblem.BAD_REQUEST,
)
_EXCEPTIONS: Final[Mapping[tuple[Task, ChatProblem], Consequence]] = {
    **{(Task.UPDATE, problem): Consequence.REPOST for problem in _MAY_BE_DELETED},
    **{(task, ChatProblem.UNAUTHORIZED): Consequence.WAIT for task in Task},
}
CONSEQUENCES: Final[Mapping[tuple[Task, ChatProblem], Consequence]] = {
    (task, problem): _EXCEPTIONS.get((task, problem), _BY_TASK[task]) for task in Task for problem in ChatProblem
}
AT_ONCE: Final = frozenset({ChatProblem.TOO_LARGE, ChatProblem.UNAUTHORIZED})
"""Refusals that are trusted the first time: Teams is not known to return these by mistake."""


def before_repeat(task: Task, problem: ChatProblem, *, refusals: int) -> timedelta | None:
    """Return the pause before a refused message is repeated; None once the refusal counts as lasting.

    `refusals` is how often this message was refused before.
    """
    if problem in AT_ONCE or refusals >= len(task.repeats):
        return None
    return task.repeats[refusals]


def after_outage(surface: Surface, seed: str) -> timedelta:
    """Return the pause after a call without a usable answer. `surface` is the surface before this failure."""
    return _jittered(_grown(OUTAGE, surface.failures), seed)


def after_refusal(bounds: tuple[timedelta, timedelta], seed: str, *, refusals: int) -> timedelta:
    """Return the pause after a lasting refusal. `refusals` is how many lasting ones came before.

    `bounds` are the first and the longest pause.
    """
    return _jittered(_grown(bounds, refusals), seed)


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
