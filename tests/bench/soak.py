"""An hour with 10,000 open requests: the memory of the real process, sampled once a minute.

`python -m tests.bench --parts soak` runs this.

The process sweeps once a minute over all open requests. Meanwhile, people make new requests and approve them, one every
ten seconds. The first ten minutes fill caches and are left out. Fails if the memory grows by more than 5 % afterwards.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from statistics import linear_regression, mean

import pytest

from tests.bench.served import Served, Servers, leave_the_core, measured_core
from tests.bench.sweep import fill, first_card
from tests.fakes.people import HANAKO
from tests.fakes.processes import BotProcess
from tests.fakes.product import Product, product

RESULT = Path(".sandbox/soak.json")
MINUTES, REQUESTS = 60.0, 10_000
SWEEP, SAMPLE, WARM_UP = 60, 60.0, 600.0  # seconds
LIFE = 10.0  # seconds for each request: four messages into the channel, which may get 1,800 an hour
GROWTH = 0.05  # allowed share of growth after the warm-up


async def soak(seconds: float, requests: int) -> list[tuple[float, float]]:
    """Return samples: seconds since the start, and MiB."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with product(patch, folder) as world:
            await first_card(world, folder, measured_core())
            await fill(world, requests)
            async with Servers(measured_core()) as servers:
                served, bot = await servers.serve(world, folder, NODE_ACCESS_SWEEP_SECONDS=str(SWEEP))
                return await _lived(world, served, bot, seconds)


async def _lived(world: Product, served: Served, bot: BotProcess, seconds: float) -> list[tuple[float, float]]:
    """Let people request and approve for this time. Print each sample."""
    began, samples, lives = time.monotonic(), list[tuple[float, float]](), 0
    while (passed := time.monotonic() - began) < seconds:
        if passed >= SAMPLE * len(samples):
            samples.append((passed, served.resident()))
            sweeps = len(bot.events("sweep_done"))
            print(f"{passed / 60:5.1f} min  {samples[-1][1]:7.2f} MiB  {sweeps} sweeps  {lives} decisions", flush=True)
        card = await world.card(await world.ask())
        await world.click(HANAKO, card, "approve")
        lives += 1
        assert world.signals() == lives, "a decision was not sent"
        await asyncio.sleep(max(0.0, LIFE - (time.monotonic() - began - passed)))
    samples.append((time.monotonic() - began, served.resident()))
    return samples


def growth(samples: list[tuple[float, float]]) -> float:
    """Return the growth after the warm-up as a share, from the line through the samples."""
    kept = [each for each in samples if each[0] >= WARM_UP] or samples
    line = linear_regression([at for at, _ in kept], [mib for _, mib in kept])
    return line.slope * (kept[-1][0] - kept[0][0]) / mean(mib for _, mib in kept)


def main() -> int:
    """Run for MINUTES, print the growth, and write the samples. Return 1 if it is above GROWTH, else 0."""
    leave_the_core()
    samples = asyncio.run(soak(60 * MINUTES, REQUESTS))
    grown = growth(samples)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"growth": grown, "samples": samples}, indent=2) + "\n", "utf-8")
    print(f"growth after the first {WARM_UP / 60:.0f} minutes: {grown:.2%}")
    return 0 if grown <= GROWTH else 1
