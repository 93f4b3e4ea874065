"""Figure 23: many decisions at once under AWS's 3 calls a second, with one process and three on the same store.

On the injected clock, with AWS's quotas as token buckets, each seed always gives the same result. Over real HTTP, with
real processes, a burst is measured.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import cast

import pytest

from bot.domain.decision import QUEUE_SPAN, Decision, DecisionState
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict
from bot.service.clicks.click import Answer, Verb
from bot.service.decisions import queue
from tests.fakes.aws import FakeAws
from tests.fakes.card_text import words
from tests.fakes.chat import TARO_PERSON, FakeChat, FakePeople, person
from tests.fakes.clock import ManualClock
from tests.fakes.gates import end_everything
from tests.fakes.people import PEOPLE, crowd
from tests.fakes.processes import Processes, environment
from tests.fakes.product import Product, product
from tests.fakes.quotas import QuotaAws, Quotas
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.teams_world import Message
from tests.fakes.world import World, code_of, current_configuration
from tests.figures import LONG, Figure, size

DECISIONS = size(ci=150, long=300)
SEEDS = size(ci=5, long=1_000)
OVER_HTTP = size(ci=12, long=300)  # decisions over real HTTP, at 3 a second in real time
APPROVERS = tuple(person(number) for number in range(10, 40))
INVOKE_LIMIT = 3.0  # seconds; the promised time to answer a click
OVERTAKES_WITHIN = 5.5  # seconds: of 9 decisions that have their turn, two other rejects, and the calls to AWS
LONGEST = 330  # seconds after the clicks, when every decision has its result


@dataclass(slots=True)
class Burst:
    """Several processes on one store, requests with their cards, and the answers to clicks."""

    replicas: int
    clock: ManualClock = field(default_factory=ManualClock)
    tables: Tables = field(default_factory=Tables)
    answers: list[tuple[float, Answer]] = field(default_factory=list)  # seconds until the answer
    aws: FakeAws = field(init=False)
    quotas: Quotas = field(init=False)
    worlds: list[World] = field(init=False)
    loops: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the processes. `requested` starts their loops."""
        self.aws, self.quotas = FakeAws(self.clock), Quotas(self.clock)
        chat, people = FakeChat(), FakePeople([*APPROVERS, TARO_PERSON])
        self.worlds = [
            World(
                self.clock,
                cast("FakeAws", QuotaAws(self.aws, self.quotas, replicas=self.replicas)),
                chat,
                people,
                MemoryStore(self.tables),
                current_configuration(),
                owner=f"replica-{number}",
                sharing=self.replicas,
            )
            for number in range(self.replicas)
        ]

    async def requested(self, count: int, *, required: int = 1) -> list[RequestKey]:
        """Add requests to AWS and the store, start the processes, and let them post the cards. Return the requests' keys."""
        world, keys = self.worlds[0], [self.aws.add(number, required=required) for number in range(1, count + 1)]
        requester = (await world.reconciler._identifying.identify(self.aws.requests[keys[0]], earlier=None)).requester
        for key in keys:

            def known(row: Record, key: RequestKey = key) -> Record:
                seen = row.observed(self.aws.requests[key], requester, at=self.clock.now(), since=0)
                return world.reconciler._routed(seen).requeue_by(self.clock.now())

            await world.rows.apply(key, known)
        self.loops = [asyncio.create_task(each.reconcile_loop.run()) for each in self.worlds]
        await self.clock.advance(count)
        return keys

    async def click(self, number: int, key: RequestKey, who: Person, verb: Verb = Verb.APPROVE) -> None:
        """Click at one of the processes, and keep the answer."""
        began = self.clock.now()
        answer = await self.worlds[number % self.replicas].press(key, who, verb)
        self.answers.append(((self.clock.now() - began).total_seconds(), answer))

    def decisions(self) -> list[Decision]:
        """Return every decision in the store."""
        return [each for record in self.tables.records.values() for each in record.decisions]

    def latest(self, sent: dict[str, datetime]) -> float:
        """Return the longest time in seconds from a click until its decision is stored as sent. `sent` is not empty."""
        clicked = {each.id: each.clicked_at for each in self.decisions()}
        return max((sent[name] - clicked[name]).total_seconds() for name in sent if name in clicked)

    def sent_at(self) -> dict[str, datetime]:
        """Return when each decision was stored as sent, by its id."""
        return {entry.decision: entry.at for entry in self.tables.audit if entry.event == "sent"}

    def busiest(self, operation: str) -> int:
        """Return the most calls of an operation in any ten seconds."""
        calls = self.quotas.calls.get(operation, [])
        return max((sum(0 <= (other - at).total_seconds() < 10 for other in calls) for at in calls), default=0)


