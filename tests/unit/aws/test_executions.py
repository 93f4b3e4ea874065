"""Tests for parsing automation executions: state of the approval, votes, and the request that they belong to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from bot.aws.jit.executions import ForeignExecution, UnreadableExecution, parse_execution
from bot.domain.request import Approver, ApproverKind, Level, LevelState, Status, Verdict, Vote
from tests.unit.aws.samples import (
    ASKED_AT,
    EXECUTION_ID,
    HANAKO,
    KEY,
    MANY_EXAMPLES,
    ROLE,
    as_utf8,
    decision,
    execution,
    mangled,
    step,
)


def read(*steps: dict[str, Any], **changed: Any) -> Any:
    return parse_execution(execution(*steps, **changed), KEY).as_execution()


def test_waiting_level_is_read_completely() -> None:
    """Required approvals, approvers, votes, start time and time limit are read."""
    voted_at = datetime(2026, 4, 1, 9, 31, tzinfo=UTC)
    level = read().waiting
    assert level == Level(
        step="ManualApproval",
        state=LevelState.WAITING,
        required=2,
        approvers=(Approver(ApproverKind.ROLE, ROLE),),
        votes=(Vote(HANAKO, Verdict.APPROVE, voted_at),),
        started_at=ASKED_AT,
        timeout=timedelta(hours=1),
    )


@pytest.mark.parametrize("word", ["Waiting", "PendingApproval", "InProgress"])
def test_each_word_of_aws_for_a_waiting_execution_gives_the_status_pending(word: str) -> None:
    """The words are Waiting, PendingApproval and InProgress. The execution has a waiting level."""
    found = read(step(status=word), AutomationExecutionStatus=word)
    assert found.status is Status.PENDING
    assert found.waiting.step == "ManualApproval"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Success", Status.APPROVED),
        ("Approved", Status.APPROVED),
        ("Rejected", Status.REJECTED),
        ("TimedOut", Status.TIMED_OUT),
        ("Cancelled", Status.CANCELLED),
        ("Canceled", Status.CANCELLED),
        ("Cancelling", Status.CANCELLED),
        ("Failed", Status.FAILED),
        ("Exited", Status.UNKNOWN),
        ("SomethingNew", Status.UNKNOWN),
    ],
)
def test_status_of_an_execution_follows_from_the_word_of_aws(word: str, status: Status) -> None:
    """Both spellings of a cancellation are known. A word that the bot does not know gives UNKNOWN, never a decision."""
    assert read(step(status="Pending"), AutomationExecutionStatus=word).status is status


@pytest.mark.parametrize(
    ("step_word", "approval", "status"),
    [
        ("Failed", "Rejected", Status.REJECTED),
        ("Rejected", "Rejected", Status.REJECTED),
        ("TimedOut", "Waiting", Status.TIMED_OUT),
        ("Failed", "Waiting", Status.FAILED),
    ],
)
def test_status_of_a_failed_execution_follows_from_its_steps(step_word: str, approval: str, status: Status) -> None:
    """A failed execution counts as rejected or timed out if a step's status or output says so, else as failed."""
    outputs = {"ApprovalStatus": [approval]}
    assert read(step(status=step_word, Outputs=outputs), AutomationExecutionStatus="Failed").status is status


def test_step_that_is_not_the_current_one_does_not_count_as_waiting() -> None:
    """AWS shows both steps as waiting. The level of the first counts as not started."""
    found = read(step("Level1"), step("Level2"), CurrentStepName="Level2")
    assert [level.state for level in found.levels] == [LevelState.NOT_STARTED, LevelState.WAITING]


def test_step_with_an_unknown_status_counts_as_not_started() -> None:
    """No one can decide such a level."""
    (level,) = read(step(status="SomethingNew")).levels
    assert level.state is LevelState.NOT_STARTED


def test_level_that_has_not_started_has_no_votes() -> None:
    """The level's list of votes is empty, not unreadable."""
    found = read(step("Level1"), step("Level2", "Pending", Outputs={}), CurrentStepName="Level1")
    assert found.levels[1].votes == ()


def test_steps_without_a_name_or_of_other_actions_than_approve_are_left_out() -> None:
    """Only aws:approve steps with a name are levels."""
    nameless = {name: value for name, value in step().items() if name != "StepName"}
    assert read(step(), {**step("Notify"), "Action": "aws:executeAwsApi"}, nameless).levels == read().levels


@pytest.mark.parametrize(
    "raw",
    [
        [decision()],
        [f"[{decision()}]"],
        [{"Approver": HANAKO, "Decision": "Approved", "Time": "2026-04-01T09:31:00Z"}],
        [{"principal": HANAKO, "status": "APPROVE", "timestamp": "2026-04-01 09:31:00 UTC"}],
    ],
)
def test_votes_are_read_in_several_forms(raw: object) -> None:
    """ApproverDecisions is documented as a JSON map without a sample, so the parser accepts several forms."""
    outputs = {"ApproverDecisions": raw}
    assert read(step(Outputs=outputs)).waiting.votes == (
        Vote(HANAKO, Verdict.APPROVE, datetime(2026, 4, 1, 9, 31, tzinfo=UTC)),
    )


