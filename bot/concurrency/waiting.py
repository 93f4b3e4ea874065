"""Waits for work, but not longer than a pause."""

import asyncio
from collections.abc import Awaitable


async def first_of(awaited: Awaitable[object], pause: Awaitable[object]) -> bool:
    """Wait until `awaited` or `pause` ends, then cancel both. Return True if `awaited` has ended.

    Pass `asyncio.shield(task)` for work that must continue after the pause. An error of `awaited` is not raised here.
    """
    wanted, other = asyncio.ensure_future(awaited), asyncio.ensure_future(pause)
    try:
        done, _ = await asyncio.wait({wanted, other}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        wanted.cancel()
        other.cancel()
    return wanted in done
