"""EventBridge envelopes of just-in-time node access, derived from two states of one request.

Member names and order (approver event before requester event) follow AWS's samples. This module does not deliver the
envelopes. https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-ssm.html
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from bot.sandbox.aws.jit.assumptions import OPS_ITEM_WORDS, Assumptions, node_arn
from bot.sandbox.aws.jit.requests import AccessRequest, Status, Step

Envelope = dict[str, Any]

APPROVER_LEAD = timedelta(seconds=2)  # in AWS's samples the requester event is two seconds younger


def title(request: AccessRequest) -> str:
    """Return the OpsItem's title as AWS builds it."""
    return f"Access Request - {request.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def envelopes(before: AccessRequest | None, after: AccessRequest, assumed: Assumptions) -> list[Envelope]:
    """Return the events for the change from `before` to `after`, in AWS's order. `before` is None for a new request."""
    if after.status is Status.FAILED:
        return [] if before else [_failed(after)]
    if not after.execution_id:  # auto-approved: AWS sends no event
        return []
    if after.status not in {Status.WAITING, Status.APPROVED} and not assumed.events_after_decision:
        return []
    announced = [_approver(after, step) for step in _changed_steps(before, after)]
    if before is None or before.status is not after.status:
        announced.append(_requester(after))
    return announced


def _changed_steps(before: AccessRequest | None, after: AccessRequest) -> Iterator[Step]:
    known = {s.id: s.status for s in before.steps} if before else {}
    for step in after.steps:
        if step.status is not known.get(step.id, Status.NOT_STARTED):
            yield step


def _approver(request: AccessRequest, step: Step) -> Envelope:
    detail = {
        "ExecutionId": request.execution_id,
        "OpsItemId": request.id,
        "StartTime": _locale_time(request.modified_at),
        "Requester": request.requester_id or request.requester,
        "Title": title(request),
        "TargetResourceArn": _target(request),
        "AccessRequestApprovalLevelStatus": OPS_ITEM_WORDS[step.status],
        "StepName": step.level.name,
        "RequestReason": request.reason,
        "Approvers": [a.id for a in step.level.approvers],
    }
    return _envelope(request, "Approver Access Request Status Update", detail, request.modified_at)


def _requester(request: AccessRequest) -> Envelope:
    detail = {
        "ExecutionId": request.execution_id,
        "OpsItemId": request.id,
        "StartTime": _locale_time(request.modified_at),
        "TargetResourceArn": _target(request),
        "Title": title(request),
        "Requester": request.requester_id or request.requester,
        "AccessRequestStatus": OPS_ITEM_WORDS[request.status],
    }
    at = request.modified_at + APPROVER_LEAD
    return _envelope(request, "Requester Access Request Status Update", detail, at)


def _failed(request: AccessRequest) -> Envelope:
    detail = {
        "ApplicablePolicies": list(request.conflicting),
        "TargetResourceArn": _target(request),
        "OpsItemId": request.id,
        "CreatedDate": f"{request.created_at.astimezone(UTC):%a %b %d %H:%M:%S UTC %Y}",
        "Requester": request.requester_id or request.requester,
    }
    return _envelope(request, "JITNA Access Request Failed", detail, request.modified_at)


def _envelope(request: AccessRequest, detail_type: str, detail: dict[str, Any], at: datetime) -> Envelope:
    place = f"arn:aws:ssm:{request.region}:{request.account}"
    concerns = f"automation-execution/{request.execution_id}" if request.execution_id else f"opsitem/{request.id}"
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": detail_type,
        "source": "aws.ssm",
        "account": request.account,
        "time": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": request.region,
        "resources": [f"{place}:{concerns}"],
        "detail": detail,
    }


def _target(request: AccessRequest) -> str:
    return ",".join(node_arn(request.account, request.region, node_id) for node_id in request.node_ids)


def _locale_time(at: datetime) -> str:
    """Return a time in the format of AWS's samples: `Apr 10, 2025, 8:19:30 PM`."""
    at = at.astimezone(UTC)
    return f"{at:%b} {at.day}, {at.year}, {at.hour % 12 or 12}:{at:%M:%S %p}"
