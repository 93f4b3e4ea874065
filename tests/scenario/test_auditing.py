"""The audit trail: every click and every step of a decision, in order, whatever the store does."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from bot.domain.audit import CLICKED, AuditEntry
from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict, Withdrawal
from bot.ports.aws import SignalLost, SignalRefused
from bot.ports.store import Change, StoreUncertain
from bot.service.auditing import KEPT_WAITING, MOST_CLICKS
from bot.service.clicks.click import Verb
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, TENANT, person
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, new_world


async def trail(world: World) -> list[AuditEntry]:
    """Return the whole trail."""
    await world.auditing.drain()
    return list(await world.store.audit(world.clock.now() - timedelta(days=1000)))


async def test_a_decision_leaves_its_whole_way(world: World) -> None:
    """Claimed, sent, accepted, and what its person was told; with the execution, the role and the session."""
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


async def test_every_refusal_is_one_entry(world: World) -> None:
    """Who, from which tenant and conversation, what they tried, how the request stood, and the exact reason."""
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


async def test_what_aws_refused_is_named(world: World) -> None:
    """With AWS's own code."""
    key = await world.posted()
    world.aws.before["signal"].append(SignalRefused("AccessDeniedException", denied=True))
    async with world.running():
        await world.press(key, HANAKO)
    (refused,) = [each for each in await trail(world) if each.event == "refused"]
    assert (refused.outcome, refused.detail) == ("aws_denied", "AccessDeniedException")


async def test_what_was_never_answered_is_settled_later(world: World) -> None:
    """Unanswered, then accepted, once AWS shows it."""
    key = await world.posted()
    world.aws.after["signal"].append(SignalLost("ReadTimeout"))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(10)
        await click
    events = [each.event for each in await trail(world)]
    assert events.index("sent") < events.index("unanswered") < events.index("accepted")


async def test_what_was_withheld_says_why(world: World) -> None:
    """Somebody was faster in the console: nothing was sent, and the trail says so."""
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT)
    async with world.running():
        await world.press(key, HANAKO)
    entries = await trail(world)
    assert [each.event for each in entries] == ["claimed", "released", "clicked"]
    assert (entries[1].outcome, entries[1].execution) == ("settled", "")


async def test_what_a_dead_process_left_is_told_by_the_next(world: World) -> None:
    """It died between "sending" and the answer: another process says that nobody knows."""
    key = await world.posted()
    world.aws.gates["signal"] = asyncio.Event()
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["signal"].wait()
    world.build()  # another process; the first one never wakes again
    async with world.running():
        await world.clock.advance(120)
    events = [each.event for each in await trail(world) if each.event != "clicked"]
    assert events[:3] == ["claimed", "sent", "unanswered"]
    assert events[-1] == "released"
    click.cancel()
    world.aws.gates["signal"].set()
    await asyncio.gather(click, return_exceptions=True)


async def test_cancelling_is_in_the_trail_too(world: World) -> None:
    """Every verb goes the same way."""
    key = await world.posted()
    async with world.running():
        await world.click_handler.click(world.withdrawn(key))
    assert [(each.event, each.verb) for each in await trail(world)][:3] == [
        ("claimed", Withdrawal.CANCEL),
        ("sent", Withdrawal.CANCEL),
        ("accepted", Withdrawal.CANCEL),
    ]


