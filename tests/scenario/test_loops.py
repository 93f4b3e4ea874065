"""The loops survive failures of one request, the store, the queue or AWS, and never spin."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bot.domain.record import ROW_LEASE, Record
from bot.domain.request import AccessRequest, RequestKey, Status, Verdict
from bot.ports.aws import AwsUnavailable, Hint
from bot.ports.store import MOST_IN_PAGE, Change, Place, StoreUnavailable, Watched
from bot.service.reconcile.loop import SHORTEST_SLEEP, SIDE_BY_SIDE
from bot.service.sources.installation_events import InstallationEvents
from bot.service.sources.intake import QUEUE
from bot.telemetry import Telemetry
from tests.fakes.aws import ACCOUNT, REGION, FakeAws, key_of
from tests.fakes.chat import HANAKO
from tests.fakes.clock import turns_during
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, new_world


class RefusingStore(MemoryStore):
    """A store that refuses the calls in `refused`."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.refusals = 0
        self.asked_for_due = 0

    def refuse(self, call: str) -> None:
        """Raise StoreUnavailable if this call is in `refused`."""
        if call in self.refused:
            self.refusals += 1
            raise StoreUnavailable(call)

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        """Return the due rows."""
        self.asked_for_due += 1
        self.refuse("due")
        return await super().due(now, limit)

    async def next_due(self) -> datetime | None:
        """Return the earliest due time."""
        self.refuse("next_due")
        return await super().next_due()

    def watched(self, place: Place | None = None, **named: Any) -> AsyncIterator[Watched]:
        """Yield the watched rows."""
        self.refuse("watched")
        return super().watched(place, **named)

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write."""
        self.refuse("apply")
        return await super().apply(key, change, now=now)


def with_refusing_store(world: World) -> RefusingStore:
    """Replace the world's store by one that can refuse."""
    store = RefusingStore()
    world.store = store
    world.build()
    return store


async def test_request_whose_reconcile_raises_an_unforeseen_error_does_not_stop_other_requests(world: World) -> None:
    """The request is retried after a minute; meanwhile another request gets its card."""
    bad, good = world.aws.add(1), world.aws.add(2)
    world.aws.before["observe"].append(ZeroDivisionError("an unforeseen error"))
    async with world.running():
        await world.rows.requeue(bad)
        await world.clock.advance(1)
        await world.rows.requeue(good)
        await world.clock.advance(1)
        assert len(world.chat.of("post")) == 1
        await world.clock.advance(61)
    assert len(world.chat.of("post")) == 2


async def test_reconcile_loop_retries_an_unavailable_store_without_spinning(world: World) -> None:
    """In a minute, the store refuses more than 10 and fewer than 200 calls. The loop continues once the store works."""
    store = with_refusing_store(world)
    key = world.aws.add()
    await world.rows.requeue(key)
    store.refused = {"due", "next_due", "apply"}
    async with world.running():
        await world.clock.advance(60)
        assert 10 < store.refusals < 200
        store.refused = set()
        await world.clock.advance(5)
    assert len(world.chat.of("post")) == 1


async def test_row_that_cannot_be_written_does_not_make_the_reconcile_loop_spin(world: World) -> None:
    """The store refuses every write for a minute, and is asked for due rows at most 200 times. Then the card comes."""
    store = with_refusing_store(world)
    await world.rows.requeue(world.aws.add())
    store.refused = {"apply"}
    async with world.running():
        await world.clock.advance(60)
        assert 10 < store.refusals < 200
        assert store.asked_for_due < 200
        store.refused = set()
        await world.clock.advance(15)
    assert len(world.chat.of("post")) == 1


async def test_row_that_cannot_be_written_is_tried_again_half_a_second_one_and_two_seconds_later(world: World) -> None:
    """The loop looks for due rows each second, so the tries are after 1, 2 and 4 seconds."""
    store = with_refusing_store(world)
    await world.rows.requeue(world.aws.add())
    store.refused = {"apply"}
    tries = []
    async with world.running():
        for _ in range(5):
            await world.clock.advance(0.1)
            tries.append(store.refusals)
            await world.clock.advance(0.9)
    assert tries == [1, 2, 3, 3, 4]


