"""Finds out from the facts that AWS shows later whether a signal took effect. It is never sent again.

These facts settle an unanswered signal. An accepted vote that AWS does not show in time is hidden: it counts as no
approval, and its person may try again.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.decision import Decision, DecisionEvent, DecisionState, Outcome
from bot.domain.identity import same_role
from bot.domain.record import Record
from bot.domain.request import STATUS_AFTER, AccessRequest, Level, LevelState, Verdict, Vote, Withdrawal
from bot.domain.rules.claims import EFFECT_SPAN, may_be_of, voted_by

_REACHED = {Verdict.APPROVE: LevelState.APPROVED, Verdict.REJECT: LevelState.REJECTED}


def settle_unknown(record: Record, decision: Decision, now: datetime) -> Decision:
    """Settle an unknown decision once AWS shows its effect, or that it can have none, or after its deadline.

    Until then, return it unchanged. But if its click or its turn lies in the future, set the click's time to `now`, and
    remove the turn.
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


# --- accepted votes that AWS does not show -----------------------------------------------------------------------

_MAY_COUNT = frozenset({DecisionState.SENT, DecisionState.CONFIRMED, DecisionState.UNKNOWN})


def is_hidden_vote(record: Record, decision: Decision) -> bool:
    """True for a vote that a complete read does not show, if that read began EFFECT_SPAN after AWS accepted the vote.

    False while the votes cannot be read, and if AWS shows a vote that may be this one (`may_be_of`).
    """
    if not isinstance(decision.verdict, Verdict) or decision.state is not DecisionState.CONFIRMED:
        return False
    level = record.level(decision.step)
    if level is None or level.votes is None or not _is_read_in_time(record, decision):
        return False
    return not _may_be_among(level.votes, decision, record.decisions)


def shares_role(record: Record, decision: Decision) -> bool:
    """True if another vote at the decision's step was cast in the same role: AWS may count only one vote of a role.

    No document says how AWS counts several sessions of one role.
    """
    level = record.level(decision.step)
    if level is None or decision.role is None or not isinstance(decision.verdict, Verdict):
        return False
    if any(_is_other_vote_in_role(vote, decision) for vote in level.votes or ()):
        return True
    accepted = (each for each in record.decisions if each.state is DecisionState.CONFIRMED and each.id != decision.id)
    return level.votes is None and any((each.step, each.role) == (decision.step, decision.role) for each in accepted)


def follows_vote_in_role(record: Record, decision: Decision) -> bool:
    """True if `shares_role`, or if AWS accepted another vote in the same role that the last read does not show yet."""
    accepted = (each for each in record.decisions if each.state is DecisionState.CONFIRMED and each.id != decision.id)
    place = (decision.step, decision.role)
    return isinstance(decision.verdict, Verdict) and (
        shares_role(record, decision)
        or any((each.step, each.role) == place and isinstance(each.verdict, Verdict) for each in accepted)
    )


def failed_by_role(record: Record, decision: Decision) -> bool:
    """True for a vote without effect, if the cause may be that its role had voted already."""
    refused = decision.state is DecisionState.REFUSED and decision.outcome in {Outcome.AWS_DENIED, Outcome.AWS_REFUSED}
    return (refused or is_hidden_vote(record, decision)) and shares_role(record, decision)


def role_that_does_not_count(record: Record) -> str | None:
    """Return the ARN of the role whose further votes at the waiting level had no effect, or None."""
    level = record.waiting_level
    if level is None:
        return None
    here = [each for each in record.decisions if each.step == level.step]
    counted_late = level.is_full and any(_is_read_in_time(record, each) for each in here)
    failed = (
        each.role for each in here if failed_by_role(record, each) or (counted_late and shares_role(record, each))
    )
    return next(failed, None)


def is_role_denied(record: Record) -> bool:
    """True if AWS denied a second vote of a role at the waiting level: the role may have lost its permission."""
    level = record.waiting_level
    return level is not None and any(
        each.step == level.step and each.outcome is Outcome.AWS_DENIED and failed_by_role(record, each)
        for each in record.decisions
    )


def _is_other_vote_in_role(vote: Vote, decision: Decision) -> bool:
    return same_role(vote.by, decision.role or "") and not voted_by(vote, decision)


def shown_earlier_vote(record: Record, decision: Decision, level: Level) -> Decision | None:
    """Return the hidden vote of the same person that AWS may show by now, or None. `level` was just read from AWS."""
    earlier = (each for each in record.decisions if each.id != decision.id and _is_of_same_person(each, decision))
    accepted = (each for each in earlier if each.state is DecisionState.CONFIRMED)
    votes = level.votes
    return next((each for each in accepted if votes is None or any(voted_by(vote, each) for vote in votes)), None)


def votes_due_at(record: Record, now: datetime) -> datetime | None:
    """Return when to read AWS to find out whether accepted votes are hidden or do not count; None if that is known."""
    settled = (each.settled_at for each in record.decisions if each.settled_at and _lacks_effect(record, each))
    due = (moment + EFFECT_SPAN for moment in settled if moment <= now + EFFECT_SPAN)
    return min((each for each in due if record.observed_at is None or record.observed_at < each), default=None)


def _lacks_effect(record: Record, decision: Decision) -> bool:
    """True for an accepted vote that the last read does not show, or whose level waits although it shows enough."""
    if not isinstance(decision.verdict, Verdict) or decision.state is not DecisionState.CONFIRMED:
        return False
    level = record.level(decision.step)
    if level is not None and level.is_full and level.state is LevelState.WAITING:
        return True
    return level is None or not any(voted_by(vote, decision) for vote in level.votes or ())


def _is_read_in_time(record: Record, decision: Decision) -> bool:
    """True if the last complete read of the votes began after EFFECT_SPAN, when AWS should show the decision.

    An answer that came more than a span after that read was stored by a clock that was ahead, so its span is over.
    """
    read_at, settled_at = record.votes_read_at, decision.settled_at
    if read_at is None or settled_at is None or record.votes_read_from < decision.settled_in:
        return False
    return read_at >= settled_at + EFFECT_SPAN or settled_at > read_at + EFFECT_SPAN


def _may_be_among(votes: Sequence[Vote], decision: Decision, decisions: Sequence[Decision]) -> bool:
    """True if one of the votes is, or may be, the decision's.

    If the person voted again, AWS's votes of that person belong to the latest decisions.
    """
    here = [each for each in decisions if each.step == decision.step]
    named = [vote for vote in votes if voted_by(vote, decision)]
    later = [each for each in here if each.clicked_at > decision.clicked_at and _may_count(each)]
    if len(named) > sum(any(voted_by(vote, each) for vote in named) for each in later):
        return True
    others = (vote for vote in votes if not any(voted_by(vote, each) for each in here))
    return any(may_be_of(vote, decision) for vote in others)


def _is_of_same_person(decision: Decision, other: Decision) -> bool:
    return (decision.step, decision.person.user) == (other.step, other.person.user)


def _may_count(decision: Decision) -> bool:
    return decision.state in _MAY_COUNT or decision.outcome is Outcome.NO_ANSWER
