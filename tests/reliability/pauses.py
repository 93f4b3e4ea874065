"""A process that stands still for too long, in front of any of its calls, or of the store's answer, while another goes on.

All its calls wait: the machine was suspended, or the loop was blocked. One moment is spared: once "sending" is durable and
the last look at the clock has passed, nothing more can stop what stands in front of the socket. A pause there is the
accepted gap.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random

from bot.domain.identity import Person
from bot.domain.request import Verdict
from bot.ports.aws import Requests
from bot.ports.clock import Clock
from bot.ports.teams import Chat, People
from bot.service.clicks.click import Answer, Verb
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.gates import calls_of, end_everything
from tests.fakes.outside import NAMING, Outside, Process, doubled, extras, wrong

GAP = "Requests.signal"  # the call behind the last check
PORTS = calls_of(Requests, Chat, People) - {
    GAP,
    "Requests.sightings",
    "Requests.revoked",
    "Requests.grant",
}  # lists are of the sweep alone, and nobody revokes here
ANSWER = " answered"
APPLIED = "Store.apply" + ANSWER  # stored, and the process does not know it yet
CALLS = (*sorted(PORTS), "Store.load", *["Store.apply"] * 3, *[APPLIED] * 3)  # each of them in turn
OFTEN = {
    "Store.apply": 30,
    APPLIED: 30,
    "Store.load": 6,
    "Requests.observe": 4,
    "People.known": 4,
}  # how often a process makes a call
SELDOM = 2  # how often, at least, it makes the others
PAUSES = ((6, 24), (26, 29), (31, 45), (61, 100), (130, 200))
"""Seconds: past the age of a state check, the claim, the lease, the minute, both minutes."""
STUCK = 900  # seconds after which what has not come to rest never will
MOST_ROUNDS = 6  # of people who press while AWS waits


class Stuck(Exception):
    """It does not come to rest, or nobody can decide it."""


@dataclass(slots=True)
class Standstill:
    """The gate of a process that stops once, before a call is made, or answered, for the nth time, for so many seconds."""

    clock: Clock
    call: str = ""  # never
    nth: int = 1
    seconds: float = 0.0
    paused: bool = False
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
        self.nth -= call == self.call
        if not self.nth and not self.paused:
            await self._stop()
        await self._going.wait()

    async def after(self, call: str) -> None:
        """Likewise: an answer that comes while the process stands is read when it goes on."""
        await self.before(call + ANSWER)

    async def _stop(self) -> None:
        self.paused = True
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
        """Press, once there is a card; without an answer press again, at the other process."""
        while not self.outside.chat.of("post"):
            await self.outside.clock.sleep(1)
        process = self.chance.choice((self.slow, self.slow, self.other))
        answer = process.press(who, verb, step)
        self.answers.append((answer, process))
        await self.outside.clock.sleep(self.chance.uniform(5, 20))
        if not answer.done():
            self.answers.append((self.other.press(who, verb, step), self.other))

    async def console(self) -> None:
        """Decide in the console: if the process stands still within a minute, while it stands."""
        for _ in range(60):
            await self.outside.clock.sleep(self.chance.uniform(0, 2))
            if self.gate.stands:
                break
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

    async def shown(self) -> None:
        """Wait for a card to press on. Raises Stuck."""
        for _ in range(STUCK):
            if self.outside.chat.of("post"):
                return
            await self.outside.clock.advance(1)
        raise Stuck("no card")

    async def live(self) -> None:
        """Press until it is decided. Raises Stuck."""
        outside, chance = self.outside, self.chance
        if chance.random() < 0.5:
            await self.rest()
        await self.shown()
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
    doubled: int
    extras: int
    stuck: str

    @property
    def good(self) -> bool:
        """True if every promise was kept."""
        return not self.doubled and not self.stuck and self.extras <= bool(self.paused_at)


async def end_of(seed: int) -> End:
    """Live through a seed."""
    chance, outside, call = Random(seed), Outside.new(), CALLS[seed % len(CALLS)]
    nth = 1 + chance.randrange(OFTEN.get(call, SELDOM))
    gate = Standstill(outside.clock, call, nth, chance.uniform(*chance.choice(PAUSES)))
    outside.queue.send(outside.aws.add(levels=2, reason=NAMING))
    slow = Process(outside, gate, owner="slow")
    await outside.clock.advance(chance.choice((0, 0.5, 40)))  # alone at first, be it for all of its first look
    pair = Pair(chance, outside, gate, slow, Process(outside, Standstill(outside.clock), owner="other"))
    try:
        await pair.live()
        stuck = "; ".join(wrong(outside))
    except Stuck as problem:
        stuck = str(problem)
    finally:
        await end_everything()
    return End(call if gate.paused else "", doubled(outside), extras(outside), stuck)
