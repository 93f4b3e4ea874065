"""A clock that a test can advance, or that runs fast, for tests with real sockets and long pauses.

Processes share the offset in a file, so a process that starts later has the same time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

NOTICED_WITHIN = 0.05  # real seconds in which a sleeper notices that the clock was advanced


@dataclass(slots=True)
class TimeOffset:
    """The seconds by which the clock is ahead of the machine's. With `path`, a file has them for other processes."""

    path: Path | None = None
    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the offset in seconds."""
        if self.path is None or not self.path.is_file():
            return self.seconds
        return float(self.path.read_text("ascii"))

    def put_forward(self, seconds: float) -> None:
        """Advance the clock by this time."""
        self.seconds = self() + seconds
        if self.path:
            beside = self.path.with_suffix(".new")
            beside.write_text(repr(self.seconds), "ascii")
            beside.replace(self.path)  # atomic, so that no process reads half a number

    def now(self) -> datetime:
        """Return the time of this clock."""
        return datetime.now(UTC) + timedelta(seconds=self())

    def timestamp(self) -> float:
        """Return the time in seconds since 1970."""
        return self.now().timestamp()


class FastTime:
    """Time that starts as the machine's and passes `rate` times as fast, for pauses of seconds between real calls.

    Real calls seem slower by the same factor. So the rate is a compromise: a lease of 30 seconds must outlast them.
    """

    def __init__(self, rate: float = 8.0) -> None:
        self._rate, self._start = rate, datetime.now(UTC)

    def now(self) -> datetime:
        """Return the time of this clock."""
        return self._start + (datetime.now(UTC) - self._start) * self._rate


class OffsetClock:
    """`ports.clock.Clock` with the time of `TimeOffset.now` or `FastTime.now`."""

    def __init__(self, lead: Callable[[], datetime]) -> None:
        self._now = lead

    def now(self) -> datetime:
        return self._now()

    def epoch(self) -> float:
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """Pause, in steps short enough to notice that the clock was advanced."""
        until = self.now() + timedelta(seconds=seconds)
        await asyncio.sleep(0)
        while (left := (until - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - another process may set the offset
            await asyncio.sleep(min(left, NOTICED_WITHIN))
