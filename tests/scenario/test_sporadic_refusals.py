"""False answers of Teams, and answers without an id, lose no message and leave no card with outdated buttons."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.request import RequestKey, Verdict
from bot.domain.routing import Match
from bot.domain.surface import DeliveryState, Surface
from bot.ports.teams import ChatProblem, ChatRefused, Message, Posted
from bot.service.clicks.click import Answer, Verb
from bot.service.deliver import retry_policy
from bot.service.deliver.retry_policy import CONSEQUENCES, Consequence, Task
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.world import APPROVALS, World, new_world

SPORADIC = [each for each in ChatProblem if each not in {ChatProblem.UNAUTHORIZED, ChatProblem.TOO_LARGE}]
SOON = 15  # seconds; the second attempt of a message comes within them


async def surface(world: World, key: RequestKey, name: str) -> Surface:
    """Return a surface of the request, which must exist."""
    found = (await world.row(key)).surface(name)
    assert found is not None
    return found


@asynccontextmanager
async def reconciled(world: World, key: RequestKey) -> AsyncIterator[None]:
    """Make the request due and run the loop."""
    await world.rows.requeue(key)
    async with world.running():
        yield


async def pass_hours(world: World, hours: float) -> None:
    """Let time pass, and reconcile each request whenever it is due. Faster than the loop for a day."""
    until = world.clock.now() + timedelta(hours=hours)
    while due := await world.store.due(until, 1):
        moment = (await world.row(due[0])).requeue_at or until
        await world.clock.advance(max(0.0, (moment - world.clock.now()).total_seconds()))
        await world.reconciler.reconcile(due[0])
    await world.clock.advance((until - world.clock.now()).total_seconds())


# --- refused once


@pytest.mark.parametrize("problem", SPORADIC)
async def test_update_of_a_card_that_teams_refuses_once_is_repeated(world: World, problem: ChatProblem) -> None:
    """The decided card loses its buttons within seconds, and there is no second card."""
    key = await world.posted()
    world.chat.before["update"].append(ChatRefused(problem))
    world.aws.decide(key, Verdict.APPROVE)
    async with reconciled(world, key):
        await world.clock.advance(3)
    assert [card.buttons for card in world.chat.of("post")] == [False]
    assert world.chat.asked["post"] == 1


async def test_updates_at_two_levels_that_teams_refuses_once_each_leave_one_card(world: World) -> None:
    """Both updates are repeated. There is still one card, and it has no buttons."""
    key = await world.posted(levels=2)
    async with world.running():
        for person, level in ((HANAKO, "Level1"), (ICHIRO, "Level2")):
            world.chat.before["update"].append(ChatRefused(ChatProblem.ACTIVITY_NOT_FOUND))
            await world.press(key, person, step=level)
            await world.clock.advance(SOON)
    assert [card.buttons for card in world.chat.of("post")] == [False]


@pytest.mark.parametrize("problem", SPORADIC)
@pytest.mark.parametrize("kind", ["post", "direct"])
async def test_card_or_direct_message_that_teams_refuses_once_is_repeated(
    world: World, kind: str, problem: ChatProblem
) -> None:
    """The card or the direct message comes within seconds, once, and no note says that it could not be delivered."""
    world.chat.before[kind].append(ChatRefused(problem))
    key = world.aws.add()
    async with reconciled(world, key):
        await world.clock.advance(SOON)
        assert len(world.chat.of(kind)) == 1
        await world.clock.advance(600)
    assert sorted(sent.kind for sent in world.chat.sent.values()) == ["direct", "post"]


@pytest.mark.parametrize("problem", SPORADIC)
async def test_note_that_teams_refuses_once_is_repeated(world: World, problem: ChatProblem) -> None:
    """The note on the decision is in the thread, once."""
    key = await world.posted()
    world.chat.before["reply"].append(ChatRefused(problem))
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(600)
    assert len(world.chat.of("reply")) == 1


# --- accepted without an id


@pytest.mark.parametrize("kind", ["post", "direct"])
async def test_message_that_teams_accepts_without_an_id_is_posted_once(world: World, kind: str) -> None:
    """Teams accepted the message but returned no id. It counts as delivered, and the row has one unconfirmed post."""
    world.chat.without_id[kind] = 1000
    key = world.aws.add()
    for _ in range(3):
        async with reconciled(world, key):
            await world.clock.advance(3600)
    assert len(world.chat.of(kind)) == 1
    name = {"post": "card:approvals", "direct": f"living:{TARO_PERSON.user}"}[kind]
    found = await surface(world, key, name)
    assert (found.delivery, found.activity_id, found.unconfirmed_posts) == (DeliveryState.DELIVERED, None, 1)


async def test_note_that_teams_accepts_without_an_id_is_posted_once(world: World) -> None:
    """A note needs no id, because it is never changed."""
    world.chat.without_id["reply"] = 1000
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(600)
    assert len(world.chat.of("reply")) == 1


async def _click_on(world: World, key: RequestKey, activity_id: str, verb: Verb = Verb.REFRESH) -> Answer:
    """Click on the card with this id, or let a client refresh it."""
    conversation = f"{CHANNEL};messageid={activity_id}"
    click = replace(world.pressed(key, HANAKO, verb), conversation=conversation, activity_id=activity_id)
    return await world.click_handler.click(click)


@pytest.mark.parametrize("verb", [Verb.REFRESH, Verb.APPROVE])
async def test_card_without_an_id_is_adopted_at_its_first_click_or_refresh(world: World, verb: Verb) -> None:
    """Teams returned no id for the card. From then on it is updated in place, and notes go into its thread."""
    world.chat.without_id["post"] = 1
    key = world.aws.add()
    async with reconciled(world, key):
        await world.clock.advance(1)
        await _click_on(world, key, "1000", verb)
        await world.clock.advance(1)
        if verb is Verb.REFRESH:
            await world.press(key, HANAKO)
        await world.clock.advance(5)
    assert [card.buttons for card in world.chat.of("post")] == [False]
    assert [note.where for note in world.chat.of("reply")] == [f"{CHANNEL};messageid=1000"]
    assert (await surface(world, key, "card:approvals")).unconfirmed_posts == 0


async def test_next_state_of_a_card_without_an_id_is_posted_as_a_new_card(world: World) -> None:
    """The earlier card cannot be updated before a click on it adopts it.

    After the click, both cards show the outcome.
    """
    world.chat.without_id["post"] = 1
    key = world.aws.add()
    async with reconciled(world, key):
        await world.clock.advance(1)
        world.aws.decide(key, Verdict.REJECT)
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert [card.buttons for card in world.chat.of("post")] == [True, False]
        await _click_on(world, key, "1000", Verb.APPROVE)
        await world.clock.advance(1)
    assert [card.buttons for card in world.chat.of("post")] == [False, False]
    assert world.aws.signals == []


async def test_clicks_on_a_card_without_an_id_post_no_further_cards(world: World) -> None:
    """The first click adopts the card, so after five clicks it is still the only one."""
    world.chat.without_id["post"] = 1000
    key = world.aws.add(levels=2, required=2)
    async with reconciled(world, key):
        await world.clock.advance(1)
        for _ in range(5):
            await _click_on(world, key, "1000", Verb.APPROVE)
            await world.clock.advance(20)
    assert len(world.chat.of("post")) == 1


async def test_note_on_a_card_without_an_id_is_posted_in_the_channel(world: World) -> None:
    """Teams returned no id for the cards, so their threads are unknown. The note is posted in the channel, once."""
    world.chat.without_id["post"] = 1000
    key = world.aws.add()
    async with reconciled(world, key):
        await world.clock.advance(1)
        world.aws.decide(key, Verdict.APPROVE, "from the console")
        await world.rows.requeue(key)
        await world.clock.advance(600)
    assert [note.where for note in world.chat.of("reply")] == [CHANNEL]
    assert len(world.chat.of("post")) == 2


async def test_new_cards_for_the_states_of_a_card_without_an_id_are_limited(world: World) -> None:
    """Seven levels pass in seven minutes, but only MOST_POSTS cards are posted. One more follows within two hours."""
    world.chat.without_id["post"] = 1000
    key = world.aws.add(levels=8)
    async with reconciled(world, key):
        for _ in range(7):
            await world.clock.advance(60)
            world.aws.decide(key, Verdict.APPROVE)
            await world.rows.requeue(key)
        assert len(world.chat.of("post")) == retry_policy.MOST_POSTS
        await world.clock.advance(2 * 3600)
    assert len(world.chat.of("post")) == retry_policy.MOST_POSTS + 1


# --- refused for longer


MAY_BE_DELETED = [problem for problem in SPORADIC if CONSEQUENCES[Task.UPDATE, problem] is Consequence.REPOST]
LASTS = 61  # seconds; from then on a refusal counts as lasting


@pytest.mark.parametrize("problem", MAY_BE_DELETED)
async def test_card_that_may_be_deleted_is_posted_again_after_a_minute_of_refused_updates(
    world: World, problem: ChatProblem
) -> None:
    """The new card shows the second level. No third card is posted."""
    key = await world.posted(levels=2)
    world.chat.before["update"] = [ChatRefused(problem)] * 1000
    world.aws.decide(key, Verdict.APPROVE)
    async with reconciled(world, key):
        await world.clock.advance(LASTS)
        first, second = world.chat.of("post")
        assert "Level2" in second.card
        assert "Level2" not in first.card
        await world.clock.advance(3 * 3600)
    assert len(world.chat.of("post")) == 2


async def test_new_cards_are_limited_in_a_tenant_that_refuses_every_update() -> None:
    """Four requests pass four levels, and each update is refused: at most three cards more for each, in a day.

    Once Teams accepts updates, every card loses its buttons.
    """
    world = new_world()
    keys = [await world.shown(world.aws.add(number, levels=4)) for number in range(4)]
    world.chat.before["update"] = [ChatRefused(ChatProblem.FORBIDDEN)] * 10_000
    for _ in range(4):
        for row in keys:
            world.aws.decide(row.key, Verdict.APPROVE)
            await world.rows.requeue(row.key)
        await pass_hours(world, 6)
    assert len(world.chat.of("post")) <= 4 * (1 + retry_policy.REPOSTS)
    world.chat.before["update"].clear()
    await pass_hours(world, 13)
    assert not any(card.buttons for card in world.chat.of("post"))


async def test_card_that_teams_reported_as_deleted_by_mistake_shows_the_outcome(world: World) -> None:
    """A second card was posted after the mistake. Both show the outcome, and so do the requester's messages."""
    key = await world.posted(levels=2)
    world.chat.before["update"] = [
        ChatRefused(ChatProblem.ACTIVITY_NOT_FOUND)
    ] * 14  # seven of the card, seven of the message
    world.aws.decide(key, Verdict.APPROVE)
    async with reconciled(world, key):
        await world.clock.advance(LASTS)
        assert len(world.chat.of("post")) == 2
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(300)
    assert [card.buttons for card in world.chat.of("post")] == [False, False]
    assert world.chat.of("post")[0].card == world.chat.of("post")[1].card
    assert world.chat.of("direct")[0].card == world.chat.of("direct")[1].card


