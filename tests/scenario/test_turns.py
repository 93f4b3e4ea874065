"""Whose turn it is: a level that opens calls its people in the thread, and the card lists the levels with names."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.identity import Person
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Channel, LevelRule
from bot.ports.teams import ChatUnavailable
from bot.service.clicks.click import Verb
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, Sent
from tests.fakes.world import APPROVALS, World, new_world

CALLS_HANAKO = replace(APPROVALS, mention=(f"user:{HANAKO.object_id}",))
TWO_PEOPLE = replace(
    CALLS_HANAKO,
    levels=(LevelRule("Level2", ("members",), mention=(f"user:{ICHIRO.object_id.upper()}",)),),
)
OPENED = "waits for level 2 of 2"


def calls(world: World, words: str = OPENED) -> list[Sent]:
    """Return the replies in threads that have these words."""
    return [sent for sent in world.chat.of("reply") if words in shown(sent.versions[-1].card)]


async def with_second_level_open(world: World, by: Person = HANAKO) -> RequestKey:
    """Return a request whose first level this person approved in Teams, and reconcile it."""
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, by)
    await world.shown(key)
    return key


async def decided_by(world: World, key: RequestKey, person: Person, verb: Verb = Verb.APPROVE) -> None:
    """Decide the second level in Teams and reconcile."""
    async with world.running():
        await world.press(key, person, verb, step="Level2")
    await world.shown(key)


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
async def test_story_of_two_levels_and_two_people(verb: Verb) -> None:
    """The card calls Hanako, who approves. A reply then calls Ichiro, who decides. The card lists both levels."""
    world = new_world(TWO_PEOPLE)
    key = await with_second_level_open(world)
    (card,) = world.chat.of("post")
    assert card.mentioned(0) == [HANAKO.teams_id]
    (call,) = calls(world)
    assert call.mentioned() == [ICHIRO.teams_id]
    assert call.versions[-1].alert
    assert call.where == f"{APPROVALS.conversation};messageid=1000"
    lines = shown(card.versions[-1].card)
    assert "Level 1: Approved by 佐藤 花子" in lines
    assert lines.count("Please decide: 田中 一郎") == 1
    assert "waits for" not in lines, "the card names the person once"
    await decided_by(world, key, ICHIRO, verb)
    lines = shown(card.versions[-1].card)
    assert "Level 1: Approved by 佐藤 花子" in lines
    assert f"Level 2: {'Approved' if verb is Verb.APPROVE else 'Rejected'} by 田中 一郎" in lines
    assert "waits for" not in lines
    assert len(calls(world)) == 1


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (CALLS_HANAKO, [HANAKO.teams_id]),
        (replace(CALLS_HANAKO, levels=(LevelRule("Level2", ("members",)),)), [HANAKO.teams_id]),
        (replace(CALLS_HANAKO, levels=(LevelRule("Level2", ("members",), mention=()),)), []),
        (APPROVALS, []),
    ],
    ids=["no rule", "rule without mention", "empty mention", "no mention at all"],
)
async def test_level_without_its_own_people_calls_those_of_the_channel(channel: Channel, expected: list[str]) -> None:
    """An empty `mention` mentions no one. The reply is sent anyway, and notifies."""
    world = new_world(channel)
    await with_second_level_open(world)
    (call,) = calls(world)
    assert call.mentioned() == expected
    assert call.versions[-1].alert


async def test_level_waits_for_the_roles_of_the_policy_if_no_one_is_mentioned() -> None:
    """The card then names what AWS waits for."""
    world = new_world()
    await with_second_level_open(world)
    (card,) = world.chat.of("post")
    assert "Level 2 waits for NodeAccessApprover, NodeAccessLead" in shown(card.versions[-1].card)


async def test_level_is_called_once_across_restarts_and_replicas() -> None:
    """Neither later reconciles nor other processes repeat the call."""
    world = new_world(TWO_PEOPLE)
    key = await with_second_level_open(world)
    for owner in ("replica-1", "replica-2", "replica-3"):
        world.owner = owner
        world.build()
        await world.shown(key)
        await world.pass_time(key, 3600)
    assert len(calls(world)) == 1


async def test_call_that_teams_did_not_take_in_time_is_skipped_after_the_level() -> None:
    """Teams is unavailable when the level opens. Before it is back, Ichiro decides."""
    world = new_world(TWO_PEOPLE)
    key = await world.posted(levels=2)
    world.aws.decide(key, Verdict.APPROVE)
    world.chat.before["reply"] = [ChatUnavailable("http_503", ambiguous=False)]
    await world.shown(key)
    assert calls(world) == []
    world.aws.decide(key, Verdict.APPROVE)
    await world.clock.advance(60)
    await world.shown(key)
    assert world.aws.requests[key].status is Status.APPROVED
    assert calls(world) == []


async def test_call_that_teams_did_not_take_is_repeated_while_the_level_waits() -> None:
    """A minute later, Teams is back."""
    world = new_world(TWO_PEOPLE)
    key = await world.posted(levels=2)
    world.aws.decide(key, Verdict.APPROVE)
    world.chat.before["reply"] = [ChatUnavailable("http_503", ambiguous=False)]
    await world.shown(key)
    await world.pass_time(key, 60)
    assert len(calls(world)) == 1


async def test_level_that_no_one_can_decide_calls_no_one_until_someone_can() -> None:
    """The second level lists no approvers. Once the file does, its people are called."""
    nobody = replace(TWO_PEOPLE, levels=(replace(TWO_PEOPLE.levels[0], approvers=()),))
    world = new_world(nobody)
    key = await with_second_level_open(world)
    assert calls(world) == []
    (card,) = world.chat.of("post")
    assert card.mentioned() == []
    assert "一郎" not in shown(card.versions[-1].card)
    world.configuration.replace(replace(world.configuration.value, channels=(TWO_PEOPLE,)))
    await world.shown(key)
    assert [call.mentioned() for call in calls(world)] == [[ICHIRO.teams_id]]


async def test_level_without_an_approver_in_the_channel_calls_no_one_until_one_joins() -> None:
    """Only the requester is left in the channel when the level opens. The card then has no buttons."""
    world = new_world(TWO_PEOPLE)
    key = await world.posted(levels=2)
    world.people.people[:] = [TARO_PERSON]
    world.aws.decide(key, Verdict.APPROVE)
    assert (await world.shown(key)).no_approver
    assert (calls(world), world.chat.of("post")[0].buttons) == ([], False)
    world.people.people.append(ICHIRO)
    await world.pass_time(key, 301)
    assert [call.mentioned() for call in calls(world)] == [[ICHIRO.teams_id]]
    assert world.chat.of("post")[0].buttons


async def test_first_level_that_could_not_be_decided_when_its_card_came_is_called_later(world: World) -> None:
    """The requester was unknown, so the card called no one. Once they are known, a reply calls Hanako, once."""
    world = new_world(CALLS_HANAKO, people=(HANAKO, ICHIRO))
    key = await world.posted()
    (card,) = world.chat.of("post")
    assert (card.mentioned(), card.buttons) == ([], False)
    world.people.people.append(TARO_PERSON)
    await world.pass_time(key, 601)
    assert card.buttons
    (call,) = calls(world, "can be decided now")
    assert call.mentioned() == [HANAKO.teams_id]


async def test_first_level_is_not_called_again_by_the_card_of_an_earlier_version(world: World) -> None:
    """An earlier version did not store its calls. Its cards called everybody at the first level."""
    key = await world.posted(levels=2)
    await world.store.apply(key, lambda row: replace(row, level_calls=()), now=world.clock.now())
    await world.shown(key)
    assert world.chat.of("reply") == []
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert len(calls(world)) == 1


async def test_card_that_is_posted_again_calls_the_level_instead_of_a_reply() -> None:
    """A person deleted the card, and the level opens. The new card mentions Ichiro, so no reply does."""
    world = new_world(TWO_PEOPLE)
    key = await world.posted(levels=2)
    del world.chat.sent["1000"]
    world.aws.decide(key, Verdict.APPROVE)
    await world.rows.requeue(key)
    await world.pass_time(key, timedelta(hours=1).total_seconds())
    (card,) = world.chat.of("post")
    assert card.mentioned(0) == [ICHIRO.teams_id]
    assert calls(world) == []
