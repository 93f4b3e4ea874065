"""Lists of the sandbox's AWS: filters, pages, truncation, nodes and policies."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml

from bot.sandbox.aws.jit.policies import AUTO, MANUAL
from bot.sandbox.aws.nodes import HybridNode
from bot.sandbox.aws.world import (
    APPROVER_ROLE,
    AUTO_POLICY,
    EC2_NODES,
    HYBRID_NODE,
    LEAD_ROLE,
    MANUAL_POLICIES,
    Ec2Node,
    level,
    tags_in,
)
from tests.contract.scene import Asked, Scene, refused, signal, staged


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """One sandbox for this file, whose GetAutomationExecution shows one step only."""
    with staged(steps_shown=1) as scene:
        yield scene


def wanted(key: str, *values: str, operator: str = "Equal") -> dict[str, Any]:
    """Return one OpsItem filter."""
    return {"Key": key, "Values": list(values), "Operator": operator}


def ids(scene: Scene, *filters: dict[str, Any]) -> set[str]:
    """Return the ids of the OpsItems that pass the filters, from all pages."""
    pages = scene.bot.get_paginator("describe_ops_items").paginate(OpsItemFilters=list(filters), MaxResults=2)
    return {item["OpsItemId"] for page in pages for item in page["OpsItemSummaries"]}


def test_sandbox_lists_ops_items_in_pages_newest_first(scene: Scene) -> None:
    """Of five requests in pages of two, each appears once, the newest first."""
    scene.clock.move(minutes=1)
    since = scene.clock() - timedelta(seconds=1)
    asked = []
    for _ in range(5):
        asked.append(scene.ask().id)
        scene.clock.move(seconds=1)
    newer = wanted("CreatedTime", since.isoformat(), operator="GreaterThan")
    pages = scene.bot.get_paginator("describe_ops_items").paginate(OpsItemFilters=[newer], MaxResults=2)
    found = [[item["OpsItemId"] for item in page["OpsItemSummaries"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert [i for page in found for i in page] == asked[::-1]


def test_sandbox_filters_ops_items_by_status_and_type(scene: Scene) -> None:
    """The filters of the bot's sweep find a pending access request and no decided one."""
    waiting, decided = scene.ask(), scene.ask()
    signal(scene.approver(), decided, "Reject")
    found = ids(scene, wanted("OpsItemType", "/aws/accessrequest"), wanted("Status", "PendingApproval"))
    assert waiting.id in found
    assert decided.id not in found
    assert ids(scene, wanted("OpsItemType", "/aws/issue")) == set()
    assert decided.id in ids(scene, wanted("Status", "Rejected", "Approved"))


def test_sandbox_filters_ops_items_by_time_of_change(scene: Scene) -> None:
    """LastModifiedTime moves with a decision; GreaterThan and LessThan exclude the limit itself."""
    scene.clock.move(minutes=1)
    asked = scene.ask()
    scene.clock.move(minutes=1)
    before = scene.clock().isoformat()
    assert asked.id not in ids(scene, wanted("LastModifiedTime", before, operator="GreaterThan"))
    scene.clock.move(minutes=1)
    signal(scene.approver(), asked)
    assert asked.id in ids(scene, wanted("LastModifiedTime", before, operator="GreaterThan"))
    assert asked.id not in ids(scene, wanted("LastModifiedTime", before, operator="LessThan"))
    assert asked.id not in ids(scene, wanted("LastModifiedTime", scene.clock().isoformat(), operator="GreaterThan"))


def test_sandbox_filters_ops_items_by_requester_approver_node_replica_and_id(scene: Scene) -> None:
    """The access request filters match requester, approver, node, replica and id."""
    web, db = scene.ask("web-prod-01").id, scene.ask("db-prod-01").id
    assert ids(scene, wanted("OpsItemId", web)) == {web}
    node = scene.aws.world.nodes["db-prod-01"]
    both = ids(scene, wanted("AccessRequestByTargetResourceId", node), wanted("OpsItemId", web, db))
    assert both == {db}
    assert ids(scene, wanted("AccessRequestByApproverArn", LEAD_ROLE), wanted("OpsItemId", web, db)) == {db}
    requester = wanted("AccessRequestByRequesterArn", scene.aws.world.requester.arn)
    assert {web, db} <= ids(scene, requester)
    assert {web, db} <= ids(scene, wanted("AccessRequestByIsReplica", "false"))
    assert ids(scene, wanted("AccessRequestByIsReplica", "true")) == set()


