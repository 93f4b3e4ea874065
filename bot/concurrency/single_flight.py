"""One run of a piece of work at a time, shared by all callers that need its result."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Key = TypeVarTuple("Key")


class SingleFlight(Generic[*Key, Result]):
    """Runs `work` at most once at a time for the same arguments.

    Without arguments there is one run at a time in total. If a run raises while no caller waits for it, its error is
    lost, so work that is only started must not raise.
    """

    def __init__(self, work: Callable[[*Key], Coroutine[Any, Any, Result]]) -> None:
        self._work = work
        self._tasks: dict[tuple[*Key], asyncio.Task[Result]] = {}

    def running(self, *key: *Key) -> bool:
        """Return True if a run for these arguments is in progress."""
        task = self._tasks.get(key)
        return task is not None and not task.done()

    def start(self, *key: *Key) -> asyncio.Task[Result]:
        """Start a run in the background, or return the one in progress."""
        if not self.running(*key):
            self._tasks[key] = asyncio.create_task(self._run(*key))
        return self._tasks[key]

    async def join(self, *key: *Key) -> Result:
        """Return the result of the run in progress, or of a new one. An error of the run is raised.

        Cancelling a caller does not cancel the run.
        """
        return await asyncio.shield(self.start(*key))

    async def join_briefly(self, *key: *Key, seconds: float) -> Result | None:
        """Like `join`, but return None after `seconds`. The run continues."""
        run = self.start(*key)
        await asyncio.wait({run}, timeout=seconds)
        return run.result() if run.done() else None

    async def drain(self) -> None:
        """Wait for all runs in progress; ignore their results and errors."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def aclose(self) -> None:
        """Cancel all runs in progress, and wait until they have ended."""
        for task in list(self._tasks.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, *key: *Key) -> Result:
        try:
            return await self._work(*key)
        finally:
            if self._tasks.get(key) is asyncio.current_task():
                del self._tasks[key]
