"""Approvers revoke access, and requesters cancel requests, over fakes of AWS and Teams."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import STATUS_AFTER, RequestKey, Status, Verdict, Withdrawal
from bot.domain.routing import LevelRule
from bot.domain.rules.claims import EFFECT_SPAN
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode, Reason
from bot.ports.aws import AwsUnavailable, SignalLost, SignalRefused, SignalThrottled
from bot.ports.store import Change
from bot.ports.teams import ChatUnavailable
from bot.service.approver_groups import ApproverGroups
from bot.service.clicks.click import Click, Verb
from bot.service.decisions.permission_check import PermissionCheck
from tests.fakes.aws import GIVE_BACK_ROLE, TARO, key_of
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, CANCEL_ROLE, World, code_of, current_configuration, new_world

CONFIRMED, RELEASED, UNKNOWN = DecisionState.CONFIRMED, DecisionState.RELEASED, DecisionState.UNKNOWN
WINDOW = timedelta(hours=4)  # of the sample request


async def approved(world: World, **facts: object) -> RequestKey:
    """Return a request whose first level, by default its only one, was just approved in Teams. Its card is up to date.

    The signals and calls so far are forgotten.
    """
    key = world.aws.add(**facts)  # type: ignore[arg-type]  # facts of the request
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO)
    world.aws.signals.clear()
    world.aws.effects.clear()
    world.aws.calls.clear()
    world.aws.arrived.clear()
    return key


async def ready(world: World, withdrawal: Withdrawal) -> tuple[RequestKey, Click]:
    """Return a request that can be revoked, cancelled or given back, and the click that does so."""
    if withdrawal is Withdrawal.CANCEL:
        key = await world.posted()
        return key, world.withdrawn(key)
    world.configuration.replace(current_configuration(give_back_role=GIVE_BACK_ROLE).value)
    key = await approved(world)
    by_approver = withdrawal is Withdrawal.REVOKE
    return key, world.pressed(key, ICHIRO, Verb.REVOKE) if by_approver else world.withdrawn(key, verb=Verb.GIVE_BACK)


def sent_verdicts(world: World) -> list[str]:
    """Return the actions of the signals that were sent, including refused ones."""
    return [str(signal.action) for signal in world.aws.signals]


def offers(card: object, verb: Verb) -> bool:
    """True if a card has the button."""
    return f"'verb': '{verb}'" in str(card)


async def state_of(world: World, key: RequestKey, withdrawal: Withdrawal) -> tuple[DecisionState, Outcome | None]:
    """Return state and outcome of the only decision of that kind."""
    (one,) = (each for each in (await world.row(key)).decisions if each.action is withdrawal)
    return one.state, one.outcome


# --- revoke


async def test_approver_revokes_approved_access(world: World) -> None:
    """One signal has the approver's role and name. Card, direct message and a note with the API call show it."""
    key = await approved(world)
    (card,) = world.chat.of("post")
    assert offers(card.card, Verb.REVOKE)
    async with world.running():
        answer = await world.press(key, ICHIRO, Verb.REVOKE, comment="incident over")
        await world.clock.advance(1)
    (signal,) = world.aws.signals
    assert (signal.action, signal.session_name, signal.role, signal.comment) == (
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
    assert "'NodeAccessApprover'" in note
    assert "'ichiro.tanaka@example.com'" in note
    assert "outside" not in note
    assert "Your access was revoked." in world.chat.of("direct")[-1].card
    assert "incident over" in world.chat.of("direct")[-1].card
    assert len(world.chat.of("reply")) == 2  # approval and revocation; no third note


async def test_simultaneous_revocations_by_two_people_send_one_signal(world: World) -> None:
    """The answer to the second person names the first person."""
    key = await approved(world)
    async with world.running():
        answers = await asyncio.gather(*(world.press(key, who, Verb.REVOKE) for who in (HANAKO, ICHIRO)))
    assert sent_verdicts(world) == ["revoke"]
    assert {code_of(answer) for answer in answers} == {None, NoticeCode.REVOKED}
    (late,) = (answer.notice for answer in answers if answer.notice)
    assert (late.who, late.verdict) == (HANAKO.name, Withdrawal.REVOKE)


async def test_answer_to_a_second_revocation_names_the_person_who_clicked_first(world: World) -> None:
    """While one revocation waits, a second click sends no signal. Its answer names the first person and has the comment."""
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
        assert f"{HANAKO.name} clicked Revoke" in shown(answer.card)
        assert "Approved" in shown(answer.card)
        gate.set()
        await world.clock.advance(3)
        assert code_of(await first) is NoticeCode.APPLYING
    assert sent_verdicts(world) == ["revoke"]
    assert "Revoked by" in world.chat.of("post")[0].card


async def test_two_identical_clicks_on_revoke_send_one_signal(world: World) -> None:
    """The clicks arrive at the same time. The answer to one of them says that the access was already revoked."""
    key = await approved(world)
    async with world.running():
        answers = await asyncio.gather(*(world.press(key, ICHIRO, Verb.REVOKE) for _ in range(2)))
    assert sent_verdicts(world) == ["revoke"]
    assert {code_of(answer) for answer in answers} == {None, NoticeCode.REVOKED}


async def test_revocation_of_access_that_was_already_revoked_sends_no_signal(world: World) -> None:
    """The access was revoked in Teams or in the console. A revocation in the console is perhaps not in the row yet."""
    key = await approved(world)
    async with world.running():
        await world.press(key, ICHIRO, Verb.REVOKE)
        late = [await world.press(key, who, Verb.REVOKE) for who in (HANAKO, ICHIRO)]
    assert [code_of(each) for each in late] == [NoticeCode.REVOKED] * 2
    assert sent_verdicts(world) == ["revoke"]
    other = await approved(world, number=2)
    world.aws.end(other, Status.REVOKED)
    async with world.running():
        unseen = await world.press(other, ICHIRO, Verb.REVOKE)
        seen = await world.press(other, ICHIRO, Verb.REVOKE)
    assert [(code_of(each), each.notice and each.notice.who) for each in (unseen, seen)] == [
        (NoticeCode.REVOKED, None)
    ] * 2
    assert sent_verdicts(world) == []


@pytest.mark.parametrize("seen", [True, False])
async def test_access_that_has_ended_cannot_be_revoked(world: World, seen: bool) -> None:
    """No signal is sent, even if the row does not have the end of the access. The button disappears."""
    key = await approved(world)
    if seen:
        await world.clock.advance(WINDOW.total_seconds())
    else:  # an admin shortened it in AWS
        world.aws.requests[key] = replace(world.aws.requests[key], access_until=world.clock.now())
    async with world.running():
        answer = await world.press(key, ICHIRO, Verb.REVOKE)
        await world.clock.advance(1)
    assert sent_verdicts(world) == []
    assert code_of(answer) is NoticeCode.WINDOW_OVER
    (card,) = world.chat.of("post")
    assert not offers(card.card, Verb.REVOKE)


async def test_request_that_waits_for_approval_cannot_be_revoked(world: World) -> None:
    """The card has no Revoke button. A forged click is answered "not approved", and no signal is sent."""
    key = await world.posted()
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
async def test_person_who_may_not_approve_may_not_revoke(world: World, who: Person, expected: Reason) -> None:
    """The requester, a person who is no approver, a guest and a person of another tenant get the reason and their comment."""
    key = await approved(world)
    answer = await world.press(key, who, Verb.REVOKE, comment="kept")
    assert (code_of(answer), answer.refused) == (expected, True)
    assert "kept" in str(answer.card)
    assert sent_verdicts(world) == []


async def test_revoke_button_is_bound_to_the_last_level(world: World) -> None:
    """A click with the first of two levels is refused: the button belongs to the level that settled the request."""
    key = await approved(world, levels=2)
    async with world.running():
        await world.press(key, ICHIRO, step="Level2")
        world.aws.signals.clear()
        forged = await world.press(key, ICHIRO, Verb.REVOKE, step="Level1")
        assert (code_of(forged), sent_verdicts(world)) == (Refusal.OTHER_STEP, [])
        assert "'step': 'Level2'" in world.chat.of("post")[0].card
        await world.press(key, ICHIRO, Verb.REVOKE, step="Level2")
    assert sent_verdicts(world) == ["revoke"]


async def test_revocation_from_another_conversation_is_refused(world: World) -> None:
    """Another channel and the requester's own chat do not have this card."""
    key = await approved(world)
    for place in ("19:elsewhere@thread.tacv2", f"a:{TARO_PERSON.object_id}"):
        click = replace(world.pressed(key, ICHIRO, Verb.REVOKE), conversation=place)
        assert code_of(await world.click_handler.click(click)) is Refusal.NOT_HERE
    assert sent_verdicts(world) == []


async def test_card_in_a_channel_without_approvers_has_no_revoke_button() -> None:
    """A click with a forged button is refused."""
    world = new_world(replace(APPROVALS, approvers=()))
    key = await world.posted()
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert not offers(world.chat.of("post")[0].card, Verb.REVOKE)
    assert code_of(await world.press(key, HANAKO, Verb.REVOKE)) is Refusal.NOBODY


async def test_access_that_was_approved_in_the_console_can_be_revoked_in_teams(world: World) -> None:
    """Revocation depends on the state, not on the person who approved."""
    key = await world.posted()
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO, Verb.REVOKE)
    assert sent_verdicts(world) == ["revoke"]
    assert world.aws.requests[key].status is Status.REVOKED


