"""Pure changes of a row: claim a decision for a click, and store the promise to post its outcome.

Only a click whose claim is stored reaches AWS. `bot.domain.claims` has the rules.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.claims import Claim, ClaimRefusal, claim
from bot.domain.decision import HOLD, Decision
from bot.domain.record import Record
from bot.domain.shown.card_places import with_unknown_content
from bot.service.clicks.answers import Screen
from bot.service.clicks.permission_check import Inputs


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


def claimed(record: Record, permit: Permit, inputs: Inputs, now: datetime) -> Record:
    """Return the row with the permitted decision added. `inputs` are this row's current inputs to a permission check.

    Raises ClaimLost or StaleCheck.
    """
    if record.request is None or record.has_unrecognized_decision:
        raise ClaimLost(Claim(ClaimRefusal.OTHERS_FIRST))
    decision = permit.decision
    answer = claim(
        person=decision.person,
        action=decision.verdict,
        step=decision.step,
        request=record.request,
        decisions=record.decisions,
        now=now,
    )
    if answer.refusal:
        raise ClaimLost(answer)
    if inputs != permit.inputs:
        raise StaleCheck
    held_until = now + HOLD
    return record.with_decision(replace(decision, held_until=held_until)).requeue_by(held_until)


def is_claimable(record: Record, permit: Permit, inputs: Inputs, now: datetime) -> bool:
    """True once no other decision blocks this one, even if its permission must be checked again."""
    try:
        claimed(record, permit, inputs, now)
    except ClaimLost:
        return False
    except StaleCheck:
        return True
    return True


def promised(record: Record, decision_id: str, screen: Screen, now: datetime) -> Record:
    """Return the row with the promise to post the decision's outcome: the person's card says only "applying…"."""
    decision = record.decision(decision_id)
    if decision is None:
        return record
    # the person's card no longer has the content that was delivered; a direct message is never updated
    shown = record if screen.personal else with_unknown_content(record, screen.channel.name)
    return shown.with_decision(replace(decision, announced=True)).requeue_first(now)
