"""The stories of access that an approver takes back, and of a request that its requester takes back, over fakes."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.claims import EFFECT_SPAN
from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.permission import Refusal
from bot.domain.record import Record
from bot.domain.request import RECALLED, RequestKey, Status, Verdict, Withdrawal
from bot.domain.routing import LevelRule
from bot.domain.shown.views import NoticeCode, Reason
from bot.ports.aws import AwsUnavailable, SignalLost, SignalRefused, SignalThrottled
from bot.ports.store import Change
from bot.service.clicks.click import Answer, Click, Verb
from bot.service.clicks.permission import Permission
from tests.fakes.aws import TARO, key_of
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, CANCEL_ROLES, World, configured, new_world

CONFIRMED, RELEASED, UNKNOWN = DecisionState.CONFIRMED, DecisionState.RELEASED, DecisionState.UNKNOWN
WINDOW = timedelta(hours=4)  # of the sample request


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return new_world()


async def approved(world: World, **facts: object) -> RequestKey:
    """A request that was approved in Teams a moment ago, and is shown so."""
    key = world.aws.add(**facts)  # type: ignore[arg-type]  # facts of the request
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO)
    world.aws.signals.clear()
    world.aws.effects.clear()
    world.aws.calls.clear()
    world.aws.arrived.clear()
    return key


async def waiting(world: World) -> RequestKey:
    """A request that waits, and whose requester was told so."""
    key = world.aws.add()
    await world.shown(key)
    return key


async def ready(world: World, recall: Withdrawal) -> tuple[RequestKey, Click]:
    """A request that can be taken back, and the click that does so."""
    if recall is Withdrawal.REVOKE:
        key = await approved(world)
        return key, world.pressed(key, ICHIRO, Verb.REVOKE)
    key = await waiting(world)
    return key, world.withdrawn(key)


def code_of(answer: Answer) -> Reason | None:
    """Return what the notice says."""
    return answer.notice.code if answer.notice else None


def acts(world: World) -> list[str]:
    """Return what reached AWS."""
    return [str(signal.verdict) for signal in world.aws.signals]


def offers(card: object, verb: Verb) -> bool:
    """Tell whether a card has a button."""
    return f"'verb': '{verb}'" in str(card)


async def state_of(world: World, key: RequestKey, recall: Withdrawal) -> tuple[DecisionState, Outcome | None]:
    """Return what became of the one decision of that kind."""
    (one,) = (each for each in (await world.row(key)).decisions if each.verdict is recall)
    return one.state, one.outcome


# --- revoke


async def test_an_approver_revokes_what_was_approved(world: World) -> None:
    """One signal in the approver's role and name; the card, the thread with the call, and the requester follow."""
    key = await approved(world)
    (card,) = world.chat.of("post")
    assert offers(card.card, Verb.REVOKE)
    async with world.running():
        answer = await world.press(key, ICHIRO, Verb.REVOKE, comment="incident over")
        await world.clock.advance(1)
    (signal,) = world.aws.signals
    assert (signal.verdict, signal.session_name, signal.role, signal.comment) == (
        Withdrawal.REVOKE,
        ICHIRO.upn,
        "arn:aws:iam::111122223333:role/NodeAccessApprover",
        "incident over (田中 一郎 via Microsoft Teams)",
    )
    assert answer.notice is None
    for seen in (answer.card, card.card):
        assert not offers(seen, Verb.REVOKE)
        assert all(word in str(seen) for word in ("Access revoked", "incident over"))
    assert "Revoked by 田中 一郎" in shown(answer.card)
    note = world.chat.of("reply")[-1].card
    assert "ssm:SendAutomationSignal Revoke" in note
    assert "assumed-role/NodeAccessApprover/ichiro.tanaka@example.com" in note
    assert "outside" not in note
    assert "Your access was revoked." in world.chat.of("direct")[-1].card
    assert "incident over" in world.chat.of("direct")[-1].card
    assert len(world.chat.of("reply")) == 2  # the approval, the revocation, and no further ending


