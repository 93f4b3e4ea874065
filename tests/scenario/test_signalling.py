"""The state check is the last thing before the signal: whatever has to be waited for comes before it."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import AwsUnavailable, SignalLost, SignalRefused, SignalThrottled
from bot.ports.store import Change
from bot.service.clicks.signalling import FRESH, HOLD, READING
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.store import HangingStore, MemoryStore, Tables
from tests.fakes.world import World, new_world


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return new_world()


async def test_decided_while_the_role_was_being_assumed(world: World) -> None:
    """The role took its time and the console was faster: no signal leaves, and the clicker is told."""
    key = world.aws.add()
    await world.shown(key)
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["prepare"].wait()
        world.aws.decide(key, Verdict.REJECT, "from the console")
        gate.set()
        answer = await click
    assert world.aws.signals == []
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.verdict) == (NoticeCode.DECIDED, Verdict.REJECT)


async def test_nothing_is_waited_for_between_check_and_signal(world: World) -> None:
    """Of all calls to AWS the signal comes right after the check, at every attempt."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["signal"].append(SignalThrottled())
    before = len(world.aws.calls)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(2)
        await click
    made = [name for name, _ in world.aws.calls[before:] if name != "observe"]
    assert made == ["prepare", "execution", "signal"] * 2


async def test_a_role_that_takes_a_minute_sends_nothing(world: World) -> None:
    """However the check ends then: nothing is signalled later than 60 s after the click."""
    key = world.aws.add()
    await world.shown(key)
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(61)
        gate.set()
        await world.clock.advance(2)
        await click
    assert world.aws.signals == []
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]


async def test_a_slow_role_does_not_use_up_the_hold(world: World) -> None:
    """Where preparing took its time the claim is held anew, so that nobody takes it over during the check."""
    key = world.aws.add()
    await world.shown(key)
    gates = world.aws.gates
    prepared, checked = gates["prepare"], gates["execution"] = asyncio.Event(), asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(15)
        prepared.set()
        await world.clock.advance((READING - timedelta(seconds=1)).total_seconds())
        assert world.aws.count("prepare") == 1
        (decision,) = (await world.row(key)).decisions
        assert decision.held_until > world.clock.now()
        checked.set()
        await world.clock.advance(1)
        await click
    assert len(world.aws.signals) == 1
    assert READING < HOLD


async def test_a_role_that_may_not_be_assumed_is_explained(world: World) -> None:
    """Nothing was read and nothing sent; the clicker reads why, the card stays open, the next one may decide."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["prepare"].append(SignalRefused("AccessDenied", denied=True))
    async with world.running():
        refused = await world.press(key, HANAKO, comment="ok")
        assert (world.aws.count("execution"), world.aws.signals) == (0, [])
        assert refused.notice is not None
        assert (refused.notice.code, refused.notice.detail, refused.notice.typed) == (
            Outcome.AWS_DENIED,
            "AccessDenied",
            "ok",
        )
        await world.press(key, ICHIRO)
    assert len(world.aws.effects) == 1


async def test_a_quota_that_is_used_up_is_waited_for(world: World) -> None:
    """Throttled before anything left: tried again within the minute, and sent once."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["prepare"].extend([SignalThrottled(), SignalThrottled()])
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(5)
        await click
    assert [world.aws.count(each) for each in ("prepare", "execution", "signal")] == [3, 1, 1]


async def test_a_quota_that_stays_used_up_is_told(world: World) -> None:
    """After the minute the decision is released, and its person reads that AWS asked for patience."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["prepare"].extend(SignalThrottled() for _ in range(100))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(90)
        await click
        await world.clock.advance(5)
        (decision,) = (await world.row(key)).decisions
        assert (decision.state, decision.outcome) == (DecisionState.RELEASED, "throttled")
    assert world.aws.signals == []


async def test_a_state_that_was_read_too_long_ago_is_read_again(world: World) -> None:
    """The store stood still between the check and the signal, and the console was faster: no signal leaves."""
    store = HangingStore()
    world = new_world(store=store)
    key = world.aws.add()
    await world.shown(key)
    gate = world.aws.gates["execution"] = asyncio.Event()
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["execution"].wait()
    store.hangs = {"apply"}
    gate.set()
    await world.clock.advance(FRESH.total_seconds() + 0.1)
    world.aws.decide(key, Verdict.REJECT, "from the console")
    store.hangs.clear()
    store.go.set()
    async with world.running():
        await world.clock.advance(5)
        await click
    assert (world.aws.signals, world.aws.count("execution")) == ([], 2)


class SlowToAnswer(MemoryStore):
    """A store that takes "sending" at once and does not answer until it is let."""

    def __init__(self, tables: Tables | None = None) -> None:
        super().__init__(tables)
        self.taken, self.answers = asyncio.Event(), asyncio.Event()

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Store; answer late."""
        record = await super().apply(key, change, now=now)
        if not self.taken.is_set() and any(each.state is DecisionState.SENT for each in record.decisions):
            self.taken.set()
            await self.answers.wait()
        return record


async def test_a_store_that_is_slow_to_answer_lets_no_vote_count_for_the_next_level() -> None:
    """Level 1 was approved in the console while the answer to "sending" was awaited: the vote for it does not leave."""
    store = SlowToAnswer()
    world = new_world(store=store)
    key = world.aws.add(levels=2)
    await world.shown(key)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(FRESH.total_seconds() - 1)
        world.aws.decide(key, Verdict.APPROVE, "from the console")
        await world.clock.advance(2)
        store.answers.set()
        await world.clock.advance(5)
        await click
        (decision,) = (await world.row(key)).decisions
    assert world.aws.signals == []
    assert (decision.state, decision.outcome) == (DecisionState.RELEASED, Outcome.STEP_PASSED)


