"""What became of a signal that AWS never answered, judged from what AWS shows afterwards. It is never sent again."""

from datetime import datetime

from bot.domain.claims import voted_by
from bot.domain.decision import Decision, DecisionEvent, Outcome
from bot.domain.record import Record
from bot.domain.request import Level, LevelState, Verdict

_REACHED = {Verdict.APPROVE: LevelState.APPROVED, Verdict.REJECT: LevelState.REJECTED}


def settle_unknown(record: Record, decision: Decision, now: datetime) -> Decision:
    """Return an unknown decision as seen, as without effect, or, while its minute lasts, as it is."""
    level = record.request.level(decision.step) if record.request else None
    if level and _had_effect(level, decision):
        return decision.after(DecisionEvent.SEEN, at=now)
    if _over(record, decision) and level and level.votes is not None:
        return decision.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.SETTLED)
    if now > decision.lapses_at:
        return decision.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.NO_ANSWER)
    return decision


def _had_effect(level: Level, decision: Decision) -> bool:
    if level.votes is not None:
        return any(voted_by(vote, decision) for vote in level.votes)
    return level.state is _REACHED[decision.verdict]  # votes are unreadable, and the level went where it would lead


def _over(record: Record, decision: Decision) -> bool:
    request = record.request
    if request is None:
        return False
    return request.status.ended or bool(request.waiting and request.waiting.step != decision.step)