async def test_two_revokers_at_once_make_one_call(world: World) -> None:
    """Whoever was second is told who was first."""
    key = await approved(world)
    async with world.running():
        answers = await asyncio.gather(*(world.press(key, who, Verb.REVOKE) for who in (HANAKO, ICHIRO)))
    assert acts(world) == ["revoke"]
    assert {code_of(answer) for answer in answers} == {None, NoticeCode.REVOKED}
    (late,) = (answer.notice for answer in answers if answer.notice)
    assert (late.who, late.verdict) == (HANAKO.name, Withdrawal.REVOKE)


async def test_a_revocation_that_is_on_its_way(world: World) -> None:
    """Somebody else's press meanwhile sends nothing, and says whose is on its way; their comment is kept."""
    key = await approved(world)
    gate = world.aws.gates["grant"] = asyncio.Event()
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO, Verb.REVOKE))
        await world.aws.arrived["grant"].wait()
        second = asyncio.create_task(world.press(key, ICHIRO, Verb.REVOKE, comment="mine"))
        await world.clock.advance(3)
        answer = await second
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.who, answer.notice.typed) == (
            NoticeCode.BUSY,
            HANAKO.name,
            "mine",
        )
        assert f"{HANAKO.name} pressed Revoke" in shown(answer.card)
        assert "Approved" in shown(answer.card)
        gate.set()
        await world.clock.advance(3)
        assert code_of(await first) is NoticeCode.APPLYING
    assert acts(world) == ["revoke"]
    assert "Revoked by" in world.chat.of("post")[0].card


async def test_the_same_person_presses_revoke_twice(world: World) -> None:
    """Teams resends a slow click: one call, and the repeat gets the first one's answer."""
    key = await approved(world)
    async with world.running():
        answers = await asyncio.gather(*(world.press(key, ICHIRO, Verb.REVOKE) for _ in range(2)))
    assert acts(world) == ["revoke"]
    assert {code_of(answer) for answer in answers} == {None, NoticeCode.REVOKED}


async def test_late_revocations_reach_aws_never(world: World) -> None:
    """After a revocation by us, and after one in the console that the row knows or does not know yet."""
    key = await approved(world)
    async with world.running():
        await world.press(key, ICHIRO, Verb.REVOKE)
        late = [await world.press(key, who, Verb.REVOKE) for who in (HANAKO, ICHIRO)]
    assert [code_of(each) for each in late] == [NoticeCode.REVOKED] * 2
    assert acts(world) == ["revoke"]
    other = await approved(world, number=2)
    world.aws.end(other, Status.REVOKED)
    async with world.running():
        unseen = await world.press(other, ICHIRO, Verb.REVOKE)
        seen = await world.press(other, ICHIRO, Verb.REVOKE)
    assert [(code_of(each), each.notice and each.notice.who) for each in (unseen, seen)] == [
        (NoticeCode.REVOKED, None)
    ] * 2
    assert acts(world) == []


@pytest.mark.parametrize("seen", [True, False])
async def test_the_window_is_over(world: World, seen: bool) -> None:
    """Nothing leaves once access has ended, whether or not the row, or AWS alone, knows; the button goes by itself."""
    key = await approved(world)
    if seen:
        await world.clock.advance(WINDOW.total_seconds())
    else:  # somebody shortened it in AWS
        world.aws.requests[key] = replace(world.aws.requests[key], access_until=world.clock.now())
    async with world.running():
        answer = await world.press(key, ICHIRO, Verb.REVOKE)
        await world.clock.advance(1)
    assert acts(world) == []
    assert code_of(answer) is NoticeCode.WINDOW_OVER
    (card,) = world.chat.of("post")
    assert not offers(card.card, Verb.REVOKE)