async def test_state_check_of_a_revocation_reads_the_granted_access(world: World) -> None:
    """The execution has ended with the approval. So the granted access is read instead, right before the call."""
    key = await approved(world)
    async with world.running():
        await world.press(key, HANAKO, Verb.REVOKE)
    made = [call for call, _ in world.aws.calls]
    assert made[: made.index("signal") + 1] == ["prepare", "grant", "signal"]


async def test_revocation_that_aws_accepts_without_effect_is_reported_in_the_thread(world: World) -> None:
    """The card shows the state in AWS. Within three minutes a note warns, and the same person may click again."""
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
    assert sent_verdicts(world) == ["revoke", "revoke"]


async def test_answer_to_a_repeated_revocation_says_that_aws_does_not_show_the_first_one(world: World) -> None:
    """The second click comes a second before the minute is over, and sends no signal."""
    key = await approved(world)
    world.aws.lag = 1e6
    async with world.running():
        first = asyncio.create_task(world.press(key, ICHIRO, Verb.REVOKE))
        await world.clock.advance(EFFECT_SPAN.total_seconds() - 1)
        assert code_of(await first) is NoticeCode.APPLYING
        again = asyncio.create_task(world.press(key, ICHIRO, Verb.REVOKE))
        await world.clock.advance(3)
    assert code_of(await again) is NoticeCode.NOT_SHOWN
    assert sent_verdicts(world) == ["revoke"]


