"""Figure 6: one process pauses before any call until its state check, claim or lease has expired, or for minutes.

Two gaps are accepted and not tested here: the five seconds for which a state check is valid, and the gap between the
last time check, after "sending" is stored, and the write to the socket. A process that pauses in the second gap for
more than a minute sends a signal that other processes have given up. No check in the bot can close this gap, because
AWS accepts no token that would invalidate a signal of an earlier step or claim.
"""

from collections import Counter

import pytest

from tests.figures import Figure, size
from tests.reliability.pauses import CALLS, end_of

pytestmark = pytest.mark.usefixtures("silence")

SEEDS = size(ci=100, long=1_000)


async def test_no_pause_of_a_process_doubles_a_signal(figure: Figure) -> None:
    """Wherever the process pauses, no signal is doubled, every request converges, and at most one message is extra."""
    ends = {seed: await end_of(seed) for seed in range(SEEDS)}
    assert {seed: end for seed, end in ends.items() if not end.good} == {}
    paused_at = Counter(end.paused_at for end in ends.values() if end.paused_at)
    assert set(paused_at) == set(CALLS)
    figure(
        6,
        seeds=SEEDS,
        pauses=paused_at.total(),
        calls=len(paused_at),
        double_effects=sum(end.doubled for end in ends.values()),
        most_extras=max(end.extras for end in ends.values()),
    )
