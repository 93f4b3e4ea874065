"""Answers to clicks other than a plain decision: unknown requests, repeated clicks, refusals and failures."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Approver, ApproverKind, RequestKey, Status, Verdict
from bot.domain.routing import LevelRule
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import Notice, NoticeCode, Reason
from bot.ports.aws import AwsThrottled, AwsUnavailable, SignalLost, SignalRefused
from bot.ports.store import Change, StoreUnavailable, StoreUncertain
from bot.rendering import summary
from bot.rendering.i18n import LOCALES
from bot.service.clicks.attempt import INVOKE_BUDGET
from bot.service.clicks.click import Click, Verb
from bot.service.rows import Rows
from tests.fakes.aws import key_of
from tests.fakes.card_text import shown
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, TENANT, FakePeople, person
from tests.fakes.store import PORT, HangingStore, MemoryStore
from tests.fakes.world import APPROVALS, World, code_of, current_configuration, new_world


async def test_click_on_an_unknown_request_is_answered_not_found_without_a_card(world: World) -> None:
    """The click has the key of a request that does not exist, or an invalid key."""
    for request in (str(key_of(99)), "nonsense", "'; drop table requests; --"):
        click = replace(world.pressed(key_of(1), HANAKO), request=request, activity_id=None)
        answer = await world.click_handler.click(click)
        assert (code_of(answer), answer.card) == (NoticeCode.NOT_FOUND, None)


async def test_click_on_a_request_of_an_unconfigured_account_creates_no_row(world: World) -> None:
    """The click is answered "not found", and AWS is not called."""
    foreign = "999988887777/ap-northeast-1/oi-000000000001"
    answer = await world.click_handler.click(replace(world.pressed(key_of(1), HANAKO), request=foreign))
    assert code_of(answer) is NoticeCode.NOT_FOUND
    assert await world.store.load(RequestKey.parse(foreign)) is None
    assert world.aws.calls == []


async def test_refresh_is_answered_with_a_card_and_without_a_call_to_aws(world: World) -> None:
    """For a person who may not decide. The answer has no notice."""
    key = await world.posted()
    calls = len(world.aws.calls)
    answer = await world.press(key, person(77), Verb.REFRESH)
    assert (answer.card is not None, answer.notice) == (True, None)
    assert len(world.aws.calls) == calls


async def test_click_sends_no_signal_while_the_store_refuses_writes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says that nothing was stored, and keeps the comment."""
    key = await world.posted()

    async def refuse(*_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(Rows, "apply", refuse)
    answer = await world.press(key, HANAKO, comment="ok")
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.typed) == (NoticeCode.NOT_STORED, "ok")
    assert world.aws.signals == []


async def test_repeated_click_sends_no_second_signal(world: World) -> None:
    """Two identical clicks arrive at the same time. The second answer says that the click was repeated, and its comment."""
    key = await world.posted()
    async with world.running():
        clicks = [world.press(key, HANAKO, comment=comment) for comment in ("deploy window", "again")]
        first, again = await asyncio.gather(*clicks)
    assert len(world.aws.signals) == 1
    assert [code_of(first), code_of(again)] == [None, NoticeCode.REPEATED]
    assert again.notice is not None
    assert again.notice.comment == "deploy window"
    assert first.card is not None
    assert again.card is not None


async def test_first_of_two_required_approvals_is_recorded_and_the_second_approves_the_request(world: World) -> None:
    """The first person reads that the vote is recorded, and cannot vote again.

    The vote of a second person approves the request.
    """
    key = await world.posted(required=2)
    async with world.running():
        assert code_of(await world.press(key, HANAKO)) is NoticeCode.RECORDED
        assert code_of(await world.press(key, HANAKO, Verb.REJECT)) is NoticeCode.REPEATED
        assert len(world.aws.signals) == 1
        assert code_of(await world.press(key, ICHIRO)) is None
    assert world.aws.requests[key].status is Status.APPROVED


