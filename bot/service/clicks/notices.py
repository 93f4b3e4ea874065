"""Builds the notices for the person who clicked, from the row alone: who decided, when, and with which comment."""

from dataclasses import replace
from datetime import datetime

from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.effects import failed_by_role
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Action, LevelState, Status, Verdict, Withdrawal, asked_of_aws
from bot.domain.rules.claims import under_way
from bot.domain.rules.permission import Refusal
from bot.domain.shown.card import access_is_over
from bot.domain.shown.decided import deciding_line, decision_lines, is_hidden, was_given_back
from bot.domain.shown.views import DecisionLine, Notice, NoticeCode, Reason, Tone

# shown even if another person decided first, because an admin must fix the role
_DENIED = frozenset({Outcome.AWS_DENIED, Outcome.NO_CANCEL_ROLE})
_OF_REQUESTER: dict[tuple[Action, Outcome | None], NoticeCode] = {
    (Withdrawal.CANCEL, Outcome.AWS_DENIED): NoticeCode.CANCEL_DENIED,
    (Withdrawal.GIVE_BACK, Outcome.AWS_DENIED): NoticeCode.GIVE_BACK_DENIED,
    (Withdrawal.GIVE_BACK, Outcome.AWS_REFUSED): NoticeCode.GIVE_BACK_REFUSED,
}  # what AWS's refusal means for the requester
_REFUSALS = frozenset(map(str, Refusal))
_ENDED_AS: dict[Status, tuple[NoticeCode, Action]] = {
    Status.APPROVED: (NoticeCode.DECIDED, Verdict.APPROVE),
    Status.REJECTED: (NoticeCode.DECIDED, Verdict.REJECT),
    Status.REVOKED: (NoticeCode.REVOKED, Withdrawal.REVOKE),
    Status.CANCELLED: (NoticeCode.CANCELLED, Withdrawal.CANCEL),
}


def notice_of_too_late(record: Record, action: Action, step: str, now: datetime, *, typed: str = "") -> Notice | None:
    """Return why the button no longer works, or does not work yet; None while it works."""
    request = record.request
    if request is None or not _is_over(request, action, step, now):
        return None
    if asked_of_aws(action) is not Withdrawal.REVOKE:
        return notice_of_ending(record, step, typed=typed)
    if access_is_over(request, now):
        return Notice(NoticeCode.WINDOW_OVER, Tone.INFO, at=request.access_until, typed=typed)
    if request.status.ended:
        return notice_of_ending(record, step, typed=typed)
    return Notice(NoticeCode.NOT_APPROVED, Tone.INFO, typed=typed)


def _is_over(request: AccessRequest, action: Action, step: str, now: datetime) -> bool:
    match action:
        case Withdrawal.REVOKE | Withdrawal.GIVE_BACK:
            return request.status is not Status.APPROVED or access_is_over(request, now)
        case Withdrawal.CANCEL:
            return request.status.ended
        case _:
            return request.status.ended or (request.waiting is not None and request.waiting.step != step)


def notice_of_ending(record: Record, step: str, *, typed: str = "") -> Notice:
    """Return how this step or the whole request ended before a late click."""
    request = record.request
    if request is None:
        return Notice(NoticeCode.NOT_FOUND, typed=typed)
    if not request.status.ended:
        return _of_line(Outcome.STEP_PASSED, _approval_at(record, step), typed)
    ended_as = _ENDED_AS.get(request.status)
    if ended_as is None:
        return Notice(NoticeCode.ENDED, Tone.INFO, typed=typed)
    code, action = ended_as
    line = deciding_line(record)
    if line is None and code is NoticeCode.DECIDED:
        line = DecisionLine(action, in_teams=False)
    if was_given_back(record):
        code = NoticeCode.GIVEN_BACK
    return _of_line(code, line, typed)


def _approval_at(record: Record, step: str) -> DecisionLine | None:
    """Return the last approval at a passed level, from Teams or elsewhere; None if none took effect."""
    lines = [each for each in decision_lines(record) if (each.step, each.verdict) == (step, Verdict.APPROVE)]
    return lines[-1] if lines else None


