"""Entries of the audit trail: each click, each change of a decision, and their results.

The entries of a change follow from the row before and after it. The store therefore writes row and entries together,
and no code that sends to AWS can forget one. Must not know stores or logs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.domain.decision import Decision, DecisionState
from bot.domain.record import Record


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit trail: person, action, conversation and result. Entries never change."""

    at: datetime
    event: str  # clicked, or the new state of a decision: claimed, sent, accepted, refused, unanswered, released
    request: str = ""
    step: str = ""
    verb: str = ""
    person: str = ""  # object id
    person_name: str = ""
    tenant: str = ""
    conversation: str = ""
    outcome: str = ""  # the code of the answer to a click (`counted`: of several), or why a decision had no effect
    detail: str = ""  # AWS's error code, the code of a Refusal, or the number of counted clicks
    decision: str = ""  # the id that ties a decision's entries together
    state: str = ""  # status and waiting step of the request in the row
    execution: str = ""  # the automation execution that was signalled or stopped
    role: str = ""  # ARN of the role that sent it
    session: str = ""  # name of the role's session, which CloudTrail shows


CLICKED = "clicked"  # a click and the answer to it
EVENTS: Final = {
    DecisionState.CLAIMED: "claimed",
    DecisionState.SENT: "sent",
    DecisionState.CONFIRMED: "accepted",
    DecisionState.REFUSED: "refused",
    DecisionState.UNKNOWN: "unanswered",
    DecisionState.RELEASED: "released",
}
"""The event in the trail for each state of a decision."""


def steps(before: Sequence[Decision], after: Record, *, at: datetime) -> Iterator[AuditEntry]:
    """Yield an entry for each decision that is new or has another state or outcome, in the order of the row."""
    known = {each.id: each for each in before}
    for decision in after.decisions:
        former = known.get(decision.id)
        if former is None or (former.state, former.outcome) != (decision.state, decision.outcome):
            yield _step(after, decision, at)


def _step(record: Record, decision: Decision, at: datetime) -> AuditEntry:
    person = decision.person
    return AuditEntry(
        at=at,
        event=EVENTS[decision.state],
        request=str(record.key),
        step=decision.step,
        verb=decision.verdict,
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
