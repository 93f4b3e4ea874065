"""Reading access requests over real HTTP: complete, partial, late and inconsistent answers."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml

from bot.aws.assembly import AwsSide
from bot.aws.jit import nodes
from bot.domain.request import Approver, ApproverKind, Grant, LevelState, RequestKey, Status, Verdict
from bot.ports.aws import AwsThrottled, AwsUnavailable, RequestNotReadable
from bot.sandbox.aws.control import CONSOLE_USER
from bot.sandbox.aws.jit.policies import MANUAL
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, LEAD_ROLE, REGION, REQUESTER, level, manual_policy
from tests.contract import gateway
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Scene, signal

SOON = 10.0  # seconds in which an expected call arrives

pytestmark = pytest.mark.usefixtures("patience")
stage, scene, side, patience = gateway.stage, gateway.scene, gateway.side, gateway.patience


def count(scene: Scene, operation: str) -> int:
    return len(scene.aws.calls(operation))


def in_ops_item(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that applies `change` to an answer's OpsItem and to its decoded `/aws/accessrequest`."""

    def rewrite(answer: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = json.loads(json.dumps(answer["OpsItem"], default=str))
        data = item["OperationalData"]["/aws/accessrequest"]
        about = json.loads(data["Value"])
        change(item, about)
        data["Value"] = json.dumps(about)
        times = {name: answer["OpsItem"][name] for name in ("CreatedTime", "LastModifiedTime")}
        return {"OpsItem": {**item, **times}}

    return rewrite


async def test_requester_reason_policy_duration_and_deadline_of_a_request_are_read(scene: Scene, side: AwsSide) -> None:
    """The request is pending and complete."""
    asked = scene.ask(reason="障害 INC-2041 の調査 <b>**")
    request = await side.requests.observe(key_of(asked))
    assert request.complete
    assert request.status is Status.PENDING
    assert request.requester == f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/{REQUESTER}"
    assert request.reason == "障害 INC-2041 の調査 <b>**"
    assert (request.policy, request.policy_version) == ("Standard-Nodes", "1")
    assert request.duration == timedelta(hours=8)
    assert request.execution_id == asked.execution_id
    assert request.requested_at == request.modified_at == scene.clock()
    assert request.deadline == scene.clock() + timedelta(days=7)
    assert request.access_until is None
    assert not request.auto_approved


async def test_policy_written_in_yaml_is_read(scene: Scene, side: AwsSide) -> None:
    """Levels, approvers and duration of a policy in YAML, the format of AWS's samples, are read."""
    levels = [level("Team", APPROVER_ROLE), level("Lead", LEAD_ROLE)]
    content = yaml.safe_dump(manual_policy(levels, targets={"tag:Yaml": ["yes"]}, access_seconds=7200))
    scene.bot.create_document(Name="Yaml", Content=content, DocumentType=MANUAL, DocumentFormat="YAML")
    request = await side.requests.observe(key_of(scene.ask(scene.node(Yaml="yes"))))
    assert (request.complete, request.duration) == (True, timedelta(hours=2))
    assert {each.step: each.approvers for each in request.levels} == {
        "Team": (Approver(ApproverKind.ROLE, APPROVER_ROLE),),
        "Lead": (Approver(ApproverKind.ROLE, LEAD_ROLE),),
    }


async def test_ec2_node_is_named_by_its_name_tag(scene: Scene, side: AwsSide) -> None:
    """The node's platform, private address and tags are read as well."""
    node = (await side.requests.observe(key_of(scene.ask()))).node
    assert (node.id, node.name) == (scene.aws.world.nodes["web-prod-01"], "web-prod-01")
    assert (node.platform, node.private_ip) == ("Amazon Linux 2023", "172.31.10.21")
    assert node.tag("Owner") == "鈴木 芽依"


@pytest.mark.parametrize("tags", [{}, {"Name": ""}, {"Name": " "}, {"Name": "\u200b\u3164"}])
async def test_ec2_node_without_a_visible_name_tag_has_its_host_name_as_its_name(
    scene: Scene, side: AwsSide, tags: dict[str, str]
) -> None:
    """A Name tag without a visible character counts as none."""
    node_id, ec2 = scene.node(AccessTier="standard"), scene.aws.client("ec2")
    ec2.delete_tags(Resources=[node_id], Tags=[{"Key": "Name"}])
    ec2.create_tags(Resources=[node_id], Tags=[{"Key": "AccessTier", "Value": "standard"}, *_listed(tags)])
    node = (await side.requests.observe(key_of(scene.ask(node_id)))).node
    assert re.fullmatch(r"ip(-[0-9]+){4}\.ap-northeast-1\.compute\.internal", node.name or "")
    assert dict(node.tags or ()) == {"AccessTier": "standard", **tags}


async def test_tag_that_is_listed_twice_has_its_last_value(scene: Scene, side: AwsSide) -> None:
    """AWS allows each key once. A request must not go to one channel and show another's tag."""
    twice = [{"Key": "Environment", "Value": value} for value in ("staging", "production")]
    scene.aws.faults.rewrite("ListTagsForResource", lambda _: {"TagList": twice})
    node = (await side.requests.observe(key_of(scene.ask("factory-gw-osaka")))).node
    assert (node.tags, node.tag("Environment")) == ((("Environment", "production"),), "production")


@pytest.mark.parametrize("named", ["", " ", None])
async def test_hybrid_node_without_a_visible_name_has_its_host_name_as_its_name(
    scene: Scene, side: AwsSide, named: str | None
) -> None:
    """Neither its Name tag nor its activation has a visible name."""
    scene.aws.faults.rewrite("ListTagsForResource", lambda _: {"TagList": [{"Key": "Name", "Value": named or ""}]})
    scene.aws.faults.rewrite("DescribeInstanceInformation", in_agent(Name=named))
    node = (await side.requests.observe(key_of(scene.ask("factory-gw-osaka")))).node
    assert node.name == "factory-gw-osaka.example.com"


@pytest.mark.parametrize(
    ("kind", "location", "host"),
    [
        ("Microsoft.Compute/virtualMachines", "japaneast", "Azure (japaneast)"),
        ("Microsoft.Compute/virtualMachines", None, "Azure"),
        ("compute.googleapis.com/Instance", "asia-northeast1-a", "Google Cloud (asia-northeast1-a)"),
        ("AWS::IoT::Thing", None, "AWS IoT Greengrass"),
        ("AWS::SSM::ManagedInstance", "dc-1", None),
        (None, "dc-1", None),
    ],
)
async def test_host_of_a_hybrid_node_comes_from_its_source_type_and_location(
    scene: Scene, side: AwsSide, kind: str | None, location: str | None, host: str | None
) -> None:
    """A node of a general source type of AWS, or of no source type, has no host."""
    scene.aws.faults.rewrite("DescribeInstanceInformation", in_agent(SourceType=kind, SourceLocation=location))
    node = (await side.requests.observe(key_of(scene.ask("factory-gw-osaka")))).node
    assert node.host == host


async def test_unknown_source_type_of_a_hybrid_node_is_returned_unchanged_as_its_host(
    scene: Scene, side: AwsSide
) -> None:
    """AWS may support further clouds."""
    report = {"InstanceId": "mi-0a1b2c3d4e5f67890", "SourceType": "machines.example.com/Server"}
    scene.aws.faults.replace("DescribeInstanceInformation", json.dumps({"InstanceInformationList": [report]}))
    node = (await side.requests.observe(key_of(scene.ask("factory-gw-osaka")))).node
    assert node.host == "machines.example.com/Server"


async def test_ec2_node_has_no_host(scene: Scene, side: AwsSide) -> None:
    """An EC2 instance is in the request's own account and Region, which the card shows."""
    assert (await side.requests.observe(key_of(scene.ask()))).node.host is None


def in_agent(**members: str | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that replaces members of every agent's report; None removes one."""

    def rewrite(answer: dict[str, Any]) -> dict[str, Any]:
        reports = [{**each, **members} for each in answer["InstanceInformationList"]]
        known = [{name: value for name, value in each.items() if value is not None} for each in reports]
        return {**answer, "InstanceInformationList": known}

    return rewrite


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


async def test_hybrid_node_is_read_from_systems_manager(scene: Scene, side: AwsSide) -> None:
    """EC2 does not know `mi-` nodes: name, platform, address and tags come from SSM."""
    node = (await side.requests.observe(key_of(scene.ask("factory-gw-osaka")))).node
    assert (node.id, node.name) == ("mi-0a1b2c3d4e5f67890", "factory-gw-osaka")
    assert (node.platform, node.private_ip) == ("Ubuntu 24.04", "10.20.30.40")
    assert node.tag("Owner") == "Priya Nair"
    assert count(scene, "DescribeInstances") == 0


async def test_every_node_of_a_request_for_two_nodes_is_read(scene: Scene, side: AwsSide) -> None:
    """Each of two nodes has its name, tags, platform and address. The field for a request's only node is empty."""
    names = ("web-prod-01", "factory-gw-osaka")
    request = await side.requests.observe(key_of(scene.ask(*names)))
    assert (request.complete, request.node.id) == (True, "")
    assert tuple(node.name for node in request.nodes) == names
    assert all(node.tags and node.platform and node.private_ip for node in request.nodes)


async def test_request_is_incomplete_if_the_tags_of_one_of_its_nodes_cannot_be_read(
    scene: Scene, side: AwsSide
) -> None:
    """The request still lists both nodes."""
    scene.aws.faults.fail("ListTagsForResource", "InternalServerError", times=None)
    request = await side.requests.observe(key_of(scene.ask("web-prod-01", "factory-gw-osaka")))
    assert (request.complete, len(request.targets)) == (False, 2)


async def test_second_level_waits_after_the_first_was_approved(scene: Scene, side: AwsSide) -> None:
    """Levels are in the policy's order, each with its approvers, votes and state."""
    asked = scene.ask("db-prod-01")
    signal(scene.approver(), asked, comment="確認しました")
    first, second = (await side.requests.observe(key_of(asked))).levels
    assert (first.state, second.state) == (LevelState.APPROVED, LevelState.WAITING)
    assert first.approvers == (Approver(ApproverKind.ROLE, APPROVER_ROLE),)
    assert second.approvers == (Approver(ApproverKind.ROLE, LEAD_ROLE),)
    assert first.votes is not None
    assert [(vote.verdict, vote.comment, vote.at) for vote in first.votes] == [
        (Verdict.APPROVE, "確認しました", scene.clock())
    ]
    assert first.votes[0].by.endswith("/hanako.sato@example.com")
    assert (second.required, second.votes) == (1, ())


async def test_access_begins_with_the_approval_and_ends_after_the_duration_of_the_policy(
    scene: Scene, side: AwsSide
) -> None:
    """The duration is eight hours."""
    asked = scene.ask()
    scene.clock.move(minutes=5)
    signal(scene.approver(), asked)
    request = await side.requests.observe(key_of(asked))
    assert (request.status, request.complete) == (Status.APPROVED, True)
    assert request.access_from == scene.clock()
    assert request.access_until == scene.clock() + timedelta(hours=8)


async def test_grant_of_a_request_with_a_verified_execution_is_read_by_one_call(scene: Scene, side: AwsSide) -> None:
    """Once the request's execution is verified, only the OpsItem is read, and it is not cached."""
    asked = scene.ask()
    assert await side.requests.grant(key_of(asked)) == Grant(Status.PENDING)
    signal(scene.approver(), asked)
    scene.aws.forget_calls()
    until = scene.clock() + timedelta(hours=8)
    assert await side.requests.grant(key_of(asked)) == Grant(Status.APPROVED, until)
    assert [call.operation for call in scene.aws.calls()] == ["GetOpsItem"]
    signal(scene.approver(), asked, "Revoke")
    assert await side.requests.grant(key_of(asked)) == Grant(Status.REVOKED, until)


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", AwsThrottled), ("OpsItemAccessDeniedException", AwsUnavailable)]
)
async def test_unreadable_grant_raises_an_error_with_the_code_of_aws(
    scene: Scene, side: AwsSide, code: str, error: type[AwsUnavailable]
) -> None:
    """The read is throttled or denied, or the OpsItem does not exist."""
    asked = scene.ask()
    scene.aws.faults.fail("GetOpsItem", code)
    with pytest.raises(error) as caught:
        await side.requests.grant(key_of(asked))
    assert caught.value.code == code
    scene.aws.faults.clear()
    with pytest.raises(AwsUnavailable) as missing:
        await side.requests.grant(RequestKey(ACCOUNT, REGION, "oi-000000000000"))
    assert missing.value.code == "OpsItemNotFoundException"


async def test_grant_raises_an_error_if_the_ops_item_names_a_foreign_execution_or_none(
    scene: Scene, side: AwsSide
) -> None:
    """A revocation never relies on an OpsItem that names another request's execution, or none."""
    harmless, dangerous = scene.ask(), scene.ask("db-prod-01")
    signal(scene.approver(), harmless)
    assert (await side.requests.grant(key_of(harmless))).status is Status.APPROVED
    claim = in_ops_item(lambda _, about: about.update(automationExecutionId=dangerous.execution_id))
    scene.aws.faults.rewrite("GetOpsItem", claim)
    with pytest.raises(AwsUnavailable) as foreign:
        await side.requests.grant(key_of(harmless))
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about.pop("automationExecutionId")))
    with pytest.raises(AwsUnavailable) as unnamed:
        await side.requests.grant(key_of(harmless))
    assert (foreign.value.code, unnamed.value.code) == ("ExecutionOfAnotherRequest", "NoExecution")


