"""Approvers by a group of Microsoft Entra: members of the channel who are also in the group may decide."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.routing import Channel, LevelRule
from bot.domain.rules.permission import Refusal
from bot.ports.teams import GroupProblem
from bot.service.clicks.click import Verb
from bot.service.incoming import IncomingMessage
from tests.fakes.card_text import nodes, shown, words
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.world import APPROVALS, World, code_of, new_world

ON_CALL, LEADS = "cccccccc-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-000000000002"
BY_GROUP = replace(APPROVALS, approvers=(f"group:{ON_CALL}",))
OUTSIDER = person(40)  # in the group, and not in the channel
GUEST = replace(person(41), guest=True)
OTHER_VERBS = (Verb.REJECT, Verb.REVIEWING)


def world_of(*approvers: Person, channel: Channel = BY_GROUP, people: tuple[Person, ...] = ()) -> World:
    """Return a world whose channel lists the group, with these people in the group."""
    world = new_world(channel, people=(HANAKO, ICHIRO, TARO_PERSON, *people))
    world.groups.set(ON_CALL, *approvers)
    return world


async def sees_buttons(world: World, key: RequestKey, who: Person) -> bool:
    """Return whether the person's own view of the card has buttons."""
    click = replace(world.pressed(key, who, Verb.REFRESH), manual=False)
    card = await world.click_handler.refresh(click)
    assert card is not None
    return any(each.get("verb") == "approve" for each in nodes(card.get("body")))


async def test_member_of_the_channel_who_is_in_the_group_approves() -> None:
    """The decision is sent once. The group was read for the card and is trusted for the click."""
    world = world_of(HANAKO, OUTSIDER)
    key = await world.posted()
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert not answer.refused
    assert world.aws.count("signal") == 1


@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (ICHIRO, Refusal.NOT_IN_GROUP),
        (OUTSIDER, Refusal.NOT_APPROVER),
        (GUEST, Refusal.FOREIGN),
        (TARO_PERSON, Refusal.OWN_REQUEST),
    ],
    ids=["not in the group", "not in the channel", "a guest", "the requester"],
)
@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT, Verb.REVIEWING])
async def test_others_may_neither_decide_nor_be_named_as_reviewers(who: Person, refusal: Refusal, verb: Verb) -> None:
    """All but the first are in the group. Each sees why."""
    world = world_of(HANAKO, OUTSIDER, GUEST, TARO_PERSON, people=(GUEST,))
    key = await world.posted()
    async with world.running():
        answer = await world.press(key, who, verb)
    assert code_of(answer) is refusal
    assert (world.aws.count("signal"), (await world.row(key)).decisions, (await world.row(key)).reviews) == (0, (), ())


@pytest.mark.parametrize(
    ("verb", "problem"),
    [*((Verb.APPROVE, each) for each in GroupProblem), *((each, GroupProblem.UNAVAILABLE) for each in OTHER_VERBS)],
)
async def test_no_one_in_the_channel_may_decide_by_a_group_that_is_not_read(verb: Verb, problem: GroupProblem) -> None:
    """It does not help that the group was read before. The card keeps its buttons, and the answer has the reason."""
    world = world_of(HANAKO)
    key = await world.posted()
    world.groups.groups[ON_CALL] = problem
    passing = problem is GroupProblem.UNAVAILABLE
    async with world.running():
        answer = await world.press(key, HANAKO, verb)
    assert code_of(answer) is (Refusal.GROUP_UNAVAILABLE if passing else Refusal.GROUP_REFUSED)
    assert any(each.get("verb") == "approve" for each in nodes(answer.card))
    assert world.aws.count("signal") == 0
    assert await sees_buttons(world, key, HANAKO)


@pytest.mark.parametrize(
    ("problem", "refusal"),
    [(None, Refusal.NOT_IN_GROUP), (GroupProblem.CONSENT_MISSING, Refusal.GROUP_REFUSED)],
    ids=["removed from the group", "no consent any longer"],
)
async def test_group_is_checked_again_right_before_the_signal(problem: GroupProblem | None, refusal: Refusal) -> None:
    """The person was in the group at the click. Nothing is sent, and the person sees why."""
    world = world_of(HANAKO, ICHIRO)
    key = await world.posted()
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        world.groups.set(ON_CALL, ICHIRO)
        if problem:
            world.groups.groups[ON_CALL] = problem
        gate.set()
        assert code_of(await click) is refusal
    (decision,) = (await world.row(key)).decisions
    assert (decision.state, decision.outcome, decision.detail) == (
        DecisionState.RELEASED,
        Outcome.NOT_PERMITTED,
        refusal,
    )
    assert world.aws.count("signal") == 0


async def test_decision_waits_while_graph_is_away_and_is_sent_when_it_answers_again() -> None:
    """It was made while the group was readable. An outage of seconds costs no decision."""
    world = world_of(HANAKO)
    key = await world.posted()
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["prepare"].wait()
        world.groups.groups[ON_CALL] = GroupProblem.UNAVAILABLE
        gate.set()
        await world.clock.advance(5)
        await click
        assert world.aws.count("signal") == 0
        world.groups.set(ON_CALL, HANAKO)
        await world.clock.advance(30)
    assert world.aws.count("signal") == 1


