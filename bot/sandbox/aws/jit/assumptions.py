"""All assumptions of the simulator about just-in-time node access that no primary source confirms.

A real account may behave differently. The product must work in both cases, so tests also start the sandbox with
other assumptions. https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-just-in-time-node-access.html
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bot.sandbox.aws.jit.requests import Decision, SecondVote, Status, Vote

# One policy for all nodes: the console offers it, but its document form was not found. State Manager uses this form.
ALL_NODES_TARGET: Final = ("InstanceIds", "*")

# `EnhancedApprovals.Approvers[].type`: only SSOGroup was seen for these policies; IamRole is Change Manager's value.
ROLE_APPROVER: Final = "IamRole"

MOST_NODES: Final = 5  # of a request; the model allows five targets, each with several values

OUTPUT_VALUE_LIMIT: Final = 512  # characters; botocore's AutomationParameterValue, the type of step outputs

# Words for the state of a step and an execution, from the enum AutomationExecutionStatus. The automation pages say
# Waiting, the events of this feature PendingApproval; an approved aws:approve step of other automations says Success.
EXECUTION_WORDS: Final = MappingProxyType(
    {
        Status.WAITING: "Waiting",
        Status.APPROVED: "Approved",
        Status.REJECTED: "Rejected",
        Status.TIMED_OUT: "TimedOut",
        Status.CANCELLED: "Cancelled",
        Status.REVOKED: "Approved",  # the automation ended successfully before the revocation; the enum has no Revoked
    }
)
STEP_WORDS: Final = MappingProxyType(
    {
        Status.NOT_STARTED: "Pending",
        Status.WAITING: "Waiting",
        Status.APPROVED: "Success",
        Status.REJECTED: "Rejected",
        Status.TIMED_OUT: "TimedOut",
        Status.CANCELLED: "Cancelled",
    }
)
# The aws:approve output ApprovalStatus is documented as Approved | Rejected | Waiting.
APPROVAL_WORDS: Final = MappingProxyType(
    {Status.WAITING: "Waiting", Status.APPROVED: "Approved", Status.REJECTED: "Rejected"}
)
# OpsItem and events: PendingApproval and Approved were seen, the other words are in the enum OpsItemStatus.
OPS_ITEM_WORDS: Final = MappingProxyType(
    {
        Status.WAITING: "PendingApproval",
        Status.APPROVED: "Approved",
        Status.REJECTED: "Rejected",
        Status.TIMED_OUT: "TimedOut",
        Status.CANCELLED: "Cancelled",
        Status.REVOKED: "Revoked",
        Status.FAILED: "Failed",
    }
)
# GetAccessToken has only five words. AWS does not document the word for a cancelled or failed request.
TOKEN_WORDS: Final = MappingProxyType(
    {
        Status.WAITING: "Pending",
        Status.APPROVED: "Approved",
        Status.REJECTED: "Rejected",
        Status.TIMED_OUT: "Expired",
        Status.CANCELLED: "Rejected",
        Status.REVOKED: "Revoked",
        Status.FAILED: "Rejected",
    }
)


class SessionOwner(StrEnum):
    """What AWS may list as the owner of a session that was opened with a token of just-in-time access."""

    NAMED = "named"  # the ARN of a session with the requester's session name
    RANDOM = "random"  # an ARN that names no one
    ABSENT = "absent"


class SessionEnd(StrEnum):
    """What AWS may do when a role ends a session that another principal started."""

    ENDS = "ends"
    STAYS = "stays"  # answered with status 200, although the session stays open
    DENIED = "denied"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The assumptions that a test may change."""

    execution_words: MappingProxyType[Status, str] = field(default_factory=lambda: EXECUTION_WORDS)
    step_words: MappingProxyType[Status, str] = field(default_factory=lambda: STEP_WORDS)
    events_after_decision: bool = True  # whether Rejected, TimedOut, Cancelled and Revoked have events
    decisions_shown: bool = True  # whether GetAutomationExecution shows who decided
    no_policy_error: str = "ValidationException"  # StartAccessRequest for a node that no policy targets
    not_an_approver_error: str = "InvalidAutomationSignalException"  # AccessDeniedException is possible too
    second_vote: SecondVote = SecondVote.COUNTED  # of several sessions of one role at a level
    roles_shown: bool = False  # whether the votes name the role instead of the session
    # AWS tags the execution after its start; until then, IAM denies what policies allow by that tag
    tagged_after: timedelta = timedelta(0)
    session_owner: SessionOwner = SessionOwner.NAMED
    session_type_shown: bool = True  # whether a listed session says that it is one of just-in-time access
    session_filter_known: bool = True  # whether sessions can be listed by that
    sessions_allowed: bool = True  # whether callers have the permission to list sessions
    session_end: SessionEnd = SessionEnd.ENDS
    tokens_outlive_revocation: bool = True  # whether a token that was given before Revoke still starts sessions
    requesters_may_revoke: bool = True  # whether AWS accepts Revoke in a role that is not an approver of the policy


def decision_json(vote: Vote, *, roles_shown: bool = False) -> str:
    """Return one element of the step output `ApproverDecisions`: JSON, with the comment cut to the value's limit.

    With `roles_shown`, it names the voter's role instead of the session.
    """
    word = "approved" if vote.decision is Decision.APPROVE else "rejected"
    decided = {"approver": vote.role if roles_shown else vote.voter, "decision": word, "time": vote.at.isoformat()}
    if not vote.comment:
        return json.dumps(decided)
    kept = vote.comment
    while len(text := json.dumps({**decided, "comment": kept}, ensure_ascii=False)) > OUTPUT_VALUE_LIMIT:
        kept = kept[: -max(1, len(text) - OUTPUT_VALUE_LIMIT)]
    return text


def targets(arns: Sequence[str]) -> dict[str, object]:
    """Return the targets in an OpsItem's context. Only the form for one node is published."""
    return {"instanceId": arns[0]} if len(arns) == 1 else {"instanceIds": list(arns)}


def node_arn(account: str, region: str, node_id: str) -> str:
    """Return a node's ARN in the form that requests contain. For `mi-*` nodes, this is the form that IAM uses."""
    if node_id.startswith("mi-"):
        return f"arn:aws:ssm:{region}:{account}:managed-instance/{node_id}"
    return f"arn:aws:ec2:{region}:{account}:instance/{node_id}"
