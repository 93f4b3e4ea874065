"""The port for time."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The current time, and pauses. Tests use a clock that they set."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""

    def epoch(self) -> float:
        """Return the current time in seconds since 1970."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`; zero or less only yields to other tasks."""
