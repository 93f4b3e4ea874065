"""The audit trail: clicks and the steps of decisions, also while the store fails or hangs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from bot.domain.audit import CLICKED, AuditEntry
from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict, Withdrawal
from bot.ports.aws import SignalLost, SignalRefused
from bot.ports.store import Change, StoreUnavailable, StoreUncertain
from bot.service import auditing
from bot.service.auditing import MOST_CLICKS, RETRY_SECONDS
from bot.service.clicks.click import Verb
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, TENANT, person
from tests.fakes.clock import ManualClock, settled
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, new_world


async def trail(world: World) -> list[AuditEntry]:
    """Store the entries of clicks that wait in memory; return all entries of the last thousand days."""
    await world.auditing.drain()
    return list(await world.store.audit(world.clock.now() - timedelta(days=1000)))


async def test_every_step_of_an_accepted_decision_is_in_the_audit_trail(world: World) -> None:
    """The trail has the claim, the signal, its acceptance and the click.

    The entry of the signal has the execution, the role and the session name.
    """
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
    entries = await trail(world)
    assert [each.event for each in entries] == ["claimed", "sent", "accepted", "clicked"]
    sent = entries[1]
    assert (sent.request, sent.step, sent.verb, sent.state) == (str(key), "Level1", "approve", "pending Level1")
    assert (sent.person, sent.tenant, sent.conversation) == (HANAKO.object_id, TENANT, f"{CHANNEL};messageid=1000")
    assert sent.execution == world.aws.signals[0].execution_id
    assert (sent.role, sent.session) == ("arn:aws:iam::111122223333:role/NodeAccessApprover", HANAKO.upn)
    assert len({each.decision for each in entries[:3]}) == 1


async def test_each_refused_click_has_one_audit_entry(world: World) -> None:
    """The entry has the person, tenant, conversation and verb, the state of the request, and the reason."""
    key = await world.posted()
    foreigner = replace(person(60), tenant_id="99999999-9999-4999-8999-999999999999", guest=True)
    for who in (person(50), foreigner, TARO_PERSON):
        await world.press(key, who, Verb.REJECT)
    entries = await trail(world)
    assert [(each.person, each.tenant, each.outcome) for each in entries] == [
        (person(50).object_id, TENANT, "not_approver"),
        (foreigner.object_id, foreigner.tenant_id, "foreign"),
        (TARO_PERSON.object_id, TENANT, "own_request"),
    ]
    assert {(each.event, each.verb, each.conversation, each.state) for each in entries} == {
        ("clicked", "reject", f"{CHANNEL};messageid=1000", "pending Level1")
    }


async def test_audit_entry_of_a_refusal_by_aws_has_the_error_code(world: World) -> None:
    """AWS refuses the signal, and the outcome in the entry is "aws_denied"."""
    key = await world.posted()
    world.aws.before["signal"].append(SignalRefused("AccessDeniedException", denied=True))
    async with world.running():
        await world.press(key, HANAKO)
    (refused,) = [each for each in await trail(world) if each.event == "refused"]
    assert (refused.outcome, refused.detail) == ("aws_denied", "AccessDeniedException")


async def test_audit_trail_has_the_lost_reply_to_a_signal_and_the_later_acceptance(world: World) -> None:
    """The entry "unanswered" is followed by "accepted" once AWS shows the vote."""
    key = await world.posted()
    world.aws.after["signal"].append(SignalLost("ReadTimeout"))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(10)
        await click
    events = [each.event for each in await trail(world)]
    assert events.index("sent") < events.index("unanswered") < events.index("accepted")


async def test_audit_trail_has_the_reason_why_a_decision_was_released_without_a_signal(world: World) -> None:
    """A person decided in the console first. The trail has "released" with the outcome "settled", and no "sent"."""
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT)
    async with world.running():
        await world.press(key, HANAKO)
    entries = await trail(world)
    assert [each.event for each in entries] == ["claimed", "released", "clicked"]
    assert (entries[1].outcome, entries[1].execution) == ("settled", "")


async def test_signal_of_a_crashed_process_is_in_the_audit_trail_as_unanswered(world: World) -> None:
    """The process died while it sent the signal.

    Another process adds the entry "unanswered", and later "released".
    """
    key = await world.posted()
    world.aws.gates["signal"] = asyncio.Event()
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["signal"].wait()
    world.build()  # another process; the first one never continues
    async with world.running():
        await world.clock.advance(120)
    events = [each.event for each in await trail(world) if each.event != "clicked"]
    assert events[:3] == ["claimed", "sent", "unanswered"]
    assert events[-1] == "released"
    click.cancel()
    world.aws.gates["signal"].set()
    await asyncio.gather(click, return_exceptions=True)


async def test_claim_signal_and_acceptance_of_a_cancellation_are_in_the_audit_trail(world: World) -> None:
    """The requester cancels in the personal chat."""
    key = await world.posted()
    async with world.running():
        await world.click_handler.click(world.withdrawn(key))
    assert [(each.event, each.verb) for each in await trail(world)][:3] == [
        ("claimed", Withdrawal.CANCEL),
        ("sent", Withdrawal.CANCEL),
        ("accepted", Withdrawal.CANCEL),
    ]


class LosingReplies(MemoryStore):
    """A store that loses the reply to the first write that confirms a decision.

    `landed` says whether that write takes effect.
    """

    def __init__(self, *, landed: bool) -> None:
        super().__init__()
        self.landed, self.lost = landed, 0

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Raise StoreUncertain once, after the write or instead of it."""
        before = await self.load(key)
        after = change(before) if before else None
        if self.lost or after is None or not any(each.state is DecisionState.CONFIRMED for each in after.decisions):
            return await super().apply(key, change, now=now)
        self.lost += 1
        if self.landed:
            await super().apply(key, change, now=now)
        raise StoreUncertain("the reply was lost")


