"""Tests for the rules of an access request in the sandbox's AWS, under random attempts in any order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.sandbox.aws.jit import requests
from bot.sandbox.aws.jit.assumptions import OUTPUT_VALUE_LIMIT, decision_json
from bot.sandbox.aws.jit.requests import AccessRequest, Approver, Decision, Level, Refused, Status, Step, Vote

NOON = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
KIND = "IamRole"
ROLE = "arn:aws:iam::111122223333:role/NodeAccessApprover"
VOTERS = ["a", "b", "c"]
ATTEMPTS = st.sampled_from(["vote", "reject", "cancel", "revoke", "wait", "stranger"])


def waiting(needs: list[int]) -> AccessRequest:
    """Return a waiting request with one level for each number, which is the number of approvals that it needs."""
    steps = tuple(
        Step(Level(f"L{n}", (Approver(ROLE, KIND),), needed, timedelta(hours=1)), id=f"step-{n}")
        for n, needed in enumerate(needs)
    )
    request = AccessRequest(
        id="oi-0123456789ab",
        execution_id="0aa5a695-4685-449f-90cc-49d24139dbe9",
        account="111122223333",
        region="ap-northeast-1",
        requester="arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com",
        requester_id="",
        node_ids=("i-0123456789abcdef0",),
        reason="r",
        policy="P",
        policy_version="1",
        conflicting=(),
        access_duration=timedelta(hours=2),
        created_at=NOON,
        modified_at=NOON,
        modified_by="taro",
        status=Status.WAITING,
        steps=steps,
    )
    return requests.begun(request, NOON)


def attempt(request: AccessRequest, what: str, voter: str, now: datetime) -> AccessRequest:
    """Return the request after an attempt to change it. A refused attempt only applies what is due at `now`."""
    decision = Decision.REJECT if what == "reject" else Decision.APPROVE
    vote = Vote(voter, "arn:aws:iam::111122223333:role/Other" if what == "stranger" else ROLE, decision, "", now)
    request = requests.settled(request, now)
    try:
        match what:
            case "cancel":
                return requests.cancelled(request, now, voter)
            case "revoke":
                return requests.revoked(request, now, by=voter, role=ROLE, role_kind=KIND)
            case "wait":
                return requests.settled(request, now + timedelta(minutes=50))
            case _:
                return requests.voted(request, vote, KIND)
    except Refused:
        return request


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=5),
    st.lists(st.tuples(ATTEMPTS, st.sampled_from(VOTERS), st.integers(0, 40)), max_size=30),
)
def test_sandbox_request_obeys_the_rules_of_votes_and_status_after_any_attempts(
    needs: list[int], attempts: list[tuple[str, str, int]]
) -> None:
    """Exactly one level of a waiting request waits; an approved level has all its votes, each from another person.

    Once a request has ended, only Revoke changes its status.
    """
    request, now = waiting(needs), NOON
    for what, voter, minutes in attempts:
        before, now = request, now + timedelta(minutes=minutes)
        request = attempt(before, what, voter, now)
        check_invariants(before, request)


def check_invariants(before: AccessRequest, after: AccessRequest) -> None:
    """Assert the rules that hold after every attempt."""
    up = [s for s in after.steps if s.status is Status.WAITING]
    assert len(up) == (after.status is Status.WAITING)
    for step in after.steps:
        voters = [v.voter for v in step.votes]
        assert len(voters) == len(set(voters)) <= step.level.needed
        assert {v.role for v in step.votes} <= {ROLE}
        if step.status is Status.APPROVED:
            assert len(step.votes) == step.level.needed
    if after.status in {Status.APPROVED, Status.REVOKED}:
        assert {s.status for s in after.steps} == {Status.APPROVED}
        assert after.granted_at is not None
    if before.status not in {Status.WAITING, after.status}:
        assert (before.status, after.status) == (Status.APPROVED, Status.REVOKED)


def test_overdue_sandbox_request_ends_at_its_due_time_however_late_it_is_read() -> None:
    """A request that is read three days late ended after its hour. A later read changes nothing."""
    late = requests.settled(waiting([1]), NOON + timedelta(days=3))
    assert late.ended_at == NOON + timedelta(hours=1)
    assert requests.settled(late, NOON + timedelta(days=9)) == late


@given(st.text(min_size=1, max_size=512))
def test_sandbox_vote_with_any_comment_fits_the_length_limit_of_aws(comment: str) -> None:
    """One element of ApproverDecisions is at most as long as AWS's model allows."""
    vote = Vote(f"arn:aws:sts::111122223333:assumed-role/Role/{'x' * 64}", ROLE, Decision.APPROVE, comment, NOON)
    assert len(decision_json(vote)) <= OUTPUT_VALUE_LIMIT


def test_auto_approved_sandbox_request_cannot_be_revoked() -> None:
    """An auto-approved request has no approvers, so Revoke is refused."""
    granted = replace(waiting([1]), steps=(), status=Status.APPROVED, granted_at=NOON)
    assert attempt(granted, "revoke", "a", NOON) == granted