def _of_line(code: Reason, line: DecisionLine | None, typed: str) -> Notice:
    if line is None:
        return Notice(code, Tone.INFO, typed=typed)
    return Notice(code, Tone.INFO, line.who, line.verdict, line.at, line.comment, typed=typed)


def notice_of_decision(record: Record, decision_id: str, now: datetime, *, repeated: bool, typed: str) -> Notice | None:
    """Return the result of the person's own decision; None if the card itself shows it, or the row lacks the decision.

    `repeated` is True if an earlier click made the decision.
    """
    decision = record.decision(decision_id)
    if decision is None:
        return None
    if decision.state is DecisionState.CONFIRMED:
        return _of_confirmed(record, decision, repeated=repeated)
    late = notice_of_too_late(record, decision.action, decision.step, now, typed=typed)
    same_role = failed_by_role(record, decision)
    if late and (same_role or decision.outcome not in _DENIED):  # who decided first matters more than how AWS refused
        return late
    if decision.outcome is Outcome.WITHDRAWN:
        return _withdrawn(record, decision, typed)
    code = _code_of_role(decision) if same_role else _code(decision)
    return Notice(code, detail=decision.detail or None, typed=typed)


def _withdrawn(record: Record, decision: Decision, typed: str) -> Notice:
    """Return the notice of a decision that was not sent, with the decision that replaced it, if any."""
    notice, by = Notice(Outcome.WITHDRAWN, Tone.INFO, typed=typed), record.decision(decision.withdrawn_by)
    if by and by.clicked_at < decision.clicked_at and by.person.user == decision.person.user:
        return _repeated(record, by)  # AWS shows the earlier vote after all
    return replace(notice, who=by.person.shown_name, verdict=by.action, at=by.clicked_at) if by else notice


def _code_of_role(decision: Decision) -> NoticeCode:
    return NoticeCode.SAME_ROLE_DENIED if decision.outcome is Outcome.AWS_DENIED else NoticeCode.SAME_ROLE


def _code(decision: Decision) -> Reason:
    if code := _OF_REQUESTER.get((decision.action, decision.outcome)):
        return code
    if decision.outcome is Outcome.NOT_PERMITTED and decision.detail in _REFUSALS:
        return Refusal(decision.detail)
    return NoticeCode.ENDED if decision.outcome is Outcome.SETTLED else decision.outcome or Outcome.NO_ANSWER


def _of_confirmed(record: Record, decision: Decision, *, repeated: bool) -> Notice | None:
    if failed_by_role(record, decision):
        return Notice(NoticeCode.SAME_ROLE)
    if is_hidden(record, decision):
        return Notice(NoticeCode.NOT_SHOWN)
    if repeated:
        return _repeated(record, decision)
    request = record.request
    level = record.level(decision.step)
    if request and not request.status.ended and level and level.state is LevelState.WAITING:
        return Notice(NoticeCode.SAME_ROLE) if level.is_full else Notice(NoticeCode.RECORDED, Tone.GOOD)
    return None


def _repeated(record: Record, decision: Decision) -> Notice:
    if isinstance(decision.verdict, Withdrawal):
        return notice_of_ending(record, decision.step)
    who, comment = decision.person.shown_name, decision.comment or None
    return Notice(NoticeCode.REPEATED, Tone.INFO, who, decision.verdict, decision.settled_at, comment)


def notice_of_blocked(record: Record, wanted: Decision, now: datetime) -> Notice:
    """Return the notice that this decision is blocked by another one, whose result AWS does not show yet."""
    others = (each for each in record.decisions if _blocks(each, wanted))
    first = next((each for each in others if under_way(each, record.request, now)), None)
    busy = Notice(NoticeCode.BUSY, Tone.INFO, typed=wanted.comment)
    if first is None:
        return busy
    return replace(busy, who=first.person.shown_name, verdict=first.action, at=first.clicked_at)


def _blocks(other: Decision, wanted: Decision) -> bool:
    if wanted.verdict is Withdrawal.REVOKE:
        return other.verdict is Withdrawal.REVOKE
    return Withdrawal.CANCEL in {other.verdict, wanted.verdict} or other.step == wanted.step
