"""The system clock. Tests use another clock behind the same port."""

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """`ports.clock.Clock` from the system time."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    def epoch(self) -> float:
        """Return the current time in seconds since 1970."""
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`; zero or less only yields to other tasks."""
        await asyncio.sleep(max(0.0, seconds))
