"""AWS accepts a vote and does not show it: after a minute, no text names it as a vote, and its person may try again."""

import asyncio
from ast import literal_eval
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.request import RequestKey, Status, Verdict, Vote
from bot.domain.rules.claims import EFFECT_SPAN
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import AwsUnavailable
from bot.ports.teams import ChatThrottled
from bot.service.clicks.click import Answer, Verb
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.world import World, code_of

NEVER = 1e6  # seconds
SPAN = EFFECT_SPAN.total_seconds()
APPROVER = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover"
OTHER = "arn:aws:sts::111122223333:assumed-role/Lead/mei@example.com"
NOT_SHOWN = "doesn’t show it"
UNREADABLE = "can’t read those given in AWS"


def card(world: World) -> str:
    """Return the text of the request's card as the channel shows it."""
    return shown(literal_eval(world.chat.of("post")[0].card))


def thread(world: World) -> Sequence[str]:
    """Return the notes in the card's thread."""
    return [note.card for note in world.chat.of("reply")]


async def pressed(world: World, key: RequestKey, who: Person = HANAKO, verb: Verb = Verb.APPROVE) -> Answer:
    """Click, advance the clock by 3 seconds, and return the answer."""
    click = asyncio.create_task(world.press(key, who, verb))
    await world.clock.advance(3)
    return await click


async def swallowed(world: World, key: RequestKey, who: Person = HANAKO, verb: Verb = Verb.APPROVE) -> None:
    """Click: AWS accepts the vote and never shows it."""
    world.aws.lag = NEVER
    assert code_of(await pressed(world, key, who, verb)) is NoticeCode.APPLYING
    world.aws.lag = 0.0


def vote_of(who: Person, verdict: Verdict = Verdict.APPROVE, *, at: datetime | None = None) -> Vote:
    """Return the person's vote as AWS lists it."""
    return Vote(f"{APPROVER}/{who.upn}", verdict, at)


def show(world: World, key: RequestKey, *votes: Vote) -> None:
    """Let AWS list these votes at the first level, whose state stays."""
    request = world.aws.requests[key]
    first, *others = request.levels
    world.aws.requests[key] = replace(request, levels=(replace(first, votes=votes), *others))


def hide_all(world: World, key: RequestKey) -> None:
    """Let AWS list the votes of the first level in a shape that cannot be parsed."""
    request = world.aws.requests[key]
    first, *others = request.levels
    world.aws.requests[key] = replace(request, levels=(replace(first, votes=None), *others))


def voters(world: World) -> list[str | None]:
    """Return the names of the sessions that sent signals."""
    return [signal.session_name for signal in world.aws.signals]


@pytest.mark.parametrize(("verb", "word"), [(Verb.APPROVE, "Approved by"), (Verb.REJECT, "Rejected by")])
async def test_vote_that_aws_does_not_show_is_hidden_after_a_minute_and_may_be_repeated(
    world: World, verb: Verb, word: str
) -> None:
    """For a minute the card names the voter. Then card and thread say that AWS does not show the vote."""
    key = await world.posted()
    async with world.running():
        await swallowed(world, key, verb=verb)
        await world.clock.advance(SPAN - 5)
        assert word in card(world)
        assert NOT_SHOWN not in card(world)
        assert code_of(await pressed(world, key, verb=verb)) is NoticeCode.NOT_SHOWN
        await world.clock.advance(1)
        assert word not in card(world)
        assert NOT_SHOWN in card(world)
        assert HANAKO.name in card(world)
        assert NOT_SHOWN in thread(world)[-1]
        assert "can try again" in thread(world)[-1]
        assert code_of(await pressed(world, key, verb=verb)) is None
    assert voters(world) == [HANAKO.upn] * 2
    assert world.aws.requests[key].status.ended
    assert NOT_SHOWN not in card(world)
    assert word in card(world)


async def test_vote_is_hidden_although_teams_postpones_messages(world: World) -> None:
    """Teams throttles shortly before the minute is over. After it, the bot still reads AWS instead of only delivering."""
    key = await world.posted(required=2)
    async with world.running():
        await swallowed(world, key)
        await world.clock.advance(SPAN - 5)
        world.chat.before["update"] += [ChatThrottled(2.0)] * 2
        await world.rows.requeue(key)
        show(world, key, Vote(OTHER, Verdict.APPROVE))
        await world.clock.advance(10)
        assert NOT_SHOWN in card(world)