# --- cancel


async def test_requester_cancels_a_request_that_waits_for_approval(world: World) -> None:
    """The signal has the account's cancel role and the requester's name. Card, note and direct message report it."""
    key = await world.posted()
    (told,) = world.chat.of("direct")
    assert offers(told.card, Verb.CANCEL)
    async with world.running():
        answer = await world.click_handler.click(replace(world.withdrawn(key), comment="made up"))
        await world.clock.advance(1)
    (signal,) = world.aws.signals
    assert (signal.action, signal.session_name, signal.role) == (
        Withdrawal.CANCEL,
        TARO_PERSON.upn,
        CANCEL_ROLE,
    )
    assert answer.notice is None
    assert "Your request was cancelled." in shown(answer.card)
    assert not offers(answer.card, Verb.CANCEL)
    (card,) = world.chat.of("post")
    assert not card.buttons
    assert "Cancelled by" in card.card
    (note,) = world.chat.of("reply")
    assert "ssm:StopAutomationExecution Cancel" in note.card
    assert "'NodeAccessCanceller'" in note.card
    assert f"'{TARO_PERSON.upn}'" in note.card
    assert "made up" not in note.card + card.card  # AWS takes no comment to cancel, so none is shown as recorded
    assert "Your request was cancelled." in world.chat.of("direct")[-1].card


