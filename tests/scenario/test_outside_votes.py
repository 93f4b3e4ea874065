"""Votes that people cast outside Teams: the card, the thread and the answers name them as Teams does, if that is certain."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.decision import Outcome
from bot.domain.request import RequestKey, Verdict
from bot.service.checks.outcomes import Work
from tests.fakes.aws import ACCOUNT
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.world import World, new_world

USER_ID = "9067642ac7-11111111-1111-4111-8111-111111111111"


def session(role: str, name: str = HANAKO.upn or "") -> str:
    """Return the ARN of a session as AWS records it."""
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"


async def card_after(world: World, by: str) -> str:
    """Return the card after a vote of this principal outside Teams, at the first of two levels."""
    key = await world.posted(levels=2)
    world.aws.vote(key, by, Verdict.APPROVE, "from the console")
    await world.shown(key)
    (card,) = world.chat.of("post")
    return card.card


@pytest.mark.parametrize("role", ["AWSReservedSSO_Lead_0123456789abcdef", "Operator", "NodeAccessApprover"])
async def test_card_has_the_name_in_teams_of_a_voter_whose_session_name_is_certain(world: World, role: str) -> None:
    """The caller cannot choose the session name of these roles, and it is the address of one member."""
    card = await card_after(world, session(role))
    assert HANAKO.name in card
    assert str(HANAKO.upn) not in card


@pytest.mark.parametrize(
    "by",
    [
        session("NodeAccessApprover").replace(ACCOUNT, "444455556666"),  # anybody's role of the same name
        session("NodeAccessApprover").replace("arn:aws:", "arn:aws-cn:"),
        session("Admin"),  # any caller of this role could choose the name
        session("Operator", "nobody@example.com"),
        session("Operator", "HANAKO.SATO@EXAMPLE.ORG"),
        session("Operator", "hanako.sato@example.com"[:-1] + "\uff4d"),  # a look-alike
        f"arn:aws:iam::{ACCOUNT}:user/hanako.sato@example.com",
    ],
)
async def test_card_has_the_session_name_of_a_voter_if_this_name_proves_no_person(world: World, by: str) -> None:
    """A name that does not prove who the voter is must not appear as a person's name in Teams."""
    card = await card_after(world, by)
    assert HANAKO.name not in card
    assert by.rpartition("/")[2] in card


async def test_vote_in_a_role_of_another_account_is_displayed_beside_a_click_under_the_same_name(world: World) -> None:
    """Hanako has voted in Teams. Another account's role of the same name votes under her session name."""
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, HANAKO)
    elsewhere = session("NodeAccessApprover").replace(ACCOUNT, "444455556666")
    world.aws.vote(key, elsewhere, Verdict.REJECT)
    await world.shown(key)
    (card,) = world.chat.of("post")
    assert str(HANAKO.upn) in card.card


async def test_card_has_the_session_name_of_a_voter_if_two_people_share_this_address() -> None:
    """The mail address of one person is the UPN of another."""
    world = new_world(people=[HANAKO, replace(person(1), mail=HANAKO.upn), TARO_PERSON])
    card = await card_after(world, session("Operator"))
    assert HANAKO.name not in card
    assert str(HANAKO.upn) in card


async def test_card_has_the_name_in_teams_of_a_voter_whom_aws_names_by_an_identity_center_id() -> None:
    """The user record in Identity Center has the person's address. The id is not on the card."""
    world = new_world()
    world.identities.records[USER_ID] = ("hanako", str(HANAKO.upn))
    card = await card_after(world, USER_ID)
    assert HANAKO.name in card
    assert USER_ID not in card


async def test_card_keeps_the_name_in_teams_of_a_voter_while_rosters_cannot_be_read(world: World) -> None:
    """The name was certain once, so the card does not change to AWS's spelling and back."""
    key = await world.posted(levels=2)
    world.aws.vote(key, session("Operator"), Verdict.APPROVE)
    await world.shown(key)
    world.people.failing = True
    await world.shown(key)
    assert HANAKO.name in world.chat.of("post")[0].card


