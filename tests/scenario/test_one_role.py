"""Several approvers who decide in one role, at a level that needs several approvals.

AWS does not document how it counts such votes, so each possible behavior is tested: the card, the count and the advice
agree, and the advice never asks for a click that cannot help.
"""

import asyncio
import json
from ast import literal_eval
from pathlib import Path

import pytest

from bot.domain.decision import Outcome
from bot.domain.identity import Person
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.rules.claims import EFFECT_SPAN
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import SignalRefused
from bot.sandbox.aws.jit.assumptions import Assumptions
from bot.sandbox.aws.jit.requests import SecondVote
from bot.sandbox.aws.world import APPROVER_ROLE, LEAD_ROLE, level, manual_policy
from bot.service.clicks.click import Answer, Verb
from tests.fakes import people
from tests.fakes.aws import LEAD
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.product import UNPACED, product
from tests.fakes.world import World, code_of, new_world

SPAN = EFFECT_SPAN.total_seconds()
MEI = person(7, "鈴木 芽依")
ADVICE = "one decision per role"  # on the card, in the thread and in the answer
PERMISSION = "lost its permission"  # the other cause that a denial may have
DEAD_ENDS = ("ry again", "lack of permission", "check the approver role", "administrator for help")


def made(second: SecondVote) -> World:
    """Return a world whose AWS treats the second vote of a role in this way."""
    world = new_world(people=[HANAKO, ICHIRO, MEI, TARO_PERSON])
    world.aws.second_vote = second
    return world


def card(world: World) -> str:
    """Return the text of the request's card."""
    return shown(literal_eval(world.chat.of("post")[0].card))


def everything(world: World) -> str:
    """Return all texts in the channel: the card and its thread."""
    return "\n".join([card(world), *(note.card for note in world.chat.of("reply"))])


async def pressed(world: World, key: RequestKey, who: Person, verb: Verb = Verb.APPROVE) -> Answer:
    """Click and return the answer, which comes within 3 seconds."""
    click = asyncio.create_task(world.press(key, who, verb))
    await world.clock.advance(3)
    return await click


async def voted_twice(world: World, verb: Verb = Verb.APPROVE) -> tuple[RequestKey, Answer]:
    """Let two people decide in one role, and advance the clock by over a minute. Return the key and the second answer."""
    key = await world.posted(required=2)
    await pressed(world, key, HANAKO)
    answer = await pressed(world, key, ICHIRO, verb)
    await world.clock.advance(SPAN + 10)
    return key, answer


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
@pytest.mark.parametrize("second", [SecondVote.REFUSED, SecondVote.DENIED])
async def test_card_names_the_role_as_the_cause_if_aws_refuses_the_second_vote_in_a_role(
    second: SecondVote, verb: Verb
) -> None:
    """The channel does not ask the person to click again.

    If AWS denies the vote, the card names a lost permission as another possible cause. A vote in another role approves
    the request and removes the advice.
    """
    world = made(second)
    async with world.running():
        key, answer = await voted_twice(world, verb)
        denied = second is SecondVote.DENIED
        assert code_of(answer) is (NoticeCode.SAME_ROLE_DENIED if denied else NoticeCode.SAME_ROLE)
        assert (PERMISSION in card(world)) is denied
        assert ADVICE in card(world)
        assert "NodeAccessApprover" in card(world)
        assert "1 more approval needed" in card(world)
        assert ICHIRO.name not in card(world)
        assert not any(each in everything(world) for each in DEAD_ENDS)
        world.aws.vote(key, f"{LEAD.replace(':role/', ':assumed-role/').replace(':iam:', ':sts:')}/x", Verdict.APPROVE)
        await world.shown(key)
        assert ADVICE not in card(world)
    assert world.aws.requests[key].status is Status.APPROVED


