"""Who may decide in the sandbox's AWS, how often, until when, and with which effect."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bot.sandbox.aws.world import APPROVER_ROLE, CANCELLER_ROLE, END_SESSIONS_ROLE, LEAD_ROLE, level
from tests.contract.scene import Asked, Scene, refused, signal, staged

INVALID = "InvalidAutomationSignalException"


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """One sandbox for this file; every test makes its own request."""
    with staged() as scene:
        yield scene


def effects(scene: Scene, asked: Asked) -> list[tuple[str, str]]:
    """Return step and kind of each signal or stop that took effect."""
    return [(e.step, e.kind) for e in scene.aws.effects() if e.ops_item_id == asked.id]


def test_sandbox_execution_lists_an_approval_with_its_voter_and_comment(scene: Scene) -> None:
    """The step's outputs have the approver and the comment, and the execution has ended."""
    asked = scene.ask()
    signal(scene.approver(), asked, comment="了解です")
    execution = scene.execution(asked)
    step = execution["StepExecutions"][0]
    assert execution["AutomationExecutionStatus"] == "Approved"
    assert (step["StepStatus"], step["Outputs"]["ApprovalStatus"]) == ("Success", ["Approved"])
    assert "assumed-role/NodeAccessApprover/hanako.sato@example.com" in step["Outputs"]["ApproverDecisions"][0]
    assert "了解です" in step["Outputs"]["ApproverDecisions"][0]
    assert "CurrentStepName" not in execution


def test_sandbox_accepts_a_comment_of_512_characters_and_refuses_a_longer_one(scene: Scene) -> None:
    """The comment is cut in the step's outputs."""
    asked = scene.ask()
    with refused("ValidationException"):
        signal(scene.approver(), asked, comment="あ" * 513)
    signal(scene.approver(), asked, comment="あ" * 512)
    assert len(scene.execution(asked)["StepExecutions"][0]["Outputs"]["ApproverDecisions"][0]) == 512
    assert scene.aws.effects()[-1].comment == "あ" * 512


def test_sandbox_ends_a_request_after_one_rejection(scene: Scene) -> None:
    """A rejection ends the request even if its level has one of two needed approvals; the next level never starts."""
    node = scene.policy(level("First", APPROVER_ROLE, needed=2), level("Second", LEAD_ROLE))
    asked = scene.ask(node)
    signal(scene.approver("a@example.com"), asked)
    signal(scene.approver("b@example.com"), asked, "Reject", "no")
    assert scene.status(asked) == "Rejected"
    assert scene.step_words(asked) == ["Rejected", "Pending"]
    assert scene.requester.get_access_token(AccessRequestId=asked.id)["AccessRequestStatus"] == "Rejected"


def test_sandbox_levels_are_decided_in_order_each_by_its_own_roles(scene: Scene) -> None:
    """The second level's role cannot decide the first level, nor the first level's role the second."""
    asked = scene.ask("db-prod-01")
    with refused(INVALID):
        signal(scene.lead(), asked)
    signal(scene.approver(), asked)
    assert scene.status(asked) == "PendingApproval"
    assert scene.execution(asked)["CurrentStepName"] == "Level2"
    with refused(INVALID):
        signal(scene.approver("second@example.com"), asked)
    signal(scene.lead(), asked)
    assert scene.status(asked) == "Approved"
    assert effects(scene, asked) == [("Level1", "Approve"), ("Level2", "Approve")]


def test_sandbox_level_with_two_needed_approvals_counts_each_session_once(scene: Scene) -> None:
    """Each session of a role is one voter. A second vote of the same session is refused."""
    asked = scene.ask(scene.policy(level("Both", APPROVER_ROLE, needed=2)))
    signal(scene.approver("a@example.com"), asked)
    assert scene.status(asked) == "PendingApproval"
    with refused(INVALID):
        signal(scene.approver("a@example.com"), asked)
    assert len(scene.execution(asked)["StepExecutions"][0]["Outputs"]["ApproverDecisions"]) == 1
    signal(scene.approver("b@example.com"), asked)
    assert scene.status(asked) == "Approved"