async def test_grant_requires_a_verified_execution(scene: Scene, side: AwsSide) -> None:
    """An execution that was never read is read first, and a failure of this read is an error.

    An execution that was read is not read again.
    """
    asked = scene.ask()
    signal(scene.approver(), asked)
    for code, error in (("ThrottlingException", AwsThrottled), ("AccessDeniedException", AwsUnavailable)):
        scene.aws.faults.fail("GetAutomationExecution", code)
        with pytest.raises(error) as caught:
            await side.requests.grant(key_of(asked))
        assert caught.value.code == code
    await side.requests.observe(key_of(asked))
    scene.aws.faults.fail("GetAutomationExecution", "AccessDeniedException", times=None)
    assert (await side.requests.grant(key_of(asked))).status is Status.APPROVED


async def test_execution_id_of_an_ops_item_is_returned_only_if_the_execution_was_read(
    scene: Scene, side: AwsSide
) -> None:
    """While the execution is unreadable, the id that the OpsItem claims is left out.

    An id that was read earlier is kept.
    """
    harmless, dangerous = scene.ask(), scene.ask("db-prod-01")
    before = await side.requests.observe(key_of(harmless))
    claim = in_ops_item(lambda _, about: about.update(automationExecutionId=dangerous.execution_id))
    scene.aws.faults.rewrite("GetOpsItem", claim)
    scene.aws.faults.fail("GetAutomationExecution", "AccessDeniedException", times=None)
    claimed = await side.requests.observe(key_of(harmless))
    assert (claimed.execution_id, claimed.auto_approved, claimed.complete) == (None, False, False)
    assert claimed.completed_from(before).execution_id == harmless.execution_id