async def _burst(replicas: int, count: int) -> Burst:
    """Click on all cards at the same moment. Return the burst after LONGEST seconds."""
    burst = Burst(replicas)
    keys = await burst.requested(count)
    clicks = [
        asyncio.create_task(burst.click(number, key, APPROVERS[number % len(APPROVERS)]))
        for number, key in enumerate(keys)
    ]
    await burst.clock.advance(LONGEST)
    await asyncio.gather(*clicks)
    return burst


@pytest.fixture(autouse=True)
def _quiet(silence: None) -> None:
    """Write no log."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("replicas", [1, 3])
async def test_every_decision_of_a_burst_takes_effect_within_five_minutes(figure: Figure, replicas: int) -> None:
    """No signal is throttled, and all are sent as fast as the quota allows. Each click is answered within 3 seconds."""
    burst = await _burst(replicas, DECISIONS)
    sent, seconds = burst.sent_at(), [seconds for seconds, _ in burst.answers]
    codes = Counter(str(code_of(answer)) for _, answer in burst.answers)
    await end_everything()
    figure(
        23,
        replicas=replicas,
        decisions=DECISIONS,
        effects=len(burst.aws.effects),
        throttled=burst.quotas.throttled,
        slowest_answer=max(seconds),
        latest_signal=round(burst.latest(sent), 1),
        answers=dict(codes),
    )
    assert len(burst.aws.effects) == len(burst.aws.signals) == DECISIONS
    assert {each.state for each in burst.decisions()} == {DecisionState.CONFIRMED}
    assert len(seconds) == DECISIONS
    assert max(seconds) <= INVOKE_LIMIT
    assert burst.latest(sent) <= min(QUEUE_SPAN.total_seconds(), DECISIONS / 3 + 10)
    assert burst.quotas.throttled == 0
    assert burst.busiest("send_automation_signal") <= 10 * 3 + 3
    assert set(codes) <= {"queued", "applying", "None"}


async def test_control_some_decisions_of_a_burst_without_a_queue_have_no_effect(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Negative control: if no decision waits for its turn, more than 30 of 300 have no effect."""
    monkeypatch.setattr(queue, "TURNS", 10**6)
    burst = await _burst(1, 300)
    await end_everything()
    figure(23, without_queue=300, effects=len(burst.aws.effects))
    assert len(burst.aws.effects) < 270


@dataclass(frozen=True, slots=True)
class End:
    """The result of one seed. `overtaken`: approvals that a reject on the same request withdrew."""

    wrong: tuple[str, ...]
    overtaken: int


async def end_of(seed: int) -> End:
    """Approve many requests at random times, and reject three of them while the approvals wait. Return the result."""
    chance, burst = Random(seed), Burst(Random(seed).choice((1, 3)))
    keys = await burst.requested(chance.randrange(30, 45))
    rejected = chance.sample(keys, 3)
    rejecter = APPROVERS[-1]

    async def later(number: int, key: RequestKey, who: Person, verb: Verb, within: tuple[float, float]) -> None:
        await burst.clock.sleep(chance.uniform(*within))
        await burst.click(number, key, who, verb)

    clicks = [
        asyncio.create_task(later(number, key, chance.choice(APPROVERS[:-1]), Verb.APPROVE, (0, 2)))
        for number, key in enumerate(keys)
    ]
    clicks += [
        asyncio.create_task(later(number, key, rejecter, Verb.REJECT, (2, 3))) for number, key in enumerate(rejected)
    ]
    await burst.clock.advance(60)
    await asyncio.gather(*clicks)
    wrong = [*_lost(burst, keys), *_not_overtaken(burst, keys)]
    overtaken = sum(bool(each.withdrawn_by) for each in burst.decisions())
    await end_everything()
    return End(tuple(wrong), overtaken)


def _lost(burst: Burst, keys: Sequence[RequestKey]) -> list[str]:
    """Return what is wrong: requests without exactly one effect, throttled calls and late answers."""
    effects = Counter(each.key for each in burst.aws.effects)
    wrong = [f"{key}: {effects[key]} effects" for key in keys if effects[key] != 1]
    if burst.quotas.throttled:
        wrong.append(f"{burst.quotas.throttled} throttled")
    return wrong + [f"answered after {seconds} s" for seconds, _ in burst.answers if seconds > INVOKE_LIMIT]


