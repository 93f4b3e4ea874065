"""What the product reads of access requests, over real HTTP: whole, in part, late, and lagging."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml

from bot.aws.assembly import AwsSide
from bot.aws.jit import nodes
from bot.domain.request import Approver, ApproverKind, Grant, LevelState, RequestKey, Status, Verdict
from bot.ports.aws import AwsThrottled, AwsUnavailable, RequestNotReadable
from bot.sandbox.aws.jit.policies import MANUAL
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, LEAD_ROLE, REGION, REQUESTER, level, manual_policy
from tests.contract import gateway
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Scene, signal

stage, scene, side = gateway.stage, gateway.scene, gateway.side


def count(scene: Scene, operation: str) -> int:
    return len(scene.aws.calls(operation))


def in_ops_item(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change an OpsItem and what its `/aws/accessrequest` holds."""

    def rewrite(answer: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = json.loads(json.dumps(answer["OpsItem"], default=str))
        data = item["OperationalData"]["/aws/accessrequest"]
        about = json.loads(data["Value"])
        change(item, about)
        data["Value"] = json.dumps(about)
        times = {name: answer["OpsItem"][name] for name in ("CreatedTime", "LastModifiedTime")}
        return {"OpsItem": {**item, **times}}

    return rewrite


async def test_a_waiting_request_is_read_whole(scene: Scene, side: AwsSide) -> None:
    """Everything that an approver judges by: who, why, which node, for how long, until when."""
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


async def test_a_policy_that_was_written_in_yaml_is_read_all_the_same(scene: Scene, side: AwsSide) -> None:
    """AWS's own samples are YAML: levels, approvers and the access time come from it as from JSON."""
    levels = [level("Team", APPROVER_ROLE), level("Lead", LEAD_ROLE)]
    content = yaml.safe_dump(manual_policy(levels, targets={"tag:Yaml": ["yes"]}, access_seconds=7200))
    scene.bot.create_document(Name="Yaml", Content=content, DocumentType=MANUAL, DocumentFormat="YAML")
    request = await side.requests.observe(key_of(scene.ask(scene.node(Yaml="yes"))))
    assert (request.complete, request.duration) == (True, timedelta(hours=2))
    assert {each.step: each.approvers for each in request.levels} == {
        "Team": (Approver(ApproverKind.ROLE, APPROVER_ROLE),),
        "Lead": (Approver(ApproverKind.ROLE, LEAD_ROLE),),
    }


async def test_the_node_has_its_name_tag(scene: Scene, side: AwsSide) -> None:
    """An EC2 node is named by its Name tag, with platform, private address and tags."""
    node = (await side.requests.observe(key_of(scene.ask()))).node
    assert (node.id, node.name) == (scene.aws.world.nodes["web-prod-01"], "web-prod-01")
    assert (node.platform, node.private_ip) == ("Amazon Linux 2023", "172.31.10.21")
    assert node.tag("Owner") == "鈴木 芽依"


async def test_a_hybrid_node_is_known_to_systems_manager(scene: Scene, side: AwsSide) -> None:
    """EC2 has never heard of `mi-` nodes: name, platform, address and tags come from SSM."""
    node = (await side.requests.observe(key_of(scene.ask("factory-gw-osaka")))).node
    assert (node.id, node.name) == ("mi-0a1b2c3d4e5f67890", "factory-gw-osaka")
    assert (node.platform, node.private_ip) == ("Ubuntu 24.04", "10.20.30.40")
    assert node.tag("Owner") == "Priya Nair"
    assert count(scene, "DescribeInstances") == 0


async def test_the_second_level_waits_after_the_first(scene: Scene, side: AwsSide) -> None:
    """Levels come in the policy's order, each with its approvers, its votes and its state."""
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


async def test_an_approved_request_tells_until_when(scene: Scene, side: AwsSide) -> None:
    """The window of access is the OpsItem's."""
    asked = scene.ask()
    scene.clock.move(minutes=5)
    signal(scene.approver(), asked)
    request = await side.requests.observe(key_of(asked))
    assert (request.status, request.complete) == (Status.APPROVED, True)
    assert request.access_from == scene.clock()
    assert request.access_until == scene.clock() + timedelta(hours=8)


async def test_what_is_granted_is_read_by_one_call(scene: Scene, side: AwsSide) -> None:
    """Before a revocation the OpsItem alone is read, anew each time: granted until when, and then no more."""
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
async def test_what_is_granted_cannot_be_read(
    scene: Scene, side: AwsSide, code: str, error: type[AwsUnavailable]
) -> None:
    """Throttled, denied, or no OpsItem at all: nothing is known, and nothing is guessed."""
    asked = scene.ask()
    scene.aws.faults.fail("GetOpsItem", code)
    with pytest.raises(error) as caught:
        await side.requests.grant(key_of(asked))
    assert caught.value.code == code
    scene.aws.faults.clear()
    with pytest.raises(AwsUnavailable) as missing:
        await side.requests.grant(RequestKey(ACCOUNT, REGION, "oi-000000000000"))
    assert missing.value.code == "OpsItemNotFoundException"


async def test_nothing_is_granted_by_another_requests_execution(scene: Scene, side: AwsSide) -> None:
    """An OpsItem that points at another's execution says nothing that a revocation could go by, however it stands."""
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


async def test_nothing_is_granted_while_nobody_can_tell_whose_the_execution_is(scene: Scene, side: AwsSide) -> None:
    """Of a process that has not read the execution yet; once it has, whose it is does not change and is not asked again."""
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


async def test_an_execution_that_was_not_read_is_not_taken_for_the_requests_own(scene: Scene, side: AwsSide) -> None:
    """While it cannot be read the claim of an OpsItem stays out of what is kept, so that no signal ever goes by it."""
    harmless, dangerous = scene.ask(), scene.ask("db-prod-01")
    before = await side.requests.observe(key_of(harmless))
    claim = in_ops_item(lambda _, about: about.update(automationExecutionId=dangerous.execution_id))
    scene.aws.faults.rewrite("GetOpsItem", claim)
    scene.aws.faults.fail("GetAutomationExecution", "AccessDeniedException", times=None)
    claimed = await side.requests.observe(key_of(harmless))
    assert (claimed.execution_id, claimed.auto_approved, claimed.complete) == (None, False, False)
    assert claimed.completed_from(before).execution_id == harmless.execution_id


async def test_a_rejected_request_tells_by_whom_and_why(scene: Scene, side: AwsSide) -> None:
    """A rejection in the AWS console is read with its person and comment."""
    asked = scene.ask()
    scene.aws.control.decide(asked.id, "reject", comment="夜間作業のため不可")
    request = await side.requests.observe(key_of(asked))
    (vote,) = request.levels[0].votes or ()
    assert (request.status, request.levels[0].state) == (Status.REJECTED, LevelState.REJECTED)
    assert (vote.verdict, vote.comment) == (Verdict.REJECT, "夜間作業のため不可")
    assert request.complete


async def test_every_other_end_is_told(scene: Scene, side: AwsSide) -> None:
    """Cancelled, revoked, timed out, failed by conflict, approved by nobody: each is told apart."""
    cancelled, revoked, lapsed = scene.ask(), scene.ask(), scene.ask()
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
    assert (await side.requests.observe(key_of(lapsed))).status is Status.TIMED_OUT


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
async def test_a_part_that_cannot_be_read_stays_out(scene: Scene, operation: str, lost: set[str], code: str) -> None:
    """One call that fails costs its own facts and stops nothing; the request is looked at again."""
    asked = scene.ask()
    scene.aws.faults.fail(operation, code, times=None)
    async with aws_side(scene) as side:
        request = await side.requests.observe(key_of(asked))
    assert (request.status, request.reason) == (Status.PENDING, "ログを確認します")
    assert request.complete is (operation == "DescribeInstanceInformation")
    assert (request.levels == ()) is ("levels" in lost)
    assert (request.node.tags is None) is ("tags" in lost)
    assert request.node.id == scene.aws.world.nodes["web-prod-01"]
    assert (request.node.name == "web-prod-01") is ("name" not in lost)


@pytest.mark.parametrize("operation", ["DescribeInstanceInformation", "ListTagsForResource"])
async def test_a_hybrid_node_in_part_is_incomplete(scene: Scene, side: AwsSide, operation: str) -> None:
    """Of a hybrid node that has no Name tag each of the two calls tells its own half."""
    asked = scene.ask("factory-gw-osaka")
    scene.aws.faults.fail(operation, "AccessDeniedException", times=None)
    request = await side.requests.observe(key_of(asked))
    assert not request.complete
    tags_lost = operation == "ListTagsForResource"
    assert (request.node.tags is None) is tags_lost
    assert request.node.name == ("factory-gw-osaka" if tags_lost else None)


async def test_a_passing_failure_is_not_noticed(scene: Scene, side: AwsSide) -> None:
    """A read that may be repeated is repeated once, at once."""
    asked = scene.ask()
    for operation in ("GetOpsItem", "GetAutomationExecution", "DescribeInstances"):
        scene.aws.faults.fail(operation, "InternalServerError", times=1)
    assert (await side.requests.observe(key_of(asked))).complete


async def test_policy_and_node_are_asked_for_once_a_while(scene: Scene, side: AwsSide) -> None:
    """Two looks cost two OpsItems and executions, and one policy and node; later both are read anew."""
    key = key_of(scene.ask())
    scene.aws.forget_calls()
    await side.requests.observe(key)
    await side.requests.observe(key)
    assert [count(scene, each) for each in ("GetOpsItem", "GetAutomationExecution")] == [2, 2]
    assert [count(scene, each) for each in ("GetDocument", "DescribeInstances")] == [1, 1]
    scene.clock.move(minutes=6)
    await side.requests.observe(key)
    assert [count(scene, each) for each in ("GetDocument", "DescribeInstances")] == [2, 2]


async def test_an_incomplete_node_is_not_kept(scene: Scene, side: AwsSide) -> None:
    """What could not be read is asked for again at the next look."""
    key = key_of(scene.ask())
    scene.aws.faults.fail("DescribeInstances", "UnauthorizedOperation", times=1)
    assert not (await side.requests.observe(key)).complete
    assert (await side.requests.observe(key)).node.name == "web-prod-01"


async def test_what_is_not_there_is_not_readable(side: AwsSide) -> None:
    """An OpsItem that does not exist (yet) is told apart from an AWS that does not answer."""
    with pytest.raises(RequestNotReadable) as caught:
        await side.requests.observe(RequestKey(ACCOUNT, REGION, "oi-000000000000"))
    assert caught.value.code == "OpsItemNotFoundException"


async def test_another_kind_of_ops_item_is_not_readable(scene: Scene, side: AwsSide) -> None:
    """An operational issue of the account never becomes a card."""
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
async def test_without_the_ops_item_there_is_no_answer(
    scene: Scene, side: AwsSide, code: str, error: type[AwsUnavailable]
) -> None:
    """The one part without which nothing is known raises the port's error, with AWS's code."""
    asked = scene.ask()
    scene.aws.faults.fail("GetOpsItem", code, times=None)
    with pytest.raises(error) as caught:
        await side.requests.observe(key_of(asked))
    assert caught.value.code == code


async def test_a_request_without_execution_is_looked_at_again(scene: Scene, side: AwsSide) -> None:
    """The approval of a manual request begins a moment after the request."""
    asked = scene.ask()
    begun = in_ops_item(lambda _, about: about.update(automationExecutionId=""))
    scene.aws.faults.rewrite("GetOpsItem", begun, times=1)
    early = await side.requests.observe(key_of(asked))
    late = await side.requests.observe(key_of(asked))
    assert (early.status, early.execution_id, early.complete) == (Status.PENDING, None, False)
    assert (late.execution_id, late.complete) == (asked.execution_id, True)


async def test_an_ops_item_that_lags_behind_an_approval_is_pending(scene: Scene, side: AwsSide) -> None:
    """Approved is shown only when the OpsItem, by which access is granted, says so; it is looked at again."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda item, _: item.update(Status="PendingApproval")))
    request = await side.requests.observe(key_of(asked))
    assert (request.status, request.waiting, request.complete) == (Status.PENDING, None, False)


async def test_an_ops_item_that_lags_behind_a_rejection_is_rejected(scene: Scene, side: AwsSide) -> None:
    """The execution ended first."""
    asked = scene.ask()
    signal(scene.approver(), asked, "Reject")
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda item, _: item.update(Status="PendingApproval")))
    assert (await side.requests.observe(key_of(asked))).status is Status.REJECTED


@pytest.mark.parametrize(("kind", "status"), [("Approve", Status.APPROVED), ("Reject", Status.REJECTED)])
async def test_a_decision_between_the_two_reads_is_seen_at_once(
    scene: Scene, side: AwsSide, kind: str, status: Status
) -> None:
    """The OpsItem was read before the decision and the execution after it: the OpsItem is read again, not next time."""
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


async def test_a_replica_is_told_and_costs_one_call(scene: Scene, side: AwsSide) -> None:
    """A copy in the delegated administrator account leads to its source; nothing else of it is read."""
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


async def test_an_ops_item_cannot_claim_another_requests_execution(scene: Scene, side: AwsSide) -> None:
    """A decision about a harmless request must never count for another one that it merely points at."""
    harmless, dangerous = scene.ask(), scene.ask("db-prod-01")
    claim = in_ops_item(lambda _, about: about.update(automationExecutionId=dangerous.execution_id))
    scene.aws.faults.rewrite("GetOpsItem", claim)
    with pytest.raises(RequestNotReadable) as observed:
        await side.requests.observe(key_of(harmless))
    with pytest.raises(AwsUnavailable) as read:
        await side.requests.execution(key_of(harmless), dangerous.execution_id)
    assert observed.value.code == read.value.code == "ExecutionOfAnotherRequest"


async def test_the_execution_is_always_read_anew(scene: Scene, side: AwsSide) -> None:
    """The guard before a signal sees what was decided a moment ago, at the cost of one call."""
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
async def test_an_execution_that_cannot_be_read_says_so_at_once(
    scene: Scene, side: AwsSide, code: str, error: type[AwsUnavailable]
) -> None:
    """A click does not wait for a second attempt: who decides may try again within the minute."""
    asked = scene.ask()
    scene.aws.faults.fail("GetAutomationExecution", code, times=None)
    with pytest.raises(error):
        await side.requests.execution(key_of(asked), asked.execution_id)
    assert count(scene, "GetAutomationExecution") == 1


async def test_nothing_is_read_of_a_foreign_account(scene: Scene, side: AwsSide) -> None:
    """Without a reader role the bot's own requests would be shown as another account's."""
    asked = scene.ask()
    scene.aws.forget_calls()
    with pytest.raises(AwsUnavailable) as caught:
        await side.requests.observe(RequestKey("444455556666", REGION, asked.id))
    assert caught.value.code == "NoReaderRole"
    assert [call.operation for call in scene.aws.calls()] == ["GetCallerIdentity"]


async def test_an_answer_of_another_form_is_unreadable_and_no_crash(scene: Scene, side: AwsSide) -> None:
    """Where a member is missing that the model promises, the part stays out."""
    asked = scene.ask()
    scene.aws.faults.rewrite("GetAutomationExecution", lambda _: {})
    scene.aws.faults.rewrite("GetDocument", lambda answer: {**answer, "Content": "schemaVersion: '0.3'"})
    scene.aws.faults.rewrite("DescribeInstanceInformation", lambda _: {})
    request = await side.requests.observe(key_of(asked))
    assert (request.status, request.levels, request.complete) == (Status.PENDING, (), False)
    with pytest.raises(AwsUnavailable):
        await side.requests.execution(key_of(asked), asked.execution_id)


async def test_a_slow_ec2_delays_no_card(scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name comes later; however many looks there are meanwhile, EC2 is asked once."""
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


async def test_a_hybrid_node_of_which_nothing_is_known_is_incomplete(scene: Scene, side: AwsSide) -> None:
    """A node whose agent has never reported keeps its id, and its request is looked at again."""
    asked = scene.ask("factory-gw-osaka")
    scene.aws.faults.rewrite("DescribeInstanceInformation", lambda _: {"InstanceInformationList": []})
    request = await side.requests.observe(key_of(asked))
    assert (request.node.id, request.node.platform, request.complete) == ("mi-0a1b2c3d4e5f67890", None, False)


async def test_a_request_without_node_is_incomplete(scene: Scene, side: AwsSide) -> None:
    """Where the OpsItem names no node, or several, none is made up."""
    asked = scene.ask()
    context = {"Value": "{}", "Type": "SearchableString"}
    unnamed = in_ops_item(lambda item, _: item["OperationalData"].update({"/aws/accessrequest/context": context}))
    scene.aws.faults.rewrite("GetOpsItem", unnamed)
    request = await side.requests.observe(key_of(asked))
    assert (request.node.id, request.complete) == ("", False)
    assert request.waiting is not None


async def test_the_execution_may_name_the_policy(scene: Scene, side: AwsSide) -> None:
    """An OpsItem that does not tell the policy is completed from the execution, which runs it."""
    asked = scene.ask()
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about.pop("approvalPolicy")))
    request = await side.requests.observe(key_of(asked))
    assert (request.policy, request.policy_version, request.complete) == ("Standard-Nodes", "1", True)


