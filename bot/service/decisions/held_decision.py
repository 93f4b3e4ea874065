"""Changes the row of one claimed decision, for the process that works on it. Makes no call to AWS.

A write is repeated while the store fails, so that the decision continues as soon as the store answers. A write whose
answer was lost may be stored, so each change recognizes its own effect.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bot.domain.decision import (
    HOLD,
    QUEUE_HOLD,
    TRANSITIONS,
    Decision,
    DecisionEvent,
    DecisionState,
    Outcome,
)
from bot.domain.record import Record
from bot.domain.request import Level, RequestKey
from bot.domain.rules.claims import has_room
from bot.domain.rules.permission import Refusal
from bot.ports.aws import Signal
from bot.ports.clock import Clock
from bot.service.decisions.permission_check import Actor, PermissionCheck
from bot.service.decisions.state_check import SignalResult, TryAgain, is_fresh
from bot.service.rows import Rows


class NotPermitted(Exception):
    """The rules do not permit the decision at the moment of its signal. The row was not written."""

    def __init__(self, why: SignalResult | TryAgain) -> None:
        super().__init__(why)
        self.why = why


class HeldDecision:
    """One claimed decision and its row. Every change may raise StoreUnavailable."""

    def __init__(
        self, key: RequestKey, decision_id: str, *, rows: Rows, permission: PermissionCheck, clock: Clock
    ) -> None:
        self._rows, self._permission, self._clock = rows, permission, clock
        self._key, self._decision_id = key, decision_id
        self._worker = uuid.uuid4().hex

    # --- hold

    async def wait_on(self) -> Decision | None:
        """Renew the hold of a decision that waits for its turn, and return it; None if it is no longer claimed.

        Tries the write once.
        """
        held_until = self._clock.now() + QUEUE_HOLD

        def wait(row: Record) -> Record:
            return self._changed(row, lambda decision: _held(decision, held_until))

        return self.claimed_in(await self._rows.apply(self._key, wait))

    async def hand_over(self) -> None:
        """Give the hold up, so that another process can take the decision over at once. Tries the write once."""
        now = self._clock.now()
        await self._rows.apply(self._key, lambda row: self._changed(row, lambda each: _held(each, now)).requeue_by(now))

    async def queue_again(self) -> None:
        """Store that the decision waits for its turn after all, and hold it meanwhile."""

        def wait(decision: Decision) -> Decision:
            held = _held(decision, self._clock.now() + QUEUE_HOLD)
            return replace(held, turn_at=None) if held.state is DecisionState.CLAIMED else held

        await self._change(wait)

    async def begin(self) -> Record:
        """Hold the decision, and store when its turn began: from then on it has a minute."""

        def begin(decision: Decision) -> Decision:
            now = self._clock.now()
            return replace(_held(decision, now + HOLD), turn_at=now) if decision.queued else _held(decision, now + HOLD)

        return await self._change(begin)

    async def hold(self) -> Record:
        """Renew the hold."""
        return await self._change(lambda decision: _held(decision, self._clock.now() + HOLD))

    async def row(self) -> Record:
        """Return the row as it is stored now. Repeats the call for up to a minute while the store fails.

        Raises StoreUnavailable.
        """
        return await self._rows.persist(self._key, lambda row: row)

    # --- send

    async def sending(
        self, signal: Signal, level: Level | None, actor: Actor | None, *, checked_at: datetime
    ) -> Record:
        """Check for the last time that the signal may be sent, and store that it is being sent.

        The decision stays claimed, and the state must be read again, if the check is too old (another worker may have
        sent meanwhile), if votes that were already sent may complete the level, or if a newer version stored a decision
        that this one cannot read. An expired decision is released.

        Raises NotPermitted, and IllegalTransition if another worker has sent or settled the decision.
        """

        def send(decision: Decision) -> Decision:
            now = self._clock.now()
            sent = decision.after(DecisionEvent.SENDING, at=now)  # first: raises if another worker has sent it
            if not is_fresh(checked_at, now):
                return decision
            if decision.is_expired(now):
                return decision.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.EXPIRED)
            return replace(
                sent,
                held_until=now + HOLD,
                role=signal.role,
                execution_id=signal.execution_id,
                sent_comment=signal.comment,
                worker=self._worker,
            )

        def change(row: Record) -> Record:
            decision = row.decision(self._decision_id)
            if decision and self.is_sent_in(row) and is_own(decision, self._worker):
                return row  # stored by an earlier try, whose answer was lost
            sent = self._changed(row, send)
            if decision and (objection := self._permission.objection(row, decision, actor)):
                raise NotPermitted(objection)
            is_full = decision and level and not has_room(decision, level, row.decisions, self._clock.now())
            return row if is_full or row.has_unrecognized_decision else sent

        return await self._rows.persist(self._key, change)

    # --- after a run

    async def remember(self, why: TryAgain) -> Record:
        """Store why the signal could not be sent now. If the time runs out, this is the decision's outcome."""

        def remember(decision: Decision) -> Decision:
            if decision.state is not DecisionState.CLAIMED:
                return decision  # another worker sent it
            return replace(decision, outcome=why.outcome, detail=why.detail)

        def change(row: Record) -> Record:
            # a reconciliation identifies the requester by the current rules
            due = row.requeue_by(self._clock.now()) if why.detail == Refusal.RECONFIGURED else row
            return self._changed(due, remember)

        return await self._rows.persist(self._key, change)

    async def settle(self, result: SignalResult) -> Record:
        """Store how the run ended, and make the row due. A decision that another worker sent or settled stays."""
        now = self._clock.now()

        def settle(decision: Decision) -> Decision:
            if (decision.state, result.event) not in TRANSITIONS:
                return decision  # another process settled it
            if result.event is DecisionEvent.WITHDRAWN and decision.state is not DecisionState.CLAIMED:
                return decision  # another worker has sent it; AWS shows the result
            if result.event is DecisionEvent.THROTTLED and not is_own(decision, self._worker):
                return decision  # another worker is sending it; its signal may take effect
            settled = decision.after(result.event, at=now, outcome=result.outcome, detail=result.detail)
            return replace(settled, withdrawn_by=result.withdrawn_by, worker="")

        return await self._rows.persist(self._key, lambda row: self._changed(row, settle).requeue_first(now))

    # --- read a row

    def claimed_in(self, row: Record) -> Decision | None:
        """Return the decision if it is claimed in this row, else None."""
        decision = row.decision(self._decision_id)
        return decision if decision and decision.state is DecisionState.CLAIMED else None

    def has_turn_in(self, row: Record) -> bool:
        """True if the decision is claimed in this row, and its turn has begun."""
        decision = self.claimed_in(row)
        return decision is not None and not decision.queued

    def is_sent_in(self, row: Record) -> bool:
        """True if the row says that the decision is being sent."""
        decision = row.decision(self._decision_id)
        return decision is not None and decision.state is DecisionState.SENT

    async def _change(self, change: Callable[[Decision], Decision]) -> Record:
        return await self._rows.persist(self._key, lambda row: self._changed(row, change))

    def _changed(self, row: Record, change: Callable[[Decision], Decision]) -> Record:
        decision = row.decision(self._decision_id)
        return row.with_decision(change(decision)) if decision else row


def is_own(decision: Decision, worker: str) -> bool:
    """True if this worker stored that the decision is being sent. No other worker knows whether its signal was sent."""
    return decision.worker == worker


def _held(decision: Decision, until: datetime) -> Decision:
    return replace(decision, held_until=until) if decision.state is DecisionState.CLAIMED else decision
