"""Sends one claimed decision to AWS: permission, the state check, the signal, and the effect of AWS's answer.

A decision is sent again only if AWS certainly did not process its signal. The state check comes right before every
signal, after the steps that may have to wait. Between the check and the signal, the row is written once; if that write
took too long, the signal is not sent and the check is repeated. After a lost reply the signal is not repeated.
Cancellations and revocations are sent in the same way.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.domain.decision import Decision, DecisionEvent, IllegalTransition, Outcome
from bot.domain.effects import follows_vote_in_role
from bot.domain.record import Record
from bot.domain.request import Level
from bot.ports.aws import AwsThrottled, AwsUnavailable, Requests, Signal, SignalLost, SignalRefused, SignalThrottled
from bot.ports.clock import Clock
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.held_decision import HeldDecision, NotPermitted
from bot.service.decisions.permission_check import PermissionCheck
from bot.service.decisions.signal_content import removed_since, signal_of
from bot.service.decisions.state_check import SignalResult, TryAgain, is_fresh, state_check
from bot.service.rows import Rows
from bot.telemetry import Telemetry, observe_wait

READING = timedelta(seconds=20)  # how long the state check may take; a hold that would end within it is renewed first
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


class SignalAttempt:
    """Sends one decision. It may run again while the decision stays claimed, and has no state between two runs."""

    def __init__(self, services: SignalServices, held: HeldDecision) -> None:
        self._requests, self._permission, self._clock = services.requests, services.permission, services.clock
        self._configuration, self._telemetry = services.configuration, services.telemetry
        self._outcomes, self._held = services.outcomes, held

    async def run(self, begun: Record | None = None) -> bool:
        """Hold, permit, prepare, check, permit again, send. Returns True if the decision stays claimed: run again.

        `begun` is a row that was just stored and in which the decision is held and has its turn, if there is one. A
        store that fails for a time only delays the run. Raises StoreUnavailable if it fails for longer.
        """
        return self._held.claimed_in(await self._run(begun or await self._held.begin())) is not None

    async def _run(self, record: Record) -> Record:
        decision = self._held.claimed_in(record)
        if decision is None:
            return record
        if objection := await self._objection(record, decision):
            return await self._stop(objection)
        signal = await self._prepare(record, decision)
        if not isinstance(signal, Signal):
            return await self._stop(signal)
        if decision.held_until - self._clock.now() < READING:
            await self._held.hold()
        checked_at = self._clock.now()  # before the call: if the process pauses, an answer waits to be read
        level = await self._check(record, decision, signal)
        if isinstance(level, SignalResult | TryAgain):
            return await self._stop(level)
        return await self._send(record, decision, signal, level, checked_at=checked_at)

    async def _stop(self, why: SignalResult | TryAgain) -> Record:
        """End this run before the signal: settle the decision, or store why it must be tried again."""
        return await (self._held.settle(why) if isinstance(why, SignalResult) else self._held.remember(why))

    async def _objection(self, record: Record, decision: Decision) -> SignalResult | TryAgain | None:
        """Return why the decision must not be sent: it has expired, or the rules no longer permit it; else None."""
        if decision.is_expired(self._clock.now()):
            return SignalResult(DecisionEvent.WITHDRAWN, decision.outcome or Outcome.EXPIRED, decision.detail)
        actor = await self._permission.actor_of(record, decision)
        return self._permission.objection(record, decision, actor)

    async def _prepare(self, record: Record, decision: Decision) -> Signal | SignalResult | TryAgain:
        """Do everything that may have to wait: get the role's session, and wait for the quota.

        Return the signal, or why it is not sent.
        """
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
            sending = await self._held.sending(signal, level, actor, checked_at=checked_at)
        except NotPermitted as refused:
            return await self._stop(refused.why)
        except IllegalTransition:
            return await self._held.row()  # another process took the decision over
        if not self._held.is_sent_in(sending):
            return sending
        too_late = is_too_late(decision, checked_at=checked_at, now=self._clock.now())
        if too_late or has_changed(self._configuration, revision):  # the store was slow to answer
            return await self._held.settle(NOT_SENT)
        result = await send_once(self._requests, signal)
        self._telemetry.signals.labels(verdict=decision.action, result=result.event).inc()
        write = log.warning if result.outcome is Outcome.AWS_DENIED else log.info
        write("signal_sent", decision=decision.id, result=result.event, code=result.detail)
        self._report(signal, result, sending.decision(decision.id), sending)
        if result.event is DecisionEvent.ANSWERED:
            histogram = self._telemetry.click_to_confirmed.labels(verdict=decision.action)
            observe_wait(histogram, decision.clicked_at, self._clock.now())
        return await self._held.settle(result)

    def _report(self, signal: Signal, result: SignalResult, sent: Decision | None, record: Record) -> None:
        """Report to the checks whether AWS lets the role decide.

        AWS may deny the second vote of a role at a level although the role has the permission.
        """
        if result.outcome is Outcome.AWS_DENIED:
            if sent is None or not follows_vote_in_role(record, sent):
                self._outcomes.failed(Work.SIGNAL, signal.role or "", code=result.detail)
        elif result.event is DecisionEvent.ANSWERED:
            self._outcomes.succeeded(Work.SIGNAL, signal.role or "")


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


def has_changed(configuration: CurrentConfiguration, revision: int) -> bool:
    """True if the configuration was replaced since the check that used this revision."""
    return configuration.revision != revision


def _refused(event: DecisionEvent, refused: SignalRefused) -> SignalResult:
    return SignalResult(event, Outcome.AWS_DENIED if refused.denied else Outcome.AWS_REFUSED, refused.code)
