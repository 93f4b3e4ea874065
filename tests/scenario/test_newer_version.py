"""Rows with values that only a newer version of the program can read: this version does not act on such values."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.shown.views import NoticeCode
from bot.store.rows import RECORD, decode, encode
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.world import World, code_of


async def written_by_newer_version(world: World, key: RequestKey, change: Callable[[Any], None]) -> None:
    """Change the JSON of the stored row, as a newer version may write it."""

    def written(row: Record) -> Record:
        stored = json.loads(encode(RECORD, row))
        change(stored)
        return decode(RECORD, json.dumps(stored), where="row")

    await world.rows.apply(key, written)


def _queued(row: Any) -> None:
    """Give the last decision a state that this version does not know."""
    row["decisions"][-1]["state"] = "queued"


async def test_click_claims_no_decision_while_the_row_has_an_unreadable_one(world: World) -> None:
    """The newer version may still send its decision, so this version answers "busy" and sends no signal."""
    key = await world.posted()
    world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        await written_by_newer_version(world, key, _queued)
        world.aws.gates.pop("execution").set()
        second = asyncio.create_task(world.press(key, ICHIRO))
        await world.clock.advance(5)
        answer, _ = await second, await first
    assert code_of(answer) is NoticeCode.BUSY
    assert world.aws.count("signal") == 0


async def test_claimed_decision_is_not_sent_while_the_row_has_an_unreadable_one(world: World) -> None:
    """The newer version stores its decision after this version's claim, so this version sends no signal."""
    key = await world.posted(required=2)
    world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()

        def add(row: Any) -> None:
            row["decisions"].append({**row["decisions"][-1], "id": "newer", "state": "queued"})

        await written_by_newer_version(world, key, add)
        world.aws.gates.pop("execution").set()
        await world.clock.advance(90)
        await click
    assert world.aws.count("signal") == 0


async def test_card_in_an_unreadable_state_is_not_posted_again(world: World) -> None:
    """The card has a state that this version cannot read. The card is not posted again, and its state stays stored."""
    key = await world.posted()
    posted = len(world.chat.of("post"))

    def pin(row: Any) -> None:
        next(each for each in row["surfaces"] if each["kind"] == "card")["delivery"] = "pinned"

    await written_by_newer_version(world, key, pin)
    await world.shown(key)
    assert len(world.chat.of("post")) == posted
    row = json.loads(encode(RECORD, await world.row(key)))
    assert [each["delivery"] for each in row["surfaces"] if each["kind"] == "card"] == ["pinned"]
