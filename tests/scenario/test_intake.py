"""Events and sweeps make requests due: no request is lost, and no card is posted twice."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from bot.domain.record import Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.ports.aws import AwsUnavailable, Hint
from bot.ports.store import Change
from bot.service.reconcile.due_time import LAST_ATTEMPT
from bot.service.sources.intake import PAUSE
from bot.service.sources.place_sweep import OVERLAP
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock
from tests.fakes.queue import BATCH
from tests.fakes.store import MemoryStore, Tables, all_watched
from tests.fakes.world import World, new_world

LATENCY = 0.05  # seconds that a call to SQS takes


class FakeQueue:
    """A queue that shows a message until it is deleted."""

    def __init__(self, *hints: Hint) -> None:
        self.hints = list(hints)
        self.deleted: list[Hint] = []

    async def check(self) -> None:
        """Report that the queue answers."""

    async def receive(self) -> Sequence[Hint]:
        """Return the messages that are not deleted; wait if there is none."""
        if len(self.deleted) == len(self.hints):
            await asyncio.Event().wait()
        return [hint for hint in self.hints if hint not in self.deleted]

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Delete messages."""
        self.deleted.extend(hints)


def hint(key: RequestKey | None, receipt: str = "1", **more: object) -> Hint:
    """Return an event about a request, as the queue delivers it. `more` has other fields of Hint."""
    return Hint(receipt, key, "Requester Access Request Status Update", **more)  # type: ignore[arg-type]  # its fields


async def test_duplicated_events_cause_one_card(world: World) -> None:
    """All messages of three copies of an event are deleted."""
    key = world.aws.add()
    queue = FakeQueue(*(hint(key, str(number)) for number in range(3)))
    async with world.running():
        await world.intake(queue).take()
        await world.clock.advance(1)
    assert len(world.chat.of("post")) == 1
    assert len(queue.deleted) == 3


async def test_events_of_unconfigured_accounts_and_regions_are_deleted_without_a_row(world: World) -> None:
    """An event without a request is deleted too. AWS is not called."""
    foreign = RequestKey("999988887777", "ap-northeast-1", "oi-0123456789ab")
    elsewhere = RequestKey("111122223333", "eu-west-1", "oi-0123456789ab")
    queue = FakeQueue(hint(None, "1"), hint(foreign, "2"), hint(elsewhere, "3"))
    await world.intake(queue).take()
    assert len(queue.deleted) == 3
    assert [await world.store.load(key) for key in (foreign, elsewhere)] == [None, None]
    assert world.aws.calls == []


async def test_message_is_not_deleted_from_the_queue_while_the_store_fails() -> None:
    """The queue delivers the message again. It is deleted once the store works."""
    store = MemoryStore()
    world = new_world(store=store)
    queue = FakeQueue(hint(world.aws.add()))
    taking = world.intake(queue)
    store.broken = True
    await taking.take()
    assert queue.deleted == []
    store.broken = False
    await taking.take()
    assert len(queue.deleted) == 1


async def test_intake_continues_after_the_store_works_again(world: World) -> None:
    """While the store fails, the loop pauses, counts the failures and deletes no message. Later the event is stored."""
    key, registry = world.aws.add(), CollectorRegistry()
    assert isinstance(world.store, MemoryStore)
    world.store.broken = True
    waiting = FakeQueue(hint(key))
    loop = asyncio.create_task(world.intake(waiting, telemetry=Telemetry(registry)).run())
    await world.clock.advance(30)
    assert waiting.deleted == []
    assert registry.get_sample_value("node_access_store_errors_total") == 2 + 30 / PAUSE  # two before the first pause
    world.store.broken = False
    await world.clock.advance(PAUSE)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert [each.key for each in waiting.deleted] == [key]
    assert (await world.row(key)).requeue_at is not None


