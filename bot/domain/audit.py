"""What the audit trail says: who tried what, what was sent to AWS for it, and what came of it.

What a change of a row says there follows from the row before and after it alone, so that whoever writes the row can
write both at once, and no path to AWS can forget to. Knows no store and no log.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.domain.decision import Decision, DecisionState
from bot.domain.record import Record


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who tried what, from where, and what came of it. Append-only."""

    at: datetime
    event: str  # clicked, or what became of a decision: claimed, sent, accepted, refused, unanswered, released
    request: str = ""
    step: str = ""
    verb: str = ""
    person: str = ""  # object id
    person_name: str = ""
    tenant: str = ""
    conversation: str = ""
    outcome: str = ""  # what the person was told, or why a decision came to nothing
    detail: str = ""  # AWS's error code
    decision: str = ""  # the id that ties a decision's entries together
    state: str = ""  # of the request and its waiting step, as the row had it
    execution: str = ""  # the automation execution that was signalled or stopped
    role: str = ""  # ARN of the role in which
    session: str = ""  # name of its session, which CloudTrail shows


CLICKED = "clicked"  # a press; of it the trail says what its person was told
EVENTS: Final = {
    DecisionState.CLAIMED: "claimed",
    DecisionState.SENT: "sent",
    DecisionState.CONFIRMED: "accepted",
    DecisionState.REFUSED: "refused",
    DecisionState.UNKNOWN: "unanswered",
    DecisionState.RELEASED: "released",
}
"""What each state of a decision is called in the trail."""


def steps(before: Sequence[Decision], after: Record, *, at: datetime) -> Iterator[AuditEntry]:
    """Yield what a change made of a row's decisions at a moment, in their order in the row."""
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
    """Say how the request stands in the row; for what was sent, that is what the state check had just confirmed."""
    request = record.request
    if request is None:
        return ""
    return f"{request.status} {request.waiting.step}" if request.waiting else str(request.status)
