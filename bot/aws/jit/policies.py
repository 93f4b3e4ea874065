"""Reads a ManualApprovalPolicy document: how long access lasts, and the levels in their order. Sans-IO.

https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-just-in-time-node-access-create-manual-policies.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.aws.jit import approvals
from bot.aws.jit.assumptions import DEFAULT_APPROVAL_SECONDS
from bot.boto.fields import decoded, duration, mapping, text
from bot.domain.request import Level


class UnreadablePolicy(Exception):
    """The text is no approval policy that this room understands."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy says of every request under it. Its levels have not started."""

    duration: timedelta | None
    levels: tuple[Level, ...]


def parse_policy(content: object) -> Policy:
    """Read the `Content` of GetDocument, in JSON; raise UnreadablePolicy."""
    document = mapping(decoded(content))
    if not document:
        raise UnreadablePolicy
    levels = (_level(step) for step in approvals.steps(document.get("mainSteps")))
    return Policy(duration(document.get("accessDuration")), tuple(each for each in levels if each))


def _level(step: Mapping[str, object]) -> Level | None:
    name, inputs = text(step.get("name")), mapping(step.get("inputs"))
    if name is None:
        return None
    return Level(
        step=name,
        required=approvals.required(inputs) or (1 if "MinRequiredApprovals" not in inputs else None),
        approvers=approvals.approvers(inputs),
        votes=(),
        timeout=duration(step.get("timeoutSeconds", DEFAULT_APPROVAL_SECONDS)),
    )


def merged(planned: Sequence[Level], run: Sequence[Level]) -> tuple[Level, ...]:
    """Put what the run tells of each level before what the policy says of it, in the policy's order.

    The policy may have been edited since, or made anew: AWS counts by what the run began with.
    """
    happened = {level.step: level for level in run}
    known = {level.step for level in planned}
    both = [_merged(level, happened[level.step]) if level.step in happened else level for level in planned]
    return (*both, *(level for level in run if level.step not in known))


def _merged(planned: Level, run: Level) -> Level:
    return replace(
        run,
        required=run.required or planned.required,
        approvers=planned.approvers if run.approvers is None else run.approvers,
        timeout=run.timeout or planned.timeout,
    )
