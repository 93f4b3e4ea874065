"""Waits for one thing or a pause, whichever comes first."""

import asyncio
from collections.abc import Awaitable


async def first_of(awaited: Awaitable[object], pause: Awaitable[object]) -> bool:
    """Return True if `awaited` finished before `pause`; cancel the other one.

    Pass `asyncio.shield(task)` for work that must go on after the pause. An error of `awaited` is not raised here.
    """
    wanted, other = asyncio.ensure_future(awaited), asyncio.ensure_future(pause)
    try:
        done, _ = await asyncio.wait({wanted, other}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        wanted.cancel()
        other.cancel()
    return wanted in done
