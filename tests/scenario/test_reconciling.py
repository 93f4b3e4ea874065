"""Teams shows the state in AWS in the end, even after failures. Over fakes of AWS and Teams."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.decision import DecisionState
from bot.domain.request import Status, Verdict
from bot.domain.routing import Match
from bot.domain.shown.card_places import LATE_ROW
from bot.ports.aws import SignalLost
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.service.clicks.click import Verb
from bot.service.rows import LeaseHeld
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, World, current_configuration, new_world

LEADS = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2")


async def test_requester_in_no_roster_is_identified_by_the_address_of_their_personal_chat(world: World) -> None:
    """The person has written to the bot, so the bot knows the address that is in AWS's session name."""
    world.people.people.remove(TARO_PERSON)
    world.people.by_chat.append(TARO_PERSON)
    row = await world.shown(world.aws.add())
    assert row.requester
    assert (row.requester.identified, row.requester.person) == (True, TARO_PERSON)


async def test_repeated_reconciles_post_one_card(world: World) -> None:
    """However often a request is reconciled, it has one card and one direct message, and neither is updated."""
    key = world.aws.add()
    for _ in range(5):
        await world.shown(key)
    assert [sent.kind for sent in world.chat.sent.values()] == ["post", "direct"]
    assert all(len(sent.versions) == 1 for sent in world.chat.sent.values())


async def test_throttled_post_is_sent_once_after_the_pause(world: World) -> None:
    """Teams asks for a pause of seven seconds. The card is posted after six seconds and within nine."""
    world.chat.before["post"].append(ChatThrottled(7))
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(6)
        assert world.chat.of("post") == []
        await world.clock.advance(3)
    assert len(world.chat.of("post")) == 1


async def test_update_with_a_lost_reply_is_repeated(world: World) -> None:
    """Updates are idempotent, so the bot repeats one until Teams confirms it."""
    key = await world.posted()
    world.chat.after["update"].append(ChatUnavailable("reset", ambiguous=True))
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(10)
    (card,) = world.chat.of("post")
    assert len(card.versions) == 3
    assert not card.buttons


async def test_refused_card_does_not_delay_the_direct_message(world: World) -> None:
    """The requester is notified although Teams refuses the card."""
    world.chat.before["post"].append(ChatRefused(ChatProblem.NOT_INSTALLED))
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert len(world.chat.of("direct")) == 1
        await world.clock.advance(301)
    assert len(world.chat.of("post")) == 1


async def test_deleted_card_of_an_open_request_is_posted_again(world: World) -> None:
    """The request waits for its second level, so the new card has buttons."""
    key = await world.posted(levels=2)
    del world.chat.sent["1000"]
    world.aws.decide(key, Verdict.APPROVE)
    await world.rows.requeue(key)
    await world.pass_time(key, 61)
    (card,) = world.chat.of("post")
    assert card.buttons


async def test_card_note_and_direct_message_report_a_request_that_ended_outside_teams(world: World) -> None:
    """The request was cancelled, timed out, was revoked or failed.

    The card has no buttons, a note reports the status, and the requester's message shows it, without Cancel.
    """
    words = ("was cancelled", "No one decided", "was revoked", "couldn’t start")
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
        living = row.surface(f"living:{TARO_PERSON.user}")
        assert living is not None
        assert living.activity_id is not None
        assert words[number - 1] in world.chat.sent[living.activity_id].card
        assert "'verb': 'cancel'" not in world.chat.sent[living.activity_id].card
        assert row.surface(f"note:{status}") is not None


async def test_request_that_was_decided_before_its_first_direct_message_leads_to_one_message(world: World) -> None:
    """The message "waiting" could not be sent. The one that is sent later says that the request was rejected."""
    world.chat.before["direct"].append(ChatUnavailable("reset", ambiguous=False))
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT)
    await world.rows.requeue(key)
    await world.pass_time(key, 10)
    (message,) = world.chat.of("direct")
    assert ["Rejected: " in each.summary for each in message.versions] == [True]


async def test_claimed_vote_is_sent_once_after_a_crash(world: World) -> None:
    """The process restarts. The signal is sent within 40 seconds."""
    key = await world.posted()
    await world.crash_in(world.pressed(key, HANAKO), "execution")
    world.build()
    async with world.running():
        await world.clock.advance(40)
    assert len(world.aws.effects) == 1
    assert world.aws.requests[key].status is Status.APPROVED