async def test_nothing_is_approved_yet(world: World) -> None:
    """Revoke pressed on a request that waits: a made-up button, no call, and the votes stay possible."""
    key = await waiting(world)
    assert code_of(await world.press(key, ICHIRO, Verb.REVOKE)) is NoticeCode.NOT_APPROVED
    assert not offers(world.chat.of("post")[0].card, Verb.REVOKE)
    assert world.aws.signals == []


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (TARO_PERSON, Refusal.OWN_REQUEST),
        (person(50), Refusal.NOT_APPROVER),
        (replace(HANAKO, guest=True), Refusal.FOREIGN),
        (replace(HANAKO, tenant_id="99999999-1111-4111-8111-111111111111"), Refusal.FOREIGN),
    ],
)
async def test_who_may_not_approve_may_not_revoke(world: World, who: Person, expected: Reason) -> None:
    """The requester, a stranger, a guest, another tenant: refused with the reason and the typed comment kept."""
    key = await approved(world)
    answer = await world.press(key, who, Verb.REVOKE, comment="kept")
    assert (code_of(answer), answer.refused) == (expected, True)
    assert "kept" in str(answer.card)
    assert acts(world) == []


async def test_a_button_of_another_step_revokes_nothing(world: World) -> None:
    """The button is bound to the level that settled the request; Level1 of two is not it."""
    key = await approved(world, levels=2)
    async with world.running():
        await world.press(key, ICHIRO, step="Level2")
        world.aws.signals.clear()
        forged = await world.press(key, ICHIRO, Verb.REVOKE, step="Level1")
        assert (code_of(forged), acts(world)) == (Refusal.OTHER_STEP, [])
        assert "'step': 'Level2'" in world.chat.of("post")[0].card
        await world.press(key, ICHIRO, Verb.REVOKE, step="Level2")
    assert acts(world) == ["revoke"]


async def test_a_revocation_that_is_made_up_elsewhere(world: World) -> None:
    """From another channel and from the requester's own chat: this card is not there."""
    key = await approved(world)
    for place in ("19:elsewhere@thread.tacv2", f"a:{TARO_PERSON.object_id}"):
        click = replace(world.pressed(key, ICHIRO, Verb.REVOKE), conversation=place)
        assert code_of(await world.click_handler.click(click)) is Refusal.NOT_HERE
    assert acts(world) == []


async def test_where_nobody_may_decide_there_is_no_button_to_revoke() -> None:
    """A channel without approvers, and one that merely stands in."""
    world = new_world(replace(APPROVALS, approvers=()))
    key = world.aws.add()
    await world.shown(key)
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert not offers(world.chat.of("post")[0].card, Verb.REVOKE)
    assert code_of(await world.press(key, HANAKO, Verb.REVOKE)) is Refusal.NOBODY


async def test_what_the_console_approved_can_be_revoked_in_teams(world: World) -> None:
    """The state counts, not who brought it about."""
    key = await waiting(world)
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO, Verb.REVOKE)
    assert acts(world) == ["revoke"]
    assert world.aws.requests[key].status is Status.REVOKED


async def test_the_state_is_read_where_a_revocation_shows(world: World) -> None:
    """The OpsItem grants access, and the execution has ended: only the first is read, right before the call."""
    key = await approved(world)
    async with world.running():
        await world.press(key, HANAKO, Verb.REVOKE)
    made = [call for call, _ in world.aws.calls]
    assert made[: made.index("signal") + 1] == ["prepare", "grant", "signal"]


async def test_an_accepted_revocation_that_never_shows_is_told_as_such(world: World) -> None:
    """The card keeps saying what AWS says; after a minute the thread warns, and the same person may press again."""
    key = await approved(world)
    world.aws.lag = 1e6
    async with world.running():
        click = asyncio.create_task(world.press(key, ICHIRO, Verb.REVOKE))
        await world.clock.advance(3)
        answer = await click
        assert code_of(answer) is NoticeCode.APPLYING
        assert not offers(answer.card, Verb.REVOKE)
        assert "Revoked by" not in str(answer.card)
        await world.clock.advance(3 * EFFECT_SPAN.total_seconds())
        (card,) = world.chat.of("post")
        assert offers(card.card, Verb.REVOKE)
        warning = world.chat.of("reply")[-1].card
        assert "still shows the access as approved" in warning
        world.aws.lag = 0.0
        assert code_of(await world.press(key, ICHIRO, Verb.REVOKE)) is None
    assert acts(world) == ["revoke", "revoke"]


