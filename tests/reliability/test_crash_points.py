"""Figure 3: a crash before and after every call of a port, one of them and two of them, and what becomes of it.

Every story has a request of two levels that appears, several people who press at one moment or one who presses twice, a
second level, notes and direct messages. They differ in how it ends: approved, rejected, decided in the console, with a
reply that was lost, with a signal that never arrived, with throttling, revoked, cancelled.
"""

import random
from dataclasses import dataclass

import pytest

from bot.ports.aws import Queue, Requests
from bot.ports.store import Store
from bot.ports.teams import Chat, People
from tests.fakes.gates import calls_of
from tests.fakes.outside import Outside, doubled, extras, wrong
from tests.figures import LONG, Figure
from tests.reliability.crashes import STORIES, Recorder, Story, crashed, live
from tests.reliability.rest import gaps

pytestmark = pytest.mark.usefixtures("silence")

SECONDS = 1.0 if LONG else 0.004  # share of the second crashes that is gone through
LONG_DOWN = 90  # seconds after which a restarted process may not send what it finds claimed
DOWN_EVERY = 1 if LONG else 8  # of how many crashes one is also followed by a long time without a process
PORTS = (Requests, Chat, People, Queue, Store)
NOT_IN_A_STORY = {
    *("Store.find", "Store.remember_chat", "Store.forget_chat", "Store.personal_chat", "Store.personal_chats"),
    *("Store.remember_service_url", "Store.service_url", "Store.audit"),
    *("Requests.revoked", "Store.lease_sweep", "Store.forget_expired"),  # of the sweep alone, and of rows a year old
}


@dataclass(slots=True)
class Tally:
    """What was gone through; `most_extras` is the most that a number of crashes left."""

    ends: int = 0
    doubled: int = 0
    most_extras: int = 0

    def judge(self, outside: Outside) -> None:
        """Hold an end against the promise."""
        assert wrong(outside) == []
        assert doubled(outside) == 0
        assert extras(outside) <= outside.crashes
        assert gaps(outside.row(), outside.tables.audit) == []
        self.ends += 1
        self.doubled += doubled(outside)
        self.most_extras = max(self.most_extras, extras(outside))


async def untroubled(story: Story) -> Recorder:
    """Go through a story without a crash: nothing doubled, nothing missing, nothing too much."""
    outside = story.outside()
    recorder = await live(outside, story)
    Tally().judge(outside)
    return recorder


async def test_the_stories_cross_every_port() -> None:
    """No call of a port that one click or one look makes is left out of the crash points."""
    points = {point for story in STORIES for point in (await untroubled(story)).points}
    assert {f"{when} {call}" for call in calls_of(*PORTS) - NOT_IN_A_STORY for when in ("before", "after")} <= points


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_whatever_a_crash_leaves_converges(story: Story, figure: Figure) -> None:
    """After each crash: the card is AWS's truth, no signal is doubled, one message too much at most, none lost."""
    recorder, chance = await untroubled(story), random.Random(story.name)
    singles, pairs = Tally(), Tally()
    for number, left in enumerate(recorder.copies):
        async for end in crashed(left, story, choose=lambda: chance.random() < SECONDS):
            (singles if end.crashes == 1 else pairs).judge(end)
        if number % DOWN_EVERY == 0:
            async for end in crashed(left, story, down=LONG_DOWN):
                singles.judge(end)
    assert singles.ends >= len(recorder.copies)
    figure(
        3,
        story=story.name,
        points=len(recorder.points),
        moments=len(recorder.copies),
        singles=singles.ends,
        pairs=pairs.ends,
        doubled=singles.doubled + pairs.doubled,
        most_extras=(singles.most_extras, pairs.most_extras),
    )
