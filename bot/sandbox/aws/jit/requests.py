"""The states of an access request: levels, votes, time-out, cancellation, revocation. Pure: time is an argument.

    waiting --all levels approved--> approved --Revoke--> revoked
       |---one rejection-----------> rejected
       |---a level overdue---------> timed out
       |---StopAutomationExecution-> cancelled
    other initial states: failed, and approved without levels (auto-approval)

Every transition is a function from a request to a request; an illegal one raises `Refused`. This module must not know
AWS's protocols, AWS's words for a status, or who may call.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Status(StrEnum):
    """The status of a request or of one of its levels."""

    NOT_STARTED = "not_started"  # levels only
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REVOKED = "revoked"  # requests only
    FAILED = "failed"  # requests only


class Decision(StrEnum):
    """The decision of a vote; the values are AWS's names of the signals."""

    APPROVE = "Approve"
    REJECT = "Reject"


class SecondVote(StrEnum):
    """What AWS may do with a vote if another session of the same role has voted at the level.

    AWS does not document it.
    """

    COUNTED = "counted"
    REFUSED = "refused"  # with the error for an illegal signal
    DENIED = "denied"  # for lack of permission
    HIDDEN = "hidden"  # accepted, but neither shown nor counted
    UNCOUNTED = "uncounted"  # accepted and shown, but not counted


class Refused(Exception):
    """The transition is not possible in the current state."""


class Denied(Refused):
    """The voter may not vote again."""


class NotAnApprover(Refused):
    """The voter has none of the roles that the level lists."""