class SlowQueue(FakeQueue):
    """A queue that returns each message once, BATCH at a time. Each call takes LATENCY; `most` is how many it has out."""

    def __init__(self, clock: ManualClock, *hints: Hint) -> None:
        super().__init__(*hints)
        self._clock, self._received, self.most = clock, 0, 0

    async def receive(self) -> Sequence[Hint]:
        """Return the next messages; wait if there is none."""
        await self._clock.sleep(LATENCY)
        batch = self.hints[self._received : self._received + BATCH]
        if not batch:
            await asyncio.Event().wait()
        self._received += len(batch)
        self.most = max(self.most, self._received - len(self.deleted))
        return batch

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Delete messages."""
        await self._clock.sleep(LATENCY)
        await super().delete(hints)


async def test_intake_takes_150_events_a_second_if_each_call_to_the_queue_takes_50_ms(world: World) -> None:
    """The next batch is received while earlier ones are handled, so 300 events take two seconds.

    At most four batches are received and not deleted: if the bot stops then, only their messages arrive late.
    """
    queue = SlowQueue(world.clock, *(hint(world.aws.add(number), str(number)) for number in range(1, 301)))
    taking = asyncio.create_task(world.intake(queue).run())
    await world.clock.advance(2)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert len(queue.deleted) == 300
    assert len([row for row in (await all_watched(world.store)).rows if row.requeue_at]) == 300
    assert queue.most <= 4 * BATCH


async def test_intake_holds_few_batches_while_the_store_is_slow(world: World) -> None:
    """Once it has worked, the store needs a minute. Of 300 events, 40 are received until then, and not stored."""
    assert isinstance(world.store, MemoryStore)
    world.store = store = SlowStore(world.clock, world.store.tables)
    world.build()
    queue = SlowQueue(world.clock, *(hint(world.aws.add(number), str(number)) for number in range(1, 301)))
    taking = asyncio.create_task(world.intake(queue).run())
    await world.clock.advance(2 * LATENCY)
    store.seconds = 60.0
    await world.clock.advance(59)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert (queue.most, len(queue.deleted)) == (4 * BATCH, BATCH)


class SlowStore(MemoryStore):
    """A store in which each write takes `seconds`."""

    def __init__(self, clock: ManualClock, tables: Tables) -> None:
        super().__init__(tables)
        self._clock, self.seconds = clock, 0.0

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write later."""
        await self._clock.sleep(self.seconds)
        return await super().apply(key, change, now=now)