async def test_rejected_request_has_voter_and_comment(scene: Scene, side: AwsSide) -> None:
    """A rejection in the AWS console is read with its person and comment."""
    asked = scene.ask()
    scene.aws.control.decide(asked.id, "reject", comment="夜間作業のため不可")
    request = await side.requests.observe(key_of(asked))
    (vote,) = request.levels[0].votes or ()
    assert vote.by.endswith(f"/{CONSOLE_USER}")
    assert (request.status, request.levels[0].state) == (Status.REJECTED, LevelState.REJECTED)
    assert (vote.verdict, vote.comment) == (Verdict.REJECT, "夜間作業のため不可")
    assert request.complete


async def test_cancelled_revoked_timed_out_failed_and_auto_approved_requests_are_distinguished(
    scene: Scene, side: AwsSide
) -> None:
    """The failed request has conflicting policies."""
    cancelled, revoked, expired = scene.ask(), scene.ask(), scene.ask()
    scene.aws.control.decide(cancelled.id, "cancel")
    scene.aws.control.decide(revoked.id, "approve")
    scene.aws.control.decide(revoked.id, "revoke")
    failed, automatic = scene.ask("batch-01"), scene.ask("web-dev-01")
    asked = (cancelled, revoked, failed, automatic)
    found = [await side.requests.observe(key_of(each)) for each in asked]
    assert [each.status for each in found] == [Status.CANCELLED, Status.REVOKED, Status.FAILED, Status.APPROVED]
    assert [each.auto_approved for each in found] == [False, False, False, True]
    assert all(each.complete for each in found)
    assert found[2].policy == ""
    scene.clock.move(days=8)
    assert (await side.requests.observe(key_of(expired))).status is Status.TIMED_OUT


