"""Parses a ManualApprovalPolicy document: the duration of access, and the levels in order. Sans-IO.

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
    """The text is not an approval policy that can be parsed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The content of a policy. Its levels have not started."""

    duration: timedelta | None
    levels: tuple[Level, ...]


def parse_policy(content: object) -> Policy:
    """Parse the `Content` of GetDocument, which is JSON. Raises UnreadablePolicy."""
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


def merge_levels(planned: Sequence[Level], actual: Sequence[Level]) -> tuple[Level, ...]:
    """Return the levels of an execution (`actual`), completed from the policy (`planned`), in the policy's order.

    The policy may have been edited or replaced since; AWS applies the policy with which the execution began.
    """
    happened = {level.step: level for level in actual}
    known = {level.step for level in planned}
    both = [_merged(level, happened[level.step]) if level.step in happened else level for level in planned]
    return (*both, *(level for level in actual if level.step not in known))


def _merged(planned: Level, actual: Level) -> Level:
    return replace(
        actual,
        required=actual.required or planned.required,
        approvers=planned.approvers if actual.approvers is None else actual.approvers,
        timeout=actual.timeout or planned.timeout,
    )
