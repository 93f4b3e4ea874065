"""Tests for bot.aws.jit.approvals: the forms in which AWS may write votes. No sample of a manual request is published."""

import json

import pytest
import structlog

from bot.aws.jit import approvals
from bot.aws.jit.approvals import votes
from bot.domain.request import Verdict

SESSION = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover/hanako.sato@example.com"
ROLE = "arn:aws:iam::111122223333:role/NodeAccessApprover"
USER_ID = "9067642ac7-11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize("by", [SESSION, ROLE, USER_ID])
@pytest.mark.parametrize(
    "shape",
    [
        lambda by: {"approver": by, "decision": "approved"},
        lambda by: {"ApprovedBy": by, "ApproverDecision": "Approve"},
        lambda by: {"iamPrincipalArn": by, "signal": "APPROVED", "note": "ok"},
        lambda by: {"who": by, "finalStatus": "Approved", "at": "2026-04-01T09:00:00Z"},
        lambda by: {by: "Approved"},
        lambda by: {by: {"decision": "Approve", "comment": "ok"}},
    ],
)
def test_vote_is_read_in_any_form_that_has_one_meaning(shape: object, by: str) -> None:
    """One member names an approver, and one has a word for a verdict; or the approver itself is the name."""
    assert callable(shape)
    for element in (shape(by), json.dumps(shape(by)), json.dumps([shape(by)])):
        (vote,) = votes({"ApproverDecisions": [element]}) or ()
        assert (vote.by, vote.verdict) == (by, Verdict.APPROVE)


@pytest.mark.parametrize(
    "raw",
    [
        {"first": SESSION, "second": ROLE, "decision": "approved"},
        {"approver": SESSION, "oldStatus": "approved", "newStatus": "rejected"},
        {"approver": SESSION, "comment": "approved"},
        {SESSION: "Approved", "decision": "rejected"},
        {"Decision": "Pending", "ApprovalRuleStatus": "Approved", "Approver": SESSION},
        {"Decision": "Waiting", "StepStatus": "Approved", "Approver": SESSION},
        {"SignalType": "Approve", "Decision": "Revoke", "Approver": SESSION},
        {"Decision": ["Pending"], "StepStatus": "Approved", "Approver": SESSION},
        {"Approver": SESSION, "RequestStatus": "Approved"},
        {"Approver": SESSION, "DecisionComment": "approved"},
        {"Decision": "Approve", "RequestedBy": SESSION},
        {"Decision": "Approve", "requester": USER_ID},
        {"Decision": "Approve", "ExecutionStartedBy": SESSION},
        {"Decision": "Approve", "Comment": ROLE},
        {"Decision": "Approve", "Approver": {"Name": "x"}, "Arn": SESSION},
    ],
)
def test_ambiguous_vote_is_unreadable_and_causes_one_warning(raw: dict[str, object]) -> None:
    """The warning has the names of members, so that the form can be added; never a value, nor an ARN as a name."""
    approvals._warn_once.cache_clear()  # another test may have warned of this form
    with structlog.testing.capture_logs() as logs:
        assert votes({"ApproverDecisions": [raw]}) is None
        assert votes({"ApproverDecisions": [raw]}) is None
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "arn:" not in str(warnings)
    assert set(warnings[0]["members"]) <= set(raw)
