"""Measures how long the event loop stalls: while AWS hangs and two hundred people click, and with ten thousand rows.

The rows are requests, or members of a channel.

The first test prints the process's own metric (`node_access_loop_stall_seconds`). No duration has an upper limit,
because the machine is shared.
"""

import asyncio
import gc
import re
import time
from collections.abc import Awaitable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from bot.domain.request import RequestKey
from bot.domain.routing import LevelRule
from bot.ports.store import Store
from bot.sandbox.sandbox import free_port
from bot.service.clicks.click import Verb
from bot.service.incoming import IncomingMessage
from bot.store.sqlite.store import SqliteStore
from tests.fakes.chat import HANAKO, person
from tests.fakes.clock import START
from tests.fakes.people import PEOPLE, crowd
from tests.fakes.processes import Processes, environment
from tests.fakes.product import product
from tests.fakes.world import APPROVALS, World, new_world

CROWD = crowd(200)
ROWS = 10_000
STALL = "node_access_loop_stall_seconds"


async def stalls(port: int) -> dict[str, float]:
    """Return the histogram of stalls from the process's metrics.

    It has `count`, `sum`, and the number of stalls up to each bound.
    """
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    buckets = re.findall(rf'^{STALL}_bucket{{le="([^"]+)"}} (\S+)$', text, re.MULTILINE)
    totals = re.findall(rf"^{STALL}_(count|sum) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in [*buckets, *totals]}


async def test_clicks_are_answered_and_stalls_of_the_loop_are_measured_while_aws_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While GetAutomationExecution hangs, every click is answered with 200, and the loop still measures its stalls."""
    port = free_port()
    async with product(monkeypatch, tmp_path, people=[*PEOPLE, *CROWD]) as world, Processes() as processes:
        environ = {**environment(world, tmp_path), "NODE_ACCESS_METRICS_PORT": str(port)}
        bot = await processes.start(environ)
        world.bot_url = bot.url
        card = deepcopy(await world.card(await world.ask()))
        before = await stalls(port)
        with world.aws.faults.hold("GetAutomationExecution"):
            clicks = (world.microsoft.click(bot.url, person, card, "approve") for person in CROWD)
            statuses = {status for status, _ in await asyncio.gather(*clicks)}
            during = await stalls(port)
        measured = {name: during[name] - before[name] for name in during}
        print(f"\nloop stall during {len(CROWD)} clicks on a hanging AWS:")
        print(
            f"  {measured['count']:.0f} measurements, {1000 * measured['sum'] / max(1, measured['count']):.1f} ms on average"
        )
        print("  " + ", ".join(f"<= {le} s: {n:.0f}" for le, n in measured.items() if le not in {"count", "sum"}))
    assert statuses == {200}
    assert measured["count"] >= 1


async def test_refresh_is_answered_during_a_sweep_and_pending_with_ten_thousand_rows(tmp_path: Path) -> None:
    """A refresh is answered during a pause, a sweep and the command `pending`. The longest stall of each is printed."""
    memory = new_world()
    keys = await memory.posted_many(ROWS)
    async with SqliteStore(tmp_path / "rows.db") as store:
        for first in range(0, ROWS, 100):
            await asyncio.gather(*(_copied(memory.store, store, key) for key in keys[first : first + 100]))
        world = replace(memory, store=store)
        world.build()
        await world.sweep.sweep()  # the first one loads rows that no list has shown before
        pending = IncomingMessage("pending", person(77), "a:77", personal=True)
        print(f"\nlongest stall and slowest refresh with {ROWS} rows:")
        gc.freeze()  # the fakes hold all rows in memory, which the program does not
        for name, work in (
            ("nothing", asyncio.sleep(2)),
            ("sweep", world.sweep.sweep()),
            ("pending", world.commands.answer(pending)),
        ):
            stall, slowest, seconds = await _measured(world, keys[0], work)
            assert slowest > 0, f"no refresh was answered during: {name}"
            print(f"  {name}: {1000 * stall:.0f} ms, {1000 * slowest:.0f} ms ({seconds:.1f} s in total)")


async def test_refresh_is_answered_while_a_channel_of_ten_thousand_members_is_checked() -> None:
    """The round of checks has seven roles. The longest stall is printed."""
    world = new_world()
    key = await world.posted()
    rules = tuple(LevelRule(f"Level{n}", ("members",), f"arn:aws:iam::111122223333:role/Lead{n}") for n in range(5))
    channel = replace(APPROVALS, levels=rules)
    world.configuration.replace(replace(world.configuration.value, channels=(channel,)))
    world.people.people = [HANAKO, *(person(number) for number in range(ROWS))]
    stall, slowest, seconds = await _measured(world, key, world.checks.make())
    assert slowest > 0, "no refresh was answered during the checks"
    assert len(world.aws_probes.sessions) == 7
    print(f"\nlongest stall while a channel of {ROWS} members is checked, with seven roles:")
    print(f"  {1000 * stall:.0f} ms; slowest refresh {1000 * slowest:.0f} ms ({seconds:.2f} s in total)")


async def _copied(memory: Store, store: Store, key: RequestKey) -> None:
    row = await memory.load(key)
    assert row is not None
    await store.apply(key, lambda record: replace(row, version=record.version), now=START)


async def _measured(world: World, key: RequestKey, work: Awaitable[object]) -> tuple[float, float, float]:
    """Return the longest stall of the loop, the slowest answer to a refresh, and the time of the work in seconds.

    The second is 0 if no refresh was answered.
    """
    stall = slowest = 0.0

    async def watch() -> None:
        nonlocal stall
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.001)
            stall = max(stall, time.monotonic() - began - 0.001)

    async def click() -> None:
        nonlocal slowest
        while True:
            began = time.monotonic()
            await world.press(key, HANAKO, Verb.REFRESH)
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(watch()), asyncio.create_task(click())]
    began = time.monotonic()
    await work
    seconds = time.monotonic() - began
    for task in tasks:
        task.cancel()
    return stall, slowest, seconds
