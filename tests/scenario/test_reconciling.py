"""How Teams comes to show what is true, whatever happened on the way, over fakes of AWS and Teams."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.decision import DecisionState
from bot.domain.record import DeliveryState
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Match
from bot.domain.shown.card_places import LATE_ROW
from bot.ports.aws import SignalLost
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.service.clicks.click import Verb
from bot.service.rows import LeaseHeld
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, World, configured, new_world

LEADS = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2")


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return new_world()


async def test_a_requester_who_is_in_no_roster_is_known_by_their_own_chat(world: World) -> None:
    """Their address is looked for by the name that AWS tells."""
    world.people.people.remove(TARO_PERSON)
    world.people.by_chat.append(TARO_PERSON)
    row = await world.shown(world.aws.add())
    assert row.requester
    assert (row.requester.placed, row.requester.person) == (True, TARO_PERSON)


async def test_looking_again_posts_nothing_again(world: World) -> None:
    """However often a request is looked at, it has one card, one thread and one direct message per state."""
    key = world.aws.add()
    for _ in range(5):
        await world.shown(key)
    assert [sent.kind for sent in world.chat.sent.values()] == ["post", "direct"]
    assert all(len(sent.versions) == 1 for sent in world.chat.sent.values())


async def test_a_throttled_post_is_made_later_and_once(world: World) -> None:
    """Teams asks for patience: nobody sleeps under the lease, and the card comes when the time is over."""
    world.chat.before["post"].append(ChatThrottled(7))
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(6)
        assert world.chat.of("post") == []
        await world.clock.advance(3)
    assert len(world.chat.of("post")) == 1


async def test_an_update_whose_reply_is_lost_is_made_again(world: World) -> None:
    """An update is the same twice over, so it is repeated until Teams has confirmed it."""
    key = world.aws.add()
    await world.shown(key)
    world.chat.after["update"].append(ChatUnavailable("reset", ambiguous=True))
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(10)
    (card,) = world.chat.of("post")
    assert len(card.versions) == 3
    assert not card.buttons


async def test_one_message_that_fails_does_not_hold_up_the_others(world: World) -> None:
    """A channel that is unreachable does not keep the direct message from the requester."""
    world.chat.before["post"].append(ChatRefused(ChatProblem.NOT_INSTALLED))
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert len(world.chat.of("direct")) == 1
        await world.clock.advance(301)
    assert len(world.chat.of("post")) == 1


async def test_a_card_that_somebody_deleted_is_posted_anew(world: World) -> None:
    """While the request waits the card comes back."""
    key = world.aws.add(levels=2)
    await world.shown(key)
    del world.chat.sent["1000"]
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    (card,) = world.chat.of("post")
    assert card.buttons


async def test_decisions_made_elsewhere_are_shown(world: World) -> None:
    """Cancelled, timed out, revoked or failed: the card says so without buttons and the requester is told."""
    for number, status in enumerate((Status.CANCELLED, Status.TIMED_OUT, Status.REVOKED, Status.FAILED), start=1):
        key = world.aws.add(number)
        await world.shown(key)
        world.aws.end(key, status)
        await world.shown(key)
        row = await world.row(key)
        card = row.surface("card:approvals")
        assert card is not None
        assert card.activity_id is not None
        assert not world.chat.sent[card.activity_id].buttons
        assert row.surface(f"dm:{status}") is not None
        assert row.surface(f"note:{status}") is not None


async def test_a_direct_message_that_a_later_state_overtook_is_skipped(world: World) -> None:
    """A requester whose request was decided meanwhile is not told that it waits."""
    world.chat.before["direct"].append(ChatUnavailable("reset", ambiguous=False))
    key = world.aws.add()
    await world.shown(key)
    world.aws.decide(key, Verdict.REJECT)
    await world.shown(key)
    row = await world.row(key)
    states = {surface.name: surface.delivery for surface in row.surfaces if surface.name.startswith("dm:")}
    assert states == {"dm:waiting": DeliveryState.SKIPPED, "dm:rejected": DeliveryState.DELIVERED}


async def _die_after_the_claim(world: World, key: RequestKey) -> None:
    """Click, and end the process while it reads the state: the claim is all that is left of it."""
    world.aws.gates["execution"] = asyncio.Event()
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["execution"].wait()
    click.cancel()
    for task in world.click_handler._background:
        task.cancel()
    del world.aws.gates["execution"]


async def test_a_claim_of_a_dead_process_is_carried_on(world: World) -> None:
    """The process died after the claim: another one sends the signal once, within the minute of the click."""
    key = world.aws.add()
    await world.shown(key)
    await _die_after_the_claim(world, key)
    world.build()
    async with world.running():
        await world.clock.advance(40)
    assert len(world.aws.effects) == 1
    assert world.aws.requests[key].status is Status.APPROVED


async def test_a_claim_older_than_a_minute_is_never_sent(world: World) -> None:
    """The process was down for too long: nothing is sent, and the thread tells the person to press again."""
    key = world.aws.add()
    await world.shown(key)
    await _die_after_the_claim(world, key)
    await world.clock.advance(120)
    world.build()
    async with world.running():
        await world.clock.advance(10)
    assert world.aws.signals == []
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]
    assert ["佐藤 花子" in note.card for note in world.chat.of("reply")] == [True]


async def test_a_signal_that_never_arrived_is_not_sent_again_either(world: World) -> None:
    """No reply and no effect: after a minute the person is told that they may press again."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["signal"].append(SignalLost())
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(70)
        await click
        assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]
        await world.press(key, HANAKO)
    assert [len(world.aws.signals), len(world.aws.effects)] == [2, 1]


