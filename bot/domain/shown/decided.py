"""Lists the decisions on a request with their authors: for cards, notes in the thread and answers to clicks."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.effects import is_hidden_vote
from bot.domain.identity import Principal
from bot.domain.record import Record
from bot.domain.request import STATUS_AFTER, Action, Level, Status, Verdict, Withdrawal, asked_of_aws
from bot.domain.rules.claims import may_be_of, names_only_role, voted_by
from bot.domain.shown.views import DecisionLine

_SETTLED_BY: Mapping[Status, Action] = {
    Status.APPROVED: Verdict.APPROVE,
    Status.REJECTED: Verdict.REJECT,
    Status.REVOKED: Withdrawal.REVOKE,  # by an approver, or by the requester who gave the access back
    Status.CANCELLED: Withdrawal.CANCEL,
}


def decision_lines(record: Record) -> tuple[DecisionLine, ...]:
    """Return who decided what: level by level, then withdrawals, each oldest first.

    If someone voted outside Teams and is not a known Teams user, the line has the name that AWS records.
    """
    ours = effective_decisions(record)
    outside = (line for level in _levels(record) for line in _outside_lines(level, ours, dict(record.voters)))
    lines = [*map(decision_line, ours), *outside]
    order = {level.step: number for number, level in enumerate(_levels(record))}

    def turn(line: DecisionLine) -> tuple[int, float]:
        level = len(order) if isinstance(line.verdict, Withdrawal) else order.get(line.step, 0)
        return level, line.at.timestamp() if line.at else 0.0

    return tuple(sorted(lines, key=turn))


def effective_decisions(record: Record) -> list[Decision]:
    """Return the decisions from Teams that took effect: AWS accepted them, or shows them although it did not answer.

    Votes count once AWS accepted them, unless it does not show them in time. Withdrawals count only once AWS shows
    them, or the request is gone.
    """
    accepted = [
        each for each in record.decisions if each.state is DecisionState.CONFIRMED and not is_hidden(record, each)
    ]
    return [*accepted, *(each for each in record.decisions if _shown_unanswered(record, each, accepted))]


def is_hidden(record: Record, decision: Decision) -> bool:
    """True for an accepted decision that AWS does not show.

    Votes are hidden after EFFECT_SPAN. Withdrawals are hidden until AWS shows them, or the request is gone.
    """
    if isinstance(decision.verdict, Verdict):
        return is_hidden_vote(record, decision)
    status = record.request.status if record.request else Status.UNKNOWN
    return status not in {STATUS_AFTER[decision.verdict], Status.GONE}


def hidden_lines(record: Record) -> tuple[DecisionLine, ...]:
    """Return a line for each person and step with a hidden vote, unless another vote of the person counts there."""
    counted = {_place(each) for each in effective_decisions(record)}
    hidden = {_place(each): decision_line(each) for each in record.decisions if is_hidden_vote(record, each)}
    return tuple(line for place, line in hidden.items() if place not in counted)


def _place(decision: Decision) -> tuple[str, str]:
    return decision.step, decision.person.user


_MAY_HAVE_ARRIVED = frozenset({DecisionState.SENT, DecisionState.UNKNOWN})


def _shown_unanswered(record: Record, decision: Decision, accepted: Sequence[Decision]) -> bool:
    """True for a decision that AWS shows, although it did not answer or has not answered yet.

    AWS names no author of a withdrawal. So one counts only while its answer may still arrive, and if AWS has not
    accepted another withdrawal.
    """
    if isinstance(decision.verdict, Withdrawal):
        others = any(each.verdict is decision.verdict for each in accepted)
        shown = record.request is not None and record.request.status is STATUS_AFTER[decision.verdict]
        return decision.state in _MAY_HAVE_ARRIVED and shown and not others
    if decision.state not in _MAY_HAVE_ARRIVED and decision.outcome is not Outcome.NO_ANSWER:
        return False
    here = [each for each in accepted if _place(each) == _place(decision)]
    level = record.level(decision.step)
    return not here and any(voted_by(vote, decision) for vote in (level.votes if level else None) or ())


def deciding_line(record: Record) -> DecisionLine | None:
    """Return the decision that settled the request: the last vote at the last step, or a withdrawal.

    Return None if it is unknown, or if no decision has settled the request.
    """
    request = record.request
    verdict = _SETTLED_BY.get(request.status) if request else None
    if request is None or verdict is None:
        return None
    level = request.last_level if isinstance(verdict, Verdict) else None
    lines = [
        line
        for line in decision_lines(record)
        if asked_of_aws(line.verdict) is verdict and (not level or level.step == line.step)
    ]
    return lines[-1] if lines else None


def was_given_back(record: Record) -> bool:
    """True if the requester has ended the access before its time."""
    line = deciding_line(record)
    return line is not None and line.verdict is Withdrawal.GIVE_BACK


def _levels(record: Record) -> tuple[Level, ...]:
    return record.request.levels if record.request else ()


def decision_line(decision: Decision) -> DecisionLine:
    """Return the line for a decision made in Teams."""
    at = decision.settled_at or decision.clicked_at
    return DecisionLine(decision.action, decision.person.shown_name, at, decision.comment or None, step=decision.step)


def _outside_lines(level: Level, ours: Sequence[Decision], names: Mapping[str, str]) -> Iterator[DecisionLine]:
    here = [each for each in ours if each.step == level.step]
    votes = level.votes or ()
    unnamed = [each for each in here if not any(voted_by(vote, each) for vote in votes)]
    for vote in votes:
        own = next((each for each in unnamed if names_only_role(vote, each) and may_be_of(vote, each)), None)
        if own is not None and not any(voted_by(vote, each) for each in here):
            unnamed.remove(own)  # AWS shows neither its session nor its comment
        elif not any(voted_by(vote, each) for each in here):
            who = names.get(vote.by) or Principal.parse(vote.by).shown_name
            yield DecisionLine(vote.verdict, who, vote.at, vote.comment, in_teams=False, step=level.step)
