"""The events on the queue of the sandbox's AWS: they have AWS's form, and can be lost, late or duplicated."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.world import APPROVER_ROLE, LEAD_ROLE, MAX_RECEIVES, REQUESTER, level
from tests.contract.scene import HandClock, Scene, refused, signal, staged

APPROVER = "Approver Access Request Status Update"
REQUESTER_UPDATE = "Requester Access Request Status Update"


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """One sandbox for this file."""
    with staged() as scene:
        yield scene


@pytest.fixture
def scene(stage: Scene) -> Scene:
    """The sandbox at half past nine, with an empty queue that delivers each event once."""
    stage.clock.moment = HandClock().moment
    stage.aws.events.deliver(Delivery.ONCE)
    stage.aws.events.published.clear()
    stage.events()
    return stage


def summaries(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return kind, step and status of each event."""
    return [
        (
            event["detail-type"].split()[0],
            event["detail"].get("StepName", ""),
            event["detail"].get("AccessRequestStatus") or event["detail"].get("AccessRequestApprovalLevelStatus", ""),
        )
        for event in events
    ]


def test_sandbox_events_have_the_members_of_the_published_samples(scene: Scene) -> None:
    """The envelope and the detail of both kinds have exactly these members. The approver event comes first."""
    asked = scene.ask(reason="調査")
    approver, requester = scene.events()
    members = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
    common = {"ExecutionId", "OpsItemId", "StartTime", "TargetResourceArn", "Title", "Requester"}
    more = {"AccessRequestApprovalLevelStatus", "StepName", "RequestReason", "Approvers"}
    assert set(approver) == set(requester) == members
    assert (approver["detail-type"], requester["detail-type"]) == (APPROVER, REQUESTER_UPDATE)
    assert set(approver["detail"]) == common | more
    assert set(requester["detail"]) == common | {"AccessRequestStatus"}
    place = "arn:aws:ssm:ap-northeast-1:111122223333"
    assert approver["resources"] == [f"{place}:automation-execution/{asked.execution_id}"]
    assert (approver["source"], approver["version"], approver["account"]) == ("aws.ssm", "0", "111122223333")
    assert approver["detail"]["RequestReason"] == "調査"
    assert approver["detail"]["Approvers"] == [APPROVER_ROLE]
    assert requester["detail"]["Requester"].endswith(f"assumed-role/Operator/{REQUESTER}")


def test_sandbox_events_have_times_in_the_formats_of_the_published_samples(scene: Scene) -> None:
    """The envelope's time is ISO 8601 in UTC, two seconds later for the requester; `StartTime` is like `9:30:00 AM`."""
    scene.ask()
    approver, requester = scene.events()
    assert (approver["time"], requester["time"]) == ("2026-04-01T09:30:00Z", "2026-04-01T09:30:02Z")
    assert approver["detail"]["StartTime"] == "Apr 1, 2026, 9:30:00 AM"
    scene.clock.move(hours=3)
    scene.ask()
    assert scene.events()[0]["detail"]["StartTime"] == "Apr 1, 2026, 12:30:00 PM"


def test_sandbox_sends_approver_events_for_start_and_end_of_each_level(scene: Scene) -> None:
    """Approver events report start and end of each of two levels; requester events those of the request."""
    asked = scene.ask("db-prod-01")
    signal(scene.approver(), asked)
    signal(scene.lead(), asked)
    events = scene.events()
    assert summaries(events) == [
        ("Approver", "Level1", "PendingApproval"),
        ("Requester", "", "PendingApproval"),
        ("Approver", "Level1", "Approved"),
        ("Approver", "Level2", "PendingApproval"),
        ("Approver", "Level2", "Approved"),
        ("Requester", "", "Approved"),
    ]
    assert events[3]["detail"]["Approvers"] == [LEAD_ROLE]