def test_sandbox_counts_a_second_identical_signal_for_the_next_level(scene: Scene) -> None:
    """A signal does not name a step, so the same person can approve two levels in a row with the same signal."""
    asked = scene.ask(scene.policy(level("One", APPROVER_ROLE), level("Two", APPROVER_ROLE)))
    signal(scene.approver(), asked)
    signal(scene.approver(), asked)
    assert effects(scene, asked) == [("One", "Approve"), ("Two", "Approve")]


@pytest.mark.parametrize("who", ["requester", "bot"])
def test_sandbox_refuses_signals_of_the_requester_and_of_the_bot(scene: Scene, who: str) -> None:
    """A signal of the requester, or in the bot's own role, is refused."""
    asked = scene.ask()
    with refused(INVALID):
        signal(getattr(scene, who), asked)
    assert effects(scene, asked) == []


@pytest.mark.parametrize("kind", ["SSOGroup", "SSOUser"])
def test_sandbox_refuses_a_role_session_if_only_identity_center_principals_may_approve(scene: Scene, kind: str) -> None:
    """A role session is not an approver if the policy lists Identity Center users or groups."""
    group = "ec4df598-7071-70a6-0de4-0123456789ab"
    asked = scene.ask(scene.policy(level("Group", group, kind=kind)))
    with refused(INVALID):
        signal(scene.approver(), asked)


@pytest.mark.parametrize("first", ["Approve", "Reject"])
@pytest.mark.parametrize("late", ["Approve", "Reject"])
def test_sandbox_refuses_a_signal_after_the_end_of_a_request(scene: Scene, first: str, late: str) -> None:
    """After a request has ended, no signal takes effect, not even one from the person who decided."""
    asked = scene.ask()
    signal(scene.approver(), asked, first)
    for name in ("hanako.sato@example.com", "ichiro.tanaka@example.com"):
        with refused(INVALID):
            signal(scene.approver(name), asked, late)
    assert len(effects(scene, asked)) == 1


@pytest.mark.parametrize("kind", ["StartStep", "StopStep", "Resume", "Revoke"])
def test_sandbox_refuses_signals_other_than_approve_and_reject_for_a_waiting_request(scene: Scene, kind: str) -> None:
    """The request still waits."""
    asked = scene.ask()
    with refused(INVALID):
        signal(scene.approver(), asked, kind)
    assert scene.status(asked) == "PendingApproval"


def test_sandbox_refuses_a_signal_of_the_type_deny(scene: Scene) -> None:
    """`Deny` appears on a page of the user guide, but is refused, because the API's enum does not have it."""
    with refused("ValidationException"):
        signal(scene.approver(), scene.ask(), "Deny")


def test_sandbox_refuses_a_signal_to_an_unknown_execution_as_not_found(scene: Scene) -> None:
    """The error is AutomationExecutionNotFoundException."""
    with refused("AutomationExecutionNotFoundException"):
        signal(scene.approver(), Asked("", "00000000-0000-4000-8000-000000000000"))


def test_sandbox_level_times_out_exactly_at_its_limit(scene: Scene) -> None:
    """One second before the limit the level waits; at the limit it is TimedOut on every read, and votes are refused."""
    asked = scene.ask()
    scene.clock.move(seconds=604_799)
    assert scene.status(asked) == "PendingApproval"
    scene.clock.move(seconds=1)
    with refused(INVALID):
        signal(scene.approver(), asked)
    assert scene.status(asked) == "TimedOut"
    execution = scene.execution(asked)
    assert (execution["AutomationExecutionStatus"], scene.step_words(asked)) == ("TimedOut", ["TimedOut"])
    assert execution["ExecutionEndTime"] == scene.clock()
    assert scene.requester.get_access_token(AccessRequestId=asked.id)["AccessRequestStatus"] == "Expired"


def test_sandbox_counts_the_time_out_of_a_level_from_the_start_of_the_level(scene: Scene) -> None:
    """The second level has its whole time-out, however long the first one took."""
    asked = scene.ask(scene.policy(level("One", APPROVER_ROLE, timeout=600), level("Two", LEAD_ROLE, timeout=600)))
    scene.clock.move(seconds=590)
    signal(scene.approver(), asked)
    scene.clock.move(seconds=590)
    assert scene.status(asked) == "PendingApproval"
    scene.clock.move(seconds=10)
    assert scene.step_words(asked) == ["Success", "TimedOut"]


