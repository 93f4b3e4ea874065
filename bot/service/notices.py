"""What a clicker is told, from the row alone: who decided, when and with which comment, as far as AWS tells."""

from bot.domain.card import deciding_line
from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.record import Record
from bot.domain.request import LevelState, Status, Verdict
from bot.domain.views import DecisionLine, Notice, NoticeCode, Tone

_UNDONE = {
    Outcome.SETTLED: NoticeCode.ENDED,
    Outcome.STEP_PASSED: NoticeCode.STEP_PASSED,
    Outcome.EXPIRED: NoticeCode.EXPIRED,
    Outcome.THROTTLED: NoticeCode.THROTTLED,
    Outcome.UNREADABLE: NoticeCode.UNREADABLE,
    Outcome.AWS_REFUSED: NoticeCode.AWS_REFUSED,
    Outcome.AWS_DENIED: NoticeCode.AWS_DENIED,
    Outcome.NO_ANSWER: NoticeCode.NO_ANSWER,
}
_VERDICTS = {Status.APPROVED: Verdict.APPROVE, Status.REJECTED: Verdict.REJECT}


def notice_of_ending(record: Record, step: str, *, typed: str = "") -> Notice:
    """Tell somebody who came too late what happened: at this step, or to the whole request."""
    request = record.request
    if request is None:
        return Notice(NoticeCode.NOT_FOUND, typed=typed)
    if not request.status.ended:
        return _of_line(NoticeCode.STEP_PASSED, _approval_at(record, step), typed)
    verdict = _VERDICTS.get(request.status)
    if verdict is None:
        return Notice(NoticeCode.ENDED, Tone.INFO, typed=typed)
    return _of_line(NoticeCode.DECIDED, deciding_line(record) or DecisionLine(verdict, in_teams=False), typed)


def _approval_at(record: Record, step: str) -> DecisionLine | None:
    """Return our approval at a level that has passed; AWS's votes are not told apart by level in the lines."""
    ours = record.confirmed(step, Verdict.APPROVE)
    if not ours:
        return None
    last = ours[-1]
    return DecisionLine(last.verdict, last.person.shown_name, last.settled_at, last.comment or None)


def _of_line(code: NoticeCode, line: DecisionLine | None, typed: str) -> Notice:
    if line is None:
        return Notice(code, Tone.INFO, typed=typed)
    return Notice(code, Tone.INFO, line.who, line.verdict, line.at, line.comment, typed=typed)


def notice_of_decision(record: Record, decision_id: str, *, repeated: bool, typed: str) -> Notice | None:
    """Tell somebody what became of their own decision; nothing where the card itself says it all."""
    decision = record.decision(decision_id)
    if decision is None:
        return None
    if decision.state is DecisionState.CONFIRMED:
        return _of_confirmed(record, decision, repeated=repeated)
    if decision.outcome is not Outcome.AWS_DENIED and _over(record, decision):  # denial is for an admin to mend
        return notice_of_ending(record, decision.step, typed=typed)
    code = _UNDONE.get(decision.outcome, NoticeCode.NO_ANSWER) if decision.outcome else NoticeCode.NO_ANSWER
    return Notice(code, detail=decision.detail or None, typed=typed)


def _over(record: Record, decision: Decision) -> bool:
    """True if somebody else was faster: then who that was matters more than how AWS refused."""
    request = record.request
    return request is not None and (
        request.status.ended or (request.waiting is not None and request.waiting.step != decision.step)
    )


def _of_confirmed(record: Record, decision: Decision, *, repeated: bool) -> Notice | None:
    request = record.request
    if repeated:
        return Notice(
            NoticeCode.REPEATED,
            Tone.INFO,
            decision.person.shown_name,
            decision.verdict,
            decision.settled_at,
            decision.comment or None,
        )
    level = request.level(decision.step) if request else None
    if request and not request.status.ended and level and level.state is LevelState.WAITING:
        return Notice(NoticeCode.RECORDED, Tone.GOOD)
    return None
