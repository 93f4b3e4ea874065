"""Figure 8: every request has one row and one card, however SQS delivers its messages.

Each seed makes a random schedule on a manual clock: copies, any order, visibility timeouts during work, failing deletes
and a failing store. Two negative controls show that the proof detects a lost card and a doubled card.
"""

import asyncio
from datetime import datetime
from random import Random

import pytest

from bot.aws import queue as queue_module
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.aws import Hint, Queue
from bot.ports.store import Change, Store, StoreUnavailable
from bot.sandbox.aws.world import MAX_RECEIVES
from bot.service.rows import Rows
from bot.service.sources.intake import Intake
from bot.store.rows import apply_change
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import staged
from tests.fakes.clock import ManualClock
from tests.fakes.queue import INVISIBLE, FakeSqs, LossyQueue
from tests.fakes.store import MemoryStore, all_watched
from tests.fakes.world import World, new_world
from tests.figures import Figure, size

KIND = "Requester Access Request Status Update"
REQUESTS = 3
SLOWEST = 90.0  # seconds for one write; longer than the visibility timeout of a message
LONG_ENOUGH = 30  # minutes on the manual clock, after which the queue must be empty
MOST_FAILURES = 3  # failed writes per request; below MAX_RECEIVES, so no message becomes a dead letter


