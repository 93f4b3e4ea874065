"""A card that somebody deleted in Teams, whatever Teams answers to its updates, is posted again while it is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict
from bot.ports.store import Change, StoreUnavailable
from tests.fakes.chat import CHANNEL
from tests.fakes.memory_connector import THREAD, FalseAnswer, MemoryConnector, Written
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, new_world

UNKNOWN = FalseAnswer(403, ("", "ServiceError"))
GONE = [
    UNKNOWN,
    FalseAnswer(403, body='{"message": "{\\"subCode\\": \\"ServiceError\\"}"}'),
    FalseAnswer(403, body=""),
    FalseAnswer(404, body="<html>not found</html>"),
    FalseAnswer(410, body=""),
    FalseAnswer(400, ("", "BadSyntax")),
]
LASTS = 65.0  # seconds; within them it is certain that a refusal is no passing one


@dataclass(slots=True)
class Channel:
    """A channel of Teams with the bot's cards, over the product's own adapter."""

    teams: MemoryConnector = field(default_factory=MemoryConnector)
    world: World = field(default_factory=new_world)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the bot, or start it again."""
        chat = self.teams.chat(store=self.world.store, clock=self.world.clock)
        self.world.chat = chat  # type: ignore[assignment]  # the product's own adapter, instead of the fake
        self.world.build()

    async def posted(self, number: int = 1, *, levels: int = 3) -> tuple[RequestKey, Written]:
        """Add a request; return its key and its card."""
        key = self.world.aws.add(number, levels=levels)
        await self.world.shown(key)
        return key, self.cards()[-1]

    async def approve(self, key: RequestKey, *, then: float = LASTS) -> None:
        """Approve the request's waiting level in the AWS console, and let time pass."""
        self.world.aws.decide(key, Verdict.APPROVE)
        await self.world.rows.requeue(key)
        await self.world.clock.advance(then)

    def cards(self) -> list[Written]:
        """Return all cards that were posted, deleted ones included."""
        return [each for each in self.teams.messages.values() if each.root == f"{CHANNEL}{THREAD}{each.id}"]

    def seen(self) -> Sequence[str]:
        """Return the cards that people see."""
        return [str(each.card) for each in self.cards() if each.id not in self.teams.deleted]


@pytest.mark.parametrize("answer", GONE, ids=str)
async def test_deleted_card_is_posted_again_at_the_next_level(answer: FalseAnswer) -> None:
    """Within 65 seconds, a new card shows the second level. The new card shows every later state too."""
    channel = Channel()
    key, card = await channel.posted()
    channel.teams.deleted[card.id] = answer
    async with channel.world.running():
        await channel.approve(key)
        (second,) = channel.seen()
        await channel.approve(key)
        (third,) = channel.seen()
        await channel.approve(key)
    (last,) = channel.seen()
    assert ("Level2" in second, "Level3" in third) == (True, True)
    # no Approve: nobody knows who approved the other levels in the console
    assert ("'reject'" in third, "'reject'" in last) == (True, False)


class FailingAfter(MemoryStore):
    """Fails at the first write for which `fails` returns True."""

    fails: Callable[[], bool] = staticmethod(lambda: False)
    failed = False

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        if not self.failed and self.fails():
            self.failed = True
            raise StoreUnavailable("fails once")
        return await super().apply(key, change, now=now)


async def test_card_is_posted_again_once_although_the_store_fails_right_after_it() -> None:
    """The store fails once, at the write of the new card's id."""
    store = FailingAfter()
    channel = Channel(world=new_world(store=store))
    key, card = await channel.posted()
    channel.teams.deleted[card.id] = UNKNOWN
    store.fails = lambda: len(channel.cards()) == 2
    async with channel.world.running():
        await channel.approve(key, then=3 * LASTS)
    assert store.failed
    assert (len(channel.cards()), ["Level2" in each for each in channel.seen()]) == (2, [True])


async def test_card_whose_updates_are_refused_for_less_than_a_minute_is_not_posted_again() -> None:
    """Teams answers for 50 seconds as if the card were deleted. Then the card shows the second level."""
    channel = Channel()
    key, card = await channel.posted()
    async with channel.world.running():
        channel.teams.deleted[card.id] = UNKNOWN
        await channel.approve(key, then=50)
        channel.teams.deleted.clear()
        await channel.world.clock.advance(30)
    assert ["Level2" in each for each in channel.seen()] == [True]


async def test_only_the_deleted_card_of_three_is_posted_again() -> None:
    """Each of the three requests passes a level. Afterwards each request has one card, which shows the second level."""
    channel = Channel()
    posted = [await channel.posted(number) for number in range(1, 4)]
    channel.teams.deleted[posted[1][1].id] = UNKNOWN
    async with channel.world.running():
        for key, _ in posted:
            await channel.approve(key, then=0)
        await channel.world.clock.advance(2 * LASTS)
    assert ["Level2" in each for each in channel.seen()] == [True] * 3
    assert len(channel.cards()) == 4
    for key, _ in posted:
        assert sum(key.ops_item_id in each for each in channel.seen()) == 1


async def test_card_that_is_deleted_at_each_of_ten_levels_is_posted_again_three_times_only() -> None:
    """Somebody deletes every card before the next of ten levels. Three others follow the first card."""
    channel = Channel()
    key, _ = await channel.posted(levels=10)
    async with channel.world.running():
        for _ in range(9):
            channel.teams.deleted |= {each.id: UNKNOWN for each in channel.cards()}
            await channel.approve(key)
    assert len(channel.cards()) == 1 + 3


async def test_deleted_card_is_posted_again_although_the_bot_restarts_every_ten_seconds() -> None:
    """No process observes more than a few of the refusals."""
    channel = Channel()
    key, card = await channel.posted()
    channel.teams.deleted[card.id] = UNKNOWN
    channel.world.aws.decide(key, Verdict.APPROVE)
    await channel.world.rows.requeue(key)
    for _ in range(12):
        async with channel.world.running():
            await channel.world.clock.advance(10)
        channel.start()
    assert ["Level2" in each for each in channel.seen()] == [True]


async def test_deleted_card_is_posted_again_once_the_channel_accepts_posts() -> None:
    """For ten minutes Teams refuses updates and posts, as for a removed bot."""
    channel = Channel()
    key, card = await channel.posted()
    channel.teams.deleted[card.id] = UNKNOWN
    refusing = FalseAnswer(403, ("BotNotInConversationRoster", "ServiceError"))
    channel.teams.false |= dict.fromkeys(range(len(channel.teams.calls), 10_000), refusing)
    async with channel.world.running():
        await channel.approve(key, then=600)
        assert channel.seen() == []
        channel.teams.false.clear()
        await channel.world.clock.advance(600)
    assert ["Level2" in each for each in channel.seen()] == [True]


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_new_requests_get_their_cards_while_every_update_of_a_deleted_card_fails(status: int) -> None:
    """Teams answers each update as if it were down. Each of ten new requests has its card within ten seconds."""
    channel = Channel()
    key, card = await channel.posted(1)
    channel.teams.deleted[card.id] = FalseAnswer(status, ("", "ServiceError"))
    async with channel.world.running():
        await channel.approve(key, then=600)
        for number in range(2, 12):
            other = channel.world.aws.add(number)
            await channel.world.rows.requeue(other)
            await channel.world.clock.advance(10)
            assert sum(other.ops_item_id in each for each in channel.seen()) == 1
            await channel.world.clock.advance(80)
