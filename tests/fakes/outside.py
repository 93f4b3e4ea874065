"""Everything that outlives a process: AWS, Teams, the queue, the store, the time, and the clicks of people.

A copy has the state that a crash at that time leaves, and the next process starts with this state only.
"""

import asyncio
import copy
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from bot.domain.access.endings import EndState
from bot.domain.audit import END_EVENTS
from bot.domain.identity import Person, Principal
from bot.domain.record import Record
from bot.domain.request import STATUS_AFTER, AccessRequest, Level, RequestKey, Status, Withdrawal
from bot.domain.routing import Channel
from bot.domain.shown.card_places import is_copy
from bot.domain.shown.direct import is_living_copy
from bot.domain.shown.surfaces import desired
from bot.domain.shown.wanted import Wanted
from bot.domain.surface import DeliveryState, SurfaceKind
from bot.rendering import render
from bot.service.clicks.click import ACTIONS, OF_REQUESTER, Click, Verb
from bot.service.current_configuration import CurrentConfiguration
from tests.fakes.aws import LEAD, ROLE, FakeAws
from tests.fakes.card_text import without_viewers
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, FakeChat, FakePeople, person
from tests.fakes.clock import ManualClock
from tests.fakes.gates import Gate, Gated
from tests.fakes.queue import MemoryQueue
from tests.fakes.sessions import FakeSessions
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.world import World, current_configuration

