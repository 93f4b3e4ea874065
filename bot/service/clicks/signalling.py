"""Carries one claimed decision to AWS: the state check, the single signal, and what its answer means.

At most one signal leaves per decision. The state check comes right before every attempt, after everything that may
have to wait. Between the check and the signal there is one write of the row and nothing else; if that write took too
long, the signal is not sent and the check is repeated. After a lost reply nothing is sent again. Cancellations and
revocations take the same path.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bot.domain.claims import has_room
from bot.domain.decision import TRANSITIONS, Decision, DecisionEvent, DecisionState, IllegalTransition, Outcome
from bot.domain.identity import PERSON_TAG
from bot.domain.record import Record
from bot.domain.request import Level, RequestKey, Withdrawal
from bot.domain.routing import Channel
from bot.domain.shown.card_places import is_place_of
from bot.ports.aws import (
    AwsThrottled,
    AwsUnavailable,
    Requests,
    RoleSession,
    Signal,
    SignalLost,
    SignalRefused,
    SignalThrottled,
)
from bot.ports.clock import Clock
from bot.service.clicks.state_check import Attempt, state_check
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.telemetry import Telemetry
from bot.text.escape import one_line, plain_text

HOLD = timedelta(seconds=25)  # longer than preparing (15 s), most checks (20 s) or sending (7 s); renewed in between
READING = timedelta(seconds=20)  # how long the state check may take; a hold that would end within it is renewed first
FRESH = timedelta(seconds=5)  # after this a state check is too old to send on
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between attempts while AWS throttles
NOT_SENT = Attempt(DecisionEvent.THROTTLED, detail="NotLeft")
"""The signal was certainly not sent: as after throttling, the decision is claimed again."""
AWS_COMMENT_LIMIT = 512  # characters; SendAutomationSignal's payload
log = structlog.get_logger(__name__)


class Signalling:
    """Carries claimed decisions to their end."""

    def __init__(
        self,
        *,
        rows: Rows,
        requests: Requests,
        clock: Clock,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
    ) -> None:
        self._rows, self._requests, self._clock = rows, requests, clock
        self._configuration, self._telemetry = configuration, telemetry

    async def carry(self, key: RequestKey, decision_id: str) -> Record:
        """Work on a decision until it is settled or unknown. Returns the row as it is then."""
        pause = FIRST_PAUSE
        while True:
            record = await self._attempt(key, decision_id)
            decision = record.decision(decision_id)
            if decision is None or decision.state is not DecisionState.CLAIMED:
                return record
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self, key: RequestKey, decision_id: str) -> Record:
        record = await self._hold(key, decision_id)
        decision = record.decision(decision_id)
        execution_id = record.request.execution_id if record.request else None
        if decision is None or decision.state is not DecisionState.CLAIMED:
            return record
        if self._clock.now() > decision.deadline or execution_id is None:
            return await self._settle(key, decision_id, Attempt(DecisionEvent.WITHDRAWN, _expired(decision)))
        signal = self._signal(record, decision, execution_id)
        if gone := self._gone(record, decision):
            return await self._settle(key, decision_id, Attempt(DecisionEvent.WITHDRAWN, gone))
        try:
            await self._requests.prepare(signal)
        except SignalRefused as refused:
            return await self._settle(key, decision_id, _refused(DecisionEvent.WITHDRAWN, refused))
        except SignalThrottled:
            return await self._remember(key, decision_id, Outcome.THROTTLED)
        return await self._check_and_send(record, decision, signal)

    async def _check_and_send(self, record: Record, decision: Decision, signal: Signal) -> Record:
        if decision.held_until - self._clock.now() < READING:
            await self._hold(record.key, decision.id)
        try:
            found = await state_check(self._requests, self._clock, record, decision, signal.execution_id)
        except AwsUnavailable as problem:
            log.warning("state_unreadable", decision=decision.id, code=problem.code)
            throttled = isinstance(problem, AwsThrottled)
            return await self._remember(record.key, decision.id, Outcome.THROTTLED if throttled else Outcome.UNREADABLE)
        if isinstance(found, Attempt):
            return await self._settle(record.key, decision.id, found)
        return await self._send(record, decision, signal, found, checked_at=self._clock.now())

    async def _send(
        self, record: Record, decision: Decision, signal: Signal, level: Level | None, *, checked_at: datetime
    ) -> Record:
        try:
            sending = await self._sending(record.key, decision.id, signal, level, checked_at)
        except IllegalTransition:
            return await self._rows.load(record.key) or record  # another process took the decision over
        if not _may_leave(sending, decision.id):
            return sending
        if is_too_late(decision, checked_at=checked_at, now=self._clock.now()):  # the store was slow to answer
            return await self._settle(record.key, decision.id, NOT_SENT)
        attempt = await self._signalled(signal)
        self._telemetry.signals.labels(verdict=decision.verdict, result=attempt.event).inc()
        log.info("signal_sent", decision=decision.id, result=attempt.event, code=attempt.detail)
        return await self._settle(record.key, decision.id, attempt)

    async def _signalled(self, signal: Signal) -> Attempt:
        try:
            await self._requests.signal(signal)
        except SignalRefused as refused:
            return _refused(DecisionEvent.REFUSED, refused)
        except SignalThrottled:
            return Attempt(DecisionEvent.THROTTLED, Outcome.THROTTLED)
        except SignalLost:
            return Attempt(DecisionEvent.LOST)
        return Attempt(DecisionEvent.ANSWERED)

    def _signal(self, record: Record, decision: Decision, execution_id: str) -> Signal:
        return Signal(
            key=record.key,
            execution_id=execution_id,
            action=decision.verdict,
            comment=payload_comment(decision.comment, decision.person.shown_name),
            session=self._session(record, decision),
        )

    def _session(self, record: Record, decision: Decision) -> RoleSession | None:
        role, identity, person = self._role(record, decision), self._configuration.value.identity, decision.person
        if role is None:
            return None
        return RoleSession(
            role,
            person.session_name,
            source_identity=person.session_name if identity.source_identity else None,
            external_id=identity.external_id,
            tags=((PERSON_TAG, person.object_id),) if identity.session_tags else (),
        )

    def _gone(self, record: Record, decision: Decision) -> Outcome | None:
        """Return what the configuration no longer has since the click. The bot's own role is no substitute."""
        if decision.verdict is Withdrawal.CANCEL:
            return None if self._configuration.value.cancel_role(record.key) else Outcome.NO_CANCEL_ROLE
        channel = self._channel(record)
        permitted = channel is not None and is_place_of(record, channel, decision.conversation)
        role_removed = decision.in_role and self._role(record, decision) is None
        return None if permitted and not role_removed else Outcome.NOT_ROUTED

    def _role(self, record: Record, decision: Decision) -> str | None:
        if decision.verdict is Withdrawal.CANCEL:
            return self._configuration.value.cancel_role(record.key)
        channel = self._channel(record)
        return channel.role_at(decision.step, record.key.account) if channel else None

    def _channel(self, record: Record) -> Channel | None:
        return self._configuration.value.home(record)

    async def _hold(self, key: RequestKey, decision_id: str) -> Record:
        held_until = self._clock.now() + HOLD

        def hold(decision: Decision) -> Decision:
            return replace(decision, held_until=held_until)

        return await self._rows.apply(key, lambda row: _changed(row, decision_id, hold))

    async def _sending(
        self, key: RequestKey, decision_id: str, signal: Signal, level: Level | None, checked_at: datetime
    ) -> Record:
        """Store that the signal may leave, and check for the last time that it may.

        The decision stays claimed, and the state is read again, if the check is too old (another worker may have sent
        meanwhile) or if votes that already left may complete the level.
        """

        def send(decision: Decision) -> Decision:
            now = self._clock.now()
            sent = decision.after(DecisionEvent.SENDING, at=now)  # first: raises if another worker has sent it
            if now > checked_at + FRESH:
                return decision
            if now > decision.deadline:
                return decision.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.EXPIRED)
            leaving = replace(sent, held_until=now + HOLD, role=signal.role, execution_id=signal.execution_id)
            return leaving if signal.role else replace(leaving, sent_comment=signal.comment)

        def change(row: Record) -> Record:
            sent = _changed(row, decision_id, send)  # first, for the same reason
            decision = row.decision(decision_id)
            is_full = decision and level and not has_room(decision, level, row.decisions, self._clock.now())
            return row if is_full else sent

        return await self._rows.apply(key, change)

    async def _remember(self, key: RequestKey, decision_id: str, outcome: Outcome) -> Record:
        """Store why nothing could be sent, in case the time runs out."""

        def remember(decision: Decision) -> Decision:
            if decision.state is not DecisionState.CLAIMED:
                return decision  # another worker sent it
            return replace(decision, outcome=outcome)

        return await self._rows.apply(key, lambda row: _changed(row, decision_id, remember))

    async def _settle(self, key: RequestKey, decision_id: str, attempt: Attempt) -> Record:
        now = self._clock.now()

        def settle(decision: Decision) -> Decision:
            if (decision.state, attempt.event) not in TRANSITIONS:
                return decision  # another process settled it
            if attempt.event is DecisionEvent.WITHDRAWN and decision.state is not DecisionState.CLAIMED:
                return decision  # another worker sent it meanwhile; AWS shows what happened
            return decision.after(attempt.event, at=now, outcome=attempt.outcome, detail=attempt.detail)

        return await self._rows.apply(key, lambda row: _changed(row, decision_id, settle).requeue_first(now))


