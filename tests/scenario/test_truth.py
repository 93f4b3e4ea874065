"""Who decided what, and what is true now: told rightly when AWS is slow to show it, and by nobody else's name."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.permission import Refusal
from bot.domain.record import Lease, Record
from bot.domain.request import AccessRequest, RequestKey, Status, Verdict
from bot.domain.routing import Match
from bot.domain.shown.surfaces import DIRECTS, IDENTIFYING_SPAN
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import AwsUnavailable, RequestNotReadable, Signal, SignalLost, SignalRefused
from bot.ports.store import Change, StoreUnavailable
from bot.ports.teams import Message, Posted
from bot.service.clicks.click import Verb
from bot.service.rows import LEASE, LeaseHeld, Rows
from tests.fakes.aws import FakeAws
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, FakeChat, person
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.world import APPROVALS, World, code_of, new_world


async def test_an_effect_that_comes_later_is_waited_for() -> None:
    """AWS takes the signal and shows its effect 1.5 s later: twenty people click, one signal leaves."""
    people = [person(number) for number in range(20)]
    world = new_world(people=[*people, TARO_PERSON])
    world.aws.lag = 1.5
    key = world.aws.add()
    await world.shown(key)
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


async def test_a_level_that_passes_later_is_seen_without_event_and_sweep(world: World) -> None:
    """After an accepted vote the request is looked at until AWS shows it."""
    world.aws.lag = 20
    key = world.aws.add(levels=2)
    await world.shown(key)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(3)
        assert code_of(await click) is NoticeCode.APPLYING
        await world.clock.advance(50)
    row = await world.row(key)
    assert row.request is not None
    assert row.request.waiting is not None
    assert row.request.waiting.step == "Level2"


async def test_the_state_check_compares_the_step(world: World) -> None:
    """The row still shows the first level, AWS is at the second: a click on the first sends nothing."""
    key = world.aws.add(levels=2)
    await world.shown(key)
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert code_of(answer) is Outcome.STEP_PASSED
    assert world.aws.signals == []


async def test_one_person_at_two_levels_is_shown_twice(world: World) -> None:
    """In Teams at the first level, in the console at the second: both are told, each where it was made."""
    key = world.aws.add(levels=2)
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO, comment="first")
        session = f"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Lead_0/{HANAKO.upn}"
        world.aws.vote(key, session, Verdict.APPROVE, "second")
        await world.rows.requeue(key)
        await world.clock.advance(1)
        late = await world.press(key, ICHIRO, step="Level2")
    assert late.notice is not None
    assert (late.notice.who, late.notice.comment) == (HANAKO.upn, "second")
    text = world.chat.of("post")[0].card
    assert "first" in text
    assert "second" in text


async def test_an_unreadable_last_vote_is_nobodys(world: World) -> None:
    """Who approved the first level did not reject the second: where AWS does not tell who did, nobody is named."""
    key = world.aws.add(levels=2)
    await world.shown(key)
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


async def test_an_answer_that_is_late_is_no_decision_from_outside(world: World) -> None:
    """AWS shows the approval while our signal's answer is still to come: the thread names our person alone."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_applying_never_stays_on_the_card(world: World) -> None:
    """The clicker was answered "applying", then AWS refused: their card gets its buttons back."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_a_store_that_fails_after_the_claim_is_not_nothing_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is stored and the signal under way: the clicker is not told to press again."""
    key = world.aws.add()
    await world.shown(key)

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("disk gone")

    monkeypatch.setattr(Rows, "wait", fail)
    answer = await world.press(key, HANAKO)
    assert code_of(answer) is NoticeCode.APPLYING
    await world.click_handler.drain()
    assert len(world.aws.signals) == 1


async def test_a_store_that_fails_at_the_second_press_is_not_nothing_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teams sends a slow click again: the first one's signal is on its way, whatever becomes of the second."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_a_holder_that_lost_its_lease_writes_nothing(world: World) -> None:
    """Paused past its lease, even if nobody holds it by now: another has been here, and knows more."""
    key = world.aws.add()
    await world.rows.lease(key, "slow")
    await world.clock.advance(31)
    await world.shown(key)
    with pytest.raises(LeaseHeld):
        await world.rows.renew(key, "slow")


