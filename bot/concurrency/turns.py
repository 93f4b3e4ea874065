"""Gives the event loop turns during long work."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

AT_ONCE: Final = 500  # items; a few microseconds each, so that a turn comes every few milliseconds
T = TypeVar("T")


async def in_turns(items: Iterable[T], *, at_once: int = AT_ONCE) -> AsyncIterator[T]:
    """Yield the items, and let other tasks run after every `at_once` of them. The work for each item must be short."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % at_once == 0:
            await asyncio.sleep(0)
