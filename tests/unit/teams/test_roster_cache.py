"""One roster at a time: shared, aged, and never trusted past an event."""

import asyncio
from datetime import timedelta

import pytest

from bot.domain.identity import Person
from bot.ports.teams import RosterUnavailable
from bot.teams.people.roster_cache import ATTEMPTS, Roster, RosterCache
from bot.teams.wire.errors import ConnectorThrottled
from tests.fakes.clock import ManualClock

HANAKO = Person("hanako", "tenant")
CHANNEL = "19:approvers@thread.tacv2"


class Reads:
    """Counts reads; each may be overtaken by a membership event."""

    def __init__(self, *, overtaken: int = 0) -> None:
        self.count, self.overtaken = 0, overtaken
        self.cached = RosterCache(self._read, clock=ManualClock(), conversation=CHANNEL)

    async def _read(self) -> Roster:
        self.count += 1
        await asyncio.sleep(0)
        if self.count <= self.overtaken:
            self.cached.invalidate()
        return {HANAKO.object_id: HANAKO}


async def test_a_read_that_an_event_overtook_is_done_again() -> None:
    """What it found may be from before the event."""
    reads = Reads(overtaken=1)

    assert await reads.cached.get(patience=5) == {HANAKO.object_id: HANAKO}
    assert reads.count == 2


async def test_events_without_end_do_not_keep_it_reading() -> None:
    """It gives up after a few, as if it were too slow; the next who asks tries again."""
    reads = Reads(overtaken=ATTEMPTS)
    with pytest.raises(TimeoutError):
        await reads.cached.get(patience=5)
    assert reads.count == ATTEMPTS

    assert await reads.cached.get(patience=5)


async def test_somebody_found_by_name_joins_the_roster() -> None:
    """Where there is one; a single member makes no roster."""
    reads, mei = Reads(), Person("mei", "tenant")
    reads.cached.add(mei, generation=reads.cached.generation)
    assert mei.object_id not in await reads.cached.get(patience=5)

    reads.cached.add(mei, generation=reads.cached.generation)
    assert set(await reads.cached.get(patience=5)) == {HANAKO.object_id, mei.object_id}
    assert reads.count == 1


async def test_an_answer_that_is_older_than_the_roster_does_not_join_it() -> None:
    """Neither one of before the read, nor one of before an event."""
    reads, mei = Reads(), Person("mei", "tenant")
    before_the_read = reads.cached.generation
    await reads.cached.get(patience=5)
    before_the_event = reads.cached.generation
    reads.cached.add(mei, generation=before_the_read)
    assert mei.object_id not in await reads.cached.get(patience=5)

    reads.cached.invalidate()
    await reads.cached.get(patience=5)
    reads.cached.add(mei, generation=before_the_event)
    assert mei.object_id not in await reads.cached.get(patience=5)


async def test_a_clock_that_was_set_back_keeps_no_roster_away() -> None:
    """Teams asked for a second's patience, then the clock was set back by an hour: a minute later it is asked again."""
    clock, asked = ManualClock(), []

    async def read() -> Roster:
        asked.append(clock.now())
        if len(asked) == 1:
            raise ConnectorThrottled(1.0)
        return {}

    cached = RosterCache(read, clock=clock, conversation="19:approvers@thread.tacv2")
    with pytest.raises(RosterUnavailable):
        await cached.get(patience=1)
    clock.set_to(clock.now() - timedelta(hours=1))
    await clock.advance(60)
    assert await cached.get(patience=1) == {}


async def test_a_clock_that_was_set_back_makes_no_roster_last() -> None:
    """A roster that was read before the clock was set back by an hour is not believed for an hour."""
    clock, asked = ManualClock(), []

    async def read() -> Roster:
        asked.append(clock.now())
        return {}

    cached = RosterCache(read, clock=clock, conversation="19:approvers@thread.tacv2")
    await cached.get(patience=1)
    clock.set_to(clock.now() - timedelta(hours=1))
    await clock.advance(600)
    await cached.get(patience=1)
    assert len(asked) == 2


async def test_a_clock_that_is_set_back_during_the_read() -> None:
    """What was read is believed."""
    clock = ManualClock()

    async def read() -> Roster:
        clock.set_to(clock.now() - timedelta(seconds=1))
        return {}

    cached = RosterCache(read, clock=clock, conversation="19:approvers@thread.tacv2")
    assert await cached.get(patience=1) == {}
