"""AWS's answers about one request, as in AWS's samples and models, and ways to corrupt them."""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from bot.domain.request import RequestKey

KEY = RequestKey("111122223333", "ap-northeast-1", "oi-a71f4d891d72")
EXECUTION_ID = "0aa5a695-4685-449f-90cc-49d24139dbe9"
ROLE = "arn:aws:iam::111122223333:role/NodeAccessApprover"
TARO = "arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com"
HANAKO = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover/hanako.sato@example.com"
NODE = "i-02999bd501754105a"
ASKED_AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


def about(**changed: Any) -> dict[str, Any]:
    """Return the content of `/aws/accessrequest`."""
    requester = {
        "isReplica": "false",
        "sourceOpsItemId": KEY.ops_item_id,
        "sourceAccountId": "",
        "id": "",
        "sourceRegion": "",
        "arn": TARO,
    }
    found = {
        "requester": requester,
        "approvalPolicy": "Standard-Nodes",
        "approvalPolicyVersion": "3",
        "automationExecutionId": EXECUTION_ID,
    }
    return {**found, **changed}


def ops_item(*, data: dict[str, str] | None = None, content: dict[str, Any] | None = None, **changed: Any) -> Any:
    """Return an OpsItem; `data` changes its operational data, `content` the content of `/aws/accessrequest`."""
    target = f"arn:aws:ec2:ap-northeast-1:111122223333:instance/{NODE}"
    context = {"targets": {"instanceId": target}, "accessTokenRole": "SSM-JustInTimeAccessTokenRole"}
    values = {
        "/aws/accessrequest": json.dumps(about(**(content or {}))),
        "/aws/accessrequest/approvaldetails": "ログを確認します <b>**",
        "/aws/accessrequest/context": json.dumps(context),
        "/aws/accessrequest/accessduration": "PT28800S",
        **(data or {}),
    }
    item = {
        "OpsItemId": KEY.ops_item_id,
        "OpsItemType": "/aws/accessrequest",
        "CreatedBy": TARO,
        "CreatedTime": ASKED_AT,
        "LastModifiedTime": ASKED_AT,
        "Status": "PendingApproval",
        "OperationalData": {name: {"Value": value, "Type": "SearchableString"} for name, value in values.items()},
    }
    return {**item, **changed}


def decision(**changed: Any) -> str:
    """Return one element of ApproverDecisions, as JSON."""
    return json.dumps({"approver": HANAKO, "decision": "approved", "time": "2026-04-01T09:31:00+00:00", **changed})


def step(name: str = "ManualApproval", status: str = "Waiting", **changed: Any) -> dict[str, Any]:
    """Return one StepExecution."""
    found = {
        "StepName": name,
        "Action": "aws:approve",
        "TimeoutSeconds": 3600,
        "ExecutionStartTime": ASKED_AT,
        "StepStatus": status,
        "Inputs": {
            "MinRequiredApprovals": "2",
            "EnhancedApprovals": json.dumps({"Approvers": [{"approver": ROLE, "type": "IamRole"}]}),
        },
        "Outputs": {"ApprovalStatus": ["Waiting"], "ApproverDecisions": [decision()]},
    }
    return {**found, **changed}


def execution(*steps: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return an AutomationExecution."""
    found = {
        "AutomationExecutionId": EXECUTION_ID,
        "DocumentName": "Standard-Nodes",
        "DocumentVersion": "3",
        "AutomationExecutionStatus": "Waiting",
        "StepExecutions": list(steps) or [step()],
        "StepExecutionsTruncated": False,
        "CurrentStepName": "ManualApproval",
        "AutomationSubtype": "AccessRequest",
        "OpsItemId": KEY.ops_item_id,
    }
    return {**found, **changed}


def policy() -> dict[str, Any]:
    """Return the content of a manual approval policy with two levels."""
    return {
        "schemaVersion": "0.3",
        "accessDuration": 86400,
        "mainSteps": [
            {
                "name": name,
                "action": "aws:approve",
                "timeoutSeconds": 604800,
                "inputs": {
                    "MinRequiredApprovals": 1,
                    "EnhancedApprovals": {"Approvers": [{"approver": ROLE, "type": "IamRole"}]},
                },
            }
            for name in ("Level1", "Level2")
        ],
    }


def event(kind: str = "Requester Access Request Status Update", **detail: Any) -> dict[str, Any]:
    """Return an EventBridge event about the request; `detail` changes its detail."""
    return {
        "version": "0",
        "id": "5d6ee943-9c8f-62aa-ee19-84391b0dc60a",
        "detail-type": kind,
        "source": "aws.ssm",
        "account": KEY.account,
        "time": "2026-04-01T09:30:02Z",
        "region": KEY.region,
        "resources": [f"arn:aws:ssm:ap-northeast-1:111122223333:automation-execution/{EXECUTION_ID}"],
        "detail": {"OpsItemId": KEY.ops_item_id, "AccessRequestStatus": "PendingApproval", **detail},
    }


def as_utf8(found: Any) -> bytes:
    """Return the fields of a dataclass as JSON. Raises UnicodeEncodeError if a text has a lone surrogate."""
    return json.dumps(asdict(found), default=str, ensure_ascii=False).encode()


# --- mangling -------------------------------------------------------------------------------------------------------

# A slow machine must not fail these tests: the duration of an example is no property under test.
MANY_EXAMPLES = settings(max_examples=200)

_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=12)  # lone surrogates included
    | st.datetimes()
    | st.sampled_from(["Approved", "oi-a71f4d891d72", "PT1S", "[[[[", '{"a": 1}', "true", "9" * 5000, "[" * 3000])
)
anything = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mangled(draw: st.DrawFn, sample: Callable[[], Any]) -> Any:
    """Return the sample after at most four changes: a member removed, or a value replaced, also inside JSON texts."""
    document = copy.deepcopy(sample())
    for _ in range(draw(st.integers(0, 4))):
        document = _mangle(draw, document)
    return document


def _mangle(draw: st.DrawFn, value: Any) -> Any:
    inside = _children(value)
    if not inside or draw(st.integers(0, 5)) == 0:
        return _inner_json(draw, value) if draw(st.booleans()) else draw(anything)
    at = draw(st.sampled_from(inside))
    if draw(st.integers(0, 5)) == 0:
        del value[at]
    else:
        value[at] = _mangle(draw, value[at])
    return value


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) else []


def _inner_json(draw: st.DrawFn, value: Any) -> Any:
    try:
        return json.dumps(_mangle(draw, json.loads(value)), default=str)
    except (TypeError, ValueError, RecursionError):
        return draw(anything)