def test_sandbox_cancels_a_waiting_request_once(scene: Scene) -> None:
    """StopAutomationExecution ends the request; a second call, and a later vote, are refused."""
    asked = scene.ask()
    scene.requester.stop_automation_execution(AutomationExecutionId=asked.execution_id, Type="Cancel")
    assert scene.status(asked) == "Cancelled"
    assert scene.execution(asked)["AutomationExecutionStatus"] == "Cancelled"
    with refused("InvalidAutomationStatusUpdateException"):
        scene.requester.stop_automation_execution(AutomationExecutionId=asked.execution_id)
    with refused(INVALID):
        signal(scene.approver(), asked)
    assert effects(scene, asked) == [("ManualApproval", "Stop")]


def test_sandbox_denies_stopping_an_approval_except_in_the_cancel_role(scene: Scene) -> None:
    """Approvers, the bot and other requesters are denied; a session of the cancel role with any name is permitted."""
    asked = scene.ask()
    other = scene.aws.client("ssm", scene.aws.session(scene.aws.world.operator_role, "priya.nair@example.com"))
    for client in (scene.approver(), scene.lead(), scene.bot, other):
        with refused("AccessDeniedException"):
            client.stop_automation_execution(AutomationExecutionId=asked.execution_id, Type="Cancel")
    assert (scene.status(asked), effects(scene, asked)) == ("PendingApproval", [])
    scene.approver("taro.yamada@example.com", CANCELLER_ROLE).stop_automation_execution(
        AutomationExecutionId=asked.execution_id, Type="Cancel"
    )
    assert scene.status(asked) == "Cancelled"


def test_sandbox_revokes_granted_access_once_and_only_for_an_approver(scene: Scene) -> None:
    """GetAccessToken then answers Revoked. A second revocation is refused."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    with refused(INVALID):
        signal(scene.requester, asked, "Revoke")
    signal(scene.approver("ichiro.tanaka@example.com"), asked, "Revoke")
    assert scene.status(asked) == "Revoked"
    assert scene.requester.get_access_token(AccessRequestId=asked.id)["AccessRequestStatus"] == "Revoked"
    with refused(INVALID):
        signal(scene.approver(), asked, "Revoke")


def test_sandbox_denies_ending_sessions_except_to_their_opener_and_in_the_role_for_it(scene: Scene) -> None:
    """Approvers, the bot and other requesters are denied."""
    node = scene.aws.world.nodes["web-prod-01"]
    first, second = (scene.requester.start_session(Target=node)["SessionId"] for _ in range(2))
    other = scene.aws.client("ssm", scene.aws.session(scene.aws.world.operator_role, "priya.nair@example.com"))
    for client in (scene.approver(), scene.lead(), scene.bot, other):
        with refused("AccessDeniedException"):
            client.terminate_session(SessionId=first)
    scene.requester.terminate_session(SessionId=first)
    scene.approver(role=END_SESSIONS_ROLE).terminate_session(SessionId=second)
    assert scene.bot.describe_sessions(State="Active")["Sessions"] == []


def test_sandbox_refuses_to_revoke_expired_access(scene: Scene) -> None:
    """Revoke after the end of the access is refused."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    scene.clock.move(hours=8)
    with refused(INVALID):
        signal(scene.approver(), asked, "Revoke")


def test_only_one_of_forty_simultaneous_votes_in_the_sandbox_takes_effect(scene: Scene) -> None:
    """Of forty simultaneous votes, half of them rejections, one takes effect and all others are refused."""
    asked = scene.ask()
    clients = [scene.approver(f"person{n}@example.com") for n in range(40)]

    def vote(numbered: tuple[int, Any]) -> str:
        number, client = numbered
        try:
            signal(client, asked, ("Approve", "Reject")[number % 2])
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "took effect"

    with ThreadPoolExecutor(40) as pool:
        answers = sorted(pool.map(vote, enumerate(clients)))
    assert answers == [INVALID] * 39 + ["took effect"]
    assert len(effects(scene, asked)) == 1
