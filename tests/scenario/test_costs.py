"""What a card and a decision cost: writes of the row, and calls to AWS and Teams. The counts are exact.

A durable write costs about a millisecond of CPU on SQLite, and a round trip with paid capacity on DynamoDB. AWS allows
three calls a second. Each write is needed: `tests/bench/README.md` says what it protects. If one of these counts grows,
find another way, or add the reason there.
"""

import asyncio
from datetime import datetime

import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.surface import DeliveryState
from bot.ports.store import Change
from tests.fakes.chat import HANAKO
from tests.fakes.queue import MemoryQueue
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, new_world

SOON = 10.0  # real seconds, in which an expected call is made


class YieldingStore(MemoryStore):
    """A store that, like the real ones, lets other tasks run before it answers a write."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write, then let others run."""
        record = await super().apply(key, change, now=now)
        await asyncio.sleep(0)
        return record


@pytest.fixture
def world() -> World:
    """Return a world whose store answers as late as a real one."""
    return new_world(store=YieldingStore())


async def _carded(world: World) -> RequestKey:
    """Take the event of a new request, and wait until its card and the requester's message are posted."""
    key, queue = world.aws.add(), MemoryQueue(world.clock)
    queue.send(key)
    await world.intake(queue).take()
    await world.clock.advance(5)
    return key


async def test_card_and_message_of_a_new_request_cost_five_writes_and_one_read_of_aws(world: World) -> None:
    """The event, the lease, the claim of the card, its id with the claim of the message, and the end of the lease."""
    async with world.running():
        key = await _carded(world)
        assert [len(world.chat.of(kind)) for kind in ("post", "reply", "direct")] == [1, 0, 1]
        assert (await world.row(key)).version == 5
        assert world.aws.calls == [("observe", key)]
        assert world.chat.asked.total() == 2


async def test_reconciliation_without_news_costs_two_writes(world: World) -> None:
    """The lease, and its end together with what was read. The event itself costs a third."""
    async with world.running():
        key = await _carded(world)
        before = (await world.row(key)).version
        await world.rows.requeue(key)
        await world.clock.advance(5)
        assert (await world.row(key)).version - before == 3
        assert world.chat.asked.total() == 2


async def test_decision_costs_eleven_writes_and_four_calls_to_aws(world: World) -> None:
    """Three until AWS has answered, the lease, and seven for messages, the first of them with what AWS shows.

    The messages are the card, the note, the requester's message, and the short message that notifies.
    """
    async with world.running():
        key = await _carded(world)
        before, calls, asked = (await world.row(key)).version, len(world.aws.calls), world.chat.asked.total()
        await world.press(key, HANAKO)
        await world.clock.advance(5)
        assert (await world.row(key)).version - before == 11
        assert [call for call, _ in world.aws.calls[calls:]] == ["prepare", "execution", "signal", "observe"]
        assert world.chat.asked.total() - asked == 4


async def test_note_and_messages_to_the_requester_are_sent_side_by_side_after_the_card(world: World) -> None:
    """While Teams does not answer the note, the requester's message is updated, and the short message is sent."""
    world.chat.gates["reply"] = asyncio.Event()
    async with world.running():
        key = await _carded(world)
        await world.press(key, HANAKO)
        await asyncio.wait_for(world.chat.arrived["reply"].wait(), SOON)
        await world.clock.advance(1)
        assert not world.chat.of("post")[0].buttons
        assert world.chat.of("reply") == []
        assert HANAKO.name in world.chat.living
        assert len(world.chat.of("direct")) == 2
        world.chat.gates["reply"].set()
        await world.clock.advance(1)
        assert len(world.chat.of("reply")) == 1
        assert all(each.delivery is DeliveryState.DELIVERED for each in (await world.row(key)).surfaces)
