"""The story of a decision, from the card to the thread, over fakes of AWS and Teams."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.decision import COMMENT_LIMIT, DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.permission import Refusal
from bot.domain.request import Status, Verdict
from bot.domain.shown.views import NoticeCode, Reason
from bot.ports.aws import SignalLost, SignalRefused, SignalThrottled
from bot.ports.teams import ChatProblem, ChatUnavailable
from bot.service.clicks.click import Answer, Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, World, new_world


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return new_world()


def code_of(answer: Answer) -> Reason | None:
    """Return what the notice says."""
    return answer.notice.code if answer.notice else None


async def test_a_request_gets_a_card_and_its_requester_a_direct_message(world: World) -> None:
    """Within one look the channel has the card and the requester knows that the request waits."""
    key = world.aws.add()
    await world.shown(key)
    (card,) = world.chat.of("post")
    assert "web-prod-01" in card.card
    assert "決済 API の 5xx" in card.card
    assert [sent.where for sent in world.chat.of("direct")] == [TARO_PERSON.object_id]


async def test_an_approval_reaches_aws_once_and_everybody_is_told(world: World) -> None:
    """One signal with the person's name; the card, the thread and the requester follow."""
    key = world.aws.add()
    await world.shown(key)
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
    assert [len(world.chat.of("direct")), "start-session" in world.chat.of("direct")[-1].card] == [2, True]


async def test_a_click_on_a_card_whose_post_was_never_answered(world: World) -> None:
    """Somebody may press before the row knows where the card is: it counts, from the channel that the card went to alone."""
    world.chat.after["post"] = [ChatUnavailable("no_answer", ambiguous=True)]
    key = world.aws.add()
    await world.shown(key)
    elsewhere = replace(world.pressed(key, HANAKO), conversation="19:elsewhere@thread.tacv2;messageid=1000")
    assert code_of(await world.click_handler.click(elsewhere)) is Refusal.NOT_HERE
    assert world.aws.effects == []
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert answer.card is not None
    assert len(world.aws.effects) == 1


async def test_a_late_click_decides_nothing_and_is_told_who_decided(world: World) -> None:
    """By the same person and by another one: no further signal, and the decision with its comment."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_two_hundred_people_click_at_once_and_one_signal_leaves() -> None:
    """Half approve and half reject: one signal, and everybody is told the outcome."""
    people = [person(number) for number in range(200)]
    world = new_world(people=[*people, TARO_PERSON])
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        answers = await asyncio.gather(
            *(world.press(key, who, Verb.APPROVE if index % 2 else Verb.REJECT) for index, who in enumerate(people))
        )
    assert len(world.aws.signals) == 1
    assert [code_of(answer) for answer in answers].count(None) == 1
    assert [code_of(answer) for answer in answers].count(NoticeCode.DECIDED) == 199


async def test_two_approvals_of_a_level_that_needs_two_both_count(world: World) -> None:
    """Both approvers of one instant are heard; the request is approved."""
    key = world.aws.add(required=2)
    await world.shown(key)
    async with world.running():
        await asyncio.gather(world.press(key, HANAKO), world.press(key, ICHIRO))
    assert len(world.aws.effects) == 2
    assert world.aws.requests[key].status is Status.APPROVED


async def test_a_click_on_a_level_that_has_passed_decides_nothing(world: World) -> None:
    """The button belongs to its step; the next level is not touched by it."""
    key = world.aws.add(levels=2)
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO)
        answer = await world.press(key, ICHIRO, step="Level1")
    assert code_of(answer) is Outcome.STEP_PASSED
    assert len(world.aws.signals) == 1
    assert world.aws.requests[key].status is Status.PENDING


async def test_the_state_check_finds_what_the_row_does_not_know_yet(world: World) -> None:
    """Decided in the console a moment ago: no signal leaves, and the clicker is told by whom."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.decide(key, verdict=Verdict.REJECT, comment="from the console")
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert world.aws.signals == []
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, "console-approver")


