"""Processes that are measured from outside: CPU time and memory from /proc, each on one core if the machine allows it.

Linux only. `core` is the core of all measured processes; fakes and load generator run in the benchmark's own process.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fakes.processes import BotProcess, environment
from tests.fakes.product import Product

MIB = 1024 * 1024
STARTS_WITHIN = 60.0  # seconds


@cache
def measured_core() -> int | None:
    """Return the core of the measured processes, the last one; None if this machine has only one.

    The first answer stays: after `leave_the_core`, this process no longer has that core.
    """
    cores = sorted(os.sched_getaffinity(0))
    return cores[-1] if len(cores) > 1 else None


def leave_the_core() -> bool:
    """Keep this process off the measured core. Return False if the machine does not allow it."""
    core = measured_core()
    if core is None:
        return False
    with suppress(OSError):
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {core})
        return True
    return False


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its process, and its base address."""

    pid: int
    url: str

    def cpu(self) -> float:
        """Return the CPU seconds of all its threads so far, in nanoseconds' resolution.

        A thread that ended no longer counts: read it twice around work that ends no thread.
        """
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text("ascii").split()[0]) for each in threads) / 1e9

    def loop_cpu(self) -> float:
        """Return the CPU seconds of its main thread so far, which runs the event loop."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text("ascii").split()[0]) / 1e9

    def resident(self) -> float:
        """Return its resident memory in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB


class Servers(AsyncExitStack):
    """Starts measured processes on `core`, and ends them at the end of the context."""

    def __init__(self, core: int | None) -> None:
        super().__init__()
        self._core = core

    async def serve(
        self, world: Product, folder: Path, *, module: str = "", **changed: str
    ) -> tuple[Served, BotProcess]:
        """Start the real `serve` in this world, with changed environment variables, and wait until it serves.

        `module` is a module that runs it in another way.
        """
        bot = await BotProcess.start({**environment(world, folder), **changed}, *([module] if module else []))
        self.push_async_callback(bot.aclose)
        self._pin(bot.process.pid)
        await bot.wait_for_event("bot_started")
        world.bot_url = bot.url
        return Served(bot.process.pid, bot.url), bot

    async def anchor(self, *words: str) -> Served:
        """Start `python -m tests.bench.anchors` with these arguments, and wait until it serves."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.anchors",
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.push_async_callback(_ended, process)
        self._pin(process.pid)
        assert process.stdout is not None
        async with asyncio.timeout(STARTS_WITHIN):
            port = await process.stdout.readline()
        return Served(process.pid, f"http://127.0.0.1:{int(port)}")

    def _pin(self, pid: int) -> None:
        if self._core is not None:
            with suppress(OSError):
                os.sched_setaffinity(pid, {self._core})


async def _ended(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def until(condition: Callable[[], bool], *, seconds: float) -> None:
    """Poll until the condition holds. Raises TimeoutError. For what no call announces; it is not measured itself."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
