"""Figure 1: the CPU of an invoke and of an automatic refresh, beside the two anchors, in turn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.served import Served, Servers
from tests.fakes.people import PEOPLE
from tests.fakes.product import Product
from tests.fakes.teams_world import Message

BATCHES, IN_BATCH, WARM_UP = 5, 40, 30  # of each server; the batches take turns: A B C D A B C D
Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Load:
    """Sends activities to one server: the same click of several people, because the bot counts each person's."""

    server: Served
    world: Product
    activities: Sequence[Mapping[str, Any]]

    async def send(self, times: int) -> float:
        """Send one after another; return the server's CPU seconds for each. AssertionError if one is refused."""
        before = self.server.cpu()
        for number in range(times):
            activity = self.activities[number % len(self.activities)]
            status, answer = await self.world.microsoft.send(self.server.url, activity)
            assert status == 200, answer
            assert answer["value"]["type"] == "AdaptiveCard", answer
        return (self.server.cpu() - before) / times


async def measure(servers: Servers, world: Product, served: Served, card: Message, folder: Path) -> Values:
    """Return milliseconds of CPU and the ratios, each the median over the batches."""
    invoke = [world.microsoft.pressed(each, card, "refresh") for each in PEOPLE]
    automatic = [world.microsoft.pressed(each, card, "refresh", trigger="automatic") for each in PEOPLE]
    _, answer = await world.microsoft.send(served.url, invoke[0])
    file = folder / "card.json"
    file.write_text(json.dumps(answer["value"]), "utf-8")
    metadata = world.microsoft.metadata_url
    loads = {
        "invoke": Load(served, world, invoke),
        "stock": Load(await servers.anchor("stock", str(file), metadata), world, invoke),
        "refresh": Load(served, world, automatic),
        "bare": Load(await servers.anchor("bare", str(file), metadata), world, invoke),
    }  # an anchor before each of the product's batches, because a process that did not just run has cold caches
    for load in loads.values():
        await load.send(WARM_UP)
    batches, calls = [], []
    for _ in range(BATCHES):
        before = _calls(world)
        batches.append({name: await load.send(IN_BATCH) for name, load in loads.items()})
        calls.append(_calls(world) - before)
    return {
        "invoke_ms": 1000 * median(each["invoke"] for each in batches),
        "stock_ms": 1000 * median(each["stock"] for each in batches),
        "bare_ms": 1000 * median(each["bare"] for each in batches),
        "invoke_to_stock": median(each["stock"] / each["invoke"] for each in batches),
        "invoke_to_bare": 100 * median(each["bare"] / each["invoke"] for each in batches),
        "refresh_to_invoke": median(each["refresh"] / each["invoke"] for each in batches),
        "invoke_calls": median(calls),  # in one batch, the bot may read the waiting request again by itself
    }


def _calls(world: Product) -> int:
    """Return how many calls AWS and Microsoft have got, without the polls of the queue."""
    return sum(each.service != "sqs" for each in world.aws.calls()) + len(world.microsoft.calls)