class LosingAnswers(MemoryStore):
    """A store whose answer to the write that settles a decision is lost, after the write or instead of it."""

    def __init__(self, *, landed: bool) -> None:
        super().__init__()
        self.landed, self.lost = landed, 0

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write, or not, and leave the caller without an answer; once."""
        before = await self.load(key)
        after = change(before) if before else None
        if self.lost or after is None or not any(each.state is DecisionState.CONFIRMED for each in after.decisions):
            return await super().apply(key, change, now=now)
        self.lost += 1
        if self.landed:
            await super().apply(key, change, now=now)
        raise StoreUncertain("the reply was lost")


@pytest.mark.parametrize("landed", [True, False])
async def test_what_is_stored_is_in_the_trail_whoever_heard_of_it(landed: bool) -> None:
    """The settling write is answered by nobody: the trail says accepted once, when the row does and not before."""
    store = LosingAnswers(landed=landed)
    world = new_world(store=store)
    key = await world.posted()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(120)
        await click
    (decision,) = (await world.row(key)).decisions
    assert (store.lost, decision.state) == (1, DecisionState.CONFIRMED)
    steps = [each.event for each in await trail(world) if each.event != CLICKED]
    assert steps == ["claimed", "sent", *([] if landed else ["unanswered"]), "accepted"]


async def test_a_step_is_in_the_trail_without_its_process() -> None:
    """It dies with the answer of the write in its hands: the step is stored already."""
    world = new_world(store=Fatal())
    key = await world.posted()
    with pytest.raises(Died):
        await world.press(key, HANAKO)
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.CLAIMED]
    assert [each.event for each in await world.store.audit(world.clock.now())] == ["claimed"]


class Died(BaseException):
    """Stands for the end of a process: no code of the product handles it."""


class Fatal(MemoryStore):
    """A store whose caller dies of its answer to a claim."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write, and never come back."""
        record = await super().apply(key, change, now=now)
        if record.decisions:
            raise Died
        return record


class Forgetful(MemoryStore):
    """A store whose trail alone takes no presses."""

    away = True

    async def append_audit(self, entry: AuditEntry) -> None:
        """Refuse while away."""
        self.broken, broken = self.away, self.broken
        try:
            await super().append_audit(entry)
        finally:
            self.broken = broken


async def test_what_the_store_does_not_take_waits_and_is_in_the_log() -> None:
    """Nothing is lost and nothing waits for it: the decision goes on, the log has the press, the store gets it later."""
    store = Forgetful()
    world = new_world(store=store)
    key = await world.posted()
    with capture_logs() as logs:
        async with world.running():
            await world.press(key, HANAKO)
    noted = [each["what"] for each in logs if each["event"] == "audit_noted"]
    assert noted == ["claimed", "sent", "accepted", "clicked"]
    assert "audit_not_stored" in {each["event"] for each in logs}
    stored = [each.event for each in await store.audit(world.clock.now() - timedelta(days=1))]
    assert (world.aws.count("signal"), stored) == (1, ["claimed", "sent", "accepted"])
    store.away = False
    running = asyncio.create_task(world.auditing.run())
    await world.clock.advance(11)
    assert [each.event for each in await store.audit(world.clock.now() - timedelta(days=1))] == noted
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_flood_is_counted_and_hides_nobody_else(world: World) -> None:
    """One person presses without end: so many entries, then a count; another person's click is there as ever."""
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


async def test_an_entry_that_is_pushed_out_takes_no_other_with_it() -> None:
    """The store hangs on one entry while a thousand more come: what is left is stored, each once."""
    store = Gated()
    world = new_world(store=store)
    for number in range(KEPT_WAITING + 3):
        world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person=f"p{number}"))
        await asyncio.sleep(0)
    store.free.set()
    await world.auditing.drain()
    stored = [each.person for each in await store.audit(world.clock.now())]
    assert stored == ["p0", *(f"p{number}" for number in range(3, KEPT_WAITING + 3))]


async def test_a_flood_of_presses_pushes_no_decision_out() -> None:
    """While it takes no press: what was sent to AWS is stored, and the press that was given up is in the log."""
    store = Gated()
    world = new_world(store=store)
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
        with capture_logs() as logs:
            for number in range(KEPT_WAITING):
                world.auditing.clicked(AuditEntry(world.clock.now(), CLICKED, person=f"p{number}"))
        store.free.set()
    assert [each["what"] for each in logs if each["event"] == "audit_given_up"] == [CLICKED]
    stored = [each.event for each in await store.audit(world.clock.now())]
    assert stored[:3] == ["claimed", "sent", "accepted"]
    assert stored[3:] == [CLICKED] * KEPT_WAITING


class Gated(MemoryStore):
    """A store in whose trail presses wait to be let through."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def append_audit(self, entry: AuditEntry) -> None:
        """Wait, then store."""
        await self.free.wait()
        await super().append_audit(entry)
