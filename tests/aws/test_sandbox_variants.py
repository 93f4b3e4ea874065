"""The sandbox's AWS with other settings than the default, and its start and stop."""

import json
import threading
from contextlib import nullcontext
from datetime import timedelta

import pytest

from bot.sandbox.aws.jit.assumptions import Assumptions
from bot.sandbox.aws.jit.policies import MANUAL
from bot.sandbox.aws.jit.requests import SecondVote
from bot.sandbox.aws.world import APPROVER_ROLE, GIVE_BACK_ROLE, LEAD_ROLE, REQUESTER, level, manual_policy
from tests.contract.scene import HandClock, Scene, refused, signal, staged
from tests.fakes.aws_faults import FaultyAws


def test_sandbox_refuses_a_second_start_in_the_process_while_the_first_runs() -> None:
    """Moto keeps its state per process: a second start would delete the state of the first."""
    with staged() as scene, pytest.raises(RuntimeError):
        FaultyAws.start()
    with staged() as scene:
        scene.ask()


def test_sandbox_prefers_policies_for_tags_to_the_policy_for_all_nodes() -> None:
    """A policy for all nodes applies only to nodes whose tags no policy targets."""
    with staged() as scene:
        everything = manual_policy([level("Anyone", APPROVER_ROLE)], targets={"InstanceIds": ["*"]})
        scene.bot.create_document(Name="All-Nodes", Content=json.dumps(everything), DocumentType=MANUAL)
        assert scene.about(scene.ask("bastion-01").id)["approvalPolicy"] == "All-Nodes"
        assert scene.about(scene.ask("web-prod-01").id)["approvalPolicy"] == "Standard-Nodes"
        assert scene.about(scene.ask("web-dev-01").id)["approvalPolicy"] == "SSM-JustInTimeAccessAutoApprovalPolicy"


def test_sandbox_request_has_the_identity_center_id_of_a_known_session_name() -> None:
    """If Identity Center knows the session name, the request and its events have the user's id."""
    with staged(identity_center_users={REQUESTER: "e1fbc510-8081-70c2-448f-0123456789ab"}) as scene:
        asked = scene.ask()
        assert scene.about(asked.id)["requester"]["id"] == "e1fbc510-8081-70c2-448f-0123456789ab"
        requesters = {e["detail"]["Requester"] for e in scene.events()}
        assert requesters == {"e1fbc510-8081-70c2-448f-0123456789ab"}


def test_sandbox_copies_requests_into_the_administrator_account() -> None:
    """Copies name the original, follow its status, and have no execution; the original is not marked as a copy."""
    with staged(administrator=("777788889999", "ap-northeast-1")) as scene:
        asked = scene.ask()
        scene.aws.callers.add_role("arn:aws:iam::777788889999:role/Reader")
        there = scene.aws.client("ssm", scene.aws.session("arn:aws:iam::777788889999:role/Reader", "reader"))
        wanted = [{"Key": "AccessRequestByIsReplica", "Values": ["true"], "Operator": "Equal"}]
        (row,) = there.describe_ops_items(OpsItemFilters=wanted)["OpsItemSummaries"]
        assert row["OpsItemId"] != asked.id
        about = json.loads(row["OperationalData"]["/aws/accessrequest"]["Value"])["requester"]
        assert (about["isReplica"], about["sourceAccountId"], about["sourceOpsItemId"]) == (
            "true",
            "111122223333",
            asked.id,
        )
        signal(scene.approver(), asked)
        assert there.get_ops_item(OpsItemId=row["OpsItemId"])["OpsItem"]["Status"] == "Approved"
        assert there.describe_automation_executions()["AutomationExecutionMetadataList"] == []
        with refused("AutomationExecutionNotFoundException"):
            there.get_automation_execution(AutomationExecutionId=asked.execution_id)
        assert scene.bot.describe_ops_items(OpsItemFilters=wanted)["OpsItemSummaries"] == []


def test_second_sandbox_has_no_state_of_the_first() -> None:
    """The first sandbox was stopped before."""
    with staged() as scene:
        first = scene.ask()
    with staged() as scene:
        assert scene.bot.describe_ops_items(OpsItemFilters=[])["OpsItemSummaries"] == []
        assert scene.events() == []
        with refused("OpsItemNotFoundException"):
            scene.ops_item(first.id)
        instances = scene.aws.client("ec2").describe_instances()["Reservations"]
        assert len(instances) == len(scene.aws.world.nodes) - 1


