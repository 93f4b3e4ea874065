"""Figure 4: 300 decisions at once, and 150 cards at once in one channel, on the injected clock.

AWS has its quotas as token buckets, and Teams its documented windows: calls beyond one are refused with 429.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from yarl import URL

from bot.domain.routing import thread_root
from bot.teams.outbound.rate_limit import LIMITS
from tests.bench.table import Values
from tests.fakes.chat import CHANNEL
from tests.fakes.clock import ManualClock
from tests.fakes.gates import end_everything
from tests.fakes.memory_connector import FalseAnswer, MemoryConnector
from tests.fakes.world import new_world
from tests.reliability.burst import APPROVERS, burst_of

DECISIONS, PEOPLE = 300, 20
CARDS = 150
SPAN, MOST = LIMITS[2]  # the window that limits a long row of cards
JITTER = 1e-6  # seconds; differences of times below it are rounding errors


async def measure() -> Values:
    """Return the costs of both."""
    return {**await _decisions(), **await _cards()}


async def _decisions() -> Values:
    """Return when the last decision was sent, the 99th percentile of the answers, and how often roles were assumed."""
    burst = await burst_of(1, DECISIONS, approvers=APPROVERS[:PEOPLE])
    answers = sorted(seconds for seconds, _ in burst.answers)
    await end_everything()
    assert len(answers) == DECISIONS
    return {
        "decisions_effects": len(burst.aws.effects),
        "decisions_s": burst.latest(burst.sent_at()),
        "decisions_p99_s": answers[DECISIONS * 99 // 100 - 1],
        "decisions_assumed": burst.quotas.assumed.total(),
    }


class LimitedTeams(MemoryConnector):
    """Teams with its limits for each conversation. `sent` has the times of accepted messages by conversation."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock, self.sent = clock, defaultdict[str, list[float]](list)
        self.refused = 0

    @asynccontextmanager
    async def request(self, method: str, url: URL, *, data: bytes, **more: object) -> AsyncIterator[Any]:
        """Answer one call; with 429 if its conversation has no room."""
        now, sent = self._clock.epoch(), self.sent[_conversation(url, data)]
        if any(len(sent) >= most and now - sent[-most] < span - JITTER for span, most in LIMITS):
            self.refused += 1
            self.false[len(self.calls)] = FalseAnswer(429)
        else:
            sent.append(now)
        async with super().request(method, url, data=data, **more) as answer:
            yield answer


def _conversation(url: URL, data: bytes) -> str:
    """Return the conversation in a call's path; for a new thread, that of its channel."""
    channel = json.loads(data).get("channelData", {}).get("channel", {}).get("id")
    return channel or thread_root(url.path.partition("/conversations/")[2].split("/")[0])


async def _cards() -> Values:
    """Return the reads of AWS a card, the share of Teams' second window that is used, and the calls that earned 429."""
    world = new_world()
    teams = LimitedTeams(world.clock)
    world.chat = teams.chat(store=world.store, clock=world.clock)  # type: ignore[assignment]  # the product's adapter
    world.build()
    keys = [world.aws.add(number) for number in range(1, CARDS + 1)]
    async with world.running():
        for key in keys:
            await world.rows.requeue(key)
        await world.clock.advance(CARDS * SPAN / MOST * 3)
    posted = teams.sent[CHANNEL]
    assert len(posted) == CARDS
    second = sum(SPAN <= at - posted[0] < 2 * SPAN for at in posted)
    return {
        "cards_reads": world.aws.count("observe") / CARDS,
        "cards_window": 100 * second / MOST,
        "cards_s": posted[-1] - posted[0],
        "cards_refused": teams.refused,
    }
