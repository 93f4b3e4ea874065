"""A process that stands still for too long, in front of any of its calls, while another one goes on.

All its calls wait: the machine was suspended, or the loop was blocked. One moment is spared: once "sending" is durable and
the last check has passed, nothing more can stop what stands in front of the socket. A pause there is the accepted gap.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random

from bot.domain.identity import Person
from bot.domain.request import Verdict
from bot.ports import Clock
from bot.service.clicks import Answer, Verb
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.gates import end_everything
from tests.fakes.outside import Outside, Process, doubled, extras, wrong

GAP = "Requests.signal"  # the call behind the last check
POLLS = frozenset(
    {"Store.due", "Store.next_due", "Queue.receive"}
)  # asked every second: nothing stands in front of them
CALLS = (
    50  # the pause comes before one of so many first calls, polls left out; a request of two levels takes about as many
)
PAUSES = ((26, 29), (31, 45), (61, 100), (130, 200))  # seconds: past the claim, the lease, the minute, both minutes
STUCK = 900  # seconds after which what has not come to rest never will
MOST_ROUNDS = 6  # of people who press while AWS waits


class Stuck(Exception):
    """It does not come to rest, or nobody can decide it."""


@dataclass(slots=True)
class Standstill:
    """The gate of a process that stops once, before its nth call, for so many seconds."""

    clock: Clock
    nth: int = -1  # never
    seconds: float = 0.0
    calls: int = 0
    paused_at: str = ""
    in_gap: bool = False
    _going: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Go."""
        self._going.set()

    @property
    def stands(self) -> bool:
        """True while it stands."""
        return not self._going.is_set()

    async def before(self, call: str) -> None:
        """Stop here, if it is the moment; wait here, if the process has stopped."""
        self.calls += call not in POLLS
        if self.calls == self.nth and call not in POLLS:
            await self._stop(call)
        await self._going.wait()

    async def after(self, call: str) -> None:
        """An answer that comes while the process stands is read when it goes on."""
        await self._going.wait()

    async def _stop(self, call: str) -> None:
        if call == GAP:
            self.in_gap = True
            return
        self.paused_at = call
        self._going.clear()
        await self.clock.sleep(self.seconds)
        self._going.set()


@dataclass(slots=True)
class Pair:
    """A process that stands still, one that does not, and people who turn to either."""

    chance: Random
    outside: Outside
    gate: Standstill
    slow: Process
    other: Process
    answers: list[tuple[asyncio.Task[Answer], Process]] = field(default_factory=list)

    async def click(self, who: Person, verb: Verb, step: str) -> None:
        """Press; without an answer press again, at the other process."""
        process = self.chance.choice((self.slow, self.slow, self.other))
        answer = process.press(who, verb, step)
        self.answers.append((answer, process))
        await self.outside.clock.sleep(self.chance.uniform(5, 20))
        if not answer.done():
            self.answers.append((self.other.press(who, verb, step), self.other))

    async def console(self) -> None:
        """Decide in the console, at some moment, now and then."""
        await self.outside.clock.sleep(self.chance.uniform(0, 60))
        if self.outside.truth.waiting:
            self.outside.aws.decide(self.outside.key, Verdict.APPROVE, "from the console")
            self.outside.queue.send(self.outside.key)

    async def rest(self, *under_way: asyncio.Task[None]) -> None:
        """Let time pass until everything has come to rest. Raises Stuck."""
        for _ in range(STUCK):
            await self.outside.clock.advance(1)
            if broken := [answer for answer, _ in self.answers if answer.done() and answer.exception()]:
                raise Stuck(repr(broken[0].exception()))
            tasks = (*under_way, *(answer for answer, _ in self.answers))
            if self.outside.at_rest() and not self.gate.stands and all(task.done() for task in tasks):
                return
        raise Stuck("not at rest")

    async def live(self) -> None:
        """Ask for access and press until it is decided. Raises Stuck."""
        outside, chance = self.outside, self.chance
        outside.queue.send(outside.aws.add(levels=2))
        if chance.random() < 0.5:
            await self.rest()
        for _ in range(MOST_ROUNDS):
            if outside.truth.waiting is None:
                return
            step = outside.truth.waiting.step
            verbs = (Verb.APPROVE, chance.choice((Verb.APPROVE, Verb.REJECT)))
            people = [self.click(who, verb, step) for who, verb in zip((HANAKO, ICHIRO), verbs, strict=True)]
            console = [self.console()] if chance.random() < 0.4 else []
            await self.rest(*map(asyncio.create_task, (*people, *console)))
        raise Stuck("nobody could decide it")


@dataclass(frozen=True, slots=True)
class End:
    """What came of a seed; `paused_at` is the call before which the process stood, "" if it never did."""

    paused_at: str
    in_gap: bool
    doubled: int
    extras: int
    stuck: str

    @property
    def good(self) -> bool:
        """True if every promise was kept."""
        return not self.doubled and not self.stuck and self.extras <= bool(self.paused_at)


async def end_of(seed: int) -> End:
    """Live through a seed."""
    chance, outside = Random(seed), Outside.new()
    gate = Standstill(outside.clock, chance.randrange(CALLS), chance.uniform(*chance.choice(PAUSES)))
    slow = Process(outside, gate, owner="slow")
    pair = Pair(chance, outside, gate, slow, Process(outside, Standstill(outside.clock), owner="other"))
    try:
        await pair.live()
        stuck = "; ".join(wrong(outside))
    except Stuck as problem:
        stuck = str(problem)
    finally:
        await end_everything()
    return End(gate.paused_at, gate.in_gap, doubled(outside), extras(outside), stuck)