@pytest.mark.parametrize("landed", [True, False])
async def test_acceptance_has_one_audit_entry_if_the_stores_reply_to_its_write_is_lost(landed: bool) -> None:
    """The write is repeated, whether or not it took effect the first time."""
    store = LosingReplies(landed=landed)
    world = new_world(store=store)
    key = await world.posted()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(120)
        await click
    (decision,) = (await world.row(key)).decisions
    assert (store.lost, decision.state) == (1, DecisionState.CONFIRMED)
    steps = [each.event for each in await trail(world) if each.event != CLICKED]
    assert steps == ["claimed", "sent", "accepted"]


async def test_claim_is_in_the_audit_trail_if_the_process_dies_right_after_storing_the_claim() -> None:
    """One write stores both the claim in the row and its audit entry."""
    world = new_world(store=Fatal())
    key = await world.posted()
    with pytest.raises(Died):
        await world.press(key, HANAKO)
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.CLAIMED]
    assert [each.event for each in await world.store.audit(world.clock.now())] == ["claimed"]


class Died(BaseException):
    """The end of a process. No code of the product catches this exception."""


class Fatal(MemoryStore):
    """A store whose caller dies right after it has stored a claim."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write, then end the process."""
        record = await super().apply(key, change, now=now)
        if record.decisions:
            raise Died
        return record


class RefusingClicks(MemoryStore):
    """A store that refuses only the audit entries of clicks, while `away` is set."""

    away = True
    gate: asyncio.Event | None = None
    """The write takes effect at once; its answer waits for this."""

    async def append_audit(self, *entries: AuditEntry) -> None:
        """Refuse while `away` is set."""
        if self.away:
            raise StoreUnavailable("away")
        await super().append_audit(*entries)
        if self.gate:
            await self.gate.wait()


