"""A card and a direct message arrive after an outage of the rosters or the login, over real HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.offset_clock import FastTime, OffsetClock
from tests.fakes.people import TARO
from tests.fakes.product import TOML, UNPACED, Product, product


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started. Its pauses between attempts are shorter by the factor of FastTime."""
    time = FastTime()
    monkeypatch.setattr("bot.app.SystemClock", lambda: OffsetClock(time.now))
    async with product(monkeypatch, tmp_path, rates=UNPACED) as world:
        yield world


ROSTER, LOGIN = r"pagedmembers$", r"/oauth2/v2.0/token$"


@pytest.mark.parametrize(
    ("fails", "how"),
    [
        (ROSTER, {"status": 503}),
        (ROSTER, {"status": 429, "headers": {"Retry-After": "-inf"}}),
        (ROSTER, {"status": 200, "body": "<html>sign in</html>"}),
        (ROSTER, {"status": 200, "body": '{"members": null}'}),
        (ROSTER, {"status": 200, "body": '{"members": [], "continuationToken": "\\ud800"}'}),
        (ROSTER, {"status": 403}),
        (ROSTER, {"drop": "after"}),
        (LOGIN, {"status": 503}),
        (LOGIN, {"status": 200, "body": "{}"}),
        (LOGIN, {"status": 429, "headers": {"Retry-After": "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"}}),
        (LOGIN, {"status": 401, "body": '{"error": "invalid_client"}'}),
    ],
    ids=str,
)
async def test_card_and_direct_message_arrive_after_an_outage_of_the_rosters_or_the_login(
    world: Product, fails: str, how: dict[str, Any]
) -> None:
    """The request arrives during the outage. No note says that the requester was not notified."""
    world.toml = TOML + 'people_domains = ["example.com"]\nunmatched_requesters = "allow"\n'
    fault = world.microsoft.fault("*", fails, times=None, **how)
    async with world.running():
        request = await world.ask()
        await fault.reached.wait()
        world.microsoft.faults.heal()
        await world.direct_message(TARO)
        card = await world.card(request)
        assert world.replies(card) == []
