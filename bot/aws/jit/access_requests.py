"""Access requests in AWS: `ports.aws.Requests`. Reads a request's parts side by side; a part that fails stays out."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog
from cachetools import LRUCache, TTLCache

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.combine import Looked, assembled, replica
from bot.aws.jit.executions import AutomationExecution, ForeignExecution, UnreadableExecution, parse_execution
from bot.aws.jit.listing import PAGE, Listing
from bot.aws.jit.nodes import Nodes
from bot.aws.jit.ops_items import OpsItem, UnreadableOpsItem, parse_ops_item
from bot.aws.jit.policies import Policy, UnreadablePolicy, parse_policy
from bot.aws.jit.signals import Signals
from bot.boto.failures import CallFailed, unavailable
from bot.domain.request import AccessRequest, Execution, Grant, RequestKey, Status
from bot.ports.aws import AwsUnavailable, ListedRequest, RequestNotReadable, Signal
from bot.ports.clock import Clock

POLICY_KEPT_SECONDS = 300.0  # a version never changes, but a policy may be deleted and made anew with the same number
POLICIES_KEPT = 500
OWN_KEPT = 4096  # executions; of one that falls out it is asked again whose it is
log = structlog.get_logger(__name__)


class AccessRequests:
    """The gateway to just-in-time node access."""

    def __init__(self, clients: Clients, *, clock: Clock) -> None:
        self._clients = clients
        self._nodes, self._listing = Nodes(clients, clock=clock), Listing(clients)
        self._signals = Signals(clients)
        self._policies: TTLCache[tuple[Place, str, str], Policy] = TTLCache(
            POLICIES_KEPT, ttl=POLICY_KEPT_SECONDS, timer=clock.epoch
        )
        self._own: LRUCache[tuple[RequestKey, str], None] = LRUCache(OWN_KEPT)  # whose one is never changes

    # --- the port

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Read everything about one request; what cannot be read is left out and `complete` is False.

        Raises RequestNotReadable, AwsUnavailable.
        """
        item = await self._ops_item(key)
        if item.replica_of:
            return replica(item)
        run, policy, node = await asyncio.gather(
            self._run(item), self._policy(item), self._nodes.look(_place(key), item.node_id)
        )
        if policy.found is None and item.policy is None and run.found:
            policy = await self._policy_named(_place(key), run.found.document, run.found.document_version)
        if item.status is Status.PENDING and run.found and run.found.as_execution().status is not Status.PENDING:
            item = await self._ops_item(key)  # it was decided between the two reads, or the OpsItem lags for longer
        return assembled(item, run=run, policy=policy, node=node)

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Read the approval's automation execution, never from a cache. Raises AwsUnavailable, AwsThrottled."""
        try:
            run = await self._execution(key, execution_id, Lane.CLICK)
            if run.truncated and run.status is Status.PENDING and not run.waits:
                run = await self._with_all_steps(key, run, Lane.CLICK)
        except CallFailed as failed:
            raise unavailable(failed) from failed
        except UnreadableExecution as problem:
            raise AwsUnavailable(problem.code) from problem
        return run.as_execution()

    async def grant(self, key: RequestKey) -> Grant:
        """Read the OpsItem, never from a cache. Raises AwsUnavailable, AwsThrottled.

        So too where the execution that it names is not, or cannot be seen to be, this request's own.
        """
        try:
            item = await self._ops_item(key, Lane.CLICK)
        except RequestNotReadable as problem:
            raise AwsUnavailable(problem.code) from problem
        if item.execution_id is None:
            raise AwsUnavailable("NoExecution")
        if (key, item.execution_id) not in self._own:
            await self.execution(key, item.execution_id)
        return Grant(item.status, item.access_until)

    async def prepare(self, signal: Signal) -> None:
        """Get the role's session and a turn in the quota; nothing leaves. Raises SignalRefused, SignalThrottled."""
        await self._signals.prepare(signal)

    async def signal(self, signal: Signal) -> None:
        """Send what was prepared, at once and once. Raises SignalRefused, SignalThrottled, SignalLost."""
        await self._signals.send(signal)

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests pending now and those modified since then. Raises AwsUnavailable."""
        return await self._listing.list_requests(Place(account, region), since)

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests made since then that are revoked now, as far as AWS tells. Never raises."""
        return await self._listing.revoked(Place(account, region), since)

    async def close(self) -> None:
        """Wait for what goes on in the background."""
        await self._nodes.close()

    # --- the OpsItem

    async def _ops_item(self, key: RequestKey, lane: Lane = Lane.LOOK) -> OpsItem:
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

    async def _run(self, item: OpsItem) -> Looked[AutomationExecution | None]:
        if item.execution_id is None:
            return Looked(None)  # there is none yet, or none is needed: which of them, the status tells
        try:
            run = await self._execution(item.key, item.execution_id, Lane.LOOK)
        except CallFailed as failed:
            log.warning("execution_unreadable", request=str(item.key), code=failed.code)
            gone = item.status.ended and failed.code == "AutomationExecutionNotFoundException"
            return Looked(None, complete=gone)  # AWS keeps executions for 30 days and OpsItems for a year
        except ForeignExecution as problem:
            log.warning("execution_foreign", request=str(item.key), code=problem.code)
            raise RequestNotReadable(problem.code) from problem
        except UnreadableExecution as problem:
            log.warning("execution_unreadable", request=str(item.key), code=problem.code)
            return Looked(None, complete=False)
        if not run.truncated:
            return Looked(run)
        return await self._completed(item.key, run)

    async def _completed(self, key: RequestKey, run: AutomationExecution) -> Looked[AutomationExecution | None]:
        try:
            return Looked(await self._with_all_steps(key, run, Lane.LOOK))
        except CallFailed as failed:
            log.warning("steps_unreadable", request=str(key), code=failed.code)
            return Looked(run, complete=False)

    async def _execution(self, key: RequestKey, execution_id: str, lane: Lane) -> AutomationExecution:
        answer = await self._clients.read(
            _place(key), "ssm", "get_automation_execution", lane, AutomationExecutionId=execution_id
        )
        run = parse_execution(answer.get("AutomationExecution"), key)
        self._own[key, execution_id] = None
        return run

    async def _with_all_steps(self, key: RequestKey, run: AutomationExecution, lane: Lane) -> AutomationExecution:
        steps = await self._clients.read_all(
            _place(key),
            "ssm",
            "describe_automation_step_executions",
            lane,
            member="StepExecutions",
            AutomationExecutionId=run.id,
            MaxResults=PAGE,
        )
        return run.with_steps(steps)

    # --- the policy

    async def _policy(self, item: OpsItem) -> Looked[Policy | None]:
        if item.execution_id is None or item.policy is None:
            return Looked(None)  # nobody has to approve, or the execution will name the policy
        return await self._policy_named(_place(item.key), item.policy, item.policy_version)

    async def _policy_named(self, place: Place, name: str | None, version: str | None) -> Looked[Policy | None]:
        if not name:
            return Looked(None, complete=False)
        if version and (kept := self._policies.get((place, name, version))):
            return Looked(kept)
        try:
            policy = await self._document(place, name, version)
        except CallFailed as failed:
            log.warning("policy_unreadable", policy=name, account=place.account, code=failed.code)
            return Looked(None, complete=False)
        except UnreadablePolicy:
            log.warning("policy_unreadable", policy=name, account=place.account, code="NotAPolicy")
            return Looked(None, complete=False)
        if version and version.isdecimal():
            self._policies[place, name, version] = policy
        return Looked(policy)

    async def _document(self, place: Place, name: str, version: str | None) -> Policy:
        wanted = {"DocumentVersion": version} if version else {}
        answer = await self._clients.read(
            place, "ssm", "get_document", Lane.LOOK, Name=name, DocumentFormat="JSON", **wanted
        )
        return parse_policy(answer.get("Content"))


def _place(key: RequestKey) -> Place:
    return Place(key.account, key.region)
