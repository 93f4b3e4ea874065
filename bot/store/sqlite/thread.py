"""One thread that owns one SQLite connection. It must not know what is read or written.

Writes that wait at the same time are committed together: one wait for the disk, and no answer before it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Self, TypeVar

from bot.ports.store import StoreDamaged, StoreUnavailable
from bot.store.sqlite.integrity import unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
MOST_TOGETHER = 100  # writes in one transaction; limits how long another process waits for the lock


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for the thread, and the future of its result, which belongs to the caller's event loop."""

    work: Work[Any]
    writes: bool
    done: asyncio.Future[Any]


class DatabaseThread:
    """Runs reads and writes. `async with` starts and ends the thread. `connect` opens the database, in the thread.

    Reads that wait at the same time as writes run first. Otherwise, work runs in order of arrival. Each click waits for
    a read, and a queue with one thread costs it less than an executor with its futures.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._thread: Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()  # None ends the thread
        self.damage: StoreDamaged | None = None  # that a call has met
        self.refusal: StoreDamaged | None = None  # while set, every call fails

    async def __aenter__(self) -> Self:
        """Start the thread and connect. Errors of `connect` pass through."""
        connected = asyncio.get_running_loop().create_future()
        # a daemon: if the program ends without closing the store, nothing may wait for the thread
        thread = Thread(target=self._serve, args=(connected,), name="store", daemon=True)
        thread.start()
        try:
            await connected
        except asyncio.CancelledError:
            self._jobs.put(None)
            raise
        self._thread = thread
        return self

    async def read(self, work: Work[T]) -> T:
        """Return what `work` reads. Its errors pass through. Raises StoreUnavailable."""
        return await self._run(work, writes=False)

    async def write(self, work: Work[T]) -> T:
        """Return what `work` returns, once its writes are durable. Its errors pass through. Raises StoreUnavailable.

        `work` may share a transaction with other work, so it must not raise after it has written.
        """
        return await self._run(work, writes=True)

    async def __aexit__(self, *_: object) -> None:
        """Complete pending work, then disconnect."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    async def _run(self, work: Work[T], *, writes: bool) -> T:
        if self._thread is None:
            raise StoreUnavailable("the store is not open")
        if self.refusal:
            raise StoreDamaged(str(self.refusal)) from self.refusal
        job = _Job(work, writes, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        try:
            result: T = await job.done
        except StoreDamaged as damage:
            self.damage = damage
            raise
        return result

    # --- in the thread

    def _serve(self, connected: asyncio.Future[None]) -> None:
        """Connect, work until the end, and disconnect."""
        try:
            connection = self._connection = self._connect()
        except BaseException as error:  # noqa: BLE001  # the caller in the other thread gets it
            _answer_all([(connected, error)])
            return
        _answer_all([(connected, None)])
        try:
            while self._work_off(connection):
                pass
        finally:
            self._connection = None
            with suppress(sqlite3.Error):
                connection.close()

    def _work_off(self, connection: sqlite3.Connection) -> bool:
        """Wait for jobs and do them, at most MOST_TOGETHER. Skip those whose callers were cancelled.

        Return False if the thread must end now.
        """
        taken = self._next_jobs()
        jobs = [job for job in taken if job is not None and not job.done.cancelled()]
        for job in jobs:
            if not job.writes:
                _read(connection, job)
        if writes := [job for job in jobs if job.writes]:
            _write(connection, writes)
        return None not in taken

    def _next_jobs(self) -> list[_Job | None]:
        jobs = [self._jobs.get()]
        with suppress(Empty):
            while jobs[-1] is not None and len(jobs) < MOST_TOGETHER:
                jobs.append(self._jobs.get_nowait())
        return jobs


_Answers = Sequence[tuple[asyncio.Future[Any], Any]]  # each future with its result, or with an error to raise


def _answer_all(answers: _Answers) -> None:
    """Give callers their answers, in their event loop, if that still runs."""
    with suppress(RuntimeError):
        answers[0][0].get_loop().call_soon_threadsafe(_set_all, answers)


def _set_all(answers: _Answers) -> None:
    for done, answer in answers:
        if done.done():
            continue  # its caller was cancelled
        if isinstance(answer, BaseException):
            done.set_exception(answer)
        else:
            done.set_result(answer)


def _read(connection: sqlite3.Connection, job: _Job) -> None:
    _answer_all([(job.done, _answer_to_read(connection, job))])


def _answer_to_read(connection: sqlite3.Connection, job: _Job) -> Any:
    try:
        return job.work(connection)
    except sqlite3.Error as error:
        return _unavailable(error)
    except Exception as error:  # noqa: BLE001  # the caller in the other thread gets it
        return error


def _write(connection: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
    """Do jobs in one transaction; answer them only after the commit is on disk."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        answers = [(job.done, _answer(connection, job)) for job in jobs]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        answers = [(job.done, _unavailable(error)) for job in jobs]
    _answer_all(answers)


def _answer(connection: sqlite3.Connection, job: _Job) -> Any:
    try:
        return job.work(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001  # the caller in the other thread gets it
        return error


def _roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # after a full disk SQLite has already rolled back
        connection.execute("ROLLBACK")


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    problem = unavailable(error)
    problem.__cause__ = error
    return problem
