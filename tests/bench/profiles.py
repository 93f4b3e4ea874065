"""Leaves a profile of the real process for the invoke, the event path and the sweep, and prints the largest costs.

    python -m tests.bench.profiles [invoke] [event] [sweep]

The files are in `.sandbox/profile`; open them with `python -m pstats`. They have the work alone, in CPU time, without
the start of the process. cProfile slows small functions down more than large ones, and sees the event loop's thread
only: the store's thread is missing.
"""

import asyncio
import pstats
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.bench import cards
from tests.bench.served import Served, until
from tests.bench.sweep import fill, sweeps
from tests.fakes.people import PEOPLE, TARO
from tests.fakes.processes import BotProcess, environment
from tests.fakes.product import Product, product
from tests.fakes.teams_world import Message

FOLDER: Final = Path(".sandbox/profile").absolute()
INVOKES, WARM_UP, POSTED, REQUESTS, SHOWN = 500, 20, 40, 1000, 35
MESSAGE_WITHIN, WRITTEN_WITHIN = 60.0, 10.0  # seconds
Work = Callable[[], Awaitable[object]]
Prepared = Callable[[Product, BotProcess], Awaitable[Work]]


async def invoke(world: Product, bot: BotProcess) -> Work:
    """Click on Refresh, several people in turn, because only some clicks of each are recorded one by one."""
    card = await _first_card(world)
    activities = [world.microsoft.pressed(each, card, "refresh") for each in PEOPLE]

    async def work() -> None:
        for number in range(INVOKES):
            await world.microsoft.send(bot.url, activities[number % len(activities)])

    return work


async def event(world: Product, bot: BotProcess) -> Work:
    """Post cards and messages of new requests. The first ones fill caches."""
    served = Served(bot.process.pid, bot.url)
    await cards.posted(world, served, WARM_UP)
    return partial(cards.posted, world, served, POSTED)


async def sweep(world: Product, bot: BotProcess) -> Work:
    """Sweep over open requests. The start of the process made the first sweep, over an empty store."""
    await _first_card(world)
    await asyncio.sleep(1)
    await fill(world, REQUESTS)

    async def work() -> None:
        await sweeps(bot, len(bot.events("sweep_done")) + 2)

    return work


async def _first_card(world: Product) -> Message:
    card = await world.card(await world.ask())
    await until(lambda: bool(world.direct_messages(TARO)), seconds=MESSAGE_WITHIN)
    return card


WORK: Final[dict[str, Prepared]] = {"invoke": invoke, "event": event, "sweep": sweep}


async def profile(name: str) -> None:
    """Run one kind of work in a `serve` process under cProfile."""
    file = FOLDER / f"{name}.prof"
    file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        async with product(patch, Path(folder)) as world:
            environ = {**environment(world, Path(folder)), "NODE_ACCESS_SWEEP_SECONDS": "20"}
            bot = await BotProcess.start(environ, "tests.bench.profiled", str(file))
            try:
                await bot.wait_for_event("sweep_done")
                work = await WORK[name](world, bot)
                bot.process.send_signal(signal.SIGUSR1)
                await work()
                bot.process.send_signal(signal.SIGUSR2)
                await until(file.exists, seconds=WRITTEN_WITHIN)
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
