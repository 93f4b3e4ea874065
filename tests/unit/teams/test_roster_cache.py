"""Tests for bot.teams.people.roster_cache: one shared read, a limited age, and no use after a membership event."""

import asyncio
from datetime import timedelta

import pytest

from bot.domain.identity import Person
from bot.domain.members import Members
from bot.ports.teams import RosterUnavailable
from bot.teams.people.roster_cache import ATTEMPTS, Roster, RosterCache
from bot.teams.wire.errors import ConnectorThrottled
from tests.fakes.clock import ManualClock

HANAKO = Person("hanako", "tenant")
CHANNEL = "19:approvers@thread.tacv2"


class Reads:
    """Counts reads of the roster. During the first `overtaken` reads, a membership event arrives."""

    def __init__(self, *, overtaken: int = 0) -> None:
        self.count, self.overtaken = 0, overtaken
        self.cached = RosterCache(self._read, clock=ManualClock(), conversation=CHANNEL)

    async def _read(self) -> Roster:
        self.count += 1
        await asyncio.sleep(0)
        if self.count <= self.overtaken:
            self.cached.invalidate()
        return Roster(Members([HANAKO]))


async def test_a_roster_is_read_again_if_a_membership_event_arrives_during_the_read() -> None:
    """The result of the first read may be older than the event."""
    reads = Reads(overtaken=1)

    assert list((await reads.cached.get(patience=5)).people) == [HANAKO]
    assert reads.count == 2


async def test_a_read_of_a_roster_with_endless_membership_events_times_out() -> None:
    """After ATTEMPTS reads, the caller gets TimeoutError. The next caller starts a new read."""
    reads = Reads(overtaken=ATTEMPTS)
    with pytest.raises(TimeoutError):
        await reads.cached.get(patience=5)
    assert reads.count == ATTEMPTS

    assert await reads.cached.get(patience=5)


async def test_a_single_member_is_added_to_a_roster_that_was_read() -> None:
    """Before the whole roster was read, the member is not added."""
    reads, mei = Reads(), Person("mei", "tenant")
    reads.cached.add(mei, generation=reads.cached.generation)
    assert mei not in (await reads.cached.get(patience=5)).people

    reads.cached.add(mei, generation=reads.cached.generation)
    assert set((await reads.cached.get(patience=5)).people) == {HANAKO, mei}
    assert reads.count == 1


async def test_a_member_from_before_the_last_read_or_event_is_not_added_to_the_roster() -> None:
    """A response from before the last read, or from before the last event, is ignored."""
    reads, mei = Reads(), Person("mei", "tenant")
    before_the_read = reads.cached.generation
    await reads.cached.get(patience=5)
    before_the_event = reads.cached.generation
    reads.cached.add(mei, generation=before_the_read)
    assert mei not in (await reads.cached.get(patience=5)).people

    reads.cached.invalidate()
    await reads.cached.get(patience=5)
    reads.cached.add(mei, generation=before_the_event)
    assert mei not in (await reads.cached.get(patience=5)).people


async def test_throttled_roster_is_read_within_a_minute_after_the_clock_was_set_back() -> None:
    """Teams throttles for a second, then the clock is set back by an hour. A minute later the roster is read."""
    clock, asked = ManualClock(), []

    async def read() -> Roster:
        asked.append(clock.now())
        if len(asked) == 1:
            raise ConnectorThrottled(1.0)
        return Roster(Members())

    cached = RosterCache(read, clock=clock, conversation=CHANNEL)
    with pytest.raises(RosterUnavailable):
        await cached.get(patience=1)
    clock.set_to(clock.now() - timedelta(hours=1))
    await clock.advance(60)
    assert list((await cached.get(patience=1)).people) == []


async def test_a_cached_roster_is_read_again_after_the_clock_was_set_back() -> None:
    """A roster that was read before the change of the clock is read again."""
    clock, asked = ManualClock(), []

    async def read() -> Roster:
        asked.append(clock.now())
        return Roster(Members())

    cached = RosterCache(read, clock=clock, conversation=CHANNEL)
    await cached.get(patience=1)
    clock.set_to(clock.now() - timedelta(hours=1))
    await clock.advance(600)
    await cached.get(patience=1)
    assert len(asked) == 2


async def test_a_roster_is_used_if_the_clock_is_set_back_during_its_read() -> None:
    """By the clock, the read ends before it began. The caller still gets the roster."""
    clock = ManualClock()

    async def read() -> Roster:
        clock.set_to(clock.now() - timedelta(seconds=1))
        return Roster(Members())

    cached = RosterCache(read, clock=clock, conversation=CHANNEL)
    assert list((await cached.get(patience=1)).people) == []
