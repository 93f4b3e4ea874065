"""Figure 5 on DynamoDB: round trips and capacity units of a request's card and message, in a process of their own.

Capacity units follow DynamoDB's rules from the items that are sent: moto's own figures are not those of DynamoDB. A
strongly consistent read costs one unit for each 4 KB, a write one for each KB, twice as much in a transaction. Writes of
the indexes, whose items have keys only, come on top: at most two for each write of a row. Queries for due rows are left
out, because their number depends on time.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session

from bot.store.dynamodb.items import size_of
from bot.store.dynamodb.table import MARKER, definition
from tests.bench.served import Servers, until
from tests.bench.table import Values
from tests.fakes.dynamodb import REGION, DynamoEnvironment, FakeDynamo
from tests.fakes.people import TARO
from tests.fakes.product import product

EVENTS = 10
TABLE = "bench"
KB = 1024


async def measure(core: int | None, folder: Path) -> Values:
    """Return calls, and units of reading and writing, of each request."""
    server = FakeDynamo()
    environment = DynamoEnvironment(server)
    try:
        made = await _made(server, core, folder)
    finally:
        environment.undo()
        server.stop()
    reads = sum(units for name, _, units in made if name == "GetItem")
    writes = sum(units for name, _, units in made if name != "GetItem")
    rows = [row for _, row, _ in made if row]
    return {
        "dynamo_trips": len(made) / EVENTS,
        "dynamo_row_writes": len(rows) / EVENTS,
        "dynamo_reads": reads / EVENTS,
        "dynamo_writes": writes / EVENTS,
    }


async def _made(server: FakeDynamo, core: int | None, folder: Path) -> list[tuple[str, bool, int]]:
    """Post cards and messages. Return each call's operation, whether it writes a row, and its units."""
    with pytest.MonkeyPatch.context() as patch:
        async with product(patch, folder) as world, Servers(core) as servers:
            changed = {
                "NODE_ACCESS_STORE": f"dynamodb:{TABLE}",
                "AWS_ENDPOINT_URL_DYNAMODB": server.endpoint,
                "AWS_REGION": REGION,
            }
            bot = world.aws.world.bot.environment()
            client = server.client(
                Session(bot["AWS_ACCESS_KEY_ID"], bot["AWS_SECRET_ACCESS_KEY"], bot.get("AWS_SESSION_TOKEN"))
            )
            await asyncio.to_thread(client.create_table, TableName=TABLE, **definition())
            await asyncio.to_thread(client.put_item, TableName=TABLE, Item=MARKER)
            await servers.serve(world, folder, **changed)
            await world.card(await world.ask())
            await until(lambda: len(world.direct_messages(TARO)) == 1, seconds=30)
            await asyncio.sleep(2)
            first = len(server.calls)
            for number in range(EVENTS):
                await world.card(await world.ask())
                await until(lambda: len(world.direct_messages(TARO)) == number + 2, seconds=30)  # noqa: B023
            await asyncio.sleep(2)
            sizes = dict[str, int]()
            return list(_counted(server.calls[first:], sizes))


def _counted(calls: Sequence[tuple[str, Mapping[str, Any]]], sizes: dict[str, int]) -> Iterator[tuple[str, bool, int]]:
    """Yield the calls about requests. `sizes` has the size of each item that was written so far, by its key."""
    for operation, body in calls:
        if operation == "GetItem":
            size = sizes.get(str(body["Key"]), 0)
            yield operation, False, max(1, math.ceil(size / 4 / KB))
        elif operation in {"PutItem", "TransactWriteItems"}:
            puts = [each["Put"] for each in body.get("TransactItems", ())] or [body]
            for put in puts:
                sizes[str({name: put["Item"][name] for name in ("pk", "sk")})] = size_of(put["Item"])
            units = sum(math.ceil(size_of(put["Item"]) / KB) for put in puts) * (1 if operation == "PutItem" else 2)
            yield operation, any("record" in put["Item"] for put in puts), units