async def test_post_that_replaces_a_deleted_card_is_repeated_after_a_refusal(world: World) -> None:
    """The card is deleted, and the post that replaces it is refused once. A minute later, one card has buttons."""
    key = await world.posted(levels=2)
    del world.chat.sent["1000"]
    world.chat.before["post"] = [ChatRefused(ChatProblem.FORBIDDEN)]
    world.aws.decide(key, Verdict.APPROVE)
    async with reconciled(world, key):
        await world.clock.advance(LASTS + SOON)
    assert [card.buttons for card in world.chat.of("post")] == [True]
    card = await surface(world, key, "card:approvals")
    assert (card.reposts, card.doubted_posts) == (1, 1)


async def test_card_that_replaces_a_deleted_card_and_is_adopted_by_a_click_is_updated_once(world: World) -> None:
    """Somebody clicks on the new card before Teams has returned its id. The row has the card once, so has Teams."""
    key = await world.posted(levels=2)
    del world.chat.sent["1000"]
    world.aws.decide(key, Verdict.APPROVE)
    post = world.chat.post

    async def clicked(conversation: str, message: Message) -> Posted:
        posted = await post(conversation, message)
        await _click_on(world, key, posted.activity_id or "")
        await world.click_handler.drain()
        return posted

    world.chat.post = clicked  # type: ignore[method-assign]  # a click right after the post
    async with reconciled(world, key):
        await world.clock.advance(LASTS)
        (card,) = world.chat.of("post")
        shown, versions = [each.activity_id for each in (await world.row(key)).cards], len(card.versions)
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(1)
    assert (len(shown), len(set(shown))) == (2, 2)  # the deleted card and the new one
    assert (len(card.versions), card.buttons) == (versions + 1, False)