def _not_overtaken(burst: Burst, keys: Sequence[RequestKey]) -> list[str]:
    """Return what is wrong with the rejects: one was sent in addition to an approval, or waited too long."""
    sent, wrong = burst.sent_at(), list[str]()
    for key in keys:
        here = burst.tables.records[key].decisions
        for reject in (each for each in here if each.verdict is Verdict.REJECT):
            approvals = [each for each in here if each.verdict is Verdict.APPROVE]
            if any(each.id in sent for each in approvals) and reject.id in sent:
                wrong.append(f"{key}: both were sent")
            if (
                reject.id in sent
                and (waited := (sent[reject.id] - reject.clicked_at).total_seconds()) > OVERTAKES_WITHIN
            ):
                wrong.append(f"{key}: the reject waited {waited} s")
    return wrong


@pytest.mark.timeout(3600)
async def test_reject_is_sent_before_queued_approvals_and_each_request_has_one_effect(figure: Figure) -> None:
    """The effect is an approval or a reject. In most seeds, a reject replaces queued approvals of its request."""
    ends = {seed: await end_of(seed) for seed in range(SEEDS)}
    assert {seed: end.wrong for seed, end in ends.items() if end.wrong} == {}
    overtaken = sum(end.overtaken for end in ends.values())
    figure(23, seeds=SEEDS, overtaken=overtaken)
    assert overtaken > SEEDS / 2


async def test_control_most_seeds_fail_if_rejects_wait_in_the_lane_of_approvals(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Negative control: if rejects wait in the same lane as approvals, more than half of the seeds go wrong."""
    monkeypatch.setattr(queue, "lane_of", lambda _: queue.Lane.APPROVING)
    ends = [await end_of(seed) for seed in range(5)]
    failed = sum(bool(end.wrong) for end in ends)
    figure(23, seeds_in_one_lane=len(ends), failed=failed)
    assert failed > len(ends) / 2


# --- over real HTTP


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("replicas", [1, 3])
async def test_every_decision_of_a_burst_over_real_http_takes_effect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure, replicas: int
) -> None:
    """All decisions take effect, although AWS allows only 3 calls a second of each operation.

    The processes are real and share one SQLite file.
    """
    people = crowd(OVER_HTTP)
    async with (
        product(monkeypatch, tmp_path, people=[*PEOPLE, *people]) as world,
        Processes() as processes,
    ):
        environ = environment(world, tmp_path, replicas=replicas)
        bots = await asyncio.gather(*(processes.start(environ) for _ in range(replicas)))
        cards = [await _card(world) for _ in range(OVER_HTTP)]
        world.aws.throttle.per_second = 3.0
        began, slowest, statuses, codes = time.monotonic(), 0.0, set[int](), Counter[str]()
        microsoft = world.microsoft
        clicks = [
            microsoft.signed(microsoft.pressed(who, card, "approve")) for who, card in zip(people, cards, strict=True)
        ]

        async def press(number: int, body: bytes, headers: dict[str, str]) -> None:
            nonlocal slowest
            before = time.monotonic()
            status, answer = await microsoft.send_raw(bots[number % replicas].url, body, headers=headers)
            slowest = max(slowest, time.monotonic() - before)
            statuses.add(status)
            codes[_code(json.dumps(answer, ensure_ascii=False))] += 1

        await asyncio.gather(*(press(number, *click) for number, click in enumerate(clicks)))
        answered = time.monotonic() - began
        with suppress(TimeoutError):
            async with asyncio.timeout(OVER_HTTP / 3 + 200):
                await world.microsoft.faults.until(lambda: len(world.aws.effects("Approve")) == OVER_HTTP)
        took = time.monotonic() - began
        effects = len(world.aws.effects("Approve"))
        figure(
            23,
            http=True,
            replicas=replicas,
            decisions=OVER_HTTP,
            effects=effects,
            seconds=round(took),
            slowest_answer=round(slowest, 2),
            answered=round(answered, 1),
            answers=dict(codes),
            statuses=sorted(statuses),
        )
        assert effects == OVER_HTTP
        assert statuses == {200}
        assert slowest < INVOKE_LIMIT or not LONG


async def _card(world: Product) -> Message:
    return await world.card(await world.ask("web-prod-01"))


def _code(answer: str) -> str:
    codes = ("queued", "applying", "store_slow", "busy", "throttled", "not_stored")
    return next((code for code in codes if words(f"notice.{code}") in answer), "shown")