@pytest.mark.parametrize(
    ("operation", "lost"),
    [
        ("GetAutomationExecution", {"levels"}),
        ("GetDocument", set[str]()),
        ("DescribeInstances", {"name", "tags"}),
        ("DescribeInstanceInformation", set[str]()),
    ],
)
@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServerError", "ThrottlingException"])
async def test_failed_call_leaves_out_only_its_own_facts_of_a_request(
    scene: Scene, operation: str, lost: set[str], code: str
) -> None:
    """The request is incomplete, unless only DescribeInstanceInformation failed.

    It shows the votes if the steps were read.
    """
    asked = scene.ask()
    scene.aws.faults.fail(operation, code, times=None)
    async with aws_side(scene) as side:
        request = await side.requests.observe(key_of(asked))
    assert (request.status, request.reason) == (Status.PENDING, "ログを確認します")
    assert request.complete is (operation == "DescribeInstanceInformation")
    assert (request.levels == ()) is ("levels" in lost)
    assert request.shows_votes is ("levels" not in lost)
    assert (request.node.tags is None) is ("tags" in lost)
    assert request.node.id == scene.aws.world.nodes["web-prod-01"]
    assert (request.node.name == "web-prod-01") is ("name" not in lost)


@pytest.mark.parametrize("operation", ["DescribeInstanceInformation", "ListTagsForResource"])
async def test_request_is_incomplete_if_its_hybrid_node_is_read_only_partly(
    scene: Scene, side: AwsSide, operation: str
) -> None:
    """Without a Name tag, one call provides the name and the other the tags; both are needed."""
    asked = scene.ask("factory-gw-osaka")
    scene.aws.faults.fail(operation, "AccessDeniedException", times=None)
    request = await side.requests.observe(key_of(asked))
    assert not request.complete
    tags_lost = operation == "ListTagsForResource"
    assert (request.node.tags is None) is tags_lost
    assert request.node.name == ("factory-gw-osaka" if tags_lost else None)