@pytest.mark.parametrize("what", ["fails", "incomplete", "no steps", "unreadable votes"])
async def test_vote_stays_on_the_card_while_no_complete_read_shows_readable_votes(world: World, what: str) -> None:
    """The read fails, is incomplete, or has no steps or unreadable votes. The person may not vote again."""
    key = await world.posted(required=2)
    async with world.running():
        await swallowed(world, key)
        true = world.aws.requests[key]
        await world.clock.advance(10)
        match what:
            case "fails":
                world.aws.before["observe"] += [AwsUnavailable("InternalServerError")] * 1000
            case "incomplete":
                world.aws.requests[key] = replace(true, complete=False)
            case "no steps":
                world.aws.requests[key] = replace(true, complete=False, levels=())
            case _:
                hide_all(world, key)
        await world.clock.advance(10 * SPAN)
        assert "Approved by" in card(world)
        assert NOT_SHOWN not in card(world)
        assert (UNREADABLE in card(world)) is (what == "unreadable votes")
        assert code_of(await pressed(world, key)) is NoticeCode.REPEATED
        world.aws.before["observe"].clear()
        world.aws.requests[key] = true
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert NOT_SHOWN in card(world)
    assert voters(world) == [HANAKO.upn]


async def test_vote_is_hidden_although_another_part_of_the_request_is_unreadable(world: World) -> None:
    """AWS shows all steps with their votes, but not, for example, the node's tags."""
    key = await world.posted(required=2)
    world.aws.requests[key] = replace(world.aws.requests[key], complete=False, steps_read=True)
    async with world.running():
        await swallowed(world, key)
        await world.clock.advance(15 * SPAN)
        assert NOT_SHOWN in card(world)


async def test_second_approver_can_vote_at_once_while_the_votes_in_aws_are_unreadable(world: World) -> None:
    """The card says that the approvals are not readable, and the second approver does not wait for a minute."""
    key = await world.posted(required=2)
    hide_all(world, key)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert UNREADABLE in card(world)
        await swallowed(world, key)
        assert UNREADABLE in card(world)
        assert "2 approvals needed\n" not in card(world)
        world.aws.lag = NEVER
        assert code_of(await pressed(world, key, ICHIRO)) is NoticeCode.APPLYING
    assert voters(world) == [HANAKO.upn, ICHIRO.upn]


async def test_only_the_vote_that_aws_does_not_show_is_hidden(world: World) -> None:
    """Of two approvals AWS shows one. The card counts that one alone, and the other person may vote again."""
    key = await world.posted(required=3)
    async with world.running():
        await swallowed(world, key)
        assert code_of(await pressed(world, key, ICHIRO)) is NoticeCode.RECORDED
        await world.clock.advance(SPAN)
        assert "2 more approvals needed" in card(world)
        assert f"Approved by {ICHIRO.name}" in card(world)
        assert f"Approved by {HANAKO.name}" not in card(world)
        assert code_of(await pressed(world, key, ICHIRO)) is NoticeCode.REPEATED
        assert code_of(await pressed(world, key)) is NoticeCode.RECORDED
        await world.clock.advance(1)
        assert "1 more approval needed" in card(world)
        assert NOT_SHOWN not in card(world)
    assert voters(world) == [HANAKO.upn, ICHIRO.upn, HANAKO.upn]


@pytest.mark.parametrize("by", ["arn:aws:iam::111122223333:role/NodeAccessApprover", f"{APPROVER}/someone"])
async def test_vote_is_not_hidden_if_aws_shows_one_that_may_be_the_same(world: World, by: str) -> None:
    """AWS shows an approval of the approver role without the person's name. The person may not vote again."""
    key = await world.posted(required=3)
    async with world.running():
        await swallowed(world, key)
        show(world, key, Vote(by, Verdict.APPROVE))
        await world.clock.advance(2 * SPAN)
        assert NOT_SHOWN not in card(world)
        assert code_of(await pressed(world, key)) is NoticeCode.REPEATED


@pytest.mark.parametrize("kind", ["another role", "another verdict", "before the click"])
async def test_vote_is_hidden_if_aws_shows_only_votes_that_cannot_be_the_same(world: World, kind: str) -> None:
    """AWS shows a vote in another role, with another verdict, or from before the click."""
    key = await world.posted(required=3)
    early = world.clock.now() - timedelta(hours=1)
    role = "arn:aws:iam::111122223333:role/NodeAccessApprover"
    other = {
        "another role": Vote(OTHER, Verdict.APPROVE),
        "another verdict": Vote(role, Verdict.REJECT),
        "before the click": Vote(role, Verdict.APPROVE, early),
    }[kind]
    show(world, key, other)
    async with world.running():
        await swallowed(world, key)
        await world.clock.advance(SPAN)
        assert NOT_SHOWN in card(world)


