"""Cards, answers and messages show the true state and decider, however late AWS, Teams or the store answer."""

import asyncio
from ast import literal_eval
from dataclasses import replace
from datetime import datetime

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.record import ROW_LEASE, Lease, Record
from bot.domain.request import AccessRequest, Approver, ApproverKind, RequestKey, Status, Verdict
from bot.domain.routing import Match
from bot.domain.rules.permission import Refusal
from bot.domain.shown.direct import DIRECTS, IDENTIFYING_SPAN
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import AwsUnavailable, RequestNotReadable, Signal, SignalLost, SignalRefused
from bot.ports.store import Change, StoreUnavailable
from bot.ports.teams import Message, Posted
from bot.service.clicks.click import Verb
from bot.service.rows import LeaseHeld, Rows
from tests.fakes.aws import FakeAws
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, FakeChat, person
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.world import APPROVALS, World, code_of, new_world


async def test_twenty_clicks_send_one_signal_although_aws_shows_its_effect_late() -> None:
    """AWS shows the effect 1.5 s after the signal. No other click is sent meanwhile, and none is answered "recorded"."""
    people = [person(number) for number in range(20)]
    world = new_world(people=[*people, TARO_PERSON])
    world.aws.lag = 1.5
    key = await world.posted()
    async with world.running():
        clicks = [
            asyncio.create_task(world.press(key, who, Verb.APPROVE if index % 2 else Verb.REJECT))
            for index, who in enumerate(people)
        ]
        await world.clock.advance(3)
        answers = await asyncio.gather(*clicks)
    assert len(world.aws.signals) == 1
    assert NoticeCode.RECORDED not in [code_of(answer) for answer in answers]
    assert world.aws.requests[key].status.ended


async def test_change_of_level_that_aws_shows_late_is_found_without_an_event_or_sweep(world: World) -> None:
    """After an accepted vote the request is reconciled until AWS shows the next level."""
    world.aws.lag = 20
    key = await world.posted(levels=2)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(3)
        assert code_of(await click) is NoticeCode.APPLYING
        await world.clock.advance(50)
    row = await world.row(key)
    assert row.request is not None
    assert row.request.waiting is not None
    assert row.request.waiting.step == "Level2"


async def test_vote_for_a_level_that_is_complete_in_aws_sends_no_signal(world: World) -> None:
    """The row shows the first level while AWS is at the second. The state check finds this."""
    key = await world.posted(levels=2)
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert code_of(answer) is Outcome.STEP_PASSED
    assert world.aws.signals == []


async def test_card_has_the_comments_of_both_decisions_of_one_person(world: World) -> None:
    """Level 1 was approved in Teams, level 2 by the same person in the console. A late click gets the second comment."""
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, HANAKO, comment="first")
        session = f"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Lead_0/{HANAKO.upn}"
        world.aws.vote(key, session, Verdict.APPROVE, "second")
        await world.rows.requeue(key)
        await world.clock.advance(1)
        late = await world.press(key, ICHIRO, step="Level2")
    assert late.notice is not None
    assert (late.notice.who, late.notice.comment) == (HANAKO.name, "second")
    text = world.chat.of("post")[0].card
    assert "first" in text
    assert "second" in text


async def test_rejection_whose_votes_are_unreadable_is_attributed_to_no_person(world: World) -> None:
    """If AWS does not say who rejected level 2, the bot does not name the approver of level 1 instead."""
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, HANAKO, comment="fine by me")
        world.aws.decide(key, Verdict.REJECT, "no")
        levels = world.aws.requests[key].levels
        world.aws.requests[key] = replace(world.aws.requests[key], levels=(levels[0], replace(levels[1], votes=None)))
        await world.rows.requeue(key)
        await world.clock.advance(1)
        late = await world.press(key, ICHIRO, step="Level2")
    assert late.notice is not None
    assert (late.notice.verdict, late.notice.who) == (Verdict.REJECT, None)
    ending = world.chat.of("reply")[-1].card
    assert HANAKO.name not in ending
    assert "fine by me" not in ending


