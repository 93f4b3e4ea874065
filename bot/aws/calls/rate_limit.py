"""Keeps calls within AWS's quotas, which are shared with everybody else in the account. Knows no AWS.

SSM allows 3 calls a second of an operation per account and Region. A quota's rate halves when AWS throttles, and
doubles again every RECOVERY. Clicks go before looks, looks before sweeps.
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

from bot.ports.clock import Clock


class Lane(IntEnum):
    """Who goes first."""

    SIGNAL = 0  # a person has decided; between the state check and the signal nothing may come
    CLICK = 1  # a person waits
    LOOK = 2  # a card waits
    SWEEP = 3  # nobody waits
    POLL = 4  # the queue; it has no quota, but threads of its own


RATES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "ssm": 3.0,  # calls a second of one operation; published for automation, the safe guess for OpsItems
        "ec2": 10.0,  # DescribeInstances refills 20 a second for a whole account, others' consoles included
        "identitystore": 5.0,  # as below: nothing is published for it alone
        "sso-admin": 5.0,  # 20 a second of all operations of IAM Identity Center, shared by the whole organization
    }
)
RATES_OF: Final[Mapping[tuple[str, str], float]] = MappingProxyType(
    {("ssm", "stop_automation_execution"): 1.0}
)  # calls a second of what AWS allows less of than of the service's other operations
PATIENCE: Final[Mapping[Lane, float]] = MappingProxyType(
    {
        Lane.SIGNAL: 8.0,  # seconds; with assuming the role 15, and then comes the state check
        # The state check: with connecting and reading 20, within the 25 for which a claim is held. A reader role to be
        # assumed (7), or more steps to be read, make it longer: another worker may go on then, and one signal leaves.
        Lane.CLICK: 8.0,
        Lane.LOOK: 5.0,  # a look makes some such calls one after the other, and its lease is renewed meanwhile
        Lane.SWEEP: 120.0,
        Lane.POLL: 120.0,
    }
)
ROOM = 1  # call less than the rate at once: others, and jitter on the way, need some
RECOVERY = 15.0  # seconds in which a slowed rate doubles
SLOWEST = 0.2  # calls a second; below this nothing would ever be read
ONE_THROTTLING = timedelta(seconds=1)  # several calls that were throttled at once tell one thing
_ALMOST = 1e-6  # of a call or a second: what floating point makes of none


class QuotaWaitTooLong(Exception):
    """The queue before a quota is longer than the caller can wait; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What AWS counts together."""

    account: str
    region: str
    service: str
    operation: str


class RateLimiter:
    """All quotas. `rates`: calls a second of one operation, by service; one that is not there is not paced.

    Operations of RATES_OF have no more than that.
    """

    def __init__(self, *, clock: Clock, rates: Mapping[str, float] = RATES) -> None:
        self._clock, self._rates = clock, rates
        self._buckets: dict[Quota, _Bucket] = {}

    async def turn(self, quota: Quota, lane: Lane) -> None:
        """Wait for one's turn; raise Impatient instead of waiting for longer than the lane has patience."""
        if quota.service in self._rates:
            await self._bucket(quota).turn(lane)

    def throttled(self, quota: Quota) -> None:
        """Slow down."""
        if quota.service in self._rates:
            self._bucket(quota).slow_down()

    def _bucket(self, quota: Quota) -> "_Bucket":
        if quota not in self._buckets:
            rate = self._rates[quota.service]
            most = RATES_OF.get((quota.service, quota.operation), rate)
            self._buckets[quota] = _Bucket(self._clock, min(rate, most))
        return self._buckets[quota]


class _Bucket:
    """One quota: calls in store, and who waits for the next."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock, self._full_rate = clock, rate
        self._slowed_to, self._slowed_at = rate, clock.now()
        self._in_store, self._filled_at = self._most(rate), clock.now()
        self._numbers = itertools.count()
        self._line: list[tuple[Lane, int, asyncio.Event]] = []  # a heap: lane first, then who came first

    async def turn(self, lane: Lane) -> None:
        """Stand in line and take one call."""
        self._refuse_impatient(lane)
        place = (lane, next(self._numbers), asyncio.Event())
        heapq.heappush(self._line, place)
        try:
            await self._take(place)
        finally:
            self._line.remove(place)
            heapq.heapify(self._line)
            if self._line:
                self._line[0][2].set()

    async def _take(self, place: tuple[Lane, int, asyncio.Event]) -> None:
        came_first = place[2]
        while True:
            if self._line[0] is not place:
                came_first.clear()
                await came_first.wait()
            elif (pause := self._seconds_until(1)) > _ALMOST:
                await self._clock.sleep(pause)
            else:
                self._in_store -= 1
                return

    def slow_down(self) -> None:
        """Halve the rate, once for what was throttled at one time."""
        now = self._clock.now()
        self._fill(now)
        rate = self._rate(now)
        self._in_store = min(self._in_store, 0.0)
        if rate == self._full_rate or now - self._slowed_at >= ONE_THROTTLING:
            self._slowed_to, self._slowed_at = max(rate / 2, min(SLOWEST, self._full_rate)), now

    def _refuse_impatient(self, lane: Lane) -> None:
        ahead = sum(each[0] <= lane for each in self._line)
        if self._seconds_until(ahead + 1) > PATIENCE[lane]:
            raise QuotaWaitTooLong

    def _seconds_until(self, calls: int) -> float:
        now = self._clock.now()
        self._fill(now)
        return (calls - self._in_store) / self._rate(now)

    def _fill(self, now: datetime) -> None:
        self._slowed_at = min(self._slowed_at, now)  # a clock that was set back: as if it had been slowed just now
        rate = self._rate(now)
        gained = max(0.0, (now - self._filled_at).total_seconds()) * rate
        self._in_store, self._filled_at = min(self._most(rate), self._in_store + gained), now

    def _rate(self, now: datetime) -> float:
        doublings = min((now - self._slowed_at).total_seconds() / RECOVERY, 10.0)
        return min(self._full_rate, self._slowed_to * math.exp2(doublings))

    @staticmethod
    def _most(rate: float) -> float:
        return max(1.0, rate - ROOM)