async def test_hidden_vote_is_displayed_again_after_aws_shows_the_vote(world: World) -> None:
    """AWS shows the vote after ten minutes: card and thread name the person again, who may not vote again."""
    key = await world.posted(required=2)
    async with world.running():
        await swallowed(world, key)
        await world.clock.advance(SPAN)
        assert NOT_SHOWN in card(world)
        assert len(thread(world)) == 2
        show(world, key, vote_of(HANAKO))
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert NOT_SHOWN not in card(world)
        assert "1 more approval needed" in card(world)
        assert f"Approved by {HANAKO.name}" in card(world)
        assert len(thread(world)) == 3
        assert "approved" in thread(world)[-1]
        assert code_of(await pressed(world, key)) is NoticeCode.REPEATED
    assert voters(world) == [HANAKO.upn]


@pytest.mark.parametrize("waits", [(90.0, 30.0), (90.0,)])
async def test_thread_reports_a_late_vote_only_once_although_its_first_note_was_skipped(
    world: World, waits: tuple[float, ...]
) -> None:
    """Teams postpones the note until the vote is hidden, so the note is skipped; then AWS shows the vote.

    In the first case the thread has not said that the vote is hidden, in the second it has.
    """
    key = await world.posted(required=2)
    async with world.running():
        world.chat.before["reply"] += [ChatThrottled(seconds) for seconds in waits]
        await swallowed(world, key)
        await world.clock.advance(SPAN)
        assert NOT_SHOWN in card(world)
        show(world, key, vote_of(HANAKO))
        await world.rows.requeue(key)
        await world.clock.advance(60)
    assert [NOT_SHOWN in note for note in thread(world)] == [True] * (2 - len(waits)) + [False]
    assert "approved" in thread(world)[-1]


@pytest.mark.parametrize("readable", [True, False])
async def test_second_vote_of_a_person_is_not_sent_if_aws_may_show_the_hidden_first_one(
    world: World, *, readable: bool
) -> None:
    """The row is not up to date: the state check finds the first vote, or unreadable votes, and nothing is sent."""
    key = await world.posted(required=2)
    async with world.running():
        await swallowed(world, key)
        await world.clock.advance(SPAN)
        assert NOT_SHOWN in card(world)
        if readable:
            show(world, key, vote_of(HANAKO))
        else:
            hide_all(world, key)
        assert code_of(await pressed(world, key)) is NoticeCode.REPEATED
        assert NOT_SHOWN not in card(world)
    assert voters(world) == [HANAKO.upn]
    last = (await world.row(key)).decisions[-1]
    assert (last.state, last.outcome) == (DecisionState.RELEASED, Outcome.WITHDRAWN)


@pytest.mark.parametrize("late", [1, 2])
async def test_card_names_a_person_as_often_as_aws_shows_a_vote_of_this_person(world: World, late: int) -> None:
    """The person voted twice. If AWS shows the first vote too, the card names the person twice."""
    key = await world.posted(required=3)
    async with world.running():
        await swallowed(world, key)
        await world.clock.advance(SPAN)
        await pressed(world, key)
        show(world, key, *[vote_of(HANAKO)] * late)
        await world.rows.requeue(key)
        await world.clock.advance(2 * SPAN)
        assert card(world).count(f"Approved by {HANAKO.name}") == late
        assert NOT_SHOWN not in card(world)


async def test_vote_that_aws_does_not_show_is_hidden_at_a_level_that_another_vote_completed(world: World) -> None:
    """AWS approved the request without this vote. The note corrects the thread, and does not invite to click."""
    key = await world.posted()
    async with world.running():
        await swallowed(world, key)
        world.aws.decide(key, Verdict.APPROVE, "from the console")
        await world.clock.advance(SPAN)
    assert world.aws.requests[key].status is Status.APPROVED
    assert "Approved by" not in card(world)
    assert "Approved outside Teams by" in card(world)
    assert NOT_SHOWN in card(world)
    corrections = [note for note in thread(world) if NOT_SHOWN in note]
    assert len(corrections) == 1
    assert "can try again" not in corrections[0]


async def test_process_that_starts_ten_minutes_later_hides_a_vote_that_aws_does_not_show(world: World) -> None:
    """The process ended right after AWS accepted the vote, and another one starts ten minutes later."""
    key = await world.posted(required=2)
    async with world.running():
        await swallowed(world, key)
    await world.clock.advance(10 * SPAN)
    world.build()
    async with world.running():
        await world.clock.advance(2)
        assert NOT_SHOWN in card(world)
