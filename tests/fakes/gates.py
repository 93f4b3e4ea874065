"""Puts a gate around every call of a port, so that a test can observe, delay or stop the call.

The port's object is wrapped, so that a new method gets a gate without a change here.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol

Call = Callable[..., Awaitable[Any]]


class Gate(Protocol):
    """Code that runs before and after a call. `call` is a name like `Store.apply`."""

    async def before(self, call: str) -> None:
        """Runs before the call can have an effect."""

    async def after(self, call: str) -> None:
        """Runs after the effect, whether the call returned or raised. It does not run after a cancelled call."""


def calls_of(*ports: type) -> set[str]:
    """Return the names of every call of these ports, as `Gate` gets them.

    A method that is not asynchronous is no call: it only returns what the process knows.
    """
    return {
        f"{port.__name__}.{name}"
        for port in ports
        for name, value in vars(port).items()
        if inspect.iscoroutinefunction(value) and not name.startswith("_")
    }


class Gated:
    """A port with a gate around every call."""

    def __init__(self, port: object, name: str, gate: Gate) -> None:
        self._port, self._name, self._gate = port, name, gate

    def __getattr__(self, method: str) -> Any:
        """Return the call with the gate around it, or around each page of an iterator; no gate for anything else."""
        inner: Any = getattr(self._port, method)
        call, gate = f"{self._name}.{method}", self._gate
        if not (inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)):
            return inner

        async def gated_pages(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            pages = inner(*arguments, **named)
            while True:
                try:
                    yield await gated_call(anext, pages)
                except StopAsyncIteration:
                    return

        async def gated_call(inner: Call, *arguments: Any, **named: Any) -> Any:
            await gate.before(call)
            try:
                result = await inner(*arguments, **named)
            except Exception:  # any error of the port, but not a cancelled call, whose process has ended
                await gate.after(call)
                raise
            await gate.after(call)
            return result

        return gated_pages if inspect.isasyncgenfunction(inner) else partial(gated_call, inner)


class AbandonedCalls:
    """Calls of killed processes. They do not return before the test ends."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []  # kept here, because the loop holds its tasks only weakly

    async def park(self) -> None:
        """Wait until cancelled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


async def end_everything() -> None:
    """Cancel all other tasks of this loop, and the tasks that they start while they clean up."""
    this = asyncio.current_task()
    while others := [task for task in asyncio.all_tasks() if task is not this]:
        for task in others:
            task.cancel()
        await asyncio.sleep(0)
