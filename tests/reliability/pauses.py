"""Pauses one process before any of its calls, or before an answer of the store, while another process continues.

During the pause all its calls wait, as on a suspended machine or in a blocked event loop. One point is excluded: after
"sending" is stored and the last time check has passed, nothing can stop a signal that is about to be written to the
socket. The proof accepts this gap.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random

from bot.domain.identity import Person
from bot.domain.request import Verdict
from bot.ports.aws import Requests
from bot.ports.clock import Clock
from bot.ports.teams import Chat, People
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.gates import calls_of, end_everything
from tests.fakes.outside import NAMING, Outside, Process, doubled, extras, wrong
from tests.reliability.rest import STUCK, Stuck, until_at_rest

GAP = "Requests.signal"  # the call after the last check
# Only for approved requests, and this proof ends with the decision; only if answers are targeted messages; and only if a
# channel lists people to mention.
NOT_CALLED = {"Requests.revoked", "Requests.grant", "Chat.reply_to_one", "People.with_ids"}
PORTS = calls_of(Requests, Chat, People) - NOT_CALLED - {GAP}
ANSWER = " answered"
APPLIED = "Store.apply" + ANSWER  # the write is stored, but the process has no answer
CALLS = (*sorted(PORTS), "Store.load", *["Store.apply"] * 3, *[APPLIED] * 3)  # one for each seed, in turn
# How many times a process makes each call: OFTEN, and for all other calls at least SELDOM.
OFTEN = {"Store.apply": 30, APPLIED: 30, "Store.load": 6, "Requests.observe": 4, "People.known": 4}
SELDOM = 2
PAUSES = ((6, 24), (26, 29), (31, 45), (61, 100), (130, 200))
"""Ranges in seconds, longer than: the validity of a state check, the claim, the lease, one minute, two minutes."""
MOST_ROUNDS = 6  # rounds of clicks while AWS waits for a decision


@dataclass(slots=True)
class Standstill:
    """The gate of a process that pauses once, for `seconds`, before the nth `call`.

    `call` may also be an answer: `Store.apply answered`.
    """

    clock: Clock
    call: str = ""  # empty: it never pauses
    nth: int = 1
    seconds: float = 0.0
    paused: bool = False  # the pause has begun
    _going: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Let all calls pass at first."""
        self._going.set()

    @property
    def pausing(self) -> bool:
        """True while the process is paused."""
        return not self._going.is_set()

    async def before(self, call: str) -> None:
        """Pause the process if this is the chosen call. Wait while it is paused."""
        self.nth -= call == self.call
        if not self.nth and not self.paused:
            await self._stop()
        await self._going.wait()

    async def after(self, call: str) -> None:
        """Do the same after the effect of the call: a paused process gets the answer only after the pause."""
        await self.before(call + ANSWER)

    async def _stop(self) -> None:
        self.paused = True
        self._going.clear()
        await self.clock.sleep(self.seconds)
        self._going.set()


@dataclass(slots=True)
class Pair:
    """A process that pauses, another one that does not, and people whose clicks reach either."""

    chance: Random
    outside: Outside
    gate: Standstill
    slow: Process
    other: Process
    answers: list[tuple[asyncio.Task[object], Process]] = field(default_factory=list)

    async def click(self, who: Person, verb: Verb, step: str) -> None:
        """Click after the card appears. If no answer comes within 5 to 20 seconds, click at the other process too."""
        while not self.outside.chat.of("post"):
            await self.outside.clock.sleep(1)
        process = self.chance.choice((self.slow, self.slow, self.other))
        answer = process.press(who, verb, step)
        self.answers.append((answer, process))
        await self.outside.clock.sleep(self.chance.uniform(5, 20))
        if not answer.done():
            self.answers.append((self.other.press(who, verb, step), self.other))

    async def console(self) -> None:
        """Approve in the console, during the pause if it starts within about a minute. Do nothing if AWS needs no vote."""
        for _ in range(60):
            await self.outside.clock.sleep(self.chance.uniform(0, 2))
            if self.gate.pausing:
                break
        if self.outside.truth.waiting:
            self.outside.aws.decide(self.outside.key, Verdict.APPROVE, "from the console")
            self.outside.queue.send(self.outside.key)

    async def rest(self, *under_way: asyncio.Task[None]) -> None:
        """Advance the clock until no work is pending. Raises Stuck."""

        def done() -> bool:
            tasks = (*under_way, *(answer for answer, _ in self.answers))
            return not self.gate.pausing and all(task.done() for task in tasks)

        await until_at_rest(self.outside, self.answers, done)

    async def shown(self) -> None:
        """Wait for the card. Raises Stuck."""
        for _ in range(STUCK):
            if self.outside.chat.of("post"):
                return
            await self.outside.clock.advance(1)
        raise Stuck("no card")

    async def live(self) -> None:
        """Let people click, and sometimes decide in the console, until the request is decided. Raises Stuck.

        In the last round, one of them rejects: after a vote in the console that names no one, nobody may approve.
        """
        outside, chance = self.outside, self.chance
        if chance.random() < 0.5:
            await self.rest()
        await self.shown()
        for further in reversed(range(MOST_ROUNDS)):
            if outside.truth.waiting is None:
                return
            step = outside.truth.waiting.step
            verbs = (Verb.APPROVE, chance.choice((Verb.APPROVE, Verb.REJECT) if further else (Verb.REJECT,)))
            people = [self.click(who, verb, step) for who, verb in zip((HANAKO, ICHIRO), verbs, strict=True)]
            console = [self.console()] if chance.random() < 0.4 else []
            await self.rest(*map(asyncio.create_task, (*people, *console)))
        if outside.truth.waiting:
            raise Stuck("no click decided the request")


@dataclass(frozen=True, slots=True)
class End:
    """The result of one run. `paused_at` is the call at which the process paused, "" if it never did."""

    paused_at: str
    doubled: int
    extras: int
    stuck: str

    @property
    def good(self) -> bool:
        """True if nothing is doubled or stuck, and there is at most one extra message, and none without a pause."""
        return not self.doubled and not self.stuck and self.extras <= bool(self.paused_at)


async def end_of(seed: int) -> End:
    """Play the run that a seed decides, and return its result."""
    chance, outside, call = Random(seed), Outside.new(), CALLS[seed % len(CALLS)]
    nth = 1 + chance.randrange(OFTEN.get(call, SELDOM))
    gate = Standstill(outside.clock, call, nth, chance.uniform(*chance.choice(PAUSES)))
    outside.queue.send(outside.aws.add(levels=2, reason=NAMING))
    slow = Process(outside, gate, owner="slow")
    await outside.clock.advance(chance.choice((0, 0.5, 40)))  # alone, sometimes for its whole first reconcile
    pair = Pair(chance, outside, gate, slow, Process(outside, Standstill(outside.clock), owner="other"))
    try:
        await pair.live()
        stuck = "; ".join(wrong(outside))
    except Stuck as problem:
        stuck = str(problem)
    finally:
        await end_everything()
    return End(call if gate.paused else "", doubled(outside), extras(outside), stuck)
