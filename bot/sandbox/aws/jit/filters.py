"""Filters and pages of the list operations. Knows requests and AWS's filter keys, but not the wire protocol."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.jit.assumptions import OPS_ITEM_WORDS, Assumptions
from bot.sandbox.aws.jit.events import title
from bot.sandbox.aws.jit.requests import AccessRequest, Step
from bot.sandbox.aws.jit.shapes import OPS_ITEM_TYPE, operational_data

T = TypeVar("T")
Filter = dict[str, Any]
MAX_PAGE: Final = 50  # the model's maximum of MaxResults, and the default


def page(rows: Sequence[T], params: dict[str, Any], error: str) -> tuple[list[T], dict[str, str]]:
    """Return the rows of one page, and the member `NextToken` if more rows follow.

    Raises AwsError with the code `error` for an invalid token.
    """
    start, size = _offset(params.get("NextToken"), error), params.get("MaxResults", MAX_PAGE)
    rest = {"NextToken": _token(start + size)} if start + size < len(rows) else {}
    return list(rows[start : start + size]), rest


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"after {offset}".encode()).decode()


def _offset(token: str | None, error: str) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("after "))
    except (ValueError, binascii.Error) as wrong:
        raise AwsError(error, "The specified token isn't valid.") from wrong


# --- OpsItems ----------------------------------------------------------------------------------------------------

_TEXTS: Final[dict[str, Callable[[AccessRequest], list[str]]]] = {
    "Status": lambda r: [OPS_ITEM_WORDS[r.status]],
    "OpsItemType": lambda _: [OPS_ITEM_TYPE],
    "OpsItemId": lambda r: [r.id],
    "Source": lambda _: ["aws.ssm"],
    "Title": lambda r: [title(r)],
    "CreatedBy": lambda r: [r.requester],
    "AccountId": lambda r: [r.account],
    "AutomationId": lambda r: [r.execution_id],
    "OperationalDataKey": lambda r: list(operational_data(r)),
    "OperationalDataValue": lambda r: list(operational_data(r).values()),
    "AccessRequestByRequesterArn": lambda r: [r.requester],
    "AccessRequestByRequesterId": lambda r: [r.requester_id],
    "AccessRequestByApproverArn": lambda r: [a.id for s in r.steps for a in s.level.approvers if a.id[:4] == "arn:"],
    "AccessRequestByApproverId": lambda r: [a.id for s in r.steps for a in s.level.approvers if a.id[:4] != "arn:"],
    "AccessRequestBySourceAccountId": lambda r: [r.replica_of[0] if r.replica_of else ""],
    "AccessRequestBySourceOpsItemId": lambda r: [r.replica_of[2] if r.replica_of else r.id],
    "AccessRequestBySourceRegion": lambda r: [r.replica_of[1] if r.replica_of else ""],
    "AccessRequestByIsReplica": lambda r: ["true" if r.replica_of else "false"],
    "AccessRequestByTargetResourceId": lambda r: list(r.node_ids),
}
_TIMES: Final[dict[str, Callable[[AccessRequest], datetime]]] = {
    "CreatedTime": lambda r: r.created_at,
    "LastModifiedTime": lambda r: r.modified_at,
}


def ops_items(requests: Sequence[AccessRequest], filters: list[Filter]) -> list[AccessRequest]:
    """Return the requests that pass every filter."""
    return [r for r in requests if all(_ops_item_passes(r, f) for f in filters)]


def _ops_item_passes(request: AccessRequest, wanted: Filter) -> bool:
    key, operator, values = wanted["Key"], wanted["Operator"], wanted["Values"]
    if (when := _TIMES.get(key)) and operator in {"GreaterThan", "LessThan"}:
        limits = [_moment(v, "ValidationException") for v in values]
        return any(when(request) > m if operator == "GreaterThan" else when(request) < m for m in limits)
    if (texts := _TEXTS.get(key)) and operator in {"Equal", "Contains"}:
        return any(v == t or (operator == "Contains" and v in t) for t in texts(request) for v in values)
    raise AwsError("ValidationException", f"The sandbox has no filter {key} {operator}.")


# --- automation executions ---------------------------------------------------------------------------------------


def executions(requests: Sequence[AccessRequest], filters: list[Filter], assumed: Assumptions) -> list[AccessRequest]:
    """Return the requests whose automation execution passes every filter.

    Auto-approved and failed requests have no execution, and executions of copies from other accounts are left out.
    """
    own = [r for r in requests if r.execution_id and r.replica_of is None]
    return [r for r in own if all(_execution_passes(r, f, assumed) for f in filters)]


def _execution_passes(request: AccessRequest, wanted: Filter, assumed: Assumptions) -> bool:
    values: list[str] = wanted["Values"]
    match wanted["Key"]:
        case "AutomationSubtype":
            return "AccessRequest" in values
        case "AutomationType":
            return "Local" in values
        case "OpsItemId":
            return request.id in values
        case "ExecutionId":
            return request.execution_id in values
        case "ExecutionStatus":
            return assumed.execution_words[request.status] in values
        case "DocumentNamePrefix":
            return request.policy.startswith(tuple(values))
        case "CurrentAction":
            return request.waiting_step is not None and "aws:approve" in values
        case "StartTimeBefore" | "StartTimeAfter" as key:
            return _started(request.created_at, key, values)
        case key:
            raise AwsError("InvalidFilterKey", f"The sandbox has no filter {key}.")


def steps(rows: Sequence[Step], filters: list[Filter], assumed: Assumptions) -> list[Step]:
    """Return the steps that pass every filter."""
    return [s for s in rows if all(_step_passes(s, f, assumed) for f in filters)]


def _step_passes(step: Step, wanted: Filter, assumed: Assumptions) -> bool:
    values: list[str] = wanted["Values"]
    match wanted["Key"]:
        case "StepName":
            return step.level.name in values
        case "StepExecutionId":
            return step.id in values
        case "StepExecutionStatus":
            return assumed.step_words[step.status] in values
        case "Action":
            return "aws:approve" in values
        case "StartTimeBefore" | "StartTimeAfter" as key:
            return step.started_at is not None and _started(step.started_at, key, values)
        case key:
            raise AwsError("InvalidFilterKey", f"The sandbox has no filter {key}.")


def _started(at: datetime, key: str, values: list[str]) -> bool:
    limits = [_moment(v, "InvalidFilterValue") for v in values]
    return any(at < m if key == "StartTimeBefore" else at > m for m in limits)


def _moment(text: str, error: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise AwsError(error, f"{text} is not an ISO 8601 time.") from wrong
    return at if at.tzinfo else at.replace(tzinfo=UTC)
