"""Figure 5: events of new requests, until each has its card and the requester's message. Fifty channels, SQLite.

The process has limits that it never reaches (`unpaced.py`), because pauses between calls cost CPU as well. Each request
is compared with all channels, and its card goes to the fallback. CPU and writes are counted while requests come one by
one, and while all come at once, so that the process is busy.
"""

import asyncio
import json
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import pytest

from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.world import ACCOUNT
from tests.bench.long_queue import long_queue
from tests.bench.served import Served, Servers, until
from tests.bench.table import Values
from tests.fakes.people import TARO
from tests.fakes.product import TOML, Product, product

CHANNELS, WARM_UP, ONE_BY_ONE, REQUESTS = 50, 40, 5, 300
WITHIN = 120.0  # seconds


async def measure(core: int | None) -> Values:
    """Return CPU, durable writes of the row, and calls to AWS, of each request, and requests a second."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with product(patch, folder) as world, Servers(core) as servers:
            others = [f"19:service-{number}@thread.tacv2" for number in range(1, CHANNELS)]
            world.toml = TOML.replace('name = "approvals"', 'name = "approvals"\nfallback = true')
            world.toml += "".join(_channel(number, each) for number, each in enumerate(others, start=1))
            for each in others:
                world.microsoft.world.add_channel(each)
            served, bot = await servers.serve(world, folder, module="tests.bench.unpaced")
            await bot.wait_for_event("sweep_done")
            await posted(world, served, WARM_UP)
            one_by_one = [await posted(world, served, 1) for _ in range(ONE_BY_ONE)]
            with long_queue():
                together = await posted(world, served, REQUESTS)
            return {
                **together,
                "card_alone_ms": median(each["card_ms"] for each in one_by_one),
                "card_writes": mean(each["card_writes"] for each in one_by_one),
                "card_writes_together": together["card_writes"],
            }


async def posted(world: Product, served: Served, requests: int) -> Values:
    """Announce this many requests at once, and wait for their cards and messages. Return what each cost."""
    messages = len(world.direct_messages(TARO))
    world.aws.events.deliver(Delivery.HELD)
    asked = [await world.ask() for _ in range(requests)]
    await asyncio.sleep(1)
    aws, before, began = len(_calls(world)), served.cpu(), time.monotonic()
    await asyncio.to_thread(world.aws.events.release)
    await until(lambda: len(world.direct_messages(TARO)) >= messages + requests, seconds=WITHIN)
    took = time.monotonic() - began
    await asyncio.sleep(1)  # the last write follows the last message
    cpu, made = served.cpu() - before, len(_calls(world)) - aws
    return {
        "card_ms": 1000 * cpu / requests,
        "card_writes": _writes(world, asked),
        "card_aws": made / requests,
        "cards_per_s": requests / took,
    }


def _channel(number: int, conversation: str) -> str:
    """Return a channel of node-access.toml to which no sample request belongs."""
    return f"""
[[channels]]
name = "service-{number}"
conversation = "{conversation}"
match = {{ accounts = ["{ACCOUNT}"], tags = {{ Service = ["service-{number}"] }} }}
approvers = ["members"]
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessApprover"
"""


def _calls(world: Product) -> list[str]:
    """Return the operations that the bot called, without the queue's and those of the requester."""
    made = [each for each in world.aws.calls() if each.service != "sqs"]
    return [each.operation for each in made if each.operation != "StartAccessRequest"]


def _writes(world: Product, requests: list[str]) -> float:
    """Return the mean version of the rows: each durable write of a row adds one."""
    with sqlite3.connect(f"file:{world.store}?mode=ro", uri=True) as store:
        found = store.execute(
            "SELECT version FROM requests WHERE ops_item_id IN (SELECT value FROM json_each(?))", [json.dumps(requests)]
        ).fetchall()
    return float(mean(version for (version,) in found))
