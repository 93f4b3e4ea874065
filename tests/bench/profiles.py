"""Leaves a profile of the real process for the invoke, the event path and the sweep, and prints the largest costs.

    python -m tests.bench.profiles [invoke] [event] [sweep]

The files are in `.sandbox/profile`; open them with `python -m pstats`. cProfile slows small functions down more than
large ones, and sees the event loop's thread only: the store's thread is missing.
"""

import asyncio
import pstats
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from tests.bench import cards
from tests.bench.served import Served, until
from tests.bench.sweep import fill, sweeps
from tests.fakes.people import HANAKO, TARO
from tests.fakes.processes import BotProcess, environment
from tests.fakes.product import Product, product

FOLDER: Final = Path(".sandbox/profile").absolute()
INVOKES, REQUESTS, SHOWN = 500, 1000, 35
Work = Callable[[Product, BotProcess], Awaitable[None]]


async def invoke(world: Product, bot: BotProcess) -> None:
    """Click on Refresh."""
    card = await world.card(await world.ask())
    activity = world.microsoft.pressed(HANAKO, card, "refresh")
    for _ in range(INVOKES):
        await world.microsoft.send(bot.url, activity)


async def event(world: Product, bot: BotProcess) -> None:
    """Post cards and messages of new requests."""
    await cards.measure(world, Served(bot.process.pid, bot.url))


async def sweep(world: Product, bot: BotProcess) -> None:
    """Sweep over open requests. The start of the process made the first sweep, over an empty store."""
    await world.card(await world.ask())
    await until(lambda: bool(world.direct_messages(TARO)), seconds=30)
    await asyncio.sleep(1)
    await fill(world, REQUESTS)
    await sweeps(bot, len(bot.events("sweep_done")) + 2)


WORK: Final[dict[str, Work]] = {"invoke": invoke, "event": event, "sweep": sweep}


async def profile(name: str) -> None:
    """Run one kind of work in a `serve` process under cProfile."""
    file = FOLDER / f"{name}.prof"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        async with product(patch, Path(folder)) as world:
            environ = {**environment(world, Path(folder)), "NODE_ACCESS_SWEEP_SECONDS": "20"}
            bot = await BotProcess.start(environ, "cProfile", "-o", str(file), "-m", "bot", "serve")
            try:
                await bot.wait_for_event("sweep_done")
                await WORK[name](world, bot)
                bot.terminate()
                await bot.ended()
            finally:
                await bot.aclose()
    print(f"\n{name}: {file}", flush=True)
    pstats.Stats(str(file)).sort_stats("tottime").print_stats(SHOWN)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in sys.argv[1:] or WORK:
        asyncio.run(profile(each))