@pytest.mark.parametrize(
    "bad",
    [
        wanted("LastModifiedTime", "yesterday", operator="GreaterThan"),
        wanted("LastModifiedTime", "2026-04-01T00:00:00Z"),
        wanted("Priority", "1"),
        wanted("NoSuchKey", "1"),
    ],
)
def test_sandbox_refuses_an_invalid_filter_for_ops_items(scene: Scene, bad: dict[str, Any]) -> None:
    """An unknown key, an operator that does not fit the key, or an invalid time is refused, not ignored."""
    scene.ask()
    with refused("ValidationException"):
        scene.bot.describe_ops_items(OpsItemFilters=[bad])


@pytest.mark.parametrize("size", [0, 51])
def test_sandbox_refuses_a_page_size_outside_one_to_fifty(scene: Scene, size: int) -> None:
    """The server refuses a MaxResults of 0 or 51. The test sets it after botocore's own check."""
    sloppy = scene.aws.client("ssm")
    sloppy.meta.events.register("before-call.ssm.DescribeOpsItems", _max_results(size))
    with refused("ValidationException"):
        sloppy.describe_ops_items()


def _max_results(size: int) -> Any:
    def put(params: dict[str, Any], **_: Any) -> None:
        params["body"] = json.dumps({"MaxResults": size}).encode()

    return put


def test_sandbox_refuses_a_page_token_that_it_did_not_issue(scene: Scene) -> None:
    """The lists of OpsItems and of executions refuse it."""
    with refused("ValidationException"):
        scene.bot.describe_ops_items(NextToken="bogus")
    with refused("InvalidNextToken"):
        scene.bot.describe_automation_executions(NextToken="bogus")


def test_sandbox_lists_the_changes_of_an_ops_item_with_author(scene: Scene) -> None:
    """ListOpsItemEvents returns each change of one OpsItem with author and time, in pages."""
    asked = scene.ask("db-prod-01")
    signal(scene.approver(), asked)
    signal(scene.lead(), asked)
    filters = [{"Key": "OpsItemId", "Values": [asked.id], "Operator": "Equal"}]
    pages = scene.bot.get_paginator("list_ops_item_events").paginate(Filters=filters, MaxResults=2)
    events = [event for page in pages for event in page["Summaries"]]
    assert [e["DetailType"] for e in events] == ["OpsItem Create", "OpsItem Update", "OpsItem Update"]
    assert events[0]["CreatedBy"]["Arn"] == scene.aws.world.requester.arn
    assert events[2]["CreatedBy"]["Arn"].endswith("NodeAccessLead/priya.nair@example.com")
    unknown = [{"Key": "OpsItemId", "Values": ["oi-000000000000"], "Operator": "Equal"}]
    with refused("OpsItemNotFoundException"):
        scene.bot.list_ops_item_events(Filters=unknown)


def executions(scene: Scene, **filters: list[str]) -> list[dict[str, Any]]:
    """Return the executions that pass the filters, from all pages."""
    wanted_filters = [{"Key": key, "Values": values} for key, values in filters.items()]
    pages = scene.bot.get_paginator("describe_automation_executions").paginate(Filters=wanted_filters, MaxResults=2)
    return [row for page in pages for row in page["AutomationExecutionMetadataList"]]


def test_sandbox_filters_executions_by_subtype(scene: Scene) -> None:
    """With AutomationSubtype=AccessRequest, as in the bot's sweep, each row has its OpsItem and its current step."""
    asked = scene.ask("db-prod-01")
    signal(scene.approver(), asked)
    (row,) = [r for r in executions(scene, AutomationSubtype=["AccessRequest"]) if r["OpsItemId"] == asked.id]
    assert (row["CurrentStepName"], row["CurrentAction"]) == ("Level2", "aws:approve")
    assert row["AutomationExecutionId"] == asked.execution_id
    assert executions(scene, AutomationSubtype=["ChangeRequest"]) == []