async def test_one_persons_two_presses_do_not_pass_two_levels() -> None:
    """The answer came after the minute, and its person has pressed again, as they were told: one of the two counts."""
    store = SlowToAnswer()
    paused = new_world(store=store)
    other = replace(paused, store=MemoryStore(store.tables), owner="replica-2")
    key = paused.aws.add(levels=2)
    await paused.shown(key)
    click = asyncio.create_task(paused.press(key, HANAKO))
    await store.taken.wait()
    async with other.running():
        await paused.clock.advance(2 * 60)
        again = asyncio.create_task(other.press(key, HANAKO))
        await paused.clock.advance(5)
        await again
        store.answers.set()
        await paused.clock.advance(5)
        await click
    await paused.click_handler.drain()
    states = sorted(each.state for each in (await other.row(key)).decisions)
    assert states == [DecisionState.CONFIRMED, DecisionState.RELEASED]
    assert len(paused.aws.signals) == 1


async def test_who_paused_beyond_the_hold_sends_nothing_further(world: World) -> None:
    """A worker stands still between check and signal; another one takes the decision over, and it is sent once."""
    store = HangingStore()
    paused = new_world(store=store)
    other = replace(paused, store=MemoryStore(store.tables), owner="replica-2")
    key = paused.aws.add()
    await paused.shown(key)
    gate = paused.aws.gates["execution"] = asyncio.Event()
    click = asyncio.create_task(paused.press(key, HANAKO))
    await paused.aws.arrived["execution"].wait()
    store.hangs = {"apply"}
    gate.set()
    async with other.running():
        await paused.clock.advance(HOLD.total_seconds() + 2)
        assert len(paused.aws.signals) == 1
        store.hangs.clear()
        store.go.set()
        await paused.clock.advance(5)
        await click
    await paused.click_handler.drain()
    assert len(paused.aws.signals) == 1


async def test_who_paused_beyond_the_hold_does_not_take_another_one_s_signal_for_leave() -> None:
    """It goes on while the signal of who took the decision over is still on its way: that one is the only one."""
    store = HangingStore()
    paused = new_world(store=store)
    other = replace(paused, store=MemoryStore(store.tables), owner="replica-2")
    key = paused.aws.add()
    await paused.shown(key)
    gates = paused.aws.gates
    checked, answered = gates["execution"], gates["signal"] = asyncio.Event(), asyncio.Event()
    click = asyncio.create_task(paused.press(key, HANAKO))
    await paused.aws.arrived["execution"].wait()
    store.hangs = {"apply"}
    checked.set()
    async with other.running():
        await paused.clock.advance(HOLD.total_seconds() + 2)
        assert [each.state for each in (await other.row(key)).decisions] == [DecisionState.SENT]
        store.hangs.clear()
        store.go.set()
        await paused.clock.advance(1)
        answered.set()
        await paused.clock.advance(5)
        await click
    await paused.click_handler.drain()
    assert len(paused.aws.signals) == 1


async def test_what_another_worker_sent_is_not_withdrawn_by_who_was_too_slow() -> None:
    """The signal's reply was lost, it took effect, and the slow worker then finds that nothing waits: our vote counts."""
    store = MemoryStore()
    paused = new_world(store=store)
    other = replace(paused, store=MemoryStore(store.tables), owner="replica-2")
    key = paused.aws.add()
    await paused.shown(key)
    checked = paused.aws.gates["execution"] = asyncio.Event()
    click = asyncio.create_task(paused.press(key, HANAKO))
    await paused.aws.arrived["execution"].wait()
    del paused.aws.gates["execution"]
    paused.aws.lag = 1.0
    paused.aws.after["signal"].append(SignalLost())
    async with other.running():
        await paused.clock.advance(HOLD.total_seconds() + 1.1)
        assert [each.state for each in (await other.row(key)).decisions] == [DecisionState.UNKNOWN]
        await paused.aws.execution(key, "any")  # from now on AWS shows the effect
        checked.set()
        await paused.clock.advance(5)
        await click
    await paused.click_handler.drain()
    assert [each.state for each in (await paused.row(key)).decisions] == [DecisionState.CONFIRMED]


async def test_who_was_too_slow_does_not_say_that_nothing_was_sent() -> None:
    """Another worker's signal was never answered; that the slow one could not read the state changes nothing of that."""
    store = MemoryStore()
    paused = new_world(store=store)
    other = replace(paused, store=MemoryStore(store.tables), owner="replica-2")
    key = paused.aws.add()
    await paused.shown(key)
    checked = paused.aws.gates["execution"] = asyncio.Event()
    click = asyncio.create_task(paused.press(key, HANAKO))
    await paused.aws.arrived["execution"].wait()
    del paused.aws.gates["execution"]
    paused.aws.before["signal"].append(SignalLost())
    async with other.running():
        await paused.clock.advance(61)
        paused.aws.before["execution"].append(AwsUnavailable("InternalServerError"))
        checked.set()
        await paused.clock.advance(5)
        await click
    await paused.click_handler.drain()
    assert [each.outcome for each in (await paused.row(key)).decisions] == [Outcome.NO_ANSWER]
