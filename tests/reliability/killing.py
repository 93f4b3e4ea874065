"""Rounds in which the real process is killed at a named point of a request's life and then restarted.

In each round a person requests access and, for the later points, an approver clicks. The process is killed at the
point. The next process starts half a minute later on every clock: leases have expired, but the next sweep is not due.
If the request is still pending then, the approver clicks. This module knows the product's rows, not its internals.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import aiohttp
import pytest

from bot.domain.decision import DecisionState
from bot.domain.record import ROW_LEASE, Record
from bot.domain.request import RequestKey, Status
from bot.domain.surface import DeliveryState, SurfaceKind
from bot.sandbox.sandbox import END_OF_POLL
from bot.store.sqlite.store import SqliteStore
from tests.fakes.launcher import AHEAD, KILL_AT
from tests.fakes.offset_clock import TimeOffset
from tests.fakes.people import HANAKO, TARO
from tests.fakes.processes import BotProcess, Processes, environment
from tests.fakes.product import Product, product
from tests.fakes.teams_world import APPROVERS, Message
from tests.reliability.rest import gaps, lost, quiet

SWEEP = 60.0  # seconds on the bot's clock: the meaning of "within one sweep"
AWAY = ROW_LEASE.total_seconds() + 1  # seconds on the bot's clock until the next process starts
MINUTE = 61.0  # seconds; after a minute without an effect in AWS, the bot gives up a decision
PATIENCE = 30.0  # real seconds until an expected event counts as missing

Condition = Callable[[Record], bool]


class Point(StrEnum):
    """Where the process is killed. "before" a write is inside its transaction, "after" is after the commit."""

    BEFORE_ROW = "before row_made"
    AFTER_ROW = "after row_made"
    AFTER_LEASE = "after lease_taken"
    AFTER_CARD_CLAIM = "after card_claimed"
    CARD_POSTED = "the card's post took effect"
    BEFORE_CARD_KEPT = "before card_delivered"
    AFTER_CARD_KEPT = "after card_delivered"
    DIRECT_POSTED = "the direct message took effect"
    BEFORE_DECISION = "before decision_claimed"
    AFTER_DECISION = "after decision_claimed"
    CHECKING = "the state check arrived"
    BEFORE_SENT = "before decision_sent"
    AFTER_SENT = "after decision_sent"
    SIGNAL_ARRIVED = "the signal arrived"
    SIGNAL_EFFECT = "the signal took effect"
    BEFORE_CONFIRMED = "before decision_confirmed"
    AFTER_CONFIRMED = "after decision_confirmed"
    CARD_UPDATING = "the card's update arrived"
    AFTER_NOTE_CLAIM = "after note_claimed"
    NOTE_POSTED = "the note's post took effect"

    @property
    def clicked(self) -> bool:
        """True if the point comes after a click. If not, the request alone leads to it."""
        return list(Point).index(self) >= list(Point).index(Point.BEFORE_DECISION)

    @property
    def armed(self) -> bool:
        """True if the process kills itself at a write."""
        return self.startswith(("before ", "after "))


@dataclass(slots=True)
class Tally:
    """The measurements of all rounds."""

    rounds: int = 0
    lost: int = 0  # stored decisions that are missing or were not continued
    untold: int = 0  # decisions with a step missing in the audit trail
    unconverged: int = 0
    double: int = 0  # signals beyond one per click
    extra: int = 0  # superfluous messages
    beyond: int = 0  # superfluous messages beyond one per kill
    slowest: float = 0.0  # seconds on the bot's clock from a kill until Teams shows the true state again
    points: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Rounds:
    """The world, the running process and the measurements of the rounds."""

    world: Product
    lead: TimeOffset
    folder: Path
    rows: SqliteStore
    processes: Processes
    defect: str = ""
    tally: Tally = field(default_factory=Tally)
    bot: BotProcess = field(init=False)
    clicks: int = 0  # in this round
    _heard: int = 0  # messages in Teams before this round

    async def start(self) -> None:
        """Start the next process."""
        self.bot = await self.processes.start(environment(self.world, self.folder), *self.words)
        self.world.bot_url = self.bot.url

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments after `python -m`: the launcher, its folder, and the defect if there is one."""
        return ("tests.fakes.launcher", str(self.folder), *filter(None, (self.defect,)))

    def begin(self) -> None:
        """Reset the counts of clicks and messages."""
        self.clicks, self._heard = 0, len(self.world.microsoft.world.messages)

    async def round(self, point: Point) -> None:
        """Kill the process at a point, start the next one, and check the result."""
        self.begin()
        request = await (self._killed_by_a_click(point) if point.clicked else self._killed_by_a_request(point))
        left = await self._row(request)
        killed = self.lead.now()
        self.lead.put_forward(AWAY)
        await self.start()
        await self._judged(point, request, left, killed.timestamp())

    # --- before the kill

    async def _killed_by_a_request(self, point: Point) -> str:
        dying = asyncio.create_task(self._dying(point))
        await asyncio.sleep(0)
        request = await self.world.ask()
        await dying
        return request

    async def _killed_by_a_click(self, point: Point) -> str:
        request = await self.world.ask()
        await self.until(lambda row: quiet(row, Status.PENDING), request)
        dying = asyncio.create_task(self._dying(point))
        await asyncio.sleep(0)
        await self.press(request)
        await dying
        return request

    async def _dying(self, point: Point) -> None:
        """Kill the process at the point, and wait until it has ended."""
        if point.armed:
            (self.folder / KILL_AT).write_text(point, "ascii")
            await self.dead()
            (self.folder / KILL_AT).unlink()
        else:
            await self._killed_at_the_wire(point)

    async def _killed_at_the_wire(self, point: Point) -> None:
        teams, aws = self.world.microsoft, self.world.aws.faults
        match point:
            case Point.CARD_POSTED:
                fault = teams.hold("POST", r"/v3/conversations$", late=True)
            case Point.DIRECT_POSTED:
                fault = teams.hold("POST", r"conversations/a:[^/]*/activities$", late=True)
            case Point.CARD_UPDATING:
                fault = teams.hold("PUT", r"/activities/")
            case Point.NOTE_POSTED:
                fault = teams.hold("POST", r"messageid=\d+/activities$", late=True)
            case _:
                operation = "GetAutomationExecution" if point is Point.CHECKING else "SendAutomationSignal"
                held = aws.hold(operation, after_effect=point is Point.SIGNAL_EFFECT, times=1)
                await asyncio.to_thread(held.arrived.wait, PATIENCE)
                self.bot.kill()
                await self.dead()
                held.release()
                return
        await asyncio.wait_for(fault.reached.wait(), PATIENCE)
        self.bot.kill()
        await self.dead()
        fault.gate.set()  # type: ignore[union-attr]  # a held fault has a gate

    async def dead(self) -> None:
        """Wait until the killed process has ended. Send an event that ends its long poll."""
        assert await self.bot.ended(within=PATIENCE) == -9
        self.world.aws.events.send(END_OF_POLL)  # else the open poll would get the next event

    async def press(self, request: str) -> None:
        """Click the card's button. There is no answer if the process is killed in the meantime."""
        self.clicks += 1
        with suppress(aiohttp.ClientError):
            await self.world.click(HANAKO, self._card(request), "approve")

    def _card(self, request: str) -> Message:
        return [each for each in self._messages(request) if each.id == each.root and each.conversation == APPROVERS][-1]

    # --- after the kill

    async def _judged(self, point: Point, request: str, left: Record | None, killed: float) -> None:
        tally = self.tally
        tally.rounds += 1
        tally.points[point] += 1
        try:
            await self.until(self.true, request)
            took = self.lead.timestamp() - killed
            end = await self._decided(request)
        except TimeoutError:
            tally.unconverged += 1
            return
        tally.slowest = max(tally.slowest, took)
        tally.unconverged += took > SWEEP
        tally.lost += lost(left, end)
        tally.untold += len(gaps(end, await self.rows.audit(datetime.fromtimestamp(0, UTC))))
        tally.double += max(0, self.world.signals_of(end) - self.clicks)
        tally.extra += (extra := self.extra(end))
        tally.beyond += max(0, extra - 1)

    def true(self, row: Record) -> bool:
        """Return whether the row and Teams agree with AWS. While a decision is unknown, AWS must show no decision."""
        effects = [each for each in self.world.aws.effects() if each.ops_item_id == row.key.ops_item_id]
        if any(each.state is DecisionState.UNKNOWN for each in row.live_decisions):
            return not effects
        return quiet(row, Status.APPROVED if effects else Status.PENDING) and self._shown(row, decided=bool(effects))

    def _shown(self, row: Record, *, decided: bool) -> bool:
        """Return whether Teams has all messages that the row marks as delivered, with buttons while undecided."""
        messages = {each.id: each for each in self._messages(row.key.ops_item_id)}
        delivered = [each for each in row.surfaces if each.delivery is DeliveryState.DELIVERED]
        cards = [each for each in delivered if each.kind is SurfaceKind.CARD]
        there = all(each.activity_id in messages for each in delivered)
        return there and all(
            ("'verb': 'approve'" in str(messages[str(each.activity_id)].card)) is not decided for each in cards
        )

    async def _decided(self, request: str) -> Record:
        """Complete the decision. If the request is still pending, the approver clicks."""
        row = await self.until(self.true, request)
        if row.live_decisions:
            self.lead.put_forward(MINUTE)
            row = await self.until(lambda row: not row.live_decisions and self.true(row), request)
        if row.request and row.request.status is Status.PENDING:
            await self.press(request)
        return await self.until(lambda row: quiet(row, Status.APPROVED), request)

    def extra(self, row: Record) -> int:
        """Return how many more messages about a request are in Teams than its row marks as delivered.

        Two surfaces can be one message: the first message to the requester also notifies.
        """
        delivered = {each.activity_id for each in row.surfaces if each.delivery is DeliveryState.DELIVERED}
        return len(self._messages(row.key.ops_item_id)) - len(delivered)

    def _messages(self, request: str) -> list[Message]:
        """Return the messages about a request: cards, notes in their threads, and direct messages to the requester."""
        said = self.world.microsoft.world.messages[self._heard :]
        named = [each for each in said if request in str(each.activity)]
        threads, chat = {each.root for each in named}, self.world.microsoft.world.personal(TARO).id
        return [each for each in said if each in named or each.root in threads or each.conversation == chat]

    async def _row(self, request: str) -> Record | None:
        place = self.world.aws.world
        return await self.rows.load(RequestKey(place.account, place.region, request))

    async def until(self, condition: Condition, request: str) -> Record:
        """Wait until the row meets the condition, and return it. Checks after each write. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while True:
                news = self.bot.news
                row = await self._row(request)
                if row and condition(row):
                    return row
                await news.wait()


@asynccontextmanager
async def rounds(monkeypatch: pytest.MonkeyPatch, folder: Path, *, defect: str = "") -> AsyncIterator[Rounds]:
    """Build the world and start the first process."""
    lead = TimeOffset(folder / AHEAD)
    async with (
        product(monkeypatch, folder, timestamp=lead.timestamp, now=lead.now) as world,
        Processes() as processes,
        SqliteStore(world.store) as rows,
    ):
        world.sweep_seconds = SWEEP
        played = Rounds(world, lead, folder, rows, processes, defect)
        await played.start()
        yield played
