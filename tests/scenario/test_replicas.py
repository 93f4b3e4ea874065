"""Values that earlier versions cannot read are written only once every replica can read them."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from bot.domain.decision import DecisionState, Outcome
from bot.domain.record import Record
from bot.ports.store import Replica
from bot.service.replicas import KNOWN, RUNNING, Replicas
from bot.telemetry import Telemetry
from tests.fakes.chat import HANAKO
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.fakes.world import World
from tests.unit.domain.sample import KEY, NOW, decision

ROW = Record(
    KEY,
    NOW,
    decisions=(
        replace(decision(HANAKO, state=DecisionState.RELEASED), outcome=Outcome.NOT_PERMITTED, detail="paused"),
    ),
)


def replicas(store: MemoryStore, clock: ManualClock, owner: str = "one", *, expected: int = 2) -> Replicas:
    telemetry = Telemetry(CollectorRegistry())
    return Replicas(store=store, clock=clock, telemetry=telemetry, owner=owner, expected=expected)


def outcome(stored_by: Replicas) -> Outcome | None:
    """Return the outcome that this replica would store for a decision that is no longer permitted."""
    return stored_by.storable(ROW).decisions[0].outcome


async def test_new_values_are_stored_only_after_all_expected_replicas_have_registered() -> None:
    """Until two replicas are registered, each stores what earlier versions can read."""
    store, clock = MemoryStore(), ManualClock()
    one, two = replicas(store, clock), replicas(store, clock, "two")
    assert outcome(one) is Outcome.NOT_ROUTED
    await one.register()
    assert outcome(one) is Outcome.NOT_ROUTED
    await two.register()
    await one.register()
    assert (outcome(one), outcome(two)) == (Outcome.NOT_PERMITTED, Outcome.NOT_PERMITTED)


def test_values_that_every_version_can_read_are_stored_as_they_are() -> None:
    """A row with a new value keeps the outcomes and details of its other decisions."""
    denied = replace(
        decision(HANAKO, state=DecisionState.REFUSED, step="Level2"), outcome=Outcome.AWS_DENIED, detail="x"
    )
    live = decision(HANAKO, step="Level3")
    row = replace(ROW, decisions=(*ROW.decisions, denied, live))
    assert replicas(MemoryStore(), ManualClock()).storable(row).decisions[1:] == (denied, live)


async def test_new_values_are_not_stored_while_a_replica_that_cannot_read_them_runs() -> None:
    """An older replica that joins, for example after a rollback, stops the new values until it is no longer listed."""
    store, clock = MemoryStore(), ManualClock()
    one, two = replicas(store, clock), replicas(store, clock, "two")
    await two.register()
    await store.register_replica(Replica("older", frozenset(), clock.now()))
    await one.register()
    assert outcome(one) is Outcome.NOT_ROUTED
    await clock.advance(RUNNING.total_seconds() + 1)
    await two.register()
    await one.register()
    assert outcome(one) is Outcome.NOT_PERMITTED


async def test_single_expected_replica_stores_new_values_immediately() -> None:
    """One expected replica waits for no other. If an older one runs all the same, new values are no longer stored."""
    store, clock = MemoryStore(), ManualClock()
    alone = replicas(store, clock, expected=1)
    assert outcome(alone) is Outcome.NOT_PERMITTED
    await store.register_replica(Replica("older", frozenset(), clock.now()))
    await alone.register()
    assert outcome(alone) is Outcome.NOT_ROUTED


async def test_replica_stays_registered_while_it_runs() -> None:
    """The replica registers repeatedly, also after the store was unavailable at its start."""
    store, clock = MemoryStore(), ManualClock()
    store.broken = True
    running = asyncio.create_task(replicas(store, clock).run())
    await clock.advance(1)
    store.broken = False
    await clock.advance(2 * RUNNING.total_seconds())
    (entry,) = await store.replicas(clock.now() - RUNNING)
    assert (entry.owner, entry.knows) == ("one", KNOWN)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("known", [True, False])
async def test_row_is_written_with_values_that_every_replica_can_read(world: World, *, known: bool) -> None:
    """A value that an older replica cannot read is replaced before the write. Without such a replica, it is kept."""
    if not known:
        await world.store.register_replica(Replica("older", frozenset(), world.clock.now()))
        await world.replicas.register()
    key = await world.posted()
    written = await world.rows.apply(key, lambda row: row.with_decision(ROW.decisions[0]))
    assert written.decisions[-1].outcome is (Outcome.NOT_PERMITTED if known else Outcome.NOT_ROUTED)