async def test_a_lost_reply_is_never_sent_again(world: World) -> None:
    """The signal took effect and its reply was lost: one signal, and the card follows."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.after["signal"].append(SignalLost())
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(10)
    assert len(world.aws.signals) == 1
    row = await world.row(key)
    assert [each.state for each in row.decisions] == [DecisionState.CONFIRMED]
    assert row.request is not None
    assert row.request.status is Status.APPROVED


async def test_a_refused_signal_is_explained_and_the_card_stays_open(world: World) -> None:
    """AWS said no: the clicker reads why, the comment is kept, the next person may decide."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_slow_aws_is_answered_in_time_and_the_card_follows(world: World) -> None:
    """AWS takes 8 seconds: the click is answered within 3 with "applying…", and the end is shown and told."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_throttling_is_waited_for_within_the_minute(world: World) -> None:
    """A throttled signal had no effect and is tried again after another state check."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["signal"].extend([SignalThrottled(), SignalThrottled()])
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(5)
        await click
    assert len(world.aws.effects) == 1
    assert world.aws.count("execution") == 3


async def test_throttling_beyond_the_minute_gives_up_and_says_so(world: World) -> None:
    """Nothing is sent a minute after the click; the thread tells the person to press again."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_the_requester_cannot_decide(world: World) -> None:
    """The requester is refused, whatever the button."""
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        answers = [await world.press(key, TARO_PERSON, verb) for verb in (Verb.APPROVE, Verb.REJECT)]
    assert [code_of(answer) for answer in answers] == [Refusal.OWN_REQUEST] * 2
    assert world.aws.signals == []


async def test_a_comment_can_be_required(world: World) -> None:
    """A rejection without a comment is refused with the same card; with one it goes through."""
    world = new_world(replace(APPROVALS, comment_required=frozenset({Verdict.REJECT})))
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        refused = await world.press(key, HANAKO, Verb.REJECT)
        assert code_of(refused) is Refusal.COMMENT_REQUIRED
        await world.press(key, HANAKO, Verb.REJECT, comment="why")
    assert len(world.aws.effects) == 1


async def test_decided_while_the_bot_was_down(world: World) -> None:
    """One sweep after the start the card shows what the console decided."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.decide(key, Verdict.REJECT, "while you were down")
    world.aws.listed = False
    world.build()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(0)
    (card,) = world.chat.of("post")
    assert "while you were down" in card.card
    assert not card.buttons


async def test_all_events_lost(world: World) -> None:
    """One sweep alone brings the card."""
    world.aws.add()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(0)
    assert len(world.chat.of("post")) == 1


async def test_a_requester_without_the_app_is_named_in_the_thread(world: World) -> None:
    """Where a direct message is impossible the thread says so, once."""
    world.chat.unreachable[TARO_PERSON.object_id] = ChatProblem.NOT_INSTALLED
    key = world.aws.add()
    await world.shown(key)
    await world.shown(key)
    await world.shown(key)
    assert len(world.chat.of("reply")) == 1
    assert "山田 太郎" in world.chat.of("reply")[0].card


async def test_a_claim_that_another_process_was_faster_with_is_waited_for() -> None:
    """What this process knows of the row, kept for another who waits, still has room: nobody claims again and again."""
    store, jiro = MemoryStore(), person(3)
    world = new_world(store=store, people=[HANAKO, ICHIRO, jiro, TARO_PERSON])
    other = replace(world, store=MemoryStore(store.tables), owner="replica-2")
    key = world.aws.add(required=2)
    await world.shown(key)
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


async def test_a_requester_who_is_placed_anew_while_the_roster_is_asked(world: World) -> None:
    """The claim holds for the row by which its person was judged: whose asker is not certain any more is not approved."""
    key = world.aws.add()
    await world.shown(key)
    member = world.people.member

    async def slowly(conversation: str, object_id: str) -> Person | None:
        namesake = replace(person(60), mail=TARO_PERSON.mail)
        world.people.people.append(namesake)  # from now on two people have the requester's address
        await world.shown(key)
        return await member(conversation, object_id)

    world.people.member = slowly  # type: ignore[method-assign]  # the one call that is to take long
    async with world.running():
        assert code_of(await world.press(key, HANAKO)) is Refusal.UNIDENTIFIED
    assert world.aws.count("signal") == 0


async def test_a_comment_that_nobody_would_read_is_none(world: World) -> None:
    """Judged is what is sent: a word behind everything that is cut off is no comment."""
    rejecting = replace(APPROVALS, comment_required=frozenset({Verdict.REJECT}))
    world = new_world(rejecting)
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        answer = await world.press(key, HANAKO, Verb.REJECT, comment="\u200b" * COMMENT_LIMIT + "x")
    assert code_of(answer) is Refusal.COMMENT_REQUIRED
    assert world.aws.count("signal") == 0
