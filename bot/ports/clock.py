"""Time, as the services see it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time. Tests put in one that they move by hand."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Pause."""
