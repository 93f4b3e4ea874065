"""Sends one claimed decision to AWS: permission, the state check, the signal, and the effect of AWS's answer.

A decision is sent again only if AWS certainly did not process its signal. The state check comes right before every
signal, after the steps that may have to wait. Between the check and the signal, the row is written once; if that write
took too long, the signal is not sent and the check is repeated. After a lost reply the signal is not repeated.
Cancellations and revocations are sent in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot.domain.claims import has_room
from bot.domain.decision import (
    HOLD,
    QUEUE_HOLD,
    TRANSITIONS,
    Decision,
    DecisionEvent,
    DecisionState,
    IllegalTransition,
    Outcome,
)
from bot.domain.permission import Refusal
from bot.domain.record import Record
from bot.domain.request import Level, RequestKey
from bot.ports.aws import AwsThrottled, AwsUnavailable, Requests, Signal, SignalLost, SignalRefused, SignalThrottled
from bot.ports.clock import Clock
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.clicks.permission_check import Actor, PermissionCheck
from bot.service.clicks.signal_content import removed_since, signal_of
from bot.service.clicks.state_check import SignalResult, TryAgain, state_check
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.telemetry import Telemetry

READING = timedelta(seconds=20)  # how long the state check may take; a hold that would end within it is renewed first
FRESH = timedelta(seconds=5)  # a state check that is older than this does not allow a signal
NOT_SENT = SignalResult(DecisionEvent.THROTTLED, detail="NotLeft")
"""The signal was certainly not sent, so the decision returns to CLAIMED, as after throttling."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignalServices:
    """The services that every attempt uses."""

    rows: Rows
    requests: Requests
    permission: PermissionCheck
    clock: Clock
    configuration: CurrentConfiguration
    telemetry: Telemetry
    outcomes: Outcomes


class NotPermitted(Exception):
    """The rules do not permit the decision at the moment of its signal. The row was not written."""

    def __init__(self, why: SignalResult | TryAgain) -> None:
        super().__init__(why)
        self.why = why