async def test_refused_audit_entry_of_a_click_is_logged_and_stored_once_the_store_works_again() -> None:
    """The store refuses only the audit entries of clicks, so the decision takes effect.

    The refused entry is written to the log at once.
    """
    store = RefusingClicks()
    world = new_world(store=store)
    key = await world.posted()
    with capture_logs() as logs:
        async with world.running():
            await world.press(key, HANAKO)
    logged = [each["what"] for each in logs if each["event"] == "audit_noted"]
    assert logged == ["claimed", "sent", "accepted", "clicked"]
    assert not any(value in {"", "None"} for each in logs if each["event"] == "audit_noted" for value in each.values())
    assert "audit_not_stored" in {each["event"] for each in logs}
    stored = [each.event for each in await store.audit(world.clock.now() - timedelta(days=1))]
    assert (world.aws.count("signal"), stored) == (1, ["claimed", "sent", "accepted"])
    store.away = False
    running = asyncio.create_task(world.auditing.run())
    await world.clock.advance(11)
    assert [each.event for each in await store.audit(world.clock.now() - timedelta(days=1))] == logged
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_audit_entry_of_a_refresh_waits_for_the_next_write_and_ten_seconds_at_most(world: World) -> None:
    """It changes nothing, and is in the log at once. Other clicks are stored at once, also refused ones."""
    key = await world.posted()

    async def stored() -> list[str]:
        await settled()
        return [each.verb for each in await world.store.audit(world.clock.now() - timedelta(days=1))]

    with capture_logs() as logs:
        await world.press(key, HANAKO, Verb.REFRESH)
    assert [each["verb"] for each in logs if each["event"] == "audit_noted"] == ["refresh"]
    assert await stored() == []
    await world.press(key, person(50), Verb.REJECT)
    assert await stored() == ["refresh", "reject"]
    running = asyncio.create_task(world.auditing.run())
    await world.press(key, HANAKO, Verb.REFRESH)
    await world.clock.advance(RETRY_SECONDS)
    assert await stored() == ["refresh", "reject", "refresh"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_one_audit_entry_counts_the_clicks_of_a_person_beyond_the_limit_of_a_minute(world: World) -> None:
    """Each click up to the limit has its own entry, and so has a click of another person."""
    key = await world.posted()
    for _ in range(MOST_CLICKS + 40):
        await world.press(key, person(50))
    await world.press(key, ICHIRO, Verb.REFRESH)
    await world.clock.advance(61)
    await world.press(key, person(50))
    entries = await trail(world)
    flood = [each for each in entries if each.person == person(50).object_id]
    assert len(flood) == MOST_CLICKS + 2
    assert [each.detail for each in flood if each.outcome == "counted"] == ["40 clicks within a minute"]
    assert [each.verb for each in entries if each.person == ICHIRO.object_id] == ["refresh"]


async def test_clicks_after_the_clock_was_set_back_have_their_own_audit_entries(world: World) -> None:
    """Two people have clicked, one of them more often than the limit. Then the clock is set back by an hour.

    A new minute begins for both people. The count of the former minute is stored at once, not after an hour.
    """
    for _ in range(MOST_CLICKS + 5):
        world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person="one"))
    world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person="two"))
    world.clock.set_to(world.clock.now() - timedelta(hours=1))
    for name, clicks in (("one", 3), ("two", MOST_CLICKS)):
        for _ in range(clicks):
            world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person=name, outcome="later"))
    await settled()
    stored = await world.store.audit(world.clock.now() - timedelta(days=1))
    assert [each.detail for each in stored if each.outcome == "counted"] == ["5 clicks within a minute"]
    assert sum(each.outcome == "later" for each in stored) == 3 + MOST_CLICKS


async def test_count_of_clicks_beyond_the_limit_is_stored_soon_after_the_clock_was_set_back(world: World) -> None:
    """The person does not click again. The loop stores the count within RETRY_SECONDS."""
    for _ in range(MOST_CLICKS + 5):
        world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person="one"))
    world.clock.set_to(world.clock.now() - timedelta(hours=1))
    running = asyncio.create_task(world.auditing.run())
    await world.clock.advance(RETRY_SECONDS)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    stored = await world.store.audit(world.clock.now() - timedelta(days=1))
    assert [each.detail for each in stored if each.outcome == "counted"] == ["5 clicks within a minute"]


async def test_shutdown_during_a_burst_of_clicks_stores_an_audit_entry_of_every_click() -> None:
    """Five thousand clicks wait for a store that needs 20 ms for each write. The drain ends once all are stored."""
    clock = ManualClock()
    world = new_world(store=SlowAudit(clock), clock=clock)
    for number in range(5000):
        world.auditing.clicked(AuditEntry(clock.now(), CLICKED, person=f"p{number}"))
    draining = asyncio.create_task(world.auditing.drain())
    await clock.advance(1)
    await draining
    stored = [each.person for each in await world.store.audit(clock.now() - timedelta(days=1))]
    assert stored == [f"p{number}" for number in range(5000)]


async def test_audit_entries_of_a_thousand_clicks_a_second_are_stored_by_a_slow_store() -> None:
    """Each write takes 20 ms. 0.2 s after the last click, every click is stored once and in order."""
    clock = ManualClock()
    world = new_world(store=SlowAudit(clock), clock=clock)
    with capture_logs() as logs:
        for second in range(5):
            await clicked(world, [f"p{second * 1000 + number}" for number in range(1000)])
        await clock.advance(0.1)
    stored = [each.person for each in await world.store.audit(clock.now() - timedelta(days=1))]
    assert stored == [f"p{number}" for number in range(5000)]
    assert "audit_given_up" not in {each["event"] for each in logs}