def test_sandbox_filters_executions_by_id_status_and_start_time(scene: Scene) -> None:
    """ExecutionId, OpsItemId, ExecutionStatus and the start times narrow the list.

    An auto-approved request has no execution.
    """
    scene.clock.move(hours=1)
    first = scene.ask()
    scene.clock.move(hours=1)
    second = scene.ask()
    signal(scene.approver(), second)
    middle = (scene.clock() - timedelta(minutes=30)).isoformat()

    def found(**filters: list[str]) -> set[str]:
        return {r["OpsItemId"] for r in executions(scene, **filters)} & {first.id, second.id}

    assert found(ExecutionId=[first.execution_id]) == {first.id}
    assert found(OpsItemId=[second.id]) == {second.id}
    assert found(ExecutionStatus=["Waiting"]) == {first.id}
    assert found(ExecutionStatus=["Approved"]) == {second.id}
    assert found(StartTimeAfter=[middle]) == {second.id}
    assert found(StartTimeBefore=[middle]) == {first.id}
    assert executions(scene, OpsItemId=[scene.ask("web-dev-01").id]) == []


def test_sandbox_refuses_an_invalid_filter_for_executions(scene: Scene) -> None:
    """A key that the sandbox does not know is InvalidFilterKey, a bad time InvalidFilterValue."""
    scene.ask()
    with refused("InvalidFilterKey"):
        executions(scene, TagKey=["Name"])
    with refused("InvalidFilterValue"):
        executions(scene, StartTimeAfter=["soon"])


def test_sandbox_truncates_a_long_list_of_steps_and_lists_all_in_pages(scene: Scene) -> None:
    """GetAutomationExecution says that its list is truncated; DescribeAutomationStepExecutions returns all steps."""
    asked = scene.ask(scene.policy(*(level(f"Level{n}", APPROVER_ROLE) for n in range(1, 6))))
    execution = scene.execution(asked)
    assert execution["StepExecutionsTruncated"] is True
    assert [s["StepName"] for s in execution["StepExecutions"]] == ["Level1"]
    assert step_names(scene, asked) == [f"Level{n}" for n in range(1, 6)]
    assert step_names(scene, asked, ReverseOrder=True) == [f"Level{n}" for n in range(5, 0, -1)]


def step_names(scene: Scene, asked: Asked, **options: Any) -> list[str]:
    """Return the names of an execution's steps, read two at a time."""
    pages = scene.bot.get_paginator("describe_automation_step_executions").paginate(
        AutomationExecutionId=asked.execution_id, MaxResults=2, **options
    )
    return [s["StepName"] for page in pages for s in page["StepExecutions"]]


def test_sandbox_filters_steps_by_status_name_and_action(scene: Scene) -> None:
    """Step filters narrow the list; an unknown key is refused."""
    asked = scene.ask("db-prod-01")
    assert step_names(scene, asked, Filters=[{"Key": "StepExecutionStatus", "Values": ["Waiting"]}]) == ["Level1"]
    assert step_names(scene, asked, Filters=[{"Key": "StepName", "Values": ["Level2"]}]) == ["Level2"]
    assert len(step_names(scene, asked, Filters=[{"Key": "Action", "Values": ["aws:approve"]}])) == 2
    with refused("InvalidFilterKey"):
        step_names(scene, asked, Filters=[{"Key": "ParentStepIteration", "Values": ["1"]}])
    with refused("AutomationExecutionNotFoundException"):
        step_names(scene, Asked("", "0" * 36))


def test_sandbox_filters_nodes_by_id(scene: Scene) -> None:
    """DescribeInstanceInformation finds EC2 and hybrid nodes by InstanceIds, with platform and address."""
    nodes = scene.aws.world.nodes
    both = [nodes["web-dev-01"], nodes["factory-gw-osaka"]]
    found = scene.bot.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": both}])
    windows, hybrid = found["InstanceInformationList"]
    assert (windows["PlatformType"], windows["IPAddress"]) == ("Windows", "172.31.30.8")
    assert (hybrid["Name"], hybrid["ComputerName"]) == ("factory-gw-osaka", "factory-gw-osaka.example.com")
    assert (hybrid["PlatformName"], hybrid["IPAddress"]) == ("Ubuntu", "10.20.30.40")
    older = [{"key": "InstanceIds", "valueSet": both[:1]}]
    only = scene.bot.describe_instance_information(InstanceInformationFilterList=older)["InstanceInformationList"]
    assert [n["InstanceId"] for n in only] == both[:1]
    with refused("InvalidFilterKey"):
        scene.bot.describe_instance_information(Filters=[{"Key": "IamRole", "Values": ["x"]}])


