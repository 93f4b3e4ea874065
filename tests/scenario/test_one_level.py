"""A person approves one level of a request only: two people for two levels. Rejecting and revoking stay free."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Channel, LevelRule
from bot.domain.rules.permission import Refusal
from bot.domain.shown.replies.reply_views import PendingView
from bot.ports.store import Change
from bot.service.clicks.click import Verb
from bot.service.incoming import IncomingMessage
from tests.fakes.aws import ACCOUNT
from tests.fakes.card_text import nodes, shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.world import APPROVALS, World, code_of, new_world
from tests.unit.domain.sample import decision

FREE = replace(APPROVALS, one_level_per_person=False)
SECOND_FREE = replace(APPROVALS, levels=(LevelRule("Level2", ("members",), one_level_per_person=False),))
HANAKO_AGAIN = replace(HANAKO, object_id="aaaaaaaa-0000-4000-8000-900000000099", teams_id="29:1-again")
CONSOLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Lead_0123456789abcdef/"
NOBODY_LEFT = {"en": "They can still reject", "ja": "却下はできます"}


async def at_the_second_level(world: World, by: Person = HANAKO) -> RequestKey:
    """Return a request whose first level this person approved in Teams."""
    key = await world.posted(levels=2)
    await world.press(key, by)
    await world.shown(key)
    assert world.aws.requests[key].levels[1].votes == ()
    return key


def card_text(world: World) -> str:
    """Return the text of the card that the channel shows now."""
    return shown(world.chat.of("post")[-1].versions[-1].card)


async def test_two_levels_are_approved_by_two_people(world: World) -> None:
    """Hanako approves the first level. Her Approve at the second one is refused and reaches no one; Ichiro's counts."""
    async with world.running():
        key = await at_the_second_level(world)
        answer = await world.press(key, HANAKO, step="Level2", comment="mine too")
        assert (code_of(answer), answer.notice and answer.notice.typed) == (Refusal.OTHER_LEVEL, "mine too")
        assert len(world.aws.signals) == 1
        await world.press(key, ICHIRO, step="Level2")
    assert world.aws.requests[key].status is Status.APPROVED
    assert [each.session_name for each in world.aws.effects] == [HANAKO.upn, ICHIRO.upn]


async def test_approver_of_one_level_may_reject_the_next_one(world: World) -> None:
    """Hanako approves the first level and rejects the second."""
    async with world.running():
        key = await at_the_second_level(world)
        await world.press(key, HANAKO, Verb.REJECT, step="Level2")
    assert world.aws.requests[key].status is Status.REJECTED


async def test_approver_of_one_level_may_revoke_the_access(world: World) -> None:
    """Hanako approved the first level only, and takes back what Ichiro approved at the second."""
    async with world.running():
        key = await at_the_second_level(world)
        await world.press(key, ICHIRO, step="Level2")
        await world.shown(key)
        await world.press(key, HANAKO, Verb.REVOKE, step="Level2")
    assert world.aws.requests[key].status is Status.REVOKED


@pytest.mark.parametrize("channel", [FREE, SECOND_FREE], ids=["channel", "level"])
async def test_person_approves_both_levels_where_the_setting_allows_it(channel: Channel) -> None:
    """The setting is off for the channel or for the second level."""
    world = new_world(channel)
    async with world.running():
        key = await at_the_second_level(world)
        await world.press(key, HANAKO, step="Level2")
    assert world.aws.requests[key].status is Status.APPROVED


async def test_second_account_with_the_same_address_is_the_same_person() -> None:
    """Hanako has another account with her mail address."""
    world = new_world(people=(HANAKO, HANAKO_AGAIN, ICHIRO, TARO_PERSON))
    async with world.running():
        key = await at_the_second_level(world)
        assert code_of(await world.press(key, HANAKO_AGAIN, step="Level2")) is Refusal.OTHER_LEVEL
    assert len(world.aws.signals) == 1


@pytest.mark.parametrize(
    ("voter", "hanako", "ichiro"),
    [
        (CONSOLE + str(HANAKO.upn), Refusal.OTHER_LEVEL, None),
        (CONSOLE + str(ICHIRO.upn), None, Refusal.OTHER_LEVEL),
        (CONSOLE + "nobody@example.com", Refusal.OTHER_LEVEL_UNKNOWN, Refusal.OTHER_LEVEL_UNKNOWN),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/{ICHIRO.upn}",
            Refusal.OTHER_LEVEL_UNKNOWN,
            Refusal.OTHER_LEVEL_UNKNOWN,
        ),
    ],
    ids=["her own session", "another person's session", "no Teams user", "a name that the caller chose"],
)
async def test_approval_in_the_console_counts_for_the_person_whom_its_session_proves(
    voter: str, hanako: Refusal | None, ichiro: Refusal | None
) -> None:
    """A session name that proves no one may be anybody's, so no one approves the next level in Teams."""
    for who, expected in ((HANAKO, hanako), (ICHIRO, ichiro)):
        world = new_world()
        async with world.running():
            key = await world.posted(levels=2)
            world.aws.vote(key, voter, Verdict.APPROVE)
            await world.shown(key)
            assert code_of(await world.press(key, who, step="Level2")) is expected
        assert len(world.aws.signals) == (0 if expected else 1)