async def test_a_repeat_in_the_last_moment_learns_that_it_does_not_show(world: World) -> None:
    """Pressed again just before the minute is over: nothing is sent, and it is said that AWS does not show it."""
    key = await approved(world)
    world.aws.lag = 1e6
    async with world.running():
        first = asyncio.create_task(world.press(key, ICHIRO, Verb.REVOKE))
        await world.clock.advance(EFFECT_SPAN.total_seconds() - 1)
        assert code_of(await first) is NoticeCode.APPLYING
        again = asyncio.create_task(world.press(key, ICHIRO, Verb.REVOKE))
        await world.clock.advance(3)
    assert code_of(await again) is NoticeCode.NOT_SHOWN
    assert acts(world) == ["revoke"]


# --- cancel


async def test_the_requester_cancels_what_waits(world: World) -> None:
    """One call in the account's cancel role and the requester's name; the card, the thread and the requester follow."""
    key = await waiting(world)
    (told,) = world.chat.of("direct")
    assert offers(told.card, Verb.CANCEL)
    async with world.running():
        answer = await world.click_handler.click(replace(world.withdrawn(key), comment="made up"))
        await world.clock.advance(1)
    (signal,) = world.aws.signals
    assert (signal.verdict, signal.session_name, signal.role) == (
        Withdrawal.CANCEL,
        TARO_PERSON.upn,
        CANCEL_ROLES[key.account],
    )
    assert answer.notice is None
    assert "Your request was cancelled." in shown(answer.card)
    assert not offers(answer.card, Verb.CANCEL)
    (card,) = world.chat.of("post")
    assert not card.buttons
    assert "Cancelled by" in card.card
    (note,) = world.chat.of("reply")
    assert "ssm:StopAutomationExecution Cancel" in note.card
    assert f"assumed-role/NodeAccessCanceller/{TARO_PERSON.upn}" in note.card
    assert "made up" not in note.card + card.card  # AWS takes no comment with it, so nothing is shown as recorded
    assert "Your request was cancelled." in world.chat.of("direct")[-1].card


@pytest.mark.parametrize("of", ["person", "place"])
async def test_somebody_elses_cancellation(world: World, of: str) -> None:
    """Made up by another person in the requester's chat, or by anybody in another chat: refused, and nothing is shown."""
    key = await waiting(world)
    click = world.withdrawn(key)
    if of == "person":
        click, expected = replace(click, person=HANAKO), Refusal.NOT_REQUESTER
    else:
        click, expected = replace(click, conversation=f"a:{HANAKO.object_id}"), Refusal.OWN_CHAT
    async with world.running():
        answer = await world.click_handler.click(click)
    assert (code_of(answer), answer.card, answer.refused) == (expected, None, True)
    assert world.aws.signals == []


async def test_a_cancellation_from_the_channel(world: World) -> None:
    """Neither an approver nor the requester cancels there; they are told where."""
    key = await waiting(world)
    async with world.running():
        answers = [await world.press(key, who, Verb.CANCEL, step="") for who in (HANAKO, TARO_PERSON)]
    assert [(code_of(each), each.refused) for each in answers] == [(Refusal.OWN_CHAT, True)] * 2
    assert world.aws.signals == []


async def test_a_chat_in_which_nothing_was_told_of_this_request(world: World) -> None:
    """The requester's own chat, and another request's id on the button: that request never told anybody there."""
    await waiting(world)
    stranger = world.aws.add(2, requester=TARO.replace("taro.yamada", "ichiro.tanaka"))
    await world.shown(stranger)
    assert code_of(await world.click_handler.click(world.withdrawn(stranger))) is Refusal.OWN_CHAT
    assert code_of(await world.click_handler.click(world.withdrawn(key_of(99)))) is NoticeCode.NOT_FOUND
    assert world.aws.signals == []