def test_sandbox_filters_nodes_by_tag_and_type(scene: Scene) -> None:
    """A tag and ResourceType narrow the list together."""
    filters = [{"Key": "tag:Environment", "Values": ["production"]}, {"Key": "ResourceType", "Values": ["EC2Instance"]}]
    found = scene.bot.describe_instance_information(Filters=filters)["InstanceInformationList"]
    names = {name for name, node in scene.aws.world.nodes.items() if node in {n["InstanceId"] for n in found}}
    assert names == {"web-prod-01", "db-prod-01"}


def test_sandbox_lists_the_tags_of_a_hybrid_node(scene: Scene) -> None:
    """ListTagsForResource returns the tags; an unknown id is InvalidResourceId; moto answers for other resources."""
    tags = scene.bot.list_tags_for_resource(ResourceType="ManagedInstance", ResourceId=HYBRID_NODE.id)["TagList"]
    assert {t["Key"]: t["Value"] for t in tags} == dict(HYBRID_NODE.tags)
    with refused("InvalidResourceId"):
        scene.bot.list_tags_for_resource(ResourceType="ManagedInstance", ResourceId="mi-00000000000000000")
    scene.bot.put_parameter(Name="/p", Value="v", Type="String", Tags=[{"Key": "a", "Value": "b"}])
    listed = scene.bot.list_tags_for_resource(ResourceType="Parameter", ResourceId="/p")["TagList"]
    assert listed == [{"Key": "a", "Value": "b"}]


def test_sandbox_returns_tags_and_private_address_of_an_ec2_node(scene: Scene) -> None:
    """DescribeInstances returns Name, Japanese tags and the private address."""
    node = scene.aws.world.nodes["web-prod-01"]
    (found,) = scene.aws.client("ec2").describe_instances(InstanceIds=[node])["Reservations"][0]["Instances"]
    tags = {t["Key"]: t["Value"] for t in found["Tags"]}
    assert (tags["Name"], tags["Team"], found["PrivateIpAddress"]) == ("web-prod-01", "決済基盤チーム", "172.31.10.21")


@pytest.mark.parametrize("node", [*EC2_NODES, HYBRID_NODE], ids=lambda node: node.name)
def test_sandbox_in_english_has_english_tags(node: Ec2Node | HybridNode) -> None:
    """Every value is translated; keys and the values that policies select are the same in both languages."""
    english, japanese = tags_in("en", node.tags), tags_in("ja", node.tags)
    assert all(value.isascii() for _, value in english)
    assert [key for key, _ in english] == [key for key, _ in japanese]
    selecting = ("AccessTier", "Workload", "Environment")
    assert [tag for tag in english if tag[0] in selecting] == [tag for tag in japanese if tag[0] in selecting]


def test_sandbox_creates_reads_lists_and_deletes_a_policy(scene: Scene) -> None:
    """A policy is created, read back, described, listed by its type, and deleted."""
    content = json.dumps(MANUAL_POLICIES["Restricted-Nodes"])
    made = scene.bot.create_document(Name="Copy", Content=content, DocumentType=MANUAL)["DocumentDescription"]
    assert (made["DocumentType"], made["Status"], made["SchemaVersion"]) == (MANUAL, "Active", "0.3")
    assert json.loads(scene.bot.get_document(Name="Copy")["Content"]) == MANUAL_POLICIES["Restricted-Nodes"]
    assert scene.bot.describe_document(Name="Copy", DocumentVersion="1")["Document"]["Name"] == "Copy"
    with refused("DocumentAlreadyExists"):
        scene.bot.create_document(Name="Copy", Content=content, DocumentType=MANUAL)
    with refused("InvalidDocumentVersion"):
        scene.bot.get_document(Name="Copy", DocumentVersion="2")
    listed = scene.bot.list_documents(Filters=[{"Key": "DocumentType", "Values": [MANUAL]}])["DocumentIdentifiers"]
    assert {"Copy", "Standard-Nodes"} <= {d["Name"] for d in listed}
    older = scene.bot.list_documents(DocumentFilterList=[{"key": "DocumentType", "value": AUTO}])["DocumentIdentifiers"]
    assert {d["DocumentType"] for d in older} == {AUTO}
    scene.bot.delete_document(Name="Copy")
    with refused("InvalidDocument"):
        scene.bot.get_document(Name="Copy")


YAML_POLICY = f"""\
schemaVersion: '0.3'
description: 夜間の作業
accessDuration: 7200
targets:
- Key: tag:Yaml
  Values: [y]
mainSteps:
- name: Ask
  action: aws:approve
  inputs:
    EnhancedApprovals:
      Approvers:
      - approver: {APPROVER_ROLE}
        type: IamRole
"""