async def test_a_request_whose_policy_nobody_names_is_incomplete(scene: Scene, side: AwsSide) -> None:
    """Without a name there is no policy to read; what the execution tells is shown."""
    asked = scene.ask()
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about.pop("approvalPolicy")))

    def unnamed(answer: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in answer["AutomationExecution"].items() if name != "DocumentName"}
        return {"AutomationExecution": kept}

    scene.aws.faults.rewrite("GetAutomationExecution", unnamed)
    request = await side.requests.observe(key_of(asked))
    assert (request.policy, request.complete) == (None, False)
    assert request.waiting is not None


async def test_a_policy_without_version_is_not_kept(scene: Scene, side: AwsSide) -> None:
    """Only a version never changes."""
    key = key_of(scene.ask())
    scene.aws.faults.rewrite("GetOpsItem", in_ops_item(lambda _, about: about.update(approvalPolicyVersion="$DEFAULT")))
    for _ in range(2):
        assert (await side.requests.observe(key)).complete
    assert count(scene, "GetDocument") == 2


async def test_an_execution_that_is_history_is_not_missed(scene: Scene, side: AwsSide) -> None:
    """AWS forgets executions after 30 days and OpsItems after a year: what has ended is complete without."""
    decided, waiting = scene.ask(), scene.ask()
    signal(scene.approver(), decided, "Reject")
    scene.aws.faults.fail("GetAutomationExecution", "AutomationExecutionNotFoundException", times=None)
    old, odd = [await side.requests.observe(key_of(each)) for each in (decided, waiting)]
    assert (old.status, old.complete) == (Status.REJECTED, True)
    assert (odd.status, odd.complete) == (Status.PENDING, False)
