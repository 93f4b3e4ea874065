"""Figure 2: from a click on Approve to the decided card, with latency in AWS and Teams.

Trips in a row are measured as a slope: by how much more latency of one side delays the card. The time above the trips
is that in which neither AWS nor Teams has a call on the way to the card. The fastest of several clicks counts, because
other programs only slow one down.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from tests.bench.served import until
from tests.bench.table import Values
from tests.fakes.faults import Recorded
from tests.fakes.people import HANAKO, TARO
from tests.fakes.product import Product

AWS, TEAMS, MORE = 0.05, 0.08, 0.2  # seconds of latency, and how much is added for the slope
CLICKS = 3  # at each latency
REST = (
    2.0  # seconds before a click: the bot allows itself three calls of one operation a second, and the card took some
)
ON_THE_WAY: Final = frozenset(
    {"AmazonSSM.GetOpsItem", "AmazonSSM.GetAutomationExecution", "AmazonSSM.SendAutomationSignal"}
)
SETTLED = 40.0  # seconds until everything about a decision is posted


@dataclass(frozen=True, slots=True)
class Decided:
    """One click: seconds until Teams had the decided card, those without a call, and between note and message."""

    card: float
    own: float
    apart: float


async def measure(world: Product) -> Values:
    """Return trips, the milliseconds above them, and how far apart note and message start."""
    await _decided(world, aws=0, teams=0)  # the sessions of the approver's role
    plain, more_aws, more_teams = [], [], []
    for _ in range(CLICKS):
        plain.append(await _decided(world, aws=AWS, teams=TEAMS))
        more_aws.append(await _decided(world, aws=AWS + MORE, teams=TEAMS))
        more_teams.append(await _decided(world, aws=AWS, teams=TEAMS + MORE))
    took = min(each.card for each in plain)
    aws = (min(each.card for each in more_aws) - took) / MORE
    teams = (min(each.card for each in more_teams) - took) / MORE
    return {
        "click_trips_aws": round(aws),
        "click_trips_teams": round(teams),
        "click_above_ms": 1000 * min(each.own for each in plain),
        "click_apart": min(each.apart for each in more_teams) / (TEAMS + MORE),
    }


async def _decided(world: Product, *, aws: float, teams: float) -> Decided:
    """Make a request, wait for its card and message, and approve it under latency."""
    sent = len(world.direct_messages(TARO))
    card = await world.card(await world.ask())
    await until(lambda: len(world.direct_messages(TARO)) > sent, seconds=SETTLED)
    await until(lambda: not _open(world), seconds=SETTLED)
    await asyncio.sleep(REST)
    first = len(world.microsoft.calls)
    body, headers = world.microsoft.signed(world.microsoft.pressed(HANAKO, card, "approve"))
    world.aws.faults.latency, world.microsoft.faults.latency = aws, teams
    began = time.monotonic()
    status, _ = await world.microsoft.send_raw(world.bot_url, body, headers=headers)
    assert status == 200

    def calls(method: str, path: str) -> list[Recorded]:
        found = world.microsoft.calls[first:]
        return [each for each in found if each.method == method and path in each.path]

    def direct() -> list[Recorded]:
        return calls("PUT", "/conversations/a:") + calls("POST", "/conversations/a:")

    def updated() -> list[Recorded]:
        return calls("PUT", f"/activities/{card.id}")

    def noted() -> list[Recorded]:
        return calls("POST", f";messageid={card.root}/activities")

    await until(lambda: bool(direct() and updated() and noted()), seconds=SETTLED)
    world.aws.faults.latency = world.microsoft.faults.latency = 0.0
    end = updated()[0].ended
    own = own_seconds(world, began, end, card=card.id)
    return Decided(end - began, own, abs(noted()[0].began - direct()[0].began))


def own_seconds(world: Product, began: float, ended: float, *, card: str = "") -> float:
    """Return the seconds between two moments in which no call on the way to a card was in progress.

    `card` is the message that is updated.
    """
    aws = [(each.began, each.ended) for each in world.aws.spans if each.target in ON_THE_WAY]
    teams = [(each.began, each.ended) for each in world.microsoft.calls if card and each.path.endswith(card)]
    own, until_now = 0.0, began
    for start, end in sorted((*aws, *teams)):
        if start >= ended:
            break
        own += max(0.0, start - until_now)
        until_now = max(until_now, end)
    return own + max(0.0, ended - until_now)


def _open(world: Product) -> bool:
    """Return whether a call to AWS, other than the poll of the queue, is not answered."""
    return any(each.status is None and each.service != "sqs" for each in world.aws.calls())