async def test_answer_to_a_click_during_another_persons_decision_names_that_person(world: World) -> None:
    """The other person's decision takes too long, so the answer is "busy" with that person's name.

    It keeps the comment. Only the other person's decision is sent.
    """
    key = await world.posted()
    gate = world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        second = asyncio.create_task(world.press(key, ICHIRO, comment="no"))
        await world.clock.advance(3)
        assert code_of(await first) is NoticeCode.APPLYING
        answer = await second
        assert answer.notice is not None
        assert (answer.notice.code, answer.notice.typed) == (NoticeCode.BUSY, "no")
        assert (answer.notice.who, answer.notice.verdict) == (HANAKO.name, Verdict.APPROVE)
        assert f"{HANAKO.name} clicked Approve" in shown(answer.card)
        gate.set()
        await world.clock.advance(2)
    assert [signal.session_name for signal in world.aws.signals] == [HANAKO.session_name]


async def test_decision_of_a_waiting_click_is_sent_after_aws_refused_another_persons_signal(world: World) -> None:
    """Two people click at the same time. AWS refuses the first signal, and the second decision takes effect."""
    key = await world.posted()
    world.aws.before["signal"].append(SignalRefused("AccessDenied", denied=True))
    async with world.running():
        first, second = await asyncio.gather(world.press(key, HANAKO), world.press(key, ICHIRO))
    assert [code_of(first), code_of(second)] == [Outcome.AWS_DENIED, None]
    assert [effect.session_name for effect in world.aws.effects] == [ICHIRO.session_name]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.CANCELLED, NoticeCode.CANCELLED),
        (Status.TIMED_OUT, NoticeCode.ENDED),
        (Status.REVOKED, NoticeCode.REVOKED),
        (Status.FAILED, NoticeCode.ENDED),
    ],
)
async def test_answer_to_a_click_on_an_ended_request_says_that_the_request_ended(
    world: World, status: Status, expected: Reason
) -> None:
    """The notice says that the request was cancelled or revoked, or that it ended. No signal is sent."""
    key = await world.posted()
    world.aws.end(key, status)
    await world.shown(key)
    assert code_of(await world.press(key, HANAKO)) is expected
    assert world.aws.signals == []


async def test_answer_to_a_late_click_names_no_person_if_aws_does_not_show_who_approved(world: World) -> None:
    """The notice says that the request was decided. No signal is sent."""
    key = await world.posted()
    world.aws.end(key, Status.APPROVED)
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, None)
    assert world.aws.signals == []


@pytest.mark.parametrize("problem", [AwsUnavailable("InternalServerError"), AwsThrottled("ThrottlingException")])
async def test_no_signal_is_sent_while_the_state_in_aws_cannot_be_read(world: World, problem: AwsUnavailable) -> None:
    """Every read fails or is throttled for 90 seconds. The decision is released, and a note is posted in the thread."""
    key = await world.posted()
    world.aws.before["execution"].extend([problem] * 100)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(3)
        assert code_of(await click) is NoticeCode.APPLYING
        await world.clock.advance(90)
    assert world.aws.signals == []
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]
    assert len(world.chat.of("reply")) == 1


async def test_decision_with_a_lost_signal_is_released_after_a_console_decision(world: World) -> None:
    """The signal was lost before it had an effect, and a person decided in the console.

    AWS never shows the bot's vote, so the decision is released, and the card shows only the console's decision.
    """
    key = await world.posted()
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


async def test_click_on_a_request_without_a_card_is_refused_in_a_channel_that_does_not_decide_it() -> None:
    """The row has no card yet. Only the channel to which the request is routed may have one."""
    leads = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2", fallback=False)
    world = new_world(configuration=current_configuration(APPROVALS, leads))
    key = world.aws.add()
    row = await world.shown(key)
    await world.rows.apply(key, lambda each: replace(each, surfaces=()))
    assert row.route is not None
    assert row.route.channel == APPROVALS.name
    answer = await world.click_handler.click(replace(world.pressed(key, HANAKO), conversation=leads.conversation))
    assert code_of(answer) is Refusal.NOT_HERE
    assert world.aws.signals == []


