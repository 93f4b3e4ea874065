"""Simulates crashes of a process at every call of a port.

Before and after each call, the state outside the process is copied: AWS, Teams, the queue, the store and the time. A
crash at that point is simulated by a new process that starts from the copy, with a new owner id. No task, exception or
`finally` of the dead process can affect it. If the outside state has not changed since the last copy, no copy is made.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from bot.domain.identity import Person
from bot.domain.request import Verdict
from bot.ports.aws import SignalLost, SignalThrottled
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.gates import end_everything
from tests.fakes.outside import MEI, NAMING, PRIYA, Outside, Process
from tests.reliability.rest import Stuck

STUCK = 600  # seconds after which unfinished work counts as stuck
Choice = Callable[[], bool]
MOST_PRESSES = 3  # clicks of one person at one step; a click without an effect is repeated


@dataclass(frozen=True, slots=True)
class Click:
    """A person clicks a button at a step."""

    who: Person
    verb: Verb
    step: str


@dataclass(frozen=True, slots=True)
class Act:
    """Simultaneous clicks, and an event in AWS. The clicks are repeated while AWS still accepts the first of them."""

    clicks: tuple[Click, ...] = ()
    in_aws: Callable[[Outside], object] = lambda _: None
    at: int = 0  # seconds between the clicks and the event in AWS


@dataclass(frozen=True, slots=True)
class Story:
    """The events in the life of one request.

    `before` and `after` are faults before and after the effect of a signal.
    """

    name: str
    acts: tuple[Act, ...]
    before: tuple[type[Exception], ...] = ()
    after: tuple[type[Exception], ...] = ()
    lag: float = 0.0

    def outside(self) -> Outside:
        """Return the state outside the process at the start of the story."""
        outside = Outside.new()
        outside.aws.lag = self.lag
        outside.aws.before["signal"].extend(fault() for fault in self.before)
        outside.aws.after["signal"].extend(fault() for fault in self.after)
        return outside


@dataclass(slots=True)
class Recorder:
    """A gate that copies the state outside the process whenever it has changed since the last one, if `keep` says so."""

    outside: Outside
    keep: Choice
    points: list[str] = field(default_factory=list)  # every call, before and after, with or without a copy
    copies: list[Outside] = field(default_factory=list)
    _last: tuple[object, ...] = ()

    async def before(self, call: str) -> None:
        """Record the point before a call."""
        self._reach(f"before {call}")

    async def after(self, call: str) -> None:
        """Record the point after a call."""
        self._reach(f"after {call}")

    def _reach(self, point: str) -> None:
        self.points.append(point)
        marks = self.outside.marks
        if marks != self._last:
            self._last = marks
            if self.keep():
                self.copies.append(self.outside.copied())


def asked(levels: int, required: int = 1) -> Act:
    """Return the act in which a person requests access, and AWS sends an event to the queue."""

    def ask(outside: Outside) -> None:
        outside.queue.send(outside.aws.add(levels=levels, required=required, reason=NAMING))

    return Act(in_aws=ask)


def pressed(step: str, *clicks: tuple[Person, Verb]) -> Act:
    """Return the act in which people click at a step at the same time."""
    return Act(tuple(Click(who, verb, step) for who, verb in clicks))


def beside_a_vote(requester: Person, voter: Person) -> Act:
    """Return the act in which the requester cancels at the same time as a vote."""
    return Act((Click(requester, Verb.CANCEL, ""), Click(voter, Verb.REJECT, "Level1")))


def console(verdict: Verdict, *, after: Act | None = None) -> Act:
    """Return the act in which a person decides in the AWS console, and AWS sends an event to the queue.

    With `after`, its clicks come first.
    """

    def decide(outside: Outside) -> None:
        outside.aws.decide(outside.key, verdict, "from the console")
        outside.queue.send(outside.key)

    return replace(after, in_aws=decide, at=5) if after else Act(in_aws=decide)


YES, NO, BACK, AWAY = Verb.APPROVE, Verb.REJECT, Verb.REVOKE, Verb.CANCEL
DECIDED = (asked(2), pressed("Level1", (HANAKO, YES)), pressed("Level2", (ICHIRO, YES)))
STORIES = (
    Story("approved", (asked(2), pressed("Level1", (HANAKO, YES), (ICHIRO, YES)), pressed("Level2", (MEI, YES)))),
    Story(
        "rejected",
        (asked(2, 2), pressed("Level1", (HANAKO, YES), (ICHIRO, YES)), pressed("Level2", (MEI, NO), (PRIYA, YES))),
        lag=1.5,
    ),
    Story("console", (asked(2), pressed("Level1", (HANAKO, YES), (HANAKO, YES)), console(Verdict.REJECT))),
    Story("overruled", (asked(1, 2), pressed("Level1", (HANAKO, YES), (MEI, YES), (ICHIRO, NO)))),
    Story("changed mind", (asked(1), pressed("Level1", (HANAKO, YES), (HANAKO, NO)))),
    Story(
        "lost",
        (asked(2), pressed("Level1", (HANAKO, YES), (ICHIRO, NO)), pressed("Level2", (MEI, YES))),
        after=(SignalLost,),
    ),
    Story(
        "never arrived",
        (asked(2), console(Verdict.APPROVE, after=pressed("Level1", (HANAKO, YES))), pressed("Level2", (ICHIRO, NO))),
        before=(SignalLost,),
    ),
    Story(
        "throttled",
        (asked(2), pressed("Level1", (HANAKO, YES), (MEI, YES)), pressed("Level2", (ICHIRO, YES))),
        before=(SignalThrottled, SignalThrottled),
    ),
    Story("revoked", (*DECIDED, pressed("Level2", (HANAKO, BACK), (MEI, BACK))), lag=1.5),
    Story(
        "cancelled",
        (
            asked(2, 2),
            pressed("Level1", (HANAKO, YES), (ICHIRO, YES)),
            pressed("", (TARO_PERSON, AWAY), (TARO_PERSON, AWAY)),
        ),
        lag=1.5,
    ),
    Story("cancelled beside a vote", (asked(2), beside_a_vote(TARO_PERSON, HANAKO)), after=(SignalLost,)),
)


async def live(outside: Outside, story: Story, *, keep: Choice = lambda: True) -> Recorder:
    """Run one process from this state to the end of the story. Return the recorder with its copies. Raises Stuck."""
    recorder = Recorder(outside, keep)
    process = Process(outside, recorder, owner=f"process {outside.crashes}")
    try:
        for number in range(outside.done, len(story.acts)):
            await _play(process, story.acts[number], number)
    finally:
        await end_everything()
    return recorder


async def _play(process: Process, act: Act, number: int) -> None:
    """Play an act. If AWS still accepts its first click after all work has ended, click again. Raises Stuck."""
    outside = process.outside
    for _ in range(MOST_PRESSES):
        await _press(process, act, number)
        if not act.clicks or not outside.takes(act.clicks[0].verb, act.clicks[0].step):
            outside.done += 1
            return
    raise Stuck(f"clicked {MOST_PRESSES} times, but AWS still accepts {act.clicks[0]}")


async def _press(process: Process, act: Act, number: int) -> None:
    """Make the clicks of an act at the same time, and advance the clock until all work has ended. Raises Stuck."""
    outside = process.outside
    answers = [process.press(click.who, click.verb, click.step) for click in act.clicks]
    for second in range(STUCK):
        if outside.begun == number and second >= act.at:
            outside.begun += 1
            act.in_aws(outside)
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
