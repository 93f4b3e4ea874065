"""The control calls of the sandbox's AWS, by which other processes make requests and decide without the bot."""

from collections.abc import Iterator
from datetime import timedelta
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


def test_control_api_makes_a_request_for_the_sample_requester(scene: Scene) -> None:
    """`request` accepts the name or id of a node and an optional reason, and returns the OpsItem id."""
    made = post(scene, "request", {"reason": "ディスク増設", "node": "db-prod-01"}).get_json()
    item = scene.ops_item(made["opsItemId"])
    assert item["OperationalData"]["/aws/accessrequest/approvaldetails"]["Value"] == "ディスク増設"
    assert item["CreatedBy"].endswith("Operator/taro.yamada@example.com")
    assert (made["account"], made["region"]) == ("111122223333", "ap-northeast-1")
    by_id = post(scene, "request", {"node": scene.aws.world.nodes["web-prod-01"]}).get_json()
    assert scene.about(by_id["opsItemId"])["approvalPolicy"] == "Standard-Nodes"


def test_control_api_refuses_a_request_for_an_unknown_node_with_the_list_of_nodes(scene: Scene) -> None:
    """The refusal lists the nodes, and StartAccessRequest is not called."""
    before = len(scene.aws.calls("StartAccessRequest"))
    answer = post(scene, "request", {"reason": "x", "node": "web-prod-1"})
    assert answer.status_code == 400
    assert all(name in answer.get_json()["error"] for name in scene.aws.world.nodes)
    assert len(scene.aws.calls("StartAccessRequest")) == before


@pytest.mark.parametrize(
    ("verdict", "status"), [("approve", "Approved"), ("reject", "Rejected"), ("cancel", "Cancelled")]
)
def test_control_api_decides_a_request_as_the_aws_console_does(scene: Scene, verdict: str, status: str) -> None:
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


def test_control_api_decides_each_level_and_revokes_the_access(scene: Scene) -> None:
    """Two decisions approve two levels, and a third is refused as too late."""
    asked = scene.ask("db-prod-01")
    for _ in range(2):
        assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve"}).status_code == 200
    assert scene.status(asked) == "Approved"
    late = post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve"})
    assert (late.status_code, late.get_json()["code"]) == (409, "InvalidAutomationSignalException")
    assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "revoke"}).status_code == 200
    assert scene.status(asked) == "Revoked"


def test_control_api_decides_under_the_given_session_name(scene: Scene) -> None:
    """The member `by` is the session name."""
    asked = scene.ask()
    post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve", "by": "priya.nair@example.com"})
    assert scene.aws.effects()[-1].by.endswith("/priya.nair@example.com")


@pytest.mark.parametrize("by", ["hanako.sato@example.com", "deploy-agent-7"])
def test_control_api_makes_and_cancels_a_request_of_the_given_session(scene: Scene, by: str) -> None:
    """The member `by` of `request` is the requester's session name. `cancel` comes from the same session."""
    made = post(scene, "request", {"by": by}).get_json()["opsItemId"]
    assert scene.ops_item(made)["CreatedBy"].endswith(f":assumed-role/Operator/{by}")
    assert post(scene, "decide", {"opsItemId": made, "verdict": "cancel"}).status_code == 200
    assert scene.aws.effects("Stop")[-1].by.endswith(f"/Operator/{by}")


def test_control_api_returns_the_state_of_the_sandbox(scene: Scene) -> None:
    """The state is the queue's URL, the nodes, the log of calls, the effects, and an empty list of mistakes."""
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
        ("request", {"by": ""}),
        ("request", {"by": "Taro Yamada"}),
        ("request", {"by": "x" * 65}),
        ("request", []),
        ("request", "text"),
    ],
)
def test_control_api_answers_an_invalid_call_with_400_and_the_reason(scene: Scene, path: str, body: Any) -> None:
    """An unknown request, an unknown member, or a body that is not an object of texts is refused with 400."""
    answer = post(scene, path, body)
    assert answer.status_code == 400
    assert answer.get_json()["error"]


def test_control_api_refuses_an_unknown_verdict_and_the_request_stays_pending(scene: Scene) -> None:
    """`deny` is answered 400."""
    asked = scene.ask()
    assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "deny"}).status_code == 400
    assert scene.status(asked) == "PendingApproval"


def test_control_api_answers_409_with_the_code_of_aws_if_aws_refuses_the_call(scene: Scene) -> None:
    """The request is for a node without a policy."""
    answer = post(scene, "request", {"node": "bastion-01"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "ValidationException")


def test_control_api_answers_409_to_a_decision_on_an_auto_approved_request(scene: Scene) -> None:
    """An auto-approved request has no execution."""
    asked = scene.ask("web-dev-01")
    assert post(scene, "decide", {"opsItemId": asked.id, "verdict": "approve"}).status_code == 409


def test_control_api_answers_403_to_senders_and_host_names_of_other_machines(scene: Scene) -> None:
    """A form of a web page is answered 400, and an unknown call 404."""
    client = Client(scene.aws)
    far = client.get("/_sandbox/calls", base_url=scene.aws.endpoint, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    named = client.get("/_sandbox/calls", base_url="http://evil.example.com:80", environ_base=LOCAL)
    form = client.post("/_sandbox/request", base_url=scene.aws.endpoint, environ_base=LOCAL, data={"node": "x"})
    assert (far.status_code, named.status_code, form.status_code) == (403, 403, 400)
    assert client.get("/_sandbox/x", base_url=scene.aws.endpoint, environ_base=LOCAL).status_code == 404


def test_control_api_opens_and_closes_the_sessions_of_a_requester(scene: Scene) -> None:
    """Only with approved access. A session stays open when the access is over."""
    asked = scene.ask()
    refused = post(scene, "session", {"opsItemId": asked.id, "act": "open"})
    assert (refused.status_code, "Pending" in refused.get_json()["error"]) == (400, True)
    signal(scene.approver(), asked)
    (opened,) = post(scene, "session", {"opsItemId": asked.id, "act": "open"}).get_json()["sessions"]
    scene.clock.move(hours=9)
    (listed,) = scene.bot.describe_sessions(State="Active")["Sessions"]
    assert (listed["SessionId"], listed["AccessType"], listed["Status"]) == (opened, "JustInTime", "Connected")
    assert post(scene, "session", {"opsItemId": asked.id, "act": "close"}).get_json()["sessions"] == [opened]
    assert scene.bot.describe_sessions(State="Active")["Sessions"] == []
    (ended,) = scene.bot.describe_sessions(State="History", Filters=[{"key": "Status", "value": "Terminated"}])[
        "Sessions"
    ]
    assert ended["EndDate"] - ended["StartDate"] == timedelta(hours=9)
    assert post(scene, "session", {"opsItemId": asked.id, "act": "x"}).status_code == 400