@dataclass(frozen=True, slots=True)
class Approver:
    """An approver of a level: an id, and the policy's word for its kind."""

    id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Level:
    """One aws:approve step of a policy."""

    name: str
    approvers: tuple[Approver, ...]
    needed: int  # approvals
    timeout: timedelta
    message: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's vote: `voter` is the ARN of the session, `role` the ARN of its role."""

    voter: str
    role: str
    decision: Decision
    comment: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """The progress of one level."""

    level: Level
    id: str  # UUID
    status: Status = Status.NOT_STARTED
    votes: tuple[Vote, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def counted(self, second: SecondVote) -> int:
        """Return how many votes count: all if `second` is COUNTED, else one of each role."""
        return len(self.votes if second is SecondVote.COUNTED else {vote.role for vote in self.votes})

    @property
    def due(self) -> datetime | None:
        """The time at which the level times out; None before it starts."""
        return self.started_at + self.level.timeout if self.started_at else None


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One access request: the OpsItem and its automation execution in one."""

    id: str  # oi-…
    execution_id: str  # UUID; empty if no approval is needed
    account: str
    region: str
    requester: str  # ARN of the session
    requester_id: str  # Identity Center user id, else empty
    node_ids: tuple[str, ...]
    reason: str
    policy: str
    policy_version: str
    conflicting: tuple[str, ...]  # the conflicting policies
    access_duration: timedelta
    created_at: datetime
    modified_at: datetime
    modified_by: str
    status: Status
    steps: tuple[Step, ...] = ()
    granted_at: datetime | None = None
    ended_at: datetime | None = None  # of the automation
    replica_of: tuple[str, str, str] | None = None  # account, Region and id of the original

    @property
    def waiting_step(self) -> Step | None:
        """The level that waits for votes, if any."""
        return next((s for s in self.steps if s.status is Status.WAITING), None)

    @property
    def access_until(self) -> datetime | None:
        """The end of the access window; None unless access was granted."""
        return self.granted_at + self.access_duration if self.granted_at else None


def service_session(account: str) -> str:
    """Return the ARN of the AWS service's session, which makes the changes that no caller requests."""
    return (
        f"arn:aws:sts::{account}:assumed-role/AWSServiceRoleForSystemsManagerJustInTimeAccess/JustInTimeAccessService"
    )


def begun(request: AccessRequest, now: datetime) -> AccessRequest:
    """Start the first level."""
    first = replace(request.steps[0], status=Status.WAITING, started_at=now)
    return replace(request, status=Status.WAITING, steps=(first, *request.steps[1:]))


def settled(request: AccessRequest, now: datetime) -> AccessRequest:
    """Time out an overdue level; otherwise return the request unchanged."""
    step = request.waiting_step
    if step is None or step.due is None or now < step.due:
        return request
    return _ended(request, step, Status.TIMED_OUT, step.due, service_session(request.account))


def voted(request: AccessRequest, vote: Vote, role_kind: str, second: SecondVote = SecondVote.COUNTED) -> AccessRequest:
    """Count a vote for the waiting level. `role_kind` is the kind of approver whose id is a role's ARN.

    `second` is the treatment of a role that has already voted. Raises NotAnApprover, Denied, or Refused if
    no level waits or the voter has already voted on it.
    """
    step = request.waiting_step
    if step is None:
        raise Refused(f"The execution is not waiting for an approval: {request.status}.")
    if Approver(vote.role, role_kind) not in step.level.approvers:
        raise NotAnApprover(f"{vote.voter} is not an approver of {step.level.name}.")
    if any(v.voter == vote.voter for v in step.votes):
        raise Refused(f"{vote.voter} has already voted on {step.level.name}.")
    if any(v.role == vote.role for v in step.votes) and second is not SecondVote.COUNTED:
        return _not_counted(request, step, vote, second)
    step = replace(step, votes=(*step.votes, vote))
    if vote.decision is Decision.REJECT:
        return _ended(request, step, Status.REJECTED, vote.at, vote.voter)
    if step.counted(second) < step.level.needed:
        return _with(request, step, vote.at, vote.voter)
    return _passed(request, step, vote)


def _not_counted(request: AccessRequest, step: Step, vote: Vote, second: SecondVote) -> AccessRequest:
    says = f"The role {vote.role} has already voted on {step.level.name}."
    if second is SecondVote.DENIED:
        raise Denied(says)
    if second is SecondVote.REFUSED:
        raise Refused(says)
    shown = (*step.votes, vote) if second is SecondVote.UNCOUNTED else step.votes
    return _with(request, replace(step, votes=shown), vote.at, vote.voter)


def cancelled(request: AccessRequest, now: datetime, by: str) -> AccessRequest:
    """Cancel a waiting request. Raises Refused if it no longer waits."""
    if (step := request.waiting_step) is None:
        raise Refused(f"The execution has ended: {request.status}.")
    return _ended(request, step, Status.CANCELLED, now, by)


def revoked(
    request: AccessRequest, now: datetime, *, by: str, role: str, role_kind: str, any_role: bool = False
) -> AccessRequest:
    """Revoke granted access before its window ends. With `any_role`, the role need not be an approver's.

    Raises Refused or NotAnApprover.
    """
    if request.status is not Status.APPROVED or request.access_until is None or now >= request.access_until:
        raise Refused(f"There is no access to revoke: {request.status}.")
    if not any_role and not any(Approver(role, role_kind) in s.level.approvers for s in request.steps):
        raise NotAnApprover(f"{by} is not an approver of {request.policy}.")
    return replace(request, status=Status.REVOKED, modified_at=now, modified_by=by)


def _passed(request: AccessRequest, step: Step, vote: Vote) -> AccessRequest:
    done = _with(request, replace(step, status=Status.APPROVED, ended_at=vote.at), vote.at, vote.voter)
    following = next((s for s in done.steps if s.status is Status.NOT_STARTED), None)
    if following is None:
        return replace(done, status=Status.APPROVED, granted_at=vote.at, ended_at=vote.at)
    return _with(done, replace(following, status=Status.WAITING, started_at=vote.at), vote.at, vote.voter)


def _ended(request: AccessRequest, step: Step, status: Status, at: datetime, by: str) -> AccessRequest:
    done = replace(step, status=status, ended_at=at)
    return replace(_with(request, done, at, by), status=status, ended_at=at)


def _with(request: AccessRequest, step: Step, at: datetime, by: str) -> AccessRequest:
    steps = tuple(step if s.id == step.id else s for s in request.steps)
    return replace(request, steps=steps, modified_at=at, modified_by=by)
