"""What the state check right before a signal says: AWS still takes it, or why not.

Knows what AWS answered; reads nothing itself.
"""

from dataclasses import dataclass
from datetime import datetime

from bot.domain.decision import Decision, DecisionEvent, Outcome
from bot.domain.request import Execution, Grant, Status


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to: the event for the decision, and why."""

    event: DecisionEvent
    outcome: Outcome | None = None
    detail: str = ""


NOT_LEFT = Attempt(DecisionEvent.THROTTLED, detail="NotLeft")
"""It was to be sent and was not, which is known for certain: as after a throttled call it is claimed again."""


def not_waiting(execution: Execution, decision: Decision) -> Attempt | None:
    """A vote is taken by the level that waits, and by no other."""
    if execution.status is Status.PENDING and execution.waiting and execution.waiting.step == decision.step:
        return None
    passed = execution.status is Status.PENDING and execution.waiting
    return Attempt(DecisionEvent.WITHDRAWN, Outcome.STEP_PASSED if passed else Outcome.SETTLED)


def not_waiting_at_all(execution: Execution) -> Attempt | None:
    """Whatever level waits, the request can be taken back."""
    waits = execution.status is Status.PENDING and execution.waiting is not None
    return None if waits else Attempt(DecisionEvent.WITHDRAWN, Outcome.SETTLED)


def not_granted(grant: Grant, known_until: datetime | None, now: datetime) -> Attempt | None:
    """Without an end that is known to be ahead there is no access that could be taken back."""
    until = grant.access_until or known_until
    runs = grant.status is Status.APPROVED and until is not None and now < until
    return None if runs else Attempt(DecisionEvent.WITHDRAWN, Outcome.SETTLED)
