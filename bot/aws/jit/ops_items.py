"""Parses OpsItems of access requests, as GetOpsItem and DescribeOpsItems return them. Sans-IO.

Every member is optional: AWS has published only one sample, of an auto-approved request, and none of a manual one.
https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-just-in-time-node-access-approve-deny-requests.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.aws.jit.assumptions import AUTO_POLICY, OPS_ITEM_WORDS
from bot.aws.jit.targets import TYPE, target_nodes
from bot.boto.fields import decoded, duration, mapping, moment, text, timestamp
from bot.domain.request import InvalidRequestKey, RequestKey, Status
from bot.ports.aws import ListedRequest

_GRANTED = frozenset({Status.APPROVED, Status.REVOKED})


class UnreadableOpsItem(Exception):
    """The answer is not the readable OpsItem of this access request; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class OpsItem:
    """The content of a request's OpsItem."""

    key: RequestKey
    status: Status
    requester: str
    node_ids: tuple[str, ...]  # empty if it is not certain for which nodes access is requested
    reason: str
    requested_at: datetime | None
    modified_at: datetime | None
    policy: str | None
    policy_version: str | None
    duration: timedelta | None
    access_from: datetime | None
    access_until: datetime | None
    execution_id: str | None
    replica_of: RequestKey | None
    has_window: bool = False  # it has a start or an end of access, whatever its status is

    @property
    def auto_approved(self) -> bool:
        """True if no approval is needed."""
        return _is_auto_approved(self.status, self.policy, self.execution_id)


def parse_ops_item(document: object, key: RequestKey) -> OpsItem:
    """Parse the member OpsItem of GetOpsItem, or a row of DescribeOpsItems. Raises UnreadableOpsItem."""
    raw = mapping(document)
    details = _details(raw, key)
    asker, data = mapping(details.get("requester")), _operational_data(raw)
    status, replica_of = _status(raw), _replica_of(asker)
    span = duration(data.get(f"{TYPE}/accessduration"))
    window = _window(data, span)
    start, end = window if status in _GRANTED else (None, None)
    return OpsItem(
        key=key,
        status=status,
        requester=text(asker.get("arn")) or text(asker.get("id")) or text(raw.get("CreatedBy")) or "",
        node_ids=target_nodes(data, replica_of or key),
        reason=text(data.get(f"{TYPE}/approvaldetails")) or "",
        requested_at=timestamp(raw.get("CreatedTime")),
        modified_at=timestamp(raw.get("LastModifiedTime")),
        policy=_present(details.get("approvalPolicy")),
        policy_version=text(details.get("approvalPolicyVersion")),
        duration=span,
        access_from=start,
        access_until=end,
        execution_id=text(details.get("automationExecutionId")),
        replica_of=replica_of,
        has_window=any(window),
    )


def parse_listed(document: object, key: RequestKey) -> ListedRequest:
    """Parse a row of DescribeOpsItems as far as the sweep compares it. Raises UnreadableOpsItem.

    `parse_ops_item` takes four times as long, and a list may have ten thousand rows.
    """
    raw = mapping(document)
    details, status = _details(raw, key), _status(raw)
    execution_id = text(details.get("automationExecutionId"))
    auto_approved = _is_auto_approved(status, _present(details.get("approvalPolicy")), execution_id)
    return ListedRequest(
        key,
        status,
        timestamp(raw.get("LastModifiedTime")),
        replica_of=_replica_of(mapping(details.get("requester"))),
        auto_approved=auto_approved,
        requested_at=timestamp(raw.get("CreatedTime")) if auto_approved else None,
    )


def _is_auto_approved(status: Status, policy: str | None, execution_id: str | None) -> bool:
    """True if there is no execution, and the policy or the status shows that no approval is needed."""
    return execution_id is None and (policy == AUTO_POLICY or status in _GRANTED)


def _details(raw: Mapping[str, object], key: RequestKey) -> Mapping[str, object]:
    """Return what an OpsItem says about its access request. Raises UnreadableOpsItem."""
    data = mapping(raw.get("OperationalData"))
    if raw.get("OpsItemType") not in (None, TYPE) or TYPE not in data:
        raise UnreadableOpsItem("NotAnAccessRequest")
    if raw.get("OpsItemId") not in (None, key.ops_item_id):
        raise UnreadableOpsItem("AnotherOpsItem")
    return mapping(decoded(mapping(data[TYPE]).get("Value")))


def _status(raw: Mapping[str, object]) -> Status:
    return OPS_ITEM_WORDS.get(text(raw.get("Status")) or "", Status.UNKNOWN)


def _replica_of(asker: Mapping[str, object]) -> RequestKey | None:
    return _source(asker) if _is_true(asker.get("isReplica")) else None


def _operational_data(raw: Mapping[str, object]) -> dict[str, object]:
    data = mapping(raw.get("OperationalData"))
    return {name: mapping(each).get("Value") for name, each in data.items()}


def _present(value: object) -> str | None:
    """Return a text, even an empty one; None for anything else.

    In a failed request, an empty name means that no policy applies.
    """
    return "" if value == "" else text(value)


def _window(data: Mapping[str, object], span: timedelta | None) -> tuple[datetime | None, datetime | None]:
    start, end = moment(data.get(f"{TYPE}/starttime")), moment(data.get(f"{TYPE}/endtime"))
    if start and span and not end:
        end = start + span  # in AWS's sample, the end is exactly the start plus the duration
    return start, end


def _is_true(value: object) -> bool:
    return value is True or (text(value) or "").casefold() == "true"


def _source(asker: Mapping[str, object]) -> RequestKey:
    names = ("sourceAccountId", "sourceRegion", "sourceOpsItemId")
    try:
        return RequestKey.parse("/".join(text(asker.get(name)) or "" for name in names))
    except InvalidRequestKey:
        raise UnreadableOpsItem("ReplicaWithoutSource") from None