async def test_claimed_vote_is_released_if_the_process_starts_two_minutes_after_a_crash(world: World) -> None:
    """Its turn began over a minute ago. No signal is sent, and a note names the person."""
    key = await world.posted()
    await world.crash_in(world.pressed(key, HANAKO), "execution")
    await world.clock.advance(120)
    world.build()
    async with world.running():
        await world.clock.advance(10)
    assert world.aws.signals == []
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]
    assert ["佐藤 花子" in note.card for note in world.chat.of("reply")] == [True]


async def test_signal_without_reply_or_effect_is_not_sent_again(world: World) -> None:
    """After a minute the decision is released, and the person may click again."""
    key = await world.posted()
    world.aws.before["signal"].append(SignalLost())
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(70)
        await click
        assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]
        await world.press(key, HANAKO)
    assert [len(world.aws.signals), len(world.aws.effects)] == [2, 1]


async def test_process_without_the_lease_sends_no_message(world: World) -> None:
    """While another process holds the lease, reconcile raises LeaseHeld."""
    key = world.aws.add()
    await world.rows.lease(key, "another process")
    with pytest.raises(LeaseHeld):
        await world.reconciler.reconcile(key)
    assert world.chat.sent == {}


async def test_sweep_posts_a_new_card_after_the_store_was_lost(world: World) -> None:
    """A click on the old card still decides the request, and then both cards have no buttons."""
    key = await world.posted()
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


async def test_click_that_names_another_request_than_its_card_does_not_adopt_the_card(world: World) -> None:
    """The row of the named request gets no surface, and the card is not updated."""
    key, fresh = world.aws.add(1), world.aws.add(2)
    await world.shown(key)
    for verb in Verb:
        await world.click_handler.click(replace(world.pressed(fresh, ICHIRO, verb), activity_id="1000"))
    await world.click_handler.drain()
    row = await world.row(fresh)
    assert (row.request, row.surfaces) == (None, ())
    assert len(world.chat.sent["1000"].versions) == 1


async def test_click_from_another_conversation_is_refused(world: World) -> None:
    """A click on a copy of the card in another conversation gets no card and sends no signal."""
    key = await world.posted()
    click = replace(world.pressed(key, HANAKO), conversation="19:elsewhere@thread.tacv2")
    answer = await world.click_handler.click(click)
    assert answer.refused
    assert answer.card is None
    assert world.aws.signals == []


async def test_card_has_no_buttons_while_routing_tags_are_unreadable() -> None:
    """The fallback channel gets the card without buttons; once the tags are read, the right channel gets its card."""
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


async def test_request_of_an_unidentified_requester_cannot_be_decided(world: World) -> None:
    """The requester could be the person who clicks: the card has no buttons, and a forged click is refused."""
    key = world.aws.add(requester="arn:aws:sts::111122223333:assumed-role/Anything/taro.yamada@example.com")
    await world.shown(key)
    assert not world.chat.of("post")[0].buttons
    async with world.running():
        answers = [await world.press(key, who, Verb.APPROVE) for who in (HANAKO, TARO_PERSON)]
    assert world.aws.signals == []
    assert all(answer.refused for answer in answers)


async def test_click_is_refused_while_the_roster_is_unreadable(world: World) -> None:
    """Without a roster, no one is known to be an approver."""
    key = await world.posted()
    world.people.failing = True
    answer = await world.press(key, ICHIRO)
    assert answer.refused
    assert world.aws.signals == []


async def test_card_says_that_the_access_has_ended_without_an_event(world: World) -> None:
    """The row has the end time, and becomes due then."""
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        await world.press(key, HANAKO)
        await world.clock.advance(1)
        assert "Access ended" not in world.chat.of("post")[0].card
        await world.clock.advance(4 * 3600)
    assert "Access ended" in world.chat.of("post")[0].card


async def test_renamed_channel_keeps_its_cards(world: World) -> None:
    """After a restart with another name of the channel, the same card is updated and accepts decisions."""
    key = await world.posted()
    world.configuration = current_configuration(replace(APPROVALS, name="approvals: new"))
    world.build()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(1)
        await world.press(key, HANAKO)
        await world.clock.advance(1)
    (card,) = world.chat.of("post")
    assert not card.buttons
    assert len(world.aws.effects) == 1


async def test_request_of_a_removed_channel_is_routed_again(world: World) -> None:
    """The remaining channel gets a card for the request."""
    key = await world.posted()
    world.configuration = current_configuration(replace(LEADS, fallback=True))
    world.build()
    row = await world.shown(key)
    assert row.route is not None
    assert (row.route.channel, [sent.where for sent in world.chat.of("post")]) == (
        "leads",
        [APPROVALS.conversation, LEADS.conversation],
    )