async def test_answer_to_a_late_click_and_note_have_the_name_in_teams_of_a_voter_outside_teams(world: World) -> None:
    """The answer to a click and the note in the thread have the same name as the card."""
    key = await world.posted()
    world.aws.vote(key, session("AWSReservedSSO_Lead_0123456789abcdef"), Verdict.APPROVE)
    await world.shown(key)
    async with world.running():
        answer = await world.press(key, ICHIRO)
    assert answer.notice is not None
    assert answer.notice.who == HANAKO.name
    assert HANAKO.name in world.chat.of("reply")[-1].card


async def test_voters_outside_teams_are_not_looked_up_while_rosters_cannot_be_read(world: World) -> None:
    """The card shows the vote with the name in AWS. Only the requester is looked up."""
    key = await world.posted(levels=2)
    world.people.failing = True
    world.aws.vote(key, session("Operator"), Verdict.APPROVE)
    asked = world.people.asked_known
    await world.shown(key)
    assert world.people.asked_known == asked + 1  # for the requester
    (card,) = world.chat.of("post")
    assert str(HANAKO.upn) in card.card


async def test_unreadable_identity_center_record_of_a_voter_is_not_counted_as_a_failure() -> None:
    """A voter's name on the card is optional.

    So the missing permission to read Identity Center is not counted as a failure.
    """
    world = new_world()
    world.identities.problem = "AccessDeniedException"
    await card_after(world, USER_ID)
    assert world.outcomes.failure(Work.IDENTITY_CENTER, within=timedelta(days=1)) is None


async def lookups(world: World, key: RequestKey) -> int:
    """Reconcile once, and return how often people were looked up, beside the lookup of the requester."""
    asked = world.people.asked_known
    await world.shown(key)
    return world.people.asked_known - asked - 1


async def test_voters_outside_teams_are_looked_up_together() -> None:
    """One lookup serves all voters of a request. Identity Center records are read side by side, at most four at once."""
    world = new_world()
    key = await world.posted(required=10)
    for number in range(9):
        world.aws.vote(key, f"9067642ac7-11111111-1111-4111-8111-{number:012d}", Verdict.APPROVE)
    assert await lookups(world, key) == 1
    assert (len(world.identities.asked), world.identities.most_at_once) == (9, 4)


async def test_voter_who_is_no_teams_user_is_not_looked_up_at_each_reconcile(world: World) -> None:
    """The absence is kept for five minutes, and dropped when the members of a channel or the configuration change."""
    key = await world.posted(levels=2)
    world.aws.vote(key, session("Operator", "nobody@example.com"), Verdict.APPROVE)
    assert [await lookups(world, key) for _ in range(3)] == [1, 0, 0]
    await world.clock.advance(301)
    assert await lookups(world, key) == 1
    world.configuration.replace(world.configuration.value)
    assert await lookups(world, key) == 1
    world.people.generation += 1
    world.people.people.append(replace(person(1), upn="nobody@example.com"))
    assert await lookups(world, key) == 1
    assert person(1).name in world.chat.of("post")[0].card


async def test_voter_with_an_unreadable_identity_center_record_is_looked_up_at_each_reconcile() -> None:
    """An unreadable record does not prove that the voter is no Teams user."""
    world = new_world()
    key = await world.posted(levels=2)
    world.identities.problem = "AccessDeniedException"
    world.aws.vote(key, USER_ID, Verdict.APPROVE)
    assert [await lookups(world, key) for _ in range(2)] == [1, 1]


async def test_answer_to_a_click_at_a_level_that_was_approved_outside_teams_names_the_approver(world: World) -> None:
    """The card that the person clicked on still shows level 1, which somebody approved in the console."""
    key = await world.posted(levels=2)
    world.aws.vote(key, session("Operator"), Verdict.APPROVE, "from the console")
    await world.shown(key)
    answer = await world.press(key, ICHIRO, step="Level1")
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (Outcome.STEP_PASSED, HANAKO.name)
