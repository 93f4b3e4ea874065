"""One run of a piece of work at a time, shared by everybody who needs its outcome.

Owns the running task. The work keeps its own result and must not raise: in a run that nobody waits for, the error
would be lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress


class SingleFlight:
    """Starts the work when asked, and never twice at once."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._task is not None and not self._task.done()

    def start(self) -> asyncio.Task[None]:
        """Begin a run in the background, or return the one under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return self._task

    async def join(self) -> None:
        """Wait for the run under way, or for a new one; a waiter that is cancelled leaves the run alone."""
        await asyncio.shield(self.start())

    async def aclose(self) -> None:
        """End a run that is under way."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        await self._work()