async def test_call_that_fails_once_while_a_request_is_read_is_repeated_without_a_pause(
    scene: Scene, side: AwsSide
) -> None:
    """Three different calls for one request fail once each. The request is complete."""
    asked = scene.ask()
    for operation in ("GetOpsItem", "GetAutomationExecution", "DescribeInstances"):
        scene.aws.faults.fail(operation, "InternalServerError", times=1)
    began = scene.clock()
    assert (await side.requests.observe(key_of(asked))).complete
    assert scene.clock() == began


async def test_policy_and_node_of_a_request_are_cached_for_less_than_six_minutes(scene: Scene, side: AwsSide) -> None:
    """Two reads of a request cost one read of its policy and node. Six minutes later, both are read again."""
    key = key_of(scene.ask())
    scene.aws.forget_calls()
    await side.requests.observe(key)
    await side.requests.observe(key)
    assert [count(scene, each) for each in ("GetOpsItem", "GetAutomationExecution")] == [2, 2]
    assert [count(scene, each) for each in ("GetDocument", "DescribeInstances")] == [1, 1]
    scene.clock.move(minutes=6)
    await side.requests.observe(key)
    assert [count(scene, each) for each in ("GetDocument", "DescribeInstances")] == [2, 2]


async def test_incomplete_node_is_not_cached(scene: Scene, side: AwsSide) -> None:
    """An incomplete node is read again the next time."""
    key = key_of(scene.ask())
    scene.aws.faults.fail("DescribeInstances", "UnauthorizedOperation", times=1)
    assert not (await side.requests.observe(key)).complete
    assert (await side.requests.observe(key)).node.name == "web-prod-01"


async def test_missing_ops_item_raises_request_not_readable(side: AwsSide) -> None:
    """The error has AWS's code."""
    with pytest.raises(RequestNotReadable) as caught:
        await side.requests.observe(RequestKey(ACCOUNT, REGION, "oi-000000000000"))
    assert caught.value.code == "OpsItemNotFoundException"


async def test_ops_item_of_an_operational_issue_raises_request_not_readable(scene: Scene, side: AwsSide) -> None:
    """The error's code is NotAnAccessRequest."""
    asked = scene.ask()
    scene.aws.faults.rewrite(
        "GetOpsItem", lambda answer: {"OpsItem": {**answer["OpsItem"], "OpsItemType": "/aws/issue"}}
    )
    with pytest.raises(RequestNotReadable) as caught:
        await side.requests.observe(key_of(asked))
    assert caught.value.code == "NotAnAccessRequest"


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", AwsThrottled), ("OpsItemAccessDeniedException", AwsUnavailable)]
)
async def test_unreadable_ops_item_raises_aws_throttled_or_aws_unavailable(
    scene: Scene, side: AwsSide, code: str, error: type[AwsUnavailable]
) -> None:
    """The OpsItem is the only indispensable part. The error has AWS's code."""
    asked = scene.ask()
    scene.aws.faults.fail("GetOpsItem", code, times=None)
    with pytest.raises(error) as caught:
        await side.requests.observe(key_of(asked))
    assert caught.value.code == code