def test_sandbox_accepts_a_policy_in_yaml(scene: Scene) -> None:
    """A policy in YAML, the format of AWS's samples, has its step and the default time-out."""
    scene.bot.create_document(Name="Yaml", Content=YAML_POLICY, DocumentType=MANUAL, DocumentFormat="YAML")
    asked = scene.ask(scene.node(Yaml="y"))
    step = scene.execution(asked)["StepExecutions"][0]
    assert (step["StepName"], step["TimeoutSeconds"]) == ("Ask", 604_800)
    scene.bot.delete_document(Name="Yaml")


@pytest.mark.parametrize("created", ["JSON", "YAML"])
def test_sandbox_returns_a_policy_in_the_requested_format(scene: Scene, created: str) -> None:
    """The policy is unchanged in its own format and converted into the other one. The default is JSON."""
    content = YAML_POLICY if created == "YAML" else json.dumps(yaml.safe_load(YAML_POLICY))
    scene.bot.create_document(Name="Both", Content=content, DocumentType=MANUAL, DocumentFormat=created)
    found = {wanted: scene.bot.get_document(Name="Both", DocumentFormat=wanted) for wanted in ("JSON", "YAML")}
    assert {wanted: answer["DocumentFormat"] for wanted, answer in found.items()} == {"JSON": "JSON", "YAML": "YAML"}
    assert found[created]["Content"] == content
    assert json.loads(found["JSON"]["Content"]) == yaml.safe_load(found["YAML"]["Content"])
    assert json.loads(found["JSON"]["Content"])["description"] == "夜間の作業"
    assert scene.bot.get_document(Name="Both")["Content"] == found["JSON"]["Content"]
    with refused("InvalidDocument"):
        scene.bot.get_document(Name="Both", DocumentFormat="TEXT")
    scene.bot.delete_document(Name="Both")


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": "2.2"},
        {"accessDuration": 60},
        {"accessDuration": "an hour"},
        {"accessDuration": 337 * 3600},
        {"targets": []},
        {"mainSteps": []},
        {"mainSteps": [level(f"L{n}", APPROVER_ROLE) for n in range(6)]},
        {"mainSteps": [level("L", *[APPROVER_ROLE] * 6)]},
        {"mainSteps": [level("L", APPROVER_ROLE, timeout=2_592_001)]},
        {"mainSteps": [level("L", APPROVER_ROLE, needed=0)]},
        {"mainSteps": [{"name": "L", "action": "aws:sleep", "inputs": {}}]},
    ],
)
def test_sandbox_refuses_a_policy_that_aws_would_not_accept(scene: Scene, change: dict[str, Any]) -> None:
    """Malformed values, and durations, levels, approvers and time-outs outside the documented limits, are refused."""
    content = json.dumps({**MANUAL_POLICIES["Standard-Nodes"], **change})
    with refused("InvalidDocumentContent"):
        scene.bot.create_document(Name="Bad", Content=content, DocumentType=MANUAL)


@pytest.mark.parametrize(
    "cedar",
    [
        "forbid (principal, action, resource);",
        'permit (principal, action == AWS::SSM::Action::"getTokenForInstanceAccess", resource) when { principal.ok };',
        'permit (principal, action == AWS::SSM::Action::"getTokenForInstanceAccess", resource) unless { true };',
    ],
)
def test_cedar_that_the_sandbox_cannot_evaluate_is_refused(scene: Scene, cedar: str) -> None:
    """A permission that the sandbox cannot evaluate never becomes an approval."""
    content = {**AUTO_POLICY, "AutoApprovalPolicyDocuments": [{"type": "Cedar", "content": cedar}]}
    with refused("InvalidDocumentContent"):
        scene.bot.create_document(Name="Cedar", Content=json.dumps(content), DocumentType=AUTO)


def test_sandbox_stores_a_document_that_is_not_a_policy(scene: Scene) -> None:
    """The document is of the type Command. It can be read and listed."""
    content = json.dumps({"schemaVersion": "2.2", "description": "d", "mainSteps": []})
    scene.bot.create_document(Name="Other", Content=content, DocumentType="Command")
    assert scene.bot.get_document(Name="Other")["DocumentType"] == "Command"
    assert "Other" in {d["Name"] for d in scene.bot.list_documents()["DocumentIdentifiers"]}