class Undeletable(FakeQueue):
    """A queue that cannot delete its first message."""

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Delete messages, but not the first one. Raises AwsUnavailable for it."""
        await super().delete([each for each in hints if each is not self.hints[0]])
        if self.hints[0] in hints:
            raise AwsUnavailable("InternalError")


async def test_queue_message_that_cannot_be_deleted_does_not_stop_other_messages(world: World) -> None:
    """The other messages are deleted, and the check of the queue fails. A second delivery leads to no further card."""
    keys = [world.aws.add(number) for number in (1, 2, 3)]
    queue = Undeletable(*(hint(key, str(key)) for key in keys))
    registry = CollectorRegistry()
    taking = world.intake(queue, telemetry=Telemetry(registry))
    async with world.running():
        await taking.take()
        assert [each.key for each in queue.deleted] == keys[1:]
        assert registry.get_sample_value("node_access_check_ok", {"check": "queue"}) == 0
        await taking.take()
        await world.clock.advance(1)
    assert len(world.chat.of("post")) == 3


async def test_request_whose_ops_item_is_unreadable_at_first_gets_its_card_later(world: World) -> None:
    """An event can arrive before its OpsItem is readable. The card comes within five seconds after it is readable."""
    key = world.aws.add()
    hidden = world.aws.requests.pop(key)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(2)
        assert world.chat.of("post") == []
        world.aws.requests[key] = hidden
        await world.clock.advance(5)
    assert len(world.chat.of("post")) == 1


async def test_ops_item_that_does_not_exist_is_no_longer_read_after_twelve_retries(world: World) -> None:
    """There are 13 reads within ten minutes. Then the row is no longer due."""
    key = world.aws.add()
    del world.aws.requests[key]
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(600)
    assert world.aws.count("observe") == 1 + LAST_ATTEMPT == 13
    assert (await world.row(key)).requeue_at is None


async def test_ended_request_that_cannot_be_read_is_no_longer_read_after_twelve_retries(world: World) -> None:
    """Its last known facts stay. A request that waits is read again until it can be read."""
    ended, waiting = world.aws.add(1), world.aws.add(2)
    world.aws.end(ended, Status.CANCELLED)
    for key in (ended, waiting):
        await world.shown(key)
        await world.rows.requeue(key)
    world.aws.before["observe"] = [AwsUnavailable("AccessDenied")] * 100
    async with world.running():
        await world.clock.advance(1200)
    assert ((await world.row(ended)).reconcile_failures, (await world.row(ended)).requeue_at) == (
        1 + LAST_ATTEMPT,
        None,
    )
    assert (await world.row(waiting)).reconcile_failures > 1 + LAST_ATTEMPT
    assert (await world.row(waiting)).requeue_at is not None


async def test_direct_message_names_the_conflicting_policies_of_a_failed_request(world: World) -> None:
    """Only the event has the names of the conflicting policies."""
    key = world.aws.add(execution_id=None, levels=1)
    world.aws.end(key, Status.FAILED)
    queue = FakeQueue(hint(key, conflicting_policies=("Standard-Nodes", "Batch-Nodes")))
    async with world.running():
        await world.intake(queue).take()
        await world.clock.advance(1)
    (message,) = world.chat.of("direct")
    assert "Standard-Nodes" in message.card
    assert "Batch-Nodes" in message.card


async def test_sweep_reads_only_a_request_that_has_changed(world: World) -> None:
    """Ten sweeps over three unchanged requests read none of them. After one has changed, the next sweep reads it."""
    keys = [world.aws.add(number) for number in range(1, 4)]
    for key in keys:
        await world.shown(key)
    read = len(world.aws.calls)
    async with world.running():
        for _ in range(10):
            await world.sweep.sweep()
            await world.clock.advance(60)
        world.aws.decide(keys[1], Verdict.REJECT)
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert [key for call, key in world.aws.calls[read:] if call == "observe"] == [keys[1]]


async def test_sweep_after_a_failed_sweep_finds_a_request_that_ended_since_the_last_successful_one(
    world: World,
) -> None:
    """A request begins and ends after the first sweep. The second sweep cannot list requests.

    The third sweep comes more than OVERLAP later and finds the request.
    """
    async with world.running():
        await world.sweep.sweep()
        key = world.aws.add()
        world.aws.end(key, Status.CANCELLED)
        await world.clock.advance(1)
        world.aws.before["list_requests"].append(AwsUnavailable("InternalServerError"))
        await world.sweep.sweep()
        assert await world.store.load(key) is None
        await world.clock.advance(2 * OVERLAP.total_seconds())
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert (await world.row(key)).request == world.aws.requests[key]


async def test_auto_approved_request_causes_no_message(world: World) -> None:
    """No one has to decide the request."""
    key = world.aws.add(auto_approved=True, status=Status.APPROVED, execution_id=None)
    await world.shown(key)
    assert world.chat.sent == {}


async def test_replica_of_a_request_causes_no_message(world: World) -> None:
    """A request is decided in its source account, not in the copy of the delegated administrator account."""
    key = world.aws.add()
    world.aws.requests[key] = replace(world.aws.requests[key], replica_of=key)
    await world.shown(key)
    assert world.chat.sent == {}


async def test_event_over_a_minute_older_than_the_last_read_causes_no_read_of_aws(world: World) -> None:
    """EventBridge can replay such events. Three of them are received."""
    key = await world.posted()
    reads = world.aws.count("observe")
    async with world.running():
        await world.clock.advance(120)
        for age in (121, 600, 40 * 86400):
            occurred_at = world.clock.now() - timedelta(seconds=age + 61)
            await world.intake(FakeQueue(hint(key, occurred_at=occurred_at))).take()
        await world.clock.advance(60)
    assert world.aws.count("observe") == reads


async def test_event_up_to_a_minute_older_than_the_last_read_causes_a_read_of_aws(world: World) -> None:
    """The event is ten seconds older. Clocks may differ by a minute, so it may be newer than what was read."""
    key = await world.posted()
    reads = world.aws.count("observe")
    async with world.running():
        await world.clock.advance(30)
        await world.intake(FakeQueue(hint(key, occurred_at=world.clock.now() - timedelta(seconds=40)))).take()
        await world.clock.advance(1)
    assert world.aws.count("observe") == reads + 1


async def test_requests_of_replayed_old_events_become_due_one_each_second(world: World) -> None:
    """Events of last month are replayed for thirty requests.

    AWS is read about ten times in ten seconds, and thirty times in the end.
    """
    month_ago = world.clock.now() - timedelta(days=30)
    keys = [world.aws.add(number, status=Status.REJECTED) for number in range(1, 31)]
    queue = FakeQueue(*(hint(key, str(key), occurred_at=month_ago) for key in keys))
    async with world.running():
        await world.intake(queue).take()
        await world.clock.advance(10)
        assert 9 <= world.aws.count("observe") <= 12
        await world.clock.advance(25)
        assert world.aws.count("observe") == 30


async def test_requests_of_events_without_a_time_get_their_cards_within_a_second(world: World) -> None:
    """The time of an event is optional. Without it, the event counts as new."""
    keys = [world.aws.add(number) for number in range(1, 9)]
    async with world.running():
        await world.intake(FakeQueue(*(hint(key, str(key)) for key in keys))).take()
        await world.clock.advance(1)
    assert len(world.chat.of("post")) == 8
