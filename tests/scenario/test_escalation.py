"""Escalation: after a time without a decision, the approvers of a second channel may decide a level, too."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.identity import Person
from bot.domain.request import Approver, ApproverKind, RequestKey, Status, Verdict
from bot.domain.routing import Channel, LevelRule
from bot.domain.rules.permission import Refusal
from bot.ports.teams import ChatProblem, GroupProblem
from bot.service.clicks.click import Answer, Click, Verb
from bot.service.incoming import IncomingMessage
from tests.fakes.aws import LEAD
from tests.fakes.card_text import shown
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, Sent, person
from tests.fakes.world import APPROVALS, World, code_of, current_configuration, new_world

LEADS_CHANNEL = "19:leads@thread.tacv2"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LEADER = person(40, "Leader")
LEADS = Channel(
    "leads",
    LEADS_CHANNEL,
    approvers=("members",),
    approver_role=LEAD.replace("111122223333", "{account}"),
    mention=(f"user:{LEADER.object_id}",),
)
HOME = replace(APPROVALS, escalate_after=2 * HOUR, escalate_to="leads", mention=(f"user:{HANAKO.object_id}",))


def world_of(home: Channel = HOME, leads: Channel = LEADS) -> World:
    """Return a world in which Hanako and Ichiro are in the first channel, and the leader in the second one."""
    world = new_world(home, leads, people=(HANAKO, ICHIRO, TARO_PERSON, LEADER))
    world.people.rosters = {CHANNEL: (HANAKO, ICHIRO, TARO_PERSON), LEADS_CHANNEL: (LEADER, TARO_PERSON)}
    return world


def card_in(world: World, conversation: str) -> Sent | None:
    """Return the card in a channel, or None."""
    return next((sent for sent in world.chat.of("post") if sent.where == conversation), None)


def click(world: World, key: RequestKey, who: Person, verb: Verb, *, step: str = "Level1", comment: str = "") -> Click:
    """Return a click on the card of the second channel."""
    activity = next(number for number, sent in world.chat.sent.items() if sent.where == LEADS_CHANNEL)
    return Click(who, f"{LEADS_CHANNEL};messageid={activity}", verb, str(key), step, comment, activity)


async def press_there(
    world: World, key: RequestKey, who: Person, verb: Verb = Verb.APPROVE, *, step: str = "Level1", comment: str = ""
) -> Answer:
    """Click on the card of the second channel, and return the answer."""
    return await world.click_handler.click(click(world, key, who, verb, step=step, comment=comment))


async def escalated(world: World, *, levels: int = 1) -> RequestKey:
    """Return a request whose first level was escalated."""
    key = await world.posted(levels=levels)
    await world.pass_time(key, (2 * HOUR).total_seconds())
    assert card_in(world, LEADS_CHANNEL) is not None
    return key


def reconfigure(world: World, *channels: Channel) -> None:
    """Replace the channels of the configuration."""
    world.configuration.replace(current_configuration(*channels).value)


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
async def test_story_of_a_request_that_is_decided_in_the_second_channel(verb: Verb) -> None:
    """The first card says who gains the right and when. After two hours, the leader is called, and decides."""
    world = world_of()
    key = await world.posted()
    first = card_in(world, CHANNEL)
    assert first is not None
    assert "If no one decides within 2 hours, the channel “leads” can decide, too." in shown(first.versions[0].card)
    await world.pass_time(key, (2 * HOUR - MINUTE).total_seconds())
    assert card_in(world, LEADS_CHANNEL) is None
    await world.pass_time(key, 60)
    second = card_in(world, LEADS_CHANNEL)
    assert second is not None
    assert (second.buttons, first.buttons) == (True, True)
    assert second.mentioned(0) == [LEADER.teams_id]
    assert "no one decided in the channel “approvals”" in shown(second.versions[0].card)
    assert "Since Wed, Apr 1, 11:00 UTC, the channel “leads” can decide, too." in shown(first.versions[-1].card)
    async with world.running():
        await press_there(world, key, LEADER, verb)
    assert [(each.session_name, each.role) for each in world.aws.signals] == [(LEADER.upn, LEAD)]
    await world.shown(key)
    assert world.aws.requests[key].status is (Status.APPROVED if verb is Verb.APPROVE else Status.REJECTED)
    assert (second.buttons, first.buttons) == (False, False)
    assert all("Leader" in shown(card.versions[-1].card) for card in (first, second))


async def test_first_channel_can_still_decide_after_the_escalation() -> None:
    """Hanako approves on the first card. The second card follows."""
    world = world_of()
    key = await escalated(world)
    async with world.running():
        await world.press(key, HANAKO)
    await world.shown(key)
    second = card_in(world, LEADS_CHANNEL)
    assert second is not None
    assert (second.buttons, world.aws.requests[key].status) == (False, Status.APPROVED)


async def test_second_channel_with_a_group_is_decided_by_people_of_the_group_who_are_in_that_channel() -> None:
    """Hanako is in the group, and only in the first channel. No one decides there while the group cannot be read."""
    group = "cccccccc-0000-4000-8000-000000000001"
    world = world_of(leads=replace(LEADS, approvers=(f"group:{group}",)))
    world.groups.set(group, HANAKO, LEADER)
    key = await escalated(world)
    async with world.running():
        assert code_of(await press_there(world, key, HANAKO)) is Refusal.NOT_APPROVER
        world.groups.groups[group] = GroupProblem.NOT_FOUND
        assert code_of(await press_there(world, key, LEADER)) is Refusal.GROUP_REFUSED
        world.groups.set(group, LEADER)
        await press_there(world, key, LEADER)
    assert [each.session_name for each in world.aws.signals] == [LEADER.upn]


async def test_approvers_decide_only_in_their_own_channel() -> None:
    """Hanako is not in the leaders' channel, and the leader not in hers. Neither decides in the other's channel."""
    world = world_of()
    key = await escalated(world)
    async with world.running():
        assert code_of(await press_there(world, key, HANAKO)) is Refusal.NOT_APPROVER
        assert code_of(await world.press(key, LEADER)) is Refusal.NOT_APPROVER
    assert world.aws.signals == []


async def test_requester_does_not_decide_in_the_second_channel() -> None:
    """Taro is a member there, too."""
    world = world_of()
    key = await escalated(world)
    async with world.running():
        assert code_of(await press_there(world, key, TARO_PERSON)) is Refusal.OWN_REQUEST
    assert world.aws.signals == []


async def test_decided_request_is_not_escalated() -> None:
    """Hanako decides after an hour."""
    world = world_of()
    key = await world.posted()
    await world.pass_time(key, 3600)
    world.aws.decide(key, Verdict.APPROVE)
    await world.pass_time(key, 7200)
    assert card_in(world, LEADS_CHANNEL) is None
    assert (await world.row(key)).escalations == ()


@pytest.mark.parametrize("paused", ["first", "second"])
async def test_no_escalation_begins_during_a_pause_of_either_channel(paused: str) -> None:
    """After the pause, it begins at once."""
    home, leads = replace(HOME, decide=paused != "first"), replace(LEADS, decide=paused != "second")
    world = world_of()
    key = await world.posted()
    reconfigure(world, home, leads)
    await world.shown(key)
    await world.pass_time(key, 3 * 3600)
    assert (await world.row(key)).escalations == ()
    reconfigure(world, HOME, LEADS)
    await world.shown(key)
    assert card_in(world, LEADS_CHANNEL) is not None


@pytest.mark.parametrize("paused", ["first", "second"])
async def test_pause_of_either_channel_pauses_both_after_the_escalation(paused: str) -> None:
    """Neither card has buttons, and no click on either is sent."""
    world = world_of()
    key = await escalated(world)
    reconfigure(world, replace(HOME, decide=paused != "first"), replace(LEADS, decide=paused != "second"))
    await world.shown(key)
    assert [sent.buttons for sent in world.chat.of("post")] == [False, False]
    async with world.running():
        assert code_of(await world.press(key, HANAKO)) is Refusal.PAUSED
        assert code_of(await press_there(world, key, LEADER)) is Refusal.PAUSED
    assert world.aws.signals == []


@pytest.mark.parametrize(
    ("home", "leads"),
    [(frozenset({Verdict.APPROVE}), frozenset[Verdict]()), (frozenset[Verdict](), frozenset({Verdict.APPROVE}))],
    ids=["first", "second"],
)
async def test_comment_that_either_channel_requires_is_required_in_the_second(
    home: frozenset[Verdict], leads: frozenset[Verdict]
) -> None:
    """A click without a comment is refused, one with a comment is sent."""
    world = world_of(replace(HOME, comment_required=home), replace(LEADS, comment_required=leads))
    key = await escalated(world)
    async with world.running():
        assert code_of(await press_there(world, key, LEADER)) is Refusal.COMMENT_REQUIRED
        assert world.aws.signals == []
        await press_there(world, key, LEADER, comment="fine")
    assert len(world.aws.signals) == 1


@pytest.mark.parametrize("free", ["none", "first", "second", "both"])
async def test_person_approves_a_second_level_only_if_both_channels_allow_it(free: str) -> None:
    """The leader approves both levels in the second channel."""
    home = replace(HOME, one_level_per_person=free not in {"first", "both"})
    leads = replace(LEADS, one_level_per_person=free not in {"second", "both"})
    world = world_of(home, leads)
    key = await escalated(world, levels=2)
    async with world.running():
        await press_there(world, key, LEADER)
    await world.shown(key)
    await world.pass_time(key, (2 * HOUR).total_seconds())
    async with world.running():
        answer = await press_there(world, key, LEADER, step="Level2")
    assert (code_of(answer) is Refusal.OTHER_LEVEL) == (free != "both")
    assert len(world.aws.signals) == (2 if free == "both" else 1)


async def test_each_level_has_its_own_escalation() -> None:
    """The second channel decides no level before its own time. Then a reply calls its people, because a card is there."""
    world = world_of()
    key = await escalated(world, levels=2)
    async with world.running():
        await press_there(world, key, LEADER)
        await world.shown(key)
        assert code_of(await press_there(world, key, LEADER, Verb.REJECT, step="Level2")) is Refusal.NOT_ROUTED
    second = card_in(world, LEADS_CHANNEL)
    assert second is not None
    assert "'verb': 'reject'" not in second.card
    await world.pass_time(key, (2 * HOUR).total_seconds())
    assert "'verb': 'reject'" in second.card
    (call,) = [sent for sent in world.chat.of("reply") if "can now be decided here" in shown(sent.versions[-1].card)]
    assert (call.where.partition(";")[0], call.mentioned(0)) == (LEADS_CHANNEL, [LEADER.teams_id])
    async with world.running():
        await press_there(world, key, LEADER, Verb.REJECT, step="Level2")
    assert world.aws.requests[key].status is Status.REJECTED


@pytest.mark.parametrize("known_there", [False, True])
async def test_step_with_a_rule_in_the_first_channel_alone_is_not_decided_in_the_second(*, known_there: bool) -> None:
    """The first channel has a rule for the step. Without its own rule, the second channel only shows the request."""
    rule = LevelRule("Level1", ("members",))
    world = world_of(replace(HOME, levels=(rule,)), replace(LEADS, levels=(rule,) if known_there else ()))
    key = await escalated(world)
    second = card_in(world, LEADS_CHANNEL)
    assert second is not None
    assert second.buttons is known_there
    async with world.running():
        assert (code_of(await press_there(world, key, LEADER)) is Refusal.NOBODY) is not known_there
    assert len(world.aws.signals) == int(known_there)


async def test_second_channel_whose_role_the_policy_does_not_list_only_informs() -> None:
    """AWS would refuse its votes. The card has no buttons and calls no one."""
    world = world_of()
    key = await world.posted()
    request = world.aws.requests[key]
    only = (Approver(ApproverKind.ROLE, LEAD.replace("Lead", "Approver")),)
    world.aws.requests[key] = replace(request, levels=tuple(replace(each, approvers=only) for each in request.levels))
    await world.pass_time(key, 7201)
    second = card_in(world, LEADS_CHANNEL)
    assert second is not None
    assert (second.buttons, second.mentioned(0)) == (False, [])
    async with world.running():
        assert code_of(await press_there(world, key, LEADER)) is Refusal.OTHER_ROLE
    assert world.aws.signals == []


@pytest.mark.parametrize("home", [APPROVALS, replace(HOME, escalate_to="others")], ids=["removed", "another channel"])
async def test_right_ends_with_the_setting(home: Channel) -> None:
    """The row alone gives no right."""
    world = world_of()
    key = await escalated(world)
    reconfigure(world, home, LEADS, replace(LEADS, name="others", conversation="19:others@thread.tacv2"))
    async with world.running():
        assert code_of(await press_there(world, key, LEADER)) is Refusal.NOT_ROUTED
    assert world.aws.signals == []
    await world.shown(key)
    second = card_in(world, LEADS_CHANNEL)
    assert second is not None
    assert not second.buttons


async def test_claimed_decision_is_not_sent_after_the_setting_is_removed() -> None:
    """The file changes while the decision is prepared."""
    world = world_of()
    key = await escalated(world)
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        clicking = asyncio.create_task(press_there(world, key, LEADER))
        await world.aws.arrived["prepare"].wait()
        reconfigure(world, APPROVALS, LEADS)
        gate.set()
        await clicking
    assert world.aws.signals == []


async def test_vote_in_the_second_channel_is_judged_there_again_before_it_is_sent() -> None:
    """Hanako is in both channels, and leaves the second one while her vote is prepared. The first one does not count."""
    world = world_of()
    world.people.rosters[LEADS_CHANNEL] = (LEADER, HANAKO)
    key = await escalated(world)
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        clicking = asyncio.create_task(press_there(world, key, HANAKO))
        await world.aws.arrived["prepare"].wait()
        world.people.rosters[LEADS_CHANNEL] = (LEADER,)
        world.people.generation += 1
        gate.set()
        assert code_of(await clicking) is Refusal.NOT_APPROVER
    assert world.aws.signals == []


async def test_setting_alone_gives_no_right_before_its_time() -> None:
    """A forged click in the second channel, a minute early."""
    world = world_of()
    key = await world.posted()
    await world.pass_time(key, (2 * HOUR - MINUTE).total_seconds())
    forged = Click(LEADER, f"{LEADS_CHANNEL};messageid=1000", Verb.APPROVE, str(key), "Level1", "", "1000")
    async with world.running():
        assert code_of(await world.click_handler.click(forged)) is Refusal.NOT_HERE
    assert world.aws.signals == []


async def test_escalation_survives_a_restart_and_happens_once_with_three_replicas() -> None:
    """All three find the row due. The second channel gets one card."""
    world = world_of()
    key = await world.posted()
    world.build()
    others = [
        World(world.clock, world.aws, world.chat, world.people, world.store, world.configuration, owner, sharing=3)
        for owner in ("replica-2", "replica-3")
    ]
    async with world.running(), others[0].running(), others[1].running():
        await world.clock.advance(2 * 3600 + 5)
        await world.clock.advance(3600)
    assert [sent.where for sent in world.chat.of("post")] == [CHANNEL, LEADS_CHANNEL]
    assert [each.channel for each in (await world.row(key)).escalations] == ["leads"]


async def test_level_is_escalated_after_a_restart_with_a_file_that_ends_the_pause() -> None:
    """The sweep after the start finds the row. During the pause, no sweep reconciles it again and again."""
    world = world_of(leads=replace(LEADS, decide=False))
    key = await world.posted()
    await world.pass_time(key, 3 * 3600)
    reads = world.aws.count("observe")
    async with world.running():
        for _ in range(3):
            await world.sweep.sweep()
            await world.clock.advance(60)
    assert (world.aws.count("observe"), card_in(world, LEADS_CHANNEL)) == (reads, None)
    reconfigure(world, HOME, LEADS)
    world.build()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert card_in(world, LEADS_CHANNEL) is not None


async def test_renamed_second_channel_keeps_its_right() -> None:
    """The file gives the channel another name. It is recognized by its conversation."""
    world = world_of()
    key = await escalated(world)
    reconfigure(world, replace(HOME, escalate_to="chiefs"), replace(LEADS, name="chiefs"))
    await world.shown(key)
    async with world.running():
        await press_there(world, key, LEADER)
    assert len(world.aws.signals) == 1


async def test_request_that_no_one_can_decide_is_not_escalated_before_someone_can() -> None:
    """The requester is unknown for three hours. The time begins when the people are called."""
    world = world_of()
    world.people.rosters = {CHANNEL: (HANAKO, ICHIRO), LEADS_CHANNEL: (LEADER,)}
    world.people.people.remove(TARO_PERSON)
    key = await world.posted()
    await world.pass_time(key, 3 * 3600)
    assert card_in(world, LEADS_CHANNEL) is None
    world.people.people.append(TARO_PERSON)
    await world.pass_time(key, 600)
    assert card_in(world, LEADS_CHANNEL) is None
    await world.pass_time(key, 2 * 3600)
    assert card_in(world, LEADS_CHANNEL) is not None


@pytest.mark.parametrize("step", ["Level1", "Level2"])
async def test_level_is_escalated_although_teams_refuses_the_first_channel(step: str) -> None:
    """The bot was removed there before the level opened, so its people are never called. The leader rejects."""
    world = world_of()
    key = world.aws.add(levels=2)
    if step == "Level2":
        await world.shown(key)
        world.aws.decide(key, Verdict.APPROVE)
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    await world.shown(key)
    await world.pass_time(key, (2 * HOUR - MINUTE).total_seconds())
    assert card_in(world, LEADS_CHANNEL) is None
    await world.pass_time(key, 60)
    assert card_in(world, LEADS_CHANNEL)
    async with world.running():
        await press_there(world, key, LEADER, Verb.REJECT, step=step)
    assert world.aws.requests[key].status is Status.REJECTED


async def test_call_in_the_second_channel_does_not_wait_for_a_reply_that_the_first_does_not_take() -> None:
    """Teams does not answer in the first channel after the first level. Both levels are escalated."""
    world = world_of()
    key = await escalated(world, levels=2)
    world.chat.silent.add(CHANNEL)
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    await world.pass_time(key, (2 * HOUR).total_seconds())
    (call,) = world.chat.of("reply")
    assert "can now be decided here" in shown(call.versions[-1].card)


async def test_access_that_the_second_channel_approved_can_be_revoked_there() -> None:
    """The leader approves and revokes. Hanako could revoke, too."""
    world = world_of()
    key = await escalated(world)
    async with world.running():
        await press_there(world, key, LEADER)
        await world.shown(key)
        await press_there(world, key, LEADER, Verb.REVOKE)
    assert world.aws.requests[key].status is Status.REVOKED


async def test_pending_lists_an_escalated_request_to_the_people_of_the_second_channel() -> None:
    """In the leader's personal chat, and in the channel."""
    world = world_of()
    key = await world.posted()
    mine = IncomingMessage("pending", LEADER, f"a:{LEADER.object_id}", personal=True)
    assert key.ops_item_id not in repr((await world.commands.answer(mine)).view)
    await world.pass_time(key, 7201)
    there = IncomingMessage("pending", LEADER, LEADS_CHANNEL, personal=False)
    for message in (mine, there):
        assert key.ops_item_id in repr((await world.commands.answer(message)).view)
