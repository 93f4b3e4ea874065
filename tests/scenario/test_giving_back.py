"""Requesters give running access back before its time, over fakes of AWS and Teams."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status, Verdict, Withdrawal
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode, Reason
from bot.ports.aws import SignalRefused, SignalThrottled
from bot.ports.store import Replica
from bot.service.clicks.click import Answer, Verb
from tests.fakes.aws import GIVE_BACK_ROLE
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.world import World, code_of, current_configuration, new_world
from tests.scenario.test_withdrawing import WINDOW, approved, offers, sent_verdicts, state_of

BUTTON = Verb.GIVE_BACK


@pytest.fixture
def world() -> World:
    """Return a world whose account has the role to give access back."""
    return new_world(configuration=current_configuration(give_back_role=GIVE_BACK_ROLE))


async def give_back(world: World, key: RequestKey, who: Person = TARO_PERSON) -> Answer:
    """Click the button on the person's message."""
    return await world.click_handler.click(world.withdrawn(key, who, BUTTON))


def card_of(world: World, kind: str, number: int = 0) -> object:
    """Return the current card of one of the bot's messages of a kind: `post`, `reply` or `direct`."""
    return world.chat.of(kind)[number].versions[-1].card


def message(world: World) -> object:
    """Return the requester's message that is updated in place."""
    return card_of(world, "direct")


async def test_requester_gives_running_access_back(world: World) -> None:
    """One signal has the account's role and the requester's name. Card, message, note and audit trail say who it was.

    Nothing says "revoked", and no further message notifies the requester.
    """
    key = await approved(world)
    assert offers(message(world), BUTTON)
    told = len(world.chat.of("direct"))
    async with world.running():
        answer = await give_back(world, key)
        await world.clock.advance(1)
    (signal,) = world.aws.signals
    assert (signal.action, signal.session_name, signal.role, signal.comment) == (
        Withdrawal.GIVE_BACK,
        TARO_PERSON.upn,
        GIVE_BACK_ROLE,
        "(山田 太郎 via Microsoft Teams)",
    )
    assert [call for call, _ in world.aws.calls][:3] == ["prepare", "grant", "signal"]
    assert answer.notice is None
    for seen in (answer.card, message(world)):
        assert not offers(seen, BUTTON)
        assert "You gave this access back." in shown(seen)
    assert len(world.chat.of("direct")) == told
    card, note = card_of(world, "post"), card_of(world, "reply", -1)
    assert "Given back by 山田 太郎" in shown(card)
    assert all(words in shown(note) for words in ("山田 太郎 gave back the access", "ssm:SendAutomationSignal Revoke"))
    assert all(words in str(note) for words in ("'NodeAccessGiveBack'", "'taro.yamada@example.com'"))
    assert "revoked" not in shown(card) + shown(note) + shown(message(world))
    assert not offers(card, Verb.REVOKE)
    await world.auditing.drain()
    trail = await world.store.audit(world.clock.now() - WINDOW)
    own = [each for each in trail if each.person == TARO_PERSON.object_id]
    assert {(each.event, each.verb) for each in own} == {
        (event, "give_back") for event in ("clicked", "claimed", "sent", "accepted")
    }


async def test_earlier_version_reads_a_revocation_by_the_requester(world: World) -> None:
    """After a rollback, its approvers can still revoke, and it never sends the signal: requesters may not revoke."""
    key = await approved(world)
    await world.crash_in(world.withdrawn(key, verb=BUTTON), "grant")

    def as_read_by_it(row: Record) -> Record:
        return replace(row, decisions=tuple(replace(each, given_back=False) for each in row.decisions))

    row = await world.store.apply(key, as_read_by_it, now=world.clock.now())
    assert row.decisions[-1].verdict is Withdrawal.REVOKE
    world.build()
    async with world.running():
        await world.clock.advance(30)
        assert await state_of(world, key, Withdrawal.REVOKE) == (DecisionState.RELEASED, Outcome.NOT_PERMITTED)
        assert sent_verdicts(world) == []
        await world.press(key, ICHIRO, Verb.REVOKE)
    assert sent_verdicts(world) == ["revoke"]


@pytest.mark.parametrize(
    ("denied", "code", "words"),
    [
        (True, NoticeCode.GIVE_BACK_DENIED, "check the permissions of the account’s give_back_role"),
        (False, NoticeCode.GIVE_BACK_REFUSED, "ask an approver to revoke it"),
    ],
)
async def test_access_that_aws_does_not_take_back_runs_on(
    world: World, *, denied: bool, code: NoticeCode, words: str
) -> None:
    """The answer says why. The message says that the access ends by itself, without the button; approvers can revoke."""
    key = await approved(world)
    world.aws.before["signal"].append(SignalRefused("AccessDeniedException", denied=denied))
    async with world.running():
        answer = await give_back(world, key)
        await world.clock.advance(1)
        assert code_of(answer) is code
        assert all(each in shown(answer.card) for each in (words, "AccessDeniedException"))
        for seen in (answer.card, message(world)):
            assert not offers(seen, BUTTON)
            assert "AWS didn’t accept that you give this access back, so it ends by itself." in shown(seen)
        assert world.aws.requests[key].status is Status.APPROVED
        await world.press(key, HANAKO, Verb.REVOKE)
    assert sent_verdicts(world) == ["give_back", "revoke"]
    assert "was revoked" in shown(message(world))


