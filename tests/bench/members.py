"""Figure 9: cards in a channel of many members with Japanese names. Each reason mentions one of them.

The roster is read before. The same is measured with few members, because other work on the machine slows down both. Most
of a card's CPU is that of every card (row 5); row 9 counts what its loop needs for the members, above that.
"""

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests.bench.served import Servers, until
from tests.bench.table import Values
from tests.fakes.people import PEOPLE, TARO, Person
from tests.fakes.product import Product, product

MEMBERS, FEW = 10_000, 10
CARDS = 15
REASON = "障害の調査です。@member.7@example.com さん、確認をお願いします"
FAMILY = ("佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤")
GIVEN = ("花子", "太郎", "美咲", "翔太", "さくら", "健一", "陽子", "大輔", "明美", "直樹")


def people(number: int) -> list[Person]:
    """Return this many members with Japanese names, no two alike."""
    return [
        Person(
            id=f"29:1-member-{each}",
            name=f"{FAMILY[each % 10]} {GIVEN[each // 10 % 10]}（第{each}課）",
            object_id=f"aaaaaaaa-0000-4000-9000-{each:012d}",
            upn=f"member.{each}@example.com",
            email=f"member.{each}@example.com",
        )
        for each in range(number)
    ]


async def measure(core: int | None) -> Values:
    """Return the CPU of a card, and that of its event loop, with many members and with few."""
    few, few_on_loop = await _card(FEW, core)
    many, many_on_loop = await _card(MEMBERS, core)
    return {
        "members_ms": many,
        "members_loop_ms": many_on_loop,
        "members_above_ms": max(0.0, many_on_loop - few_on_loop),  # below zero: noise
        "members_to_few": many / few,
    }


async def _card(members: int, core: int | None) -> tuple[float, float]:
    """Return the milliseconds of CPU of a card, of the whole process and of its event loop."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with product(patch, folder, people=[*PEOPLE, *people(members)]) as world, Servers(core) as servers:
            served, bot = await servers.serve(world, folder)
            await bot.wait_for_event("sweep_done")
            await _cards(world, 1)
            await asyncio.sleep(2)
            before, on_loop = served.cpu(), served.loop_cpu()
            await _cards(world, CARDS)
            await asyncio.sleep(1)  # the last write follows the last message
            return 1000 * (served.cpu() - before) / CARDS, 1000 * (served.loop_cpu() - on_loop) / CARDS


async def _cards(world: Product, number: int) -> None:
    """Request access this many times, and wait for all cards and messages to the requester."""
    messages = len(world.direct_messages(TARO))
    asked = [
        await asyncio.to_thread(world.aws.control.request_access, node="web-prod-01", reason=REASON)
        for _ in range(number)
    ]
    await until(lambda: all(map(world.cards, asked)), seconds=120)
    await until(lambda: len(world.direct_messages(TARO)) >= messages + number, seconds=60)
