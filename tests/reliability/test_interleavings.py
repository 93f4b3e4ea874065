"""Figure 5: four processes on one store, with clicks of five people and crashes, in an order that a seed decides.

Four people vote at two levels and may mark themselves as reviewers, and two of them sometimes revoke. The fifth is the
requester, who sometimes cancels during the votes. Clients refresh the card by themselves. Sometimes people wait until
reminders are due, and until a second channel may decide.
"""

import pytest

from bot.domain.rules.claims import Claim
from bot.service.clicks import claiming
from bot.service.decisions import held_decision
from tests.figures import Figure, size
from tests.reliability.schedule import CLICKERS, WORKERS, End, end_of

pytestmark = pytest.mark.usefixtures("silence")

SEEDS = size(ci=60, long=10_000)
BLIND_SEEDS = size(ci=30, long=1_000)
SEEN = 0.1  # share of the seeds that must fail without the claim


async def test_no_random_order_of_clicks_and_crashes_doubles_a_signal(figure: Figure) -> None:
    """In the order of each seed, AWS accepts at most one signal for each click, and every request converges.

    A crash causes at most one extra message. No reminder comes too early or after the decision. Many clicks are refused
    because their people approved the other level, and no one approves both.
    """
    ends: dict[int, End] = {seed: await end_of(seed) for seed in range(SEEDS)}
    assert {seed: end for seed, end in ends.items() if not end.good} == {}
    crashes = sum(end.crashes for end in ends.values())
    assert crashes > SEEDS / 10
    assert sum(bool(end.revocations) for end in ends.values()) > SEEDS / 10
    assert sum(bool(end.ended) for end in ends.values()) > SEEDS / 60
    assert sum(end.refused_again for end in ends.values()) > SEEDS / 10
    assert sum(bool(end.reminders) for end in ends.values()) > SEEDS / 10
    assert sum(bool(end.escalations) for end in ends.values()) > SEEDS / 20
    figure(
        5,
        seeds=SEEDS,
        workers=WORKERS,
        clickers=len(CLICKERS),
        crashes=crashes,
        signals=sum(end.signals for end in ends.values()),
        revocations=sum(bool(end.revocations) for end in ends.values()),
        ended_sessions=sum(bool(end.ended) for end in ends.values()),
        refused_at_another_level=sum(end.refused_again for end in ends.values()),
        approved_two_levels=sum(end.approved_twice for end in ends.values()),
        reminders=sum(end.reminders for end in ends.values()),
        escalations=sum(end.escalations for end in ends.values()),
        double_effects=sum(end.doubled for end in ends.values()),
        stuck=sum(bool(end.stuck) for end in ends.values()),
        extras=sum(end.extras for end in ends.values()),
    )


async def test_control_bot_that_accepts_every_click_doubles_signals(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Negative control: if every click is accepted, more than one seed in ten doubles a signal."""
    monkeypatch.setattr(claiming, "claim", lambda **_: Claim())
    monkeypatch.setattr(held_decision, "has_room", lambda *_: True)  # the second check of the same rule
    ends = [await end_of(seed) for seed in range(BLIND_SEEDS)]
    failed = sum(bool(end.doubled) for end in ends)
    assert failed > SEEN * BLIND_SEEDS
    figure(5, seeds_without_the_claim=BLIND_SEEDS, failed=failed)
