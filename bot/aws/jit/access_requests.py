"""Access requests in AWS: `ports.aws.Requests`. Reads the parts of a request concurrently."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from cachetools import LRUCache, TTLCache

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.combine import Part, combine, from_ops_item
from bot.aws.jit.executions import AutomationExecution, ForeignExecution, UnreadableExecution, parse_execution
from bot.aws.jit.listing import PAGE, Listing
from bot.aws.jit.nodes import Nodes
from bot.aws.jit.ops_items import OpsItem, UnreadableOpsItem, parse_ops_item
from bot.aws.jit.policies import Policy, UnreadablePolicy, parse_policy
from bot.aws.jit.signals import Signals
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import moment, text
from bot.domain.request import AccessRequest, Execution, Grant, RequestKey, Status
from bot.ports.aws import AwsUnavailable, ListedRequest, RequestNotReadable, Signal
from bot.ports.clock import Clock
from bot.ports.probes import ApprovalPolicies, ApprovalPolicy

POLICY_KEPT_SECONDS = 300.0  # a policy's version never changes, but a deleted policy may be created again
POLICIES_KEPT = 500
LISTED_POLICIES_KEPT = 10_000  # those of all accounts and Regions; a forgotten one is read again every hour
POLICIES_AT_ONCE = 4  # reads of one account and Region; more would only wait for the same quota
OWN_KEPT = 4096  # executions; one that is dropped is read again to find its request
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Early:
    """The execution that was read beside an OpsItem, or the error, before it was known which one the OpsItem names."""

    execution_id: str
    result: AutomationExecution | BaseException


class AccessRequests:
    """Reads access requests and sends signals."""

    def __init__(self, clients: Clients, *, clock: Clock) -> None:
        self._clients = clients
        self._nodes, self._listing = Nodes(clients, clock=clock), Listing(clients)
        self._signals = Signals(clients)
        self._policies: TTLCache[tuple[Place, str, str], Policy] = TTLCache(
            POLICIES_KEPT, ttl=POLICY_KEPT_SECONDS, timer=clock.epoch
        )
        # as a list names them: with version and time of creation, so that no entry can be outdated
        self._listed_policies: LRUCache[tuple[object, ...], ApprovalPolicy] = LRUCache(LISTED_POLICIES_KEPT)
        # the execution that is verified to be the request's; an execution never moves to another request
        self._own: LRUCache[RequestKey, str] = LRUCache(OWN_KEPT)

    async def drain(self) -> None:
        """Wait for running lookups of nodes."""
        await self._nodes.drain()

    # --- the port

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Read everything about one request. If a part cannot be read it is left out, and `complete` is False.

        An execution that is known from an earlier read is read beside the OpsItem. Raises RequestNotReadable,
        AwsUnavailable.
        """
        item, early = await self._item_and_execution(key)
        if item.replica_of:
            return from_ops_item(item)
        execution, policy, nodes = await asyncio.gather(
            self._approval(item, early), self._policy(item), self._nodes.find(_place(key), item.node_ids)
        )
        read = execution.found
        if policy.found is None and item.policy is None and read:
            policy = await self._policy_named(_place(key), read.document, read.document_version)
        if item.status is Status.PENDING and read and read.as_execution().status is not Status.PENDING:
            item = await self._ops_item(key)  # it was decided between the two reads, or the OpsItem lags behind
        return combine(item, execution=execution, policy=policy, nodes=nodes)

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Read the approval's automation execution, never from a cache. Raises AwsUnavailable, AwsThrottled.

        Raises AwsUnavailable also for another request's execution.
        """
        try:
            read = await self._execution(key, execution_id, Lane.CLICK)
            if read.truncated and read.status is Status.PENDING and not read.waits:
                read = await self._with_all_steps(key, read, Lane.CLICK)
        except CallFailed as failed:
            raise unavailable(failed) from failed
        except UnreadableExecution as problem:
            raise AwsUnavailable(problem.code) from problem
        return read.as_execution()

    async def grant(self, key: RequestKey) -> Grant:
        """Read the OpsItem, never from a cache. Raises AwsUnavailable, AwsThrottled.

        Raises AwsUnavailable also if the OpsItem names no execution, or one that is not verified to be this request's.
        """
        try:
            item = await self._ops_item(key, Lane.CLICK)
        except RequestNotReadable as problem:
            raise AwsUnavailable(problem.code) from problem
        if item.execution_id is None:
            raise AwsUnavailable("NoExecution")
        if self._own.get(key) != item.execution_id:
            await self.execution(key, item.execution_id)
        return Grant(item.status, item.access_until)

    async def prepare(self, signal: Signal) -> None:
        """Get the role's session and wait for the quota. Sends nothing. Raises SignalRefused, SignalThrottled."""
        await self._signals.prepare(signal)

    async def signal(self, signal: Signal) -> None:
        """Send a prepared signal once, immediately. Raises SignalRefused, SignalThrottled, SignalLost."""
        await self._signals.send(signal)

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests that are pending, and those modified after `since`. Raises AwsUnavailable."""
        return await self._listing.list_requests(Place(account, region), since)

    async def steps(self, account: str, region: str) -> Sequence[ListedRequest]:
        """List the requests whose approval runs, with its current step, as far as AWS shows them. Never raises."""
        return await self._listing.steps(Place(account, region))

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests created after `since` that are revoked, as far as AWS shows them. Never raises."""
        return await self._listing.revoked(Place(account, region), since)

    # --- the checks

    async def approval_policies(self, account: str, region: str, *, within: float) -> ApprovalPolicies:
        """Return the manual approval policies of an account and Region that are read within these seconds.

        What is read is kept, so that the next call continues. Raises CallFailed.
        """
        place, listed = Place(account, region), None
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                listed = [each for each in await self._list_policies(place) if text(each.get("Name"))]
                await self._read_policies(place, listed)
        kept = (self._listed_policies.get(_version_of(place, each)) for each in listed or ())
        return ApprovalPolicies(tuple(each for each in kept if each), None if listed is None else len(listed))

    async def _list_policies(self, place: Place) -> Sequence[Mapping[str, object]]:
        wanted = [{"Key": "DocumentType", "Values": ["ManualApprovalPolicy"]}]
        return await self._clients.read_all(
            place, "ssm", "list_documents", Lane.SWEEP, member="DocumentIdentifiers", Filters=wanted, MaxResults=PAGE
        )

    async def _read_policies(self, place: Place, listed: Sequence[Mapping[str, object]]) -> None:
        """Read the policies that are not kept, a few at once. One that was changed or created again is another."""
        missing = [each for each in listed if _version_of(place, each) not in self._listed_policies]
        for first in range(0, len(missing), POLICIES_AT_ONCE):
            some = missing[first : first + POLICIES_AT_ONCE]
            results = await asyncio.gather(*(self._read_policy(place, each) for each in some), return_exceptions=True)
            for each in results:
                if each is not None:
                    raise each

    async def _read_policy(self, place: Place, listed: Mapping[str, object]) -> None:
        name, version = text(listed.get("Name")) or "", text(listed.get("DocumentVersion"))
        try:
            levels = (await self._document(place, name, version, Lane.SWEEP)).levels
        except UnreadablePolicy:
            levels = None
        self._listed_policies[_version_of(place, listed)] = ApprovalPolicy(name, levels)

    # --- the OpsItem

    async def _ops_item(self, key: RequestKey, lane: Lane = Lane.RECONCILE) -> OpsItem:
        try:
            answer = await self._clients.read(_place(key), "ssm", "get_ops_item", lane, OpsItemId=key.ops_item_id)
            return parse_ops_item(answer.get("OpsItem"), key)
        except CallFailed as failed:
            if failed.code == "OpsItemNotFoundException":
                raise RequestNotReadable(failed.code, missing=True) from failed
            raise unavailable(failed) from failed
        except UnreadableOpsItem as problem:
            raise RequestNotReadable(problem.code) from problem

    # --- the execution

    async def _item_and_execution(self, key: RequestKey) -> tuple[OpsItem, _Early | None]:
        """Read the OpsItem and, beside it, the execution that is known. Raises RequestNotReadable, AwsUnavailable."""
        known = self._own.get(key)
        if known is None:
            return await self._ops_item(key), None
        item, execution = await asyncio.gather(
            self._ops_item(key), self._execution(key, known, Lane.RECONCILE), return_exceptions=True
        )
        if isinstance(item, BaseException):
            raise item
        return item, _Early(known, execution)

    async def _execution_of(self, item: OpsItem, execution_id: str, early: _Early | None) -> AutomationExecution:
        """Return the execution that was read beside the OpsItem; read it now if that was too early, or another one.

        Raises CallFailed, UnreadableExecution.
        """
        if early is None or early.execution_id != execution_id:
            return await self._execution(item.key, execution_id, Lane.RECONCILE)
        if isinstance(early.result, BaseException):
            raise early.result
        if early.result.status is Status.PENDING and item.status is not Status.PENDING:  # it was decided in between
            return await self._execution(item.key, execution_id, Lane.RECONCILE)
        return early.result

    async def _approval(self, item: OpsItem, early: _Early | None) -> Part[AutomationExecution | None]:
        if item.execution_id is None:
            return Part(None)  # no execution exists or none is needed; the status shows which
        try:
            execution = await self._execution_of(item, item.execution_id, early)
        except CallFailed as failed:
            log.warning("execution_unreadable", request=str(item.key), code=failed.code)
            gone = item.status.ended and failed.code == "AutomationExecutionNotFoundException"
            return Part(None, complete=gone)  # AWS keeps executions for 30 days and OpsItems for a year
        except ForeignExecution as problem:
            log.warning("execution_foreign", request=str(item.key), code=problem.code)
            raise RequestNotReadable(problem.code) from problem
        except UnreadableExecution as problem:
            log.warning("execution_unreadable", request=str(item.key), code=problem.code)
            return Part(None, complete=False)
        if not execution.truncated:
            return Part(execution)
        return await self._completed(item.key, execution)

    async def _completed(self, key: RequestKey, execution: AutomationExecution) -> Part[AutomationExecution | None]:
        try:
            return Part(await self._with_all_steps(key, execution, Lane.RECONCILE))
        except CallFailed as failed:
            log.warning("steps_unreadable", request=str(key), code=failed.code)
            return Part(execution, complete=False)

    async def _execution(self, key: RequestKey, execution_id: str, lane: Lane) -> AutomationExecution:
        answer = await self._clients.read(
            _place(key), "ssm", "get_automation_execution", lane, AutomationExecutionId=execution_id
        )
        execution = parse_execution(answer.get("AutomationExecution"), key)
        self._own[key] = execution_id
        return execution

    async def _with_all_steps(self, key: RequestKey, execution: AutomationExecution, lane: Lane) -> AutomationExecution:
        steps = await self._clients.read_all(
            _place(key),
            "ssm",
            "describe_automation_step_executions",
            lane,
            member="StepExecutions",
            AutomationExecutionId=execution.id,
            MaxResults=PAGE,
        )
        return execution.with_steps(steps)

    # --- the policy

    async def _policy(self, item: OpsItem) -> Part[Policy | None]:
        if item.execution_id is None or item.policy is None:
            return Part(None)  # no approval is needed, or the execution will name the policy
        return await self._policy_named(_place(item.key), item.policy, item.policy_version)

    async def _policy_named(self, place: Place, name: str | None, version: str | None) -> Part[Policy | None]:
        if not name:
            return Part(None, complete=False)
        if version and (kept := self._policies.get((place, name, version))):
            return Part(kept)
        try:
            policy = await self._document(place, name, version)
        except CallFailed as failed:
            log.warning("policy_unreadable", policy=name, account=place.account, code=failed.code)
            return Part(None, complete=False)
        except UnreadablePolicy:
            log.warning("policy_unreadable", policy=name, account=place.account, code="NotAPolicy")
            return Part(None, complete=False)
        if version and version.isdecimal():
            self._policies[place, name, version] = policy
        return Part(policy)

    async def _document(self, place: Place, name: str, version: str | None, lane: Lane = Lane.RECONCILE) -> Policy:
        wanted = {"DocumentVersion": version} if version else {}
        answer = await self._clients.read(
            place, "ssm", "get_document", lane, Name=name, DocumentFormat="JSON", **wanted
        )
        return parse_policy(answer.get("Content"))


def _version_of(place: Place, listed: Mapping[str, object]) -> tuple[object, ...]:
    """Return what identifies a version of a policy in a list. A policy that was created again is another one."""
    return place, text(listed.get("Name")), text(listed.get("DocumentVersion")), moment(listed.get("CreatedDate"))


def _place(key: RequestKey) -> Place:
    return Place(key.account, key.region)
