"""Continues decisions that no process is working on any more, and settles those whose result is unknown."""

from dataclasses import replace
from datetime import datetime

from bot.concurrency.background import Background
from bot.domain.decision import HOLD, QUEUE_HOLD, Decision, DecisionEvent, DecisionState, Outcome
from bot.domain.effects import settle_unknown
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.clock import Clock
from bot.ports.store import StoreUncertain
from bot.service.decisions.signalling import Signalling
from bot.service.deliver.deliveries import Postponed
from bot.service.rows import Rows


class Recovering:
    """Recovers the live decisions of a row, under its lease. Start with `recover`."""

    def __init__(self, *, rows: Rows, signalling: Signalling, clock: Clock) -> None:
        self._rows, self._signalling, self._clock = rows, signalling, clock
        self._taken_over = Background()

    async def drain(self) -> None:
        """Wait for the decisions that were taken over from crashed processes."""
        await self._taken_over.drain()

    async def recover(self, record: Record) -> Record:
        """Settle unknown decisions, take over those whose hold has ended, and return the row. Call it after a read."""
        now = self._clock.now()
        for decision in record.live_decisions:
            if decision.state is DecisionState.UNKNOWN:
                record = await self._settle_unknown(record, decision)
            elif decision.hold_ended(now):
                record = await self._take_over(record, decision)
        return record

    async def continue_queued(self, record: Record) -> None:
        """Queue the decisions of a crashed process again. Raises Postponed if there were any.

        AWS is read later: hundreds of them have five minutes in all, and AWS allows only a few reads a second.
        """
        now = self._clock.now()
        left = [each for each in record.live_decisions if each.queued and each.hold_ended(now)]
        for decision in left:
            await self._take_over(record, decision)
        if left:
            raise Postponed(now)

    async def _settle_unknown(self, record: Record, decision: Decision) -> Record:
        def settle(row: Record) -> Record:
            current = row.decision(decision.id)
            if current is None or current.state is not DecisionState.UNKNOWN:
                return row
            settled = settle_unknown(row, current, self._clock.now())
            # this reconcile has already read the effect
            return row.with_decision(replace(settled, settled_in=row.observed_from))

        return await self._rows.apply(record.key, settle)

    async def _take_over(self, record: Record, decision: Decision) -> Record:
        """Take a decision over from a crashed process: continue, release or settle it as `taken_over` says."""
        now = self._clock.now()
        taken: Decision | None = None

        def adopt(row: Record) -> Record:
            nonlocal taken
            current = row.decision(decision.id)
            taken = taken_over(current, now) if current and current.hold_ended(now) else None
            return row.with_decision(taken) if taken else row

        try:
            adopted = await self._rows.apply(record.key, adopt)
        except StoreUncertain:  # if it is stored, the others wait for this process
            self._continue(record.key, taken)
            raise
        self._continue(record.key, taken)
        return adopted

    def _continue(self, key: RequestKey, taken: Decision | None) -> None:
        if taken and taken.state is DecisionState.CLAIMED:
            self._taken_over.begin(self._signalling.take_over(key, taken))


def taken_over(decision: Decision, now: datetime) -> Decision:
    """Return a decision of a crashed process as this process continues it.

    A sent one becomes unknown, an expired one is released, any other stays claimed. Its outcome must be posted.
    """
    announced = replace(decision, announced=True, held_until=min(decision.held_until, now))
    if decision.state is DecisionState.SENT:
        return announced.after(DecisionEvent.LOST, at=now)
    if decision.is_expired(now):
        return announced.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.EXPIRED)
    return replace(announced, held_until=now + (QUEUE_HOLD if decision.queued else HOLD))
