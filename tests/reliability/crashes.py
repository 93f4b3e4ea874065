"""Crashes of a process, as what they leave behind.

At every call of a port, before and after its effect, the surroundings are copied: AWS, Teams, the queue, the store and the
time. A crash there is a new process that starts from the copy, with a new owner id and nothing else. So no task, no
exception and no `finally` of the dead one can reach it. Between two moments at which nothing outside differs, the time
included, a crash leaves the same; it is gone through once.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from bot.domain.identity import Person
from bot.domain.request import Verdict
from bot.ports.aws import SignalLost, SignalThrottled
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.gates import end_everything
from tests.fakes.outside import MEI, NAMING, Outside, Process

STUCK = 600  # seconds after which a request that has not come to rest never will
MOST_PRESSES = 3  # of one person at one step; who was cut off, and read that nothing came of it, presses again


class Stuck(Exception):
    """It does not converge."""


@dataclass(frozen=True, slots=True)
class Click:
    """Somebody presses a button at a step."""

    who: Person
    verb: Verb
    step: str


@dataclass(frozen=True, slots=True)
class Act:
    """People press, at one moment, until AWS takes no more of what the first one wants; something happens in AWS, once."""

    clicks: tuple[Click, ...] = ()
    in_aws: Callable[[Outside], object] = lambda _: None
    at: int = 0  # seconds after the press at which it happens there


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to one request. `before` and `after` are what befalls signals, before and after their effect."""

    name: str
    acts: tuple[Act, ...]
    before: tuple[type[Exception], ...] = ()
    after: tuple[type[Exception], ...] = ()
    lag: float = 0.0

    def outside(self) -> Outside:
        """Return its surroundings, before anything happens."""
        outside = Outside.new()
        outside.aws.lag = self.lag
        outside.aws.before["signal"].extend(fault() for fault in self.before)
        outside.aws.after["signal"].extend(fault() for fault in self.after)
        return outside


@dataclass(slots=True)
class Recorder:
    """A gate that copies what is outside whenever it differs from the last copy."""

    outside: Outside
    points: list[str] = field(default_factory=list)  # every call, before and after, whether it was copied or not
    copies: list[Outside] = field(default_factory=list)
    _last: tuple[object, ...] = ()

    async def before(self, call: str) -> None:
        """Look on."""
        self._reach(f"before {call}")

    async def after(self, call: str) -> None:
        """Look on."""
        self._reach(f"after {call}")

    def _reach(self, point: str) -> None:
        self.points.append(point)
        marks = self.outside.marks
        if marks != self._last:
            self._last = marks
            self.copies.append(self.outside.copied())


def asked(levels: int, required: int = 1) -> Act:
    """Somebody asks for access, and AWS says so on the queue."""

    def ask(outside: Outside) -> None:
        outside.queue.send(outside.aws.add(levels=levels, required=required, reason=NAMING))

    return Act(in_aws=ask)


def pressed(step: str, *clicks: tuple[Person, Verb]) -> Act:
    """People press at a step."""
    return Act(tuple(Click(who, verb, step) for who, verb in clicks))


def beside_a_vote(requester: Person, voter: Person) -> Act:
    """The requester takes it back at the moment in which somebody votes."""
    return Act((Click(requester, Verb.CANCEL, ""), Click(voter, Verb.REJECT, "Level1")))


def console(verdict: Verdict, *, after: Act | None = None) -> Act:
    """Somebody decides in the AWS console, be it some seconds after a press, and AWS says so on the queue."""

    def decide(outside: Outside) -> None:
        outside.aws.decide(outside.key, verdict, "from the console")
        outside.queue.send(outside.key)

    return replace(after, in_aws=decide, at=5) if after else Act(in_aws=decide)


YES, NO, BACK, AWAY = Verb.APPROVE, Verb.REJECT, Verb.REVOKE, Verb.CANCEL
DECIDED = (asked(2), pressed("Level1", (HANAKO, YES)), pressed("Level2", (ICHIRO, YES)))
STORIES = (
    Story("approved", (asked(2), pressed("Level1", (HANAKO, YES), (ICHIRO, YES)), pressed("Level2", (ICHIRO, YES)))),
    Story(
        "rejected",
        (asked(2, 2), pressed("Level1", (HANAKO, YES), (ICHIRO, YES)), pressed("Level2", (MEI, NO), (HANAKO, YES))),
        lag=1.5,
    ),
    Story("console", (asked(2), pressed("Level1", (HANAKO, YES), (HANAKO, NO)), console(Verdict.REJECT))),
    Story(
        "lost",
        (asked(2), pressed("Level1", (HANAKO, YES), (ICHIRO, NO)), pressed("Level2", (HANAKO, YES))),
        after=(SignalLost,),
    ),
    Story(
        "never arrived",
        (asked(2), console(Verdict.APPROVE, after=pressed("Level1", (HANAKO, YES))), pressed("Level2", (ICHIRO, NO))),
        before=(SignalLost,),
    ),
    Story(
        "throttled",
        (asked(2), pressed("Level1", (HANAKO, YES), (MEI, YES)), pressed("Level2", (MEI, YES))),
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


async def live(outside: Outside, story: Story) -> Recorder:
    """Run one process from here to the end of the story; return what it left behind at each of its calls."""
    recorder = Recorder(outside)
    process = Process(outside, recorder, owner=f"process {outside.crashes}")
    try:
        for number in range(outside.done, len(story.acts)):
            await _play(process, story.acts[number], number)
    finally:
        await end_everything()
    return recorder


async def _play(process: Process, act: Act, number: int) -> None:
    """Play an act; whose click came to nothing presses again once everything is at rest."""
    outside = process.outside
    for _ in range(MOST_PRESSES):
        await _press(process, act, number)
        if not act.clicks or not outside.takes(act.clicks[0].verb, act.clicks[0].step):
            outside.done += 1
            return
    raise Stuck(f"pressed {MOST_PRESSES} times and AWS still takes {act.clicks[0]}")


async def _press(process: Process, act: Act, number: int) -> None:
    """Press, all at one moment, and let time pass until everything has come to rest and everybody has an answer."""
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
    raise Stuck("not at rest")


Choice = Callable[[], bool]


async def crashed(
    left: Outside, story: Story, *, choose: Choice = lambda: False, down: int = 0
) -> AsyncIterator[Outside]:
    """Go on after a crash that left this behind, `down` seconds later, and then after further ones of who goes on.

    Of the second crashes those are gone through that are chosen.
    """
    outside = left.copied()
    outside.crashes += 1
    await outside.clock.advance(down)
    recorder = await live(outside, story)
    yield outside
    for copy in recorder.copies:
        if choose():
            async for further in crashed(copy, story):
                yield further
