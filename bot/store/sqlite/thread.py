"""One thread that owns one SQLite connection. Knows nothing of what is read or written.

Writes that wait together are committed together: the disk is waited for once, and nobody is answered before.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.ports.store import StoreUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
MOST_TOGETHER = 100  # writes in one transaction: another process waits for its lock no longer than they take


@dataclass(frozen=True, slots=True)
class _Job:
    """Something to be done in the thread, and who waits for it."""

    work: Work[Any]
    writes: bool
    done: Future[Any] = field(default_factory=Future)


class DatabaseThread:
    """Runs reads and writes, in the order in which they come, writes in transactions of their own."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._executor: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._jobs: deque[_Job] = deque()

    async def open(self) -> None:
        """Start the thread and connect. Raises what `connect` raises."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            self._connection = await asyncio.wrap_future(executor.submit(self._connect))
        except BaseException:
            executor.shutdown(wait=False)
            raise
        self._executor = executor

    async def read(self, work: Work[T]) -> T:
        """Return what `work` reads. Raises StoreUnavailable."""
        return await self._run(_Job(work, writes=False))  # type: ignore[no-any-return]  # what its work returns

    async def write(self, work: Work[T]) -> T:
        """Return what `work` returns once it is durable. What it raises passes through, and it has written nothing.

        `work` may be run with others in one transaction, so it must raise before it writes. Raises StoreUnavailable.
        """
        return await self._run(_Job(work, writes=True))  # type: ignore[no-any-return]  # what its work returns

    async def close(self) -> None:
        """Finish what was begun, then disconnect. Closing twice is no error."""
        executor, connection = self._executor, self._connection
        self._executor = self._connection = None
        if executor is None or connection is None:
            return
        await asyncio.wrap_future(executor.submit(self._disconnect, connection))
        executor.shutdown(wait=False)

    async def _run(self, job: _Job) -> Any:
        if self._executor is None or self._connection is None:
            raise StoreUnavailable("the store is not open")
        self._jobs.append(job)
        self._executor.submit(self._work_off, self._connection)
        return await asyncio.wrap_future(job.done)

    # --- in the thread

    def _disconnect(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            connection.close()

    def _work_off(self, connection: sqlite3.Connection) -> None:
        """Do all that waits. Whoever gave up waiting before it began is passed over."""
        jobs = [job for job in self._taken() if job.done.set_running_or_notify_cancel()]
        for job in jobs:
            if not job.writes:
                _read(connection, job)
        if writes := [job for job in jobs if job.writes]:
            _write(connection, writes)

    def _taken(self) -> list[_Job]:
        return [self._jobs.popleft() for _ in range(min(len(self._jobs), MOST_TOGETHER))]


def _read(connection: sqlite3.Connection, job: _Job) -> None:
    try:
        job.done.set_result(job.work(connection))
    except sqlite3.Error as error:
        job.done.set_exception(_unavailable(error))
    except Exception as error:  # noqa: BLE001  # it belongs to whoever waits, in the other thread
        job.done.set_exception(error)


def _write(connection: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
    """Do some jobs in one transaction; answer them only once it is on the disk."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        answers = [_answer(connection, job) for job in jobs]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        answers = [(job.done.set_exception, _unavailable(error)) for job in jobs]
    for tell, answer in answers:
        tell(answer)


def _answer(connection: sqlite3.Connection, job: _Job) -> tuple[Callable[[Any], None], Any]:
    try:
        return job.done.set_result, job.work(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001  # it belongs to whoever waits, in the other thread
        return job.done.set_exception, error


def _roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # a full disk has rolled back by itself
        connection.execute("ROLLBACK")


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    unavailable = StoreUnavailable(f"{getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')}: {error}")
    unavailable.__cause__ = error
    return unavailable
