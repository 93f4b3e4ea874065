"""Carries one claimed decision to AWS: the state check, the single signal, and what the answer means.

A signal leaves at most once per decision. Before every attempt it is read whether AWS still takes it, after everything
that may have to be waited for: between that read and the signal there is one write of the row and nothing else, and if
that took longer than the read is good for, the signal stays. After a lost reply nothing is sent again. To cancel and to
revoke goes the same way.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from bot.domain.claims import has_room
from bot.domain.decision import TRANSITIONS, Decision, DecisionEvent, DecisionState, IllegalTransition, Outcome
from bot.domain.identity import PERSON_TAG
from bot.domain.record import Record
from bot.domain.request import Level, RequestKey, Verdict, Withdrawal
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
from bot.service.clicks.state_check import NOT_LEFT, Attempt, not_granted, not_waiting, not_waiting_at_all
from bot.service.configured import Configured
from bot.service.rows import Rows
from bot.telemetry import Telemetry
from bot.text.escape import one_line, plain_text

HOLD = timedelta(seconds=25)  # longer than preparing (15), reading (20, mostly) or sending (7) takes; renewed between
READING = timedelta(seconds=20)  # what the state check may take; a hold that would end within is renewed before it
FRESH = timedelta(seconds=5)  # a state that was read longer ago is read again before a signal leaves
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between attempts while AWS asks for patience
AWS_COMMENT_LIMIT = 512  # characters; SendAutomationSignal's payload
log = structlog.get_logger(__name__)


class Signalling:
    """Takes decisions from claimed to their end."""

    def __init__(
        self,
        *,
        rows: Rows,
        requests: Requests,
        clock: Clock,
        configured: Configured,
        telemetry: Telemetry,
    ) -> None:
        self._rows, self._requests, self._clock = rows, requests, clock
        self._configured, self._telemetry = configured, telemetry

    async def carry(self, key: RequestKey, decision_id: str) -> Record:
        """Work on a decision until it is settled or unknown; return the row as it is then."""
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
            return await self._settle(key, decision_id, Attempt(DecisionEvent.WITHDRAWN, _lapsed(decision)))
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
            found = await self._checked(record, decision, signal)
        except AwsUnavailable as problem:
            log.warning("state_unreadable", request=str(record.key), decision=decision.id, code=problem.code)
            throttled = isinstance(problem, AwsThrottled)
            return await self._remember(record.key, decision.id, Outcome.THROTTLED if throttled else Outcome.UNREADABLE)
        if isinstance(found, Attempt):
            return await self._settle(record.key, decision.id, found)
        return await self._send(record, decision, signal, found, checked_at=self._clock.now())

    async def _checked(self, record: Record, decision: Decision, signal: Signal) -> Attempt | Level | None:
        """Read whether AWS still takes this: an Attempt says why not; for a vote, the level that waits for it.

        Access that runs is granted by the OpsItem: the execution ended with the approval and knows of no revocation.
        Raises AwsUnavailable.
        """
        match decision.verdict:
            case Withdrawal.REVOKE:
                known = record.request.access_until if record.request else None
                return not_granted(await self._requests.grant(record.key), known, self._clock.now())
            case Withdrawal.CANCEL:
                return not_waiting_at_all(await self._requests.execution(record.key, signal.execution_id))
            case Verdict():
                execution = await self._requests.execution(record.key, signal.execution_id)
                return not_waiting(execution, decision) or execution.waiting
            case _:
                assert_never(decision.verdict)

    async def _send(
        self, record: Record, decision: Decision, signal: Signal, level: Level | None, *, checked_at: datetime
    ) -> Record:
        try:
            sending = await self._sending(record.key, decision.id, signal, level, checked_at)
        except IllegalTransition:
            return await self._rows.load(record.key) or record  # another process took it over
        if not _may_leave(sending, decision.id):
            return sending
        if self._clock.now() > min(checked_at + FRESH, decision.deadline):  # the store was slow to answer
            return await self._settle(record.key, decision.id, NOT_LEFT)
        attempt = await self._signalled(signal)
        self._telemetry.signals.labels(verdict=decision.verdict, result=attempt.event).inc()
        log.info(
            "signal_sent", request=str(record.key), decision=decision.id, result=attempt.event, code=attempt.detail
        )
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
            verdict=decision.verdict,
            comment=payload_comment(decision.comment, decision.person.shown_name),
            session=self._session(record, decision),
        )

    def _session(self, record: Record, decision: Decision) -> RoleSession | None:
        role, identity, person = self._role(record, decision), self._configured.identity, decision.person
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
        """Say what went from the configuration since the click: never with credentials that are nobody's."""
        if decision.verdict is Withdrawal.CANCEL:
            return None if self._configured.cancel_role(record.key) else Outcome.NO_CANCEL_ROLE
        channel = self._channel(record)
        judged_it = channel is not None and is_place_of(record, channel, decision.conversation)
        role_went = decision.in_role and self._role(record, decision) is None
        return None if judged_it and not role_went else Outcome.NOT_ROUTED

    def _role(self, record: Record, decision: Decision) -> str | None:
        if decision.verdict is Withdrawal.CANCEL:
            return self._configured.cancel_role(record.key)
        channel = self._channel(record)
        return channel.role_at(decision.step, record.key.account) if channel else None

    def _channel(self, record: Record) -> Channel | None:
        return self._configured.channel(record.route.channel) if record.route else None

    async def _hold(self, key: RequestKey, decision_id: str) -> Record:
        held_until = self._clock.now() + HOLD

        def hold(decision: Decision) -> Decision:
            return replace(decision, held_until=held_until)

        return await self._rows.apply(key, lambda row: _changed(row, decision_id, hold))

    async def _sending(
        self, key: RequestKey, decision_id: str, signal: Signal, level: Level | None, checked_at: datetime
    ) -> Record:
        """Make it durable that the signal may leave; the last check that it still may.

        Where the state was read too long ago (another worker may have sent meanwhile), or what has left already may
        take the level further, it stays claimed: read it again.
        """

        def send(decision: Decision) -> Decision:
            now = self._clock.now()
            sent = decision.after(DecisionEvent.SENDING, at=now)  # before all else: what another has sent is not ours
            if now > checked_at + FRESH:
                return decision
            if now > decision.deadline:
                return decision.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.EXPIRED)
            left = replace(sent, held_until=now + HOLD, role=signal.role, execution_id=signal.execution_id)
            return left if signal.role else replace(left, sent_comment=signal.comment)

        def change(row: Record) -> Record:
            sent = _changed(row, decision_id, send)  # before all else, again
            decision = row.decision(decision_id)
            crowded = decision and level and not has_room(decision, level, row.decisions, self._clock.now())
            return row if crowded else sent

        return await self._rows.apply(key, change)

    async def _remember(self, key: RequestKey, decision_id: str, outcome: Outcome) -> Record:
        """Keep why it did not come to sending, in case the time runs out."""

        def remember(decision: Decision) -> Decision:
            if decision.state is not DecisionState.CLAIMED:
                return decision  # another worker sent it: why this one could not says nothing about it
            return replace(decision, outcome=outcome)

        return await self._rows.apply(key, lambda row: _changed(row, decision_id, remember))

    async def _settle(self, key: RequestKey, decision_id: str, attempt: Attempt) -> Record:
        now = self._clock.now()

        def settle(decision: Decision) -> Decision:
            if (decision.state, attempt.event) not in TRANSITIONS:
                return decision  # another process took it over and settled it
            if attempt.event is DecisionEvent.WITHDRAWN and decision.state is not DecisionState.CLAIMED:
                return decision  # another worker sent it meanwhile; what is unknown is settled by what AWS shows
            return decision.after(attempt.event, at=now, outcome=attempt.outcome, detail=attempt.detail)

        return await self._rows.apply(key, lambda row: _changed(row, decision_id, settle).requeue_first(now))


def _changed(record: Record, decision_id: str, change: Callable[[Decision], Decision]) -> Record:
    decision = record.decision(decision_id)
    return record.with_decision(change(decision)) if decision else record


def _may_leave(record: Record, decision_id: str) -> bool:
    decision = record.decision(decision_id)
    return decision is not None and decision.state is DecisionState.SENT


def _refused(event: DecisionEvent, refused: SignalRefused) -> Attempt:
    return Attempt(event, Outcome.AWS_DENIED if refused.denied else Outcome.AWS_REFUSED, refused.code)


def _lapsed(decision: Decision) -> Outcome:
    return decision.outcome or Outcome.EXPIRED


def payload_comment(comment: str, person: str) -> str:
    """Return the comment that AWS records: the person's words and who it was, at most 512 characters."""
    author = f"({one_line(person)} via Microsoft Teams)"
    words = plain_text(comment).strip()[: max(0, AWS_COMMENT_LIMIT - len(author) - 1)]
    return f"{words} {author}" if words else author[:AWS_COMMENT_LIMIT]


def orphaned(decision: Decision, now: datetime) -> bool:
    """True for a decision whose process stopped working on it."""
    return decision.state in {DecisionState.CLAIMED, DecisionState.SENT} and decision.held_until <= now