@pytest.mark.parametrize("ending", ["Rejected", "TimedOut", "Cancelled"])
def test_sandbox_sends_an_approver_and_a_requester_event_at_the_end_of_a_request(scene: Scene, ending: str) -> None:
    """The request is rejected, times out or is cancelled."""
    asked = scene.ask()
    scene.events()
    if ending == "Rejected":
        signal(scene.approver(), asked, "Reject")
    elif ending == "Cancelled":
        scene.requester.stop_automation_execution(AutomationExecutionId=asked.execution_id)
    else:
        scene.clock.move(days=7)
        scene.aws.tick()
    assert summaries(scene.events(asked)) == [("Approver", "ManualApproval", ending), ("Requester", "", ending)]


def test_sandbox_sends_only_a_requester_event_for_a_revocation(scene: Scene) -> None:
    """Revoke changes no level, so it has a requester event and no approver event."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    scene.events()
    signal(scene.approver(), asked, "Revoke")
    assert summaries(scene.events()) == [("Requester", "", "Revoked")]


def test_sandbox_sends_a_failure_event_for_conflicting_policies(scene: Scene) -> None:
    """The event `JITNA Access Request Failed` has the policies and the OpsItem, but no execution."""
    asked = scene.ask("batch-01")
    (event,) = scene.events()
    assert event["detail-type"] == "JITNA Access Request Failed"
    members = {"ApplicablePolicies", "TargetResourceArn", "OpsItemId", "CreatedDate", "Requester"}
    assert set(event["detail"]) == members
    assert event["detail"]["ApplicablePolicies"] == ["Batch-Nodes", "Standard-Nodes"]
    assert event["resources"] == [f"arn:aws:ssm:ap-northeast-1:111122223333:opsitem/{asked.id}"]
    assert re.fullmatch(r"Wed Apr 01 09:30:00 UTC 2026", event["detail"]["CreatedDate"])


def test_sandbox_sends_no_event_for_an_auto_approval(scene: Scene) -> None:
    """AWS sends no event for a request that the auto-approval policy approved."""
    scene.ask("web-dev-01")
    assert scene.events() == []


def test_sandbox_sends_no_event_for_a_vote_that_does_not_change_the_state_of_a_level(scene: Scene) -> None:
    """A refused signal, and the first of two approvals, send no event."""
    asked = scene.ask(scene.policy(level("Both", APPROVER_ROLE, needed=2)))
    scene.events()
    with refused("InvalidAutomationSignalException"):
        signal(scene.bot, asked)
    signal(scene.approver(), asked)
    assert scene.events() == []


def test_sandbox_can_lose_events(scene: Scene) -> None:
    """With NEVER, the queue stays empty, and `published` has the events."""
    scene.aws.events.deliver(Delivery.NEVER)
    scene.ask()
    assert scene.events() == []
    assert len(scene.aws.events.published) == 2


def test_sandbox_can_deliver_events_twice(scene: Scene) -> None:
    """With TWICE, each event arrives two times with the same id."""
    scene.aws.events.deliver(Delivery.TWICE)
    scene.ask()
    ids = [e["id"] for e in scene.events()]
    assert (len(ids), len(set(ids))) == (4, 2)


def test_sandbox_can_deliver_events_late_and_out_of_order(scene: Scene) -> None:
    """With HELD, events arrive after `release`, here in reverse order; later events are delivered immediately."""
    scene.aws.events.deliver(Delivery.HELD)
    scene.ask()
    assert scene.events() == []
    scene.aws.events.release(reverse=True)
    assert [kind for kind, _, _ in summaries(scene.events())] == ["Requester", "Approver"]
    scene.ask()
    assert len(scene.events()) == 2


def test_sandbox_can_send_a_message_that_is_not_json(scene: Scene) -> None:
    """After as many receives as the queue allows, the message is in the dead-letter queue."""
    scene.aws.events.send("not JSON")
    sqs, world = scene.aws.client("sqs"), scene.aws.world
    for _ in range(MAX_RECEIVES + 1):
        sqs.receive_message(QueueUrl=world.queue_url, VisibilityTimeout=0)
    (dead,) = sqs.receive_message(QueueUrl=world.dead_letter_queue_url)["Messages"]
    assert dead["Body"] == "not JSON"
