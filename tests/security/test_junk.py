"""Figure 15: junk sent to the whole program causes no 5xx and no call to AWS, and a click still works afterwards."""

import random
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from tests.fakes import activities, junk
from tests.fakes.activities import Json
from tests.fakes.people import HANAKO
from tests.fakes.product import Product, product
from tests.fakes.teams_world import APPROVERS, Message
from tests.figures import Figure, size

REQUESTS = size(short=1_000, ci=5_000, long=50_000)
OTHER_ROUTES = REQUESTS // 20  # of these, with other methods and paths
SEED = 20261123


def _kinds(world: Product, card: Message, request: str) -> list[Json]:
    """Return valid activities of every kind that is served. No click can decide, because its step does not exist."""
    teams, url = world.microsoft.world, world.microsoft.service_url
    common: Json = {"sender": HANAKO, "place": teams.place(APPROVERS), "service_url": url}
    thread: Json = {**common, "place": teams.place(f"{APPROVERS};messageid={card.root}"), "reply_to": card.id}
    data = {"request": request, "step": "NoSuchStep", "comment": "x"}
    return [
        activities.message("help", **common),
        activities.message("pending", **{**common, "place": teams.personal(HANAKO)}),
        *(activities.invoke(verb, data, **thread) for verb in ("approve", "reject", "cancel", "revoke", "refresh")),
        activities.submitted({"verb": "approve", **data}, **common),
        activities.installation("add", **common),
        activities.membership(added=[HANAKO], bot_added=True, **common),
        activities.activity("messageReaction", reactionsAdded=[{"type": "like"}], **common),
    ]


async def _send_to_other_routes(world: Product, rng: random.Random) -> Counter[int]:
    """Send random bytes with random methods to random paths. Return how often each status was answered."""
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession() as http:
        for _ in range(OTHER_ROUTES):
            method, path = rng.choice((*junk.METHODS, "POST")), rng.choice((*junk.PATHS, "/api/messages"))
            address = URL(f"{world.bot_url}{path}", encoded=True)
            async with http.request(method, address, data=rng.randbytes(rng.randrange(200))) as answer:
                statuses[answer.status] += 1
    return statuses


async def test_junk_is_never_answered_with_a_5xx(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure
) -> None:
    """Most requests are valid activities with random changes, usually with a valid token. Others are random bytes.

    They cause no 5xx, no signal and no unexpected error in the log. A valid click afterwards sends one signal.
    """
    rng = random.Random(SEED)
    statuses: Counter[int] = Counter()
    async with product(monkeypatch, tmp_path) as world, world.running():
        key = f"{world.aws.world.account}/{world.aws.world.region}/{await world.ask()}"
        card = await world.card(key.rpartition("/")[2])
        spoilt = [junk.mutations(rng, kind) for kind in _kinds(world, card, key)]
        with capture_logs() as logs:
            for number in range(REQUESTS - OTHER_ROUTES):
                body = next(spoilt[number % len(spoilt)])
                headers = junk.headers(rng, world.microsoft.signer.header(world.microsoft.service_url))
                status, _ = await world.microsoft.send_raw(world.bot_url, body, headers=headers)
                statuses[status] += 1
            statuses += await _send_to_other_routes(world, rng)
        surprises = [each for each in logs if each["event"] in {"turn_failed", "background_failed", "look_failed"}]
        assert (world.signals(), world.aws.calls("StopAutomationExecution")) == (0, [])
        answer = await world.click(HANAKO, card, "approve")
        assert answer["statusCode"] == 200
        await world.until(lambda: world.signals() == 1)
    assert surprises == []
    assert [status for status in statuses if status >= 500] == []
    assert {200, 400, 401, 403, 404, 405, 415} <= set(statuses)
    figure(15, requests=statuses.total(), server_errors=0, signals=0, statuses=dict(sorted(statuses.items())))
