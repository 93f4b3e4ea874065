"""One thread that owns one SQLite connection. It must not know what is read or written.

Writes that wait at the same time are committed together: one wait for the disk, and no answer before it.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from bot.ports.store import StoreDamaged, StoreUnavailable
from bot.store.sqlite.integrity import unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
MOST_TOGETHER = 100  # writes in one transaction; limits how long another process waits for the lock


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for the thread, and the future of its result."""

    work: Work[Any]
    writes: bool
    done: Future[Any] = field(default_factory=Future)


class DatabaseThread:
    """Runs reads and writes. `async with` starts and ends the thread. `connect` opens the database, in the thread.

    Reads that wait at the same time as writes run first. Otherwise, work runs in order of arrival.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._executor: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._jobs: deque[_Job] = deque()
        self.damage: StoreDamaged | None = None  # that a call has met
        self.refusal: StoreDamaged | None = None  # while set, every call fails

    async def __aenter__(self) -> Self:
        """Start the thread and connect. Errors of `connect` pass through."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            self._connection = await asyncio.wrap_future(executor.submit(self._connect))
        except BaseException:
            executor.shutdown(wait=False)
            raise
        self._executor = executor
        return self

    async def read(self, work: Work[T]) -> T:
        """Return what `work` reads. Its errors pass through. Raises StoreUnavailable."""
        return await self._run(_Job(work, writes=False))  # type: ignore[no-any-return]  # a job returns what `work` does

    async def write(self, work: Work[T]) -> T:
        """Return what `work` returns, once its writes are durable. Its errors pass through. Raises StoreUnavailable.

        `work` may share a transaction with other work, so it must not raise after it has written.
        """
        return await self._run(_Job(work, writes=True))  # type: ignore[no-any-return]  # a job returns what `work` does

    async def __aexit__(self, *_: object) -> None:
        """Complete pending work, then disconnect."""
        executor, connection = self._executor, self._connection
        self._executor = self._connection = None
        if executor is None or connection is None:
            return
        await asyncio.wrap_future(executor.submit(self._disconnect, connection))
        executor.shutdown(wait=False)

    async def _run(self, job: _Job) -> Any:
        if self._executor is None or self._connection is None:
            raise StoreUnavailable("the store is not open")
        if self.refusal:
            raise StoreDamaged(str(self.refusal)) from self.refusal
        self._jobs.append(job)
        self._executor.submit(self._work_off, self._connection)
        try:
            return await asyncio.wrap_future(job.done)
        except StoreDamaged as damage:
            self.damage = damage
            raise

    # --- in the thread

    def _disconnect(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            connection.close()

    def _work_off(self, connection: sqlite3.Connection) -> None:
        """Do the waiting jobs, at most MOST_TOGETHER. If a job's caller was cancelled, the job is skipped."""
        jobs = [job for job in self._next_jobs() if job.done.set_running_or_notify_cancel()]
        for job in jobs:
            if not job.writes:
                _read(connection, job)
        if writes := [job for job in jobs if job.writes]:
            _write(connection, writes)

    def _next_jobs(self) -> list[_Job]:
        return [self._jobs.popleft() for _ in range(min(len(self._jobs), MOST_TOGETHER))]


def _read(connection: sqlite3.Connection, job: _Job) -> None:
    try:
        job.done.set_result(job.work(connection))
    except sqlite3.Error as error:
        job.done.set_exception(_unavailable(error))
    except Exception as error:  # noqa: BLE001  # the caller in the other thread gets it
        job.done.set_exception(error)


def _write(connection: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
    """Do jobs in one transaction; answer them only after the commit is on disk."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        answers = [_answer(connection, job) for job in jobs]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        answers = [(job.done.set_exception, _unavailable(error)) for job in jobs]
    for resolve, answer in answers:
        resolve(answer)


def _answer(connection: sqlite3.Connection, job: _Job) -> tuple[Callable[[Any], None], Any]:
    try:
        return job.done.set_result, job.work(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001  # the caller in the other thread gets it
        return job.done.set_exception, error


def _roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # after a full disk SQLite has already rolled back
        connection.execute("ROLLBACK")


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    problem = unavailable(error)
    problem.__cause__ = error
    return problem