@pytest.mark.parametrize("write", ["post", "update"])
async def test_the_lease_is_looked_at_right_before_a_write(world: World, write: str) -> None:
    """A look that lost its lease while it read AWS posts and updates nothing."""
    key = world.aws.add()
    if write == "update":
        await world.shown(key)
        world.aws.decide(key, Verdict.APPROVE)
    written = sum(len(sent.versions) for sent in world.chat.sent.values())
    gate = world.aws.gates["observe"] = asyncio.Event()
    await world.rows.requeue(key)
    world.aws.arrived["observe"].clear()
    look = asyncio.create_task(world.reconciler.reconcile(key))
    await world.aws.arrived["observe"].wait()
    stolen = Lease("another process", world.clock.now() + LEASE)  # this one stood still, and has not noticed
    await world.store.apply(key, lambda row: replace(row, lease=stolen), now=world.clock.now())
    gate.set()
    with pytest.raises(LeaseHeld):
        await look
    assert sum(len(sent.versions) for sent in world.chat.sent.values()) == written


class SlowChat(FakeChat):
    """A Teams whose next update waits in front of its effect until the test says so."""

    gate: asyncio.Event | None = None

    async def update(self, posted: Posted, message: Message) -> None:
        """Replace a message, late."""
        gate, self.gate = self.gate, None
        if gate:
            await gate.wait()
        await super().update(posted, message)


async def test_what_was_written_after_the_lease_was_lost_is_made_right(world: World) -> None:
    """Paused in front of an update past the lease: the old card lies over the new one, and is replaced at once."""
    chat = SlowChat()
    world = replace(world, chat=chat)
    other = replace(world, owner="replica-2")
    key = world.aws.add(levels=2)
    await world.shown(key)
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


async def test_a_signal_of_a_dead_process_is_never_sent_again(world: World) -> None:
    """The process died with the signal on its way: another one asks AWS what became of it, and sends nothing."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.gates["signal"] = asyncio.Event()
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["signal"].wait()
    click.cancel()
    for task in world.click_handler._background:
        task.cancel()
    del world.aws.gates["signal"]
    world.build()
    async with world.running():
        await world.clock.advance(120)
    assert len(world.aws.signals) == 1
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]


async def test_an_unsettled_route_decides_nothing() -> None:
    """While the tags that decide the channel cannot be read, a click in the fallback is refused."""
    match = Match(tags=(("Environment", frozenset({"production"})),))
    leads = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2", match=match, fallback=False)
    world = new_world(leads, APPROVALS)
    key = world.aws.add()
    node = replace(world.aws.requests[key].node, tags=None)
    world.aws.requests[key] = replace(world.aws.requests[key], node=node, complete=False)
    await world.shown(key)
    assert code_of(await world.press(key, HANAKO)) is Refusal.NOT_ROUTED
    assert world.aws.signals == []


async def test_a_request_that_cannot_be_read_for_days_breaks_nothing(world: World) -> None:
    """However often a look fails, the next one is planned."""
    key = world.aws.add()
    await world.shown(key)
    await world.rows.apply(key, lambda row: replace(row, reconcile_failures=5000))
    world.aws.before["observe"].append(RequestNotReadable("OpsItemNotFoundException"))
    row = await world.shown(key)
    assert row.reconcile_failures == 5001
    assert row.requeue_at is not None
    assert row.request is not None
    assert row.request.status is Status.PENDING


async def test_a_roster_that_fails_at_first_costs_nobody_a_message(world: World) -> None:
    """Nobody knew who asks when the card was posted; once the roster answers, buttons and message follow."""
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


async def test_a_roster_that_fails_later_takes_nothing_back(world: World) -> None:
    """Who asks was known once: the card keeps its buttons, and the requester is told that access was approved."""
    key = world.aws.add()
    await world.shown(key)
    world.people.failing = True
    await world.shown(key)
    assert len(world.chat.of("post")[0].versions) == 1
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert [sent.where for sent in world.chat.of("direct")] == [TARO_PERSON.object_id] * 2


async def test_who_was_known_once_is_doubted_again_where_the_roster_says_so(world: World) -> None:
    """Another person has the requester's address now: it says nothing any more about who asked."""
    key = world.aws.add()
    await world.shown(key)
    world.people.people.append(replace(person(7), upn=TARO_PERSON.upn))
    row = await world.shown(key)
    assert row.requester is not None
    assert not row.requester.identified
    assert not world.chat.of("post")[0].buttons


