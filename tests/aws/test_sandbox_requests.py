"""The life of an access request in the sandbox's AWS: from StartAccessRequest to the end of the access."""

import json
from collections.abc import Iterator

import pytest

from bot.sandbox.aws.world import REQUESTER
from tests.contract.scene import Scene, refused, signal, staged


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """One sandbox for this file; every test makes its own request."""
    with staged() as scene:
        yield scene


def test_sandbox_request_creates_an_ops_item_and_a_waiting_execution(scene: Scene) -> None:
    """They name each other, the requester, node and reason."""
    asked = scene.ask(reason="障害 INC-2041 の調査 <b>**")
    item, execution = scene.ops_item(asked.id), scene.execution(asked)
    data = {key: value["Value"] for key, value in item["OperationalData"].items()}
    node_arn = f"arn:aws:ec2:ap-northeast-1:111122223333:instance/{scene.aws.world.nodes['web-prod-01']}"
    assert item["Status"] == "PendingApproval"
    assert item["OpsItemType"] == "/aws/accessrequest"
    assert item["Title"] == f"Access Request - {scene.clock():%Y-%m-%d %H:%M} UTC"
    assert item["CreatedBy"].endswith(f":assumed-role/Operator/{REQUESTER}")
    assert data["/aws/accessrequest/approvaldetails"] == "障害 INC-2041 の調査 <b>**"
    assert data["/aws/accessrequest/accessduration"] == "PT28800S"
    assert json.loads(data["/aws/accessrequest/context"])["targets"] == {"instanceId": node_arn}
    assert "/aws/accessrequest/endtime" not in data
    assert execution["OpsItemId"] == asked.id
    assert execution["AutomationSubtype"] == "AccessRequest"
    assert (execution["AutomationExecutionStatus"], execution["CurrentStepName"]) == ("Waiting", "ManualApproval")


def test_sandbox_operational_data_has_the_members_of_the_published_sample(scene: Scene) -> None:
    """`/aws/accessrequest` has the members that AWS shows, including those of requester and policy."""
    about = scene.about(scene.ask().id)
    assert set(about) == {"requester", "approvalPolicy", "approvalPolicyVersion", "automationExecutionId"}
    members = {"isReplica", "sourceOpsItemId", "sourceAccountId", "id", "sourceRegion", "arn"}
    assert set(about["requester"]) == members
    assert (about["approvalPolicy"], about["requester"]["isReplica"]) == ("Standard-Nodes", "false")


def test_sandbox_approval_starts_the_access_which_ends_after_eight_hours(scene: Scene) -> None:
    """The OpsItem has the start of access. Until the end, the requester gets credentials."""
    asked = scene.ask()
    scene.clock.move(minutes=5)
    signal(scene.approver(), asked, comment="確認しました")
    data = scene.ops_item(asked.id)["OperationalData"]
    assert data["/aws/accessrequest/starttime"]["Value"] == f"{scene.clock():%Y-%m-%d %H:%M:%S} UTC"
    token = scene.requester.get_access_token(AccessRequestId=asked.id)
    assert token["AccessRequestStatus"] == "Approved"
    assert token["Credentials"]["SessionToken"]
    scene.clock.move(hours=8)
    expired = scene.requester.get_access_token(AccessRequestId=asked.id)
    assert expired["AccessRequestStatus"] == "Expired"
    assert "Credentials" not in expired


def test_sandbox_issues_no_access_token_for_a_pending_request(scene: Scene) -> None:
    """GetAccessToken answers Pending without credentials until the approval."""
    answer = scene.requester.get_access_token(AccessRequestId=scene.ask().id)
    assert answer["AccessRequestStatus"] == "Pending"
    assert "Credentials" not in answer