async def test_vote_is_not_reported_as_outside_teams_while_a_signal_waits_for_its_reply(world: World) -> None:
    """AWS shows an approval while the bot still waits for the reply to its signal: the thread reports nothing.

    AWS then refuses the signal, so the approval came from outside Teams, and the thread reports it.
    """
    key = await world.posted()
    gate = world.aws.gates["signal"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["signal"].wait()
        world.aws.vote(key, f"arn:aws:sts::111122223333:assumed-role/R/{HANAKO.upn}", Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert world.chat.of("reply") == []
        world.aws.before["signal"].append(SignalRefused("InvalidAutomationSignalException", denied=False))
        gate.set()
        await world.clock.advance(3)
        await click
    (reply,) = world.chat.of("reply")
    assert f"{HANAKO.upn} approved access to web-prod-01 outside Teams" in shown(reply.versions[-1].card)


async def test_card_gets_its_buttons_back_after_a_refused_signal(world: World) -> None:
    """The click was answered "applying", then AWS refused: the card gets its buttons back."""
    key = await world.posted()
    gate = world.aws.gates["signal"] = asyncio.Event()
    world.aws.before["signal"].append(SignalRefused("InvalidAutomationSignalException", denied=False))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(3)
        assert code_of(await click) is NoticeCode.APPLYING
        gate.set()
        await world.clock.advance(3)
    (card,) = world.chat.of("post")
    assert len(card.versions) > 1
    assert card.buttons


async def test_click_is_answered_applying_if_the_store_fails_after_the_claim(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails after it stored the claim: the answer is "applying…", and one signal is sent."""
    key = await world.posted()

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("disk gone")

    monkeypatch.setattr(Rows, "wait", fail)
    answer = await world.press(key, HANAKO)
    assert code_of(answer) is NoticeCode.APPLYING
    await world.click_handler.drain()
    assert len(world.aws.signals) == 1


async def test_repeated_click_is_answered_applying_if_the_store_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teams repeats a slow click while the first click's signal is being sent.

    If the store then fails, the repeated click is answered "applying…", and only one signal is sent.
    """
    key = await world.posted()
    gate = world.aws.gates["signal"] = asyncio.Event()
    first = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["signal"].wait()

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("disk gone")

    with monkeypatch.context() as patched:
        patched.setattr(Rows, "wait", fail)
        again = await world.press(key, HANAKO)
    assert code_of(again) is NoticeCode.APPLYING
    gate.set()
    async with world.running():
        await world.clock.advance(3)
        await first
    assert len(world.aws.signals) == 1


async def test_expired_lease_cannot_be_renewed_after_another_process_held_it(world: World) -> None:
    """A process whose lease expired gets LeaseHeld if another process has reconciled the row since."""
    key = world.aws.add()
    await world.rows.lease(key, "slow")
    await world.clock.advance(31)
    await world.shown(key)
    with pytest.raises(LeaseHeld):
        await world.rows.renew(key, "slow")


@pytest.mark.parametrize("write", ["post", "update"])
async def test_reconcile_that_lost_its_lease_does_not_post_or_update_the_card(world: World, write: str) -> None:
    """Another process takes the lease while the reconcile reads AWS. The reconcile then raises LeaseHeld."""
    key = world.aws.add()
    if write == "update":
        await world.shown(key)
        world.aws.decide(key, Verdict.APPROVE)
    written = sum(len(sent.versions) for sent in world.chat.sent.values())
    gate = world.aws.gates["observe"] = asyncio.Event()
    await world.rows.requeue(key)
    world.aws.arrived["observe"].clear()
    reconcile = asyncio.create_task(world.reconciler.reconcile(key))
    await world.aws.arrived["observe"].wait()
    stolen = Lease("another process", world.clock.now() + ROW_LEASE)  # this worker was paused and does not know
    await world.store.apply(key, lambda row: replace(row, lease=stolen), now=world.clock.now())
    gate.set()
    with pytest.raises(LeaseHeld):
        await reconcile
    assert sum(len(sent.versions) for sent in world.chat.sent.values()) == written


class SlowChat(FakeChat):
    """A Teams whose next update takes effect only when the test opens the gate."""

    gate: asyncio.Event | None = None

    async def update(self, posted: Posted, message: Message) -> None:
        """Replace a message once the gate is open."""
        gate, self.gate = self.gate, None
        if gate:
            await gate.wait()
        await super().update(posted, message)


async def test_card_that_a_late_update_overwrote_is_restored_within_a_second(world: World) -> None:
    """An update that takes longer than the lease overwrites the card that another process has updated meanwhile."""
    chat = SlowChat()
    world = replace(world, chat=chat)
    other = replace(world, owner="replica-2")
    key = await world.posted(levels=2)
    world.aws.decide(key, Verdict.APPROVE)
    gate = chat.gate = asyncio.Event()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(31)
        world.aws.decide(key, Verdict.REJECT)
        await other.shown(key)
        assert not chat.of("post")[0].buttons
        gate.set()
        await world.clock.advance(1)
    assert not chat.of("post")[0].buttons


async def test_signal_whose_process_crashed_while_sending_is_not_sent_again(world: World) -> None:
    """After a restart, no signal is sent, and the decision is released within two minutes."""
    key = await world.posted()
    await world.crash_in(world.pressed(key, HANAKO), "signal")
    world.build()
    async with world.running():
        await world.clock.advance(120)
    assert len(world.aws.signals) == 1
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]


async def test_click_in_the_fallback_channel_is_refused_while_the_routing_tags_are_unreadable() -> None:
    """Once the tags are read, another channel may get the request."""
    match = Match(tags=(("Environment", frozenset({"production"})),))
    leads = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2", match=match, fallback=False)
    world = new_world(leads, APPROVALS)
    key = world.aws.add()
    node = replace(world.aws.requests[key].node, tags=None)
    world.aws.requests[key] = replace(world.aws.requests[key], node=node, complete=False)
    await world.shown(key)
    assert code_of(await world.press(key, HANAKO)) is Refusal.NOT_ROUTED
    assert world.aws.signals == []


async def test_request_is_still_retried_after_thousands_of_failed_reads(world: World) -> None:
    """The next reconcile is scheduled, and the last known state is kept."""
    key = await world.posted()
    await world.rows.apply(key, lambda row: replace(row, reconcile_failures=5000))
    world.aws.before["observe"].append(RequestNotReadable("OpsItemNotFoundException"))
    row = await world.shown(key)
    assert row.reconcile_failures == 5001
    assert row.requeue_at is not None
    assert row.request is not None
    assert row.request.status is Status.PENDING


async def test_card_gets_buttons_and_the_direct_message_is_sent_after_a_roster_failure(world: World) -> None:
    """The requester could not be identified during the failure. Both come within five minutes after it."""
    world.people.failing = True
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert not world.chat.of("post")[0].buttons
        assert world.chat.of("direct") == []
        assert world.chat.of("reply") == []
        world.people.failing = False
        await world.clock.advance(301)
    assert world.chat.of("post")[0].buttons
    assert [sent.where for sent in world.chat.of("direct")] == [TARO_PERSON.object_id]


async def test_roster_failure_after_the_requester_was_identified_changes_neither_card_nor_direct_messages(
    world: World,
) -> None:
    """The requester was identified before: the card keeps its buttons, and the requester learns of the approval."""
    key = await world.posted()
    world.people.failing = True
    await world.shown(key)
    assert len(world.chat.of("post")[0].versions) == 1
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert [sent.where for sent in world.chat.of("direct")] == [TARO_PERSON.object_id] * 2


async def test_requester_is_no_longer_identified_when_another_member_has_the_same_address(world: World) -> None:
    """The card loses its buttons."""
    key = await world.posted()
    world.people.people.append(replace(person(7), upn=TARO_PERSON.upn))
    row = await world.shown(key)
    assert row.requester is not None
    assert not row.requester.identified
    assert not world.chat.of("post")[0].buttons


async def test_card_of_a_request_that_aws_no_longer_has_loses_its_buttons_after_ten_minutes(world: World) -> None:
    """A note reports it. The card gets its buttons back if the sweep finds the request again."""
    key = await world.posted()
    there = world.aws.requests.pop(key)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(599)
        (card,) = world.chat.of("post")
        assert (card.buttons, len(card.versions)) == (True, 1)
        await world.clock.advance(62)  # AWS is read once a minute
        assert (card.buttons, len(card.versions)) == (False, 2)
        assert [note.kind for note in world.chat.of("reply")] == ["reply"]
        row = await world.row(key)
        assert (row.request and row.request.status, row.requeue_at, row.watched) == (Status.GONE, None, False)
        world.aws.requests[key] = there
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert (card.buttons, len(card.versions)) == (True, 3)


async def test_row_of_a_request_that_reappears_no_longer_has_the_time_since_which_it_was_missing(world: World) -> None:
    """So the ten minutes start again if AWS stops showing the request a second time."""
    key = await world.posted()
    there = world.aws.requests.pop(key)
    await world.shown(key)
    assert (await world.row(key)).missing_since is not None
    world.aws.requests[key] = there
    await world.shown(key)
    assert (await world.row(key)).missing_since is None


async def test_card_shows_the_progress_of_a_level_and_its_approvers() -> None:
    """After the first of two approvals, the card names its approver and the role that must still approve.

    After both approvals, it shows level 2.
    """
    world = new_world()
    key = await world.posted(levels=2, required=2)
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(1)
        (card,) = world.chat.of("post")
        for words in (
            "1 of 2 (Level1)",
            "1 more approval needed",
            HANAKO.name,
            "Approvers in the policy: ",
            "NodeAccessApprover",
        ):
            assert words in shown(card.versions[-1].card).replace("\u200b", "")
        await world.press(key, ICHIRO)
        await world.clock.advance(1)
        assert "2 of 2 (Level2)" in shown(card.versions[-1].card).replace("\u200b", "")
        assert "2 approvals needed" in shown(card.versions[-1].card).replace("\u200b", "")


async def test_card_has_the_whole_arn_of_an_approver_role_of_another_account(world: World) -> None:
    """The card shows the request's account, so the role's name alone would mean a role of that account."""
    key = await world.posted()
    elsewhere = "arn:aws:iam::444455556666:role/NodeAccessApprover"
    (level,) = world.aws.requests[key].levels
    approvers = (Approver(ApproverKind.ROLE, elsewhere),)
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(replace(level, approvers=approvers),))
    await world.shown(key)
    assert elsewhere in shown(world.chat.of("post")[0].versions[-1].card).replace("\u200b", "")


async def test_end_of_the_access_window_is_announced_once(world: World) -> None:
    """When the window ends, the card and the requester's message are updated, and one note is sent."""
    key = await world.posted()
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(4 * 3600 - 60)
        before = len(world.chat.sent)
        await world.clock.advance(120)
        await world.rows.requeue(key)
        await world.clock.advance(10)
    assert "Access ended" in world.chat.sent["1000"].card
    new = list(world.chat.sent.values())[before:]
    assert [sent.kind for sent in new] == ["reply"]
    assert all("ended" in card for card in (new[0].card, world.chat.living))
    assert (await world.row(key)).request is not None
    assert not (await world.row(key)).watched


def test_every_known_status_has_a_direct_message() -> None:
    """Only UNKNOWN has no direct message."""
    assert set(DIRECTS) == set(Status) - {Status.UNKNOWN}


class SlowToAnswerStore(MemoryStore):
    """A store that answers one write late."""

    def __init__(self) -> None:
        super().__init__()
        self.late: asyncio.Event | None = None

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write immediately; answer after `late` is set."""
        record = await super().apply(key, change, now=now)
        late, self.late = self.late, None
        if late:
            await late.wait()
        return record


async def test_task_that_waits_for_a_row_never_gets_an_older_version_after_a_newer_one() -> None:
    """The store answers two writes in the wrong order."""
    store = SlowToAnswerStore()
    world = new_world(store=store)
    key = await world.posted()
    seen: list[int] = []

    def until(row: Record) -> bool:
        seen.append(row.version)
        return False

    waiting = asyncio.create_task(world.rows.wait(key, until, seconds=2))
    await world.clock.advance(0)
    late = store.late = asyncio.Event()
    older = asyncio.create_task(world.rows.apply(key, lambda row: replace(row, reconcile_failures=1)))
    await world.clock.advance(0)
    newer = await world.rows.apply(key, lambda row: replace(row, reconcile_failures=2))
    await world.clock.advance(0)
    late.set()
    await world.clock.advance(2)
    await asyncio.gather(older, waiting)
    assert seen == sorted(seen)
    assert seen[-1] == newer.version


async def test_task_that_waits_for_a_row_again_sees_what_another_process_wrote_meanwhile(world: World) -> None:
    """The first wait has ended, so nothing of it is kept. The second one needs no time."""
    key = await world.posted()
    assert await world.rows.wait(key, lambda row: row.version > 0, seconds=2)
    written = await world.store.apply(key, lambda row: replace(row, reconcile_failures=7), now=world.clock.now())
    waiting = asyncio.create_task(world.rows.wait(key, lambda row: row.reconcile_failures == 7, seconds=2))
    await world.clock.advance(0)
    assert waiting.done()
    assert await waiting == written


@pytest.mark.parametrize("call", ["execution", "signal"])
async def test_reconcile_does_not_take_over_a_decision_in_progress(world: World, call: str) -> None:
    """Another process reconciles while a click reads AWS or sends its signal.

    The decision is unchanged, and one signal is sent.
    """
    other = replace(world, owner="replica-2")
    key = await world.posted()
    gate = world.aws.gates[call] = asyncio.Event()
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived[call].wait()
    before = (await world.row(key)).decisions
    await other.shown(key)
    assert (await world.row(key)).decisions == before
    gate.set()
    async with world.running():
        await world.clock.advance(3)
        await click
    assert (world.aws.count("execution"), len(world.aws.signals)) == (1, 1)


async def test_slow_reconciles_of_two_processes_post_one_card() -> None:
    """Each read of AWS takes 35 seconds, longer than a lease. Two processes reconcile the request and post one card."""

    class SlowAws(FakeAws):
        async def observe(self, key: RequestKey) -> AccessRequest:
            await self._clock.sleep(35)
            return await super().observe(key)

    tables = Tables()
    world = new_world(store=MemoryStore(tables))
    world.aws = SlowAws(world.clock)
    world.build()
    other = replace(world, store=MemoryStore(tables), owner="replica-2")
    key = world.aws.add()
    await world.rows.requeue(key)
    async with world.running(), other.running():
        await world.clock.advance(300)
        assert len(world.chat.of("post")) == 1


async def test_requester_who_is_identified_late_gets_the_direct_message_about_the_approval(world: World) -> None:
    """The request was approved while no roster could be read. The message is sent once the rosters can be read."""
    world.people.failing = True
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(1)
        world.people.failing = False
        await world.clock.advance(IDENTIFYING_SPAN.total_seconds())
    (message,) = world.chat.of("direct")
    assert "You can connect until" in shown(literal_eval(message.card))


async def test_vote_that_aws_shows_90_seconds_late_is_attributed_to_the_person_who_clicked(world: World) -> None:
    """The signal's reply was lost, and AWS shows the vote 90 seconds later.

    The thread then names the person who clicked, and does not say that the vote was made outside Teams.
    """
    key = await world.posted()
    world.aws.lag = 90
    world.aws.after["signal"].append(SignalLost())
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment="どうぞ"))
        await world.clock.advance(95)
        await click
        await world.sweep.sweep()
        await world.rows.requeue(key)
        await world.clock.advance(2)
    notes = [shown(note.versions[-1].card).replace("\u200b", "") for note in world.chat.of("reply")]
    assert not any("outside" in note.lower() for note in notes)
    assert sum(f"{HANAKO.name} approved" in note for note in notes) == 1
    assert "Approved by" in shown(world.chat.of("post")[0].versions[-1].card)


async def test_requests_of_a_removed_account_are_not_read_repeatedly(world: World) -> None:
    """The account's pending request is read at most once in five hours, and a click on its card gets "not found"."""
    key = await world.posted()
    world.configuration.value = replace(world.configuration.value, accounts=())
    world.build()
    world.aws.before["observe"] = [AwsUnavailable("NoReaderRole") for _ in range(1000)]
    before = world.aws.count("observe")
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(5 * 3600)
        answer = await world.press(key, HANAKO)
    assert world.aws.count("observe") - before <= 1
    assert (answer.notice and answer.notice.code, world.aws.signals) == (NoticeCode.NOT_FOUND, [])


async def test_direct_message_names_the_approver_before_the_reply_to_the_signal_arrives(world: World) -> None:
    """AWS shows the vote before the signal's reply: the direct message names the person, not "outside Teams"."""
    answered = asyncio.Event()

    class SlowToAnswer(FakeAws):
        async def signal(self, signal: Signal) -> None:
            await super().signal(signal)
            await answered.wait()

    world.aws = SlowToAnswer(world.clock)
    world.build()
    key = await world.posted()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment="どうぞ"))
        await world.clock.advance(0)
        assert len(world.aws.effects) == 1
        await world.rows.requeue(key)
        await world.clock.advance(1)
        message = shown(world.chat.of("direct")[-1].versions[-1].card)
        answered.set()
        await click
        await world.clock.advance(1)
    assert "Approved by" in message
    assert HANAKO.name in message
    assert "outside" not in message.lower()
    assert len(world.chat.of("reply")) == 1


