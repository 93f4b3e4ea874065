"""The control calls of the sandbox's AWS, by which other processes make requests and decide without the bot."""

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from tests.contract.scene import Scene, signal, staged


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Run one sandbox for this file."""
    with staged() as scene:
        yield scene


def get(scene: Scene, path: str) -> Any:
    """Send a GET to the control API; return the parsed body."""
    return Client(scene.aws).get(f"/_sandbox/{path}", base_url=scene.aws.endpoint, environ_base=LOCAL).get_json()


def post(scene: Scene, path: str, body: Any) -> TestResponse:
    """Send JSON by POST to the control API; return the response."""
    return Client(scene.aws).post(f"/_sandbox/{path}", base_url=scene.aws.endpoint, environ_base=LOCAL, json=body)


LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


def test_request_is_made_for_the_sample_requester(scene: Scene) -> None:
    """`request` accepts the name or id of a node and an optional reason, and returns the OpsItem id."""
    made = post(scene, "request", {"reason": "ディスク増設", "node": "db-prod-01"}).get_json()
    item = scene.ops_item(made["opsItemId"])
    assert item["OperationalData"]["/aws/accessrequest/approvaldetails"]["Value"] == "ディスク増設"
    assert item["CreatedBy"].endswith("Operator/taro.yamada@example.com")
    assert (made["account"], made["region"]) == ("111122223333", "ap-northeast-1")
    by_id = post(scene, "request", {"node": scene.aws.world.nodes["web-prod-01"]}).get_json()
    assert scene.about(by_id["opsItemId"])["approvalPolicy"] == "Standard-Nodes"


def test_unknown_node_is_refused_with_the_list_of_nodes(scene: Scene) -> None:
    """The refusal lists the nodes, and StartAccessRequest is not called."""
    before = len(scene.aws.calls("StartAccessRequest"))
    answer = post(scene, "request", {"reason": "x", "node": "web-prod-1"})
    assert answer.status_code == 400
    assert all(name in answer.get_json()["error"] for name in scene.aws.world.nodes)
    assert len(scene.aws.calls("StartAccessRequest")) == before


@pytest.mark.parametrize(
    ("verdict", "status"), [("approve", "Approved"), ("reject", "Rejected"), ("cancel", "Cancelled")]
)
def test_decide_acts_as_the_aws_console_would(scene: Scene, verdict: str, status: str) -> None:
    """`approve` and `reject` are signals of a console user in the level's role.

    `cancel` ends the request as cancelled.
    """
    asked = scene.ask()
    answer = post(scene, "decide", {"opsItemId": asked.id, "verdict": verdict, "comment": "コンソールから"})
    assert answer.status_code == 200
    assert scene.status(asked) == status
    if verdict != "cancel":
        last = scene.aws.calls("SendAutomationSignal")[-1]
        assert last.caller.endswith("NodeAccessApprover/alex.wilber@example.com")
        assert last.params["Payload"] == {"Comment": ["コンソールから"]}


def test_each_level_is_decided_with_its_own_role(scene: Scene) -> None:
    """Two decisions approve two levels, and a third is refused as too late. Afterwards, access is revoked."""
    asked = scene.ask("db-prod-01")
    for _ in range(2):
        assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve"}).status_code == 200
    assert scene.status(asked) == "Approved"
    late = post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve"})
    assert (late.status_code, late.get_json()["code"]) == (409, "InvalidAutomationSignalException")
    assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "revoke"}).status_code == 200
    assert scene.status(asked) == "Revoked"


def test_decision_can_be_made_as_another_person(scene: Scene) -> None:
    """The member `by` is the session name of the decision."""
    asked = scene.ask()
    post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve", "by": "priya.nair@example.com"})
    assert scene.aws.effects()[-1].by.endswith("/priya.nair@example.com")


def test_world_calls_effects_and_mistakes_can_be_read(scene: Scene) -> None:
    """The control API returns the sample world, the call log, the effects and the mistakes as JSON."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    world = get(scene, "world")
    assert world["queueUrl"] == scene.aws.world.queue_url
    assert world["nodes"] == scene.aws.world.nodes
    calls = get(scene, "calls?operation=SendAutomationSignal")
    assert {c["operation"] for c in calls} == {"SendAutomationSignal"}
    assert calls[-1]["params"]["AutomationExecutionId"] == asked.execution_id
    assert get(scene, "effects")[-1]["ops_item_id"] == asked.id
    assert get(scene, "mistakes") == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("decide", {"opsItemId": "oi-000000000000", "verdict": "approve"}),
        ("decide", {"opsItemId": "", "verdict": ""}),
        ("decide", {"verdict": 1}),
        ("request", {"nod": "web-prod-01"}),
        ("request", []),
        ("request", "text"),
    ],
)
def test_invalid_call_is_400_with_the_reason(scene: Scene, path: str, body: Any) -> None:
    """An unknown request, an unknown member, or a body that is not an object of texts is refused with 400."""
    answer = post(scene, path, body)
    assert answer.status_code == 400
    assert answer.get_json()["error"]


def test_unknown_verdict_decides_nothing(scene: Scene) -> None:
    """`deny` is refused with 400, and the request still waits."""
    asked = scene.ask()
    assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "deny"}).status_code == 400
    assert scene.status(asked) == "PendingApproval"


def test_refusal_of_aws_is_409_with_its_code(scene: Scene) -> None:
    """A request for a node without a policy is 409 with AWS's code."""
    answer = post(scene, "request", {"node": "bastion-01"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "ValidationException")


def test_auto_approved_request_cannot_be_decided(scene: Scene) -> None:
    """An auto-approved request has no execution: the console's signal is refused, without a crash."""
    asked = scene.ask("web-dev-01")
    assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve"}).status_code == 409


def test_control_calls_are_accepted_only_from_this_machine(scene: Scene) -> None:
    """A sender or host name of another machine gets 403, a form of a web page 400, and an unknown call 404."""
    client = Client(scene.aws)
    far = client.get("/_sandbox/calls", base_url=scene.aws.endpoint, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    named = client.get("/_sandbox/calls", base_url="http://evil.example.com:80", environ_base=LOCAL)
    form = client.post("/_sandbox/request", base_url=scene.aws.endpoint, environ_base=LOCAL, data={"node": "x"})
    assert (far.status_code, named.status_code, form.status_code) == (403, 403, 400)
    assert client.get("/_sandbox/x", base_url=scene.aws.endpoint, environ_base=LOCAL).status_code == 404
