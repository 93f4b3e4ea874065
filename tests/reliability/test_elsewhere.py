"""Figure 10: decisions made outside the bot, with every event lost, are shown in Teams after one sweep.

Checks the card, the thread note and the direct message for six ways to decide. Each way runs with and without AWS's
lists of changes and executions, because these are not verified against real AWS. Runs with fakes and a manual clock, and as the
whole program over real HTTP.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.request import RequestKey, Status, Verdict
from bot.ports.aws import ListedRequest
from bot.rendering.i18n import Localizer
from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.jit import filters
from bot.service.sources.sweep import Sweep
from tests.fakes.aws import FakeAws
from tests.fakes.offset_clock import TimeOffset
from tests.fakes.people import TARO
from tests.fakes.product import Product, product
from tests.fakes.teams_world import Message
from tests.fakes.world import World, new_world
from tests.figures import Figure

WAYS = ("approved", "rejected", "cancelled", "timed_out", "revoked", "another level")
LISTS = pytest.mark.parametrize("listed", [True, False], ids=["changes listed", "changes not listed"])


def banner(way: str) -> str:
    """Return the status text of the card, which also begins the message to the requester."""
    return Localizer("en", "UTC").text(f"banner.{way}")


# --- with fakes


class StaleLists(FakeAws):
    """A defective AWS for the negative control: its lists never change after the first call."""

    first: Sequence[ListedRequest] | None = None

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Return the first list again."""
        if self.first is None:
            self.first = await super().list_requests(account, region, since)
        return self.first

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Return no revocations."""
        return []


async def decided(way: str, aws: type[FakeAws], *, listed: bool) -> bool:
    """Decide a request outside the bot and sweep once. Return whether Teams shows the decision."""
    world = new_world()
    world.aws = aws(world.clock)
    world.aws.listed = listed
    world.build()
    key = world.aws.add(levels=2 if way == "another level" else 1)
    await world.shown(key)
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(60)
        if way == "revoked":
            world.aws.decide(key, Verdict.APPROVE)
            await world.rows.requeue(key)
            await world.clock.advance(60)
        _decide(world, key, way)
        await world.sweep.sweep()
        await world.clock.advance(5)
    return _shows(world, way)


def _decide(world: World, key: RequestKey, way: str) -> None:
    match way:
        case "approved" | "another level":
            world.aws.decide(key, Verdict.APPROVE, "from the console")
        case "rejected":
            world.aws.decide(key, Verdict.REJECT, "from the console")
        case _:
            world.aws.end(key, Status(way))


def _shows(world: World, way: str) -> bool:
    (card,) = world.chat.of("post")
    notes, directs = world.chat.of("reply"), world.chat.of("direct")
    if way == "another level":
        called = ["level 2 of 2" in note.card for note in notes] == [True]
        return card.buttons and "'step': 'Level2'" in card.card and called and len(directs) == 1
    before = 1 if way == "revoked" else 0  # the revoked approval already had a note and a message
    notified = before if way == "cancelled" else before + 1  # the requester's message is only updated
    announced = (len(notes), len(directs) - 1) == (before + 1, notified) and "web-prod-01" in notes[-1].card
    return (
        announced and not card.buttons and banner(way) in card.card and banner(way) in directs[-1].versions[-1].summary
    )


@LISTS
async def test_decision_outside_the_bot_is_displayed_in_teams_after_one_sweep(listed: bool, figure: Figure) -> None:
    """The six kinds are: approved, rejected, cancelled, timed out, revoked, another level."""
    right = [way for way in WAYS if await decided(way, FakeAws, listed=listed)]
    figure(10, over="fakes", changes_listed=listed, right=f"{len(right)} of {len(WAYS)}")
    assert right == list(WAYS)


async def test_control_decisions_outside_the_bot_are_not_displayed_if_lists_never_change(figure: Figure) -> None:
    """Negative control: if the lists show no change, Teams shows none of the six decisions."""
    right = [way for way in WAYS if await decided(way, StaleLists, listed=True)]
    figure(10, control="stale lists", right=f"{len(right)} of {len(WAYS)}")
    assert right == []


# --- the whole program


VERDICTS = {"approved": "approve", "rejected": "reject", "cancelled": "cancel", "revoked": "revoke"}


@LISTS
async def test_whole_program_displays_decisions_outside_the_bot_after_one_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: bool, figure: Figure
) -> None:
    """The program runs over real HTTP, without any event. The decisions are of six kinds."""
    if not listed:
        monkeypatch.delitem(filters._TIMES, "LastModifiedTime")  # an AWS that refuses the filter
    lead = TimeOffset()
    async with product(monkeypatch, tmp_path, now=lead.now) as world:
        world.aws.events.deliver(Delivery.NEVER)
        if not listed:
            world.aws.faults.rewrite("DescribeAutomationExecutions", lambda _: {"AutomationExecutionMetadataList": []})
        async with world.running() as program:
            sweep = next(each for each in program.sources if isinstance(each, Sweep))
            for way in WAYS:
                await _play(world, sweep, way, lead)
    figure(10, over="real HTTP", changes_listed=listed, right=f"{len(WAYS)} of {len(WAYS)}")


async def _play(world: Product, sweep: Sweep, way: str, lead: TimeOffset) -> None:
    """Request access, decide outside the bot, sweep once, and wait until Teams shows it. Every wait has a timeout."""
    request = await world.ask("db-prod-01" if way == "another level" else "web-prod-01")
    await sweep.sweep()
    await world.card(request)
    if way == "revoked":
        await world.console(request, "approve")
        await sweep.sweep()
        await _seen(world, request, "approved", notes=1)
    if way == "timed_out":
        lead.put_forward(timedelta(days=8).total_seconds())
    else:
        await world.console(request, VERDICTS.get(way, "approve"))
    await sweep.sweep()
    if way == "another level":
        await world.until(lambda: "'step': 'Level2'" in str(world.cards(request)[0].card))
        return
    await _seen(world, request, way, notes=2 if way == "revoked" else 1)


async def _seen(world: Product, request: str, way: str, *, notes: int) -> None:
    """Wait until the card, the thread and the requester's chat show the decision."""
    chat = world.microsoft.world.personal(TARO)
    await world.until(lambda: banner(way) in str(world.cards(request)[0].card))
    await world.until(lambda: len(world.replies(world.cards(request)[0])) == notes)
    await world.until(lambda: any(_announces(each, request, way) for each in world.microsoft.posted(chat)))
    assert "'verb': 'approve'" not in str(world.cards(request)[0].card)


def _announces(message: Message, request: str, way: str) -> bool:
    """Return whether a message shows this decision of this request."""
    return request in str(message.card) and banner(way) in str(message.card)
