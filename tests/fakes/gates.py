"""Every call of a port goes through a gate: there a proof looks on, lets time pass, pauses a process or ends it.

The calls are found by wrapping what stands behind the port, not by a list, so a new one cannot be forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

Call = Callable[..., Awaitable[Any]]


class Gate(Protocol):
    """What happens around a call; `call` is `Store.apply` and the like."""

    async def before(self, call: str) -> None:
        """Be passed before the call can have an effect."""

    async def after(self, call: str) -> None:
        """Be passed once it had its effect, whether it returned or raised."""


def calls_of(*ports: type) -> set[str]:
    """Return the names of every call of these ports, as a gate is told them."""
    return {f"{port.__name__}.{name}" for port in ports for name in vars(port) if not name.startswith("_")}


class Gated:
    """A port behind a gate."""

    def __init__(self, port: object, name: str, gate: Gate) -> None:
        self._port, self._name, self._gate = port, name, gate

    def __getattr__(self, method: str) -> Call:
        """Return the call, with the gate around it."""
        inner: Call = getattr(self._port, method)
        call, gate = f"{self._name}.{method}", self._gate

        async def gated(*arguments: Any, **named: Any) -> Any:
            await gate.before(call)
            try:
                result = await inner(*arguments, **named)
            except Exception:
                await gate.after(call)
                raise
            await gate.after(call)
            return result

        return gated


class Grave:
    """Where calls of processes that are gone end: they never come back, until the test is over."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []  # the loop itself keeps no task that waits for nothing

    async def park(self) -> None:
        """Never return."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


async def end_everything() -> None:
    """Cancel every other task of this loop until none is left; those that clean up are cancelled there too."""
    this = asyncio.current_task()
    while others := [task for task in asyncio.all_tasks() if task is not this]:
        for task in others:
            task.cancel()
        await asyncio.sleep(0)
