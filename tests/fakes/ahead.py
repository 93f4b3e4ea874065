"""A clock that runs with the machine's and that a test puts forward, for what needs real sockets and long pauses.

Two processes keep the same time through a file: whoever is started later is told how far the time has been put forward.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

NOTICED_WITHIN = 0.05  # seconds of the machine in which a sleeper notices that time was put forward


@dataclass(slots=True)
class Lead:
    """How far ahead of the machine's clock everybody is, in seconds; kept in a file where processes share it."""

    path: Path | None = None
    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the lead."""
        if self.path is None or not self.path.is_file():
            return self.seconds
        return float(self.path.read_text("ascii"))

    def put_forward(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self.seconds = self() + seconds
        if self.path:
            beside = self.path.with_suffix(".new")
            beside.write_text(repr(self.seconds), "ascii")
            beside.replace(self.path)  # at once: nobody reads half a number

    def now(self) -> datetime:
        """Return the moment that it is for everybody."""
        return datetime.now(UTC) + timedelta(seconds=self())

    def timestamp(self) -> float:
        """Return it in seconds since 1970."""
        return self.now().timestamp()


class AheadClock:
    """`ports.clock.Clock` on a lead."""

    def __init__(self, lead: Callable[[], datetime]) -> None:
        self._now = lead

    def now(self) -> datetime:
        return self._now()

    def epoch(self) -> float:
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """Pause, in steps short enough to notice that time was put forward."""
        until = self.now() + timedelta(seconds=seconds)
        await asyncio.sleep(0)
        while (left := (until - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - the lead may be a file of another process
            await asyncio.sleep(min(left, NOTICED_WITHIN))