async def test_a_requester_who_is_not_placed_any_more(world: World) -> None:
    """Whoever was told, and is no certain person at the next look: nobody cancels."""
    key = await waiting(world)
    world.people.people.append(replace(person(60), mail=TARO_PERSON.mail))
    await world.shown(key)
    answer = await world.click_handler.click(world.withdrawn(key))
    assert (code_of(answer), answer.refused) == (Refusal.UNIDENTIFIED, True)
    assert world.aws.signals == []


async def test_a_row_that_does_not_say_who_asks(world: World) -> None:
    """What is not known is refused: without a requester, and without a request."""
    key = await waiting(world)
    unknown = await world.store.apply(key, lambda row: replace(row, requester=None), now=world.clock.now())
    answer = await world.click_handler.click(world.withdrawn(key))
    assert (code_of(answer), answer.card) == (Refusal.UNIDENTIFIED, None)
    permission = Permission(world.people, world.configured)
    for row in (unknown, replace(unknown, request=None)):
        assert permission.refusal_to_cancel(row, world.withdrawn(key)) is Refusal.UNIDENTIFIED
    assert world.aws.signals == []


@pytest.mark.parametrize(
    ("facts", "step", "expected"),
    [
        ({}, "Level1", Refusal.OTHER_STEP),
        ({"replica_of": key_of(7)}, "", Refusal.REPLICA),
        ({"execution_id": None}, "", Refusal.UNREADABLE),
        ({"status": Status.UNKNOWN}, "", Refusal.UNREADABLE),
        ({"status": Status.TIMED_OUT}, "", NoticeCode.ENDED),
        ({"status": Status.APPROVED}, "", NoticeCode.DECIDED),
        ({"status": Status.CANCELLED}, "", NoticeCode.CANCELLED),
    ],
)
async def test_what_cannot_be_cancelled(world: World, facts: dict[str, object], step: str, expected: Reason) -> None:
    """A forged step, a copy, what cannot be read and what has ended: told what is true, 0 calls."""
    key = await waiting(world)
    row = await world.row(key)
    assert row.request is not None
    asked = replace(row.request, **facts)  # type: ignore[arg-type]  # facts are fields of the request
    await world.store.apply(key, lambda each: replace(each, request=asked), now=world.clock.now())
    answer = await world.click_handler.click(replace(world.withdrawn(key), step=step))
    assert code_of(answer) is expected
    assert not offers(answer.card, Verb.CANCEL) or expected in {Refusal.OTHER_STEP, Refusal.UNREADABLE}
    assert world.aws.signals == []


async def test_an_account_without_a_cancel_role() -> None:
    """There is no button, and a made-up click is told what to set up and that the AWS console can do it."""
    world = new_world(configured=configured(cancel_roles={}))
    key = await waiting(world)
    assert not offers(world.chat.of("direct")[0].card, Verb.CANCEL)
    answer = await world.click_handler.click(world.withdrawn(key))
    assert (code_of(answer), answer.refused) == (Refusal.NO_CANCEL_ROLE, True)
    assert "cancel_role" in answer.text
    assert "AWS console" in answer.text
    assert world.aws.signals == []


async def test_a_cancel_role_that_goes_while_the_click_is_on_its_way(world: World) -> None:
    """Nothing is ever stopped with the bot's own credentials."""
    key = await waiting(world)
    await die_after_the_claim(world, world.withdrawn(key), "execution")
    world.configured = configured(cancel_roles={})
    world.build()
    async with world.running():
        await world.clock.advance(30)
    assert world.aws.signals == []
    assert await state_of(world, key, Withdrawal.CANCEL) == (RELEASED, Outcome.NO_CANCEL_ROLE)


async def test_decided_a_moment_before_the_cancellation(world: World) -> None:
    """The state check finds it: no call, and the requester is told who decided."""
    key = await waiting(world)
    world.aws.decide(key, Verdict.REJECT, "no ticket")
    async with world.running():
        answer = await world.click_handler.click(world.withdrawn(key))
    assert world.aws.signals == []
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, "console-approver")
    assert "Your request was rejected." in shown(answer.card)