async def test_note_on_a_deleted_card_is_posted_in_the_thread_of_the_card_that_replaces_it(world: World) -> None:
    """The thread was deleted with the card. The note is posted once."""
    key = await world.posted(levels=2)
    del world.chat.sent["1000"]
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(LASTS)
    card = await surface(world, key, "card:approvals")
    assert [note.where for note in world.chat.of("reply")] == [card.conversation]


async def test_card_that_teams_posted_and_reported_as_refused_is_adopted_at_a_refresh(world: World) -> None:
    """The bot posts the card again, so there are two. After a refresh of the first one, both show the outcome."""
    world.chat.after["post"] = [ChatRefused(ChatProblem.FORBIDDEN)]
    key = world.aws.add()
    async with reconciled(world, key):
        await world.clock.advance(SOON)
        await _click_on(world, key, "1000")
        world.aws.decide(key, Verdict.REJECT)
        await world.rows.requeue(key)
        await world.clock.advance(1)
    assert [card.buttons for card in world.chat.of("post")] == [False, False]


# --- many requests in one conversation


async def test_only_the_oldest_request_repeats_its_post_while_a_channel_begins_to_refuse_posts(world: World) -> None:
    """Twenty cards are due in a channel that refuses every post.

    In the first half minute only the oldest request's post is tried, twice. In the second half it is tried once more,
    and the others once each.
    """
    world.chat.refusing[CHANNEL] = ChatProblem.BLOCKED
    keys = []
    for number in range(20):
        keys.append(world.aws.add(number))
        await world.rows.requeue(keys[-1])
        await world.clock.advance(1)
    async with world.running():
        await world.clock.advance(30)
        assert world.chat.asked["post"] == 2
        assert (await surface(world, keys[0], "card:approvals")).refusals == 2
        await world.clock.advance(30)
    assert world.chat.asked["post"] == 3 + 19


