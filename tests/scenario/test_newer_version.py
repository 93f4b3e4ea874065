"""Tests for rows that a newer version of the program has written: this version never acts on what it does not know."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.shown.views import NoticeCode
from bot.store.rows import RECORD, decode, encode
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.world import World, code_of, new_world


@pytest.fixture
def world() -> World:
    return new_world()


async def written_by_newer_version(world: World, key: RequestKey, change: Callable[[Any], None]) -> None:
    """Change the stored row as a newer version does."""

    def written(row: Record) -> Record:
        stored = json.loads(encode(RECORD, row))
        change(stored)
        return decode(RECORD, json.dumps(stored), where="row")

    await world.rows.apply(key, written)


def _queued(row: Any) -> None:
    """Give the last decision a state that this version does not know."""
    row["decisions"][-1]["state"] = "queued"


async def test_no_decision_is_claimed_beside_one_that_is_not_recognized(world: World) -> None:
    """The newer version may still send its decision, so this version sends none and says that another one comes first."""
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


async def test_claimed_decision_is_not_sent_beside_one_that_is_not_recognized(world: World) -> None:
    """The newer version stored its decision after the claim: the signal does not leave, and the claim expires."""
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


async def test_surface_that_is_not_recognized_is_left_alone(world: World) -> None:
    """A card in a state that only the newer version knows is neither posted again nor updated."""
    key = await world.posted()
    posted = len(world.chat.of("post"))

    def pin(row: Any) -> None:
        next(each for each in row["surfaces"] if each["kind"] == "card")["delivery"] = "pinned"

    await written_by_newer_version(world, key, pin)
    await world.shown(key)
    assert len(world.chat.of("post")) == posted
    row = json.loads(encode(RECORD, await world.row(key)))
    assert [each["delivery"] for each in row["surfaces"] if each["kind"] == "card"] == ["pinned"]
