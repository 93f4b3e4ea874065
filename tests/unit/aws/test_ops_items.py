"""Tests for parsing OpsItems with expected and unexpected content."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from bot.aws.calls.clients import Place
from bot.aws.jit.node_sessions import granted_access
from bot.aws.jit.ops_items import OpsItem, UnreadableOpsItem, parse_ops_item
from bot.domain.request import RequestKey, Status
from tests.unit.aws.samples import ASKED_AT, EXECUTION_ID, KEY, MANY_EXAMPLES, NODE, TARO, as_utf8, mangled, ops_item


def test_every_fact_of_an_ops_item_is_parsed() -> None:
    """The values have the product's own types."""
    assert parse_ops_item(ops_item(), KEY) == OpsItem(
        key=KEY,
        status=Status.PENDING,
        requester=TARO,
        node_ids=(NODE,),
        reason="ログを確認します <b>**",
        requested_at=ASKED_AT,
        modified_at=ASKED_AT,
        policy="Standard-Nodes",
        policy_version="3",
        duration=timedelta(hours=8),
        access_from=None,
        access_until=None,
        execution_id=EXECUTION_ID,
        replica_of=None,
    )


def test_access_times_of_an_approved_request_are_read() -> None:
    """Start and end have the format `2026-04-01 09:31:00 UTC`."""
    data = {
        "/aws/accessrequest/starttime": "2026-04-01 09:31:00 UTC",
        "/aws/accessrequest/endtime": "2026-04-01 17:31:00 UTC",
    }
    item = parse_ops_item(ops_item(data=data, Status="Approved"), KEY)
    assert item.access_from == datetime(2026, 4, 1, 9, 31, tzinfo=UTC)
    assert item.access_until == datetime(2026, 4, 1, 17, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "granted"),
    [("Approved", True), ("Closed", True), ("InProgress", True), ("TimedOut", True), ("PendingApproval", False)],
)
def test_access_counts_whatever_status_people_set_by_hand(status: str, *, granted: bool) -> None:
    """Sessions of this person must not be taken for another's. Without times of access, a waiting request grants none."""
    data = {"/aws/accessrequest/starttime": "2026-04-01 09:31:00 UTC"} if granted else {}
    found = granted_access(Place(KEY.account, KEY.region), {**ops_item(data=data, Status=status)})
    assert (found is not None) is granted
    if found:
        assert found.begins <= datetime(2026, 4, 1, 9, 31, tzinfo=UTC) < found.ends


def test_a_missing_end_of_access_is_computed_from_start_and_duration() -> None:
    """The end is computed only if the OpsItem has both."""
    start = {"/aws/accessrequest/starttime": "2026-04-01 09:31:00 UTC"}
    known = parse_ops_item(ops_item(data=start, Status="Approved"), KEY)
    unknown = parse_ops_item(ops_item(data={**start, "/aws/accessrequest/accessduration": ""}, Status="Approved"), KEY)
    assert known.access_until == datetime(2026, 4, 1, 17, 31, tzinfo=UTC)
    assert unknown.access_until is None


def test_pending_request_has_no_access_times() -> None:
    """Start and end in a pending request are ignored."""
    data = {
        "/aws/accessrequest/starttime": "2026-04-01 09:31:00 UTC",
        "/aws/accessrequest/endtime": "2026-04-01 17:31:00 UTC",
    }
    item = parse_ops_item(ops_item(data=data), KEY)
    assert (item.access_from, item.access_until) == (None, None)


def test_request_of_the_auto_approval_policy_is_auto_approved() -> None:
    """As in AWS's sample, the execution id is an empty text, and the status is approved."""
    content = {"approvalPolicy": "SSM-JustInTimeAccessAutoApprovalPolicy", "automationExecutionId": ""}
    item = parse_ops_item(ops_item(content=content, Status="Approved"), KEY)
    assert item.auto_approved
    assert item.execution_id is None


