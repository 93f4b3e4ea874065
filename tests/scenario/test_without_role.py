"""A channel without an approver role: AWS records the bot's own session, and the comment says whose vote it is."""

import asyncio
import json
from dataclasses import replace

import pytest

from bot.domain.decision import COMMENT_LIMIT, DecisionState
from bot.domain.identity import Person
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.shown.decided import decision_lines
from bot.ports.aws import AwsThrottled, SignalLost
from bot.sandbox.aws.jit.assumptions import decision_json
from bot.sandbox.aws.jit.requests import Decision, Vote
from tests.fakes.aws import FakeAws
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.clock import settled
from tests.fakes.world import APPROVALS, World, new_world

LONG = "x" * COMMENT_LIMIT
COMMENTS = pytest.mark.parametrize("comment", ["", "fine", LONG], ids=["none", "short", "long"])


class CutAws(FakeAws):
    """AWS that keeps 512 characters of each decision, and counts every vote of the same session."""

    def vote(self, key: RequestKey, voter: str, verdict: Verdict, comment: str = "") -> None:
        """Count a vote with its comment, cut as AWS cuts it."""
        voter = f"{voter}{len(self.signals)}"
        given = Vote(voter=voter, role="", decision=Decision.APPROVE, at=self._clock.now(), comment=comment)
        super().vote(key, voter, verdict, json.loads(decision_json(given)).get("comment", ""))


def without_role(who: Person = HANAKO, other: Person = ICHIRO) -> World:
    """Return a world whose channel has no approver role."""
    world = new_world(replace(APPROVALS, approver_role=None), people=[who, other, TARO_PERSON])
    world.aws = CutAws(world.clock)
    world.build()
    return world


@COMMENTS
async def test_decision_in_a_channel_without_an_approver_role_is_displayed_once(comment: str) -> None:
    """The decision is displayed as the person's, and not a second time as a decision outside Teams."""
    world = without_role()
    key = await world.posted()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment=comment))
        await world.clock.advance(5)
        await click
    assert [line.who for line in decision_lines(await world.row(key))] == [HANAKO.name]


@pytest.mark.parametrize("name", ["佐藤  花子", "佐藤 花子 ", "Sato\u00a0Hanako"])
async def test_vote_is_attributed_to_a_person_whose_name_has_double_trailing_or_no_break_spaces(name: str) -> None:
    """The bot compares AWS's comment with the text that it sent, not with the name as Teams has it."""
    who = replace(HANAKO, name=name)
    world = without_role(who)
    key = await world.posted()
    async with world.running():
        click = asyncio.create_task(world.press(key, who, comment="fine"))
        await world.clock.advance(5)
        await click
    assert [line.who for line in decision_lines(await world.row(key))] == [name]


@COMMENTS
async def test_decision_with_a_lost_reply_is_confirmed_by_the_vote_in_aws(comment: str) -> None:
    """The signal took effect, so the decision is confirmed."""
    world = without_role()
    key = await world.posted()
    world.aws.after["signal"].append(SignalLost("ReadTimeoutError"))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment=comment))
        await world.clock.advance(70)
        await click
    assert world.aws.requests[key].status is Status.APPROVED
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.CONFIRMED]


@COMMENTS
async def test_second_of_two_approvals_in_the_bots_own_session_is_not_blocked_by_the_first(comment: str) -> None:
    """One approval is sent half a second after the other: both count, and the request is approved."""
    world = without_role()
    key = await world.posted(required=2)
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        clicks = [asyncio.create_task(world.press(key, who, comment=comment)) for who in (HANAKO, ICHIRO)]
        await settled()
        world.aws.before["execution"].append(
            AwsThrottled("ThrottlingException")
        )  # one of the two clicks continues half a second later
        gate.set()
        await world.clock.advance(90)
        await asyncio.gather(*clicks)
    assert world.aws.requests[key].status is Status.APPROVED


async def test_vote_of_another_person_with_the_same_name_does_not_confirm_a_lost_vote() -> None:
    """The second person's signal never reaches AWS. The first person's vote does not confirm it, so it is released."""
    other = replace(ICHIRO, name=HANAKO.name)
    world = without_role(other=other)
    key = await world.posted(required=3)
    async with world.running():
        await world.press(key, HANAKO, comment="fine")
        await world.clock.advance(5)
        world.aws.before["signal"].append(SignalLost("ConnectTimeout"))
        click = asyncio.create_task(world.press(key, other))
        await world.clock.advance(80)
        await click
    states = {each.person.object_id: each.state for each in (await world.row(key)).decisions}
    assert states[other.object_id] is DecisionState.RELEASED
