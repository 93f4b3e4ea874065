"""Rounds in which the real process is killed at a named point of a request's life, and started again.

A round: somebody asks for access, an approver clicks, and at one point on that way the process is gone. The next one
starts half a minute later by everybody's clock (leases have lapsed, a sweep's period has not), and the approver presses
again only when told so. Knows nothing of how the product works but what stands in its rows.
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
from bot.domain.record import DeliveryState, Record, SurfaceKind
from bot.domain.request import RequestKey, Status
from bot.service.rows import ROW_LEASE
from bot.store.sqlite.store import SqliteStore
from tests.fakes.launcher import AHEAD, KILL_AT
from tests.fakes.offset_clock import TimeOffset
from tests.fakes.people import HANAKO
from tests.fakes.processes import BotProcess, Processes, environment
from tests.fakes.product import END_OF_POLL, Product, product
from tests.fakes.teams_world import APPROVERS, Message
from tests.reliability.rest import gaps, lost, quiet

SWEEP = 60.0  # seconds of the bot's clock: what "within one sweep" means
AWAY = ROW_LEASE.total_seconds() + 1  # seconds of the bot's clock until the next process starts
MINUTE = 61.0  # seconds; after a minute a signal that nobody heard of is given up
PATIENCE = 30.0  # seconds of this machine until something that should happen counts as not happening

Condition = Callable[[Record], bool]


class Point(StrEnum):
    """Where the process dies. `before`: inside the write's transaction; `after`: once it is durable."""

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
        """True where a click leads to it, else the request alone does."""
        return list(Point).index(self) >= list(Point).index(Point.BEFORE_DECISION)

    @property
    def armed(self) -> bool:
        """True where the process kills itself at a write."""
        return self.startswith(("before ", "after "))


@dataclass(slots=True)
class Tally:
    """What was measured."""

    rounds: int = 0
    lost: int = 0  # decisions that were durable, and are not or did not go on
    untold: int = 0  # decisions of which the audit trail does not tell every step
    unconverged: int = 0
    double: int = 0  # signals beyond one for a click
    extra: int = 0  # messages that nobody needed
    beyond: int = 0  # of these, those beyond one for a kill
    slowest: float = 0.0  # seconds of the bot's clock from a kill until Teams shows the truth again
    points: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Rounds:
    """A world, the process that serves it, and the rounds."""

    world: Product
    lead: TimeOffset
    folder: Path
    rows: SqliteStore
    processes: Processes
    defect: str = ""
    tally: Tally = field(default_factory=Tally)
    bot: BotProcess = field(init=False)
    clicks: int = 0  # of this round
    _heard: int = 0  # messages in Teams before this round

    async def start(self) -> None:
        """Start the process, or the next one."""
        self.bot = await self.processes.start(environment(self.world, self.folder), *self.words)
        self.world.bot_url = self.bot.url

    @property
    def words(self) -> tuple[str, ...]:
        """What follows `python -m`."""
        return ("tests.fakes.launcher", str(self.folder), *filter(None, (self.defect,)))

    def begin(self) -> None:
        """Begin anew to count clicks and messages."""
        self.clicks, self._heard = 0, len(self.world.microsoft.world.messages)

    async def round(self, point: Point) -> None:
        """Kill at a point, start again, and see what became of it all."""
        self.begin()
        request = await (self._killed_by_a_click(point) if point.clicked else self._killed_by_a_request(point))
        left = await self._row(request)
        killed = self.lead.now()
        self.lead.put_forward(AWAY)
        await self.start()
        await self._judged(point, request, left, killed.timestamp())

    # --- until the kill

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
        """See to it that the process dies at the point, and wait until it is dead."""
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
        fault.gate.set()  # type: ignore[union-attr]  # a held fault has one

    async def dead(self) -> None:
        """Wait until the process that was killed is gone."""
        assert await self.bot.ended(within=PATIENCE) == -9
        self.world.aws.events.send(END_OF_POLL)  # to the dead one's poll, which would take the next event with it

    async def press(self, request: str) -> None:
        """Press the card's button; a process that dies meanwhile answers nothing."""
        self.clicks += 1
        with suppress(aiohttp.ClientError):
            await self.world.click(HANAKO, self._card(request), "approve")

    def _card(self, request: str) -> Message:
        return [each for each in self._messages(request) if each.id == each.root and each.conversation == APPROVERS][-1]

    # --- after it

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
        tally.double += max(0, self.signals(end) - self.clicks)
        tally.extra += (extra := self.extra(end))
        tally.beyond += max(0, extra - 1)

    def true(self, row: Record) -> bool:
        """Tell whether Teams shows what is true: AWS's word, and that a decision is on its way whose end is not known."""
        effects = [each for each in self.world.aws.effects() if each.ops_item_id == row.key.ops_item_id]
        if any(each.state is DecisionState.UNKNOWN for each in row.live_decisions):
            return not effects
        return quiet(row, Status.APPROVED if effects else Status.PENDING) and self._shown(row, decided=bool(effects))

    def _shown(self, row: Record, *, decided: bool) -> bool:
        """Tell whether Teams has every message that the row calls delivered, with buttons only while one can decide."""
        messages = {each.id: each for each in self._messages(row.key.ops_item_id)}
        delivered = [each for each in row.surfaces if each.delivery is DeliveryState.DELIVERED]
        cards = [each for each in delivered if each.kind is SurfaceKind.CARD]
        there = all(each.activity_id in messages for each in delivered)
        return there and all(
            ("'verb': 'approve'" in str(messages[str(each.activity_id)].card)) is not decided for each in cards
        )

    async def _decided(self, request: str) -> Record:
        """Have it decided if the kill came before: the approver presses again, when told so or never heard of it."""
        row = await self.until(self.true, request)
        if row.live_decisions:
            self.lead.put_forward(MINUTE)
            row = await self.until(lambda row: not row.live_decisions and self.true(row), request)
        if row.request and row.request.status is Status.PENDING:
            await self.press(request)
        return await self.until(lambda row: quiet(row, Status.APPROVED), request)

    def extra(self, row: Record) -> int:
        """Return how many messages of a request stand in Teams that its row does not know."""
        delivered = sum(each.delivery is DeliveryState.DELIVERED for each in row.surfaces)
        return len(self._messages(row.key.ops_item_id)) - delivered

    def _messages(self, request: str) -> list[Message]:
        """Return what Teams has of a request: its cards, the notes in their threads, the messages to the requester."""
        said = self.world.microsoft.world.messages[self._heard :]
        named = [each for each in said if request in str(each.activity)]
        threads = {each.root for each in named}
        return [each for each in said if each in named or each.root in threads]

    def signals(self, row: Record) -> int:
        """Return how many signals for a request have reached AWS."""
        execution = row.request.execution_id if row.request else None
        sent = self.world.aws.calls("SendAutomationSignal")
        return sum(each.params["AutomationExecutionId"] == execution for each in sent)

    async def _row(self, request: str) -> Record | None:
        place = self.world.aws.world
        return await self.rows.load(RequestKey(place.account, place.region, request))

    async def until(self, condition: Condition, request: str) -> Record:
        """Wait until the row is so, and look at it again whenever the process has written one; return it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                news = self.bot.news
                row = await self._row(request)
                if row and condition(row):
                    return row
                await news.wait()


@asynccontextmanager
async def rounds(monkeypatch: pytest.MonkeyPatch, folder: Path, *, defect: str = "") -> AsyncIterator[Rounds]:
    """Make the world and start the first process."""
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
