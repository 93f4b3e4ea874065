"""Teams with many channels in memory, behind the product's directory: when each roster is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from bot.service.checks.outcomes import Outcomes
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.directory import Directory
from bot.teams.wire.people import MembersPage, read_page
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock
from tests.fakes.people import HANAKO, TENANT_ID
from tests.fakes.store import MemoryStore


def channel(number: int) -> str:
    """Return the conversation of a channel."""
    return f"19:channel-{number}@thread.tacv2"


class ManyChannels(Connector):
    """Teams with many channels of one member each. Keeps the time of each page. Its answers take no turn."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.read = clock, list[float]()

    async def get_paged_members(
        self, service_url: str, *, conversation: str, continuation: str | None = None
    ) -> MembersPage:
        """Return the only page of a channel."""
        self.read.append(self.clock.epoch())
        return read_page({"members": [HANAKO.as_member()]})

    @asynccontextmanager
    async def directory(self, channels: int) -> AsyncIterator[Directory]:
        """Yield a directory of this many channels, of which nothing is read."""
        store, hosts = MemoryStore(), ServiceHosts(("127.0.0.1",))
        clock, names = self.clock, [channel(number) for number in range(channels)]
        directory = Directory(
            self,
            store=store,
            service_urls=ServiceUrls(
                store, default="http://127.0.0.1:9/", hosts=hosts, outcomes=Outcomes(clock), clock=clock
            ),
            clock=clock,
            tenant_id=TENANT_ID,
            channels=lambda: names,
            telemetry=Telemetry(CollectorRegistry()),
        )
        async with directory:
            yield directory

    def most_in_a_second(self) -> int:
        """Return how many pages were read at most in any second."""
        return max(sum(0 <= other - at <= 1 for other in self.read) for at in self.read)
