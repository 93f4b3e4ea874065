"""Rate limits that keep calls within AWS's quotas, which all users of the account share. Makes no calls.

SSM allows 3 calls a second of an operation per account and Region. The rate of a quota halves when AWS throttles, and
doubles again every RECOVERY seconds. Clicks go before reconciliation, reconciliation before sweeps.
https://docs.aws.amazon.com/general/latest/gr/ssm.html
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from bot.concurrency.waiting import first_of
from bot.ports.clock import Clock


class Lane(IntEnum):
    """Priority of a call: the lowest number goes first."""

    SIGNAL = 0  # a person has decided; no other call may delay the signal after the state check
    CLICK = 1  # a person waits
    RECONCILE = 2  # a card must be updated
    SWEEP = 3  # no person and no card waits
    POLL = 4  # the queue: no quota, but separate threads
    CONFIGURATION = 5  # node-access.toml in S3: no quota, but a separate thread


RATES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "ssm": 3.0,  # calls a second of one operation; published for automation, assumed for OpsItems
        "ec2": 10.0,  # DescribeInstances allows 20 a second for a whole account, including its consoles
        "identitystore": 5.0,  # the same as for sso-admin, because no separate figure is published
        "sso-admin": 5.0,  # 20 a second for all operations of IAM Identity Center, shared by the whole organization
    }
)
RATES_OF: Final[Mapping[tuple[str, str], float]] = MappingProxyType(
    {("ssm", "stop_automation_execution"): 1.0, ("ssm", "terminate_session"): 1.0}
)  # calls a second of operations that go slower than their service. No quota of TerminateSession is published
PATIENCE: Final[Mapping[Lane, float]] = MappingProxyType(
    {
        Lane.SIGNAL: 8.0,  # seconds; up to 15 with assuming the role, all before the state check
        # The state check: at most 20 with connecting and reading; a claim is held for 25. Assuming a reader role (7)
        # or reading more steps can exceed that. Another worker may then take over, but only one signal is sent.
        Lane.CLICK: 8.0,
        Lane.RECONCILE: 5.0,  # one reconciliation makes several such calls, and its lease is renewed meanwhile
        Lane.SWEEP: 120.0,
        Lane.POLL: 120.0,
        Lane.CONFIGURATION: 5.0,
    }
)
ROOM = 1  # the burst is this many calls below the rate, to leave room for jitter and other users
RECOVERY = 15.0  # seconds in which a reduced rate doubles
SLOWEST = 0.2  # calls a second; below this, reading would practically stop
ONE_THROTTLING = timedelta(seconds=1)  # calls throttled within this time reduce the rate only once
_ALMOST_ZERO = 1e-6  # calls or seconds; smaller values are rounding errors


class QuotaWaitTooLong(Exception):
    """The wait for a quota would be longer than the lane allows; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The unit in which AWS counts calls."""

    account: str
    region: str
    service: str
    operation: str


_Entry = tuple[Lane, int, asyncio.Event]  # a caller in the queue; the event wakes it


class RateLimiter:
    """All quotas. `rates` has the calls a second of one operation, by service. Services without a rate are not limited.

    RATES_OF lowers the rate of single operations. All rates are divided by `share`, the number of replicas that use the
    same quotas.
    """

    def __init__(self, *, clock: Clock, rates: Mapping[str, float] = RATES, share: int = 1) -> None:
        self._clock, self._rates, self._share = clock, rates, share
        self._buckets: dict[Quota, _TokenBucket] = {}

    async def turn(self, quota: Quota, lane: Lane) -> None:
        """Wait until a call is allowed. Raises QuotaWaitTooLong if the wait is, or would be, longer than PATIENCE.

        Calls of a service without a rate are allowed immediately.
        """
        if quota.service in self._rates:
            await self._bucket(quota).turn(lane)

    def throttled(self, quota: Quota) -> None:
        """Reduce the rate of a quota, if its service has one, because AWS has throttled a call."""
        if quota.service in self._rates:
            self._bucket(quota).slow_down()

    def _bucket(self, quota: Quota) -> "_TokenBucket":
        if quota not in self._buckets:
            rate = self._rates[quota.service]
            most = RATES_OF.get((quota.service, quota.operation), rate)
            self._buckets[quota] = _TokenBucket(self._clock, min(rate, most) / self._share)
        return self._buckets[quota]


class _TokenBucket:
    """One quota: a token bucket with a priority queue of callers. `rate` is in calls a second."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock, self._full_rate = clock, rate
        self._reduced_rate, self._reduced_at = rate, clock.now()
        self._tokens, self._filled_at = self._capacity(rate), clock.now()
        self._numbers = itertools.count()
        self._queue: list[_Entry] = []  # a heap, ordered by lane, then by arrival

    async def turn(self, lane: Lane) -> None:
        """Queue up and take one token. Raises QuotaWaitTooLong if the wait is, or would be, longer than PATIENCE."""
        self._refuse_long_wait(lane)
        entry = (lane, next(self._numbers), asyncio.Event())
        heapq.heappush(self._queue, entry)
        try:
            await self._take(entry, until=self._clock.epoch() + PATIENCE[lane])
        finally:
            self._queue.remove(entry)
            heapq.heapify(self._queue)
            if self._queue:
                self._queue[0][2].set()

    async def _take(self, entry: _Entry, *, until: float) -> None:
        """Wait for the entry's turn, and take a token. Raises QuotaWaitTooLong if others still go first at `until`."""
        is_first = entry[2]
        while True:
            if self._queue[0] is not entry:
                is_first.clear()
                if not await first_of(is_first.wait(), self._clock.sleep(until - self._clock.epoch())):
                    raise QuotaWaitTooLong
            elif (pause := self._seconds_until(1)) > _ALMOST_ZERO:
                await self._clock.sleep(pause)
            else:
                self._tokens -= 1
                return

    def slow_down(self) -> None:
        """Halve the rate, but not below SLOWEST; once for all calls that were throttled within ONE_THROTTLING."""
        now = self._clock.now()
        self._fill(now)
        rate = self._rate(now)
        self._tokens = min(self._tokens, 0.0)
        if rate == self._full_rate or now - self._reduced_at >= ONE_THROTTLING:
            self._reduced_rate, self._reduced_at = max(rate / 2, min(SLOWEST, self._full_rate)), now

    def _refuse_long_wait(self, lane: Lane) -> None:
        ahead = sum(each[0] <= lane for each in self._queue)
        if self._seconds_until(ahead + 1) > PATIENCE[lane]:
            raise QuotaWaitTooLong

    def _seconds_until(self, calls: int) -> float:
        now = self._clock.now()
        self._fill(now)
        return (calls - self._tokens) / self._rate(now)

    def _fill(self, now: datetime) -> None:
        self._reduced_at = min(self._reduced_at, now)  # if the clock was set back, the rate counts as reduced just now
        rate = self._rate(now)
        gained = max(0.0, (now - self._filled_at).total_seconds()) * rate
        self._tokens, self._filled_at = min(self._capacity(rate), self._tokens + gained), now

    def _rate(self, now: datetime) -> float:
        doublings = min((now - self._reduced_at).total_seconds() / RECOVERY, 10.0)
        return min(self._full_rate, self._reduced_rate * math.exp2(doublings))

    @staticmethod
    def _capacity(rate: float) -> float:
        return max(1.0, rate - ROOM)
