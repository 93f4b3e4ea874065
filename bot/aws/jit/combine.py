"""Puts the parts that were read of one request together. Pure; what could not be read stays out and is said.

A part is complete if it was read, or need not be.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from bot.aws.jit.executions import AutomationExecution
from bot.aws.jit.merged_status import merged_status
from bot.aws.jit.ops_items import OpsItem
from bot.aws.jit.policies import Policy, merged
from bot.domain.request import AccessRequest, LevelState, Node, Status

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Looked(Generic[Part]):
    """What a look at one part brought."""

    found: Part
    complete: bool = True


def assembled(
    item: OpsItem, *, run: Looked[AutomationExecution | None], policy: Looked[Policy | None], node: Looked[Node]
) -> AccessRequest:
    """Return the request as it stands."""
    request = replace(_of_item(item), node=node.found)
    if run.found:
        request = _with_run(request, run.found)
    if policy.found:
        levels = merged(policy.found.levels, request.levels) if run.found else ()
        request = replace(request, duration=request.duration or policy.found.duration, levels=levels)
    complete = run.complete and policy.complete and node.complete and not _lags(request)
    return replace(request, complete=complete)


def replica(item: OpsItem) -> AccessRequest:
    """Return a copy of a request that lives elsewhere: where that is matters, and nothing else."""
    return _of_item(item)


def _of_item(item: OpsItem) -> AccessRequest:
    return AccessRequest(
        key=item.key,
        status=item.status,
        requester=item.requester,
        node=Node(item.node_id or ""),
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


def _with_run(request: AccessRequest, run: AutomationExecution) -> AccessRequest:
    execution = run.as_execution()
    return replace(
        request,
        status=merged_status(request.status, execution.status),
        policy=run.document if request.policy is None else request.policy,
        policy_version=request.policy_version or run.document_version,
        execution_id=execution.id,  # read to be this request's; the OpsItem merely claims it
        levels=execution.levels,
    )


def _lags(request: AccessRequest) -> bool:
    """True where AWS must have more to tell: another look, soon, will show it."""
    if request.auto_approved:
        return False
    if request.status is Status.PENDING:
        return not any(level.state is LevelState.WAITING for level in request.levels)
    if request.status is Status.APPROVED:
        return request.access_until is None
    return request.status is Status.UNKNOWN
