"""A faulty installation that a test arranges, and the problem that the bot must report for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Site = TypeVar("Site")


@dataclass(frozen=True, slots=True)
class Case(Generic[Site]):
    """One faulty installation: the name of its problem, the code, and words that the problem must contain.

    `arrange` makes the fault in an installation. infra/docs/operations.md lists `what`, `check` and `code`.
    """

    what: str
    check: str
    code: str
    words: str
    arrange: Callable[[Site], Awaitable[None]]