async def test_a_cancellation_at_a_later_level(world: World) -> None:
    """The message told of the first level; the request can be taken back at any."""
    key = world.aws.add(levels=2)
    await world.shown(key)
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.click_handler.click(world.withdrawn(key))
    assert acts(world) == ["cancel"]
    assert world.aws.requests[key].status is Status.CANCELLED


async def test_the_old_button_tells_what_is_true(world: World) -> None:
    """After the request was decided, and after its access was revoked: no call, and the present message."""
    key = await approved(world)
    for expected, words in ((NoticeCode.DECIDED, "was approved"), (NoticeCode.REVOKED, "access was revoked")):
        answer = await world.click_handler.click(world.withdrawn(key))
        assert code_of(answer) is expected
        assert words in shown(answer.card)
        assert not offers(answer.card, Verb.CANCEL)
        async with world.running():
            await world.press(key, ICHIRO, Verb.REVOKE)
    assert acts(world) == ["revoke"]


async def test_votes_and_a_cancellation_at_once_make_one_call(world: World) -> None:
    """Whoever claims first goes alone; the others wait for it and are told what happened."""
    key = await waiting(world)
    async with world.running():
        cancelled, approved_, rejected = await asyncio.gather(
            world.click_handler.click(world.withdrawn(key)),
            world.press(key, HANAKO),
            world.press(key, ICHIRO, Verb.REJECT),
        )
    assert acts(world) == ["cancel"]
    assert [code_of(each) for each in (cancelled, approved_, rejected)] == [
        None,
        NoticeCode.CANCELLED,
        NoticeCode.CANCELLED,
    ]


async def test_a_cancellation_waits_for_a_vote_that_is_on_its_way(world: World) -> None:
    """It is not sent beside a vote; its requester learns whose it is, and then what became of the request."""
    key = await waiting(world)
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        vote = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        cancel = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.clock.advance(3)
        answer = await cancel
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.who) == (NoticeCode.BUSY, HANAKO.name)
        gate.set()
        await world.clock.advance(3)
        await vote
        assert code_of(await world.click_handler.click(world.withdrawn(key))) is NoticeCode.DECIDED
    assert acts(world) == ["approve"]


async def test_no_vote_is_sent_while_an_accepted_cancellation_does_not_show(world: World) -> None:
    """A minute long; then AWS has evidently not done it, and the requester is told so in their own chat."""
    key = await waiting(world)
    world.aws.lag = 1e6
    async with world.running():
        click = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.clock.advance(3)
        assert code_of(await click) is NoticeCode.APPLYING
        vote = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(3)
        answer = await vote
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.who) == (NoticeCode.BUSY, TARO_PERSON.name)
        await world.clock.advance(3 * EFFECT_SPAN.total_seconds())
        assert "your request was not cancelled" in world.chat.of("direct")[-1].card
        world.aws.lag = 0.0
        await world.press(key, HANAKO)
    assert acts(world) == ["cancel", "approve"]


async def test_a_denied_cancellation_names_the_role_to_look_at(world: World) -> None:
    """AWS denies it: its requester reads why, in their own chat, and the request waits on."""
    key = await waiting(world)
    world.aws.before["prepare"].append(SignalRefused("AccessDenied", denied=True))
    async with world.running():
        answer = await world.click_handler.click(world.withdrawn(key))
        assert code_of(answer) is NoticeCode.CANCEL_DENIED
        assert "cancel role" in answer.text
        assert offers(answer.card, Verb.CANCEL)
        await world.press(key, HANAKO)
    assert acts(world) == ["approve"]


async def test_a_slow_cancellation_that_comes_to_nothing_is_told_to_its_requester(world: World) -> None:
    """Answered "applying" in time; why it failed comes as a direct message with the button, not into the thread."""
    key = await waiting(world)
    world.aws.before["signal"].extend(SignalThrottled() for _ in range(100))
    async with world.running():
        click = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.clock.advance(3)
        answer = await click
        assert code_of(answer) is NoticeCode.APPLYING
        assert not offers(answer.card, Verb.CANCEL)
        assert "pressed Cancel" in world.chat.of("post")[0].card
        assert not world.chat.of("post")[0].buttons
        await world.clock.advance(90)
    assert world.aws.effects == []
    told = world.chat.of("direct")[-1].card
    assert "your request was not cancelled" in told
    assert offers(told, Verb.CANCEL)
    assert world.chat.of("reply") == []
    assert world.chat.of("post")[0].buttons


