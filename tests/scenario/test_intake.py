"""Hints and sweeps only say "look at this request"; nothing is lost, nothing is doubled."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from bot.domain.request import RequestKey, Status
from bot.ports.aws import AwsUnavailable, Hint
from bot.ports.store import StoreUnavailable
from bot.service.sources.intake import Intake
from bot.telemetry import Telemetry
from tests.fakes.world import World, new_world


class FakeQueue:
    """A queue that shows a message until it is deleted."""

    def __init__(self, *hints: Hint) -> None:
        self.hints = list(hints)
        self.deleted: list[Hint] = []

    async def check(self) -> None:
        """Answer."""

    async def receive(self) -> Sequence[Hint]:
        """Return what is not deleted."""
        return [hint for hint in self.hints if hint not in self.deleted]

    async def delete(self, hint: Hint) -> None:
        """Delete."""
        self.deleted.append(hint)


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return new_world()


def intake(world: World, queue: FakeQueue) -> Intake:
    """Return the intake of a world."""
    telemetry = Telemetry(CollectorRegistry())
    return Intake(queue=queue, rows=world.rows, clock=world.clock, configured=world.configured, telemetry=telemetry)


def hint(key: RequestKey | None, receipt: str = "1", **more: tuple[str, ...]) -> Hint:
    """Return a hint."""
    return Hint(receipt, key, "Requester Access Request Status Update", **more)


async def test_doubled_events_make_one_card(world: World) -> None:
    """Three copies of an event, in any order with others: one row, one card, all deleted."""
    key = world.aws.add()
    queue = FakeQueue(*(hint(key, str(number)) for number in range(3)))
    async with world.running():
        await intake(world, queue).take()
        await world.clock.advance(1)
    assert len(world.chat.of("post")) == 1
    assert len(queue.deleted) == 3


async def test_what_is_not_ours_is_deleted_and_never_looked_at(world: World) -> None:
    """Unknown events and foreign accounts leave no row."""
    foreign = RequestKey("999988887777", "ap-northeast-1", "oi-0123456789ab")
    elsewhere = RequestKey("111122223333", "eu-west-1", "oi-0123456789ab")
    queue = FakeQueue(hint(None, "1"), hint(foreign, "2"), hint(elsewhere, "3"))
    await intake(world, queue).take()
    assert len(queue.deleted) == 3
    assert await world.store.load(foreign) is None
    assert world.aws.calls == []


async def test_a_message_that_cannot_be_stored_is_not_deleted(world: World) -> None:
    """The queue shows it again until it is stored."""
    key = world.aws.add()
    queue = FakeQueue(hint(key))
    taking = intake(world, queue)
    working, world.rows.store = world.rows.store, _Broken()  # type: ignore[assignment]  # one call of the port is enough
    await taking.take()
    assert queue.deleted == []
    world.rows.store = working
    await taking.take()
    assert len(queue.deleted) == 1


class Undeletable(FakeQueue):
    """A queue that cannot delete one of its messages."""

    async def delete(self, hint: Hint) -> None:
        """Refuse the first one."""
        if hint is self.hints[0]:
            raise AwsUnavailable("InternalError")
        await super().delete(hint)


async def test_a_message_that_cannot_be_deleted_does_not_stop_the_others(world: World) -> None:
    """The rest of its batch is taken; it comes again, and says the same once more; the check shows it meanwhile."""
    keys = [world.aws.add(number) for number in (1, 2, 3)]
    queue = Undeletable(*(hint(key, str(key)) for key in keys))
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    taking = Intake(queue=queue, rows=world.rows, clock=world.clock, configured=world.configured, telemetry=telemetry)
    async with world.running():
        await taking.take()
        assert [each.key for each in queue.deleted] == keys[1:]
        assert registry.get_sample_value("node_access_check_ok", {"check": "queue"}) == 0
        await taking.take()
        await world.clock.advance(1)
    assert len(world.chat.of("post")) == 3


class _Broken:
    """A store that takes nothing."""

    async def apply(self, *_: object, **__: object) -> None:
        """Refuse."""
        raise StoreUnavailable


async def test_an_event_that_comes_before_its_ops_item_is_not_lost(world: World) -> None:
    """The OpsItem is not readable yet: it is looked at again after 1, 2, 4 … seconds."""
    key = world.aws.add()
    hidden = world.aws.requests.pop(key)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(2)
        assert world.chat.of("post") == []
        world.aws.requests[key] = hidden
        await world.clock.advance(5)
    assert len(world.chat.of("post")) == 1


async def test_an_ops_item_that_never_was_is_let_go(world: World) -> None:
    """A made-up id costs a dozen calls, not one a minute for ever."""
    key = world.aws.add()
    del world.aws.requests[key]
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(24 * 3600)
    assert 5 < world.aws.count("observe") < 20


async def test_policies_in_conflict_are_named_to_the_requester(world: World) -> None:
    """Only the event names them: the requester's message and the card do too."""
    key = world.aws.add(execution_id=None, levels=1)
    world.aws.end(key, Status.FAILED)
    queue = FakeQueue(hint(key, conflicting_policies=("Standard-Nodes", "Batch-Nodes")))
    async with world.running():
        await intake(world, queue).take()
        await world.clock.advance(1)
    (message,) = world.chat.of("direct")
    assert "Standard-Nodes" in message.card
    assert "Batch-Nodes" in message.card


async def test_a_sweep_asks_nothing_of_what_has_not_changed(world: World) -> None:
    """Ten sweeps over unchanged requests: ten lists, and not one further read."""
    for number in range(1, 4):
        await world.shown(world.aws.add(number))
    read = world.aws.count("observe")
    async with world.running():
        for _ in range(10):
            await world.sweep.sweep()
            await world.clock.advance(60)
    assert world.aws.count("observe") == read


async def test_a_sweep_that_fails_is_made_up_for_by_the_next(world: World) -> None:
    """The watermark moves only when the whole sweep was done."""
    key = world.aws.add()
    world.aws.before["sightings"].append(AwsUnavailable("InternalServerError"))
    async with world.running():
        await world.sweep.sweep()
        assert world.chat.of("post") == []
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert (await world.row(key)).request is not None
    assert len(world.chat.of("post")) == 1


async def test_an_auto_approved_request_gets_no_card(world: World) -> None:
    """Nobody has anything to decide."""
    key = world.aws.add(auto_approved=True, status=Status.APPROVED, execution_id=None)
    await world.shown(key)
    assert world.chat.sent == {}


async def test_a_replica_gets_no_card(world: World) -> None:
    """The copy in the delegated administrator account is nobody's to decide."""
    key = world.aws.add()
    world.aws.requests[key] = replace(world.aws.requests[key], replica_of=key)
    await world.shown(key)
    assert world.chat.sent == {}
