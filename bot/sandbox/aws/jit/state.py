"""The sandbox's access requests and approval policies. Publishes events when requests change. Thread-safe.

Each search for requests first times out overdue levels, so this module has the clock. It must not know AWS's protocols,
or which callers are allowed.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol
from uuid import uuid4

from bot.sandbox.aws.jit import requests
from bot.sandbox.aws.jit.assumptions import Assumptions
from bot.sandbox.aws.jit.events import Envelope, envelopes
from bot.sandbox.aws.jit.policies import Policy, Tags, applicable
from bot.sandbox.aws.jit.requests import AccessRequest, Level, Status, Step

Place = tuple[str, str]  # account, Region


class NodeTags(Protocol):
    """The nodes' tags, which select the approval policy of a request."""

    def tags(self, node_id: str, *, account: str, region: str) -> Tags | None:
        """Return a node's tags, or None if the node does not exist in this account and Region."""


class UnknownNode(LookupError):
    """The account and Region have no node with this id."""


class NoPolicy(LookupError):
    """No approval policy applies to the node."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One signal or stop that AWS accepted."""

    at: datetime
    ops_item_id: str
    execution_id: str
    step: str  # name of the level that was decided or stopped; empty for Revoke
    kind: str  # Approve, Reject, Revoke, Stop
    by: str  # ARN of the session
    comment: str


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of an OpsItem's history."""

    id: str
    at: datetime
    by: str
    first: bool  # True for the creation of the OpsItem
    request: AccessRequest


class JitState:
    """The state of just-in-time node access in every account and Region.

    `now` is its clock. `publish` gets each event. `administrator` is the place that also has copies of all requests.
    `short_access` has durations of access by policy name, for durations shorter than AWS's policies may have.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        nodes: NodeTags,
        publish: Callable[[Envelope], None],
        assumed: Assumptions,
        identity_center_users: dict[str, str],
        administrator: Place | None = None,
        short_access: Mapping[str, timedelta] | None = None,
    ) -> None:
        self.now, self.assumed = now, assumed
        self.effects: list[Effect] = []
        self.policies: dict[Place, dict[str, Policy]] = {}
        self._nodes, self._publish, self._people = nodes, publish, identity_center_users
        self._administrator = administrator
        self._short_access = short_access or {}
        self._requests: dict[str, AccessRequest] = {}
        self._history: dict[str, list[Change]] = {}
        self._lock = threading.RLock()

    def start(self, node_ids: Sequence[str], reason: str, *, account: str, region: str, by: str) -> AccessRequest:
        """Create a request; its status is FAILED if more than one policy applies to its nodes.

        Raises UnknownNode or NoPolicy.
        """
        place = (account, region)
        policies = {each.name: each for node_id in node_ids for each in self._applicable(place, node_id)}
        request = self._new(
            list(policies.values()),
            node_ids=tuple(node_ids),
            reason=reason,
            account=account,
            region=region,
            requester=by,
        )
        with self._lock:
            return self._keep(None, request)

    def _applicable(self, place: Place, node_id: str) -> list[Policy]:
        account, region = place
        tags = self._nodes.tags(node_id, account=account, region=region)
        if tags is None:
            raise UnknownNode(node_id)
        if found := applicable(self.policies.get(place, {}).values(), node_id, tags):
            return found
        raise NoPolicy(node_id)

    def find(self, ops_item_id: str, *, account: str, region: str) -> AccessRequest | None:
        """Return the current state of a request of this account and Region; None if there is no such request."""
        return next((r for r in self.all(account=account, region=region) if r.id == ops_item_id), None)

    def find_execution(self, execution_id: str, *, account: str, region: str) -> AccessRequest | None:
        """Return the current state of the request of an automation execution; None if there is no such execution."""
        found = (r for r in self.all(account=account, region=region) if r.replica_of is None)
        return next((r for r in found if r.execution_id and r.execution_id == execution_id), None)

    def all(self, *, account: str, region: str) -> list[AccessRequest]:
        """Return the current state of all requests of this account and Region, the newest first.

        The delegated administrator account also has copies of the requests of all other accounts and Regions.
        """
        self.tick()
        place = (account, region)
        with self._lock:
            kept = list(self._requests.values())
        found = [r for r in kept if (r.account, r.region) == place]
        if place == self._administrator:
            found += [_replica(r, *place) for r in kept if (r.account, r.region) != place]
        return sorted(found, key=lambda r: (r.created_at, r.id), reverse=True)

    def tick(self) -> None:
        """Time out all overdue levels."""
        with self._lock:
            for request in list(self._requests.values()):
                self._keep(request, requests.settled(request, self.now()))

    def change(self, ops_item_id: str, transition: Callable[[AccessRequest, datetime], AccessRequest]) -> AccessRequest:
        """Apply a transition to a request atomically. If the transition raises, the request stays as it was."""
        with self._lock:
            self.tick()
            request = self._requests[ops_item_id]
            return self._keep(request, transition(request, self.now()))

    def record(self, effect: Effect) -> None:
        """Record a signal or stop that took effect."""
        with self._lock:
            self.effects.append(effect)

    def history(self, ops_item_ids: Iterable[str]) -> list[Change]:
        """Return the history of some OpsItems, the oldest change first."""
        with self._lock:
            return sorted((c for i in ops_item_ids for c in self._history.get(i, ())), key=lambda c: c.at)

    def _keep(self, before: AccessRequest | None, after: AccessRequest) -> AccessRequest:
        if after == before:
            return after
        self._requests[after.id] = after
        change = Change(str(uuid4()), after.modified_at, after.modified_by, before is None, after)
        self._history.setdefault(after.id, []).append(change)
        for envelope in envelopes(before, after, self.assumed):
            self._publish(envelope)
        return after

    def _new(
        self,
        policies: list[Policy],
        *,
        node_ids: tuple[str, ...],
        reason: str,
        account: str,
        region: str,
        requester: str,
    ) -> AccessRequest:
        now, policy, conflict = self.now(), policies[0], len(policies) > 1
        request = AccessRequest(
            id=f"oi-{secrets.token_hex(6)}",
            execution_id=str(uuid4()) if policy.levels and not conflict else "",
            account=account,
            region=region,
            requester=requester,
            requester_id=self._people.get(requester.rpartition("/")[2], ""),
            node_ids=node_ids,
            reason=reason,
            policy="" if conflict else policy.name,
            policy_version="" if conflict else policy.version,
            conflicting=tuple(sorted(p.name for p in policies)) if conflict else (),
            access_duration=timedelta() if conflict else self._short_access.get(policy.name, policy.access_duration),
            created_at=now,
            modified_at=now,
            modified_by=requester,
            status=Status.FAILED if conflict else Status.APPROVED,
        )
        return request if conflict else _with_levels(request, policy.levels, now)


def _replica(request: AccessRequest, account: str, region: str) -> AccessRequest:
    """Return the copy of a request in another account; its id depends on the original only."""
    source = (request.account, request.region, request.id)
    copy_id = f"oi-{sha256('/'.join(source).encode()).hexdigest()[:12]}"
    return replace(request, id=copy_id, account=account, region=region, replica_of=source)


def _with_levels(request: AccessRequest, levels: tuple[Level, ...], now: datetime) -> AccessRequest:
    if not levels:
        return replace(request, granted_at=now, modified_by=requests.service_session(request.account))
    return requests.begun(replace(request, steps=tuple(Step(level, str(uuid4())) for level in levels)), now)
