"""One check: a question about the installation, with its name, and the problem that it may find."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

HOURLY: Final = 3600.0  # seconds between two runs of a check that calls Microsoft or AWS
EACH_MINUTE: Final = 60.0  # seconds between two runs of a check that only looks at what this process has seen
LONGEST: Final = 15.0  # seconds that one run of a check may take, unless the check needs longer
NOT_COMPLETE: Final = "incomplete"  # the code of requests of which parts cannot be read
NO_ANSWER: Final = "no_answer"  # the code of a check that was not answered in time


class NotChecked(Exception):
    """The check cannot be made now; its last result stays."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check found: a code (Microsoft's, AWS's or the bot's own; several with commas), and what to do about it.

    `advice` is empty if the code says all that is known.
    """

    code: str
    advice: str


@dataclass(frozen=True, slots=True)
class Check:
    """A named question. `find` returns the problem, or None. It may raise NotChecked.

    Only the test messages of doctor write anything.

    `every` is the time in seconds between two runs that find nothing; `longest`, the seconds that one run may take.
    `needs` is the name of a check without which this one says nothing new: it is not made while that one has a problem.
    `is_memory` is True if `find` only looks at what this process has seen. It makes no call, so a second run proves
    nothing, and a process that has just started finds nothing.
    """

    name: str
    find: Callable[[], Awaitable[Problem | None]]
    every: float = HOURLY
    longest: float = LONGEST
    needs: str | None = None
    is_memory: bool = False
