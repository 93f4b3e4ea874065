"""Figure 5: events of new requests, until each has its card and the requester's message. One channel, SQLite.

The pace is that of production: three reads a second in AWS, and Teams' limits. Idle time costs little CPU, which counts.
"""

import asyncio
import json
import sqlite3
from statistics import mean

from tests.bench.served import Served, until
from tests.bench.table import Values
from tests.fakes.people import TARO
from tests.fakes.product import Product

EVENTS = 20


async def measure(world: Product, served: Served) -> Values:
    """Return CPU, durable writes of the row, and calls to AWS, of each request."""
    messages = len(world.direct_messages(TARO))
    aws, before = len(_calls(world)), served.cpu()
    requests = [await world.ask() for _ in range(EVENTS)]
    for each in requests:
        await world.card(each)
    await until(lambda: len(world.direct_messages(TARO)) >= messages + EVENTS, seconds=60)
    await asyncio.sleep(1)  # the last write follows the last message
    cpu, made = served.cpu() - before, len(_calls(world)) - aws
    return {"card_ms": 1000 * cpu / EVENTS, "card_writes": _writes(world, requests), "card_aws": made / EVENTS}


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