class FailingStore:
    """A slow store with random failures, for the intake only. The reconcile loop uses the store that works."""

    def __init__(self, store: Store, clock: ManualClock, chance: Random) -> None:
        self._store, self._clock, self._chance = store, clock, chance
        self._failures: dict[RequestKey, int] = {}

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Sometimes wait for a random time. Then fail, or write."""
        if self._chance.random() < 0.3:
            await self._clock.sleep(self._chance.uniform(0, SLOWEST))
        left = self._failures.setdefault(key, self._chance.randint(0, MOST_FAILURES))
        if left:
            self._failures[key] = left - 1
            raise StoreUnavailable("random failure")
        return await self._store.apply(key, change, now=now)

    async def next_due(self) -> datetime | None:
        """Return the next due time, or fail in one of ten calls."""
        if self._chance.random() < 0.1:
            raise StoreUnavailable("random failure")
        return await self._store.next_due()


class OverwritingStore(MemoryStore):
    """A defective, slow store: it overwrites rows that others have written since its read."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock, self.delay = clock, 1.5  # seconds; longer than the pause between two reads of the due rows

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write the row that was computed before the delay."""
        written = apply_change(await self.load(key), key, change, now=now)
        await self.clock.sleep(self.delay)
        return self._keep(*written)


async def schedule(seed: int, *, queue: type[FakeSqs] = FakeSqs, overwriting: bool = False) -> list[int]:
    """Play one schedule with two processes. Return how many cards each request has."""
    chance, first = Random(seed), new_world()
    if overwriting:
        first.store = OverwritingStore(first.clock)
        first.build()
    second = World(first.clock, first.aws, first.chat, first.people, first.store, owner="replica-2")
    sqs = queue(first.clock, chance, trouble=0.2)
    keys = [first.aws.add(number) for number in range(1, REQUESTS + 1)]
    for key in keys:
        sqs.send(Hint("", key, KIND), copies=chance.randint(1, 4))
    failing = FailingStore(first.store, first.clock, chance)
    intakes = [asyncio.create_task(intake_of(first, sqs, store=failing).run()) for _ in range(2)]
    async with first.running(), second.running():
        for _ in range(LONG_ENOUGH):
            if not sqs.kept:
                break
            await first.clock.advance(60)
        if isinstance(first.store, OverwritingStore):
            first.store.delay = 0.0  # lets all pending work end
        await first.clock.advance(30)
    for each in intakes:
        each.cancel()
    await asyncio.gather(*intakes, return_exceptions=True)
    assert sqs.kept == []
    return [_cards(first, key) for key in keys]


def intake_of(world: World, queue: Queue, *, store: FailingStore | None = None) -> Intake:
    """Return an intake that writes to the rows of the world, or to rows on `store` if there is one.

    Rows on `store` wake no reconcile loop, so that both loops find a due row at the same time.
    """
    if store is None:
        return world.intake(queue)
    rows = Rows(store, world.clock, storable=world.replicas.storable)  # type: ignore[arg-type]  # has what the intake calls
    return world.intake(queue, rows=rows)


def _cards(world: World, key: RequestKey) -> int:
    return sum(key.ops_item_id in sent.card for sent in world.chat.of("post"))


async def test_each_request_has_one_card_however_sqs_delivers_its_messages(figure: Figure) -> None:
    """SQS delivers one to four copies, in any order and late. Deletes and the store sometimes fail."""
    seeds = size(ci=20, long=1000)
    wrong = [seed for seed in range(seeds) if await schedule(seed) != [1] * REQUESTS]
    figure(8, schedules=seeds, wrong=len(wrong))
    assert wrong == []


async def test_control_request_has_no_card_if_the_queue_loses_messages(figure: Figure) -> None:
    """Negative control: with an at-most-once queue, some request has no card."""
    seeds = size(ci=6, long=200)
    lost = len([seed for seed in range(seeds) if 0 in await schedule(seed, queue=LossyQueue)])
    figure(8, control="at-most-once queue", schedules=seeds, noticed=lost)
    assert lost > 0


async def test_control_store_without_compare_and_set_makes_two_cards(figure: Figure) -> None:
    """Negative control: without compare-and-set, two processes post the same card."""
    seeds = size(ci=6, long=200)
    doubled = len([seed for seed in range(seeds) if max(await schedule(seed, overwriting=True)) > 1])
    figure(8, control="store without compare-and-set", schedules=seeds, noticed=doubled)
    assert doubled > 0


# --- poison


@pytest.mark.parametrize("poison", [1, 25])
async def test_unreadable_messages_do_not_delay_cards_and_end_in_the_dead_letter_queue(
    poison: int, figure: Figure
) -> None:
    """Cards are posted within 30 seconds, even if there are more unreadable messages than a batch holds."""
    world = new_world()
    sqs = FakeSqs(world.clock, Random(poison))
    keys = [world.aws.add(number) for number in range(1, 21)]
    for key in keys:
        sqs.send(Hint("", key, KIND))
    sqs.send(None, copies=poison)
    running = asyncio.create_task(intake_of(world, sqs).run())
    async with world.running():
        await world.clock.advance(30)
        cards = len(world.chat.of("post"))
        await world.clock.advance(2 * MAX_RECEIVES * INVISIBLE.total_seconds())
    running.cancel()
    figure(8, poison=poison, dead_lettered=len(sqs.dead), cards_within_30s=cards, requests=len(keys))
    assert (cards, len(sqs.dead), sqs.kept) == (len(keys), poison, [])


async def test_unreadable_message_over_http_ends_in_the_dead_letter_queue(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """The simulated SQS moves the message by its redrive policy. The valid message makes its request due."""
    monkeypatch.setattr(queue_module, "INVISIBLE_SECONDS", 0)
    monkeypatch.setattr(queue_module, "POLL_SECONDS", 0)
    world = new_world()
    with staged() as scene:
        sqs, where = scene.aws.client("sqs"), scene.aws.world
        scene.aws.events.send("poison")
        key = key_of(scene.ask())
        async with aws_side(scene, queue_url=where.queue_url) as side:
            assert side.queue is not None
            intake = intake_of(world, side.queue)
            for _ in range(MAX_RECEIVES + 1):
                await intake.take()
        dead = sqs.receive_message(QueueUrl=where.dead_letter_queue_url).get("Messages", [])
        left = sqs.receive_message(QueueUrl=where.queue_url).get("Messages", [])
    figure(8, over="SQS over HTTP", dead_lettered=len(dead), left=len(left))
    assert ([each["Body"] for each in dead], left) == (["poison"], [])
    assert await world.store.due(world.clock.now(), 10) == [key]


# --- bounds


async def test_messages_stay_in_the_queue_during_an_outage_of_the_store() -> None:
    """During an hour without a store, the intake receives one batch, and no message is dead-lettered.

    After the outage, every request gets its card.
    """
    world = new_world()
    sqs = FakeSqs(world.clock, Random(1))
    for number in range(1, 31):
        sqs.send(Hint("", world.aws.add(number), KIND))
    store = world.store
    assert isinstance(store, MemoryStore)
    store.broken = True
    running = asyncio.create_task(intake_of(world, sqs).run())
    async with world.running():
        await world.clock.advance(3600)
        assert (sqs.dead, len(sqs.kept), sqs.received) == ([], 30, 10)
        store.broken = False
        await world.clock.advance(120)
    running.cancel()
    assert (sqs.kept, len(world.chat.of("post"))) == ([], 30)


async def test_many_messages_about_few_requests_make_one_row_per_request() -> None:
    """5,000 messages about 20 requests make 20 due rows. Once the reconcile loop runs, there are 20 cards."""
    world = new_world()
    sqs = FakeSqs(world.clock, Random(1))
    keys = [world.aws.add(number) for number in range(1, 21)]
    intake = intake_of(world, sqs)
    for number in range(5000):
        sqs.send(Hint("", keys[number % 20], KIND))
        await intake.take()
    assert sqs.kept == []
    assert len(await world.store.due(world.clock.now(), 10_000)) == 20
    assert len((await all_watched(world.store)).rows) == 20
    async with world.running():
        await world.clock.advance(5)
    assert len(world.chat.of("post")) == 20