async def test_request_without_execution_is_incomplete(scene: Scene, side: AwsSide) -> None:
    """The approval of a manual request starts a moment after the request; the next read finds it."""
    asked = scene.ask()
    begun = in_ops_item(lambda _, about: about.update(automationExecutionId=""))
    scene.aws.faults.rewrite("GetOpsItem", begun, times=1)
    early = await side.requests.observe(key_of(asked))
    late = await side.requests.observe(key_of(asked))
    assert (early.status, early.execution_id, early.complete) == (Status.PENDING, None, False)
    assert (late.execution_id, late.complete) == (asked.execution_id, True)


async def test_request_is_pending_until_its_ops_item_is_approved(scene: Scene, side: AwsSide) -> None:
    """A request is shown as approved only if its OpsItem, which grants access, is Approved."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda item, _: item.update(Status="PendingApproval")))
    request = await side.requests.observe(key_of(asked))
    assert (request.status, request.waiting, request.complete) == (Status.PENDING, None, False)


async def test_rejected_execution_overrides_a_pending_ops_item(scene: Scene, side: AwsSide) -> None:
    """The execution ends before the OpsItem changes, so the execution's rejection is used."""
    asked = scene.ask()
    signal(scene.approver(), asked, "Reject")
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda item, _: item.update(Status="PendingApproval")))
    assert (await side.requests.observe(key_of(asked))).status is Status.REJECTED


@pytest.mark.parametrize(("kind", "status"), [("Approve", Status.APPROVED), ("Reject", Status.REJECTED)])
async def test_decision_between_the_reads_of_ops_item_and_execution_is_in_the_same_result(
    scene: Scene, side: AwsSide, kind: str, status: Status
) -> None:
    """The OpsItem is read again, so the result contains the decision and its time."""
    asked = scene.ask()

    def decided_meanwhile(answer: dict[str, Any]) -> dict[str, Any]:
        scene.aws.faults.clear()
        scene.clock.move(minutes=1)
        scene.aws.control.decide(asked.id, kind.lower(), comment="from the console")
        return answer

    scene.aws.faults.rewrite("GetOpsItem", decided_meanwhile)
    request = await side.requests.observe(key_of(asked))
    assert (request.status, request.complete) == (status, True)
    assert request.modified_at == scene.clock()
    assert (request.access_until is not None) is (status is Status.APPROVED)
    assert count(scene, "GetAutomationExecution") == 1


async def test_known_execution_is_read_beside_the_ops_item(scene: Scene, side: AwsSide) -> None:
    """The first read of a request learns its execution. The next one asks for both at once, with one call each."""
    asked = scene.ask()
    await side.requests.observe(key_of(asked))
    scene.aws.forget_calls()
    with scene.aws.faults.hold("GetOpsItem", times=1) as item, scene.aws.faults.hold("GetAutomationExecution") as other:
        observing = asyncio.create_task(side.requests.observe(key_of(asked)))
        assert await asyncio.to_thread(item.arrived.wait, SOON)
        assert await asyncio.to_thread(other.arrived.wait, SOON)
    assert (await observing).complete
    assert [count(scene, each) for each in ("GetOpsItem", "GetAutomationExecution")] == [1, 1]


async def test_decision_after_the_early_read_of_the_execution_is_in_the_result(scene: Scene, side: AwsSide) -> None:
    """The OpsItem is approved, but the execution that was read beside it still waits: the execution is read again."""
    asked = scene.ask()
    await side.requests.observe(key_of(asked))
    scene.aws.forget_calls()
    hold = scene.aws.faults.hold
    with hold("GetOpsItem", times=1) as item, hold("GetAutomationExecution", after_effect=True, times=1) as early:
        observing = asyncio.create_task(side.requests.observe(key_of(asked)))
        assert await asyncio.to_thread(item.arrived.wait, SOON)
        assert await asyncio.to_thread(early.arrived.wait, SOON)
        scene.aws.control.decide(asked.id, "approve", comment="from the console")
    request = await observing
    assert (request.status, request.waiting) == (Status.APPROVED, None)
    assert [level.state for level in request.levels] == [LevelState.APPROVED]
    assert [count(scene, each) for each in ("GetOpsItem", "GetAutomationExecution")] == [1, 2]


async def test_early_read_of_an_execution_that_the_ops_item_no_longer_names_is_not_used(
    scene: Scene, side: AwsSide
) -> None:
    """The OpsItem suddenly names the execution of another request. The request is not readable."""
    asked, other = scene.ask(), scene.ask("db-prod-01")
    assert (await side.requests.observe(key_of(asked))).complete
    claim = in_ops_item(lambda _, about: about.update(automationExecutionId=other.execution_id))
    scene.aws.faults.rewrite("GetOpsItem", claim)
    with pytest.raises(RequestNotReadable) as observed:
        await side.requests.observe(key_of(asked))
    assert observed.value.code == "ExecutionOfAnotherRequest"


