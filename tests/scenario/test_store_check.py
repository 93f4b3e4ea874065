"""The check of the store: a missing or damaged store is in the log, in the readiness problems and in a metric."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.ports.store import StoreDamaged
from bot.sandbox.sandbox import free_port
from bot.service.store_check import CHECK, StoreCheck
from tests.fakes.people import HANAKO
from tests.fakes.product import Product, product
from tests.fakes.store import MemoryStore
from tests.fakes.world import World


class Breakable(MemoryStore):
    """A store whose check raises `problem`, if one is set."""

    problem = ""

    async def check(self) -> None:
        """Raise the problem."""
        if self.problem:
            raise StoreDamaged(self.problem)


EVENTS = ("store_created", "problem_began", "problem_ended")
PERIOD = 60.0


async def test_each_new_problem_of_the_store_and_the_end_of_the_last_one_are_logged_once(world: World) -> None:
    """A check that finds the same problem again logs nothing. The readiness problems have it until a check succeeds."""
    store = Breakable()
    health = world.telemetry.health
    checking = StoreCheck(store=store, clock=world.clock, telemetry=world.telemetry, period=PERIOD)
    with capture_logs() as logs:
        running = asyncio.create_task(checking.run())
        await world.clock.advance(PERIOD)
        assert CHECK not in health.problems()
        for store.problem in ("the file was deleted", "the file was replaced", ""):
            for _ in range(3):
                await world.clock.advance(PERIOD)
                assert health.problems().get(CHECK, "") == store.problem
        running.cancel()
    assert [(each["event"], each.get("code")) for each in logs if each["event"] in EVENTS] == [
        ("problem_began", "the file was deleted"),
        ("problem_began", "the file was replaced"),
        ("problem_ended", None),
    ]


async def test_newly_created_store_is_logged_once_at_the_start(world: World) -> None:
    """The data of an earlier store may be gone. Later checks do not log it again."""
    store = Breakable()
    store.created = True
    checking = StoreCheck(store=store, clock=world.clock, telemetry=world.telemetry, period=PERIOD)
    with capture_logs() as logs:
        running = asyncio.create_task(checking.run())
        await world.clock.advance(3 * PERIOD)
        running.cancel()
    assert [each["event"] for each in logs if each["event"] in EVENTS] == ["store_created"]


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """The whole program, not started."""
    async with product(monkeypatch, tmp_path) as running:
        yield running


async def test_deletion_of_the_sqlite_file_stops_decisions_and_is_a_readiness_problem(running: Product) -> None:
    """After the next check, a click sends no signal, and the log and the metrics port's /readyz report the problem."""
    running.changed = {"metrics_port": free_port()}
    with capture_logs() as logs:
        async with running.running() as program, aiohttp.ClientSession() as http:
            card = await running.card(await running.ask())
            running.store.unlink()
            await program.services.store_check.check()
            answer = await running.click(HANAKO, card, "approve")
            async with http.get(f"http://127.0.0.1:{program.sockets[1].port}/readyz") as ready:
                body = await ready.json()
    assert running.signals() == 0
    assert "nothing was sent" in str(answer)
    assert "was deleted or moved" in body["problems"]["store"]
    assert len([each for each in logs if each.get("check") == CHECK]) == 1
