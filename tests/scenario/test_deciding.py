"""A decision from the card to the thread, over fakes of AWS and Teams."""

import asyncio
from dataclasses import replace

from bot.domain.decision import COMMENT_LIMIT, DecisionState, Outcome
from bot.domain.request import Status, Verdict
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import SignalLost, SignalRefused, SignalThrottled
from bot.ports.teams import ChatProblem, ChatUnavailable
from bot.service.clicks.click import Answer, Verb
from tests.fakes.card_text import nodes
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, World, code_of, new_world


async def test_new_request_leads_to_a_card_and_a_direct_message_to_the_requester(world: World) -> None:
    """The card has the node's name and the reason."""
    await world.posted()
    (card,) = world.chat.of("post")
    assert "web-prod-01" in card.card
    assert "決済 API の 5xx" in card.card
    assert [sent.where for sent in world.chat.of("direct")] == [TARO_PERSON.object_id]


async def test_approval_sends_one_signal_a_note_and_a_direct_message_and_updates_the_card(world: World) -> None:
    """The signal has the approver's session name, and the comment with their name. The card loses its buttons.

    The requester's message has the command that starts the session, and a short one notifies.
    """
    key = await world.posted()
    async with world.running():
        answer = await world.press(key, HANAKO, comment="どうぞ")
    assert len(world.aws.effects) == 1
    assert world.aws.effects[0].comment == "どうぞ (佐藤 花子 via Microsoft Teams)"
    assert world.aws.effects[0].session_name == HANAKO.upn
    assert answer.card is not None
    row = await world.row(key)
    assert row.request is not None
    assert row.request.status is Status.APPROVED
    (card,) = world.chat.of("post")
    assert not card.buttons
    (note,) = world.chat.of("reply")
    assert "SendAutomationSignal" in note.card
    assert ["start-session" in sent.card for sent in world.chat.of("direct")] == [True, False]


async def test_click_on_a_card_is_accepted_although_teams_did_not_answer_its_post(world: World) -> None:
    """A person can click before the row has the id of the card. A click from another channel is refused."""
    world.chat.after["post"] = [ChatUnavailable("no_answer", ambiguous=True)]
    key = await world.posted()
    elsewhere = replace(world.pressed(key, HANAKO), conversation="19:elsewhere@thread.tacv2;messageid=1000")
    assert code_of(await world.click_handler.click(elsewhere)) is Refusal.NOT_HERE
    assert world.aws.effects == []
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert answer.card is not None
    assert len(world.aws.effects) == 1


async def test_late_click_is_answered_with_the_earlier_decision_and_sends_no_signal(world: World) -> None:
    """The same person and another person click. The answers have the name, the comment and the time of the decision."""
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO, Verb.REJECT, comment="no ticket")
        late = [await world.press(key, who, verb) for who in (HANAKO, ICHIRO) for verb in (Verb.APPROVE, Verb.REJECT)]
    assert len(world.aws.signals) == 1
    for answer in late:
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.who, answer.notice.comment) == (
            NoticeCode.DECIDED,
            HANAKO.name,
            "no ticket",
        )
        assert answer.notice.at is not None


async def test_two_hundred_simultaneous_clicks_send_one_signal() -> None:
    """Half approve and half reject. One click decides, and the other 199 are answered with the decision."""
    people = [person(number) for number in range(200)]
    world = new_world(people=[*people, TARO_PERSON])
    key = await world.posted()
    async with world.running():
        answers = await asyncio.gather(
            *(world.press(key, who, Verb.APPROVE if index % 2 else Verb.REJECT) for index, who in enumerate(people))
        )
    assert len(world.aws.signals) == 1
    assert [code_of(answer) for answer in answers].count(None) == 1
    assert [code_of(answer) for answer in answers].count(NoticeCode.DECIDED) == 199


async def test_two_simultaneous_approvals_of_a_level_that_needs_two_both_count(world: World) -> None:
    """AWS gets both, and the request is approved."""
    key = await world.posted(required=2)
    async with world.running():
        await asyncio.gather(world.press(key, HANAKO), world.press(key, ICHIRO))
    assert len(world.aws.effects) == 2
    assert world.aws.requests[key].status is Status.APPROVED


async def test_click_on_a_passed_level_sends_no_signal(world: World) -> None:
    """The first level is approved. A click on its button is answered "step passed" and does not decide the second."""
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, HANAKO)
        answer = await world.press(key, ICHIRO, step="Level1")
    assert code_of(answer) is Outcome.STEP_PASSED
    assert len(world.aws.signals) == 1
    assert world.aws.requests[key].status is Status.PENDING


