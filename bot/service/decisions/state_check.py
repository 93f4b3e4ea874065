"""Checks right before a signal whether AWS still accepts the decision."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from bot.domain.decision import Decision, DecisionEvent, Outcome
from bot.domain.effects import shown_earlier_vote
from bot.domain.record import Record
from bot.domain.request import Execution, Grant, Level, Status, Verdict, Withdrawal
from bot.ports.aws import Requests
from bot.ports.clock import Clock

FRESH = timedelta(seconds=5)  # a state check that began earlier than this does not allow a signal


@dataclass(frozen=True, slots=True)
class SignalResult:
    """How an attempt to send a signal ended: the event for the decision, and why."""

    event: DecisionEvent
    outcome: Outcome | None = None
    detail: str = ""
    withdrawn_by: str = ""  # id of the decision that makes this one needless


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Why a signal cannot be sent now but perhaps soon. If the time runs out, `outcome` is the decision's outcome."""

    outcome: Outcome
    detail: str = ""


async def state_check(
    requests: Requests, clock: Clock, record: Record, decision: Decision, execution_id: str
) -> SignalResult | Level | None:
    """Return why AWS does not accept the decision now.

    Otherwise return the level that waits for a vote; None for a cancellation or revocation. A revocation is checked
    against the grant, because the execution ends with the approval and does not show revocations. Raises
    AwsUnavailable.
    """
    match decision.verdict:
        case Withdrawal.REVOKE | Withdrawal.GIVE_BACK:
            known_until = record.request.access_until if record.request else None
            return not_granted(await requests.grant(record.key), known_until, clock.now())
        case Withdrawal.CANCEL:
            return not_waiting_at_all(await requests.execution(record.key, execution_id))
        case Verdict():
            execution = await requests.execution(record.key, execution_id)
            level = execution.waiting
            return not_waiting(execution, decision) or (level and _already_shown(record, decision, level)) or level
        case _:
            assert_never(decision.verdict)


def not_waiting(execution: Execution, decision: Decision) -> SignalResult | None:
    """Return why a vote cannot be sent; None if its level waits for approval."""
    if execution.status is Status.PENDING and execution.waiting and execution.waiting.step == decision.step:
        return None
    passed = execution.status is Status.PENDING and execution.waiting
    return SignalResult(DecisionEvent.WITHDRAWN, Outcome.STEP_PASSED if passed else Outcome.SETTLED)


def _already_shown(record: Record, decision: Decision, level: Level) -> SignalResult | None:
    """Return that AWS shows the person's earlier vote after all, so that the vote must not be repeated; or None."""
    earlier = shown_earlier_vote(record, decision, level)
    return SignalResult(DecisionEvent.WITHDRAWN, Outcome.WITHDRAWN, withdrawn_by=earlier.id) if earlier else None


def not_waiting_at_all(execution: Execution) -> SignalResult | None:
    """Return why a request cannot be cancelled; None if a level waits for approval."""
    waits = execution.status is Status.PENDING and execution.waiting is not None
    return None if waits else SignalResult(DecisionEvent.WITHDRAWN, Outcome.SETTLED)


def not_granted(grant: Grant, known_until: datetime | None, now: datetime) -> SignalResult | None:
    """Return why access cannot be revoked; None if the request is approved and its access has an end in the future."""
    until = grant.access_until or known_until
    runs = grant.status is Status.APPROVED and until is not None and now < until
    return None if runs else SignalResult(DecisionEvent.WITHDRAWN, Outcome.SETTLED)


def is_fresh(checked_at: datetime, now: datetime) -> bool:
    """True while a state check, which began at `checked_at`, is new enough to allow a signal.

    False if its time lies in the future.
    """
    return checked_at <= now <= checked_at + FRESH
