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


async def ended_before(task: asyncio.Task[object], pause: Awaitable[object]) -> bool:
    """Wait until the task or the pause ends; return whether the task has ended. It continues after the pause.

    The caller takes the task's result. Costs a click half of what `first_of` with a shielded task does.
    """
    over = asyncio.get_running_loop().create_future()

    def end(_: asyncio.Future[object]) -> None:
        if not over.done():
            over.set_result(None)

    other = asyncio.ensure_future(pause)
    task.add_done_callback(end)
    other.add_done_callback(end)
    try:
        await over
    finally:
        task.remove_done_callback(end)
        other.cancel()
    return task.done()