def test_sandbox_can_hide_decisions_and_deny_callers_who_are_not_approvers() -> None:
    """AWS does not document either behaviour."""
    assumed = Assumptions(decisions_shown=False, not_an_approver_error="AccessDeniedException")
    with staged(assumed=assumed) as scene:
        asked = scene.ask()
        with refused("AccessDeniedException"):
            signal(scene.lead(), asked)
        signal(scene.approver(), asked)
        assert "Outputs" not in scene.execution(asked)["StepExecutions"][0]


def test_rate_limit_of_the_sandbox_is_per_operation_and_region() -> None:
    """With three calls a second, the fourth is throttled, but not other operations and Regions.

    A third of a second later, one more call passes.
    """
    clock = HandClock()
    with FaultyAws.start(now=clock, per_second=3) as aws:
        here, there = aws.client("ssm"), aws.client("ssm", region="us-east-1")
        for _ in range(3):
            here.describe_ops_items()
        with refused("ThrottlingException"):
            here.describe_ops_items()
        here.describe_automation_executions()
        there.describe_ops_items()
        clock.move(seconds=0.34)
        here.describe_ops_items()
        with refused("ThrottlingException"):
            here.describe_ops_items()


def test_signal_that_the_sandbox_throttles_has_no_effect() -> None:
    """The fourth signal within a second changes nothing. Sent again a second later, it takes effect."""
    clock = HandClock()
    with FaultyAws.start(now=clock, per_second=3) as aws:
        scene = Scene(aws, clock)
        asked = scene.ask()
        for _ in range(3):
            with refused("InvalidAutomationSignalException"):
                signal(scene.bot, asked)
        with refused("ThrottlingException"):
            signal(scene.approver(), asked)
        assert aws.effects() == []
        clock.move(seconds=1)
        signal(scene.approver(), asked)
        assert len(aws.effects()) == 1


def test_sandbox_answers_500_and_records_an_answer_that_violates_the_model_of_aws() -> None:
    """The caller gets a 500, and the list of mistakes has the reason."""
    with FaultyAws.start() as aws:
        aws.faults.rewrite("GetOpsItem", lambda a: {"OpsItem": {**a["OpsItem"], "Status": "Nonsense"}}, times=1)
        scene = Scene(aws, HandClock())
        with refused("InternalServerError"):
            scene.ask()
        assert "Nonsense" in aws.mistakes[0]


def test_sandbox_records_crashes_and_error_codes_outside_the_model_of_aws() -> None:
    """Both are in the sandbox's list of mistakes."""
    with FaultyAws.start(assumed=Assumptions(no_policy_error="NoSuchError")) as aws:
        scene = Scene(aws, HandClock())
        with refused("NoSuchError"):
            scene.ask("bastion-01")
        assert "NoSuchError" in aws.mistakes[0]
        aws.faults.rewrite("GetOpsItem", lambda a: {**a, "missing": a["missing"]}, times=1)
        with refused("InternalServerError"):
            scene.ask()
        assert "KeyError" in aws.mistakes[1]


def test_stopped_sandbox_leaves_no_thread_running() -> None:
    """The server's thread and those of open connections end with the sandbox."""
    before = {*threading.enumerate()}
    with staged():
        started = {*threading.enumerate()} - before
        assert "sandbox-aws" in {each.name for each in started}
    for each in started:
        each.join(10)
    assert not [each for each in started if each.is_alive()]


def test_sandbox_can_be_set_to_send_no_event_after_a_decision() -> None:
    """With `events_after_decision=False`, a rejection sends no event."""
    with staged(assumed=Assumptions(events_after_decision=False)) as scene:
        asked = scene.ask()
        scene.events()
        signal(scene.approver(), asked, "Reject")
        assert scene.events() == []


