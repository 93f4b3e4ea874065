"""What a person who clicks is told, in every case in which their click does not simply decide."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.permission import Refusal
from bot.domain.record import Record
from bot.domain.request import Approver, ApproverKind, RequestKey, Status, Verdict
from bot.domain.routing import LevelRule
from bot.domain.shown.views import Notice, NoticeCode, Reason
from bot.ports.aws import AwsThrottled, AwsUnavailable, SignalLost, SignalRefused
from bot.ports.store import Change, StoreUnavailable, StoreUncertain
from bot.rendering import summary
from bot.rendering.i18n import LOCALES
from bot.service.clicks.attempt import INVOKE_BUDGET
from bot.service.clicks.click import Answer, Verb
from bot.service.rows import Rows
from tests.fakes.aws import key_of
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TENANT, FakePeople, person
from tests.fakes.store import HangingStore, MemoryStore
from tests.fakes.world import APPROVALS, World, new_world


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return new_world()


def code_of(answer: Answer) -> Reason | None:
    """Return what the notice says."""
    return answer.notice.code if answer.notice else None


async def test_a_request_that_nobody_knows(world: World) -> None:
    """A made-up request and a request key that is none are both told "not found", without a card."""
    for request in (str(key_of(99)), "nonsense", "'; drop table requests; --"):
        click = replace(world.pressed(key_of(1), HANAKO), request=request, activity_id=None)
        answer = await world.click_handler.click(click)
        assert (code_of(answer), answer.card) == (NoticeCode.NOT_FOUND, None)


async def test_a_foreign_account_is_never_adopted(world: World) -> None:
    """A card that names an account that is not configured makes no row and asks AWS nothing."""
    foreign = "999988887777/ap-northeast-1/oi-000000000001"
    answer = await world.click_handler.click(replace(world.pressed(key_of(1), HANAKO), request=foreign))
    assert code_of(answer) is NoticeCode.NOT_FOUND
    assert world.aws.calls == []


async def test_a_refresh_is_answered_from_the_row(world: World) -> None:
    """The card as it is, no notice, and no call to AWS."""
    key = world.aws.add()
    await world.shown(key)
    calls = len(world.aws.calls)
    answer = await world.press(key, person(77), Verb.REFRESH)
    assert (answer.card is not None, answer.notice) == (True, None)
    assert len(world.aws.calls) == calls


async def test_a_store_that_takes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, and the person is told to press again with their comment kept."""
    key = world.aws.add()
    await world.shown(key)

    async def refuse(*_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(Rows, "apply", refuse)
    answer = await world.press(key, HANAKO, comment="ok")
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.typed) == (NoticeCode.NOT_STORED, "ok")
    assert world.aws.signals == []


async def test_the_same_person_clicks_twice_at_once(world: World) -> None:
    """Teams resends a slow click: the repeat gets the first click's answer, and nothing is sent twice."""
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        first, again = await asyncio.gather(world.press(key, HANAKO), world.press(key, HANAKO))
    assert len(world.aws.signals) == 1
    assert [code_of(first), code_of(again)] == [None, NoticeCode.REPEATED]
    assert first.card is not None
    assert again.card is not None


async def test_one_approval_of_two_is_recorded(world: World) -> None:
    """The first of two approvals counts and its person is told that more are needed; they cannot vote twice."""
    key = world.aws.add(required=2)
    await world.shown(key)
    async with world.running():
        assert code_of(await world.press(key, HANAKO)) is NoticeCode.RECORDED
        assert code_of(await world.press(key, HANAKO, Verb.REJECT)) is NoticeCode.REPEATED
        assert len(world.aws.signals) == 1
        assert code_of(await world.press(key, ICHIRO)) is None
    assert world.aws.requests[key].status is Status.APPROVED


async def test_somebody_else_is_deciding_just_now(world: World) -> None:
    """Whoever loses the claim waits for the winner; if that takes too long, they are told, and nothing is sent."""
    key = world.aws.add()
    await world.shown(key)
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        second = asyncio.create_task(world.press(key, ICHIRO, Verb.REJECT, comment="no"))
        await world.clock.advance(3)
        assert code_of(await first) is NoticeCode.APPLYING
        answer = await second
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.typed) == (NoticeCode.BUSY, "no")
        assert (answer.notice.who, answer.notice.verdict) == (HANAKO.name, Verdict.APPROVE)
        assert f"{HANAKO.name} pressed Approve" in shown(answer.card)
        gate.set()
        await world.clock.advance(2)
    assert [signal.verdict for signal in world.aws.signals] == [Verdict.APPROVE]