async def test_failed_early_read_of_the_execution_leaves_the_request_incomplete(scene: Scene, side: AwsSide) -> None:
    """As without an early read, it is repeated once, and the other facts are returned. A missing OpsItem is an error."""
    asked = scene.ask()
    await side.requests.observe(key_of(asked))
    scene.aws.faults.fail("GetAutomationExecution", "AccessDeniedException", times=None)
    request = await side.requests.observe(key_of(asked))
    assert (request.complete, request.status) == (False, Status.PENDING)
    scene.aws.faults.fail("GetOpsItem", "OpsItemNotFoundException", times=None)
    with pytest.raises(RequestNotReadable):
        await side.requests.observe(key_of(asked))


async def test_only_the_ops_item_of_a_replica_is_read(scene: Scene, side: AwsSide) -> None:
    """A copy in the delegated administrator account names its source, so no other part is read."""
    asked = scene.ask()
    source = {
        "isReplica": "true",
        "sourceAccountId": "444455556666",
        "sourceRegion": "us-east-2",
        "sourceOpsItemId": "oi-0123456789ab",
    }
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about["requester"].update(source)))
    scene.aws.forget_calls()
    request = await side.requests.observe(key_of(asked))
    assert request.replica_of == RequestKey("444455556666", "us-east-2", "oi-0123456789ab")
    assert {call.operation for call in scene.aws.calls()} == {"GetCallerIdentity", "GetOpsItem"}


async def test_ops_item_that_names_a_foreign_execution_is_not_readable(scene: Scene, side: AwsSide) -> None:
    """A decision about one request never counts for another.

    Reading the request and reading the execution both fail with ExecutionOfAnotherRequest.
    """
    harmless, dangerous = scene.ask(), scene.ask("db-prod-01")
    claim = in_ops_item(lambda _, about: about.update(automationExecutionId=dangerous.execution_id))
    scene.aws.faults.rewrite("GetOpsItem", claim)
    with pytest.raises(RequestNotReadable) as observed:
        await side.requests.observe(key_of(harmless))
    with pytest.raises(AwsUnavailable) as read:
        await side.requests.execution(key_of(harmless), dangerous.execution_id)
    assert observed.value.code == read.value.code == "ExecutionOfAnotherRequest"


async def test_execution_is_never_cached(scene: Scene, side: AwsSide) -> None:
    """A second read returns the decision that was made after the first. Each read makes one call."""
    asked = scene.ask("db-prod-01")
    before = await side.requests.execution(key_of(asked), asked.execution_id)
    signal(scene.approver(), asked)
    after = await side.requests.execution(key_of(asked), asked.execution_id)
    assert before.waiting is not None
    assert after.waiting is not None
    assert (before.waiting.step, after.waiting.step) == ("Level1", "Level2")
    assert [call.operation for call in scene.aws.calls() if call.operation.startswith("GetAuto")] == [
        "GetAutomationExecution"
    ] * 2


@pytest.mark.parametrize(
    ("code", "error"),
    [("ThrottlingException", AwsThrottled), ("InternalServerError", AwsUnavailable), ("AccessDenied", AwsUnavailable)],
)
async def test_failed_read_of_an_execution_for_a_click_is_not_repeated(
    scene: Scene, side: AwsSide, code: str, error: type[AwsUnavailable]
) -> None:
    """The call is made once, and the error is raised."""
    asked = scene.ask()
    scene.aws.faults.fail("GetAutomationExecution", code, times=None)
    with pytest.raises(error):
        await side.requests.execution(key_of(asked), asked.execution_id)
    assert count(scene, "GetAutomationExecution") == 1


async def test_request_of_a_foreign_account_without_a_reader_role_is_not_read(scene: Scene, side: AwsSide) -> None:
    """The bot's own credentials are not used, because they would read the bot's own account instead."""
    asked = scene.ask()
    scene.aws.forget_calls()
    with pytest.raises(AwsUnavailable) as caught:
        await side.requests.observe(RequestKey("444455556666", REGION, asked.id))
    assert caught.value.code == "NoReaderRole"
    assert [call.operation for call in scene.aws.calls()] == ["GetCallerIdentity"]


