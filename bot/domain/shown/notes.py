"""Builds the notes in the thread under a card: on each decision with its AWS call, and on the end of the request.

It must not know channels or deliveries; bot.domain.shown.surfaces adds them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.effects import failed_by_role, shares_role
from bot.domain.record import Record
from bot.domain.request import BY_REQUESTER, Action, Status, Verdict, Withdrawal
from bot.domain.rules.claims import awaits_effect
from bot.domain.shown.card import access_is_over, requester_is_person, requester_name
from bot.domain.shown.decided import deciding_line, effective_decisions, is_hidden
from bot.domain.shown.views import NoteKind, NoteView
from bot.domain.surface import DeliveryState

_NOTE_KINDS = {
    Verdict.APPROVE: NoteKind.APPROVAL,
    Verdict.REJECT: NoteKind.REJECTION,
    Withdrawal.REVOKE: NoteKind.REVOCATION,
    Withdrawal.CANCEL: NoteKind.CANCELLATION,
    Withdrawal.GIVE_BACK: NoteKind.GIVING_BACK,
}
_CALLS = {
    Verdict.APPROVE: "SendAutomationSignal Approve",
    Verdict.REJECT: "SendAutomationSignal Reject",
    Withdrawal.REVOKE: "SendAutomationSignal Revoke",
    Withdrawal.CANCEL: "StopAutomationExecution Cancel",
}
_NOT_SHOWN: Mapping[Action, NoteKind] = {
    Verdict.APPROVE: NoteKind.APPROVAL_NOT_SHOWN,
    Verdict.REJECT: NoteKind.REJECTION_NOT_SHOWN,
}
_UNDONE = frozenset({DecisionState.RELEASED, DecisionState.REFUSED})


@dataclass(frozen=True, slots=True)
class Note:
    """One note. If it is `overtaken`, it is outdated: it is skipped unless it was sent before."""

    name: str
    view: NoteView
    overtaken: bool = False


def thread_notes(record: Record, now: datetime) -> list[Note]:
    """Return the notes on a row's decisions and on its end, in the order in which they are posted."""
    notes = [note for each in record.decisions for note in _decision_notes(record, each, now)]
    notes += [_late_note(record, each) for each in effective_decisions(record) if each.outcome is Outcome.NO_ANSWER]
    if record.request and access_is_over(record.request, now):
        ended = replace(blank_note(record, NoteKind.ENDED), at=record.request.access_until)
        notes.append(Note("ended", ended))
    if ending := _ending_note(record):
        notes.append(Note(str(ending.status), ending))
    return notes


def blank_note(record: Record, kind: NoteKind) -> NoteView:
    """Return a note with only the facts of the request."""
    request = record.request
    node, person = request.shown_node if request else "", requester_is_person(record)
    return NoteView(kind, record.key.ops_item_id, node, requester=requester_name(record), requester_is_person=person)


def _decision_notes(record: Record, decision: Decision, now: datetime) -> Iterator[Note]:
    if decision.state is DecisionState.CONFIRMED and not is_hidden(record, decision):
        kind = _NOTE_KINDS[decision.action]
        view = _with_call(_note(record, decision, kind), decision, record)
        corrected = _was_reported_hidden(record, decision)
        yield Note(decision.id, view, overtaken=corrected)
        if corrected:
            yield Note(f"{decision.id}:shown", view)
    why = why_undone(record, decision, now)
    if why and decision.action not in BY_REQUESTER:  # requesters may not see the thread: they get a message
        yield _undone_note(record, decision, why, now)


def why_undone(record: Record, decision: Decision, now: datetime) -> str | None:
    """Return the code of the reason why an accepted or announced decision had no effect.

    Return None if it had an effect, may still have one, or was neither accepted nor announced.
    """
    if decision.state is DecisionState.CONFIRMED:
        hidden = is_hidden(record, decision) and not awaits_effect(decision, record.request, now)
        return "not_shown" if hidden else None
    if not decision.announced or decision.state not in _UNDONE:
        return None
    if failed_by_role(record, decision):
        return "same_role_denied" if decision.outcome is Outcome.AWS_DENIED else "same_role"
    if decision.action in BY_REQUESTER and decision.outcome is Outcome.AWS_DENIED:
        return f"{decision.action}_denied"
    return str(decision.outcome or Outcome.NO_ANSWER)


