"""Cards in Teams that no row has, after a crash between a post and its write, or after the store was lost.

A click or a refresh on such a card lets the row of its request adopt it: the row stores the card's id and keeps it up
to date.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.aws.calls.rate_limit import RATES
from bot.domain.request import RequestKey, Verdict
from bot.domain.shown.card_places import LATE_ROW
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import SignalRefused
from bot.ports.store import Place, Watched
from bot.ports.teams import Message, Posted
from bot.service.clicks.click import Answer, Verb
from bot.service.clicks.orphan_cards import MOST_CARDS, MOST_UNKNOWN
from tests.fakes.aws import key_of
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, FakeChat, Sent, person
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.world import World, new_world


async def orphan(world: World, key: RequestKey | None = None) -> str:
    """Post a card that no row has; return its activity id. With `key`, that row counts a post with an unknown result."""
    posted = await world.chat.post(CHANNEL, Message({"type": "AdaptiveCard"}, "left behind"))
    card = (await world.row(key)).surface("card:approvals") if key else None
    if key and card:
        await world.rows.apply(
            key, lambda record: record.with_surface(replace(card, unconfirmed_posts=card.unconfirmed_posts + 1))
        )
    assert posted.activity_id
    return posted.activity_id


async def press_on(world: World, key: RequestKey, activity_id: str, verb: Verb = Verb.APPROVE) -> Answer:
    """Click a button on the card with this id, or refresh that card; return the answer."""
    conversation = f"{CHANNEL};messageid={activity_id}"
    click = replace(world.pressed(key, HANAKO, verb), conversation=conversation, activity_id=activity_id)
    return await world.click_handler.click(click)


async def card_ids(world: World, key: RequestKey) -> set[str | None]:
    """Return the activity ids of the cards in the request's row."""
    return {card.activity_id for card in (await world.row(key)).cards}


async def test_second_copy_of_a_card_is_updated_after_a_click_on_the_copy(world: World) -> None:
    """A crash left a second card. A click on it sends the decision, and then both cards show the outcome."""
    key = await world.posted()
    copy = await orphan(world, key)
    async with world.running():
        await press_on(world, key, copy)
        await world.clock.advance(2)
    assert len(world.aws.effects) == 1
    assert await card_ids(world, key) == {"1000", copy}
    for activity in ("1000", copy):
        assert "Approved" in world.chat.sent[activity].card
        assert not world.chat.sent[activity].buttons


async def test_card_whose_post_has_no_stored_id_is_adopted_at_a_refresh(world: World) -> None:
    """The row says that a post began but has no id. A refresh of the card adds its id, and the card gets buttons."""
    key = world.aws.add()
    posted = await orphan(world)
    await world.shown(key)
    row = await world.row(key)
    card = row.surface("card:approvals")
    assert card is not None
    begun = replace(card, conversation=None, activity_id=None, digest=None, unconfirmed_posts=1)
    await world.rows.apply(key, lambda record: record.with_surface(begun))
    async with world.running():
        await press_on(world, key, posted, Verb.REFRESH)
        await world.clock.advance(2)
    found = (await world.row(key)).surface("card:approvals")
    assert found is not None
    assert (found.activity_id, found.unconfirmed_posts) == (posted, 0)
    assert world.chat.sent[posted].buttons


async def test_second_click_on_an_old_card_decides_the_request_after_the_store_was_lost(world: World) -> None:
    """The first click only makes the bot read AWS, which posts a new card. The next click on the old card decides.

    Then both cards are updated.
    """
    key = await world.posted()
    await world.clock.advance(LATE_ROW.total_seconds() + 1)
    world.store = MemoryStore()
    world.build()
    async with world.running():
        answer = await press_on(world, key, "1000")
        assert answer.notice is not None
        assert (answer.notice.code, world.aws.signals) == (NoticeCode.LOOKING, [])
        await world.clock.advance(2)
        await press_on(world, key, "1000")
        await world.clock.advance(2)
    assert len(world.aws.effects) == 1
    assert [card.buttons for card in world.chat.of("post")] == [False, False]


async def test_old_card_of_an_ended_request_shows_the_outcome_after_the_store_was_lost(world: World) -> None:
    """The request has ended, so no new card is posted. The old card is updated after clicks on it."""
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT)
    await world.clock.advance(LATE_ROW.total_seconds() + 1)
    world.store = MemoryStore()
    world.build()
    async with world.running():
        for _ in range(2):
            await press_on(world, key, "1000")
            await world.clock.advance(2)
    assert [sent.kind for sent in world.chat.sent.values()].count("post") == 1
    assert "Rejected" in world.chat.sent["1000"].card


async def test_card_is_not_adopted_by_a_request_whose_posts_are_all_stored(world: World) -> None:
    """No post of this request was lost, so the clicked card belongs to another request. It stays unchanged."""
    key, finished = world.aws.add(1), world.aws.add(2)
    for each in (finished, key):
        await world.shown(each)
    world.aws.decide(finished, Verdict.REJECT)
    await world.shown(finished)
    before = list(world.chat.sent["1000"].versions)
    assert "Rejected" in world.chat.sent["1000"].card
    async with world.running():
        await press_on(world, key, "1000", Verb.REFRESH)
        await world.clock.advance(2)
    assert world.chat.sent["1000"].versions == before