async def test_audit_entries_of_five_thousand_clicks_wait_while_the_store_refuses_them() -> None:
    """A thousand people click each second for five seconds. Once the store works again, each click is stored once.

    At this rate, a minute of clicks fits into memory.
    """
    store = RefusingClicks()
    world = new_world(store=store)
    for second in range(5):
        await clicked(world, [f"p{second * 1000 + number}" for number in range(1000)])
    store.away = False
    assert [each.person for each in await trail(world)] == [f"p{number}" for number in range(5000)]
    assert auditing.KEPT_WAITING >= 60 * 1000
    assert given_up(world) == 0


class RefusingEverySecond(MemoryStore):
    """A store that refuses every other write of audit entries."""

    writes = 0

    async def append_audit(self, *entries: AuditEntry) -> None:
        """Refuse, or store."""
        self.writes += 1
        if self.writes % 2:
            raise StoreUnavailable("throttled")
        await super().append_audit(*entries)


async def test_no_audit_entry_of_a_click_is_lost_while_the_store_refuses_every_second_write() -> None:
    """A thousand people click each second for five seconds. All entries are stored once and in order within a minute."""
    world = new_world(store=RefusingEverySecond())
    running = asyncio.create_task(world.auditing.run())
    for second in range(5):
        await clicked(world, [f"p{second * 1000 + number}" for number in range(1000)])
    await world.clock.advance(60)
    stored = [each.person for each in await world.store.audit(world.clock.now() - timedelta(days=1))]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert stored == [f"p{number}" for number in range(5000)]


async def test_shutdown_during_the_write_of_an_audit_entry_stores_the_entry_once() -> None:
    """The loop is cancelled during the write. The drain waits for that write and does not repeat it."""
    store = RefusingClicks()
    world = new_world(store=store)
    await clicked(world, ["first"])
    gate = store.gate = asyncio.Event()
    store.away = False
    running = asyncio.create_task(world.auditing.run())
    await world.clock.advance(RETRY_SECONDS)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    draining = asyncio.create_task(world.auditing.drain())
    await settled()
    gate.set()
    await draining
    assert [each.person for each in await store.audit(world.clock.now() - timedelta(days=1))] == ["first"]


async def clicked(world: World, people: Sequence[str]) -> None:
    """Record a click of each person within one second."""
    for part in range(10):
        for name in people[part * len(people) // 10 : (part + 1) * len(people) // 10]:
            world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person=name))
        await world.clock.advance(0.1)


class SlowAudit(MemoryStore):
    """A store that needs 20 ms for each write of audit entries."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    async def append_audit(self, *entries: AuditEntry) -> None:
        """Wait, then store."""
        await self._clock.sleep(0.02)
        await super().append_audit(*entries)


async def test_full_audit_backlog_drops_only_the_oldest_waiting_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store hangs on the first click while 1,002 others arrive and 1,000 have room.

    The two oldest of these are dropped and counted; all others are stored once.
    """
    monkeypatch.setattr(auditing, "KEPT_WAITING", 1000)
    store = Gated()
    world = new_world(store=store)
    for number in range(1003):
        world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person=f"p{number}"))
        await asyncio.sleep(0)
    store.free.set()
    await world.auditing.drain()
    stored = [each.person for each in await store.audit(world.clock.now())]
    assert stored == ["p0", *(f"p{number}" for number in range(3, 1003))]
    assert given_up(world) == 2


async def test_full_audit_backlog_drops_a_click_and_no_step_of_a_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store hangs on audit entries of clicks. It stores the steps of a decision all the same.

    One click more than the backlog holds is dropped, which the log and the metric show.
    """
    monkeypatch.setattr(auditing, "KEPT_WAITING", 1000)
    store = Gated()
    world = new_world(store=store)
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
        with capture_logs() as logs:
            for number in range(1000):
                world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person=f"p{number}"))
        steps = ["claimed", "sent", "accepted"]
        assert [each.event for each in await store.audit(world.clock.now())] == steps
        store.free.set()
    assert [each["what"] for each in logs if each["event"] == "audit_given_up"] == [CLICKED]
    stored = [each.event for each in await store.audit(world.clock.now())]
    assert stored == [*steps, *[CLICKED] * 1000]
    assert given_up(world) == 1


def given_up(world: World) -> float | None:
    """Return the number of dropped clicks, as the metric has it."""
    return world.registry.get_sample_value("node_access_audit_given_up_total")


class Gated(MemoryStore):
    """A store that hangs on the audit entries of clicks until `free` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def append_audit(self, *entries: AuditEntry) -> None:
        """Wait, then store."""
        await self.free.wait()
        await super().append_audit(*entries)