def _changed(record: Record, decision_id: str, change: Callable[[Decision], Decision]) -> Record:
    decision = record.decision(decision_id)
    return record.with_decision(change(decision)) if decision else record


def _may_leave(record: Record, decision_id: str) -> bool:
    decision = record.decision(decision_id)
    return decision is not None and decision.state is DecisionState.SENT


def is_too_late(decision: Decision, *, checked_at: datetime, now: datetime) -> bool:
    """True if the state check is too old, or the decision has expired."""
    return now > min(checked_at + FRESH, decision.deadline)


def _refused(event: DecisionEvent, refused: SignalRefused) -> Attempt:
    return Attempt(event, Outcome.AWS_DENIED if refused.denied else Outcome.AWS_REFUSED, refused.code)


def _expired(decision: Decision) -> Outcome:
    return decision.outcome or Outcome.EXPIRED


def payload_comment(comment: str, person: str) -> str:
    """Return the comment that AWS records: the person's words and name, at most AWS_COMMENT_LIMIT characters."""
    author = f"({one_line(person)} via Microsoft Teams)"
    words = plain_text(comment).strip()[: max(0, AWS_COMMENT_LIMIT - len(author) - 1)]
    return f"{words} {author}" if words else author[:AWS_COMMENT_LIMIT]