async def test_lagging_index_of_due_rows_does_not_make_the_reconcile_loop_spin(world: World) -> None:
    """`next_due` returns a past time, but `due` does not return the row. The loop pauses between its calls of `due`."""

    class Lagging(MemoryStore):
        asked = 0

        async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
            self.asked += 1
            return ()

    store = world.store = Lagging()
    world.build()
    await world.rows.requeue(world.aws.add())
    async with world.running():
        await world.clock.advance(60)
    assert 60 <= store.asked <= 60 / SHORTEST_SLEEP + 2


async def test_row_leased_by_another_process_is_reconciled_after_the_lease_has_ended(world: World) -> None:
    """Until then, the process does not read AWS."""
    key = world.aws.add()
    await world.rows.requeue(key)
    await world.rows.lease(key, "another process")
    await world.rows.requeue(key)
    async with world.running():
        await world.clock.advance(20)
        assert world.chat.sent == {}
        await world.clock.advance(15)
    assert len(world.chat.of("post")) == 1
    assert world.aws.count("observe") == 1


async def test_sweep_finds_the_request_that_the_last_sweep_missed_because_the_store_failed(world: World) -> None:
    """The request gets its card. Meanwhile the problem of the sweep is what the store said."""
    store = with_refusing_store(world)
    world.aws.add()
    store.refused = {"watched"}
    async with world.running():
        await world.sweep.sweep()
        assert world.telemetry.health.problems() == {f"sweep {ACCOUNT} {REGION}": "watched"}
        store.refused = set()
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert len(world.chat.of("post")) == 1


class UnreachableQueue:
    """A queue that does not answer its first calls."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.asked = 0
        self.empty = asyncio.Event()  # ends one long poll without a message

    async def check(self) -> None:
        """Refuse the first calls."""
        self.asked += 1
        if self.asked <= self.refusals:
            raise AwsUnavailable("AWS.SimpleQueueService.NonExistentQueue")

    async def receive(self) -> Sequence[Hint]:
        """Refuse the first calls, then wait for messages that do not come."""
        await self.check()
        await self.empty.wait()
        self.empty.clear()
        return []

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Do nothing: there is no message."""


async def test_unreachable_queue_is_reported_as_missing_until_it_answers(world: World) -> None:
    """The missing check has AWS's error code and what to do. The queue is asked again every five seconds."""
    telemetry = Telemetry(CollectorRegistry())
    telemetry.health.expect(QUEUE)
    queue = UnreachableQueue(refusals=2)
    running = asyncio.create_task(world.intake(queue, telemetry=telemetry).run())
    await world.clock.advance(1)
    assert telemetry.health.missing()[QUEUE].startswith(
        "AWS.SimpleQueueService.NonExistentQueue: there is no such queue"
    )
    await world.clock.advance(4.5)
    assert queue.asked == 2
    await world.clock.advance(5)
    assert queue.asked == 3
    queue.empty.set()
    await world.clock.advance(1)
    assert telemetry.health.missing() == {}
    running.cancel()


async def test_fifty_simultaneous_requests_all_get_their_cards(world: World) -> None:
    """Fifty requests are more than the loop reconciles at the same time."""
    keys: list[RequestKey] = [world.aws.add(number) for number in range(1, 51)]
    async with world.running():
        for key in keys:
            await world.rows.requeue(key)
        await world.clock.advance(2)
    assert len(world.chat.of("post")) == 50


async def test_requests_leased_by_another_process_do_not_delay_other_requests() -> None:
    """Another process is slow with eight due requests. The ninth gets its card from this process within two seconds."""
    store = MemoryStore()
    busy = new_world(store=store)
    free = replace(busy, store=MemoryStore(store.tables), owner="replica-2")
    observed = busy.aws.gates["observe"] = asyncio.Event()
    async with busy.running():
        for number in range(1, 9):
            await busy.rows.requeue(busy.aws.add(number))
        await busy.clock.advance(1)
        for number in range(1, 9):
            await busy.rows.requeue(busy.aws.add(number))
        del busy.aws.gates["observe"]
        await free.rows.requeue(busy.aws.add(9))
        async with free.running():
            await busy.clock.advance(2)
            posted = len(busy.chat.of("post"))
            observed.set()
            await busy.clock.advance(1)
    assert (posted, len(busy.chat.of("post"))) == (1, 9)


