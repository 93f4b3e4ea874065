"""How fast the machine is at the moment: the CPU of the bare handler for an invoke.

The targets in CPU time are for a machine on which it takes REFERENCE. On a shared machine, the same code takes up to
twice as long from one minute to the next, so each part of the benchmark is compared with the handler before and after it.
The fastest of several batches counts: the handler suffers more from other programs than the product does, and a slow
reading would flatter the product.
"""

import json
import tempfile
from pathlib import Path
from typing import Final, Self

from bot.rendering import render
from bot.rendering.gallery.cards import WAITING
from tests.bench.served import Served, Servers
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO
from tests.fakes.teams_world import APPROVERS

REFERENCE: Final = 0.22  # milliseconds for RS256, JSON and aiohttp
BATCHES, IN_BATCH, WARM_UP = 8, 40, 50


class Yardstick:
    """A bare handler on `core`. Use it as an async context manager."""

    def __init__(self, core: int | None) -> None:
        self._microsoft, self._servers = FakeMicrosoft(), Servers(core)
        self._bare: Served
        self._latest = 0.0

    async def __aenter__(self) -> Self:
        await self._microsoft.__aenter__()
        with tempfile.TemporaryDirectory() as folder:
            card = Path(folder) / "card.json"
            card.write_text(json.dumps(render(WAITING, locale="ja", timezone="Asia/Tokyo")), "utf-8")
            self._bare = await self._servers.anchor("bare", str(card), self._microsoft.metadata_url)
        await self._send(WARM_UP)
        self._latest = await self._fastest()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._servers.aclose()
        await self._microsoft.__aexit__()

    async def scale(self) -> float:
        """Return by what to multiply a CPU time measured since the last call, for the reference machine."""
        before, self._latest = self._latest, await self._fastest()
        return REFERENCE / min(before, self._latest)

    async def _fastest(self) -> float:
        return min([await self._send(IN_BATCH) for _ in range(BATCHES)])

    async def _send(self, times: int) -> float:
        """Return the milliseconds of CPU for each invoke."""
        before = self._bare.cpu()
        for _ in range(times):
            status, _ = await self._microsoft.post_invoke(self._bare.url, HANAKO, APPROVERS, "refresh")
            assert status == 200
        return 1000 * (self._bare.cpu() - before) / times