@pytest.mark.parametrize("second", [SecondVote.HIDDEN, SecondVote.UNCOUNTED])
async def test_card_names_the_role_as_the_cause_if_aws_does_not_count_the_second_vote_in_a_role(
    second: SecondVote,
) -> None:
    """AWS accepts the vote, but does not count it within a minute.

    A third person's click in the role does not approve the request either.
    """
    world = made(second)
    async with world.running():
        key, _ = await voted_twice(world)
        assert ADVICE in card(world)
        assert not any(each in everything(world) for each in DEAD_ENDS)
        again = await pressed(world, key, MEI)
        assert code_of(again) in {NoticeCode.SAME_ROLE, NoticeCode.APPLYING, NoticeCode.RECORDED}
    assert world.aws.requests[key].status is Status.PENDING


async def test_card_with_two_of_two_approvals_says_why_the_level_still_waits() -> None:
    """AWS shows both approvals of one role and still waits. The card names the role as the cause."""
    world = made(SecondVote.UNCOUNTED)
    async with world.running():
        await voted_twice(world)
        assert "2 approvals given as required, but AWS still waits" in card(world)
        assert ADVICE in card(world)


async def test_channel_shows_no_advice_about_roles_if_aws_counts_both_votes() -> None:
    """AWS counts each session of the role, so the second vote approves the request."""
    world = made(SecondVote.COUNTED)
    async with world.running():
        key, _ = await voted_twice(world)
        assert ADVICE not in everything(world)
    assert world.aws.requests[key].status is Status.APPROVED


async def test_denied_first_vote_of_a_role_is_not_explained_by_an_earlier_vote() -> None:
    """Only another role has voted before: the role of the click lacks the permission, and the answer says so."""
    world = made(SecondVote.COUNTED)
    key = await world.posted(required=2)
    async with world.running():
        world.aws.vote(key, "arn:aws:sts::111122223333:assumed-role/NodeAccessLead/x", Verdict.APPROVE)
        world.aws.before["signal"] = [SignalRefused("AccessDeniedException", denied=True)]
        assert code_of(await pressed(world, key, HANAKO)) is Outcome.AWS_DENIED


@pytest.mark.parametrize("second", [SecondVote.COUNTED, SecondVote.HIDDEN])
async def test_vote_that_aws_records_under_the_arn_of_the_role_is_displayed_once(second: SecondVote) -> None:
    """AWS records the role's ARN instead of the session.

    The card shows one vote, with the name of the person who clicked.
    """
    world = made(second)
    world.aws.roles_shown = True
    key = await world.posted(required=2)
    async with world.running():
        await pressed(world, key, HANAKO)
        await world.clock.advance(SPAN + 10)
        assert "1 more approval needed" in card(world)
        assert card(world).count(f"Approved by {HANAKO.name}") == 1
        assert "outside Teams" not in everything(world)


@pytest.mark.parametrize("second", [SecondVote.REFUSED, SecondVote.DENIED])
async def test_answer_and_card_over_http_name_the_cause_if_aws_refuses_the_second_vote_in_a_role(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, second: SecondVote
) -> None:
    """The whole program over real HTTP: two people vote in one role, and both signals reach AWS."""
    async with product(monkeypatch, tmp_path, rates=UNPACED, assumed=Assumptions(second_vote=second)) as world:
        both = manual_policy([level("Both", APPROVER_ROLE, LEAD_ROLE, needed=2)], targets={"InstanceIds": ["*"]})
        ssm = world.aws.client("ssm")
        await asyncio.to_thread(
            ssm.create_document, Name="Both", Content=json.dumps(both), DocumentType="ManualApprovalPolicy"
        )
        async with world.running():
            request = await world.ask("bastion-01")
            waiting = await world.card(request)
            await world.click(people.HANAKO, waiting, "approve")
            await world.until(lambda: "1 more approval needed" in shown(world.cards(request)[0].card))
            answer = await world.click(people.ICHIRO, world.cards(request)[0], "approve")
            assert ADVICE in shown(answer["value"])
            await world.until(lambda: ADVICE in shown(world.cards(request)[0].card))
    assert world.signals() == 2
