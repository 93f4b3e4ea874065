"""Figure 6: a process that stands still past its claim, its lease or the minute of a click, in front of each of its calls.

Accepted, and spared here: the five seconds for which a state check is good, and the gap between the last look at the
clock, after "sending" is durable, and the socket. A process that stands there for longer than a minute sends a signal of
which the others believe that it is not coming any more. Nothing that one machine can ask closes it, for AWS takes no
token that would make a signal of a past step or claim void.
"""

from collections import Counter

import pytest

from tests.figures import Figure, size
from tests.reliability.pauses import CALLS, end_of

pytestmark = pytest.mark.usefixtures("silence")

SEEDS = size(ci=100, long=1_000)


async def test_no_pause_doubles_a_signal(figure: Figure) -> None:
    """Wherever it stands: no signal is doubled, everything converges, one message too much for a pause at most."""
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