async def test_no_one_approves_while_the_votes_of_the_earlier_level_are_unreadable(world: World) -> None:
    """Neither AWS nor the row says who approved the first level. Rejecting stays possible."""
    async with world.running():
        key = await world.posted(levels=2)
        world.aws.vote(key, CONSOLE + str(ICHIRO.upn), Verdict.APPROVE)
        first, second = world.aws.requests[key].levels
        world.aws.requests[key] = replace(world.aws.requests[key], levels=(replace(first, votes=None), second))
        await world.shown(key)
        assert code_of(await world.press(key, HANAKO, step="Level2")) is Refusal.OTHER_LEVEL_UNKNOWN
        assert world.aws.signals == []
        await world.press(key, HANAKO, Verb.REJECT, step="Level2")
    assert len(world.aws.signals) == 1


# --- races


def with_approval(state: DecisionState) -> Change:
    """Return a change that adds Hanako's approval of the first level, as another process stores it."""
    added = decision(HANAKO, Verdict.APPROVE, state)
    return lambda row: row.with_decision(replace(added, clicked_at=row.created_at, held_until=row.created_at))


async def with_second_level_open(world: World) -> RequestKey:
    """Return a request whose first level Ichiro approved in the console."""
    key = await world.posted(levels=2)
    world.aws.vote(key, CONSOLE + str(ICHIRO.upn), Verdict.APPROVE)
    await world.shown(key)
    return key


@pytest.mark.parametrize("state", [DecisionState.SENT, DecisionState.CONFIRMED, DecisionState.UNKNOWN])
async def test_claim_sees_an_approval_that_another_process_stores_during_the_permission_check(
    world: World, state: DecisionState
) -> None:
    """Both clicks are Hanako's, on the cards of two levels. The second one is not even claimed."""
    key = await with_second_level_open(world)

    async def store() -> None:
        await world.store.apply(key, with_approval(state), now=world.clock.now())

    world.people.before_member.append(store)
    async with world.running():
        answer = await world.press(key, HANAKO, step="Level2")
    assert code_of(answer) is Refusal.OTHER_LEVEL
    assert [(each.step, each.state) for each in (await world.row(key)).decisions] == [("Level1", state)]
    assert world.aws.signals == []


@pytest.mark.parametrize("call", ["prepare", "execution"])
async def test_approval_is_not_sent_if_the_person_approved_another_level_since_the_claim(
    world: World, call: str
) -> None:
    """The rule is checked again in the write that stores that the decision is being sent."""
    key = await with_second_level_open(world)
    gate = world.aws.gates[call] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, step="Level2"))
        await world.aws.arrived[call].wait()
        await world.store.apply(key, with_approval(DecisionState.CONFIRMED), now=world.clock.now())
        gate.set()
        assert code_of(await click) is Refusal.OTHER_LEVEL
    (own,) = [each for each in (await world.row(key)).decisions if each.step == "Level2"]
    assert (own.state, own.outcome, own.detail) == (DecisionState.RELEASED, Outcome.NOT_PERMITTED, "other_level")
    assert world.aws.signals == []


# --- the card


def world_of(people: Sequence[Person], *, locale: str = "en", channel: Channel = APPROVALS) -> World:
    """Return a world with these members."""
    return new_world(replace(channel, locale=locale), people=people)


@pytest.mark.parametrize("locale", ["en", "ja"])
async def test_card_says_that_no_approver_is_left_for_the_level_and_what_administrators_can_do(locale: str) -> None:
    """Hanako is the only approver. Reject stays, because she may reject; the setting is named to administrators."""
    world = world_of((HANAKO, TARO_PERSON), locale=locale)
    async with world.running():
        key = await at_the_second_level(world)
    text = card_text(world)
    assert NOBODY_LEFT[locale] not in shown(world.chat.of("post")[-1].versions[0].card)
    assert NOBODY_LEFT[locale] in text
    assert text.index({"en": "For administrators", "ja": "管理者向け"}[locale]) < text.index("one_level_per_person")
    verbs = {each.get("verb") for each in nodes(world.chat.of("post")[-1].versions[-1].card)}
    assert ("approve" in verbs, "reject" in verbs) == (False, True)
    world.people.people.append(ICHIRO)
    await world.pass_time(key, 301)
    assert NOBODY_LEFT[locale] not in card_text(world)


@pytest.mark.parametrize("channel", [APPROVALS, FREE], ids=["another approver", "setting off"])
async def test_card_does_not_warn_while_an_approver_is_left(channel: Channel) -> None:
    """Ichiro has approved nothing, or the setting allows several levels."""
    world = world_of((HANAKO, ICHIRO, TARO_PERSON) if channel is APPROVALS else (HANAKO, TARO_PERSON), channel=channel)
    async with world.running():
        await at_the_second_level(world)
    assert NOBODY_LEFT["en"] not in card_text(world)


async def test_pending_lists_the_request_to_a_person_who_may_only_reject_it(world: World) -> None:
    """Hanako approved the first level; the second one waits, and she may still reject it."""
    async with world.running():
        key = await at_the_second_level(world)
    message = IncomingMessage("pending", HANAKO, f"a:{HANAKO.object_id}", personal=True)
    view = (await world.commands.answer(message)).view
    assert isinstance(view, PendingView)
    assert [each.ops_item_id for each in view.requests] == [key.ops_item_id]