async def test_waiting_cards_are_posted_within_seconds_after_the_channel_refused_one_post(world: World) -> None:
    """Teams refuses only the first of ten posts, by mistake. Each card is posted once."""
    world.chat.before["post"] = [ChatRefused(ChatProblem.BLOCKED)]
    for number in range(10):
        await world.rows.requeue(world.aws.add(number))
        await world.clock.advance(1)
    async with world.running():
        await world.clock.advance(SOON)
    assert (len(world.chat.of("post")), world.chat.asked["post"]) == (10, 11)


async def test_request_that_no_longer_exists_does_not_block_the_cards_of_other_requests(world: World) -> None:
    """The oldest request is gone before the second attempt of its post. The next request's card is posted instead."""
    world.chat.before["post"] = [ChatRefused(ChatProblem.BLOCKED)]
    first, second = world.aws.add(1), world.aws.add(2)
    for key in (first, second):
        await world.rows.requeue(key)
        await world.clock.advance(1)
    async with world.running():
        await world.clock.advance(2)
        await world.rows.apply(first, lambda row: replace(row, surfaces=(), requeue_at=None))
        del world.aws.requests[first]
        await world.clock.advance(60)
    assert [sent.where for sent in world.chat.of("post")] == [CHANNEL]


async def test_card_refused_as_malformed_does_not_move_other_cards_to_the_fallback_channel() -> None:
    """Teams refuses one card three times, so it goes to the fallback channel. The other two stay in their channel."""
    home = replace(APPROVALS, fallback=False, match=Match())
    leads = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2")
    world = new_world(home, leads)
    world.chat.before["post"] = [ChatRefused(ChatProblem.BAD_REQUEST)] * 3
    keys = [world.aws.add(number) for number in range(3)]
    for key in keys:
        await world.rows.requeue(key)
        await world.clock.advance(1)
    async with world.running():
        await world.clock.advance(120)
    assert sorted(sent.where for sent in world.chat.of("post")) == sorted([CHANNEL, CHANNEL, leads.conversation])


async def test_requester_who_blocked_the_bot_does_not_delay_the_direct_message_to_another_requester(
    world: World,
) -> None:
    """The thread of each of the blocking requester's two requests gets a note."""
    world.chat.unreachable[TARO_PERSON.object_id] = ChatProblem.BLOCKED
    role = "arn:aws:sts::111122223333:assumed-role/Operator/hanako.sato@example.com"
    keys = [world.aws.add(1), world.aws.add(2), world.aws.add(3, requester=role)]
    for key in keys:
        await world.rows.requeue(key)
        await world.clock.advance(1)
    async with world.running():
        await world.clock.advance(1)
        assert [sent.where for sent in world.chat.of("direct")] == [HANAKO.object_id]
        await world.clock.advance(60)
    assert len(world.chat.of("reply")) == 2  # the notes that Taro cannot be reached