def test_sandbox_issues_an_access_token_only_to_the_requester(scene: Scene) -> None:
    """GetAccessToken refuses the bot, an approver, and another session of the requester's role."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    other = scene.aws.client("ssm", scene.aws.session(scene.aws.world.operator_role, "priya.nair@example.com"))
    for client in (scene.bot, scene.approver(), other):
        with refused("AccessDeniedException"):
            client.get_access_token(AccessRequestId=asked.id)
    assert scene.requester.get_access_token(AccessRequestId=asked.id)["Credentials"]


def test_request_for_a_node_of_the_one_minute_policy_expires_after_a_minute(scene: Scene) -> None:
    """A person can wait for the end: a second earlier the request still waits."""
    asked = scene.ask("cache-stg-01")
    scene.clock.move(seconds=59)
    assert scene.status(asked) == "PendingApproval"
    scene.clock.move(seconds=1)
    assert scene.status(asked) == "TimedOut"


def test_access_of_the_one_minute_policy_ends_after_a_minute(scene: Scene) -> None:
    """The OpsItem names the duration, and the requester gets no credentials after it."""
    asked = scene.ask("cache-stg-01")
    signal(scene.approver(), asked)
    data = scene.ops_item(asked.id)["OperationalData"]
    assert data["/aws/accessrequest/accessduration"]["Value"] == "PT60S"
    scene.clock.move(seconds=59)
    assert scene.requester.get_access_token(AccessRequestId=asked.id)["AccessRequestStatus"] == "Approved"
    scene.clock.move(seconds=1)
    assert scene.requester.get_access_token(AccessRequestId=asked.id)["AccessRequestStatus"] == "Expired"


@pytest.mark.parametrize("node", ["i-0123456789abcdef0", "mi-0123456789abcdef0"])
def test_sandbox_refuses_a_request_for_an_unknown_node(scene: Scene, node: str) -> None:
    """An unknown EC2 or hybrid node is ResourceNotFoundException."""
    with refused("ResourceNotFoundException"):
        scene.ask(node)


def test_sandbox_refuses_a_request_for_a_node_without_a_policy(scene: Scene) -> None:
    """The requester gets an error, and no OpsItem is created."""
    calls, items = len(scene.aws.calls("StartAccessRequest")), scene.bot.describe_ops_items()["OpsItemSummaries"]
    with refused("ValidationException"):
        scene.ask("bastion-01")
    assert len(scene.aws.calls("StartAccessRequest")) == calls + 1
    assert scene.bot.describe_ops_items()["OpsItemSummaries"] == items


@pytest.mark.parametrize(
    "targets",
    [
        [],
        [{"Key": "InstanceIds", "Values": [f"i-{number:017x}" for number in range(6)]}],
        [{"Key": "InstanceIds", "Values": []}],
        [{"Key": "tag:Environment", "Values": ["production"]}],
    ],
)
def test_sandbox_refuses_a_request_without_one_to_five_node_ids(scene: Scene, targets: list[dict[str, object]]) -> None:
    """Anything but one to five node ids is refused."""
    with refused("ValidationException"):
        scene.requester.start_access_request(Reason="r", Targets=targets)


@pytest.mark.parametrize("reason", ["r" * 257, "  \n "])
def test_sandbox_refuses_a_request_with_an_invalid_reason(scene: Scene, reason: str) -> None:
    """A reason of more than 256 characters, or without a visible character, is refused."""
    with refused("ValidationException"):
        scene.ask(reason=reason)


def test_sandbox_request_fails_if_two_policies_target_the_node(scene: Scene) -> None:
    """If two policies target the node's tags, the OpsItem is Failed, without an execution and credentials."""
    asked = scene.ask("batch-01")
    assert scene.status(asked) == "Failed"
    assert asked.execution_id == ""
    assert "Credentials" not in scene.requester.get_access_token(AccessRequestId=asked.id)


def test_sandbox_approves_a_request_immediately_if_the_auto_approval_policy_permits(scene: Scene) -> None:
    """A node that the auto-approval policy permits is approved immediately, with an empty automationExecutionId."""
    asked = scene.ask("web-dev-01")
    assert scene.status(asked) == "Approved"
    assert asked.execution_id == ""
    assert scene.requester.get_access_token(AccessRequestId=asked.id)["Credentials"]


def test_sandbox_accepts_a_request_for_a_hybrid_node(scene: Scene) -> None:
    """The Systems Manager tags of the `mi-…` node select its policy, and the request has the node's ARN."""
    asked = scene.ask("factory-gw-osaka")
    assert scene.about(asked.id)["approvalPolicy"] == "Standard-Nodes"
    context = scene.ops_item(asked.id)["OperationalData"]["/aws/accessrequest/context"]["Value"]
    assert json.loads(context)["targets"]["instanceId"].endswith(":managed-instance/mi-0a1b2c3d4e5f67890")


def test_sandbox_request_does_not_exist_in_other_regions(scene: Scene) -> None:
    """In another Region, neither the OpsItem nor the execution is found."""
    asked = scene.ask()
    elsewhere = scene.aws.client("ssm", region="us-east-1")
    with refused("OpsItemNotFoundException"):
        elsewhere.get_ops_item(OpsItemId=asked.id)
    with refused("AutomationExecutionNotFoundException"):
        elsewhere.get_automation_execution(AutomationExecutionId=asked.execution_id)
