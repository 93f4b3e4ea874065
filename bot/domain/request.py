"""The facts of an access request as AWS reports them, in this program's types.

A field that may be None is None if AWS gave no value or it could not be read. An empty tuple in `Level.approvers`,
`Level.votes` or `Node.tags` means that it was read, and is empty.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

OPS_ITEM_ID = re.compile(r"oi-[0-9a-f]{12}")
_PLACE = r"(?P<account>[0-9]{12})/(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9])"
_KEY = re.compile(rf"{_PLACE}/(?P<ops_item_id>{OPS_ITEM_ID.pattern})")


class InvalidRequestKey(ValueError):
    """The text is not `account/region/oi-…`."""


@dataclass(frozen=True, slots=True, order=True)
class RequestKey:
    """The key of a request: account, Region, OpsItem id. As text: `111122223333/ap-northeast-1/oi-0123456789ab`."""

    account: str
    region: str
    ops_item_id: str

    @classmethod
    def parse(cls, text: object) -> "RequestKey":
        """Parse `account/region/oi-…`; raise InvalidRequestKey for anything else."""
        found = _KEY.fullmatch(text) if isinstance(text, str) else None
        if not found:
            raise InvalidRequestKey
        account, region, ops_item_id = found.groups()
        return cls(sys.intern(account), sys.intern(region), ops_item_id)  # few places, many keys

    def __str__(self) -> str:
        return f"{self.account}/{self.region}/{self.ops_item_id}"


class Status(StrEnum):
    """State of the request. AWS's own states are mapped to these in bot.aws.jit."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    REVOKED = "revoked"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"
    GONE = "gone"  # AWS showed it before and no longer knows it: a person deleted the OpsItem
    UNKNOWN = "unknown"  # a state of AWS that this version does not know; shown without buttons, read again later

    @property
    def ended(self) -> bool:
        """True once approving and rejecting are no longer possible."""
        return self not in {Status.PENDING, Status.UNKNOWN}


class Verdict(StrEnum):
    """An approver's vote at a level."""

    APPROVE = "approve"
    REJECT = "reject"


class Withdrawal(StrEnum):
    """An action that takes something back: approvers revoke access; requesters cancel a request or give access back."""

    REVOKE = "revoke"
    CANCEL = "cancel"
    GIVE_BACK = "give_back"  # the requester ends granted access before its time; AWS is asked to revoke it


class SessionAction(StrEnum):
    """An action on sessions on nodes. It needs no decision, unless access is revoked first."""

    END = "end_sessions"


Action = Verdict | Withdrawal  # an action that a click requests from AWS
STATUS_AFTER: Final[Mapping[Withdrawal, Status]] = MappingProxyType(
    {
        Withdrawal.REVOKE: Status.REVOKED,
        Withdrawal.CANCEL: Status.CANCELLED,
        Withdrawal.GIVE_BACK: Status.REVOKED,
    }
)  # the status in which AWS shows that the withdrawal took effect

BY_REQUESTER: Final = frozenset({Withdrawal.CANCEL, Withdrawal.GIVE_BACK})  # actions of the requester, in their chat


def asked_of_aws(action: Action) -> Action:
    """Return what an action asks AWS for: to give access back is to revoke it."""
    return Withdrawal.REVOKE if action is Withdrawal.GIVE_BACK else action


class LevelState(StrEnum):
    """State of an approval step of the automation execution."""

    NOT_STARTED = "not_started"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ApproverKind(StrEnum):
    """The kind of approver that the policy names."""

    ROLE = "role"
    USER = "user"
    GROUP = "group"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Approver:
    """An approver as the policy names it: an IAM role ARN, or the id of an Identity Center user or group."""

    kind: ApproverKind
    id: str


@dataclass(frozen=True, slots=True)
class Vote:
    """One approver's decision as AWS recorded it. `by` is AWS's spelling, usually an assumed-role ARN."""

    by: str
    verdict: Verdict
    at: datetime | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """One approval step (`aws:approve`) of the automation execution."""

    step: str
    state: LevelState = LevelState.NOT_STARTED
    required: int | None = None  # approvals needed
    approvers: tuple[Approver, ...] | None = None
    votes: tuple[Vote, ...] | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    timeout: timedelta | None = None

    @property
    def deadline(self) -> datetime | None:
        """When this step times out in AWS; None if that is unknown."""
        return self.started_at + self.timeout if self.started_at and self.timeout else None

    @property
    def approvals(self) -> int | None:
        """How many approvals AWS shows; None if the votes cannot be read."""
        return None if self.votes is None else sum(v.verdict is Verdict.APPROVE for v in self.votes)

    @property
    def is_full(self) -> bool:
        """True if AWS shows as many approvals as the level needs. AWS then ends the level, if it counts all of them."""
        return None not in {self.required, self.approvals} and (self.approvals or 0) >= (self.required or 0)


