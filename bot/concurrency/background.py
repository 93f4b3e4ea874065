"""Tasks that continue after their starter has returned. Owns them, so that shutdown can wait for them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Background:
    """The tasks in progress. Iterating yields them; finished tasks are removed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def begin(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Start work in the background; no caller has to wait for it. An error of the work is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        """Remove a finished task, and log its error, because perhaps no caller awaits the task."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background_failed", exc_info=error)

    async def drain(self) -> None:
        """Wait until no task is left, including those that the tasks start."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def __iter__(self) -> Iterator[asyncio.Task[object]]:
        return iter(tuple(self._tasks))


@asynccontextmanager
async def alongside(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run work during the block, and cancel it when the block ends. An error of the work is not raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