@pytest.mark.parametrize("of", ["person", "place"])
async def test_cancellation_by_another_person_or_in_another_persons_chat_is_refused(world: World, of: str) -> None:
    """No signal is sent, and the answer contains no card."""
    key = await world.posted()
    click = world.withdrawn(key)
    if of == "person":
        click, expected = replace(click, person=HANAKO), Refusal.NOT_REQUESTER
    else:
        click, expected = replace(click, conversation=f"a:{HANAKO.object_id}"), Refusal.OWN_CHAT
    async with world.running():
        answer = await world.click_handler.click(click)
    assert (code_of(answer), answer.card, answer.refused) == (expected, None, True)
    assert world.aws.signals == []


@pytest.mark.parametrize("lost", ["the reply to the post", "the write of the conversation"])
async def test_requester_cancels_from_a_message_whose_conversation_is_not_stored(world: World, lost: str) -> None:
    """The message is in Teams, but the row does not say where. The click came from the requester's own chat."""
    if lost == "the reply to the post":
        world.chat.after["direct"] = [ChatUnavailable("reset", ambiguous=True)]
    key = await world.posted()
    row = await world.row(key)
    assert row.surface(f"living:{TARO_PERSON.user}")
    unknown = [replace(each, conversation=None, activity_id=None) for each in row.surfaces if "card" not in each.name]
    await world.rows.apply(key, lambda row: replace(row, surfaces=(*row.cards, *unknown)))
    async with world.running():
        stranger = replace(world.withdrawn(key, HANAKO), personal=True)
        assert code_of(await world.click_handler.click(stranger)) is Refusal.OWN_CHAT
        await world.click_handler.click(replace(world.withdrawn(key), personal=True))
    assert len(world.aws.signals) == 1


async def test_cancellation_from_the_channel_is_refused(world: World) -> None:
    """An approver and the requester are both refused; the notice says to use the requester's own chat."""
    key = await world.posted()
    async with world.running():
        answers = [await world.press(key, who, Verb.CANCEL, step="") for who in (HANAKO, TARO_PERSON)]
    assert [(code_of(each), each.refused) for each in answers] == [(Refusal.OWN_CHAT, True)] * 2
    assert world.aws.signals == []


async def test_cancellation_in_a_chat_without_a_direct_message_about_the_request_is_refused(world: World) -> None:
    """The request is another person's, or does not exist. In the second case the answer is "not found"."""
    await world.posted()
    stranger = world.aws.add(2, requester=TARO.replace("taro.yamada", "ichiro.tanaka"))
    await world.shown(stranger)
    assert code_of(await world.click_handler.click(world.withdrawn(stranger))) is Refusal.OWN_CHAT
    assert code_of(await world.click_handler.click(world.withdrawn(key_of(99)))) is NoticeCode.NOT_FOUND
    assert world.aws.signals == []


async def test_requester_who_is_no_longer_identified_cannot_cancel(world: World) -> None:
    """The requester was notified. At the next reconcile, another member has the same mail address."""
    key = await world.posted()
    world.people.people.append(replace(person(60), mail=TARO_PERSON.mail))
    await world.shown(key)
    answer = await world.click_handler.click(world.withdrawn(key))
    assert (code_of(answer), answer.refused) == (Refusal.UNIDENTIFIED, True)
    assert world.aws.signals == []