async def test_a_loser_takes_over_when_the_winner_was_refused(world: World) -> None:
    """The winner's signal was refused while the loser waited: the loser's own decision goes through."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["signal"].append(SignalRefused("AccessDenied", denied=True))
    async with world.running():
        first, second = await asyncio.gather(world.press(key, HANAKO), world.press(key, ICHIRO))
    assert [code_of(first), code_of(second)] == [Outcome.AWS_DENIED, None]
    assert len(world.aws.effects) == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (Status.CANCELLED, NoticeCode.CANCELLED),
        (Status.TIMED_OUT, NoticeCode.ENDED),
        (Status.REVOKED, NoticeCode.REVOKED),
        (Status.FAILED, NoticeCode.ENDED),
    ],
)
async def test_a_request_that_ended_without_a_decision(world: World, status: Status, told: Reason) -> None:
    """The clicker is told that it ended; the card says how."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.end(key, status)
    await world.shown(key)
    assert code_of(await world.press(key, HANAKO)) is told
    assert world.aws.signals == []


async def test_decided_outside_by_nobody_knows_whom(world: World) -> None:
    """AWS does not tell who decided: the clicker is told that it was outside Teams."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.end(key, Status.APPROVED)
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, None)
    assert world.aws.signals == []


@pytest.mark.parametrize("problem", [AwsUnavailable("InternalServerError"), AwsThrottled("ThrottlingException")])
async def test_a_state_that_cannot_be_read_in_a_minute(world: World, problem: AwsUnavailable) -> None:
    """Without a state check nothing is ever sent; the thread tells the person."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["execution"].extend([problem] * 100)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(3)
        assert code_of(await click) is NoticeCode.APPLYING
        await world.clock.advance(90)
    assert world.aws.signals == []
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]
    assert len(world.chat.of("reply")) == 1