@pytest.mark.parametrize(
    ("second", "error", "shown"),
    [
        (SecondVote.REFUSED, "InvalidAutomationSignalException", 1),
        (SecondVote.DENIED, "AccessDeniedException", 1),
        (SecondVote.HIDDEN, None, 1),
        (SecondVote.UNCOUNTED, None, 2),
    ],
)
def test_sandbox_can_be_set_not_to_count_the_vote_of_a_second_session_of_a_role(
    second: SecondVote, error: str | None, shown: int
) -> None:
    """AWS does not document how it treats such a vote.

    The sandbox can refuse it, deny it, leave it out of the outputs, or show it without counting it. A vote in another
    role of the level counts.
    """
    with staged(assumed=Assumptions(second_vote=second)) as scene:
        both = manual_policy([level("Both", APPROVER_ROLE, LEAD_ROLE, needed=2)], targets={"InstanceIds": ["*"]})
        scene.bot.create_document(Name="Both", Content=json.dumps(both), DocumentType=MANUAL)
        asked = scene.ask("bastion-01")
        first, again = (
            scene.aws.client("ssm", scene.aws.session(APPROVER_ROLE, name)) for name in ("a@x.org", "b@x.org")
        )
        signal(first, asked)
        with refused(error) if error else nullcontext():
            signal(again, asked)
        (step, *_) = scene.execution(asked)["StepExecutions"]
        assert (step["StepStatus"], len(step["Outputs"]["ApproverDecisions"])) == ("Waiting", shown)
        signal(scene.lead(), asked)
        assert scene.status(asked) == "Approved"


def test_sandbox_can_be_set_to_return_votes_with_the_role_instead_of_the_session() -> None:
    """With `roles_shown`, the outputs name the approver as the policy does."""
    with staged(assumed=Assumptions(roles_shown=True)) as scene:
        asked = scene.ask()
        signal(scene.approver(), asked)
        (decided,) = scene.execution(asked)["StepExecutions"][0]["Outputs"]["ApproverDecisions"]
        assert json.loads(decided)["approver"] == APPROVER_ROLE


def test_sandbox_can_be_set_to_deny_reads_and_votes_until_an_execution_is_tagged() -> None:
    """The steps can be listed before, which needs no tag."""
    with staged(assumed=Assumptions(tagged_after=timedelta(seconds=20))) as scene:
        asked = scene.ask()
        for call in (lambda: scene.execution(asked), lambda: signal(scene.approver(), asked)):
            with refused("AccessDeniedException"):
                call()
        assert scene.bot.describe_automation_step_executions(AutomationExecutionId=asked.execution_id)["StepExecutions"]
        scene.clock.move(seconds=20)
        signal(scene.approver(), asked)
        assert scene.status(asked) == "Approved"


@pytest.mark.parametrize("accepted", [True, False])
def test_sandbox_revokes_access_in_the_role_for_giving_back_as_far_as_aws_is_assumed_to(*, accepted: bool) -> None:
    """The role is no approver of the policy. It only revokes: a vote in it is refused in either case."""
    with staged(assumed=Assumptions(requesters_may_revoke=accepted)) as scene:
        asked, giver = scene.ask(), scene.approver("taro.yamada@example.com", GIVE_BACK_ROLE)
        with refused("InvalidAutomationSignalException"):
            signal(giver, asked)
        signal(scene.approver(), asked)
        with nullcontext() if accepted else refused("InvalidAutomationSignalException"):
            signal(giver, asked, "Revoke")
        assert scene.status(asked) == ("Revoked" if accepted else "Approved")


@pytest.mark.parametrize("outlives", [True, False])
def test_sandbox_starts_sessions_with_a_token_from_before_the_revocation_as_assumed(*, outlives: bool) -> None:
    """Open sessions stay open in either case."""
    with staged(assumed=Assumptions(tokens_outlive_revocation=outlives)) as scene:
        asked, node = scene.ask(), scene.aws.world.nodes["web-prod-01"]
        signal(scene.approver(), asked)
        token = scene.requester.get_access_token(AccessRequestId=asked.id)["Credentials"]
        client = scene.aws.client("ssm", scene.aws.callers.known(token["AccessKeyId"]))
        client.start_session(Target=node)
        signal(scene.approver(), asked, "Revoke")
        with nullcontext() if outlives else refused("AccessDeniedException"):
            client.start_session(Target=node)
        assert len(scene.bot.describe_sessions(State="Active")["Sessions"]) == 1 + outlives