MEI, PRIYA = person(3), person(4)
# the beginnings of the ARNs of people's sessions
SESSIONS = tuple(role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") for role in (ROLE, LEAD))
NAMING = "障害対応のため @hanako.sato@example.com に確認済みです"  # a reason with a mention, so that a roster is read
LONG_QUIET = 60.0  # seconds; work that is due later does not count


@dataclass(slots=True)
class Outside:
    """The state of everything outside the process, with one request."""

    clock: ManualClock
    aws: FakeAws
    chat: FakeChat
    queue: MemoryQueue
    sessions: FakeSessions = field(default_factory=FakeSessions)
    tables: Tables = field(default_factory=Tables)
    configuration: CurrentConfiguration = field(default_factory=current_configuration)
    people: FakePeople = field(default_factory=lambda: FakePeople([HANAKO, ICHIRO, MEI, PRIYA, TARO_PERSON]))
    clicked: set[tuple[str, str, str]] = field(default_factory=set)  # session name, step, verdict
    done: int = 0  # steps of a story that have ended
    begun: int = 0  # steps of a story that have begun
    crashes: int = 0

    @classmethod
    def new(cls, configuration: CurrentConfiguration | None = None) -> "Outside":
        """Return surroundings in which no request was made."""
        clock = ManualClock()
        aws, configuration = FakeAws(clock), configuration or current_configuration()
        sessions = FakeSessions().copied(clock, aws.requests)
        return cls(clock, aws, FakeChat(), MemoryQueue(clock), sessions, configuration=configuration)

    def copied(self) -> "Outside":
        """Return a copy that shares only `people`. Planned faults of Teams and all gates are left out."""
        clock = ManualClock(self.clock.now())
        tables = Tables(**{name: copy.copy(getattr(self.tables, name)) for name in Tables.__slots__})
        queue = MemoryQueue(clock)
        queue.hints = list(self.queue.hints)
        aws = self.aws.copied(clock)
        return replace(
            self,
            clock=clock,
            aws=aws,
            sessions=self.sessions.copied(clock, aws.requests),
            chat=self.chat.copied(),
            configuration=replace(self.configuration),
            queue=queue,
            tables=tables,
            clicked=set(self.clicked),
        )

    @property
    def marks(self) -> tuple[object, ...]:
        """Return values that change with rows, audit trail, sweeps, messages, signals, events and clicks."""
        tables, chat = self.tables, self.chat.sent.values()
        return (
            *(record.version for record in tables.records.values()),
            len(tables.audit),
            *tables.watermarks.values(),
            *tables.sweep_leases.values(),
            sum(len(sent.versions) for sent in chat),
            (len(self.aws.signals), len(self.aws.effects), len(self.queue.hints)),
            (self.begun, self.done, len(self.clicked), len(self.sessions.end_calls)),
        )

    @property
    def key(self) -> RequestKey:
        """Return the one request's key."""
        (key,) = self.aws.requests
        return key

    @property
    def truth(self) -> AccessRequest:
        """Return the one request as it is in AWS."""
        return self.aws.requests[self.key]

    def row(self) -> Record | None:
        """Return the row of the one request, or None."""
        return self.tables.records.get(self.key) if self.aws.requests else None

    def waits_at(self, step: str) -> bool:
        """True while AWS waits for votes on this step."""
        return self.truth.waiting is not None and self.truth.waiting.step == step

    def takes(self, verb: Verb, step: str) -> bool:
        """True while the request in AWS allows this verb at this step, or the row has no mark of a reviewer there."""
        match verb:
            case Verb.REFRESH:
                return False  # it has no effect
            case Verb.REVIEWING:
                row = self.row()
                return self.waits_at(step) and not (row and row.reviews)
            case Verb.REVOKE | Verb.GIVE_BACK | Verb.END_SESSIONS:
                return self.truth.status is Status.APPROVED
            case Verb.CANCEL:
                return self.truth.status is Status.PENDING
            case _:
                return self.waits_at(step)

    def at_rest(self) -> bool:
        """True if no work is left.

        No event waits. If there is a request, it has a row without live decisions and lease, which is not due within
        LONG_QUIET, and no signal has its effect still to come. No session is left that AWS was asked to end and lists
        as open: the next round asks again.
        """
        if self.queue.hints or not self.aws.requests:
            return not self.queue.hints
        row = self.row()
        if row is None or row.live_decisions or row.lease or self.aws.coming:
            return False
        if row.ending and row.ending.count(EndState.ASKED, EndState.UNCONFIRMED):
            return False
        due_in = (row.requeue_at - self.clock.now()).total_seconds() if row.requeue_at else None
        return due_in is None or due_in > LONG_QUIET


class Process:
    """One process of the program over these surroundings, with a gate around each port."""

    def __init__(self, outside: Outside, gate: Gate, *, owner: str, store: MemoryStore | None = None) -> None:
        def gated(port: object, name: str) -> Any:
            return Gated(port, name, gate)

        self.outside = outside
        self.world = World(
            outside.clock,
            cast("FakeAws", gated(outside.aws, "Requests")),
            cast("FakeChat", gated(outside.chat, "Chat")),
            cast("FakePeople", gated(outside.people, "People")),
            gated(store or MemoryStore(outside.tables), "Store"),
            outside.configuration,
            owner,
            sessions=gated(outside.sessions, "Sessions"),
        )
        intake = self.world.intake(gated(outside.queue, "Queue"))
        loops = (self.world.reconcile_loop.run(), self.world.sweep.run(), intake.run())
        self.loops = [asyncio.create_task(loop) for loop in loops]

    def press(self, who: Person, verb: Verb, step: str, *, where: str = CHANNEL) -> asyncio.Task[object]:
        """Click a button as this person on the card in a channel, or in their own chat to cancel or give back.

        The task returns the answer if the process survives; for an automatic refresh, the card.
        """
        self.outside.clicked.add((who.session_name.casefold(), step, str(ACTIONS.get(verb, verb))))
        world, key = self.world, self.outside.key
        if verb in OF_REQUESTER:
            return asyncio.create_task(world.click_handler.click(world.withdrawn(key, who, verb)))
        card = self.outside.chat.posted_in(where)
        click = Click(who, f"{where};messageid={card}", verb, str(key), step, "ok", card)
        if verb is Verb.REFRESH:
            return asyncio.create_task(world.click_handler.refresh(replace(click, manual=False)))
        return asyncio.create_task(world.click_handler.click(click))


# --- conditions at the end -----------------------------------------------------------------------------------------


def votes(outside: Outside) -> set[tuple[str, str, str]]:
    """Return session name, step and verdict of each vote from Teams that AWS counted."""
    return {
        (Principal.parse(vote.by).session or "", level.step, vote.verdict.value)
        for level in outside.truth.levels
        for vote in level.votes or ()
        if vote.by.startswith(SESSIONS)
    }


def taken_back(outside: Outside) -> set[tuple[str, str, str]]:
    """Return session name, step and verb of the revocation or cancellation from Teams that took effect in AWS.

    A correct bot causes at most one.
    """
    status = outside.truth.status
    return {
        ((each.session_name or "").casefold(), step, verb)
        for each in outside.aws.effects
        for _, step, verb in outside.clicked
        if each.action == verb and isinstance(each.action, Withdrawal) and STATUS_AFTER[each.action] is status
    }


def doubled(outside: Outside) -> int:
    """Return how many calls AWS accepted in addition to one for each click at its own step."""
    back = min(1, len(taken_back(outside) & outside.clicked))  # a request is withdrawn at most once
    return len(outside.aws.effects) - len(votes(outside) & outside.clicked) - back


def misended(outside: Outside) -> list[str]:
    """Return the sessions that AWS was wrongly asked to end, and those that are wrongly open or not in the trail."""
    row, sessions = outside.row(), outside.sessions.sessions.values()
    own = {each.id for each in sessions if each.owner.endswith(f"/{TARO_PERSON.session_name}")}
    if row is None or not row.endings or row.endings[-1].stopped:
        return [f"{name} was ended" for name, _ in outside.sessions.end_calls if name not in own]
    noted = {each.session for each in outside.tables.audit if each.event == END_EVENTS[EndState.ENDED]}
    wrongly = [f"{name} was ended" for name, _ in outside.sessions.end_calls if name not in own]
    left = [f"{each.id} is open" for each in sessions if each.open and each.id in own]
    return [*wrongly, *left, *(f"{name} is not in the trail" for name in own - noted)]


def approved_twice(outside: Outside) -> set[str]:
    """Return the session names whose approvals from Teams AWS counted at more than one level."""
    names = Counter(name for name, _, verdict in votes(outside) if verdict == Verb.APPROVE)
    return {name for name, count in names.items() if count > 1}


def extras(outside: Outside) -> int:
    """Return how many messages in Teams exceed one for each card, note and direct message of the row.

    A copy that was adopted counts as an extra message too.
    """
    row = outside.row()
    copies = [each for each in row.surfaces if is_copy(each.name) or is_living_copy(each.name)] if row else []
    kept = {each.activity_id for each in row.surfaces if each not in copies} if row else set()
    return len(outside.chat.sent.keys() - kept)


def untimely(outside: Outside, *, late: timedelta = timedelta(0)) -> list[str]:
    """Return the reminders that came before their time, or that became due more than `late` after their level's end.

    Without a crash, also those that never came although they were due more than `late` before it.
    """
    row = outside.row()
    home = outside.configuration.value.home(row) if row else None
    if row is None or home is None:
        return ["no row"]
    sent = {each.name for each in row.surfaces if each.delivery is DeliveryState.DELIVERED}
    problems = []
    cancelled = [each.settled_at for each in row.decisions if each.verdict is Withdrawal.CANCEL and each.settled_at]
    for level in (each for each in outside.truth.levels if each.started_at):
        end = level.ended_at or min(cancelled, default=outside.clock.now())  # a cancelled level has no end in AWS
        for name, moment in _reminders(home, level):
            wrong = moment > end + late if name in sent else moment < end - late and not outside.crashes
            problems += [f"{name} is {'sent' if name in sent else 'missing'}"] if wrong else []
    return problems


def _reminders(home: Channel, level: Level) -> list[tuple[str, datetime]]:
    """Return the surface and the moment of each reminder. Of those that the quiet hours hold, the latest counts."""
    moments = {home.held(level.started_at + span): span for span in home.remind_after} if level.started_at else {}
    return [(f"note:remind:{level.step}:{int(span.total_seconds())}", moment) for moment, span in moments.items()]


def wrong(outside: Outside) -> list[str]:
    """Return the differences between Teams and AWS. Empty once everything has converged."""
    row, configuration = outside.row(), outside.configuration.value
    if row is None or row.request is None:
        return ["no row"]
    true = replace(row, request=outside.truth)
    wanted = desired(true, configuration, outside.clock.now())
    problems = [f"row has {row.request.status}" for _ in range(1) if row.request != outside.truth]
    problems += [f"{each.id} is {each.state}" for each in row.live_decisions]
    problems += [problem for want in wanted if (problem := _undelivered(outside, row, want))]
    return [*problems, *_buttons(outside, row), *_missing_notes(outside)]


def _missing_notes(outside: Outside) -> list[str]:
    """Return a line for each verdict from Teams with fewer notes in the thread than calls to AWS."""
    calls = Counter(verdict for _, _, verdict in votes(outside) | taken_back(outside))
    notes = [each.card for each in outside.chat.of("reply")]
    return [
        f"{count} x {verdict} is not reported"
        for verdict, count in calls.items()
        if sum(_CALLS[verdict] in card for card in notes) < count
    ]


_CALLS = {
    "approve": "SendAutomationSignal Approve",
    "reject": "SendAutomationSignal Reject",
    "revoke": "SendAutomationSignal Revoke",
    "give_back": "SendAutomationSignal Revoke",
    "cancel": "StopAutomationExecution Cancel",
}


def _undelivered(outside: Outside, row: Record, want: Wanted) -> str | None:
    surface = row.surface(want.name)
    if surface is None:
        return f"{want.name} is missing"
    if want.overtaken and surface.delivery is DeliveryState.SKIPPED:
        return None
    sent = outside.chat.sent.get(surface.activity_id or "")
    if surface.delivery is not DeliveryState.DELIVERED or sent is None:
        return f"{want.name} is {surface.delivery}"
    card = render(want.view, locale=want.channel.locale, timezone=want.channel.timezone)
    if want.kind.in_place and without_viewers(sent.versions[-1].card) != without_viewers(card):
        return f"{want.name} shows something else"
    return None


def _buttons(outside: Outside, row: Record) -> list[str]:
    cards = [each for each in row.surfaces if each.kind is SurfaceKind.CARD and each.activity_id in outside.chat.sent]
    shown = [outside.chat.sent[each.activity_id or ""].buttons for each in cards]
    waits = outside.truth.waiting is not None
    right = any(shown) if waits else not any(shown)  # a second channel may not decide the waiting level
    return [] if right else [f"buttons: {shown}"]