async def test_requester_is_notified_if_aws_is_busy_for_too_long(world: World) -> None:
    """The click was answered "applying…". A short message says that the access runs on, and the button is back."""
    key = await approved(world)
    world.aws.before["signal"].extend(SignalThrottled() for _ in range(100))
    async with world.running():
        click = asyncio.create_task(give_back(world, key))
        await world.clock.advance(3)
        answer = await click
        assert code_of(answer) is NoticeCode.APPLYING
        assert not offers(answer.card, BUTTON)
        card = card_of(world, "post")
        assert "山田 太郎 clicked Give access back" in shown(card)
        assert not offers(card, Verb.REVOKE)
        await world.clock.advance(90)
    assert world.aws.effects == []
    told = card_of(world, "direct", -1)
    assert all(words in shown(told) for words in ("couldn’t give your access back", "AWS was busy for too long"))
    assert (offers(message(world), BUTTON), offers(told, BUTTON)) == (True, False)
    assert len(world.chat.of("reply")) == 1  # only the approval: requesters may not see the thread


# --- who may


async def test_account_without_the_role_has_no_button() -> None:
    """A forged click is refused, and the answer names the missing setting for administrators."""
    world = new_world(configuration=current_configuration(give_back_role=None))
    key = await approved(world)
    assert not offers(message(world), BUTTON)
    answer = await give_back(world, key)
    assert (code_of(answer), answer.refused) == (Refusal.NO_GIVE_BACK_ROLE, True)
    assert "For administrators: set give_back_role" in shown(answer.card)
    assert world.aws.signals == []


async def test_access_is_not_given_back_after_the_role_was_removed(world: World) -> None:
    """The role was removed while no process ran. The bot sends nothing with its own credentials."""
    key = await approved(world)
    await world.crash_in(world.withdrawn(key, verb=BUTTON), "grant")
    world.configuration = current_configuration(give_back_role=None)
    world.build()
    async with world.running():
        await world.clock.advance(30)
    assert world.aws.signals == []
    assert await state_of(world, key, Withdrawal.GIVE_BACK) == (DecisionState.RELEASED, Outcome.NOT_PERMITTED)


@pytest.mark.parametrize(
    ("who", "place", "expected"),
    [
        (HANAKO, TARO_PERSON, Refusal.NOT_REQUESTER),  # an approver with a copy of the button
        (person(50), TARO_PERSON, Refusal.NOT_REQUESTER),
        (HANAKO, HANAKO, Refusal.OWN_CHAT),
        (person(50), person(50), Refusal.OWN_CHAT),
    ],
)
async def test_access_of_another_person_cannot_be_given_back(
    world: World, who: Person, place: Person, expected: Reason
) -> None:
    """Approvers and strangers are refused in the requester's chat and in their own, and see nothing of the request."""
    key = await approved(world)
    click = replace(world.withdrawn(key, who, BUTTON), conversation=f"a:{place.object_id}")
    async with world.running():
        answer = await world.click_handler.click(click)
    assert (code_of(answer), answer.refused, answer.card) == (expected, True, None)
    assert sent_verdicts(world) == []


async def test_access_cannot_be_given_back_from_the_channel(world: World) -> None:
    """The requester is a member of the channel, too. The answer says where the button is."""
    key = await approved(world)
    async with world.running():
        answer = await world.press(key, TARO_PERSON, BUTTON, step="")
    assert (code_of(answer), answer.card) == (Refusal.OWN_CHAT, None)
    assert sent_verdicts(world) == []


async def test_access_that_does_not_run_cannot_be_given_back(world: World) -> None:
    """A waiting request has no such button, and neither has access that has ended. Clicks get the state."""
    key = await world.posted()
    assert not offers(message(world), BUTTON)
    assert code_of(await give_back(world, key)) is NoticeCode.NOT_APPROVED
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert offers(message(world), BUTTON)
    await world.pass_time(key, WINDOW.total_seconds())
    assert code_of(await give_back(world, key)) is NoticeCode.WINDOW_OVER
    assert not offers(message(world), BUTTON)
    assert world.aws.signals == []


# --- two at once, restarts, versions


@pytest.mark.parametrize("first", [Verb.REVOKE, Verb.GIVE_BACK])
async def test_approver_and_requester_at_the_same_time_send_one_signal(world: World, first: Verb) -> None:
    """The first claim proceeds. The answer to the other person names the first, and what they did."""
    key = await approved(world)
    clicks = [world.press(key, ICHIRO, Verb.REVOKE), give_back(world, key)]
    if first is BUTTON:
        clicks.reverse()
    gate = world.aws.gates["grant"] = asyncio.Event()
    async with world.running():
        begun = asyncio.create_task(clicks[0])
        await world.aws.arrived["grant"].wait()
        second = asyncio.create_task(clicks[1])
        await world.clock.advance(1)
        gate.set()
        await begun
        late = (await second).notice
    assert sent_verdicts(world) == [first]
    assert late is not None
    who, code = (ICHIRO, NoticeCode.REVOKED) if first is Verb.REVOKE else (TARO_PERSON, NoticeCode.GIVEN_BACK)
    assert (late.code, late.who, late.verdict) == (code, who.shown_name, Withdrawal(first))


async def test_two_identical_clicks_give_back_once(world: World) -> None:
    """The answer to one of them says that the access was already given back."""
    key = await approved(world)
    async with world.running():
        answers = await asyncio.gather(*(give_back(world, key) for _ in range(2)))
    assert sent_verdicts(world) == ["give_back"]
    assert {code_of(answer) for answer in answers} == {None, NoticeCode.GIVEN_BACK}


async def test_button_is_not_offered_while_an_older_version_runs(world: World) -> None:
    """Any process may get the click, and an older one does not know it. After the upgrade, the button appears."""
    await world.store.register_replica(Replica("older", frozenset({"surface:living"}), world.clock.now()))
    await world.replicas.register()
    key = await approved(world)
    assert not offers(message(world), BUTTON)
    await world.clock.advance(120)
    await world.replicas.register()
    await world.shown(key)
    assert offers(message(world), BUTTON)