async def test_click_does_not_adopt_the_card_of_another_request(world: World) -> None:
    """A post was lost, and a forged click has the id of another request's card: that card is not changed."""
    key, other = world.aws.add(1), world.aws.add(2)
    for each in (key, other):
        await world.shown(each)
    await orphan(world, other)
    before = list(world.chat.sent["1000"].versions)
    async with world.running():
        await press_on(world, other, "1000")
        await world.clock.advance(2)
    assert world.chat.sent["1000"].versions == before
    assert await card_ids(world, other) == {"1002"}


@pytest.mark.parametrize(("minutes", "lost"), [(-10, False), (-10, True), (10, False)])
async def test_card_is_not_adopted_if_its_age_does_not_fit_the_request(minutes: int, lost: bool, world: World) -> None:
    """The card is older than the clicked request, or younger than its row, so it belongs to another request."""
    key = world.aws.add()
    await world.clock.advance(LATE_ROW.total_seconds() + 1)  # the request is older than its row
    await world.shown(key)
    if lost:
        await orphan(world, key)
    posted = world.clock.now() + timedelta(minutes=minutes)
    ended = str(round(posted.timestamp() * 1000))
    world.chat.sent[ended] = Sent("post", CHANNEL, [Message({"type": "AdaptiveCard"}, "rejected")])
    async with world.running():
        await press_on(world, key, ended, Verb.REFRESH)
        await world.clock.advance(2)
    assert len(world.chat.sent[ended].versions) == 1
    assert ended not in await card_ids(world, key)


async def test_card_is_adopted_if_it_was_posted_between_its_request_and_the_row(world: World) -> None:
    """The card was posted after its request was made, and before this store had a row for the request."""
    key = world.aws.add()
    await world.clock.advance(60)
    left = str(round(world.clock.now().timestamp() * 1000))
    world.chat.sent[left] = Sent("post", CHANNEL, [Message({"type": "AdaptiveCard"}, "left behind")])
    await world.clock.advance(LATE_ROW.total_seconds())
    await world.shown(key)
    async with world.running():
        await press_on(world, key, left, Verb.REFRESH)
        await world.clock.advance(2)
    assert left in await card_ids(world, key)
    assert world.chat.sent[left].buttons


@pytest.mark.parametrize(
    "changed",
    [
        {"person": person(1, tenant="22222222-2222-4222-8222-222222222222")},
        {"person": replace(ICHIRO, guest=True)},
        {"conversation": "19:elsewhere@thread.tacv2"},
        {"activity_id": None},
    ],
    ids=["foreign", "guest", "elsewhere", "no card"],
)
async def test_click_on_an_unknown_request_from_outside_the_tenant_or_channel_creates_no_row(
    world: World, changed: dict[str, object]
) -> None:
    """A click by a guest or a person of another tenant, from another conversation, or without a card gets "not found".

    AWS is not called.
    """
    key = world.aws.add()
    click = replace(world.pressed(key, HANAKO), **changed)  # type: ignore[arg-type]  # fields of a click
    answer = await world.click_handler.click(click)
    assert answer.notice is not None
    assert answer.notice.code is NoticeCode.NOT_FOUND
    assert (await world.store.load(key), world.aws.calls) == (None, [])


async def test_click_on_a_request_that_was_not_read_yet_is_answered_that_it_is_looked_up(world: World) -> None:
    """The store has only the row of an event, without facts. No signal is sent."""
    key = world.aws.add()
    await world.rows.requeue(key)
    answer = await world.press(key, HANAKO)
    assert answer.notice is not None
    assert answer.notice.code is NoticeCode.LOOKING
    assert world.aws.signals == []


async def test_clicks_on_invented_requests_beyond_the_limit_of_a_minute_are_answered_not_found(world: World) -> None:
    """The limit is MOST_UNKNOWN. Clicks up to it are answered that the bot looks for the request in AWS.

    After a minute, so is the next one.
    """
    codes = []
    for number in range(100, 100 + 2 * MOST_UNKNOWN):
        answer = await press_on(world, key_of(number), str(number))
        codes.append(answer.notice and answer.notice.code)
    assert codes == [NoticeCode.LOOKING] * MOST_UNKNOWN + [NoticeCode.NOT_FOUND] * MOST_UNKNOWN
    await world.clock.advance(61)
    answer = await press_on(world, key_of(99), "1000")
    assert answer.notice is not None
    assert answer.notice.code is NoticeCode.LOOKING


async def test_invented_requests_use_at_most_half_of_the_aws_quota(world: World) -> None:
    """A person clicks with invented ids for ten minutes; half of the quota is left for other calls."""
    minutes, number = 10, 1000
    async with world.running():
        for _ in range(minutes):
            for _ in range(40):
                await press_on(world, key_of(number := number + 1), str(number))
            await world.clock.advance(60)
    assert 0 < world.aws.count("observe") <= minutes * 60 * RATES["ssm"] / 2


