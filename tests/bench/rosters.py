"""Figure 9: how the first event of a bot of a hundred channels spreads its reads of rosters, on the injected clock."""

import asyncio

from tests.bench.table import Values
from tests.fakes.clock import ManualClock
from tests.fakes.many_channels import ManyChannels
from tests.fakes.people import HANAKO

CHANNELS = 100


async def measure() -> Values:
    """Return the most rosters that are read in a second, and the seconds until all are read."""
    teams = ManyChannels(ManualClock())
    async with teams.directory(CHANNELS) as people:
        knowing, began = asyncio.create_task(people.known(frozenset({HANAKO.upn}))), teams.clock.epoch()
        await teams.clock.advance(CHANNELS)
        assert (await knowing).complete
    assert len(teams.read) == CHANNELS
    return {"rosters_a_second": teams.most_in_a_second(), "rosters_s": max(teams.read) - began}
