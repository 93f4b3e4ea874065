"""Simulates crashes of a process at every call of a port.

Before and after each call, the state outside the process is copied: AWS, Teams, the queue, the store and the time. A
crash at that point is simulated by a new process that starts from the copy, with a new owner id. No task, exception or
`finally` of the dead process can affect it. If the outside state has not changed since the last copy, no copy is made.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.fakes.gates import end_everything
from tests.fakes.outside import Outside, Process
from tests.reliability.rest import Stuck
from tests.reliability.stories import Act, Story

STUCK = 600  # seconds after which unfinished work counts as stuck
MOST_PRESSES = 3  # clicks of one person at one step; a click without an effect is repeated
Choice = Callable[[], bool]


@dataclass(slots=True)
class Recorder:
    """A gate that copies the state outside the process whenever it has changed since the last one, if `keep` says so.

    If only the time has changed, it does so after `pause`.
    """

    outside: Outside
    keep: Choice
    pause: timedelta = timedelta.resolution
    points: list[str] = field(default_factory=list)  # every call, before and after, with or without a copy
    copies: list[Outside] = field(default_factory=list)
    _marks: tuple[object, ...] = ()
    _marked_at: datetime | None = None

    async def before(self, call: str) -> None:
        """Record the point before a call."""
        self._reach(f"before {call}")

    async def after(self, call: str) -> None:
        """Record the point after a call."""
        self._reach(f"after {call}")

    def _reach(self, point: str) -> None:
        self.points.append(point)
        now, marks = self.outside.clock.now(), self.outside.marks
        if self._marked_at and marks == self._marks and now < self._marked_at + self.pause:
            return
        self._marks, self._marked_at = marks, now
        if self.keep():
            self.copies.append(self.outside.copied())


async def live(outside: Outside, story: Story, *, keep: Choice = lambda: True) -> Recorder:
    """Run one process from this state to the end of the story. Return the recorder with its copies. Raises Stuck."""
    recorder = Recorder(outside, keep, story.pause)
    process = Process(outside, recorder, owner=f"process {outside.crashes}")
    try:
        for number in range(outside.done, len(story.acts)):
            await _play(process, story.acts[number], number)
    finally:
        await end_everything()
    return recorder


async def _play(process: Process, act: Act, number: int) -> None:
    """Play an act. If its first click could still have an effect after all work has ended, click again. Raises Stuck."""
    outside = process.outside
    for _ in range(MOST_PRESSES):
        await _press(process, act, number)
        if not act.clicks or not outside.takes(act.clicks[0].verb, act.clicks[0].step):
            outside.done += 1
            return
    raise Stuck(f"clicked {MOST_PRESSES} times, but {act.clicks[0]} could still have an effect")


async def _press(process: Process, act: Act, number: int) -> None:
    """Make the clicks of an act at the same time, and advance the clock until all work has ended. Raises Stuck."""
    outside = process.outside
    answers = [process.press(click.who, click.verb, click.step, where=click.where) for click in act.clicks]
    for second in range(STUCK):
        if outside.begun == number and second >= act.at:
            outside.begun += 1
            act.event(outside)
        await outside.clock.advance(1)
        if any(loop.done() for loop in process.loops):
            raise Stuck("a loop has ended")
        if outside.begun > number and outside.at_rest() and all(answer.done() for answer in answers):
            for answer in answers:
                answer.result()
            return
    raise Stuck("work is still pending")


async def crashed(
    left: Outside, story: Story, *, choose: Choice = lambda: False, down: int = 0
) -> AsyncIterator[Outside]:
    """Continue after a crash that left this state, `down` seconds later. Yield the state at the end of each run.

    The process that continues crashes again at each of its points for which `choose` returns True. Iterating raises
    Stuck.
    """
    outside = left.copied()
    outside.crashes += 1
    await outside.clock.advance(down)
    recorder = await live(outside, story, keep=choose)
    yield outside
    for copy in recorder.copies:
        async for further in crashed(copy, story):
            yield further
