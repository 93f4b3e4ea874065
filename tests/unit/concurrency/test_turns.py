"""Tests for bot.concurrency.turns: long work lets other tasks run."""

from bot.concurrency.turns import in_turns
from tests.fakes.clock import turns_during


async def test_other_tasks_run_after_every_500_items_of_long_work() -> None:
    """All items come in their order, and another task gets a turn after every 500 of them."""
    found: list[int] = []

    async def collect() -> None:
        found.extend([number async for number in in_turns(range(2501))])

    assert await turns_during(collect()) == 5
    assert found == list(range(2501))