async def test_a_lost_signal_that_had_no_effect_and_a_console_that_was_faster(world: World) -> None:
    """The signal was lost and somebody else decided: the vote that AWS does not show did not count."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["signal"].append(SignalLost())
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(0.1)
        world.aws.decide(key, Verdict.REJECT, "faster")
        await world.clock.advance(3)
        answer = await click
        await world.clock.advance(3)
    assert answer.card is not None
    row = await world.row(key)
    assert [each.state for each in row.decisions] == [DecisionState.RELEASED]
    (card,) = world.chat.of("post")
    assert "faster" in card.card
    assert HANAKO.name not in card.card


async def test_people_who_may_not_decide(world: World) -> None:
    """A stranger, a guest and a person of another tenant: each refused with the reason, none reaches AWS."""
    stranger, guest = person(50), person(51, guest=True)
    foreign = person(52, tenant=TENANT.replace("1", "9"))
    world = new_world(people=[HANAKO, guest, foreign])
    key = world.aws.add(requester="arn:aws:sts::111122223333:assumed-role/Operator/hanako.sato@example.com")
    await world.shown(key)
    answers = [await world.press(key, who) for who in (stranger, guest, foreign)]
    assert [code_of(answer) for answer in answers] == [
        Refusal.NOT_APPROVER,
        Refusal.FOREIGN,
        Refusal.FOREIGN,
    ]
    assert all(answer.refused for answer in answers)
    assert world.aws.signals == []


async def test_a_channel_without_approvers() -> None:
    """Nobody is listed, so nobody may decide, and the card has no buttons."""
    world = new_world(replace(APPROVALS, approvers=()))
    key = world.aws.add()
    await world.shown(key)
    assert not world.chat.of("post")[0].buttons
    assert code_of(await world.press(key, HANAKO)) is Refusal.NOBODY


async def test_a_level_with_approvers_of_its_own() -> None:
    """At the second level only those listed for it may decide, in the role listed for it."""
    lead = LevelRule("Level2", (f"user:{ICHIRO.object_id}",), "arn:aws:iam::{account}:role/NodeAccessLead")
    world = new_world(replace(APPROVALS, levels=(lead,)))
    key = world.aws.add(levels=2)
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO)
        assert code_of(await world.press(key, HANAKO, step="Level2")) is Refusal.NOT_APPROVER
        await world.press(key, ICHIRO, step="Level2")
    assert [signal.role for signal in world.aws.signals] == [
        "arn:aws:iam::111122223333:role/NodeAccessApprover",
        "arn:aws:iam::111122223333:role/NodeAccessLead",
    ]


async def test_approvers_of_identity_center_decide_in_the_console(world: World) -> None:
    """No API lets the bot act for them: no buttons, a stale click is refused, the outcome is followed."""
    key = world.aws.add()
    level = replace(world.aws.requests[key].levels[0], approvers=(Approver(ApproverKind.GROUP, "a-group"),))
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(level,))
    await world.shown(key)
    assert not world.chat.of("post")[0].buttons
    assert code_of(await world.press(key, HANAKO)) is Refusal.CONSOLE_ONLY
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert "Approved" in world.chat.of("post")[0].card


async def test_people_to_be_mentioned_are_mentioned_while_the_card_waits() -> None:
    """Somebody's phone rings; nobody's does for a decided card or for a person whom no roster knows."""
    mention = (f"user:{ICHIRO.object_id}", "user:aaaaaaaa-0000-4000-8000-999999999999")
    world = new_world(replace(APPROVALS, mention=mention))
    key = world.aws.add()
    await world.shown(key)
    (card,) = world.chat.of("post")
    assert "<at>田中 一郎</at>" in card.card
    async with world.running():
        await world.press(key, HANAKO)
    assert "<at>" not in card.card


async def test_every_click_is_in_the_audit_trail(world: World) -> None:
    """Who tried what, from where, and what they were told; the refused ones too."""
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        await world.press(key, person(50))
        await world.press(key, HANAKO)
    entries = await world.store.audit(world.clock.now().replace(year=2000))
    assert [(each.person, each.verb, each.outcome) for each in entries if each.event == "clicked"] == [
        (person(50).object_id, "approve", "not_approver"),
        (HANAKO.object_id, "approve", "shown"),
    ]


@pytest.mark.parametrize("call", ["load", "apply"])
async def test_a_store_that_hangs_does_not_hold_up_the_answer(world: World, call: str) -> None:
    """Before Teams gives up its person is told that nothing is certain; what was begun goes on, and counts once."""
    store = HangingStore()
    world = new_world(store=store)
    key = world.aws.add()
    await world.shown(key)
    store.hangs = {call}
    click = asyncio.create_task(world.press(key, HANAKO, comment="どうぞ"))
    await world.clock.advance(INVOKE_BUDGET)
    assert not click.done()
    await world.clock.advance(2.9 - INVOKE_BUDGET)
    assert click.done()
    assert (code_of(await click), world.aws.signals) == (NoticeCode.STORE_SLOW, [])
    store.hangs.clear()
    store.go.set()
    async with world.running():
        await world.clock.advance(5)
    assert len(world.aws.effects) == 1
    assert [sent.kind for sent in world.chat.sent.values() if "SendAutomationSignal" in sent.card] == ["reply"]


async def test_a_click_that_the_store_kept_for_too_long_is_not_sent(world: World) -> None:
    """The minute counts from the press: what comes through later is released, and its person is told."""
    store = HangingStore()
    world = new_world(store=store)
    key = world.aws.add()
    await world.shown(key)
    store.hangs = {"load"}
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.clock.advance(61)
    assert code_of(await click) is NoticeCode.STORE_SLOW
    store.hangs.clear()
    store.go.set()
    async with world.running():
        await world.clock.advance(5)
    assert world.aws.signals == []
    (decision,) = (await world.row(key)).decisions
    assert (decision.state, decision.outcome) == (DecisionState.RELEASED, Outcome.EXPIRED)
    assert any(HANAKO.name in note.card for note in world.chat.of("reply"))


class ForgetfulStore(MemoryStore):
    """A store whose next answer to a claim is lost after it was written."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        before = await self.load(key)
        record = await super().apply(key, change, now=now)
        if before and len(record.decisions) > len(before.decisions):
            raise StoreUncertain("the reply was lost")
        return record


async def test_nobody_is_told_that_nothing_was_sent_while_that_is_not_certain() -> None:
    """The claim's write was answered by nobody, and it is stored: its person reads so, and it is carried on once."""
    world = new_world(store=ForgetfulStore())
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        answer = await world.press(key, HANAKO)
        assert (code_of(answer), world.aws.signals) == (NoticeCode.STORE_SLOW, [])
        await world.clock.advance(40)
    assert len(world.aws.effects) == 1


# --- in whose words


@pytest.mark.parametrize(("locale", "words"), [("ja", "承認者ではありません"), ("en", "not among the approvers")])
async def test_a_refusal_is_told_in_the_clickers_language(world: World, locale: str, words: str) -> None:
    """The notice is for the person alone; the card beneath stays in the channel's words, as the others see it."""
    key = world.aws.add()
    await world.shown(key)
    click = replace(world.pressed(key, person(50)), locale=locale)
    answer = await world.click_handler.click(click)
    assert answer.refused
    assert words in answer.text
    assert words in str(answer.card)
    assert "'title': 'Approve'" in str(answer.card)