async def test_state_check_finds_a_decision_that_the_row_does_not_have(world: World) -> None:
    """A person decided in the console a moment ago. No signal is sent, and the click's answer shows who decided."""
    key = await world.posted()
    world.aws.decide(key, verdict=Verdict.REJECT, comment="from the console")
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert world.aws.signals == []
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, "console-approver")


async def test_signal_with_a_lost_reply_is_not_sent_again(world: World) -> None:
    """The signal took effect but its reply was lost. No second signal is sent, and the card shows the approval."""
    key = await world.posted()
    world.aws.after["signal"].append(SignalLost())
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(10)
    assert len(world.aws.signals) == 1
    row = await world.row(key)
    assert [each.state for each in row.decisions] == [DecisionState.CONFIRMED]
    assert row.request is not None
    assert row.request.status is Status.APPROVED
    (card,) = world.chat.of("post")
    assert not card.buttons
    assert "Approved by" in card.card


async def test_answer_says_why_aws_refused_the_signal_and_another_person_can_still_decide(world: World) -> None:
    """The answer has AWS's error code and keeps the comment. The decision of the second person takes effect."""
    key = await world.posted()
    world.aws.before["signal"].append(SignalRefused("AccessDeniedException", denied=True))
    async with world.running():
        refused = await world.press(key, HANAKO, comment="ok")
        assert refused.notice is not None
        assert (refused.notice.code, refused.notice.detail, refused.notice.typed) == (
            Outcome.AWS_DENIED,
            "AccessDeniedException",
            "ok",
        )
        await world.press(key, ICHIRO)
    assert len(world.aws.effects) == 1


async def test_comment_of_a_refused_click_stays_in_the_field_of_its_button_only(world: World) -> None:
    """A click on another button does not send the words that explain this one.

    AWS refuses an approval and a rejection. A third approval comes too late: that card has the field of Revoke.
    """
    key = await world.posted()
    async with world.running():
        for verb, kept in ((Verb.APPROVE, ["", "ok"]), (Verb.REJECT, ["no", ""])):
            world.aws.before["signal"].append(SignalRefused("AccessDeniedException", denied=True))
            answer = await world.press(key, HANAKO, verb, comment="".join(kept))
            assert comments(answer) == kept
        await world.press(key, ICHIRO)
        late = await world.press(key, HANAKO, comment="ok")
        assert (code_of(late), comments(late)) == (NoticeCode.DECIDED, [""])
        refused = await world.press(key, person(77), Verb.REVOKE, comment="over")
        assert (code_of(refused), comments(refused)) == (Refusal.NOT_APPROVER, ["over"])


def comments(answer: Answer) -> list[str]:
    """Return what is in the comment fields of an answer's card."""
    return [each["value"] for each in nodes(answer.card) if each.get("type") == "Input.Text"]


async def test_click_is_answered_within_three_seconds_while_aws_is_slow(world: World) -> None:
    """AWS takes 8 seconds. The answer is "applying…", and the card shows the outcome later."""
    key = await world.posted()
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        began = world.clock.now()
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        await world.clock.advance(2.6)
        answer = await click
        assert code_of(answer) is NoticeCode.APPLYING
        assert (world.clock.now() - began).total_seconds() < 3
        await world.clock.advance(5.4)
        gate.set()
        await world.clock.advance(2)
    assert len(world.aws.signals) == 1
    (card,) = world.chat.of("post")
    assert not card.buttons
    assert "佐藤 花子" in card.card


async def test_throttled_signal_is_sent_again_after_another_state_check(world: World) -> None:
    """A throttled signal had no effect. After two throttled signals, the third takes effect within five seconds."""
    key = await world.posted()
    world.aws.before["signal"].extend([SignalThrottled(), SignalThrottled()])
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(5)
        await click
    assert len(world.aws.effects) == 1
    assert world.aws.count("execution") == 3


async def test_decision_is_released_after_its_signal_was_throttled_for_over_a_minute(world: World) -> None:
    """No signal takes effect. The thread has a note, and the signal was sent fewer than 20 times."""
    key = await world.posted()
    world.aws.before["signal"].extend(SignalThrottled() for _ in range(100))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(90)
        await click
        await world.clock.advance(5)
    sent = len(world.aws.signals)
    assert world.aws.effects == []
    assert sent < 20
    row = await world.row(key)
    assert [each.state for each in row.decisions] == [DecisionState.RELEASED]
    assert len(world.chat.of("reply")) == 1