def test_manual_request_without_execution_is_not_auto_approved() -> None:
    """A pending request with a manual policy is not auto-approved, even if its execution id is empty."""
    assert not parse_ops_item(ops_item(content={"automationExecutionId": ""}), KEY).auto_approved


def test_empty_policy_name_is_kept() -> None:
    """The name is empty in a failed request to which no policy applies. A missing name gives None."""
    failed = parse_ops_item(ops_item(content={"approvalPolicy": ""}, Status="Failed"), KEY)
    assert (failed.status, failed.policy) == (Status.FAILED, "")
    assert parse_ops_item(ops_item(content={"approvalPolicy": None}), KEY).policy is None


def test_replica_has_the_key_and_the_nodes_of_its_source() -> None:
    """A copy in the delegated administrator account names the original request. Its nodes are in that account."""
    copy = RequestKey("444455556666", "us-east-2", "oi-0123456789ab")
    requester = {
        "isReplica": "true",
        "sourceAccountId": KEY.account,
        "sourceRegion": KEY.region,
        "sourceOpsItemId": KEY.ops_item_id,
    }
    item = parse_ops_item(ops_item(content={"requester": requester}, OpsItemId=copy.ops_item_id), copy)
    assert (item.replica_of, item.node_ids) == (KEY, (NODE,))


def test_replica_that_does_not_name_its_source_is_unreadable() -> None:
    """A copy that does not name its original raises UnreadableOpsItem."""
    with pytest.raises(UnreadableOpsItem) as caught:
        parse_ops_item(ops_item(content={"requester": {"isReplica": True}}), KEY)
    assert caught.value.code == "ReplicaWithoutSource"


@pytest.mark.parametrize(
    ("requester", "read"),
    [
        ({"arn": TARO, "id": "e1fbc510-8081-70c2-448f-0123456789ab"}, TARO),
        ({"arn": "", "id": "e1fbc510-8081-70c2-448f-0123456789ab"}, "e1fbc510-8081-70c2-448f-0123456789ab"),
        (None, "arn:aws:iam::111122223333:role/Creator"),
    ],
)
def test_requester_is_the_arn_else_the_identity_center_id_else_the_creator(requester: Any, read: str) -> None:
    """The principal's ARN comes first, then the Identity Center id, then the creator of the OpsItem."""
    item = ops_item(content={"requester": requester}, CreatedBy="arn:aws:iam::111122223333:role/Creator")
    assert parse_ops_item(item, KEY).requester == read


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (None, "NotAnAccessRequest"),
        ({}, "NotAnAccessRequest"),
        (ops_item(OpsItemType="/aws/issue"), "NotAnAccessRequest"),
        (ops_item(OperationalData={}), "NotAnAccessRequest"),
        (ops_item(OpsItemId="oi-000000000000"), "AnotherOpsItem"),
    ],
)
def test_ops_item_that_is_not_the_requested_access_request_is_unreadable(document: object, code: str) -> None:
    """It raises UnreadableOpsItem."""
    with pytest.raises(UnreadableOpsItem) as caught:
        parse_ops_item(document, KEY)
    assert caught.value.code == code


@pytest.mark.parametrize("word", ["Closed", "Resolved", "SomethingNew", "", None])
def test_ops_item_with_a_status_that_is_no_decision_has_the_status_unknown(word: object) -> None:
    """An unknown word, or a status that people may set by hand, is never read as a decision."""
    assert parse_ops_item(ops_item(Status=word), KEY).status is Status.UNKNOWN


@MANY_EXAMPLES
@given(mangled(ops_item))
def test_any_ops_item_is_read_or_raises_the_declared_error(document: object) -> None:
    """A mangled OpsItem is read with texts that can be encoded as UTF-8, or raises UnreadableOpsItem."""
    try:
        item = parse_ops_item(document, KEY)
    except UnreadableOpsItem:
        return
    as_utf8(item)
