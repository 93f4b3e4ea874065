"""Finds out whether an unanswered signal took effect, from the facts that AWS shows later. It is never sent again."""

from dataclasses import replace
from datetime import datetime

from bot.domain.claims import voted_by
from bot.domain.decision import Decision, DecisionEvent, Outcome
from bot.domain.record import Record
from bot.domain.request import STATUS_AFTER, AccessRequest, Level, LevelState, Verdict, Withdrawal

_REACHED = {Verdict.APPROVE: LevelState.APPROVED, Verdict.REJECT: LevelState.REJECTED}


def settle_unknown(record: Record, decision: Decision, now: datetime) -> Decision:
    """Settle an unknown decision once AWS shows its effect, or that it can have none, or after its deadline.

    Until then, return it unchanged; only a click that lies in the future is dated now.
    """
    if record.request and _had_effect(record.request, decision):
        return decision.after(DecisionEvent.SEEN, at=now)
    if record.request and _moved_past(record.request, decision):
        return decision.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.SETTLED)
    if decision.is_dated_ahead(now):
        return replace(decision, clicked_at=now, turn_at=None)  # AWS gets the whole span to show the effect
    if now > decision.effect_deadline:
        return decision.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.NO_ANSWER)
    return decision


def _had_effect(request: AccessRequest, decision: Decision) -> bool:
    """True if AWS shows the effect. For withdrawals only the status counts, because AWS names no author of them."""
    if isinstance(decision.verdict, Withdrawal):
        return request.status is STATUS_AFTER[decision.verdict]
    level = request.level(decision.step)
    return level is not None and _counted(level, decision, decision.verdict)


def _counted(level: Level, decision: Decision, verdict: Verdict) -> bool:
    if level.votes is not None:
        return any(voted_by(vote, decision) for vote in level.votes)
    return level.state is _REACHED[verdict]  # votes are unreadable, and the level ended as this vote would end it


def _moved_past(request: AccessRequest, decision: Decision) -> bool:
    closed = request.is_closed_to(decision.verdict)
    if isinstance(decision.verdict, Withdrawal):
        return closed
    level = request.level(decision.step)
    passed = closed or bool(request.waiting and request.waiting.step != decision.step)
    return passed and level is not None and level.votes is not None