@pytest.mark.parametrize("writes", [False, True], ids=["nothing is written", "the card is updated"])
async def test_event_during_a_reconcile_that_outlasts_its_lease_is_not_lost(world: World, writes: bool) -> None:
    """The facts from AWS are half a minute old when they arrive.

    An event meanwhile makes the row due again, so the card shows the approval.
    """
    key = await world.posted()
    if writes:
        world.aws.requests[key] = replace(world.aws.requests[key], reason="another reason")
    slow = world.aws.observe
    gate = world.aws.gates["observe"] = asyncio.Event()

    async def observe(key: RequestKey) -> AccessRequest:
        facts = world.aws.requests[key]
        await slow(key)
        return facts

    world.aws.observe = observe  # type: ignore[method-assign]  # returns the facts from the beginning of the call
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(ROW_LEASE.total_seconds() + 1)
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        gate.set()
        await world.clock.advance(2)
    assert "Approved" in world.chat.of("post")[0].card


@pytest.mark.parametrize("many", [SIDE_BY_SIDE, 60])
async def test_unreadable_rows_do_not_delay_the_card_of_another_request(many: int) -> None:
    """A newer version wrote rows that this version cannot read. They get their cards once they are readable."""

    class Newer(MemoryStore):
        async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
            if key in unreadable:
                raise StoreUnavailable(f"request {key} cannot be read")
            return await super().apply(key, change, now=now)

    unreadable: set[RequestKey] = set()
    world = new_world(store=Newer())
    for number in range(1, many + 2):
        await world.rows.requeue(world.aws.add(number))
        await world.clock.advance(0.1)
    unreadable.update(key for key in world.aws.requests if key != key_of(many + 1))
    async with world.running():
        await world.clock.advance(10)
        posted = len(world.chat.of("post"))
        unreadable.clear()
        await world.clock.advance(20)
    assert (posted, len(world.chat.of("post"))) == (1, many + 1)


@pytest.mark.parametrize(("days", "events"), [(0, False), (2, False), (0, True)], ids=["file", "weekend", "events"])
async def test_card_of_a_decided_request_is_updated_without_waiting_for_299_other_due_requests(
    days: int, *, events: bool
) -> None:
    """AWS allows three reads a second, and the card has no buttons a minute after the click.

    The requests are due because the file changed, because it changed before a weekend's downtime, or because of events.
    """

    class Quota(FakeAws):
        pause, turn = 0.0, asyncio.Lock()

        async def observe(self, key: RequestKey) -> AccessRequest:
            async with self.turn:
                await self._clock.sleep(self.pause)
            return await super().observe(key)

    world = new_world()
    world.aws = aws = Quota(world.clock)
    world.build()
    keys = [aws.add(number) for number in range(1, 301)]
    for key in keys:
        await world.shown(key)
    aws.pause = 1 / 3
    now = world.clock.now()

    def due(row: Record) -> Record:
        return row.requeue_soon(now) if events else row.requeue_by(now)

    for key in keys[1:]:
        await world.rows.apply(key, due)
    await world.clock.advance(days * 86400 + 0.1)
    async with world.running():
        click = asyncio.create_task(world.press(keys[0], HANAKO))
        await world.clock.advance(60)
        await click
        decided, buttons = world.aws.requests[keys[0]].status, world.chat.of("post")[0].buttons
        await world.clock.advance(120)
    assert (decided, buttons) == (Status.APPROVED, False)


async def test_decided_request_is_due_before_a_request_that_was_due_earlier(world: World) -> None:
    """Another request has been due for a minute when AWS answers the signal."""
    decided, other = world.aws.add(1), world.aws.add(2)
    await world.shown(decided)
    await world.rows.requeue(other)
    await world.clock.advance(60)
    click = asyncio.create_task(world.press(decided, HANAKO))
    await world.clock.advance(1)
    assert await world.store.due(world.clock.now(), 1) == [decided]
    await world.clock.advance(10)
    await click


async def test_event_loop_runs_other_tasks_while_an_installation_event_reads_all_rows(world: World) -> None:
    """All open requests are read page by page. Other tasks run at least once per page."""
    await world.posted_many(2000)
    events = InstallationEvents(rows=world.rows, clock=world.clock, telemetry=world.telemetry)
    assert await turns_during(events.arrived()) >= 2000 / MOST_IN_PAGE
