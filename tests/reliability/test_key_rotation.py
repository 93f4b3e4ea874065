"""Figure 13: a token with a new signing key is accepted after one fetch, and known keys stay valid in an outage.

Clicks reach the whole program over real HTTP. tests/unit/teams/test_keys.py tests the module of the keys alone.
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
MINUTE = 60.0  # seconds


@dataclass(slots=True)
class Keyed:
    """A running bot with a pending card, and Microsoft's signing keys."""

    world: Product
    lead: TimeOffset
    card: Message

    async def refresh(self, *, at_once: int = 1) -> set[int]:
        """Refresh the card, which needs only a valid token. Return the HTTP statuses."""
        microsoft, url = self.world.microsoft, self.world.bot_url
        answers = (microsoft.click(url, HANAKO, self.card, "refresh") for _ in range(at_once))
        return {status for status, _ in await asyncio.gather(*answers)}

    def fetched(self) -> int:
        """Return how many times the keys were requested."""
        return len(self.world.microsoft.faults.matching("GET", rf"{KEYS}keys$"))


@pytest.fixture
async def keyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Keyed]:
    """Start the bot on an adjustable clock, and let it fetch the first key."""
    lead = TimeOffset()
    monkeypatch.setattr("bot.app.SystemClock", lambda: OffsetClock(lead.now))
    async with product(monkeypatch, tmp_path, timestamp=lead.timestamp, now=lead.now) as world, world.running():
        there = Keyed(world, lead, await world.card(await world.ask()))
        assert await there.refresh() == {200}
        yield there


async def test_first_clicks_with_a_new_signing_key_cause_one_fetch_of_the_keys(keyed: Keyed, figure: Figure) -> None:
    """Twenty people click at the same time with a token of the new key. All clicks are accepted."""
    keyed.lead.put_forward(REFRESH_GAP)
    before = keyed.fetched()
    keyed.world.microsoft.signer.rotate("key-2")
    statuses = await keyed.refresh(at_once=PEOPLE_AT_ONCE)
    refreshes = keyed.fetched() - before
    figure(13, clicks_with_the_new_key=PEOPLE_AT_ONCE, refreshes=refreshes, statuses=sorted(statuses))
    assert (statuses, refreshes) == ({200}, 1)


async def test_known_signing_keys_are_valid_for_five_days_of_an_outage(keyed: Keyed, figure: Figure) -> None:
    """Known keys are accepted for five days, and refused after that. A token with an unknown key gets 401, not 5xx."""
    signer = keyed.world.microsoft.signer
    keyed.world.microsoft.fault("GET", KEYS, status=503, times=None)
    loaded, known = keyed.lead.timestamp(), set[int]()
    for _ in range(4):
        keyed.lead.put_forward(REFRESH_AFTER + 1)
        known |= await keyed.refresh()
    keyed.lead.put_forward(loaded + TRUSTED_FOR - MINUTE - keyed.lead.timestamp())
    known |= await keyed.refresh()
    signer.rotate("key-2")
    unknown = await keyed.refresh()
    signer.current = "key-1"
    keyed.lead.put_forward(MINUTE)
    outdated = await keyed.refresh()
    figure(13, days_without_keys=4, known=sorted(known), unknown=sorted(unknown), after_five_days=sorted(outdated))
    assert (known, unknown, outdated) == ({200}, {401}, {401})


async def test_new_signing_key_is_accepted_once_keys_can_be_fetched_again(keyed: Keyed) -> None:
    """While the keys cannot be fetched, a token of the new key is refused."""
    microsoft = keyed.world.microsoft
    microsoft.fault("GET", KEYS, status=503, times=None)
    microsoft.signer.rotate("key-2")
    keyed.lead.put_forward(REFRESH_GAP)
    assert await keyed.refresh() == {401}
    microsoft.faults.heal()
    keyed.lead.put_forward(REFRESH_GAP)
    assert await keyed.refresh() == {200}


async def test_control_bot_that_never_fetches_keys_again_refuses_a_new_key(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: if keys are never fetched again, a token with a new key is refused."""

    async def never(*_: object) -> None:
        """Fetch no keys."""

    monkeypatch.setattr("bot.teams.inbound.keys.SigningKeys._look_for", never)
    keyed.lead.put_forward(REFRESH_GAP)
    keyed.world.microsoft.signer.rotate("key-2")
    assert await keyed.refresh() == {401}
