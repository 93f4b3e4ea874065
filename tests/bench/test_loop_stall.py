"""Measures how long the real process's event loop stalls while AWS hangs and two hundred people click.

Prints the process's own metric (`node_access_loop_stall_seconds`). Asserts no duration, because the machine is shared.
"""

import asyncio
import re
from copy import deepcopy
from pathlib import Path

import aiohttp
import pytest

from bot.sandbox.sandbox import free_port
from tests.fakes.people import PEOPLE, crowd
from tests.fakes.processes import Processes, environment
from tests.fakes.product import product

CROWD = crowd(200)
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


async def test_event_loop_keeps_running_while_aws_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Calls to AWS wait in their own threads, so the event loop still answers clicks and measures itself."""
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