async def test_stranger_guest_and_person_of_another_tenant_are_refused(world: World) -> None:
    """Each person is refused with the reason, and no signal is sent."""
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


@pytest.mark.parametrize(("by_click", "by_roster"), [(True, False), (False, True), (True, True)])
async def test_person_who_is_marked_as_a_guest_in_the_click_or_in_the_roster_is_refused(
    by_click: bool, by_roster: bool
) -> None:
    """Teams does not always return the kind of an account in both, so one of them is enough."""
    world = new_world(people=(replace(HANAKO, guest=by_roster), ICHIRO, TARO_PERSON))
    key = await world.posted()
    assert code_of(await world.press(key, replace(HANAKO, guest=by_click))) is Refusal.FOREIGN
    assert world.aws.count("signal") == 0


async def test_channel_with_an_empty_approvers_list_refuses_every_click() -> None:
    """The card has no buttons. The clicks of two members of the channel and of a stranger are refused."""
    world = new_world(replace(APPROVALS, approvers=()))
    key = await world.posted()
    assert not world.chat.of("post")[0].buttons
    assert [code_of(await world.press(key, who)) for who in (HANAKO, ICHIRO, person(50))] == [Refusal.NOBODY] * 3


async def test_second_level_with_its_own_approvers_refuses_an_approver_of_the_first_level() -> None:
    """The approver of the second level may decide it, and the signal is sent in the role of this level."""
    lead = LevelRule("Level2", (f"user:{ICHIRO.object_id}",), "arn:aws:iam::{account}:role/NodeAccessLead")
    world = new_world(replace(APPROVALS, levels=(lead,)))
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, HANAKO)
        assert code_of(await world.press(key, HANAKO, step="Level2")) is Refusal.NOT_APPROVER
        await world.press(key, ICHIRO, step="Level2")
    assert [signal.role for signal in world.aws.signals] == [
        "arn:aws:iam::111122223333:role/NodeAccessApprover",
        "arn:aws:iam::111122223333:role/NodeAccessLead",
    ]


async def test_card_of_a_level_with_identity_center_approvers_has_no_buttons(world: World) -> None:
    """No API lets the bot act for these approvers, so a forged click is refused.

    The card shows the approval after a person approved in the console.
    """
    key = world.aws.add()
    level = replace(world.aws.requests[key].levels[0], approvers=(Approver(ApproverKind.GROUP, "a-group"),))
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(level,))
    await world.shown(key)
    assert not world.chat.of("post")[0].buttons
    assert code_of(await world.press(key, HANAKO)) is Refusal.CONSOLE_ONLY
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert "Approved" in world.chat.of("post")[0].card


async def test_card_mentions_the_person_in_the_mention_setting_only_while_the_request_waits() -> None:
    """The setting has a member of the channel and an unknown object id. The decided request's card has no mentions."""
    mention = (f"user:{ICHIRO.object_id}", "user:aaaaaaaa-0000-4000-8000-999999999999")
    world = new_world(replace(APPROVALS, mention=mention))
    key = await world.posted()
    (card,) = world.chat.of("post")
    assert "<at>田中 一郎</at>" in card.card
    async with world.running():
        await world.press(key, HANAKO)
    assert "<at>" not in card.card


async def test_refused_and_accepted_clicks_are_both_in_the_audit_trail(world: World) -> None:
    """Each entry has the person, the action and the outcome of the click."""
    key = await world.posted()
    async with world.running():
        await world.press(key, person(50))
        await world.press(key, HANAKO)
    entries = await world.store.audit(world.clock.now().replace(year=2000))
    assert [(each.person, each.verb, each.outcome) for each in entries if each.event == "clicked"] == [
        (person(50).object_id, "approve", "not_approver"),
        (HANAKO.object_id, "approve", "shown"),
    ]