@dataclass(frozen=True, slots=True)
class Node:
    """A node to which access is requested. `id` is `i-…` or `mi-…`, or empty if it is not certain which node it is."""

    id: str
    name: str | None = None
    platform: str | None = None
    private_ip: str | None = None
    tags: tuple[tuple[str, str], ...] | None = None  # None: could not be read
    host: str | None = None  # the cloud of a machine outside EC2, and its location there

    def tag(self, key: str) -> str | None:
        """Return the value of a tag, or None."""
        for each, value in self.tags or ():
            if each == key:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Execution:
    """The automation execution of a request at one moment. The state check reads it right before a signal."""

    id: str
    status: Status
    levels: tuple[Level, ...] = ()
    ended_at: datetime | None = None

    @property
    def waiting(self) -> Level | None:
        """The level that waits for decisions now, or None."""
        return next((level for level in self.levels if level.state is LevelState.WAITING), None)


@dataclass(frozen=True, slots=True)
class Grant:
    """The state of granted access at one moment. The state check reads it right before a revocation.

    It comes from the OpsItem: the automation execution has ended by then and may not show a revocation.
    """

    status: Status
    access_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One request for access to one or several nodes, as last observed."""

    key: RequestKey
    status: Status
    requester: str  # the principal's ARN, or an Identity Center user id
    node: Node
    reason: str = ""
    requested_at: datetime | None = None
    modified_at: datetime | None = None
    policy: str | None = None
    policy_version: str | None = None
    duration: timedelta | None = None  # the requested duration of access
    access_from: datetime | None = None
    access_until: datetime | None = None
    execution_id: str | None = None
    levels: tuple[Level, ...] = ()  # in the order of the policy
    auto_approved: bool = False
    replica_of: RequestKey | None = None  # the original, for a copy in the delegated administrator account
    conflicting_policies: tuple[str, ...] = ()
    complete: bool = True  # False: something could not be read; a later read completes it
    nodes: tuple[Node, ...] = ()  # the nodes of a request for several; `node` is then empty
    steps_read: bool = False  # True: every step was read, whatever else could not be

    @property
    def shows_votes(self) -> bool:
        """True if this read contains every step, so that a vote that is missing in readable votes is not in AWS."""
        return bool(self.levels) and (self.complete or self.steps_read)

    @property
    def targets(self) -> tuple[Node, ...]:
        """Every node of the request; empty if it is not certain which these are, and then no one may decide."""
        return self.nodes or ((self.node,) if self.node.id else ())

    @property
    def shown_node(self) -> str:
        """The names of all nodes, or their ids where they have none."""
        return ", ".join(node.name or node.id for node in self.targets)

    @property
    def waiting(self) -> Level | None:
        """The level that waits for decisions now; None if the request is not pending, or no level waits."""
        if self.status is not Status.PENDING:
            return None
        for level in self.levels:  # without a generator, because each check of a person asks several times
            if level.state is LevelState.WAITING:
                return level
        return None

    @property
    def last_level(self) -> Level | None:
        """The latest level that was started, else the first; None without levels.

        For a decided request, it is the level that settled it.
        """
        started = (level for level in reversed(self.levels) if level.state is not LevelState.NOT_STARTED)
        return next(started, self.levels[0] if self.levels else None)

    @property
    def deadline(self) -> datetime | None:
        """When the request times out if it is not decided; None if it does not wait, or the time is unknown."""
        return self.waiting.deadline if self.waiting else None

    def is_closed_to(self, action: Action) -> bool:
        """True once the action can no longer change the request: it has ended and, for Revoke, is not approved."""
        return self.status.ended and not (action is Withdrawal.REVOKE and self.status is Status.APPROVED)

    def level(self, step: str) -> Level | None:
        """Return the level with this step name, or None."""
        return next((level for level in self.levels if level.step == step), None)

    def completed_from(self, earlier: "AccessRequest | None") -> "AccessRequest":
        """Return the request with the facts in _KEPT, and of its nodes, that are missing now and were read earlier."""
        if earlier is None:
            return self
        kept = {name: getattr(earlier, name) for name in _KEPT if getattr(self, name) in (None, "", ())}
        known = {node.id: node for node in earlier.targets}
        node, *nodes = (_completed_node(each, known.get(each.id, each)) for each in (self.node, *self.nodes))
        return replace(self, node=node, nodes=tuple(nodes), **kept)

    def of_nodes(self, nodes: Sequence[Node]) -> "AccessRequest":
        """Return the request with other nodes: one, several, or none if it is not certain which these are."""
        single = nodes[0] if len(nodes) == 1 else Node("")
        return replace(self, node=single, nodes=tuple(nodes) if len(nodes) > 1 else ())


_KEPT = (
    "reason",
    "requested_at",
    "policy",
    "policy_version",
    "duration",
    "access_from",
    "access_until",
    "execution_id",
    "levels",
    "conflicting_policies",
)


def _completed_node(node: Node, earlier: Node) -> Node:
    return Node(
        id=node.id,
        name=node.name or earlier.name,
        platform=node.platform or earlier.platform,
        private_ip=node.private_ip or earlier.private_ip,
        tags=earlier.tags if node.tags is None else node.tags,
        host=node.host or earlier.host,
    )
