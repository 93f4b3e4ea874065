"""What follows if Teams refuses something for good: one table, by kind of surface and problem.

infra/docs/operations.md has the same table; a test compares them.

Pure. How each consequence is brought about is delivery's business.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from bot.domain.record import SurfaceKind
from bot.ports.teams import ChatProblem


class Consequence(StrEnum):
    """What to do about a refusal."""

    STAND_IN = "stand_in"  # the fallback channel gets a card without buttons; this one is tried again, ever later
    REPOST = "repost"  # somebody deleted it: posted anew while the request is open, three times at most
    TELL = "tell"  # left, and the card's thread says so and why
    DROP = "drop"  # left; log and metric say so
    WAIT = "wait"  # it is the bot that is not let in, not this recipient: tried again as if Teams were away


_RULE: Final = {
    SurfaceKind.CARD: Consequence.STAND_IN,
    SurfaceKind.NOTE: Consequence.DROP,
    SurfaceKind.DIRECT: Consequence.TELL,
}
_EXCEPTIONS: Final[Mapping[tuple[SurfaceKind, ChatProblem], Consequence]] = {
    (SurfaceKind.CARD, ChatProblem.ACTIVITY_NOT_FOUND): Consequence.REPOST,
    **{(kind, ChatProblem.UNAUTHORIZED): Consequence.WAIT for kind in SurfaceKind},
}
CONSEQUENCES: Final[Mapping[tuple[SurfaceKind, ChatProblem], Consequence]] = {
    (kind, problem): _EXCEPTIONS.get((kind, problem), _RULE[kind]) for kind in SurfaceKind for problem in ChatProblem
}
