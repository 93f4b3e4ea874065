"""Figure 5, intake: events that the bot takes from the queue in a second, with latency in each call to AWS."""

import asyncio
import time

from bot.sandbox.aws.event_bus import Delivery
from tests.bench.click import AWS, SETTLED
from tests.bench.long_queue import long_queue
from tests.bench.served import until
from tests.bench.table import Values
from tests.fakes.product import Product

REQUESTS = 100  # with two events each


async def measure(world: Product) -> Values:
    """Return the events a second, from the first event until the last one is deleted."""
    world.aws.events.deliver(Delivery.HELD)
    for _ in range(REQUESTS):
        await world.ask()
    before = _deleted(world)
    world.aws.faults.latency = AWS
    with long_queue():
        began = time.monotonic()
        await asyncio.to_thread(world.aws.events.release)
        await until(lambda: _deleted(world) >= before + 2 * REQUESTS, seconds=SETTLED)
        took = time.monotonic() - began
    world.aws.faults.latency = 0.0
    return {"intake_per_s": 2 * REQUESTS / took}


def _deleted(world: Product) -> int:
    return sum(len(each.params["Entries"]) for each in world.aws.calls("DeleteMessageBatch"))
