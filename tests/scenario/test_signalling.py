"""The state check comes right before the signal; everything that may have to wait comes before the check."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.decision import HOLD, DecisionState, Outcome
from bot.domain.record import Record
from bot.domain.request import Execution, RequestKey, Verdict
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import AwsUnavailable, SignalLost, SignalRefused, SignalThrottled
from bot.ports.store import Change
from bot.service.clicks.click import Answer
from bot.service.decisions.signal_attempt import READING
from bot.service.decisions.state_check import FRESH
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.store import HangingStore, MemoryStore, Tables
from tests.fakes.world import World, new_world


def two_replicas(store: MemoryStore) -> tuple[World, World]:
    """Return two processes over the same AWS, Teams and tables; `store` is the first one's."""
    first = new_world(store=store)
    return first, replace(first, store=MemoryStore(store.tables), owner="replica-2")


async def clicked_until(world: World, key: RequestKey, call: str) -> asyncio.Task[Answer]:
    """Have Hanako approve, and return the click once this call reached AWS."""
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived[call].wait()
    return click


async def test_no_signal_is_sent_after_a_decision_in_the_console_while_the_role_is_assumed(world: World) -> None:
    """A person decides in the console while the bot assumes the role.

    The answer to the click has that decision.
    """
    key = await world.posted()
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        click = await clicked_until(world, key, "prepare")
        world.aws.decide(key, Verdict.REJECT, "from the console")
        gate.set()
        answer = await click
    assert world.aws.signals == []
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.verdict) == (NoticeCode.DECIDED, Verdict.REJECT)


async def test_signal_follows_its_state_check_immediately(world: World) -> None:
    """At every attempt, the signal is the decision's next call to AWS after the state check."""
    key = await world.posted()
    world.aws.before["signal"].append(SignalThrottled())
    before = len(world.aws.calls)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(2)
        await click
    made = [name for name, _ in world.aws.calls[before:] if name != "observe"]
    assert made == ["prepare", "execution", "signal"] * 2


async def test_no_signal_is_sent_if_assuming_the_role_takes_a_minute(world: World) -> None:
    """No signal is sent later than 60 s after the click: the decision is released."""
    key = await world.posted()
    gate = world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(61)
        gate.set()
        await world.clock.advance(2)
        await click
    assert world.aws.signals == []
    assert [each.state for each in (await world.row(key)).decisions] == [DecisionState.RELEASED]


async def test_hold_is_renewed_if_assuming_the_role_is_slow(world: World) -> None:
    """The hold is renewed after a slow preparation, and still lasts at the end of a slow state check."""
    key = await world.posted()
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


async def test_refused_assumption_of_a_role_is_explained_and_no_signal_is_sent(world: World) -> None:
    """No state check is made. The person reads why, the comment is kept, and the next person may decide."""
    key = await world.posted()
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


async def test_throttled_assumption_of_a_role_is_repeated_and_one_signal_is_sent(world: World) -> None:
    """AWS throttles the call twice. The third one succeeds, and one state check and one signal follow."""
    key = await world.posted()
    world.aws.before["prepare"].extend([SignalThrottled(), SignalThrottled()])
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(5)
        await click
    assert [world.aws.count(each) for each in ("prepare", "execution", "signal")] == [3, 1, 1]


async def test_decision_is_released_if_assuming_its_role_is_throttled_for_a_minute(world: World) -> None:
    """After the minute the decision is released with the reason that AWS throttled it."""
    key = await world.posted()
    world.aws.before["prepare"].extend(SignalThrottled() for _ in range(100))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(90)
        await click
        await world.clock.advance(5)
        (decision,) = (await world.row(key)).decisions
        assert (decision.state, decision.outcome) == (DecisionState.RELEASED, "throttled")
    assert world.aws.signals == []


