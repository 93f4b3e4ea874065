"""Requests in AWS's shapes: OpsItems, their summaries and events, automation executions and their steps."""

import json
from datetime import UTC, datetime
from typing import Any

from bot.sandbox.aws.jit.assumptions import (
    APPROVAL_WORDS,
    OPS_ITEM_WORDS,
    Assumptions,
    decision_json,
    node_arn,
    targets,
)
from bot.sandbox.aws.jit.events import title
from bot.sandbox.aws.jit.requests import AccessRequest, Status, Step
from bot.sandbox.aws.jit.state import Change

Shape = dict[str, Any]

OPS_ITEM_TYPE = "/aws/accessrequest"
TOKEN_ROLE = "SSM-JustInTimeAccessTokenRole"  # the name in AWS's sample policies


def ops_item(request: AccessRequest) -> Shape:
    """Return the shape OpsItem."""
    return {
        **_ops_item_core(request),
        "Description": f"OpsItem created for AccessRequest {request.id}.",
        "Notifications": [],
        "RelatedOpsItems": [],
        "Version": str(int(request.modified_at.timestamp() * 1000)),
        "OpsItemArn": f"arn:aws:ssm:{request.region}:{request.account}:opsitem/{request.id}",
    }


def ops_item_summary(request: AccessRequest) -> Shape:
    """Return the shape OpsItemSummary."""
    return _ops_item_core(request)


def _ops_item_core(request: AccessRequest) -> Shape:
    return {
        "OpsItemId": request.id,
        "OpsItemType": OPS_ITEM_TYPE,
        "CreatedBy": request.requester,
        "CreatedTime": request.created_at,
        "LastModifiedBy": request.modified_by,
        "LastModifiedTime": request.modified_at,
        "Status": OPS_ITEM_WORDS[request.status],
        "Title": title(request),
        "Source": "aws.ssm",
        "OperationalData": {k: {"Value": v, "Type": "SearchableString"} for k, v in operational_data(request).items()},
    }


def operational_data(request: AccessRequest) -> dict[str, str]:
    """Return the operational data in the form of AWS's only published sample."""
    account, region, source = request.replica_of or ("", "", request.id)
    about = {
        "requester": {
            "isReplica": str(request.replica_of is not None).lower(),
            "sourceOpsItemId": source,
            "sourceAccountId": account,
            "id": request.requester_id,
            "sourceRegion": region,
            "arn": request.requester,
        },
        "approvalPolicy": request.policy,
        "approvalPolicyVersion": request.policy_version,
        "automationExecutionId": request.execution_id,
    }
    arns = [node_arn(request.account, request.region, node_id) for node_id in request.node_ids]
    context = {"targets": targets(arns), "accessTokenRole": TOKEN_ROLE}
    data = {
        OPS_ITEM_TYPE: json.dumps(about, separators=(",", ":")),
        f"{OPS_ITEM_TYPE}/approvaldetails": request.reason,
        f"{OPS_ITEM_TYPE}/context": json.dumps(context, separators=(",", ":")),
        f"{OPS_ITEM_TYPE}/accessduration": f"PT{int(request.access_duration.total_seconds())}S",
    }
    if request.granted_at and request.access_until:
        data[f"{OPS_ITEM_TYPE}/starttime"] = _utc(request.granted_at)
        data[f"{OPS_ITEM_TYPE}/endtime"] = _utc(request.access_until)
    return data


def ops_item_event(change: Change) -> Shape:
    """Return the shape OpsItemEventSummary; which events AWS lists for access requests is not documented."""
    request = change.request
    return {
        "OpsItemId": request.id,
        "EventId": change.id,
        "Source": "aws.ssm",
        "DetailType": "OpsItem Create" if change.first else "OpsItem Update",
        "Detail": json.dumps({"status": OPS_ITEM_WORDS[request.status], "ops-item-id": request.id}),
        "CreatedBy": {"Arn": change.by},
        "CreatedTime": change.at,
    }


def execution_metadata(request: AccessRequest, assumed: Assumptions) -> Shape:
    """Return the shape AutomationExecutionMetadata."""
    return {**_execution_core(request, assumed), "AutomationType": "Local"}


def execution(request: AccessRequest, assumed: Assumptions, steps_shown: int | None) -> Shape:
    """Return the shape AutomationExecution. It lists at most `steps_shown` steps, because AWS truncates long lists."""
    shown = request.steps[:steps_shown]
    return {
        **_execution_core(request, assumed),
        "StepExecutions": [step_execution(request, s, assumed) for s in shown],
        "StepExecutionsTruncated": len(shown) < len(request.steps),
        "ProgressCounters": {
            "TotalSteps": len(request.steps),
            "SuccessSteps": sum(s.status is Status.APPROVED for s in request.steps),
            "FailedSteps": sum(s.status is Status.REJECTED for s in request.steps),
            "CancelledSteps": sum(s.status is Status.CANCELLED for s in request.steps),
            "TimedOutSteps": sum(s.status is Status.TIMED_OUT for s in request.steps),
        },
    }


def _execution_core(request: AccessRequest, assumed: Assumptions) -> Shape:
    waiting = request.waiting_step
    shape = {
        "AutomationExecutionId": request.execution_id,
        "DocumentName": request.policy,
        "DocumentVersion": request.policy_version,
        "AutomationExecutionStatus": assumed.execution_words[request.status],
        "ExecutionStartTime": request.created_at,
        "ExecutionEndTime": request.ended_at,
        "ExecutedBy": request.requester,
        "Mode": "Auto",
        "CurrentStepName": waiting.level.name if waiting else None,
        "CurrentAction": "aws:approve" if waiting else None,
        "Targets": [],
        "AutomationSubtype": "AccessRequest",
        "OpsItemId": request.id,
    }
    return _present(shape)


def step_execution(request: AccessRequest, step: Step, assumed: Assumptions) -> Shape:
    """Return the shape StepExecution."""
    last = step.id == request.steps[-1].id
    following = None if last else request.steps[request.steps.index(step) + 1].level.name
    shape = {
        "StepName": step.level.name,
        "Action": "aws:approve",
        "TimeoutSeconds": int(step.level.timeout.total_seconds()),
        "OnFailure": "Abort",
        "MaxAttempts": 1,
        "ExecutionStartTime": step.started_at,
        "ExecutionEndTime": step.ended_at,
        "StepStatus": assumed.step_words[step.status],
        "Inputs": _inputs(step),
        "Outputs": _outputs(step, assumed),
        "StepExecutionId": step.id,
        "IsEnd": last,
        "NextStep": following,
        "ValidNextSteps": [following] if following else [],
    }
    return _present(shape)


def _inputs(step: Step) -> dict[str, str]:
    approvers = [{"approver": a.id, "type": a.kind} for a in step.level.approvers]
    return {
        "Message": step.level.message,
        "MinRequiredApprovals": str(step.level.needed),
        "EnhancedApprovals": json.dumps({"Approvers": approvers}),
    }


def _outputs(step: Step, assumed: Assumptions) -> dict[str, list[str]] | None:
    if step.status not in APPROVAL_WORDS or not assumed.decisions_shown:
        return None
    return {
        "ApprovalStatus": [APPROVAL_WORDS[step.status]],
        "ApproverDecisions": [decision_json(v, roles_shown=assumed.roles_shown) for v in step.votes],
    }


def _present(shape: Shape) -> Shape:
    return {key: value for key, value in shape.items() if value is not None}


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