async def test_two_processes_never_write_at_once(world: World) -> None:
    """While one holds the lease the other keeps its hands off."""
    key = world.aws.add()
    await world.rows.lease(key, "another process")
    with pytest.raises(LeaseHeld):
        await world.reconciler.reconcile(key)
    assert world.chat.sent == {}


async def test_a_lost_store_is_repaired_by_the_next_sweep(world: World) -> None:
    """AWS's list brings the request back, on a new card; the old one decides too, and follows once it was clicked."""
    key = world.aws.add()
    await world.shown(key)
    await world.clock.advance(LATE_ROW.total_seconds() + 1)
    world.store = MemoryStore()
    world.build()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(1)
        assert len(world.chat.of("post")) == 2
        await world.press(key, HANAKO)
        await world.clock.advance(1)
    assert len(world.aws.effects) == 1
    assert not any(card.buttons for card in world.chat.of("post"))


async def test_a_card_says_nothing_of_which_rows_there_are(world: World) -> None:
    """A made-up request, or a fresh one on somebody else's card, is looked for at most, and takes over no card."""
    key, fresh = world.aws.add(1), world.aws.add(2)
    await world.shown(key)
    for verb in Verb:
        await world.click_handler.click(replace(world.pressed(fresh, ICHIRO, verb), activity_id="1000"))
    await world.click_handler.drain()
    row = await world.row(fresh)
    assert (row.request, row.surfaces) == (None, ())
    assert len(world.chat.sent["1000"].versions) == 1


async def test_a_click_from_elsewhere_is_refused(world: World) -> None:
    """A card that was copied to another conversation decides nothing there."""
    key = world.aws.add()
    await world.shown(key)
    click = replace(world.pressed(key, HANAKO), conversation="19:elsewhere@thread.tacv2")
    answer = await world.click_handler.click(click)
    assert answer.refused
    assert answer.card is None
    assert world.aws.signals == []


async def test_tags_that_cannot_be_read_yet_keep_the_buttons_away() -> None:
    """The fallback gets the card without buttons; once the tags are read the right channel gets them."""
    match = Match(tags=(("Environment", frozenset({"production"})),))
    world = new_world(replace(APPROVALS, match=match, fallback=False), replace(LEADS, fallback=True))
    key = world.aws.add()
    node = world.aws.requests[key].node
    world.aws.requests[key] = replace(world.aws.requests[key], node=replace(node, tags=None), complete=False)
    await world.shown(key)
    (card,) = world.chat.of("post")
    assert (card.where, card.buttons) == (LEADS.conversation, False)
    world.aws.requests[key] = replace(world.aws.requests[key], node=node, complete=True)
    await world.shown(key)
    places = {sent.where: sent.buttons for sent in world.chat.of("post")}
    assert places == {LEADS.conversation: False, APPROVALS.conversation: True}


async def test_a_requester_whom_nobody_knows_blocks_the_decision(world: World) -> None:
    """Who cannot be placed could be the clicker: no buttons, and a stale button decides nothing."""
    key = world.aws.add(requester="arn:aws:sts::111122223333:assumed-role/Anything/taro.yamada@example.com")
    await world.shown(key)
    assert not world.chat.of("post")[0].buttons
    async with world.running():
        answers = [await world.press(key, who, Verb.APPROVE) for who in (HANAKO, TARO_PERSON)]
    assert world.aws.signals == []
    assert all(answer.refused for answer in answers)


async def test_a_roster_that_cannot_be_read_refuses(world: World) -> None:
    """Nobody is an approver while the roster is unknown."""
    key = world.aws.add()
    await world.shown(key)
    world.people.failing = True
    answer = await world.press(key, ICHIRO)
    assert answer.refused
    assert world.aws.signals == []


async def test_access_that_ended_is_shown_as_ended(world: World) -> None:
    """When the window is over the card changes by itself."""
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        await world.press(key, HANAKO)
        await world.clock.advance(1)
        approved = world.chat.of("post")[0].card
        await world.clock.advance(4 * 3600)
    assert world.chat.of("post")[0].card != approved


async def test_a_channel_that_was_renamed_keeps_its_cards(world: World) -> None:
    """A channel is its conversation: after a restart with another name for it the same card follows and decides."""
    key = world.aws.add()
    await world.shown(key)
    world.configured = configured(replace(APPROVALS, name="approvals: new"))
    world.build()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(1)
        await world.press(key, HANAKO)
        await world.clock.advance(1)
    (card,) = world.chat.of("post")
    assert not card.buttons
    assert len(world.aws.effects) == 1


async def test_a_channel_that_is_no_more_hands_its_requests_on(world: World) -> None:
    """The request is routed anew, so that somebody sees it; the old card has no conversation of ours any more."""
    key = world.aws.add()
    await world.shown(key)
    world.configured = configured(replace(LEADS, fallback=True))
    world.build()
    row = await world.shown(key)
    assert row.route is not None
    assert (row.route.channel, [sent.where for sent in world.chat.of("post")]) == (
        "leads",
        [APPROVALS.conversation, LEADS.conversation],
    )
