"""Pure changes of a row: claim a decision for a click, and store the promise to post its outcome.

Only a click whose claim is stored reaches AWS. `bot.domain.rules.claims` has the rules.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.access.endings import Ending
from bot.domain.decision import DECISION_SPAN, HOLD, QUEUE_HOLD, Decision, DecisionEvent, Outcome
from bot.domain.effects import is_hidden_vote
from bot.domain.record import Record
from bot.domain.rules.claims import Claim, ClaimRefusal, claim, withdrawn_by
from bot.domain.shown.card_places import with_unknown_content
from bot.domain.shown.direct import with_unknown_messages
from bot.service.clicks.answers import Screen
from bot.service.decisions.permission_check import Inputs


class StaleCheck(Exception):
    """The row or the rules have changed since the permission check. The row was not written."""


class ClaimLost(Exception):
    """The claim was refused. The row was not written."""

    def __init__(self, refused: Claim) -> None:
        super().__init__(refused.refusal)
        self.claim = refused


@dataclass(frozen=True, slots=True)
class Permit:
    """A permission check that succeeded: it allows this decision while the row and the rules have these inputs."""

    decision: Decision
    inputs: Inputs
    ending: Ending | None = None  # of the open sessions, once the decision has revoked the access


def claimed(
    record: Record, permit: Permit, inputs: Inputs, now: datetime, *, queued_from: Screen | None = None
) -> Record:
    """Return the row with the permitted decision added. `inputs` are this row's current inputs to a permission check.

    Approvals that the decision withdraws are released (`withdrawn_by`). If the click is older than DECISION_SPAN, the
    decision itself is added as released, with the outcome EXPIRED.

    `queued_from` is the message that was clicked, if the decision has to wait for its turn. The person is then answered
    at once, so the row promises to post the outcome. Otherwise, its turn begins with the claim.

    An ending of sessions is added with its decision, unless the row has one that is not over.

    Raises ClaimLost if the claim is refused, or if the row has no facts or parts that this version cannot read.
    Raises StaleCheck if the inputs are not those of the permit.
    """
    unreadable = record.has_unrecognized_decision or (permit.ending is not None and record.has_unrecognized_ending)
    if record.request is None or unreadable:
        raise ClaimLost(Claim(ClaimRefusal.OTHERS_FIRST))
    decision = permit.decision
    answer = claim(
        person=decision.person,
        action=decision.action,
        step=decision.step,
        request=record.request,
        decisions=tuple(each for each in record.decisions if not is_hidden_vote(record, each)),
        now=now,
    )
    if answer.refusal:
        raise ClaimLost(answer)
    if inputs != permit.inputs:
        raise StaleCheck
    if now > decision.clicked_at + DECISION_SPAN:  # the store was slow, so the person may have clicked again
        late = replace(decision, announced=True).after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.EXPIRED)
        return record.with_decision(late).requeue_first(now)
    record = _without(record, withdrawn_by(decision.verdict, decision.step, record.decisions), decision.id, now)
    held_until = now + (QUEUE_HOLD if queued_from else HOLD)
    turn_at = None if queued_from else now
    held = record.with_decision(replace(decision, held_until=held_until, turn_at=turn_at)).requeue_by(held_until)
    held = _with_ending(held, permit.ending, now) if permit.ending else held
    return promised(held, decision.id, queued_from, now) if queued_from else held


def _with_ending(record: Record, ending: Ending, now: datetime) -> Record:
    record = record.with_settled_ending(now)  # one whose revocation failed is over
    return record if record.ending else record.with_ending(ending)


def _without(record: Record, withdrawn: tuple[Decision, ...], by: str, now: datetime) -> Record:
    """Return the row after the decision `by` withdrew approvals that were not sent. Their people are notified."""
    for each in withdrawn:
        released = each.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.WITHDRAWN)
        record = record.with_decision(replace(released, announced=True, withdrawn_by=by)).requeue_first(now)
    return record


def is_claimable(record: Record, permit: Permit, inputs: Inputs, now: datetime) -> bool:
    """True if the claim would not be refused, even if permission must be checked again before it."""
    try:
        claimed(record, permit, inputs, now)
    except ClaimLost:
        return False
    except StaleCheck:
        return True
    return True


def promised(record: Record, decision_id: str, screen: Screen, now: datetime) -> Record:
    """Return the row with the promise to post the decision's outcome, because the answer could not show it.

    A row without this decision is returned unchanged.
    """
    decision = record.decision(decision_id)
    if decision is None:
        return record
    # the person's card or message no longer has the content that was delivered
    shown = with_unknown_messages(record) if screen.personal else with_unknown_content(record, screen.channel.name)
    promise = shown.with_decision(replace(decision, announced=True))
    # cards that say who is queued must not delay the cards of new requests
    return promise.requeue_by(now) if decision.queued else promise.requeue_first(now)
