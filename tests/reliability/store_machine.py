"""A state machine of Hypothesis: any sequence of calls, to any of several stores on the same data, behaves like a dictionary.

Two calls are left out: `check` and `forget_expired`.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.domain.audit import EVENTS, AuditEntry
from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Person
from bot.domain.record import Lease, Record
from bot.domain.request import AccessRequest, Node, RequestKey, Status, Verdict
from bot.domain.spans import latest_end
from bot.domain.surface import Surface
from bot.ports.store import PersonalChat, Replica, Store
from tests.contract.stores import KINDS, Shelf
from tests.fakes.store import all_watched
from tests.fakes.strategies import REQUEST_KEYS, values

T = TypeVar("T")
START = datetime(2026, 4, 1, tzinfo=UTC)
SOON = st.integers(-5, 5).map(lambda seconds: START + timedelta(seconds=seconds))
WHICH = st.integers(0, 1)
NAMES = st.sampled_from(["a", "b", "c"])


class Stop(Exception):
    """An error that a change raises."""


class StoreMachine(RuleBasedStateMachine):
    """Two stores on the same data against a model of dictionaries. Subclasses choose the kind of store."""

    kind: ClassVar[str]
    pause: ClassVar[int] = 1  # steps between two full comparisons; one more follows at the end
    totals: ClassVar[Counter[str]] = (
        Counter()
    )  # examples, steps, full comparisons and divergences of all machines so far

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.shelf = self.shelf_in(Path(self.folder.name))
        self.stores: list[Store] = [self.run(self.shelf.open()) for _ in range(2)]
        self.rows: dict[RequestKey, Record] = {}
        self.chats: dict[str, PersonalChat] = {}
        self.urls: dict[str, str] = {}
        self.watermarks: dict[str, datetime] = {}
        self.sweeps: dict[str, tuple[str, datetime]] = {}
        self.replicas: dict[str, Replica] = {}
        self.trail: list[AuditEntry] = []
        self.steps = -1  # the invariant is first checked before any call
        self.totals["examples"] += 1

    def shelf_in(self, folder: Path) -> Shelf:
        return KINDS[self.kind](folder)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.totals["steps"] += self.steps
        if isinstance(sys.exception(), AssertionError):  # of a step
            self.totals["divergences"] += 1
        try:
            self.all_agrees()
        except AssertionError:
            self.totals["divergences"] += 1
            raise
        finally:
            self.run(self.shelf.close())
            self.runner.close()
            self.folder.cleanup()

    def change(self, which: int, key: RequestKey, **fields: Any) -> None:
        former = self.rows.get(key, Record(key, START))
        after = replace(former, **fields)
        if after != former:
            self.rows[key] = replace(after, version=former.version + 1)
        written = self.run(self.stores[which].apply(key, lambda row: replace(row, **fields), now=START))
        assert written == self.rows.get(key, former)
        assert self.run(self.stores[1 - which].load(key)) == self.rows.get(key)

    @rule(which=WHICH, key=REQUEST_KEYS, moment=st.none() | SOON)
    def set_due_time(self, which: int, key: RequestKey, moment: datetime | None) -> None:
        self.change(which, key, requeue_at=moment)

    @rule(which=WHICH, key=REQUEST_KEYS, status=st.sampled_from(Status), reason=st.text(max_size=10))
    def observe(self, which: int, key: RequestKey, status: Status, reason: str) -> None:
        self.change(which, key, request=AccessRequest(key, status, "arn", Node("i-0"), reason=reason))

    @rule(which=WHICH, key=REQUEST_KEYS, owner=NAMES, until=SOON)
    def lease(self, which: int, key: RequestKey, owner: str, until: datetime) -> None:
        self.change(which, key, lease=Lease(owner, until))

    @rule(which=WHICH, key=REQUEST_KEYS, surfaces=st.lists(values(Surface), max_size=2).map(tuple))
    def deliver(self, which: int, key: RequestKey, surfaces: tuple[Surface, ...]) -> None:
        self.change(which, key, surfaces=surfaces)

    @rule(which=WHICH, key=REQUEST_KEYS, name=NAMES, state=st.sampled_from(DecisionState))
    def decide(self, which: int, key: RequestKey, name: str, state: DecisionState) -> None:
        """A step of a decision is in the audit trail as soon as it is in the row."""
        known = {each.id: each for each in self.rows.get(key, Record(key, START)).decisions}
        former = known.get(name)
        made = Decision(name, Person(name, "tenant"), Verdict.APPROVE, "Level1", START, START, state=state)
        self.change(which, key, decisions=tuple((known | {name: made}).values()))
        if former is None or former.state is not state:
            facts = self.rows[key].request
            step = AuditEntry(START, EVENTS[state], str(key), "Level1", "approve", name, tenant="tenant", decision=name)
            self.trail.append(replace(step, state=str(facts.status) if facts else ""))

    @rule(which=WHICH, key=REQUEST_KEYS)
    def fail(self, which: int, key: RequestKey) -> None:
        def stop(_row: Record) -> Record:
            raise Stop

        try:
            self.run(self.stores[which].apply(key, stop, now=START))
        except Stop:
            return
        raise AssertionError("the error of a change must pass through")

    @rule(key=REQUEST_KEYS, writers=st.integers(2, 6))
    def write_at_once(self, key: RequestKey, writers: int) -> None:
        def add(row: Record) -> Record:
            return replace(row, reconcile_failures=row.reconcile_failures + 1)

        async def all_at_once() -> list[Record]:
            return await asyncio.gather(
                *(self.stores[number % 2].apply(key, add, now=START) for number in range(writers))
            )

        former = self.rows.get(key, Record(key, START))
        written = self.run(all_at_once())
        assert {row.version for row in written} == {former.version + 1 + number for number in range(writers)}
        self.rows[key] = max(written, key=lambda row: row.version)
        assert self.rows[key].reconcile_failures == former.reconcile_failures + writers

    @rule(which=WHICH, name=NAMES, conversation=NAMES)
    def remember_chat(self, which: int, name: str, conversation: str) -> None:
        self.chats[name] = PersonalChat(Person(name, "tenant"), conversation, "https://smba.example.com/")
        self.run(self.stores[which].remember_chat(self.chats[name]))

    @rule(which=WHICH, name=NAMES)
    def forget_chat(self, which: int, name: str) -> None:
        self.chats.pop(name, None)
        self.run(self.stores[which].forget_chat(name))

    @rule(which=WHICH, name=NAMES, url=NAMES)
    def remember_service_url(self, which: int, name: str, url: str) -> None:
        self.urls[name] = url
        self.run(self.stores[which].remember_service_url(name, url))

    @rule(which=WHICH, name=NAMES, moment=SOON)
    def sweep(self, which: int, name: str, moment: datetime) -> None:
        self.watermarks[name] = max(moment, self.watermarks.get(name, moment))
        self.run(self.stores[which].advance_watermark("111122223333", name, moment))

    @rule(which=WHICH, name=NAMES, owner=NAMES, until=SOON)
    def lease_a_sweep(self, which: int, name: str, owner: str, until: datetime) -> None:
        holder, held_until = self.sweeps.get(name, (owner, START))
        free = holder == owner or held_until <= START or held_until > latest_end(until, now=START)
        if free:
            self.sweeps[name] = (owner, until)
        leased = self.stores[which].lease_sweep("111122223333", name, owner, now=START, until=until)
        assert self.run(leased) == free

    @rule(which=WHICH, name=NAMES, knows=st.frozensets(NAMES), moment=SOON)
    def register_replica(self, which: int, name: str, knows: frozenset[str], moment: datetime) -> None:
        self.replicas[name] = Replica(name, knows, moment)
        self.run(self.stores[which].register_replica(self.replicas[name]))

    @rule(which=WHICH, name=NAMES, moment=SOON)
    def audit(self, which: int, name: str, moment: datetime) -> None:
        self.trail.append(AuditEntry(moment, name))
        self.run(self.stores[which].append_audit(self.trail[-1]))

    @precondition(lambda self: len(self.stores) < 4)
    @rule()
    def open_another(self) -> None:
        """A new process sees everything that earlier ones wrote."""
        self.stores[0] = self.run(self.shelf.open())
        self.stores.append(self.stores[0])

    @invariant()
    def everything_agrees(self) -> None:
        self.steps += 1
        if self.steps and self.steps % self.pause == 0:
            self.all_agrees()

    def all_agrees(self) -> None:
        self.totals["looks"] += 1
        self.rows_agree()
        self.lists_agree()
        self.the_rest_agrees()

    def rows_agree(self) -> None:
        for number, key in enumerate([*self.rows, RequestKey("999999999999", "eu-west-1", "oi-ffffffffffff")]):
            store = self.stores[(number + self.steps) % 2]
            assert self.run(store.load(key)) == self.rows.get(key)

    def lists_agree(self) -> None:
        store, rows = self.stores[1], self.rows.values()
        looks = sorted((row.requeue_at, str(row.key)) for row in rows if row.requeue_at)
        due = [RequestKey.parse(key) for moment, key in looks if moment <= START]
        assert list(self.run(store.due(START, 3))) == due[:3]
        assert self.run(store.next_due()) == (looks[0][0] if looks else None)
        watched = [row for row in rows if row.watched]
        assert list(self.run(all_watched(store)).rows) == sorted(
            watched, key=lambda row: (row.created_at, str(row.key))
        )
        found = sorted((row for row in rows if row.key.ops_item_id == "oi-000000000001"), key=lambda row: str(row.key))
        assert list(self.run(store.find("oi-000000000001"))) == found

    def the_rest_agrees(self) -> None:
        store = self.stores[1]
        assert list(self.run(store.personal_chats())) == [self.chats[name] for name in sorted(self.chats)]
        for name in "abc":
            assert self.run(store.personal_chat(name)) == self.chats.get(name)
            assert self.run(store.service_url(name)) == self.urls.get(name)
            assert self.run(store.watermark("111122223333", name)) == self.watermarks.get(name)
        registered = [self.replicas[name] for name in sorted(self.replicas) if self.replicas[name].seen_at >= START]
        assert list(self.run(store.replicas(START))) == registered
        trail = sorted((entry for entry in self.trail if entry.at >= START), key=lambda entry: entry.at)
        assert list(self.run(store.audit(START))) == trail


class MemoryMachine(StoreMachine):
    kind = "memory"


class SqliteMachine(StoreMachine):
    kind = "sqlite"


class DynamoMachine(StoreMachine):
    kind = "dynamodb"
    pause = 10  # a full comparison makes some thirty calls over HTTP


MACHINES: Final[tuple[type[StoreMachine], ...]] = (MemoryMachine, SqliteMachine, DynamoMachine)