async def test_only_people_in_the_group_at_that_moment_may_revoke() -> None:
    """The one who approved has left the group since, and a colleague has joined it."""
    world = world_of(HANAKO)
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
        await world.shown(key)
        world.groups.set(ON_CALL, ICHIRO)
        assert code_of(await world.press(key, HANAKO, Verb.REVOKE)) is Refusal.NOT_IN_GROUP
        assert not (await world.press(key, ICHIRO, Verb.REVOKE)).refused
    assert world.aws.count("signal") == 2


async def test_each_level_has_its_own_group_and_one_person_approves_one_level() -> None:
    """The person in both groups approves the first level, and not the second."""
    channel = replace(BY_GROUP, levels=(LevelRule("Level2", (f"group:{LEADS}",)),))
    world = world_of(HANAKO, channel=channel)
    world.groups.set(LEADS, HANAKO, ICHIRO)
    key = await world.posted(levels=2)
    async with world.running():
        assert code_of(await world.press(key, ICHIRO)) is Refusal.NOT_IN_GROUP
        assert not (await world.press(key, HANAKO)).refused
        await world.shown(key)
        assert code_of(await world.press(key, HANAKO, step="Level2")) is Refusal.OTHER_LEVEL
        assert not (await world.press(key, ICHIRO, step="Level2")).refused
    assert world.aws.count("signal") == 2


async def test_group_that_the_file_names_since_the_roster_was_looked_up_allows_no_one_at_that_click() -> None:
    """It was not read for this click, so nobody is known to be in it. The next click reads it."""
    world = world_of(HANAKO, channel=APPROVALS)
    key = await world.posted()

    async def edit() -> None:
        world.configuration.replace(replace(world.configuration.value, channels=(BY_GROUP,)))

    world.people.before_member.append(edit)
    async with world.running():
        assert code_of(await world.press(key, HANAKO)) is Refusal.GROUP_UNAVAILABLE
        assert world.aws.count("signal") == 0
        await world.press(key, HANAKO)
    assert world.aws.count("signal") == 1


# --- what people see


async def test_only_people_who_may_decide_see_buttons_in_their_own_view() -> None:
    """Without a group in the cache, all members but the requester see them: only the click decides. No call is made."""
    world = world_of(HANAKO)
    key = await world.posted()
    asked = world.groups.asked
    assert [await sees_buttons(world, key, who) for who in (HANAKO, ICHIRO, TARO_PERSON)] == [True, False, False]
    world.groups.cold = True
    assert [await sees_buttons(world, key, who) for who in (HANAKO, ICHIRO, TARO_PERSON)] == [True, True, False]
    assert world.groups.asked == asked


async def test_requester_is_told_the_members_of_the_group_who_are_in_the_channel() -> None:
    """Nobody is named while the group is not read, and nobody is mentioned in the channel in either case."""
    world = world_of(HANAKO, OUTSIDER, TARO_PERSON)
    await world.posted()
    (message,) = [shown(each.versions[-1].card) for each in world.chat.of("direct")]
    assert HANAKO.name in message
    assert not {ICHIRO.name, OUTSIDER.name} & set(message.splitlines())
    assert "<at>" not in str(world.chat.of("post")[0].versions[0].card)
    world = world_of()
    world.groups.groups[ON_CALL] = GroupProblem.UNAVAILABLE
    await world.posted()
    assert HANAKO.name not in shown(world.chat.of("direct")[0].versions[-1].card)


@pytest.mark.parametrize(
    ("members", "said"), [((OUTSIDER, TARO_PERSON, GUEST), True), ((HANAKO,), False)], ids=["nobody", "somebody"]
)
async def test_card_says_that_no_one_of_the_group_is_in_the_channel(members: tuple[Person, ...], said: bool) -> None:
    """The requester and guests do not count."""
    world = world_of(*members, people=(GUEST,))
    await world.posted()
    text = shown(world.chat.of("post")[0].versions[-1].card)
    assert (words("card_line.no_approver") in text) is said


async def test_card_does_not_say_so_while_the_group_is_not_read() -> None:
    """Each member may be in the group."""
    world = world_of()
    world.groups.groups[ON_CALL] = GroupProblem.CONSENT_MISSING
    key = await world.posted()
    assert not (await world.row(key)).no_approver


async def test_pending_lists_a_request_for_the_people_who_may_decide_it() -> None:
    """In their chat with the bot, others see nothing that waits for them."""
    world = world_of(HANAKO)
    await world.posted()
    found = {}
    for who in (HANAKO, ICHIRO):
        message = IncomingMessage(text="pending", person=who, conversation=f"a:{who.object_id}", personal=True)
        found[who.name] = type((await world.commands.answer(message)).view).__name__
    assert found == {HANAKO.name: "PendingView", ICHIRO.name: "MessageView"}


async def test_no_group_is_read_if_the_file_names_none() -> None:
    """No permission for Microsoft Graph is needed then."""
    world = new_world()
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
    assert world.groups.asked == 0
    assert world.aws.count("signal") == 1
    assert BY_GROUP.conversation == CHANNEL