def _undone_note(record: Record, decision: Decision, why: str, now: datetime) -> Note:
    """Return the note on a decision without effect. Advice to click again is overtaken once that cannot succeed."""
    if why == "not_shown" and isinstance(decision.verdict, Verdict):
        return _hidden_vote_note(record, decision)
    if why == "not_shown":
        view = _with_call(_note(record, decision, NoteKind.NOT_SHOWN), decision, record)
        return Note(_hidden(decision), view, overtaken=not _is_still_possible(record, decision.verdict, now))
    if decision.state is DecisionState.RELEASED and decision.outcome is Outcome.NO_ANSWER:
        view = replace(_note(record, decision, NoteKind.UNANSWERED), action=decision.verdict)
        return Note(decision.id, view, overtaken=not _is_still_possible(record, decision.verdict, now))
    view = replace(_note(record, decision, NoteKind.UNDONE), action=decision.verdict, detail=why)
    by = record.decision(decision.withdrawn_by)
    return Note(decision.id, replace(view, by=by.person.shown_name) if by else view)


def _hidden_vote_note(record: Record, decision: Decision) -> Note:
    """Return the note that AWS does not show a vote. It corrects an earlier note, so nothing overtakes it."""
    waiting = record.waiting_level
    view = _with_call(_note(record, decision, _NOT_SHOWN[decision.verdict]), decision, record)
    if waiting is None or waiting.step != decision.step:
        return Note(_hidden(decision), view)
    advice = "same_role" if shares_role(record, decision) else "press_again"
    return Note(_hidden(decision), replace(view, detail=advice))


def _was_reported_hidden(record: Record, decision: Decision) -> bool:
    note = record.surface(f"note:{_hidden(decision)}")
    return isinstance(decision.verdict, Verdict) and note is not None and note.delivery is DeliveryState.DELIVERED


def _hidden(decision: Decision) -> str:
    return f"{decision.id}:hidden"


def _is_still_possible(record: Record, action: Action, now: datetime) -> bool:
    request = record.request
    if request is None or action is not Withdrawal.REVOKE:
        return request is None or not request.status.ended
    return request.status is Status.APPROVED and not access_is_over(request, now)


def _note(record: Record, decision: Decision, kind: NoteKind) -> NoteView:
    return replace(
        blank_note(record, kind),
        who=decision.person.shown_name,
        at=decision.settled_at,
        comment=decision.comment or None,
        detail=str(decision.outcome) if decision.outcome else None,
    )


def _late_note(record: Record, decision: Decision) -> Note:
    """Return the note on a decision that AWS never answered but shows later."""
    who, comment = decision.person.shown_name, decision.comment or None
    note = replace(blank_note(record, _NOTE_KINDS[decision.action]), who=who, at=decision.clicked_at, comment=comment)
    return Note(f"{decision.id}:shown", _with_call(note, decision, record))


def _with_call(note: NoteView, decision: Decision, record: Record) -> NoteView:
    """Add the call to AWS, and the role and session that made it, as CloudTrail shows them."""
    return replace(
        note,
        call=f"ssm:{_CALLS[decision.verdict]} ({record.key.region})",
        execution=decision.execution_id,
        role=decision.role.rpartition("/")[2] if decision.role else None,
        session=decision.person.session_name if decision.role else None,
    )


def _ending_note(record: Record) -> NoteView | None:
    """Return the note on the end of the request; None before the end, or if it was, or may be, decided in Teams."""
    request = record.request
    if request is None or not request.status.ended or record.live_decisions:
        return None
    line = deciding_line(record)
    if line and line.in_teams:
        return None
    note = replace(blank_note(record, NoteKind.OUTSIDE), status=request.status)
    return replace(note, who=line.who, at=line.at, comment=line.comment) if line else note
