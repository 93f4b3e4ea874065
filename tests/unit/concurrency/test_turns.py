"""Tests for bot.concurrency.turns: long work lets other tasks run."""

import asyncio

from bot.concurrency.turns import in_turns


async def test_other_tasks_run_after_every_part_of_long_work() -> None:
    """All items come in their order, and another task gets a turn after every 500 of them."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    found = [number async for number in in_turns(range(2501))]
    other.cancel()
    assert found == list(range(2501))
    assert turns == 5
