"""Entries of the audit trail: each click, each change of a decision, their results, sessions on nodes and their ends.

The entries of a change follow from the row before and after it. The store therefore writes row and entries together,
and no code that sends to AWS can forget one. Must not know stores or logs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from bot.domain.access.endings import Ending, EndState
from bot.domain.access.sessions import SeenSession
from bot.domain.decision import Decision, DecisionState
from bot.domain.record import Record
from bot.domain.request import SessionAction


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit trail: person, action, conversation and result. Entries never change."""

    at: datetime
    # clicked; the new state of a decision: claimed, sent, accepted, refused, unanswered, released; session_opened or
    # session_ended, for a session on a node; end_… for a session that a person ends; ending_stopped
    event: str
    request: str = ""
    step: str = ""
    verb: str = ""
    person: str = ""  # object id
    person_name: str = ""
    tenant: str = ""
    conversation: str = ""
    # the code of the answer to a click (`counted`: of several), why a decision had no effect, whose a session is, or
    # why an ending of sessions stopped
    outcome: str = ""
    detail: str = ""  # AWS's error code, the code of a Refusal, the number of counted clicks, or a session's node
    decision: str = ""  # the id that ties a decision's entries together
    state: str = ""  # status and waiting step of the request in the row
    execution: str = ""  # the automation execution that was signalled or stopped
    role: str = ""  # ARN of the role that sent it
    session: str = ""  # name of the role's session, which CloudTrail shows; id of a session on a node


CLICKED = "clicked"  # a click and the answer to it
SESSION_OPENED, SESSION_ENDED = "session_opened", "session_ended"
EVENTS: Final = {
    DecisionState.CLAIMED: "claimed",
    DecisionState.SENT: "sent",
    DecisionState.CONFIRMED: "accepted",
    DecisionState.REFUSED: "refused",
    DecisionState.UNKNOWN: "unanswered",
    DecisionState.RELEASED: "released",
}
"""The event in the trail for each state of a decision."""
END_EVENTS: Final = {
    EndState.ASKED: "end_asked",
    EndState.ENDED: "end_confirmed",
    EndState.UNCONFIRMED: "end_unconfirmed",
    EndState.DENIED: "end_denied",
    EndState.FAILED: "end_failed",
}
"""The event in the trail for each state of a session that a person ends. One that is only planned has none."""
ENDING_STOPPED = "ending_stopped"


def steps(before: Record, after: Record, *, at: datetime) -> Iterator[AuditEntry]:
    """Yield an entry for each decision that is new or has another state or outcome, in the order of the row.

    Then yield one for each session that opened, ended, or turned out to be another person's or not; one for each
    session that a person ends and that is in another state; and one for each ending that stopped.
    """
    known = {each.id: each for each in before.decisions}
    for decision in after.decisions:
        former = known.get(decision.id)
        if former is None or (former.state, former.outcome) != (decision.state, decision.outcome):
            yield _step(after, decision, at)
    yield from _session_steps(before, after, at)
    yield from _ending_steps(before, after, at)


def _ending_steps(before: Record, after: Record, at: datetime) -> Iterator[AuditEntry]:
    known = {each.id: each for each in before.endings}
    for ending in after.endings:
        former = known.get(ending.id)
        if former is ending:
            continue
        states = {each.id: each.state for each in former.sessions} if former else {}
        for session in ending.sessions:
            if session.state in END_EVENTS and states.get(session.id) is not session.state:
                entry = _ending_step(after, ending, END_EVENTS[session.state], at)
                yield replace(entry, session=session.id, detail=session.detail or session.node, outcome=session.whose)
        if ending.stopped and (former is None or former.stopped is None):
            yield replace(_ending_step(after, ending, ENDING_STOPPED, at), outcome=ending.stopped)


def _ending_step(record: Record, ending: Ending, event: str, at: datetime) -> AuditEntry:
    person = ending.person
    return AuditEntry(
        at=at,
        event=event,
        request=str(record.key),
        step=ending.step,
        verb=SessionAction.END,
        person=person.object_id,
        person_name=person.name,
        tenant=person.tenant_id,
        conversation=ending.conversation,
        decision=ending.revocation,
        state=state_of(record),
    )


def _session_steps(before: Record, after: Record, at: datetime) -> Iterator[AuditEntry]:
    known = {each.id: each for each in before.usage.sessions} if before.usage else {}
    for session in after.usage.sessions if after.usage else ():
        former = known.get(session.id)
        if former is None or (former.open, former.whose) != (session.open, session.whose):
            yield _session_step(after, session, at)


def _session_step(record: Record, session: SeenSession, at: datetime) -> AuditEntry:
    return AuditEntry(
        at=at,
        event=SESSION_OPENED if session.open else SESSION_ENDED,
        request=str(record.key),
        outcome=str(session.whose),
        detail=session.node,
        state=state_of(record),
        session=session.id,
    )


def _step(record: Record, decision: Decision, at: datetime) -> AuditEntry:
    person = decision.person
    return AuditEntry(
        at=at,
        event=EVENTS[decision.state],
        request=str(record.key),
        step=decision.step,
        verb=decision.action,
        person=person.object_id,
        person_name=person.name,
        tenant=person.tenant_id,
        conversation=decision.conversation,
        outcome=str(decision.outcome or ""),
        detail=decision.detail,
        decision=decision.id,
        state=state_of(record),
        execution=decision.execution_id or "",
        role=decision.role or "",
        session=person.session_name if decision.role else "",
    )


def state_of(record: Record) -> str:
    """Return the request's status and waiting step as the row has them; "" for a row without facts."""
    request = record.request
    if request is None:
        return ""
    return f"{request.status} {request.waiting.step}" if request.waiting else str(request.status)
