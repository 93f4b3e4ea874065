"""The time of the machine. Tests put another clock behind the same port."""

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """`ports.clock.Clock` as the machine keeps it."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Pause; a pause of no length lets others run."""
        await asyncio.sleep(max(0.0, seconds))