class SignalAttempt:
    """Sends one decision. It may run again while the decision stays claimed, and has no state between two runs."""

    def __init__(self, services: SignalServices, key: RequestKey, decision_id: str) -> None:
        self._rows, self._requests, self._clock = services.rows, services.requests, services.clock
        self._configuration, self._telemetry = services.configuration, services.telemetry
        self._outcomes = services.outcomes
        self._permission, self._key, self._decision_id = services.permission, key, decision_id

    async def wait_on(self) -> Decision | None:
        """Renew the hold of a decision that waits for its turn, and return it; None if it is no longer claimed.

        Raises StoreUnavailable.
        """
        held_until = self._clock.now() + QUEUE_HOLD
        return self._claimed(await self._change(lambda decision: _held(decision, held_until)))

    async def hand_over(self) -> None:
        """Give the hold up, so that another process can take the decision over at once. Raises StoreUnavailable."""
        now = self._clock.now()
        await self._rows.apply(self._key, lambda row: self._changed(row, lambda each: _held(each, now)).requeue_by(now))

    async def run(self) -> bool:
        """Hold, permit, prepare, check, permit again, send. Returns True if the decision stays claimed: run again.

        Raises StoreUnavailable.
        """
        return self._claimed(await self._run()) is not None

    async def _run(self) -> Record:
        record = await self._begin()
        decision = self._claimed(record)
        if decision is None:
            return record
        if objection := await self._objection(record, decision):
            return await self._stop(objection)
        signal = await self._prepare(record, decision)
        if not isinstance(signal, Signal):
            return await self._stop(signal)
        level = await self._check(record, decision, signal)
        if isinstance(level, SignalResult | TryAgain):
            return await self._stop(level)
        return await self._send(record, decision, signal, level, checked_at=self._clock.now())

    async def _objection(self, record: Record, decision: Decision) -> SignalResult | TryAgain | None:
        """Return why the decision must not be sent: it has expired, or the rules no longer permit it; else None."""
        if decision.is_expired(self._clock.now()):
            return SignalResult(DecisionEvent.WITHDRAWN, decision.outcome or Outcome.EXPIRED, decision.detail)
        actor = await self._permission.actor_of(record, decision)
        return self._permission.objection(record, decision, actor)

    async def _prepare(self, record: Record, decision: Decision) -> Signal | SignalResult | TryAgain:
        """Do everything that may have to wait: get the role's session, and wait for the quota."""
        configuration = self._configuration.value
        execution_id = record.request.execution_id if record.request else None
        if execution_id is None:
            return SignalResult(DecisionEvent.WITHDRAWN, decision.outcome or Outcome.EXPIRED)
        # by the configuration that also gives the role: without one, the bot's own credentials would be used
        if removed := removed_since(configuration, record, decision):
            return SignalResult(DecisionEvent.WITHDRAWN, removed)
        signal = signal_of(configuration, record, decision, execution_id)
        try:
            await self._requests.prepare(signal)
        except SignalRefused as refused:
            return _refused(DecisionEvent.WITHDRAWN, refused)
        except SignalThrottled:
            return TryAgain(Outcome.THROTTLED)
        return signal

    async def _check(
        self, record: Record, decision: Decision, signal: Signal
    ) -> Level | SignalResult | TryAgain | None:
        """Return why AWS does not accept the decision now; otherwise the level that waits for a vote.

        Return None for a cancellation or revocation that AWS accepts.
        """
        if decision.held_until - self._clock.now() < READING:
            await self._hold()
        try:
            return await state_check(self._requests, self._clock, record, decision, signal.execution_id)
        except AwsUnavailable as problem:
            log.warning("state_unreadable", decision=decision.id, code=problem.code)
            return TryAgain(Outcome.THROTTLED if isinstance(problem, AwsThrottled) else Outcome.UNREADABLE)

    async def _send(
        self, record: Record, decision: Decision, signal: Signal, level: Level | None, *, checked_at: datetime
    ) -> Record:
        """Store that the signal is being sent, then send it."""
        actor = await self._permission.actor_of(record, decision)
        revision = self._configuration.revision
        try:
            sending = await self._sending(signal, level, actor, checked_at)
        except NotPermitted as refused:
            return await self._stop(refused.why)
        except IllegalTransition:
            return await self._rows.load(self._key) or record  # another process took the decision over
        if not self._may_leave(sending):
            return sending
        too_late = is_too_late(decision, checked_at=checked_at, now=self._clock.now())
        if too_late or has_changed(self._configuration, revision):  # the store was slow to answer
            return await self._settle(NOT_SENT)
        result = await send_once(self._requests, signal)
        self._telemetry.signals.labels(verdict=decision.verdict, result=result.event).inc()
        write = log.warning if result.outcome is Outcome.AWS_DENIED else log.info
        write("signal_sent", decision=decision.id, result=result.event, code=result.detail)
        self._report(signal, result)
        return await self._settle(result)

    def _report(self, signal: Signal, result: SignalResult) -> None:
        """Report to the checks whether AWS lets the role decide."""
        if result.outcome is Outcome.AWS_DENIED:
            self._outcomes.failed(Work.SIGNAL, signal.role or "", code=result.detail)
        elif result.event is DecisionEvent.ANSWERED:
            self._outcomes.succeeded(Work.SIGNAL, signal.role or "")

    # --- changes of the row

    async def _begin(self) -> Record:
        """Hold the decision, and store when its turn began: from then on it has a minute."""
        now = self._clock.now()

        def begin(decision: Decision) -> Decision:
            return replace(_held(decision, now + HOLD), turn_at=now) if decision.queued else _held(decision, now + HOLD)

        return await self._change(begin)

    async def _hold(self) -> Record:
        held_until = self._clock.now() + HOLD
        return await self._change(lambda decision: _held(decision, held_until))

    async def _sending(self, signal: Signal, level: Level | None, actor: Actor | None, checked_at: datetime) -> Record:
        """Check for the last time that the signal may be sent, and store that it is being sent.

        The decision stays claimed, and the state is read again, if the check is too old (another worker may have sent
        meanwhile), if votes that were already sent may complete the level, or if a newer version stored a decision that
        this one cannot read. An expired decision is released.

        Raises NotPermitted, IllegalTransition if another worker has sent or settled the decision, or StoreUnavailable.
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
            )

        def change(row: Record) -> Record:
            sent = self._changed(row, send)  # first: raises if another worker has sent it
            decision = row.decision(self._decision_id)
            if decision and (objection := self._permission.objection(row, decision, actor)):
                raise NotPermitted(objection)
            is_full = decision and level and not has_room(decision, level, row.decisions, self._clock.now())
            return row if is_full or row.has_unrecognized_decision else sent

        return await self._rows.apply(self._key, change)

    async def _stop(self, why: SignalResult | TryAgain) -> Record:
        """End this run before the signal: settle the decision, or store why it must be tried again."""
        return await (self._settle(why) if isinstance(why, SignalResult) else self._remember(why))

    async def _remember(self, why: TryAgain) -> Record:
        """Store why the signal could not be sent now. If the time runs out, this is the decision's outcome."""

        def remember(decision: Decision) -> Decision:
            if decision.state is not DecisionState.CLAIMED:
                return decision  # another worker sent it
            return replace(decision, outcome=why.outcome, detail=why.detail)

        if why.detail == Refusal.RECONFIGURED:
            await self._rows.requeue(self._key)  # a reconciliation identifies the requester by the current rules
        return await self._change(remember)

    async def _settle(self, result: SignalResult) -> Record:
        now = self._clock.now()

        def settle(decision: Decision) -> Decision:
            if (decision.state, result.event) not in TRANSITIONS:
                return decision  # another process settled it
            if result.event is DecisionEvent.WITHDRAWN and decision.state is not DecisionState.CLAIMED:
                return decision  # another worker has sent it; AWS shows the result
            settled = decision.after(result.event, at=now, outcome=result.outcome, detail=result.detail)
            return replace(settled, withdrawn_by=result.withdrawn_by)

        return await self._rows.apply(self._key, lambda row: self._changed(row, settle).requeue_first(now))

    async def _change(self, change: Callable[[Decision], Decision]) -> Record:
        return await self._rows.apply(self._key, lambda row: self._changed(row, change))

    def _changed(self, row: Record, change: Callable[[Decision], Decision]) -> Record:
        decision = row.decision(self._decision_id)
        return row.with_decision(change(decision)) if decision else row

    def _claimed(self, row: Record) -> Decision | None:
        decision = row.decision(self._decision_id)
        return decision if decision and decision.state is DecisionState.CLAIMED else None

    def _may_leave(self, row: Record) -> bool:
        decision = row.decision(self._decision_id)
        return decision is not None and decision.state is DecisionState.SENT


