"""Fixtures: a clock, FakeMicrosoft, and the Teams side of the bot running against it on loopback."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.edge import Edge, Ticker, running_edge
from tests.fakes.microsoft import FakeMicrosoft


@pytest.fixture
def clock() -> Ticker:
    """Return a clock that the test moves."""
    return Ticker(1_795_000_000.0)


@pytest.fixture
async def ms(clock: Ticker) -> AsyncIterator[FakeMicrosoft]:
    """Microsoft's services, with this clock."""
    async with FakeMicrosoft(now=clock.epoch) as fake:
        yield fake


@pytest.fixture
async def edge(ms: FakeMicrosoft, clock: Ticker) -> AsyncIterator[Edge]:
    """The Teams side of the bot, connected to these services."""
    async with running_edge(ms, clock=clock) as running:
        yield running