async def test_request_whose_row_lacks_the_requester_or_the_facts_cannot_be_cancelled(world: World) -> None:
    """The requester is not known to be the person who clicks, so the cancellation is refused."""
    key = await world.posted()
    unknown = await world.store.apply(key, lambda row: replace(row, requester=None), now=world.clock.now())
    answer = await world.click_handler.click(world.withdrawn(key))
    assert (code_of(answer), answer.card) == (Refusal.UNIDENTIFIED, None)
    permission = PermissionCheck(world.people, ApproverGroups(world.groups), world.configuration)
    for row in (unknown, replace(unknown, request=None)):
        assert (
            permission.refusal_of_requester(row, TARO_PERSON, action=Withdrawal.CANCEL, step="") is Refusal.UNIDENTIFIED
        )
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
async def test_answer_to_a_refused_cancellation_has_the_reason(
    world: World, facts: dict[str, object], step: str, expected: Reason
) -> None:
    """After a forged step, or for a replica, unreadable facts or an ended request, no signal is sent.

    The answer has the reason. Its card keeps the button to cancel only if the request waits and is no replica.
    """
    key = await world.posted()
    row = await world.row(key)
    assert row.request is not None
    asked = replace(row.request, **facts)  # type: ignore[arg-type]  # facts are fields of the request
    await world.store.apply(key, lambda each: replace(each, request=asked), now=world.clock.now())
    answer = await world.click_handler.click(replace(world.withdrawn(key), step=step))
    assert code_of(answer) is expected
    assert offers(answer.card, Verb.CANCEL) is (asked.status is Status.PENDING and asked.replica_of is None)
    assert world.aws.signals == []


async def test_direct_message_for_an_account_without_a_cancel_role_has_no_cancel_button() -> None:
    """A forged click is refused. The answer names the AWS console, and for administrators the missing setting."""
    world = new_world(configuration=current_configuration(cancel_role=None))
    key = await world.posted()
    assert not offers(world.chat.of("direct")[0].card, Verb.CANCEL)
    answer = await world.click_handler.click(world.withdrawn(key))
    assert (code_of(answer), answer.refused) == (Refusal.NO_CANCEL_ROLE, True)
    assert answer.card is not None
    assert "For administrators: set cancel_role" in shown(answer.card)
    assert "AWS console" in answer.text
    assert world.aws.signals == []


async def test_cancellation_is_not_sent_after_the_cancel_role_was_removed(world: World) -> None:
    """The role was removed while no process ran. The bot does not cancel with its own credentials."""
    key = await world.posted()
    await world.crash_in(world.withdrawn(key), "execution")
    world.configuration = current_configuration(cancel_role=None)
    world.build()
    async with world.running():
        await world.clock.advance(30)
    assert world.aws.signals == []
    assert await state_of(world, key, Withdrawal.CANCEL) == (RELEASED, Outcome.NO_CANCEL_ROLE)


async def test_cancellation_after_a_decision_in_the_console_sends_no_signal(world: World) -> None:
    """The state check finds the decision, and the answer says who decided."""
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT, "no ticket")
    async with world.running():
        answer = await world.click_handler.click(world.withdrawn(key))
    assert world.aws.signals == []
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, "console-approver")
    assert "Your request was rejected." in shown(answer.card)


async def test_request_can_be_cancelled_at_its_second_level(world: World) -> None:
    """The direct message came at the first level, and its button still cancels."""
    key = await world.posted(levels=2)
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.click_handler.click(world.withdrawn(key))
    assert sent_verdicts(world) == ["cancel"]
    assert world.aws.requests[key].status is Status.CANCELLED