async def test_a_request_that_somebody_deleted_does_not_wait_for_ever(world: World) -> None:
    """AWS not showing it for a moment changes nothing; after ten minutes the card says so, and looks come to an end."""
    key = world.aws.add()
    await world.shown(key)
    there = world.aws.requests.pop(key)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(599)
        (card,) = world.chat.of("post")
        assert (card.buttons, len(card.versions)) == (True, 1)
        await world.clock.advance(1200)
        assert (card.buttons, len(card.versions)) == (False, 2)
        assert [note.kind for note in world.chat.of("reply")] == ["reply"]
        row = await world.row(key)
        assert (row.request and row.request.status, row.requeue_at, row.watched) == (Status.GONE, None, False)
        world.aws.requests[key] = there
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert (card.buttons, len(card.versions)) == (True, 3)


async def test_a_request_that_was_missing_for_a_moment_starts_afresh(world: World) -> None:
    """What counts is how long it is missing at a stretch."""
    key = world.aws.add()
    await world.shown(key)
    there = world.aws.requests.pop(key)
    await world.shown(key)
    assert (await world.row(key)).missing_since is not None
    world.aws.requests[key] = there
    await world.shown(key)
    assert (await world.row(key)).missing_since is None


async def test_the_card_tells_how_far_a_level_is_and_who_is_waited_for() -> None:
    """Level 1 of 2: one of two approvals, by whom, and whose approval is missing; a level on, its own approvers."""
    world = new_world()
    key = world.aws.add(levels=2, required=2)
    await world.shown(key)
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(1)
        (card,) = world.chat.of("post")
        for words in (
            "1 of 2 (Level1)",
            "1 of 2 approvals given, by ",
            HANAKO.name,
            "waiting for ",
            "NodeAccessApprover",
        ):
            assert words in shown(card.versions[-1].card).replace("\u200b", "")
        await world.press(key, ICHIRO)
        await world.clock.advance(1)
        assert "2 of 2 (Level2)" in shown(card.versions[-1].card).replace("\u200b", "")
        assert "0 of 2 approvals given" in shown(card.versions[-1].card).replace("\u200b", "")


async def test_the_end_of_the_access_window_is_told(world: World) -> None:
    """When the window is over the card says so, the thread and the requester too, each once."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(4 * 3600 - 60)
        told = len(world.chat.sent)
        await world.clock.advance(120)
        await world.rows.requeue(key)
        await world.clock.advance(10)
    assert "Access has ended" in world.chat.sent["1000"].card
    new = list(world.chat.sent.values())[told:]
    assert [sent.kind for sent in new] == ["reply", "direct"]
    assert all("ended" in sent.card for sent in new)
    assert (await world.row(key)).request is not None
    assert not (await world.row(key)).watched


def test_a_status_that_ends_a_request_is_told_to_its_requester() -> None:
    """No way to end is forgotten among the direct messages."""
    assert set(DIRECTS) == set(Status) - {Status.UNKNOWN}


class Overtaken(MemoryStore):
    """A store whose answer to one write comes late."""

    def __init__(self) -> None:
        super().__init__()
        self.late: asyncio.Event | None = None

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write at once, answer when the test says so."""
        record = await super().apply(key, change, now=now)
        late, self.late = self.late, None
        if late:
            await late.wait()
        return record