# --- both ways, with faults


async def die_after_the_claim(world: World, click: Click, call: str) -> None:
    """Click, and end the process while it makes a call to AWS: the row is all that is left of it."""
    world.aws.gates[call] = asyncio.Event()
    pressed = asyncio.create_task(world.click_handler.click(click))
    await world.aws.arrived[call].wait()
    pressed.cancel()
    for task in world.click_handler._background:
        task.cancel()
    del world.aws.gates[call]


def check_of(recall: Withdrawal) -> str:
    """Return the call by which the state is read."""
    return "grant" if recall is Withdrawal.REVOKE else "execution"


@pytest.mark.parametrize("recall", Withdrawal)
async def test_a_lost_reply_is_never_sent_again(world: World, recall: Withdrawal) -> None:
    """It took effect and its reply was lost: one call, settled by what AWS shows, and told by name."""
    key, click = await ready(world, recall)
    world.aws.after["signal"].append(SignalLost())
    async with world.running():
        await world.click_handler.click(click)
        await world.clock.advance(10)
    assert acts(world) == [recall]
    assert await state_of(world, key, recall) == (CONFIRMED, None)
    assert (await world.row(key)).request == world.aws.requests[key]
    assert world.aws.requests[key].status is RECALLED[recall]
    assert click.person.name in world.chat.of("reply")[-1].card
    assert "outside" not in world.chat.of("reply")[-1].card


@pytest.mark.parametrize("recall", Withdrawal)
async def test_what_never_arrived_is_released_and_not_sent_again(world: World, recall: Withdrawal) -> None:
    """Its person is told, and may press again: a person decides, the program does not guess."""
    key, click = await ready(world, recall)
    world.aws.before["signal"].append(SignalLost())
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.clock.advance(70)
        assert code_of(await pressed) is NoticeCode.APPLYING
        assert await state_of(world, key, recall) == (RELEASED, Outcome.NO_ANSWER)
        told = world.chat.of("reply" if recall is Withdrawal.REVOKE else "direct")[-1].card
        assert ("may press again" if recall is Withdrawal.REVOKE else "was not cancelled") in told
        assert acts(world) == [recall]
        await world.click_handler.click(click)
    assert world.aws.requests[key].status is RECALLED[recall]


@pytest.mark.parametrize("recall", Withdrawal)
async def test_a_claim_of_a_dead_process_is_carried_on(world: World, recall: Withdrawal) -> None:
    """The process died between claim and call: another one takes it over, and one call is made."""
    key, click = await ready(world, recall)
    await die_after_the_claim(world, click, check_of(recall))
    world.build()
    async with world.running():
        await world.clock.advance(30)
    assert acts(world) == [recall]
    assert await state_of(world, key, recall) == (CONFIRMED, None)


@pytest.mark.parametrize("recall", Withdrawal)
async def test_a_claim_older_than_a_minute_is_never_sent(world: World, recall: Withdrawal) -> None:
    """The process was down for too long: nothing is sent, and its person is told."""
    key, click = await ready(world, recall)
    await die_after_the_claim(world, click, check_of(recall))
    await world.clock.advance(120)
    world.build()
    async with world.running():
        await world.clock.advance(10)
    assert acts(world) == []
    assert await state_of(world, key, recall) == (RELEASED, Outcome.EXPIRED)
    told = world.chat.of("reply" if recall is Withdrawal.REVOKE else "direct")[-1].card
    assert "within a minute" in told