async def test_answer_to_a_cancellation_that_is_being_sent_has_no_cancel_button(world: World) -> None:
    """AWS is slow. The message and the note that the cancellation is being sent are shown after the usual time."""
    key = await world.posted()
    gate = world.aws.gates["signal"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.clock.advance(3)
        answer = await click
        gate.set()
    assert code_of(answer) is NoticeCode.APPLYING
    assert answer.card is not None
    assert not offers(answer.card, Verb.CANCEL)


async def test_answer_to_a_click_on_an_outdated_cancel_button_has_the_current_message(world: World) -> None:
    """The click comes after the approval or the revocation, and sends no signal."""
    key = await approved(world)
    for expected, words in ((NoticeCode.DECIDED, "You can connect until"), (NoticeCode.REVOKED, "access was revoked")):
        answer = await world.click_handler.click(world.withdrawn(key))
        assert code_of(answer) is expected
        assert words in shown(answer.card)
        assert not offers(answer.card, Verb.CANCEL)
        async with world.running():
            await world.press(key, ICHIRO, Verb.REVOKE)
    assert sent_verdicts(world) == ["revoke"]


async def test_simultaneous_votes_and_cancellation_send_one_signal(world: World) -> None:
    """The first claim, the cancellation, proceeds. The votes wait for its result and are answered "cancelled"."""
    key = await world.posted()
    async with world.running():
        cancelled, approved_, rejected = await asyncio.gather(
            world.click_handler.click(world.withdrawn(key)),
            world.press(key, HANAKO),
            world.press(key, ICHIRO, Verb.REJECT),
        )
    assert sent_verdicts(world) == ["cancel"]
    assert [code_of(each) for each in (cancelled, approved_, rejected)] == [
        None,
        NoticeCode.CANCELLED,
        NoticeCode.CANCELLED,
    ]


async def test_cancellation_during_a_vote_is_answered_busy_and_sends_no_signal(world: World) -> None:
    """The answer names the voter. A later cancellation is answered "decided"."""
    key = await world.posted()
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
    assert sent_verdicts(world) == ["approve"]


async def test_no_vote_is_sent_while_a_cancellation_waits_for_its_effect_in_aws(world: World) -> None:
    """A vote is answered "busy" while AWS has not cancelled.

    Within three minutes the requester reads that the request couldn’t cancel, and the next vote is sent.
    """
    key = await world.posted()
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
        assert "couldn’t cancel your request" in world.chat.of("direct")[-1].card
        world.aws.lag = 0.0
        await world.press(key, HANAKO)
    assert sent_verdicts(world) == ["cancel", "approve"]


async def test_answer_to_a_cancellation_that_aws_denies_names_the_cancel_role(world: World) -> None:
    """The message keeps its Cancel button, and an approver can still decide the request."""
    key = await world.posted()
    world.aws.before["prepare"].append(SignalRefused("AccessDenied", denied=True))
    async with world.running():
        answer = await world.click_handler.click(world.withdrawn(key))
        assert code_of(answer) is NoticeCode.CANCEL_DENIED
        assert "ask an administrator to check the permission" in answer.text
        assert offers(answer.card, Verb.CANCEL)
        await world.press(key, HANAKO)
    assert sent_verdicts(world) == ["approve"]


async def test_cancellation_that_fails_after_it_was_answered_is_reported_in_a_direct_message(world: World) -> None:
    """The click was answered "applying…". The requester's message has the button again; the thread gets no note."""
    key = await world.posted()
    world.aws.before["signal"].extend(SignalThrottled() for _ in range(100))
    async with world.running():
        click = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
        await world.clock.advance(3)
        answer = await click
        assert code_of(answer) is NoticeCode.APPLYING
        assert not offers(answer.card, Verb.CANCEL)
        assert "clicked Cancel" in world.chat.of("post")[0].card
        assert not world.chat.of("post")[0].buttons
        await world.clock.advance(90)
    assert world.aws.effects == []
    message, told = (each.card for each in world.chat.of("direct"))
    assert "couldn’t cancel your request" in told
    assert (offers(message, Verb.CANCEL), offers(told, Verb.CANCEL)) == (True, False)
    assert world.chat.of("reply") == []
    assert world.chat.of("post")[0].buttons


# --- revocations and cancellations with faults


def check_call_of(withdrawal: Withdrawal) -> str:
    """Return the name of the AWS call that checks the state before this withdrawal."""
    return "execution" if withdrawal is Withdrawal.CANCEL else "grant"


def notification(world: World, withdrawal: Withdrawal) -> str:
    """Return the last card about a failed withdrawal: in the thread for a revocation, else in the requester's chat."""
    return world.chat.of("reply" if withdrawal is Withdrawal.REVOKE else "direct")[-1].card


FAILED = {  # what the card about a failed withdrawal contains: the person, or what failed
    Withdrawal.REVOKE: ICHIRO.name,
    Withdrawal.CANCEL: "couldn’t cancel",
    Withdrawal.GIVE_BACK: "couldn’t give your access back",
}


def is_notified(world: World, withdrawal: Withdrawal) -> bool:
    """True if the last card about a failed withdrawal is for the person who clicked in `ready`."""
    return FAILED[withdrawal] in notification(world, withdrawal)


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_revocation_or_cancellation_with_a_lost_reply_is_not_sent_again(
    world: World, withdrawal: Withdrawal
) -> None:
    """The signal took effect, so the state in AWS confirms the decision, and the note has the person's name."""
    key, click = await ready(world, withdrawal)
    world.aws.after["signal"].append(SignalLost())
    async with world.running():
        await world.click_handler.click(click)
        await world.clock.advance(10)
    assert sent_verdicts(world) == [withdrawal]
    assert await state_of(world, key, withdrawal) == (CONFIRMED, None)
    assert (await world.row(key)).request == world.aws.requests[key]
    assert world.aws.requests[key].status is STATUS_AFTER[withdrawal]
    assert click.person.name in world.chat.of("reply")[-1].card
    assert "outside" not in world.chat.of("reply")[-1].card


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_revocation_or_cancellation_that_never_reached_aws_is_released(
    world: World, withdrawal: Withdrawal
) -> None:
    """The person is notified and may click again. The bot itself does not repeat the signal."""
    key, click = await ready(world, withdrawal)
    world.aws.before["signal"].append(SignalLost())
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.clock.advance(70)
        assert code_of(await pressed) is NoticeCode.APPLYING
        assert await state_of(world, key, withdrawal) == (RELEASED, Outcome.NO_ANSWER)
        told = notification(world, withdrawal)
        assert ("can try again" if withdrawal is Withdrawal.REVOKE else FAILED[withdrawal]) in told
        assert sent_verdicts(world) == [withdrawal]
        await world.click_handler.click(click)
    assert world.aws.requests[key].status is STATUS_AFTER[withdrawal]


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_claimed_revocation_or_cancellation_is_sent_once_after_a_crash(
    world: World, withdrawal: Withdrawal
) -> None:
    """The process died between claim and signal. The next process sends one signal."""
    key, click = await ready(world, withdrawal)
    await world.crash_in(click, check_call_of(withdrawal))
    world.build()
    async with world.running():
        await world.clock.advance(30)
    assert sent_verdicts(world) == [withdrawal]
    assert await state_of(world, key, withdrawal) == (CONFIRMED, None)


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_claimed_revocation_or_cancellation_is_released_two_minutes_after_a_crash(
    world: World, withdrawal: Withdrawal
) -> None:
    """The next process starts two minutes later. It releases the decision, and the person is notified."""
    key, click = await ready(world, withdrawal)
    await world.crash_in(click, check_call_of(withdrawal))
    await world.clock.advance(120)
    world.build()
    async with world.running():
        await world.clock.advance(10)
    assert sent_verdicts(world) == []
    assert await state_of(world, key, withdrawal) == (RELEASED, Outcome.EXPIRED)
    assert "in time" in notification(world, withdrawal)


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_revocation_or_cancellation_whose_process_crashed_while_sending_is_not_sent_again(
    world: World, withdrawal: Withdrawal
) -> None:
    """The signal did not reach AWS. Within two minutes the decision is released."""
    key, click = await ready(world, withdrawal)
    await world.crash_in(click, "signal")
    world.build()
    async with world.running():
        await world.clock.advance(120)
    assert sent_verdicts(world) == [withdrawal]
    assert await state_of(world, key, withdrawal) == (RELEASED, Outcome.NO_ANSWER)


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_revocation_or_cancellation_is_released_if_the_state_cannot_be_read_for_a_minute(
    world: World, withdrawal: Withdrawal
) -> None:
    """The state check fails each time. No signal is sent, and the person is notified."""
    key, click = await ready(world, withdrawal)
    world.aws.before[check_call_of(withdrawal)].extend([AwsUnavailable("InternalServerError")] * 100)
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.clock.advance(90)
        await pressed
    assert sent_verdicts(world) == []
    assert await state_of(world, key, withdrawal) == (RELEASED, Outcome.UNREADABLE)
    assert is_notified(world, withdrawal)


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_revocation_or_cancellation_never_signals_the_execution_of_another_request(
    world: World, withdrawal: Withdrawal
) -> None:
    """The row has the execution of another request. The decision is released, and the person is notified."""
    key, click = await ready(world, withdrawal)
    execution_id = world.aws.requests[key].execution_id
    assert execution_id
    world.aws.foreign.add(execution_id)
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.clock.advance(90)
        await pressed
    assert sent_verdicts(world) == []
    assert await state_of(world, key, withdrawal) == (RELEASED, Outcome.UNREADABLE)
    assert is_notified(world, withdrawal)


class SlowStore(MemoryStore):
    """A store whose next write takes ten seconds once `slow` is set."""

    slow = False
    clock: ManualClock

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        if self.slow:
            self.slow = False
            await self.clock.sleep(10)
        return await super().apply(key, change, now=now)


@pytest.mark.parametrize("withdrawal", Withdrawal)
async def test_state_check_of_a_revocation_or_cancellation_is_repeated_if_the_store_is_slow(
    withdrawal: Withdrawal,
) -> None:
    """The write of "sending" takes ten seconds, so the state is read again before the signal."""
    store = SlowStore()
    world = new_world(store=store)
    store.clock = world.clock
    key, click = await ready(world, withdrawal)
    gate = world.aws.gates[check_call_of(withdrawal)] = asyncio.Event()
    async with world.running():
        pressed = asyncio.create_task(world.click_handler.click(click))
        await world.aws.arrived[check_call_of(withdrawal)].wait()
        store.slow = True
        gate.set()
        await world.clock.advance(20)
        await pressed
    assert sent_verdicts(world) == [withdrawal]
    assert [call for call, _ in world.aws.calls].count(check_call_of(withdrawal)) >= 2
    assert await state_of(world, key, withdrawal) == (CONFIRMED, None)


@pytest.mark.parametrize("withdrawal", [Withdrawal.REVOKE, Withdrawal.CANCEL])
async def test_answer_to_a_revocation_or_cancellation_that_aws_refuses_has_the_error_code(
    world: World, withdrawal: Withdrawal
) -> None:
    """The button stays, and the next click is sent."""
    key, click = await ready(world, withdrawal)
    world.aws.before["signal"].append(SignalRefused("InternalRule", denied=False))
    async with world.running():
        answer = await world.click_handler.click(click)
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.detail) == (Outcome.AWS_REFUSED, "InternalRule")
        assert offers(answer.card, click.verb)
        assert code_of(await world.click_handler.click(click)) is None
    assert world.aws.requests[key].status is STATUS_AFTER[withdrawal]


async def test_revocation_uses_the_role_and_the_approvers_of_the_level_that_settled_the_request() -> None:
    """The second level has its own role and approvers. An approver of the first level may not revoke."""
    lead = LevelRule("Level2", (f"user:{ICHIRO.object_id}",), "arn:aws:iam::{account}:role/NodeAccessLead")
    world = new_world(replace(APPROVALS, levels=(lead,)))
    key = await approved(world, levels=2)
    async with world.running():
        await world.press(key, ICHIRO, step="Level2")
        assert code_of(await world.press(key, HANAKO, Verb.REVOKE, step="Level2")) is Refusal.NOT_APPROVER
        await world.press(key, ICHIRO, Verb.REVOKE, step="Level2")
    assert [(str(each.action), each.role) for each in world.aws.signals] == [
        ("approve", "arn:aws:iam::111122223333:role/NodeAccessLead"),
        ("revoke", "arn:aws:iam::111122223333:role/NodeAccessLead"),
    ]
