"""Runs several processes on the same AWS, Teams, queue and store, in an order that a seed decides.

Each call of a port takes some turns of the event loop, or some seconds, before its effect and again after it. In a
process that crashes, the next call of each task never returns, so it has no further effect. Calls that it has already
sent still arrive.

In some runs people wait before they click, so that reminders fall due and the level is escalated to a second channel,
often in the same moment as the clicks.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from random import Random

from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.domain.rules.permission import Refusal
from bot.ports.store import Change
from bot.service.clicks.click import Answer, Verb
from bot.store.rows import apply_change
from tests.fakes.aws import GIVE_BACK_ROLE
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.clock import ManualClock
from tests.fakes.gates import AbandonedCalls, end_everything
from tests.fakes.outside import (
    MEI,
    PRIYA,
    Outside,
    Process,
    approved_twice,
    doubled,
    extras,
    misended,
    taken_back,
    untimely,
    wrong,
)
from tests.fakes.sessions import TOKEN_ROLE
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.world import APPROVALS, END_SESSIONS_ROLE, current_configuration
from tests.reliability.rest import Stuck, gaps, until_at_rest
from tests.reliability.stories import LATER, LEADS, LEADS_CHANNEL, SOON

WORKERS = 4
CLICKERS: tuple[Person, ...] = (HANAKO, ICHIRO, MEI, PRIYA)
SLOW = 0.08  # share of the waits that take seconds instead of turns of the loop
SLOWEST = 3.0  # seconds per wait; a call waits twice, and a lease of 30 s must cover several calls
MOST_TURNS = 4
MOST_ROUNDS = 8  # rounds of clicks while AWS waits for a decision
WITHDRAWN = 0.2  # share of the rounds in which the requester cancels during the votes
ENDERS = ((Verb.REVOKE, Verb.END_SESSIONS), (Verb.END_SESSIONS, Verb.END_SESSIONS))  # what two people click
REVOKED = 0.8  # share of the approvals that are revoked
GIVEN_BACK = 0.5  # share of these that the requester gives back at the same time
PATIENT = 0.2  # share of the runs in which people wait before they click, and which last minutes
LONGEST_WAIT = 150.0  # seconds before a round of clicks
REVIEWED = 0.5  # share of the rounds in which a person marks "I'm reviewing this"
REFRESHES = 3  # automatic refreshes of the card beside each round of clicks
LATE = timedelta(seconds=30)  # a slow process that read AWS before the decision may send a reminder after it
CHANNELS = (  # of patient people
    replace(APPROVALS, remind_after=(SOON, LATER), escalate_after=timedelta(seconds=90), escalate_to=LEADS.name),
    replace(LEADS, decide=True),
)


class Whims:
    """The gate of one process. It waits for a random time before and after every call."""

    def __init__(self, chance: Random, clock: ManualClock) -> None:
        self._chance, self._clock = chance, clock
        self._grave = AbandonedCalls()
        self.alive = True

    async def before(self, call: str) -> None:
        """Wait. Never returns after a crash."""
        await self._pass()

    async def after(self, call: str) -> None:
        """Wait. Never returns after a crash."""
        await self._pass()

    async def _pass(self) -> None:
        if self._chance.random() < SLOW:
            await self._clock.sleep(self._chance.uniform(0, SLOWEST))
        for _ in range(self._chance.randrange(MOST_TURNS)):
            await asyncio.sleep(0)
        if not self.alive:
            await self._grave.park()


class ContendedStore(MemoryStore):
    """A store with overlapping writers: it reads, lets others run, and writes. After a conflict it starts again."""

    def __init__(self, tables: Tables, chance: Random) -> None:
        super().__init__(tables)
        self._chance = chance

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        records = self.tables.records
        while True:
            former = records.get(key)
            written = apply_change(former, key, change, now=now)
            for _ in range(self._chance.randrange(2 * MOST_TURNS)):
                await asyncio.sleep(0)
            if self.may_write(former, records.get(key)):
                break
        return self._keep(*written)

    def may_write(self, former: Record | None, present: Record | None) -> bool:
        """Return whether the row is unchanged since it was read."""
        return present is former


@dataclass(slots=True)
class Crowd:
    """The processes and the people of one run."""

    chance: Random
    store: type[ContendedStore]
    outside: Outside
    patient: bool  # people wait before they click
    workers: list[tuple[Process, Whims]] = field(default_factory=list)
    dead: list[tuple[Process, Whims]] = field(default_factory=list)
    answers: list[tuple[asyncio.Task[object], Whims]] = field(default_factory=list)
    started: int = 0

    def start(self) -> None:
        """Start a process with a new owner id."""
        self.started += 1
        gate = Whims(self.chance, self.outside.clock)
        store = self.store(self.outside.tables, self.chance)
        self.workers.append((Process(self.outside, gate, owner=f"process {self.started}", store=store), gate))

    async def crash(self) -> None:
        """Crash a random process at a random time, and start another one some time later."""
        await self.outside.clock.sleep(self.chance.uniform(0, LONGEST_WAIT if self.patient else 8))
        self.dead.append(self.workers.pop(self.chance.randrange(len(self.workers))))
        self.dead[-1][1].alive = False
        self.outside.crashes += 1
        await self.outside.clock.sleep(self.chance.uniform(0, 40))
        self.start()

    async def click(
        self, who: Person, step: str, within: float, verb: Verb | None = None, *, delay: float = 0.0
    ) -> None:
        """Click at a random process and on a random card, within `within` seconds after `delay` seconds.

        Without a verb, the click is a random vote.
        """
        await self.outside.clock.sleep(delay + (within and self.chance.uniform(0, within)))
        process, gate = self.chance.choice(self.workers)
        vote = Verb.REJECT if self.chance.random() < 0.3 else Verb.APPROVE
        where = self.chance.choice([CHANNEL, *([LEADS_CHANNEL] if self.outside.chat.posted_in(LEADS_CHANNEL) else [])])
        self.answers.append((process.press(who, verb or vote, step, where=where), gate))

    async def take_back(self, *under_way: asyncio.Task[None]) -> None:
        """Let two people revoke the approval at about the same time; sometimes its requester gives it back. Raises Stuck.

        One of the two, or both, also end the open sessions.
        """
        level, within = self.outside.truth.last_level, self.chance.choice((0.0, 0.1, 3.0))
        assert level is not None
        for name in (TARO_PERSON.session_name, "nobody@example.com"):
            node, owner = self.outside.truth.node.id, f"{TOKEN_ROLE}/{name}"
            self.outside.sessions.open(node, self.outside.clock.now(), owner=owner)
        pressed = [
            self.click(who, level.step, within, verb)
            for who, verb in zip(CLICKERS[:2], self.chance.sample(self.chance.choice(ENDERS), 2), strict=True)
        ]
        if self.chance.random() < GIVEN_BACK:  # mostly before the others, because no roster is read for the requester
            pressed.append(self.click(TARO_PERSON, "", within, Verb.GIVE_BACK))
        await self.rest(*map(asyncio.create_task, pressed), *under_way)

    async def rest(self, *under_way: asyncio.Task[None]) -> None:
        """Advance the clock until no work is pending. Raises Stuck."""

        def done() -> bool:
            answers = (answer for answer, gate in self.answers if gate.alive)
            return all(task.done() for task in (*answers, *under_way))

        await until_at_rest(self.outside, self.answers, done)

    def delay(self) -> float:
        """Return the seconds before the next round of clicks.

        In half of the rounds of patient people, the clicks come shortly before the row is due for another reason.
        """
        if not self.patient:
            return 0.0
        row, seconds = self.outside.row(), self.chance.uniform(0, LONGEST_WAIT)
        if row and row.requeue_at and self.chance.random() < 0.5:
            due_in = (row.requeue_at - self.outside.clock.now()).total_seconds()
            seconds = min(due_in, LONGEST_WAIT) - self.chance.uniform(0, SLOWEST)
        return seconds

    def round_of_clicks(self, step: str) -> list[asyncio.Task[None]]:
        """Let all people vote at about the same time, some people review the request, and clients refresh the card."""
        chance, within = self.chance, self.chance.choice((0.0, 0.1, SLOWEST))
        clicks: list[tuple[Person, str, Verb | None]] = [(who, step, None) for who in CLICKERS]
        clicks += [(chance.choice(CLICKERS), step, Verb.REFRESH) for _ in range(REFRESHES)]
        if chance.random() < REVIEWED:
            clicks.append((chance.choice(CLICKERS), step, Verb.REVIEWING))
        if chance.random() < WITHDRAWN:
            clicks.append((TARO_PERSON, "", Verb.CANCEL))
        delay = self.delay()
        return [asyncio.create_task(self.click(who, at, within, verb, delay=delay)) for who, at, verb in clicks]

    async def live(self) -> None:
        """Request access, and click until the request is decided, with random crashes. Raises Stuck.

        Sometimes the requester cancels, or the access is revoked and given back.
        """
        outside, chance = self.outside, self.chance
        for _ in range(WORKERS):
            self.start()
        outside.aws.lag = chance.choice((0.0, 0.0, 1.5))
        outside.queue.send(outside.aws.add(levels=2, required=chance.choice((1, 1, 2))))
        await self.rest()
        crashes = [asyncio.create_task(self.crash()) for _ in range(chance.choice((0, 0, 1, 2)))]
        for _ in range(MOST_ROUNDS):
            if outside.truth.waiting is None:
                await self.rest(*crashes)
                if outside.truth.status is Status.APPROVED and chance.random() < REVOKED:
                    await self.take_back(*crashes)
                return
            await self.rest(*self.round_of_clicks(outside.truth.waiting.step), *crashes)
            if problems := wrong(outside):
                raise Stuck("; ".join(problems))
        raise Stuck("no click decided the request")


@dataclass(frozen=True, slots=True)
class End:
    """The result of one run."""

    doubled: int
    extras: int
    crashes: int
    stuck: str  # the problem, "" if everything converged
    signals: int
    revocations: int
    ended: int  # sessions that AWS was asked to end
    approved_twice: int  # people who approved two levels
    refused_again: int  # clicks that were refused because the person approved another level
    reminders: int
    escalations: int

    @property
    def good(self) -> bool:
        """True if nothing is doubled or stuck, no one approved two levels, and each crash causes at most one extra."""
        return not self.doubled and not self.approved_twice and not self.stuck and self.extras <= self.crashes


async def end_of(seed: int, *, store: type[ContendedStore] = ContendedStore) -> End:
    """Play the run that a seed decides, and return its result."""
    chance = Random(seed)
    patient = chance.random() < PATIENT
    channels = CHANNELS if patient else ()
    configuration = current_configuration(*channels, end_sessions_role=END_SESSIONS_ROLE, give_back_role=GIVE_BACK_ROLE)
    outside = Outside.new(configuration)
    crowd = Crowd(chance, store, outside, patient)
    try:
        await crowd.live()
        problems = (wrong(outside), untimely(outside, late=LATE), misended(outside))
        stuck = "; ".join([*chain(*problems), *gaps(outside.row(), outside.tables.audit)])
    except Stuck as problem:
        stuck = str(problem)
    finally:
        for _, gate in crowd.workers:
            gate.alive = False
        await end_everything()
    row = outside.row()
    answers = [each.result() for each, _ in crowd.answers if each.done() and not each.cancelled()]
    return End(
        doubled(outside),
        extras(outside),
        outside.crashes,
        stuck,
        len(outside.aws.signals),
        len(taken_back(outside)),
        len(outside.sessions.end_calls),
        len(approved_twice(outside)),
        sum(
            bool(each.notice and each.notice.code is Refusal.OTHER_LEVEL)
            for each in answers
            if isinstance(each, Answer)
        ),
        sum("remind" in each.name for each in row.surfaces) if row else 0,
        len(row.escalations) if row else 0,
    )