@pytest.mark.parametrize("comment", ["夜間作業のため不可", ["夜間作業のため不可"]])
def test_comment_of_a_rejection_is_read(comment: object) -> None:
    """The comment may be a text or a list, as in the payload of the signal."""
    outputs = {"ApproverDecisions": [decision(decision="Rejected", comment=comment)]}
    (vote,) = read(step(Outputs=outputs)).waiting.votes
    assert (vote.verdict, vote.comment) == (Verdict.REJECT, "夜間作業のため不可")


@pytest.mark.parametrize(
    "outputs", [{}, {"ApproverDecisions": ["{"]}, {"ApproverDecisions": [decision(), decision(decision="perhaps")]}]
)
def test_votes_are_unreadable_if_one_vote_is_malformed_or_their_list_is_missing(outputs: object) -> None:
    """If a vote is unreadable, or the list is missing or malformed, `votes` is None: their number is unknown."""
    assert read(step(Outputs=outputs)).waiting.votes is None


def test_empty_list_of_decisions_means_no_votes() -> None:
    """An empty list is readable, and has no votes."""
    assert read(step(Outputs={"ApproverDecisions": []})).waiting.votes == ()


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"approver": ROLE, "type": "IamRole"}, ApproverKind.ROLE),
        ({"approver": ROLE, "type": "SomethingNew"}, ApproverKind.ROLE),
        (ROLE, ApproverKind.ROLE),
        ({"approver": "NodeAccessApprover", "type": "Role"}, ApproverKind.ROLE),
        ({"approver": "ec4df598-7071-70a6-0de4-0123456789ab", "type": "SSOGroup"}, ApproverKind.GROUP),
        ({"approver": "ec4df598-7071-70a6-0de4-0123456789ab", "type": "SSOUser"}, ApproverKind.USER),
        ({"approver": "ec4df598-7071-70a6-0de4-0123456789ab", "type": "X"}, ApproverKind.USER),
        ({"approver": "alice", "type": "IamUser"}, ApproverKind.OTHER),
        ("arn:aws:iam::111122223333:user/alice", ApproverKind.OTHER),
        (
            "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Lead_0a1b2c3d4e5f6071",
            ApproverKind.OTHER,
        ),
    ],
)
def test_approvers_are_recognized_by_type_and_by_form(entry: object, kind: ApproverKind) -> None:
    """The kind follows from type and form. IAM users, and roles of Identity Center, are OTHER."""
    inputs = {"EnhancedApprovals": {"Approvers": [entry]}}
    (approver,) = read(step(Inputs=inputs)).waiting.approvers
    assert approver.kind is kind


@pytest.mark.parametrize(
    "inputs",
    [
        {"MinRequiredApprovals": "1"},
        {"EnhancedApprovals": "{"},
        {"EnhancedApprovals": {"Approvers": [ROLE, {"approver": "who?", "type": "SomethingNew"}]}},
    ],
)
def test_approvers_are_unreadable_if_one_of_them_is_malformed_or_their_list_is_missing(inputs: object) -> None:
    """If an approver is unreadable, or the list is missing or malformed, `approvers` is None."""
    assert read(step(Inputs=inputs)).waiting.approvers is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"OpsItemId": "oi-000000000000"}, "ExecutionOfAnotherRequest"),
        ({"AutomationSubtype": "ChangeRequest"}, "NotAnAccessRequest"),
    ],
)
def test_execution_of_a_foreign_request_or_of_a_change_request_is_refused(changed: dict[str, Any], code: str) -> None:
    """An execution with another OpsItem id, or of a change request, raises ForeignExecution."""
    with pytest.raises(ForeignExecution) as caught:
        parse_execution(execution(**changed), KEY)
    assert caught.value.code == code


@pytest.mark.parametrize("changed", [{"AutomationExecutionStatus": None}, {"AutomationExecutionId": 7}])
def test_execution_without_id_or_status_is_unreadable(changed: dict[str, Any]) -> None:
    """The error is UnreadableExecution, but not ForeignExecution, which means the execution of another request."""
    with pytest.raises(UnreadableExecution) as caught:
        parse_execution(execution(**changed), KEY)
    assert not isinstance(caught.value, ForeignExecution)


def test_execution_without_ops_item_id_and_subtype_is_accepted() -> None:
    """AWS does not document that it always sends OpsItemId and AutomationSubtype, so both may be missing."""
    document = execution()
    del document["OpsItemId"], document["AutomationSubtype"]
    assert parse_execution(document, KEY).id == EXECUTION_ID


@MANY_EXAMPLES
@given(mangled(execution))
def test_any_execution_is_read_or_raises_the_declared_error(document: object) -> None:
    """A mangled execution is read with texts that can be encoded as UTF-8, or raises UnreadableExecution."""
    try:
        found = parse_execution(document, KEY).as_execution()
    except UnreadableExecution:
        return
    as_utf8(found)
