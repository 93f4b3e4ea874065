"""Figure 13: a token of a new signing key is accepted after one refresh, and known keys serve on while there are none.

What one module owes to it is in tests/unit/teams/test_keys.py; here clicks come over real HTTP to the whole program.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.teams.inbound.keys import REFRESH_AFTER, REFRESH_GAP, TRUSTED_FOR
from tests.fakes.offset_clock import OffsetClock, TimeOffset
from tests.fakes.people import HANAKO
from tests.fakes.product import Product, product
from tests.fakes.teams_world import Message
from tests.figures import Figure

KEYS = r"/v1/\.well-known/"
PEOPLE_AT_ONCE = 20


@dataclass(slots=True)
class Keyed:
    """A running bot with a card that waits, and Microsoft's keys."""

    world: Product
    lead: TimeOffset
    card: Message

    async def refresh(self, *, at_once: int = 1) -> set[int]:
        """Have the card refreshed, which needs a good token and nothing else; return the statuses."""
        microsoft, url = self.world.microsoft, self.world.bot_url
        answers = (microsoft.click(url, HANAKO, self.card, "refresh") for _ in range(at_once))
        return {status for status, _ in await asyncio.gather(*answers)}

    def fetched(self) -> int:
        """Return how often the keys were asked for."""
        return len(self.world.microsoft.faults.matching("GET", rf"{KEYS}keys$"))


@pytest.fixture
async def keyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Keyed]:
    """Start the bot on a clock that can be put forward, with the first key known."""
    lead = TimeOffset()
    monkeypatch.setattr("bot.app.SystemClock", lambda: OffsetClock(lead.now))
    async with product(monkeypatch, tmp_path, timestamp=lead.timestamp, now=lead.now) as world, world.running():
        there = Keyed(world, lead, await world.card(await world.ask()))
        assert await there.refresh() == {200}
        yield there


async def test_the_first_token_of_a_new_key(keyed: Keyed, figure: Figure) -> None:
    """Twenty clicks at once, all signed with a key that nobody knows: one refresh, and every one is served."""
    keyed.lead.put_forward(REFRESH_GAP)
    before = keyed.fetched()
    keyed.world.microsoft.signer.rotate("key-2")
    statuses = await keyed.refresh(at_once=PEOPLE_AT_ONCE)
    refreshes = keyed.fetched() - before
    figure(13, clicks_with_the_new_key=PEOPLE_AT_ONCE, refreshes=refreshes, statuses=sorted(statuses))
    assert (statuses, refreshes) == ({200}, 1)


async def test_known_keys_serve_on_while_there_are_none(keyed: Keyed, figure: Figure) -> None:
    """The keys cannot be had: known ones serve for five days, a token of an unknown key is refused, not answered 5xx."""
    signer = keyed.world.microsoft.signer
    keyed.world.microsoft.fault("GET", KEYS, status=503, times=None)
    known = set[int]()
    for _ in range(4):
        keyed.lead.put_forward(REFRESH_AFTER + 1)
        known |= await keyed.refresh()
    signer.rotate("key-2")
    unknown = await keyed.refresh()
    signer.current = "key-1"
    keyed.lead.put_forward(TRUSTED_FOR)
    outdated = await keyed.refresh()
    figure(13, days_without_keys=4, known=sorted(known), unknown=sorted(unknown), after_five_days=sorted(outdated))
    assert (known, unknown, outdated) == ({200}, {401}, {401})


async def test_keys_that_come_back_are_taken(keyed: Keyed) -> None:
    """Once they can be had again, the next token of the new key is accepted."""
    microsoft = keyed.world.microsoft
    microsoft.fault("GET", KEYS, status=503, times=None)
    microsoft.signer.rotate("key-2")
    keyed.lead.put_forward(REFRESH_GAP)
    assert await keyed.refresh() == {401}
    microsoft.faults.heal()
    keyed.lead.put_forward(REFRESH_GAP)
    assert await keyed.refresh() == {200}


async def test_without_a_refresh_the_new_key_is_refused(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: keys that are never asked for again accept no token of a new one."""

    async def never(*_: object) -> None:
        """Ask nobody."""

    monkeypatch.setattr("bot.teams.inbound.keys.SigningKeys._refresh", never)
    keyed.lead.put_forward(REFRESH_GAP)
    keyed.world.microsoft.signer.rotate("key-2")
    assert await keyed.refresh() == {401}
