"""Tests for bot.aws.jit.listing: long lists do not hold up the event loop. What is listed: tests/contract."""

import asyncio
from collections import Counter
from typing import Any

from prometheus_client import CollectorRegistry

from bot.aws.calls.clients import Clients, Place
from bot.aws.jit.listing import PAGE, Listing
from bot.concurrency.turns import AT_ONCE
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock, most_in_a_turn, turns_during
from tests.unit.aws.samples import ASKED_AT, KEY, execution, ops_item

PLACE = Place(KEY.account, KEY.region)
PAGES = 40


class Row(dict[str, Any]):
    """A row of AWS's answer, which counts how often a row's id is read."""

    def __init__(self, row: dict[str, Any], parsed: Counter[str]) -> None:
        super().__init__(row)
        self._parsed = parsed

    def get(self, key: str, default: Any = None) -> Any:
        self._parsed[key] += key == "OpsItemId"
        return super().get(key, default)


class LongLists(Clients):
    """An AWS whose lists have PAGES full pages. If not `slow`, each page comes without a turn of the event loop."""

    def __init__(self, *, slow: bool) -> None:
        super().__init__(region=KEY.region, clock=ManualClock(), telemetry=Telemetry(CollectorRegistry()))
        self.parsed, self._slow = Counter[str](), slow

    async def read(self, *_: object, **params: Any) -> dict[str, Any]:
        """Return a page of the list."""
        if self._slow:
            await asyncio.sleep(0)
        page = int(params.get("NextToken", 0))
        ids = [f"oi-{number:012x}" for number in range(page * PAGE, (page + 1) * PAGE)]
        following = {"NextToken": str(page + 1)} if page + 1 < PAGES else {}
        return {
            "OpsItemSummaries": [Row(ops_item(OpsItemId=each), self.parsed) for each in ids],
            "AutomationExecutionMetadataList": [Row({**execution(), "OpsItemId": each}, self.parsed) for each in ids],
            **following,
        }


async def listed(clients: Clients) -> int:
    """Return how many requests are listed as pending or changed, with their steps, and as revoked."""
    listing = Listing(clients)
    listed = await asyncio.gather(listing.list_requests(PLACE, ASKED_AT), listing.steps(PLACE))
    return sum(map(len, listed)) + len(await listing.revoked(PLACE, ASKED_AT))


async def test_rows_of_a_long_list_are_parsed_page_by_page() -> None:
    """Other tasks run after each page. Three lists are read at the same time, and an id is read twice."""
    clients = LongLists(slow=True)
    assert await most_in_a_turn(listed(clients), clients.parsed) <= 3 * 2 * PAGE
    assert clients.parsed["OpsItemId"] >= 4 * PAGES * PAGE


async def test_long_lists_are_merged_in_parts() -> None:
    """Two lists name the same requests. Other tasks run while their rows are merged, even if no page takes time."""
    clients = LongLists(slow=False)
    assert await turns_during(Listing(clients).list_requests(PLACE, ASKED_AT)) >= 2 * PAGES * PAGE / AT_ONCE