def _held(decision: Decision, until: datetime) -> Decision:
    return replace(decision, held_until=until) if decision.state is DecisionState.CLAIMED else decision


async def send_once(requests: Requests, signal: Signal) -> SignalResult:
    """Send a signal once, and return the event that AWS's answer causes for the decision."""
    try:
        await requests.signal(signal)
    except SignalRefused as refused:
        return _refused(DecisionEvent.REFUSED, refused)
    except SignalThrottled:
        return SignalResult(DecisionEvent.THROTTLED, Outcome.THROTTLED)
    except SignalLost:
        return SignalResult(DecisionEvent.LOST)
    return SignalResult(DecisionEvent.ANSWERED)


def is_too_late(decision: Decision, *, checked_at: datetime, now: datetime) -> bool:
    """True if the state check is too old, or the decision has expired."""
    return not is_fresh(checked_at, now) or decision.is_expired(now)


def is_fresh(checked_at: datetime, now: datetime) -> bool:
    """True while a state check allows a signal. After the clock was set back its age is unknown."""
    return checked_at <= now <= checked_at + FRESH


def has_changed(configuration: CurrentConfiguration, revision: int) -> bool:
    """True if the configuration was replaced since the check that used this revision."""
    return configuration.revision != revision


def _refused(event: DecisionEvent, refused: SignalRefused) -> SignalResult:
    return SignalResult(event, Outcome.AWS_DENIED if refused.denied else Outcome.AWS_REFUSED, refused.code)