@pytest.mark.parametrize("call", ["load", "apply"])
async def test_approval_is_answered_within_three_seconds_while_the_store_hangs(world: World, call: str) -> None:
    """The person reads that the click may not be recorded.

    Once the store continues, the decision takes effect once.
    """
    store = HangingStore()
    world = new_world(store=store)
    key = await world.posted()
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


Clicked = Callable[[World, RequestKey], Click]
CLICKS: Mapping[str, Clicked] = {
    "approve": lambda world, key: world.pressed(key, HANAKO),
    "withdraw": lambda world, key: world.pressed(key, HANAKO, Verb.WITHDRAW),
    "refresh": lambda world, key: world.pressed(key, HANAKO, Verb.REFRESH),
    "stranger": lambda world, key: world.pressed(key, person(50)),
    "cancel": lambda world, key: world.withdrawn(key),
    "orphan": lambda world, key: replace(
        world.pressed(key, HANAKO), conversation=f"{CHANNEL};messageid=9999", activity_id="9999"
    ),
    "unknown": lambda world, key: world.pressed(replace(key, ops_item_id="oi-ffffffffffff"), HANAKO),
}


@pytest.mark.parametrize("click", CLICKS)
async def test_every_kind_of_click_is_answered_within_three_seconds_while_a_store_call_hangs(click: str) -> None:
    """Each method of the store hangs in turn. At most one decision takes effect."""
    for call in sorted(PORT):
        store = HangingStore()
        world = new_world(store=store)
        key = await world.posted()
        store.hangs = {call}
        answering = asyncio.create_task(world.click_handler.click(CLICKS[click](world, key)))
        await world.clock.advance(2.9)
        assert answering.done(), call
        store.hangs.clear()
        store.go.set()
        async with world.running():
            await world.clock.advance(5)
        assert len(world.aws.effects) <= 1


async def test_time_before_the_click_handler_counts_towards_the_three_seconds_for_an_answer() -> None:
    """The click arrived two seconds earlier, and the store hangs. The click handler answers within 0.9 seconds."""
    store = HangingStore()
    world = new_world(store=store)
    click = world.pressed(await world.posted(), HANAKO)
    store.hangs = {"load"}
    arrived = replace(click, received_at=world.clock.now() - timedelta(seconds=2))
    answering = asyncio.create_task(world.click_handler.click(arrived))
    await world.clock.advance(0.9)
    assert answering.done()
    assert code_of(await answering) is NoticeCode.STORE_SLOW
    store.hangs.clear()
    store.go.set()
    await world.click_handler.drain()


async def test_decision_that_the_store_delayed_over_a_minute_is_released_without_a_signal(world: World) -> None:
    """The store hangs for 61 seconds after the click. A note in the thread names the person who clicked."""
    store = HangingStore()
    world = new_world(store=store)
    key = await world.posted()
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
    """A store that stores each new decision and then loses the reply to that write."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        before = await self.load(key)
        record = await super().apply(key, change, now=now)
        if before and len(record.decisions) > len(before.decisions):
            raise StoreUncertain("the reply was lost")
        return record


async def test_decision_takes_effect_although_the_reply_to_the_write_of_its_claim_was_lost() -> None:
    """The claim is stored. The person reads that the click may not be recorded, and one signal takes effect."""
    world = new_world(store=ForgetfulStore())
    key = await world.posted()
    async with world.running():
        answer = await world.press(key, HANAKO)
        assert code_of(answer) is NoticeCode.STORE_SLOW
        await world.clock.advance(1)
    assert len(world.aws.effects) == 1


# --- languages


@pytest.mark.parametrize(
    ("locale", "words", "button"),
    [("ja", "承認者ではありません", "承認"), ("en", "not an approver for this request", "Approve")],
)
async def test_refusal_is_in_the_language_of_the_persons_client(
    world: World, locale: str, words: str, button: str
) -> None:
    """So is the card below it."""
    key = await world.posted()
    click = replace(world.pressed(key, person(50)), locale=locale)
    answer = await world.click_handler.click(click)
    assert answer.refused
    assert words in answer.text
    assert words in str(answer.card)
    assert f"'title': '{button}'" in str(answer.card)


async def test_refusal_is_in_the_language_of_the_channel_if_the_client_sends_no_locale() -> None:
    """The channel's language is Japanese."""
    world = new_world(replace(APPROVALS, locale="ja"))
    key = await world.posted()
    answer = await world.press(key, person(50))
    assert "承認者ではありません" in answer.text