async def test_row_has_at_most_five_cards_after_ten_copies_were_refreshed(world: World) -> None:
    """Ten copies are refreshed, and the row then has five cards, the original included."""
    key = await world.posted()
    for _ in range(10):
        await press_on(world, key, await orphan(world, key), Verb.REFRESH)
    await world.click_handler.drain()
    assert len(await card_ids(world, key)) == 5


async def test_clicks_with_invented_card_ids_cause_no_read_or_write_if_the_row_has_five_cards(world: World) -> None:
    """A row adopts at most five cards. Twenty refreshes read no request from AWS and do not change the row."""
    key = await world.posted()
    async with world.running():
        for _ in range(4):
            await press_on(world, key, await orphan(world, key), Verb.REFRESH)
        await world.clock.advance(1)
        reads, version = world.aws.count("observe"), (await world.row(key)).version
        for number in range(20):
            await press_on(world, key, f"9{number}", Verb.REFRESH)
            await world.clock.advance(1)
    assert (world.aws.count("observe"), (await world.row(key)).version) == (reads, version)


class CountingStore(MemoryStore):
    """Counts the reads of all open rows."""

    scans = 0

    def watched(self, place: Place | None = None, **named: Any) -> AsyncIterator[Watched]:
        self.scans += 1
        return super().watched(place, **named)


async def test_reads_of_all_open_rows_after_clicks_on_unknown_cards_are_rate_limited() -> None:
    """A click on a card that its request's row does not have can make the store read every open row.

    Only MOST_CARDS such clicks a minute do so.
    """
    store = CountingStore()
    world = new_world(store=store)
    key, other = world.aws.add(1), world.aws.add(2)
    for each in (key, other):
        await world.shown(each)
    await orphan(world, other)
    for _ in range(2 * MOST_CARDS):
        await press_on(world, other, "1000", Verb.REFRESH)
    await world.click_handler.drain()
    assert store.scans == MOST_CARDS == 20
    await world.clock.advance(61)
    await press_on(world, other, "1000", Verb.REFRESH)
    await world.click_handler.drain()
    assert store.scans == MOST_CARDS + 1


async def test_card_is_not_adopted_while_another_row_is_unreadable() -> None:
    """The card may belong to that row. It is adopted once the row can be read again."""
    store = MemoryStore()
    world = new_world(store=store)
    key, other = world.aws.add(1), world.aws.add(2)
    for each in (key, other):
        await world.shown(each)
    copy = await orphan(world, key)
    store.unreadable.add(other)
    await press_on(world, key, copy, Verb.REFRESH)
    await world.click_handler.drain()
    assert copy not in await card_ids(world, key)
    store.unreadable.clear()
    await press_on(world, key, copy, Verb.REFRESH)
    await world.click_handler.drain()
    assert copy in await card_ids(world, key)


async def test_copy_of_a_card_gets_its_buttons_back_after_aws_refused_the_signal(world: World) -> None:
    """A click on a copy was answered "applying…", then AWS refused: the copy is updated and has buttons again."""
    key = await world.posted()
    copy = await orphan(world, key)
    async with world.running():
        await press_on(world, key, copy, Verb.REFRESH)
        await world.clock.advance(1)
        written = len(world.chat.sent[copy].versions)
        signal, observe = world.aws.gates["signal"], world.aws.gates["observe"] = asyncio.Event(), asyncio.Event()
        world.aws.before["signal"].append(SignalRefused("InvalidAutomationSignalException", denied=False))
        click = asyncio.create_task(press_on(world, key, copy))
        await world.clock.advance(3)
        answer = await click
        assert answer.notice is not None
        assert answer.notice.code is NoticeCode.APPLYING
        signal.set()
        observe.set()
        await world.clock.advance(3)
    assert len(world.chat.sent[copy].versions) > written
    assert world.chat.sent[copy].buttons


class SlowPost(FakeChat):
    """A Teams whose next post has no effect until the test opens the gate."""

    gate: asyncio.Event | None = None

    async def post(self, conversation: str, message: Message) -> Posted:
        gate, self.gate = self.gate, None
        if gate:
            await gate.wait()
        return await super().post(conversation, message)


async def test_card_posted_late_by_a_paused_process_loses_its_buttons() -> None:
    """A process pauses in its post; another one posts a card, and the request is decided. The late card is updated."""
    chat, tables = SlowPost(), Tables()
    world = new_world(chat=chat, store=MemoryStore(tables))
    other = replace(world, store=MemoryStore(tables), owner="replica-2")
    key = world.aws.add()
    gate = chat.gate = asyncio.Event()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(31)
        await other.shown(key)
        world.aws.decide(key, Verdict.APPROVE)
        await other.shown(key)
        gate.set()
        await world.clock.advance(1)
    assert [card.buttons for card in chat.of("post")] == [False, False]