async def test_requester_can_neither_approve_nor_reject_their_own_request(world: World) -> None:
    """Both clicks are refused as an own request, and no signal is sent."""
    key = await world.posted()
    async with world.running():
        answers = [await world.press(key, TARO_PERSON, verb) for verb in (Verb.APPROVE, Verb.REJECT)]
    assert [code_of(answer) for answer in answers] == [Refusal.OWN_REQUEST] * 2
    assert world.aws.signals == []


async def test_rejection_without_a_comment_is_refused_if_the_channel_requires_one(world: World) -> None:
    """A rejection with a comment is sent."""
    world = new_world(replace(APPROVALS, comment_required=frozenset({Verdict.REJECT})))
    key = await world.posted()
    async with world.running():
        refused = await world.press(key, HANAKO, Verb.REJECT)
        assert code_of(refused) is Refusal.COMMENT_REQUIRED
        await world.press(key, HANAKO, Verb.REJECT, comment="why")
    assert len(world.aws.effects) == 1


async def test_card_displays_a_console_decision_made_while_the_bot_was_down(world: World) -> None:
    """One sweep after the restart is enough. The card has the comment and no buttons."""
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT, "while you were down")
    world.aws.listed = False
    world.build()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(0)
    (card,) = world.chat.of("post")
    assert "while you were down" in card.card
    assert not card.buttons


async def test_card_of_a_request_without_an_event_is_posted_after_one_sweep(world: World) -> None:
    """The sweep finds the request in AWS's list."""
    world.aws.add()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(0)
    assert len(world.chat.of("post")) == 1


async def test_note_in_the_thread_names_a_requester_who_has_not_installed_the_app(world: World) -> None:
    """The requester cannot get a direct message. The note is posted once, also after a second attempt."""
    world.chat.unreachable[TARO_PERSON.object_id] = ChatProblem.NOT_INSTALLED
    key = await world.posted()
    await world.pass_time(key, 61)
    await world.shown(key)
    assert len(world.chat.of("reply")) == 1
    assert "山田 太郎" in world.chat.of("reply")[0].card


async def test_click_waits_for_the_claim_of_another_process() -> None:
    """The cached row allows one more vote, the stored row does not: the click waits instead of claiming in a loop."""
    store, jiro = MemoryStore(), person(3)
    world = new_world(store=store, people=[HANAKO, ICHIRO, jiro, TARO_PERSON])
    other = replace(world, store=MemoryStore(store.tables), owner="replica-2")
    key = await world.posted(required=2)
    prepared = world.aws.gates["prepare"] = asyncio.Event()
    clicks = []
    for at, who in ((world, HANAKO), (other, ICHIRO), (world, jiro)):
        clicks.append(asyncio.create_task(at.press(key, who)))
        await world.clock.advance(0.1)
    assert [click.done() for click in clicks] == [False, False, False]
    prepared.set()
    async with world.running():
        await world.clock.advance(5)
        answers = await asyncio.gather(*clicks)
    await other.click_handler.drain()
    assert len(world.aws.effects) == 2
    assert answers[2].notice is not None
    assert answers[2].notice.code is NoticeCode.DECIDED


async def test_click_is_refused_if_a_second_person_with_the_requesters_address_joins_during_the_check(
    world: World,
) -> None:
    """The requester is no longer identified when the click is claimed."""
    key = await world.posted()

    async def appear() -> None:
        namesake = replace(person(60), mail=TARO_PERSON.mail)
        world.people.people.append(namesake)  # two people now have the requester's address
        await world.shown(key)

    world.people.before_member.append(appear)
    async with world.running():
        assert code_of(await world.press(key, HANAKO)) is Refusal.UNIDENTIFIED
    assert world.aws.count("signal") == 0


async def test_invisible_comment_does_not_count_as_a_comment(world: World) -> None:
    """The comment needs a visible character in the part that is sent. One beyond the length limit does not count."""
    rejecting = replace(APPROVALS, comment_required=frozenset({Verdict.REJECT}))
    world = new_world(rejecting)
    key = await world.posted()
    async with world.running():
        answer = await world.press(key, HANAKO, Verb.REJECT, comment="\u200b" * COMMENT_LIMIT + "x")
    assert code_of(answer) is Refusal.COMMENT_REQUIRED
    assert world.aws.count("signal") == 0
