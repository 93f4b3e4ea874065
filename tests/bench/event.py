"""Figure 3: from the event of a new request to its card, with latency in AWS. The fastest of several requests counts.

The time ends when the post of the card arrives at Teams. Trips in a row are a slope, and the time above them is that
without a call, as for a click. It includes the delivery of the event.
"""

import asyncio
import time

from bot.sandbox.aws.event_bus import Delivery
from tests.bench.click import AWS, MORE, REST, SETTLED, own_seconds
from tests.bench.served import until
from tests.bench.table import Values
from tests.fakes.people import TARO
from tests.fakes.product import Product

REQUESTS = 3  # at each latency


async def measure(world: Product) -> Values:
    """Return the trips, and the milliseconds above them."""
    plain, more = [], []
    for _ in range(REQUESTS):
        plain.append(await _carded(world, aws=AWS))
        more.append(await _carded(world, aws=AWS + MORE))
    trips = (min(took for took, _ in more) - min(took for took, _ in plain)) / MORE
    return {"event_trips": round(trips), "event_above_ms": 1000 * min(own for _, own in plain)}


async def _carded(world: Product, *, aws: float) -> tuple[float, float]:
    """Return the seconds from the event until the card arrives, and those of them without a call.

    Ends once the requester has the message, too.
    """
    messages = len(world.direct_messages(TARO))
    world.aws.events.deliver(Delivery.HELD)
    request = await world.ask()
    await asyncio.sleep(REST)
    posts = len(world.microsoft.calls)
    world.aws.faults.latency = aws
    began = time.monotonic()
    await asyncio.to_thread(world.aws.events.release)
    await until(lambda: bool(world.cards(request)), seconds=SETTLED)
    made = [each for each in world.microsoft.calls[posts:] if each.method == "POST" and request in str(each.body)]
    await until(lambda: len(world.direct_messages(TARO)) > messages, seconds=SETTLED)
    world.aws.faults.latency = 0.0
    return made[0].began - began, own_seconds(world, began, made[0].began)
