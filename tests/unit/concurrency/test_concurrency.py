"""Tests for the shared tools for concurrent code."""

import asyncio
from datetime import timedelta

import pytest

from bot.concurrency.backoff import backoff
from bot.concurrency.kept_results import KeptResults
from bot.concurrency.single_flight import SingleFlight
from bot.concurrency.waiting import ended_before, first_of
from bot.concurrency.window import SlidingWindow
from tests.fakes.clock import settled


class Work:
    """Counts its runs; each run waits for `gate`."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, ...]] = []
        self.gate = asyncio.Event()

    async def __call__(self, *key: str) -> int:
        """Count a run, wait for `gate`, and return the number of runs started so far."""
        self.runs.append(key)
        await self.gate.wait()
        return len(self.runs)


async def test_callers_with_the_same_key_share_the_run_in_progress() -> None:
    """Two callers with the same key get the result of one run."""
    work = Work()
    flight = SingleFlight[str, int](work)
    callers = [asyncio.create_task(flight.join("a")) for _ in range(2)]
    await asyncio.sleep(0)
    assert flight.running("a")
    work.gate.set()
    assert await asyncio.gather(*callers) == [1, 1]
    assert not flight.running("a")


async def test_runs_of_a_single_flight_for_different_keys_are_concurrent() -> None:
    """A run for one key does not wait for the run of another key."""
    work = Work()
    flight = SingleFlight[str, int](work)
    tasks = [flight.start("a"), flight.start("b")]
    await settled()
    assert work.runs == [("a",), ("b",)]
    work.gate.set()
    await asyncio.gather(*tasks)


async def test_cancelled_caller_does_not_cancel_the_shared_run() -> None:
    """The run continues for the other callers."""
    work = Work()
    flight = SingleFlight[int](work)
    leaving, staying = asyncio.create_task(flight.join()), asyncio.create_task(flight.join())
    await asyncio.sleep(0)
    leaving.cancel()
    work.gate.set()
    assert await staying == 1


async def test_shared_run_continues_after_a_caller_stopped_waiting() -> None:
    """The caller gets None after the limit. The run continues, and the next caller gets its result."""
    work = Work()
    flight = SingleFlight[int](work)
    assert await flight.join_briefly(seconds=0) is None
    work.gate.set()
    assert await flight.join_briefly(seconds=60) == 1


async def test_result_of_a_finished_run_is_not_reused() -> None:
    """A call after the end of a run starts a new run; results are not cached."""
    work = Work()
    work.gate.set()
    flight = SingleFlight[int](work)
    assert [await flight.join(), await flight.join()] == [1, 2]


async def test_closing_a_single_flight_cancels_its_runs() -> None:
    """When `aclose` returns, the task of the run is cancelled."""
    flight = SingleFlight[int](Work())
    task = flight.start()
    await asyncio.sleep(0)
    await flight.aclose()
    assert task.cancelled()


async def test_draining_a_single_flight_waits_for_all_runs_even_if_one_fails() -> None:
    """A failed run does not end the wait for the others, and its error is not raised."""
    gate = asyncio.Event()

    async def run(name: str) -> None:
        if name == "failing":
            raise ValueError(name)
        await gate.wait()

    flight = SingleFlight[str, None](run)
    failing, slow = flight.start("failing"), flight.start("slow")
    draining = asyncio.create_task(flight.drain())
    await settled()
    assert isinstance(failing.exception(), ValueError)
    assert not draining.done()
    gate.set()
    await draining
    assert slow.done()


async def test_first_of_returns_true_only_if_its_first_argument_ended_first() -> None:
    """The result is True if the first argument ends first, and False if the second one does."""
    event = asyncio.Event()
    assert not await first_of(event.wait(), asyncio.sleep(0))
    event.set()
    assert await first_of(event.wait(), asyncio.Event().wait())


async def test_task_that_has_not_ended_before_the_pause_continues() -> None:
    """The caller learns that it has not ended. A task that has failed has ended, too."""
    gate, never = asyncio.Event(), asyncio.Event()
    task: asyncio.Task[object] = asyncio.create_task(gate.wait())
    assert not await ended_before(task, asyncio.sleep(0))
    gate.set()
    assert await ended_before(task, never.wait())
    assert task.result() is True

    async def fail() -> None:
        raise ValueError

    failing: asyncio.Task[object] = asyncio.create_task(fail())
    assert await ended_before(failing, never.wait())
    assert isinstance(failing.exception(), ValueError)


def test_kept_result_is_returned_for_the_same_objects_only() -> None:
    """Equal objects, another value and another order are other questions. The oldest of too many is made again."""
    made: list[str] = []
    results = KeptResults[str](2)
    first, equal = ["row"], ["row"]

    def ask(name: str, *of: object, also: str = "") -> str:
        def make() -> str:
            made.append(name)
            return name

        return results.get(make, *of, also=(also,))

    assert [ask("a", first, equal), ask("b", first, equal), ask("c", equal, first)] == ["a", "a", "c"]
    assert [ask("d", first, equal, also="x"), ask("e", first, equal)] == ["d", "e"]
    assert made == ["a", "c", "d", "e"]


async def test_shielded_task_continues_after_first_of_returns() -> None:
    """If the pause ends first, work behind `asyncio.shield` is not cancelled."""
    gate = asyncio.Event()
    task = asyncio.create_task(gate.wait())
    assert not await first_of(asyncio.shield(task), asyncio.sleep(0))
    gate.set()
    assert await task


@pytest.mark.parametrize(("failures", "seconds"), [(0, 2.0), (1, 4.0), (2, 8.0), (3, 10.0), (10_000, 10.0)])
def test_backoff_doubles_up_to_the_longest_pause(failures: int, seconds: float) -> None:
    """The pause doubles with each failure up to `longest`, in seconds as in timedeltas."""
    assert backoff(failures, first=2.0, longest=10.0) == seconds
    longest = timedelta(seconds=10)
    assert backoff(failures, first=timedelta(seconds=2), longest=longest) == timedelta(seconds=seconds)


def test_sliding_window_counts_only_events_of_its_span() -> None:
    """With a limit of two events in ten seconds, the third waits until the first is ten seconds old."""
    window = SlidingWindow([(10.0, 2)])
    assert window.take(0.0)
    assert window.take(4.0)
    assert not window.take(5.0)
    assert window.wait(5.0) == 5.0
    assert window.take(10.0)


def test_all_limits_of_a_sliding_window_apply_together() -> None:
    """If several limits apply, the longest wait is used."""
    window = SlidingWindow([(1.0, 1), (60.0, 2)])
    assert [window.take(now) for now in (0.0, 0.5, 1.0, 2.0)] == [True, False, True, False]
    assert window.wait(2.0) == 58.0


def test_sliding_window_waits_at_most_its_span_after_the_clock_is_set_back() -> None:
    """After the clock is set back by an hour, the wait is at most the ten seconds of the window."""
    window = SlidingWindow([(10.0, 1)])
    window.add(3600.0)
    assert window.wait(0.0) == 10.0
