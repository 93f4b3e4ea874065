"""Combines the parts of one request that were read. Pure; a part that could not be read is left out.

A part is complete if it was read or is not needed.

The OpsItem grants access; the automation execution is where approvers decide. Their statuses may lag behind each other,
and each may be a word that this version does not know ("a new word"):

    OpsItem says          execution says                            the request is
    anything              nothing, or is unreadable                 as the OpsItem says
    revoked               anything                                  revoked: only the OpsItem knows that
    approved              pending, approved or a new word           approved
    approved              rejected, timed out, cancelled, failed    unknown: one of them is wrong
    pending               pending                                   pending
    pending               approved                                  pending: the OpsItem will grant access soon
    pending               rejected, timed out, cancelled, failed    as the execution says: it ended first
    pending               a new word                                unknown
    a new word            pending or a new word                     unknown
    a new word            any end                                   as the execution says
    failed                rejected, timed out, cancelled            as the execution says: it names the cause
    any other end         anything                                  as the OpsItem says
"""

from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from bot.aws.jit.executions import AutomationExecution
from bot.aws.jit.ops_items import OpsItem
from bot.aws.jit.policies import Policy, merge_levels
from bot.domain.request import AccessRequest, LevelState, Node, Status

_REFUSED: Final = frozenset({Status.REJECTED, Status.TIMED_OUT, Status.CANCELLED})
_UNDECIDED: Final = frozenset({Status.PENDING, Status.UNKNOWN})
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Part(Generic[Value]):
    """One part of a request, as far as it could be read."""

    found: Value
    complete: bool = True


def combine(
    item: OpsItem,
    *,
    execution: Part[AutomationExecution | None],
    policy: Part[Policy | None],
    nodes: Part[tuple[Node, ...]],
) -> AccessRequest:
    """Return the request that the parts describe."""
    request = from_ops_item(item).of_nodes(nodes.found)
    if execution.found:
        request = _with_execution(request, execution.found)
    if policy.found:
        levels = merge_levels(policy.found.levels, request.levels) if execution.found else ()
        request = replace(request, duration=request.duration or policy.found.duration, levels=levels)
    complete = execution.complete and policy.complete and nodes.complete and not _lags(request)
    return replace(request, complete=complete, steps_read=execution.found is not None and execution.complete)


def from_ops_item(item: OpsItem) -> AccessRequest:
    """Return the request as its OpsItem alone describes it. That is enough for a replica."""
    request = AccessRequest(
        key=item.key,
        status=item.status,
        requester=item.requester,
        node=Node(""),
        reason=item.reason,
        requested_at=item.requested_at,
        modified_at=item.modified_at,
        policy=item.policy,
        policy_version=item.policy_version,
        duration=item.duration,
        access_from=item.access_from,
        access_until=item.access_until,
        auto_approved=item.auto_approved,
        replica_of=item.replica_of,
    )
    return request.of_nodes([Node(each) for each in item.node_ids])


def _with_execution(request: AccessRequest, read: AutomationExecution) -> AccessRequest:
    execution = read.as_execution()
    return replace(
        request,
        status=merge_status(request.status, execution.status),
        policy=read.document if request.policy is None else request.policy,
        policy_version=request.policy_version or read.document_version,
        execution_id=execution.id,  # verified to be this request's; the OpsItem only claims it
        levels=execution.levels,
    )


def _lags(request: AccessRequest) -> bool:
    """Return True if AWS will soon show more, so that the request must be read again."""
    if request.auto_approved:
        return False
    if request.status is Status.PENDING:
        return not any(level.state is LevelState.WAITING for level in request.levels)
    if request.status is Status.APPROVED:
        return request.access_until is None
    return request.status is Status.UNKNOWN


def merge_status(ops_item: Status, execution: Status | None) -> Status:
    """Return the status of a request, by the table in this module's docstring."""
    if execution is None or ops_item is Status.REVOKED:
        return ops_item
    if ops_item is Status.APPROVED:
        return Status.UNKNOWN if execution in {*_REFUSED, Status.FAILED} else Status.APPROVED
    if ops_item is Status.FAILED:
        return execution if execution in _REFUSED else ops_item
    if ops_item not in _UNDECIDED:
        return ops_item
    return _undecided(ops_item, execution)


def _undecided(ops_item: Status, execution: Status) -> Status:
    if ops_item is Status.PENDING and execution is Status.APPROVED:
        return Status.PENDING
    if execution.ended:
        return execution
    return Status.PENDING if ops_item is execution is Status.PENDING else Status.UNKNOWN
