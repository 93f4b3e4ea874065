"""Marks of reviewers: who is named on the card, for how long, and that a mark blocks no one."""

from dataclasses import replace

import pytest

from bot.domain.identity import Person
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import LevelRule
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode
from bot.service.clicks.click import Answer, Verb
from tests.fakes.card_text import nodes, shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.clock import START
from tests.fakes.world import APPROVALS, World, code_of, new_world

REVIEWS = "Reviewing now: "
MEI, PRIYA = person(3, "鈴木 芽依"), person(4, "Priya Nair")
CROWD = (HANAKO, ICHIRO, MEI, PRIYA, TARO_PERSON)


async def review(world: World, key: RequestKey, who: Person, *, step: str = "Level1") -> Answer:
    """Click "I'm reviewing this"."""
    return await world.press(key, who, Verb.REVIEWING, step=step)


def reviewers(card: object) -> list[str]:
    """Return the names in the card's line of reviewers; [] without the line."""
    line = next((each for each in shown(card).splitlines() if each.startswith(REVIEWS)), "")
    return line.removeprefix(REVIEWS).split(", ") if line else []


def channel_card(world: World) -> object:
    """Return the channel's card as Teams shows it."""
    return world.chat.of("post")[0].versions[-1].card


def updates(world: World) -> int:
    """Return how often the channel's card was updated."""
    return len(world.chat.of("post")[0].versions) - 1


async def test_mark_of_a_reviewer_is_on_the_card_for_ten_minutes(world: World) -> None:
    """The card keeps its buttons. No call goes to AWS for the click, and nothing is claimed."""
    key = await world.posted()
    world.aws.calls.clear()
    answer = await review(world, key, HANAKO)
    assert (code_of(answer), answer.refused) == (NoticeCode.REVIEWING, False)
    assert (world.aws.calls, (await world.row(key)).decisions) == ([], ())
    async with world.running():
        await world.clock.advance(1)
        assert reviewers(channel_card(world)) == [HANAKO.name]
        assert {"approve", "reject", "reviewing"} <= {each.get("verb") for each in nodes(answer.card)}
        await world.clock.advance(9 * 60)
        assert reviewers(channel_card(world)) == [HANAKO.name]
        await world.clock.advance(60)
        assert reviewers(channel_card(world)) == []
    assert world.aws.signals == []


async def test_second_click_of_a_reviewer_renews_the_mark_without_an_update_of_the_card(world: World) -> None:
    """The mark then ends ten minutes after the second click."""
    key = await world.posted()
    async with world.running():
        await review(world, key, HANAKO)
        await world.clock.advance(8 * 60)
        before = (updates(world), reviewers(channel_card(world)))
        assert code_of(await review(world, key, HANAKO)) is NoticeCode.REVIEWING
        await world.clock.advance(8 * 60)
        assert (updates(world), reviewers(channel_card(world))) == before
        await world.clock.advance(3 * 60)
    assert reviewers(channel_card(world)) == []


async def test_repeated_clicks_of_a_reviewer_write_the_row_once(world: World) -> None:
    """A renewal by less than a minute is not stored."""
    key = await world.posted()
    await review(world, key, HANAKO)
    stored = (await world.row(key)).version
    for _ in range(20):
        await world.clock.advance(2)
        assert code_of(await review(world, key, HANAKO)) is NoticeCode.REVIEWING
    assert (await world.row(key)).version == stored


async def test_marks_of_several_reviewers_are_shown_together_and_the_newest_three_are_kept() -> None:
    """A second person joins and removes no one; a row has at most three marks."""
    world = new_world(people=CROWD)
    key = await world.posted()
    async with world.running():
        for who in (HANAKO, ICHIRO, MEI, PRIYA):
            await review(world, key, who)
            await world.clock.advance(1)
    assert reviewers(channel_card(world)) == [ICHIRO.name, MEI.name, PRIYA.name]


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("who", [HANAKO, ICHIRO])
async def test_decision_is_sent_at_once_although_a_person_reviews_the_request(
    world: World, verdict: Verdict, who: Person
) -> None:
    """The decision of the reviewer or of another person. The decided card names no reviewer."""
    key = await world.posted()
    async with world.running():
        await review(world, key, HANAKO)
        await world.press(key, who, Verb(verdict.value))
        await world.clock.advance(2)
    assert [each.action for each in world.aws.signals] == [verdict]
    card = channel_card(world)
    assert (reviewers(card), "reviewing" in {each.get("verb") for each in nodes(card)}) == ([], False)


async def test_own_vote_ends_the_mark_of_a_reviewer_while_the_level_waits_for_more(world: World) -> None:
    """The mark of a person who has not voted stays."""
    key = await world.posted(required=2)
    async with world.running():
        await review(world, key, HANAKO)
        await review(world, key, ICHIRO)
        await world.press(key, HANAKO)
        await world.clock.advance(2)
    assert reviewers(channel_card(world)) == [ICHIRO.name]