@pytest.mark.parametrize("recall", Withdrawal)
async def test_a_call_of_a_dead_process_is_never_made_again(world: World, recall: Withdrawal) -> None:
    """It died with the call on its way, which never arrived: released after its minute."""
    key, click = await ready(world, recall)
    await die_after_the_claim(world, click, "signal")
    world.build()
    async with world.running():
        await world.clock.advance(120)
    assert acts(world) == [recall]
    assert await state_of(world, key, recall) == (RELEASED, Outcome.NO_ANSWER)


@pytest.mark.parametrize("recall", Withdrawal)
async def test_without_a_state_check_nothing_leaves(world: World, recall: Withdrawal) -> None:
    """AWS does not tell how the request stands for a minute: no call, and its person is told."""
    key, click = await ready(world, recall)
    world.aws.before[check_of(recall)].extend([AwsUnavailable("InternalServerError")] * 100)
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.clock.advance(90)
        await pressed
    assert acts(world) == []
    assert await state_of(world, key, recall) == (RELEASED, Outcome.UNREADABLE)


@pytest.mark.parametrize("recall", Withdrawal)
async def test_an_execution_of_another_request_is_never_signalled(world: World, recall: Withdrawal) -> None:
    """A row that names one all the same, by whatever way it came in: no call, and its person is told."""
    key, click = await ready(world, recall)
    execution_id = world.aws.requests[key].execution_id
    assert execution_id
    world.aws.foreign.add(execution_id)
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.clock.advance(90)
        await pressed
    assert acts(world) == []
    assert await state_of(world, key, recall) == (RELEASED, Outcome.UNREADABLE)


class SlowStore(MemoryStore):
    """A store whose next write takes ten seconds, once it is told so."""

    slow = False
    clock: ManualClock

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        if self.slow:
            self.slow = False
            await self.clock.sleep(10)
        return await super().apply(key, change, now=now)


@pytest.mark.parametrize("recall", Withdrawal)
async def test_a_state_that_was_read_too_long_ago_is_read_again(recall: Withdrawal) -> None:
    """The row could not be written for some seconds after the state check: the state is read anew before the call."""
    store = SlowStore()
    world = new_world(store=store)
    store.clock = world.clock
    key, click = await ready(world, recall)
    gate = world.aws.gates[check_of(recall)] = asyncio.Event()
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.aws.arrived[check_of(recall)].wait()
        store.slow = True
        gate.set()
        await world.clock.advance(20)
        await pressed
    assert acts(world) == [recall]
    assert [call for call, _ in world.aws.calls].count(check_of(recall)) >= 2
    assert await state_of(world, key, recall) == (CONFIRMED, None)


@pytest.mark.parametrize("recall", Withdrawal)
async def test_a_refused_call_is_explained(world: World, recall: Withdrawal) -> None:
    """AWS refuses: its person reads AWS's word for it, and the button is there for another try."""
    key, click = await ready(world, recall)
    world.aws.before["signal"].append(SignalRefused("InternalRule", denied=False))
    async with world.running():
        answer = await world.click_handler.click(click)
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.detail) == (Outcome.AWS_REFUSED, "InternalRule")
        assert offers(answer.card, click.verb)
        assert code_of(await world.click_handler.click(click)) is None
    assert world.aws.requests[key].status is RECALLED[recall]


async def test_a_revocation_has_the_role_of_its_level() -> None:
    """The role of the level that settled the request, by those who may approve there; nobody else's."""
    lead = LevelRule("Level2", (f"user:{ICHIRO.object_id}",), "arn:aws:iam::{account}:role/NodeAccessLead")
    world = new_world(replace(APPROVALS, levels=(lead,)))
    key = await approved(world, levels=2)
    async with world.running():
        await world.press(key, ICHIRO, step="Level2")
        assert code_of(await world.press(key, HANAKO, Verb.REVOKE, step="Level2")) is Refusal.NOT_APPROVER
        await world.press(key, ICHIRO, Verb.REVOKE, step="Level2")
    assert [(str(each.verdict), each.role) for each in world.aws.signals] == [
        ("approve", "arn:aws:iam::111122223333:role/NodeAccessLead"),
        ("revoke", "arn:aws:iam::111122223333:role/NodeAccessLead"),
    ]
