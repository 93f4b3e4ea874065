"""A faulty installation that a test arranges, and the problem that the bot must report for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Site = TypeVar("Site")


@dataclass(frozen=True, slots=True)
class Case(Generic[Site]):
    """One faulty installation. `what` names it, and `arrange` makes it out of a sound one.

    The check named `check` must report a problem with this `code`, and its advice must contain `words`.
    infra/docs/operations.md lists `what`, `check` and `code`.
    """

    what: str
    check: str
    code: str
    words: str
    arrange: Callable[[Site], Awaitable[None]]
