"""AWS with its quotas, behind the Requests port: each operation allows some calls a second, for all processes together.

`QuotaAws` is one process's way to AWS: the program's own rate limiter, and calls that take some time.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.aws.calls.rate_limit import Lane, Quota, QuotaWaitTooLong, RateLimiter
from bot.aws.calls.sessions import RoleSessions
from bot.boto.sdk import Answer
from bot.domain.request import AccessRequest, Action, Execution, RequestKey, Withdrawal
from bot.ports.aws import AwsThrottled, Signal, SignalThrottled
from bot.ports.clock import Clock
from tests.fakes.aws import FakeAws

A_SECOND = 3.0
READ, SIGNAL, STOP, ITEM = (
    "get_automation_execution",
    "send_automation_signal",
    "stop_automation_execution",
    "get_ops_item",
)
SECONDS = 0.3  # that a call takes


class Throttled(Exception):
    """AWS refuses a call because the quota of its operation is used up."""


@dataclass(slots=True)
class Quotas:
    """The token buckets of AWS, one for each operation, account and Region.

    `calls` has the time of each call, and `assumed` how often each session was begun with AssumeRole.
    """

    clock: Clock
    calls: dict[str, list[datetime]] = field(default_factory=dict)
    assumed: Counter[str] = field(default_factory=Counter)
    throttled: int = 0
    _buckets: dict[tuple[str, str, str], tuple[float, datetime]] = field(default_factory=dict)

    def take(self, operation: str, key: RequestKey) -> None:
        """Count a call. Raises Throttled if the bucket is empty."""
        now, place = self.clock.now(), (operation, key.account, key.region)
        left, at = self._buckets.get(place, (A_SECOND, now))
        left = min(A_SECOND, left + (now - at).total_seconds() * A_SECOND)
        self.calls.setdefault(operation, []).append(now)
        if left < 1 - 1e-6:
            self._buckets[place] = (left, now)
            self.throttled += 1
            raise Throttled(operation)
        self._buckets[place] = (left - 1, now)


class QuotaAws:
    """The `Requests` port of one process, whose rate limiter divides the quotas by `replicas`."""

    def __init__(self, aws: FakeAws, quotas: Quotas, *, replicas: int = 1) -> None:
        self._aws, self._quotas, self._clock = aws, quotas, quotas.clock
        self._limiter = RateLimiter(clock=quotas.clock, share=replicas)
        self._sessions = RoleSessions(self._assume, clock=quotas.clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aws, name)

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Return the request after two calls within the quotas: one for the OpsItem, one for the execution.

        Raises AwsThrottled.
        """
        await self._limited(ITEM, key, Lane.RECONCILE)
        await self._limited(READ, key, Lane.RECONCILE)
        return await self._aws.observe(key)

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Read the execution within the quota. Raises AwsThrottled."""
        await self._limited(READ, key, Lane.CLICK)
        return await self._aws.execution(key, execution_id)

    async def prepare(self, signal: Signal) -> None:
        """Assume the role, and wait until the rate limiter allows the signal.

        Raises SignalThrottled if the wait would be too long.
        """
        if signal.session:
            await self._sessions.get(signal.session, Lane.CLICK)
        try:
            await self._limiter.turn(_quota(_operation(signal.action), signal.key), Lane.SIGNAL)
        except QuotaWaitTooLong:
            raise SignalThrottled("QuotaUsedUp") from None
        await self._aws.prepare(signal)

    async def signal(self, signal: Signal) -> None:
        """Send the signal. Raises SignalThrottled if AWS's quota is used up."""
        operation = _operation(signal.action)
        try:
            self._quotas.take(operation, signal.key)
        except Throttled:
            self._limiter.throttled(_quota(operation, signal.key))
            raise SignalThrottled("ThrottlingException") from None
        await self._clock.sleep(SECONDS)
        await self._aws.signal(signal)

    async def _assume(self, _operation: str, _lane: Lane, **parameters: object) -> Answer:
        self._quotas.assumed[str(parameters["RoleSessionName"])] += 1
        await self._clock.sleep(SECONDS)
        return {"Credentials": {"AccessKeyId": "id", "SecretAccessKey": "secret", "SessionToken": "token"}}

    async def _limited(self, operation: str, key: RequestKey, lane: Lane) -> None:
        try:
            await self._limiter.turn(_quota(operation, key), lane)
            self._quotas.take(operation, key)
        except Throttled:
            self._limiter.throttled(_quota(operation, key))
            raise AwsThrottled("ThrottlingException") from None
        except QuotaWaitTooLong:
            raise AwsThrottled("QuotaUsedUp") from None
        await self._clock.sleep(SECONDS)


def _quota(operation: str, key: RequestKey) -> Quota:
    return Quota(key.account, key.region, "ssm", operation)


def _operation(action: Action) -> str:
    return STOP if action is Withdrawal.CANCEL else SIGNAL