async def test_an_answer_of_the_store_that_comes_late_takes_nothing_back() -> None:
    """Two writes are answered in the wrong order: who waits for the row never sees the older one after the newer."""
    store = Overtaken()
    world = new_world(store=store)
    key = world.aws.add()
    await world.shown(key)
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


@pytest.mark.parametrize("call", ["execution", "signal"])
async def test_what_somebody_works_on_is_left_alone(world: World, call: str) -> None:
    """Another process looks while a click reads AWS or sends: it takes nothing over, and one signal arrives."""
    other = replace(world, owner="replica-2")
    key = world.aws.add()
    await world.shown(key)
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


async def test_slow_looks_of_two_processes_deliver() -> None:
    """AWS takes longer than a lease lasts: neither process takes it from the other, and the card is posted once."""

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


async def test_a_requester_whom_no_roster_knew_in_time_is_told_later(world: World) -> None:
    """Approved while Teams' rosters were away: once they tell who asks, the message goes out."""
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
    (told,) = world.chat.of("direct")
    assert "approved" in told.card


async def test_a_signal_whose_effect_came_after_its_minute_is_told_as_ours(world: World) -> None:
    """AWS never answered, and shows the vote a minute and a half later: it was made in Teams, and the thread says so."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_an_account_that_is_configured_no_more_is_left_alone(world: World) -> None:
    """Its pending requests are not looked at for ever, and a click decides nothing there."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_a_decision_whose_answer_is_on_its_way_is_ours(world: World) -> None:
    """AWS shows the vote before its answer has come back: card and direct message say who it was, not "outside Teams"."""
    answered = asyncio.Event()

    class SlowToAnswer(FakeAws):
        async def signal(self, signal: Signal) -> None:
            await super().signal(signal)
            await answered.wait()

    world.aws = SlowToAnswer(world.clock)
    world.build()
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment="どうぞ"))
        await world.clock.advance(0)
        assert len(world.aws.effects) == 1
        await world.rows.requeue(key)
        await world.clock.advance(1)
        told = shown(world.chat.of("direct")[-1].versions[-1].card)
        answered.set()
        await click
        await world.clock.advance(1)
    assert "Approved by" in told
    assert HANAKO.name in told
    assert "outside" not in told.lower()
    assert len(world.chat.of("reply")) == 1


async def test_a_vote_never_counts_for_the_next_level(world: World) -> None:
    """The console gave one of two approvals, unseen so far; two people press at once: Level2 gets none of their votes."""
    key = world.aws.add(levels=2, required=2)
    await world.shown(key)
    world.aws.decide(key, Verdict.APPROVE)  # no event yet, no sweep
    async with world.running():
        clicks = [asyncio.create_task(world.press(key, who)) for who in (HANAKO, ICHIRO)]
        await world.clock.advance(5)
        await asyncio.gather(*clicks)
    level = world.aws.requests[key].level("Level2")
    assert level is not None
    assert level.votes == ()


async def test_a_rejection_never_counts_for_the_next_level(world: World) -> None:
    """The same where the second presses Reject, after the first one's approval was accepted and before it shows."""
    world.aws.lag = 1.5
    key = world.aws.add(levels=2, required=2)
    await world.shown(key)
    world.aws.decide(key, Verdict.APPROVE)  # no event yet, no sweep
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


async def test_a_vote_that_aws_never_shows_keeps_nobody_for_ever(world: World) -> None:
    """AWS takes the first vote and does not count it: after the minute somebody else decides."""

    class Uncounted(FakeAws):
        def vote(self, key: RequestKey, voter: str, verdict: Verdict, comment: str = "") -> None:
            if str(HANAKO.upn) not in voter:
                super().vote(key, voter, verdict, comment)

    world.aws = Uncounted(world.clock)
    world.build()
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(60)
        second = asyncio.create_task(world.press(key, ICHIRO))
        await world.clock.advance(0.5)
        await asyncio.gather(first, second)
    assert world.aws.requests[key].status is Status.APPROVED