async def test_two_simultaneous_approvals_never_count_for_the_next_level(world: World) -> None:
    """The row lacks an approval from the console. Two people approve at the same time, and level 2 gets no vote."""
    key = await world.posted(levels=2, required=2)
    world.aws.decide(key, Verdict.APPROVE)  # no event and no sweep so far
    async with world.running():
        clicks = [asyncio.create_task(world.press(key, who)) for who in (HANAKO, ICHIRO)]
        await world.clock.advance(5)
        await asyncio.gather(*clicks)
    level = world.aws.requests[key].level("Level2")
    assert level is not None
    assert level.votes == ()


async def test_approval_and_later_rejection_never_count_for_the_next_level(world: World) -> None:
    """The row lacks an approval from the console.

    One person approves, and another rejects before the first vote has its effect. Level 2 gets no vote.
    """
    world.aws.lag = 1.5
    key = await world.posted(levels=2, required=2)
    world.aws.decide(key, Verdict.APPROVE)  # no event and no sweep so far
    gate = world.aws.gates["observe"] = asyncio.Event()
    async with world.running():
        approval = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(0.2)
        rejection = asyncio.create_task(world.press(key, ICHIRO, Verb.REJECT))
        await world.clock.advance(0.2)
        gate.set()
        await world.clock.advance(10)
        await asyncio.gather(approval, rejection)
    level = world.aws.requests[key].level("Level2")
    assert level is not None
    assert level.votes == ()


async def test_vote_that_aws_never_shows_blocks_votes_of_other_people_for_a_minute_only(world: World) -> None:
    """AWS accepts the first vote but does not count it: after a minute another person can decide."""

    class Uncounted(FakeAws):
        def vote(self, key: RequestKey, voter: str, verdict: Verdict, comment: str = "") -> None:
            if str(HANAKO.upn) not in voter:
                super().vote(key, voter, verdict, comment)

    world.aws = Uncounted(world.clock)
    world.build()
    key = await world.posted()
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(50)
        blocked = asyncio.create_task(world.press(key, ICHIRO))
        await world.clock.advance(10)
        assert code_of(await blocked) is NoticeCode.BUSY
        second = asyncio.create_task(world.press(key, ICHIRO))
        await world.clock.advance(0.5)
        await asyncio.gather(first, second)
    assert world.aws.requests[key].status is Status.APPROVED
