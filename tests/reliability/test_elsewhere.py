"""Figure 10: decided elsewhere, with every event lost: card, thread note and direct message are right within one sweep.

Six ways, each with AWS's list of changes filled and with it empty, for nobody has verified that it is filled: over
fakes on a clock that is moved by hand, and by the whole program over real HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.request import RequestKey, Status, Verdict
from bot.ports.aws import ListedRequest
from bot.rendering.i18n import Localizer
from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.jit import filters
from bot.service.sources.sweep import Sweep
from tests.fakes.aws import FakeAws
from tests.fakes.people import TARO
from tests.fakes.product import Product, product
from tests.fakes.teams_world import Message
from tests.fakes.world import World, new_world
from tests.figures import Figure

WAYS = ("approved", "rejected", "cancelled", "timed_out", "revoked", "another level")
LISTS = pytest.mark.parametrize("listed", [True, False], ids=["changes listed", "changes not listed"])


def banner(way: str) -> str:
    """Return the words on the card, and in front of what is sent to the requester."""
    return Localizer("en", "UTC").text(f"banner.{way}")


# --- over fakes


class StaleLists(FakeAws):
    """A defective AWS: its lists say for ever what they said first. Shows that the proof can tell."""

    first: Sequence[ListedRequest] | None = None

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Repeat."""
        if self.first is None:
            self.first = await super().list_requests(account, region, since)
        return self.first

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Tell nothing."""
        return []


async def decided(way: str, aws: type[FakeAws], *, listed: bool) -> bool:
    """Decide a request in this way behind the bot's back, sweep once; return whether Teams shows it."""
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
        return card.buttons and "'step': 'Level2'" in card.card and notes == [] and len(directs) == 1
    before = 1 if way == "revoked" else 0  # the approval that was revoked had a note and a message of its own
    told = len(notes) == len(directs) - 1 == before + 1 and "web-prod-01" in notes[-1].card
    return told and not card.buttons and banner(way) in card.card and banner(way) in directs[-1].versions[-1].summary


@LISTS
async def test_decided_elsewhere_shows_within_one_sweep(listed: bool, figure: Figure) -> None:
    """Approved, rejected, cancelled, timed out, revoked, another level: 6 of 6."""
    right = [way for way in WAYS if await decided(way, FakeAws, listed=listed)]
    figure(10, over="fakes", changes_listed=listed, right=f"{len(right)} of {len(WAYS)}")
    assert right == list(WAYS)


async def test_lists_that_never_change_would_be_noticed(figure: Figure) -> None:
    """Control: with nothing to see in the lists nothing is right."""
    right = [way for way in WAYS if await decided(way, StaleLists, listed=True)]
    figure(10, control="stale lists", right=f"{len(right)} of {len(WAYS)}")
    assert right == []


# --- the whole program


@dataclass(slots=True)
class MovedClock:
    """The real time, and some days."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        """Return the moment."""
        return datetime.now(UTC) + self.ahead


VERDICTS = {"approved": "approve", "rejected": "reject", "cancelled": "cancel", "revoked": "revoke"}


@LISTS
async def test_the_whole_program_shows_what_was_decided_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: bool, figure: Figure
) -> None:
    """Over real HTTP, no event delivered, one sweep after each decision: 6 of 6."""
    if not listed:
        monkeypatch.delitem(filters._TIMES, "LastModifiedTime")  # an AWS that refuses the filter
    clock = MovedClock()
    async with product(monkeypatch, tmp_path, now=clock) as world:
        world.aws.events.deliver(Delivery.NEVER)
        async with world.running() as program:
            sweep = next(each for each in program.sources if isinstance(each, Sweep))
            for way in WAYS:
                await _play(world, sweep, way, clock)
    figure(10, over="real HTTP", changes_listed=listed, right=f"{len(WAYS)} of {len(WAYS)}")


async def _play(world: Product, sweep: Sweep, way: str, clock: MovedClock) -> None:
    """Ask, decide behind the bot's back, sweep once, and wait for what must be seen; a wait has an end."""
    request = await world.ask("db-prod-01" if way == "another level" else "web-prod-01")
    await sweep.sweep()
    await world.card(request)
    if way == "revoked":
        await world.console(request, "approve")
        await sweep.sweep()
        await _seen(world, request, "approved", notes=1)
    if way == "timed_out":
        clock.ahead += timedelta(days=8)
    else:
        await world.console(request, VERDICTS.get(way, "approve"))
    await sweep.sweep()
    if way == "another level":
        await world.until(lambda: "'step': 'Level2'" in str(world.cards(request)[0].card))
        return
    await _seen(world, request, way, notes=2 if way == "revoked" else 1)


async def _seen(world: Product, request: str, way: str, *, notes: int) -> None:
    """Wait until card, thread and the requester's chat show an end."""
    chat = world.microsoft.world.personal(TARO)
    await world.until(lambda: banner(way) in str(world.cards(request)[0].card))
    await world.until(lambda: len(world.replies(world.cards(request)[0])) == notes)
    await world.until(lambda: _is_told(world.microsoft.posted(chat)[-1], request, way))
    assert "'verb': 'approve'" not in str(world.cards(request)[0].card)


def _is_told(message: Message, request: str, way: str) -> bool:
    return request in str(message.card) and banner(way) in str(message.card)
