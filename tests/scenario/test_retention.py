"""Retention: old rows are deleted once a day, in bounded rounds."""

import asyncio
from datetime import datetime

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.ports.store import StoreUnavailable
from bot.service.retention import MOST_ROUNDS, PERIOD, Retention
from bot.telemetry import Telemetry
from tests.fakes.store import MemoryStore
from tests.fakes.world import World


class ExpiringStore(MemoryStore):
    """A store that deletes at most a hundred of its expired rows per call. The test can make it unavailable."""

    def __init__(self, old: int) -> None:
        super().__init__()
        self.old, self.asked = old, 0

    async def forget_expired(self, now: datetime) -> int:
        """Delete up to a hundred rows."""
        self.asked += 1
        if self.broken:
            raise StoreUnavailable("away")
        dropped = min(self.old, 100)
        self.old -= dropped
        return dropped


async def test_expired_rows_are_deleted_at_the_start_and_looked_for_again_a_day_later(world: World) -> None:
    """The store deletes 100 rows in a call, so 1,050 expired rows need twelve calls. The next call follows a day later."""
    store, telemetry = ExpiringStore(old=1050), Telemetry(CollectorRegistry())
    running = asyncio.create_task(Retention(store=store, clock=world.clock, telemetry=telemetry).run())
    await world.clock.advance(1)
    assert (store.old, store.asked) == (0, 12)
    await world.clock.advance(PERIOD)
    assert store.asked == 13
    running.cancel()


async def test_retention_continues_after_a_store_outage(world: World) -> None:
    """The failure is logged and counted; the next attempt follows a day later."""
    registry = CollectorRegistry()
    store = ExpiringStore(old=10)
    store.broken = True
    retention = Retention(store=store, clock=world.clock, telemetry=Telemetry(registry))
    with capture_logs() as logs:
        running = asyncio.create_task(retention.run())
        await world.clock.advance(1)
    assert [each["event"] for each in logs] == ["rows_not_forgotten"]
    assert registry.get_sample_value("node_access_store_errors_total") == 1
    store.broken = False
    await world.clock.advance(PERIOD)
    assert store.old == 0
    running.cancel()


async def test_retention_stops_after_a_bounded_number_of_rounds(world: World) -> None:
    """A store that always reports further rows does not keep the process busy."""
    store = ExpiringStore(old=10**9)
    forgotten = await Retention(store=store, clock=world.clock, telemetry=Telemetry(CollectorRegistry())).forget()
    assert (store.asked, forgotten) == (MOST_ROUNDS, 100 * MOST_ROUNDS)
