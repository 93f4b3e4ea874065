"""Figure 3: one or two crashes, each before or after any call of a port, do not double or lose a decision.

Each story has a request with one or two levels, and simultaneous or repeated clicks. The stories are: approved,
rejected, decided in the console, overruled by a reject, a changed mind, a lost reply, a signal that AWS never receives,
throttling, revoked while the requester gives the access back, revoked with its sessions, cancelled, cancelled at the
same time as a vote, decided after reminders, decided in a second channel, and reviewed by one person and decided by
another.
"""

import random
from dataclasses import dataclass

import pytest

from bot.domain.record import Record
from bot.domain.surface import Surface
from bot.ports.aws import Queue, Requests, Sessions
from bot.ports.store import Store
from bot.ports.teams import Chat, People
from tests.fakes.gates import calls_of
from tests.fakes.outside import Outside, approved_twice, doubled, extras, misended, untimely, wrong
from tests.figures import LONG, Figure
from tests.reliability.crashes import Recorder, crashed, live
from tests.reliability.rest import gaps
from tests.reliability.stories import STORIES, Story

pytestmark = pytest.mark.usefixtures("silence")

SINGLES_EVERY = 3  # in continuous integration, one crash point in this many is tested
SECOND_CRASHES = 1.0 if LONG else 0.002  # share of the second crashes that is tested, for stories with few points
LONG_DOWN = 90  # seconds; a process that restarts later must not send the signals of old claims
DOWN_EVERY = 1 if LONG else 8  # one crash in this many is also tested with a late restart
PORTS = (Requests, Sessions, Chat, People, Queue, Store)
NOT_IN_A_STORY = {
    *("Store.find", "Store.remember_chat", "Store.forget_chat", "Store.personal_chat", "Store.personal_chats"),
    *("Store.remember_service_url", "Store.service_url", "Store.audit"),
    *("Store.remember_team_group", "Store.history", "Store.history_began", "Store.load_several"),
    "Sessions.ended",  # only the watch of sessions calls this
    "Chat.reply_to_one",  # only answers to commands and to clicks of old clients use it
    *("Store.digest_post", "Store.write_digest_post"),  # tests/scenario/test_weekly_digests.py crashes at these
    *("Store.register_replica", "Store.replicas"),  # only the loop of the replicas calls these
    # only the sweep, the check of the store and the retention call these
    *("Requests.revoked", "Store.lease_sweep", "Store.check", "Store.forget_expired"),
}


@dataclass(slots=True)
class Tally:
    """The counts of all runs. `most_extras` is the highest number of superfluous messages in one run."""

    ends: int = 0
    doubled: int = 0
    most_extras: int = 0

    def judge(self, outside: Outside) -> None:
        """Assert that the state at the end of a run is right, and count it."""
        assert wrong(outside) == []
        assert doubled(outside) == 0
        assert extras(outside) <= outside.crashes
        assert untimely(outside) == []
        assert approved_twice(outside) == set()
        assert misended(outside) == []
        assert gaps(outside.row(), outside.tables.audit) == []
        self.ends += 1
        self.doubled += doubled(outside)
        self.most_extras = max(self.most_extras, extras(outside))


async def untroubled(story: Story) -> Recorder:
    """Play a story without a crash, and check its end. Return the recorder of its calls."""
    outside = story.outside()
    recorder = await live(outside, story)
    Tally().judge(outside)
    return recorder


async def test_crash_points_include_every_call_of_the_ports() -> None:
    """The exceptions are the calls in NOT_IN_A_STORY. There is a point before and one after each call."""
    points = {point for story in STORIES for point in (await untroubled(story)).points}
    assert {f"{when} {call}" for call in calls_of(*PORTS) - NOT_IN_A_STORY for when in ("before", "after")} <= points


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_request_converges_after_a_crash_before_or_after_any_call(story: Story, figure: Figure) -> None:
    """The card shows AWS's state in the end, no signal is doubled, and a crash causes at most one extra message.

    The audit trail has every step of each decision. No reminder comes too early or after the decision.
    """
    recorder, chance = await untroubled(story), random.Random(story.name)
    copies = recorder.copies if LONG else recorder.copies[:: SINGLES_EVERY * story.every]
    singles, pairs = Tally(), Tally()
    for number, left in enumerate(copies):
        async for end in crashed(left, story, choose=lambda: chance.random() < SECOND_CRASHES / story.every):
            (singles if end.crashes == 1 else pairs).judge(end)
        if number % DOWN_EVERY == 0:
            async for end in crashed(left, story, down=LONG_DOWN):
                singles.judge(end)
    assert singles.ends >= len(copies)
    figure(
        3,
        story=story.name,
        points=len(recorder.points),
        moments=len(copies),
        singles=singles.ends,
        pairs=pairs.ends,
        doubled=singles.doubled + pairs.doubled,
        most_extras=(singles.most_extras, pairs.most_extras),
    )


async def test_control_story_of_reminders_fails_if_they_are_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without a crash, the judge counts the reminders that the row does not have."""
    with_surface = Record.with_surface

    def forgetful(record: Record, surface: Surface) -> Record:
        return record if "remind" in surface.name else with_surface(record, surface)

    monkeypatch.setattr(Record, "with_surface", forgetful)
    (story,) = (each for each in STORIES if each.name == "reminded")
    outside = story.outside()
    await live(outside, story)
    assert extras(outside) > 0
    with pytest.raises(AssertionError):
        Tally().judge(outside)
