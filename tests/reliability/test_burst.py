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
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from bot.domain.decision import QUEUE_SPAN, DecisionState
from bot.domain.identity import Person
from bot.domain.request import RequestKey, Verdict
from bot.service.clicks.click import Verb
from bot.service.decisions import queue
from tests.fakes.card_text import words
from tests.fakes.gates import end_everything
from tests.fakes.people import PEOPLE, crowd
from tests.fakes.processes import Processes, environment
from tests.fakes.product import Product, product
from tests.fakes.teams_world import Message
from tests.fakes.world import code_of
from tests.figures import LONG, Figure, size
from tests.reliability.burst import APPROVERS, Burst, burst_of

DECISIONS = size(ci=150, long=300)
SEEDS = size(ci=5, long=1_000)
OVER_HTTP = size(ci=12, long=300)  # decisions over real HTTP, at 3 a second in real time
INVOKE_LIMIT = 3.0  # seconds; the promised time to answer a click
OVERTAKES_WITHIN = 5.5  # seconds: of 9 decisions that have their turn, two other rejects, and the calls to AWS


@pytest.fixture(autouse=True)
def _quiet(silence: None) -> None:
    """Write no log."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("replicas", [1, 3])
async def test_every_decision_of_a_burst_takes_effect_within_five_minutes(figure: Figure, replicas: int) -> None:
    """No signal is throttled, and all are sent as fast as the quota allows. Each click is answered within 3 seconds.

    Each process assumes the role once for each person, however many decisions they make at once.
    """
    burst = await burst_of(replicas, DECISIONS)
    sent, seconds = burst.sent_at(), [seconds for seconds, _ in burst.answers]
    codes = Counter(str(code_of(answer)) for _, answer in burst.answers)
    await end_everything()
    figure(
        23,
        replicas=replicas,
        decisions=DECISIONS,
        effects=len(burst.aws.effects),
        throttled=burst.quotas.throttled,
        assumed=burst.quotas.assumed.total(),
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
    assert len(burst.quotas.assumed) == len(APPROVERS)
    assert max(burst.quotas.assumed.values()) <= replicas
    assert burst.busiest("send_automation_signal") <= 10 * 3 + 3
    assert set(codes) <= {"queued", "applying", "None"}


async def test_control_some_decisions_of_a_burst_without_a_queue_have_no_effect(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Negative control: if no decision waits for its turn, more than 30 of 300 have no effect."""
    monkeypatch.setattr(queue, "TURNS", 10**6)
    burst = await burst_of(1, 300)
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
