"""Work that goes on after somebody was answered. Owns the tasks, so that a stop can wait for them."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Background:
    """Tasks under way; one that is done is forgotten."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def begin(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Have something done whose end nobody need wait for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        """Forget a task; tell of one that failed, for its end may be waited for by nobody."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background_failed", exc_info=error)

    async def drain(self) -> None:
        """Wait until nothing is under way; what is under way may begin more."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def __iter__(self) -> Iterator[asyncio.Task[object]]:
        return iter(tuple(self._tasks))