async def test_mark_of_a_reviewer_ends_with_its_level(world: World) -> None:
    """A late click for the first level is answered as a late decision is, and marks nothing."""
    key = await world.posted(levels=2)
    async with world.running():
        await review(world, key, ICHIRO)
        await world.press(key, HANAKO)
        await world.clock.advance(2)
        assert reviewers(channel_card(world)) == []
        assert code_of(await review(world, key, ICHIRO)) is not NoticeCode.REVIEWING
        await review(world, key, ICHIRO, step="Level2")
        await world.clock.advance(1)
        assert reviewers(channel_card(world)) == [ICHIRO.name]


async def test_person_who_may_only_reject_a_level_may_review_it(world: World) -> None:
    """`one_level_per_person` restricts Approve only."""
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(2)
        assert code_of(await world.press(key, HANAKO, step="Level2")) is Refusal.OTHER_LEVEL
        assert code_of(await review(world, key, HANAKO, step="Level2")) is NoticeCode.REVIEWING


async def test_review_needs_no_comment_although_decisions_need_one() -> None:
    """The person has not decided anything that a comment could explain."""
    world = new_world(replace(APPROVALS, comment_required=frozenset(Verdict)))
    key = await world.posted()
    assert code_of(await world.press(key, HANAKO, Verb.REJECT)) is Refusal.COMMENT_REQUIRED
    assert code_of(await review(world, key, HANAKO)) is NoticeCode.REVIEWING


@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (TARO_PERSON, Refusal.OWN_REQUEST),
        (ICHIRO, Refusal.NOT_APPROVER),
        (person(50), Refusal.NOT_APPROVER),
        (person(60, guest=True), Refusal.FOREIGN),
    ],
    ids=["requester", "member who is no approver", "stranger", "guest"],
)
async def test_person_who_may_not_decide_cannot_be_marked_as_a_reviewer(who: Person, refusal: Refusal) -> None:
    """The answer has the reason of a refused decision. The row and the card do not change."""
    world = new_world(replace(APPROVALS, approvers=(f"user:{HANAKO.object_id}", f"user:{TARO_PERSON.object_id}")))
    key = await world.posted()
    before = await world.row(key)
    answer = await review(world, key, who)
    assert (code_of(answer), answer.refused) == (refusal, True)
    assert await world.row(key) == before


async def test_review_after_a_change_of_the_rules_is_refused_until_the_requester_is_identified_again(
    world: World,
) -> None:
    """As a decision: the new rules may say that the person made the request."""
    key = await world.posted()
    world.change_identity(people={"arn:aws:sts::111122223333:assumed-role/Other/x": "x@example.com"})
    assert code_of(await review(world, key, HANAKO)) is Refusal.RECONFIGURED
    async with world.running():
        await world.clock.advance(2)
        assert code_of(await review(world, key, HANAKO)) is NoticeCode.REVIEWING


async def test_mark_is_checked_by_the_level_that_waits_when_it_is_stored() -> None:
    """The level passed while the roster was read. Its approver may not review the next level."""
    lead = LevelRule("Level2", (f"user:{ICHIRO.object_id}",), "arn:aws:iam::{account}:role/NodeAccessLead")
    world = new_world(replace(APPROVALS, levels=(lead,)))
    key = await world.posted(levels=2)
    console = "arn:aws:sts::111122223333:assumed-role/Console/console"

    async def next_level() -> None:
        world.aws.vote(key, console, Verdict.APPROVE)
        await world.shown(key)

    world.people.before_member.append(next_level)
    assert code_of(await review(world, key, HANAKO)) is not NoticeCode.REVIEWING
    assert (await world.row(key)).reviews == ()


async def test_mark_by_a_clock_that_was_ahead_is_over(world: World) -> None:
    """A mark that ends later than it can by the current clock names no one on the card."""
    key = await world.posted()
    await world.clock.advance(3600)
    await review(world, key, HANAKO)
    world.clock.set_to(START)
    await world.shown(key)
    assert reviewers(channel_card(world)) == []


async def test_each_click_of_a_reviewer_is_in_the_audit_trail(world: World) -> None:
    """With its verb and answer, and no step of a decision."""
    key = await world.posted()
    await review(world, key, HANAKO)
    await review(world, key, TARO_PERSON)
    await world.auditing.drain()
    trail = await world.store.audit(world.clock.now().replace(year=2000))
    assert [(each.event, each.verb, each.outcome, each.step) for each in trail] == [
        ("clicked", "reviewing", "reviewing", "Level1"),
        ("clicked", "reviewing", "own_request", "Level1"),
    ]


@pytest.mark.parametrize("status", [Status.REJECTED, Status.CANCELLED, Status.TIMED_OUT])
async def test_review_of_an_ended_request_is_answered_as_a_late_click(world: World, status: Status) -> None:
    """It marks nothing."""
    key = await world.posted()
    world.aws.end(key, status)
    await world.shown(key)
    answer = await review(world, key, HANAKO)
    assert code_of(answer) in {NoticeCode.DECIDED, NoticeCode.CANCELLED, NoticeCode.ENDED}
    assert (await world.row(key)).reviews == ()