async def test_malformed_answer_leaves_out_its_part_of_a_request_and_fails_a_read_for_a_click(
    scene: Scene, side: AwsSide
) -> None:
    """A documented member of the answer is missing or unreadable."""
    asked = scene.ask()
    scene.aws.faults.rewrite("GetAutomationExecution", lambda _: {})
    scene.aws.faults.rewrite("GetDocument", lambda answer: {**answer, "Content": "schemaVersion: '0.3'"})
    scene.aws.faults.rewrite("DescribeInstanceInformation", lambda _: {})
    request = await side.requests.observe(key_of(asked))
    assert (request.status, request.levels, request.complete) == (Status.PENDING, (), False)
    with pytest.raises(AwsUnavailable):
        await side.requests.execution(key_of(asked), asked.execution_id)


async def test_reading_a_request_does_not_wait_for_slow_ec2(
    scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two reads return without the node's name while EC2 hangs; a later read has it.

    All three share one call to EC2.
    """
    monkeypatch.setattr(nodes, "PROMPT_SECONDS", 0.05)
    key = key_of(scene.ask())
    scene.aws.forget_calls()
    with scene.aws.faults.hold("DescribeInstances"):
        early = [await side.requests.observe(key) for _ in range(2)]
    monkeypatch.setattr(nodes, "PROMPT_SECONDS", 30.0)
    late = await side.requests.observe(key)
    assert [(each.complete, each.node.name) for each in early] == [(False, None)] * 2
    assert (late.complete, late.node.name) == (True, "web-prod-01")
    assert count(scene, "DescribeInstances") == 1


async def test_request_is_incomplete_if_the_agent_of_its_hybrid_node_never_reported(
    scene: Scene, side: AwsSide
) -> None:
    """The node has no platform."""
    asked = scene.ask("factory-gw-osaka")
    scene.aws.faults.rewrite("DescribeInstanceInformation", lambda _: {"InstanceInformationList": []})
    request = await side.requests.observe(key_of(asked))
    assert (request.node.id, request.node.platform, request.complete) == ("mi-0a1b2c3d4e5f67890", None, False)


async def test_request_without_a_node_is_incomplete(scene: Scene, side: AwsSide) -> None:
    """If the OpsItem names no node, the node is empty. The request can still be decided."""
    asked = scene.ask()
    context = {"Value": "{}", "Type": "SearchableString"}
    unnamed = in_ops_item(lambda item, _: item["OperationalData"].update({"/aws/accessrequest/context": context}))
    scene.aws.faults.rewrite("GetOpsItem", unnamed)
    request = await side.requests.observe(key_of(asked))
    assert (request.node.id, request.complete) == ("", False)
    assert request.waiting is not None


async def test_policy_name_comes_from_the_execution_if_the_ops_item_has_none(scene: Scene, side: AwsSide) -> None:
    """The request is complete."""
    asked = scene.ask()
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about.pop("approvalPolicy")))
    request = await side.requests.observe(key_of(asked))
    assert (request.policy, request.policy_version, request.complete) == ("Standard-Nodes", "1", True)


async def test_request_without_a_policy_name_is_incomplete(scene: Scene, side: AwsSide) -> None:
    """Neither the OpsItem nor the execution names the policy, so the levels come from the execution alone."""
    asked = scene.ask()
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about.pop("approvalPolicy")))

    def unnamed(answer: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in answer["AutomationExecution"].items() if name != "DocumentName"}
        return {"AutomationExecution": kept}

    scene.aws.faults.rewrite("GetAutomationExecution", unnamed)
    request = await side.requests.observe(key_of(asked))
    assert (request.policy, request.complete) == (None, False)
    assert request.waiting is not None


async def test_policy_without_a_version_number_is_not_cached(scene: Scene, side: AwsSide) -> None:
    """`$DEFAULT` may name another version later, so the policy is read each time."""
    key = key_of(scene.ask())
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about.update(approvalPolicyVersion="$DEFAULT")))
    for _ in range(2):
        assert (await side.requests.observe(key)).complete
    assert count(scene, "GetDocument") == 2


async def test_ended_request_is_complete_without_its_execution(scene: Scene, side: AwsSide) -> None:
    """AWS deletes executions after 30 days.

    Without an execution, a rejected request is complete, and a pending one is not.
    """
    decided, waiting = scene.ask(), scene.ask()
    signal(scene.approver(), decided, "Reject")
    scene.aws.faults.fail("GetAutomationExecution", "AutomationExecutionNotFoundException", times=None)
    old, odd = [await side.requests.observe(key_of(each)) for each in (decided, waiting)]
    assert (old.status, old.complete) == (Status.REJECTED, True)
    assert (odd.status, odd.complete) == (Status.PENDING, False)