async def test_state_check_is_repeated_if_the_store_is_slow_after_the_check(world: World) -> None:
    """A person decides in the console while the store is slow after the state check.

    The second check finds that decision.
    """
    store = HangingStore()
    world = new_world(store=store)
    key = await world.posted()
    gate = world.aws.gates["execution"] = asyncio.Event()
    click = await clicked_until(world, key, "execution")
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
    """A store that answers the first write of "sending" only after `answers` is set; it takes effect immediately."""

    def __init__(self, tables: Tables | None = None) -> None:
        super().__init__(tables)
        self.taken, self.answers = asyncio.Event(), asyncio.Event()

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write immediately; answer the first write of "sending" after `answers` is set."""
        record = await super().apply(key, change, now=now)
        if not self.taken.is_set() and any(each.state is DecisionState.SENT for each in record.decisions):
            self.taken.set()
            await self.answers.wait()
        return record


async def test_vote_is_not_sent_if_its_level_is_completed_while_the_store_is_slow() -> None:
    """Level 1 is approved in the console before the store confirms "sending". The vote would count for level 2."""
    store = SlowToAnswer()
    world = new_world(store=store)
    key = await world.posted(levels=2)
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


async def test_two_clicks_of_one_person_on_one_level_send_one_signal_although_the_store_is_slow() -> None:
    """The store answers the write of "sending" after two minutes, when the person has clicked again.

    One decision is confirmed, and the other one is released.
    """
    store = SlowToAnswer()
    paused, other = two_replicas(store)
    key = await paused.posted(levels=2)
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


async def test_paused_worker_does_not_signal_after_its_hold_expired_and_another_worker_sent(world: World) -> None:
    """A worker pauses between check and signal. Another one takes the decision over, and one signal is sent."""
    store = HangingStore()
    paused, other = two_replicas(store)
    key = await paused.posted()
    gate = paused.aws.gates["execution"] = asyncio.Event()
    click = await clicked_until(paused, key, "execution")
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


async def test_vote_is_not_sent_if_the_answer_to_its_state_check_is_read_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is suspended when AWS answers, and meanwhile a person decides in the console.

    What the answer shows is no longer true. The state is read again.
    """
    key = await world.posted(levels=2)
    check = world.aws.execution

    async def read_late(checked: RequestKey, execution_id: str) -> Execution:
        monkeypatch.undo()
        answer = await check(checked, execution_id)
        world.aws.decide(key, Verdict.APPROVE, "from the console")
        world.clock.set_to(world.clock.now() + FRESH + timedelta(seconds=1))
        return answer

    monkeypatch.setattr(world.aws, "execution", read_late)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(10)
        await click
    assert world.aws.signals == []
    assert [each.outcome for each in (await world.row(key)).decisions] == [Outcome.STEP_PASSED]


async def test_paused_worker_does_not_signal_while_another_worker_sends() -> None:
    """The paused worker continues while another worker sends the signal. That signal is the only one."""
    store = HangingStore()
    paused, other = two_replicas(store)
    key = await paused.posted()
    gates = paused.aws.gates
    checked, answered = gates["execution"], gates["signal"] = asyncio.Event(), asyncio.Event()
    click = await clicked_until(paused, key, "execution")
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


async def test_slow_worker_does_not_release_a_decision_that_another_worker_sent() -> None:
    """Another worker's signal took effect. The slow worker finds no waiting level, and the vote stays confirmed."""
    store = MemoryStore()
    paused, other = two_replicas(store)
    key = await paused.posted()
    checked = paused.aws.gates["execution"] = asyncio.Event()
    click = await clicked_until(paused, key, "execution")
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


async def test_slow_worker_does_not_replace_the_outcome_of_another_worker() -> None:
    """Another worker's signal was not answered. The slow worker cannot read AWS; the outcome stays "no answer"."""
    store = MemoryStore()
    paused, other = two_replicas(store)
    key = await paused.posted()
    checked = paused.aws.gates["execution"] = asyncio.Event()
    click = await clicked_until(paused, key, "execution")
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