async def test_a_client_that_states_no_language_is_answered_in_the_channels() -> None:
    """Whoever's client says nothing reads what the channel reads."""
    world = new_world(replace(APPROVALS, locale="ja"))
    key = world.aws.add()
    await world.shown(key)
    answer = await world.press(key, person(50))
    assert "承認者ではありません" in answer.text


@pytest.mark.parametrize("locale", LOCALES)
def test_every_refusal_says_why_and_what_to_do(locale: str) -> None:
    """Each has words of its own, says that nothing was sent, and that is not all it says."""
    told = {refusal: summary(Notice(refusal), locale=locale) for refusal in Refusal}
    assert len(set(told.values())) == len(told)
    nothing = {"en": ("Nothing was sent", "nothing was sent", "sent nothing"), "ja": ("送って", "送信")}[locale]
    assert {refusal: text for refusal, text in told.items() if not any(each in text for each in nothing)} == {}
    assert all(len(text) > 25 for text in told.values())


async def test_who_was_promised_to_be_told_is_told_though_a_read_of_the_store_failed() -> None:
    """One read fails while a click waits, so "applying" is answered; then AWS refuses: the thread says so."""

    class Flaky(MemoryStore):
        fails = 0

        async def load(self, key: RequestKey) -> Record | None:
            if self.fails:
                self.fails -= 1
                raise StoreUnavailable("SQLITE_BUSY")
            return await super().load(key)

    store = Flaky()
    world = new_world(store=store)
    key = world.aws.add()
    await world.shown(key)
    gate = world.aws.gates["signal"] = asyncio.Event()
    world.aws.before["signal"].append(SignalRefused("InvalidAutomationSignalException", denied=False))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment="ok"))
        await world.aws.arrived["signal"].wait()
        store.fails = 1  # the next poll of whoever waits
        await world.clock.advance(1)
        answer = await click
        await world.clock.advance(1)
        gate.set()
        await world.clock.advance(120)
    assert answer.notice is not None
    (decision,) = (await world.row(key)).decisions
    assert (answer.notice.code, decision.state) == (NoticeCode.APPLYING, DecisionState.REFUSED)
    assert [HANAKO.name in note.card for note in world.chat.of("reply")] == [True]


async def test_a_refusal_does_not_bring_the_buttons_back(world: World) -> None:
    """The roster takes its time; meanwhile somebody else decides and the card is updated: the refusal shows that card."""
    gate, stranger = asyncio.Event(), person(50)

    class Slow(FakePeople):
        async def member(self, conversation: str, object_id: str) -> Person | None:
            if object_id == stranger.object_id:
                await gate.wait()
            return await super().member(conversation, object_id)

    world.people = Slow(world.people.people)
    world.build()
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        click = asyncio.create_task(world.press(key, stranger))
        await world.clock.advance(0.1)
        await world.press(key, ICHIRO)
        await world.clock.advance(0.1)
        (card,) = world.chat.of("post")
        assert not card.buttons
        gate.set()
        answer = await click
    assert answer.notice is not None
    assert answer.notice.code is Refusal.NOT_APPROVER
    assert "'verb': 'approve'" not in repr(answer.card)


@pytest.mark.parametrize("seconds", [20, 40])
async def test_who_was_promised_to_be_told_is_told_after_an_outage(seconds: float) -> None:
    """AWS refused, and the store kept it; then the store was away, for as long as a decision may be on its way."""

    class Away(MemoryStore):
        went = False

        async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
            record = await super().apply(key, change, now=now)
            if any(each.state is DecisionState.REFUSED for each in record.decisions) and not self.went:
                self.went = self.broken = True
            return record

    store = Away()
    world = new_world(store=store)
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["signal"].append(SignalRefused("InvalidAutomationSignalException", denied=False))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment="ok"))
        await world.clock.advance(5)
        answer = await click
        await world.clock.advance(seconds)
        store.broken = False
        await world.clock.advance(120)
    assert answer.notice is not None
    assert answer.notice.code is NoticeCode.APPLYING
    assert [HANAKO.name in note.card for note in world.chat.of("reply")] == [True]


async def test_a_refusal_is_told_though_the_store_fails() -> None:
    """The row was read before; who may not decide is not asked to press again."""

    class Once(MemoryStore):
        reads = 99

        async def load(self, key: RequestKey) -> Record | None:
            if not self.reads:
                raise StoreUnavailable("SQLITE_BUSY")
            self.reads -= 1
            return await super().load(key)

    store = Once()
    world = new_world(store=store)
    key = world.aws.add()
    await world.shown(key)
    store.reads = 1
    answer = await world.press(key, person(50))
    assert answer.notice is not None
    assert answer.notice.code is Refusal.NOT_APPROVER