@pytest.mark.parametrize("locale", LOCALES)
def test_every_refusal_has_its_own_text_and_says_that_nothing_was_sent(locale: str) -> None:
    """Each text is longer than 25 characters, so it cannot be a mere "refused"."""
    texts = {refusal: summary(Notice(refusal), locale=locale) for refusal in Refusal}
    assert len(set(texts.values())) == len(texts)
    nothing = {"en": ("Nothing was sent", "nothing was sent", "sent nothing"), "ja": ("送って", "送信")}[locale]
    assert {refusal: text for refusal, text in texts.items() if not any(each in text for each in nothing)} == {}
    assert all(len(text) > 25 for text in texts.values())


async def test_refusal_by_aws_is_posted_in_the_thread_if_a_store_read_failed_during_the_click() -> None:
    """The read fails while the click waits for its outcome, so the answer is "applying…".

    AWS refuses the signal later, and a note in the thread names the person who clicked.
    """

    class Flaky(MemoryStore):
        fails = 0

        async def load(self, key: RequestKey) -> Record | None:
            if self.fails:
                self.fails -= 1
                raise StoreUnavailable("SQLITE_BUSY")
            return await super().load(key)

    store = Flaky()
    world = new_world(store=store)
    key = await world.posted()
    gate = world.aws.gates["signal"] = asyncio.Event()
    world.aws.before["signal"].append(SignalRefused("InvalidAutomationSignalException", denied=False))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment="ok"))
        await world.aws.arrived["signal"].wait()
        store.fails = 1  # the next poll of the click that waits
        await world.clock.advance(1)
        answer = await click
        await world.clock.advance(1)
        gate.set()
        await world.clock.advance(120)
    assert answer.notice is not None
    (decision,) = (await world.row(key)).decisions
    assert (answer.notice.code, decision.state) == (NoticeCode.APPLYING, DecisionState.REFUSED)
    assert [HANAKO.name in note.card for note in world.chat.of("reply")] == [True]


async def test_card_of_a_refused_click_has_no_approve_button_after_a_decision_during_the_check(world: World) -> None:
    """The roster is slow, and another person decides before it answers. Then the click is refused."""
    gate, stranger = asyncio.Event(), person(50)

    class Slow(FakePeople):
        async def member(self, conversation: str, object_id: str) -> Person | None:
            if object_id == stranger.object_id:
                await gate.wait()
            return await super().member(conversation, object_id)

    world.people = Slow(world.people.people)
    world.build()
    key = await world.posted()
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
async def test_refusal_by_aws_is_posted_in_the_thread_after_a_store_outage(seconds: float) -> None:
    """The store fails right after AWS's refusal was stored. The answer is "applying…".

    Once the store works again, a note in the thread names the person who clicked.
    """

    class Away(MemoryStore):
        went = False

        async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
            record = await super().apply(key, change, now=now)
            if any(each.state is DecisionState.REFUSED for each in record.decisions) and not self.went:
                self.went = self.broken = True
            return record

    store = Away()
    world = new_world(store=store)
    key = await world.posted()
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


async def test_refused_click_is_answered_with_the_reason_if_the_store_fails_after_the_row_was_read() -> None:
    """The person reads that they are not an approver."""

    class Once(MemoryStore):
        reads = 99

        async def load(self, key: RequestKey) -> Record | None:
            if not self.reads:
                raise StoreUnavailable("SQLITE_BUSY")
            self.reads -= 1
            return await super().load(key)

    store = Once()
    world = new_world(store=store)
    key = await world.posted()
    store.reads = 1
    answer = await world.press(key, person(50))
    assert answer.notice is not None
    assert answer.notice.code is Refusal.NOT_APPROVER
