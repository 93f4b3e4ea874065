"""Calls to AWS: rate-limited, each lane in its own threads, in the session of the right role.

Each lane has its own threads, so that long polls do not block short calls and sweeps do not block clicks.
It must not know what an operation means.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, Self

import structlog
from prometheus_client import Counter

from bot.aws.calls.circuit_breaker import CircuitBreaker
from bot.aws.calls.rate_limit import RATES, Lane, Quota, QuotaWaitTooLong, RateLimiter
from bot.aws.calls.sessions import RoleSessions
from bot.boto.failures import CallFailed, Failure, is_denied
from bot.boto.fields import rows, text
from bot.boto.sdk import Answer, Call, Credentials, Sdk
from bot.concurrency.turns import in_turns
from bot.ports.aws import READER_SESSION, RoleSession
from bot.ports.clock import Clock
from bot.telemetry import Telemetry

THREADS: Final[Mapping[Lane, int]] = MappingProxyType(
    {
        Lane.SIGNAL: 24,  # SSM allows 3 signals a second, and each may take 7 seconds
        Lane.CLICK: 16,
        Lane.RECONCILE: 16,
        Lane.SWEEP: 32,
        Lane.POLL: 2,
        Lane.CONFIGURATION: 1,  # a removed approver is out soon, however many reconciliations wait for AWS
    }
)
OWN = "own"  # placeholder for the bot's own account where its id is not needed
MAX_PAGES = 400  # pages of 50 rows; a longer list is probably an endless repetition
# error codes that are counted separately; they come from outside, and each adds a time series per operation
MAX_CODES = 100
LONGEST_CODE = 80  # characters of an error code
OTHER = "other"  # result of a call: a code beyond MAX_CODES, or an unexpected exception
_WORTH_REPEATING: Final = frozenset(
    {Failure.NOT_SENT, Failure.NOT_CONFIGURED, Failure.THROTTLED, Failure.EXPIRED, Failure.NO_ANSWER}
)
log = structlog.get_logger(__name__)

_Maker = Callable[[Call, Credentials | None], Answer]


@dataclass(frozen=True, slots=True)
class Place:
    """An account and a Region."""

    account: str
    region: str


class Clients:
    """Calls AWS. Use `async with`: leaving it waits for running calls and closes all connections.

    `reader_roles` has, by account, the ARN of the role that reads it; an account without one must be the bot's own.
    `external_id` is passed when a reader role is assumed. `rates` has, by service, the calls a second of one operation,
    account and Region; `share` replicas share them.
    """

    def __init__(
        self,
        *,
        region: str,
        clock: Clock,
        telemetry: Telemetry,
        reader_roles: Mapping[str, str] = MappingProxyType({}),
        external_id: str | None = None,
        rates: Mapping[str, float] = RATES,
        share: int = 1,
    ) -> None:
        self._region = region
        self._readers = {
            account: RoleSession(role, READER_SESSION, external_id=external_id)
            for account, role in reader_roles.items()
        }
        self._counts = _CallCounts(telemetry.aws_calls)
        self._breaker, self._limiter = CircuitBreaker(), RateLimiter(clock=clock, rates=rates, share=share)
        self._sdk = Sdk()
        self._pools = {lane: ThreadPoolExecutor(size, f"aws-{lane.name.lower()}") for lane, size in THREADS.items()}
        self._own_account: str | None = None
        self._sending = 0
        self.sessions = RoleSessions(partial(self.own, "sts"), clock=clock)

    async def __aenter__(self) -> Self:
        """Return this object. Clients and threads are created at the first call."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drop waiting calls, wait for running ones (at most their time-outs), and close all connections."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools.values():
            await asyncio.to_thread(pool.shutdown, wait=True)
        self._sdk.close()

    async def read(self, place: Place, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """Make a call that changes nothing, in the account's reader role or with the bot's own credentials.

        If it fails, repeat it once if that may help and no click waits. Raises CallFailed.
        """
        call = Call(service, place.region, operation, params)
        return await _repeated(partial(self._read, place, call, lane), lane)

    async def read_all(
        self, place: Place, service: str, operation: str, lane: Lane, *, member: str, **params: object
    ) -> list[Answer]:
        """Read all pages of a list and return the rows in `member`. Raises CallFailed."""
        return [row async for row in self.rows(place, service, operation, lane, member=member, **params)]

    def rows(
        self, place: Place, service: str, operation: str, lane: Lane, *, member: str, **params: object
    ) -> AsyncIterator[Answer]:
        """Yield the rows that `read_all` returns, but read each page only when its rows are needed.

        Iterating raises CallFailed.
        """
        return self.rows_within(place, service, operation, lane, member=member, pages=MAX_PAGES, params=params)

    def rows_within(
        self,
        place: Place,
        service: str,
        operation: str,
        lane: Lane,
        *,
        member: str,
        pages: int,
        params: Mapping[str, object],
    ) -> AsyncIterator[Answer]:
        """Like `rows`, but raise CallFailed after `pages` pages."""
        return _rows(partial(self.read, place, service, operation, lane), member, params, pages=pages)

    async def own_read(self, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """Like `read`, with the bot's own credentials in its own Region."""
        place, call = Place(OWN, self._region), Call(service, self._region, operation, params)
        return await _repeated(partial(self._limited, place, call, lane, None), lane)

    async def own_read_all(
        self, service: str, operation: str, lane: Lane, *, member: str, pages: int, **params: object
    ) -> list[Answer]:
        """Like `read_all`, with the bot's own credentials in its own Region, and at most `pages` pages."""
        read = partial(self.own_read, service, operation, lane)
        return [row async for row in _rows(read, member, params, pages=pages)]

    async def own(self, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """Make a call with the bot's own credentials in its own Region, without a rate limit.

        It is repeated only with new credentials, if AWS refuses the old ones.

        Raises CallFailed.
        """
        return await self.own_in(self._region, service, operation, lane, **params)

    async def own_in(self, region: str, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """Like `own`, in the given Region."""
        return await self._in_thread(lane, self._sdk.call, Call(service, region, operation, params), None)

    async def own_account(self, lane: Lane = Lane.RECONCILE) -> str:
        """Return the account of the bot's own credentials. Raises CallFailed."""
        if self._own_account is None:
            answer = await self.own("sts", "get_caller_identity", lane)
            self._own_account = text(answer.get("Account"))
        if self._own_account is None:
            raise CallFailed("NoAccountInAnswer", Failure.NO_ANSWER)
        return self._own_account

    @property
    def cached_own_account(self) -> str | None:
        """The account of the bot's own credentials; None until AWS has returned it."""
        return self._own_account

    async def turn(self, place: Place, service: str, operation: str, lane: Lane) -> None:
        """Wait until the quota allows a call of an operation. Raises CallFailed if the wait would be too long."""
        try:
            await self._limiter.turn(Quota(place.account, place.region, service, operation), lane)
        except QuotaWaitTooLong:
            raise CallFailed("QuotaUsedUp", Failure.THROTTLED) from None

    async def send(self, place: Place, operation: str, credentials: Credentials | None, **params: object) -> None:
        """Send a call that changes something in SSM: once, immediately, after the caller has awaited `turn`.

        Raises CallFailed; NOT_SENT if no thread is free, because a call that waits for one would be sent at an
        unexpected time.
        """
        if self._sending >= THREADS[Lane.SIGNAL]:
            raise CallFailed("NoThreadFree", Failure.NOT_SENT)
        self._sending += 1
        try:
            call = Call("ssm", place.region, operation, params)
            await self._call(place, call, Lane.SIGNAL, self._sdk.call_once, credentials)
        finally:
            self._sending -= 1

    # --- one call

    async def _read(self, place: Place, call: Call, lane: Lane) -> Answer:
        reader = self._readers.get(place.account)
        if reader is None:
            await self._refuse_foreign(place.account, lane)
            return await self._limited(place, call, lane, None)
        credentials = await self.sessions.get_or_stale(reader, lane)
        try:
            answer = await self._limited(place, call, lane, credentials)
        except CallFailed as failed:
            if failed.failure is Failure.EXPIRED:
                self.sessions.forget(reader)
            elif is_denied(failed):
                self.sessions.renew_if_stale(credentials)  # for the next read
            raise
        self.sessions.accepted(reader)
        return answer

    async def _refuse_foreign(self, account: str, lane: Lane) -> None:
        """Raise CallFailed unless the account is the bot's own: the bot's credentials read only that account."""
        if await self.own_account(lane) != account:
            raise CallFailed("NoReaderRole", Failure.DENIED)

    async def _limited(self, place: Place, call: Call, lane: Lane, credentials: Credentials | None) -> Answer:
        """Make a call once the rate limit allows it, unless the circuit breaker refuses it. Raises CallFailed."""
        await self.turn(place, call.service, call.operation, lane)
        # no circuit breaker for clicks: a person waits and may click again
        with nullcontext() if lane is Lane.CLICK else self._breaker.guard(_quota(place, call)):
            return await self._call(place, call, lane, self._sdk.call, credentials)

    async def _call(
        self, place: Place, call: Call, lane: Lane, make: _Maker, credentials: Credentials | None
    ) -> Answer:
        """Make a call; slow down if AWS throttles it. Raises CallFailed."""
        try:
            return await self._in_thread(lane, make, call, credentials)
        except CallFailed as failed:
            if failed.failure is Failure.THROTTLED:
                self._limiter.throttled(_quota(place, call))
                log.warning("aws_throttled", operation=call.operation, account=place.account, region=place.region)
            raise

    async def _in_thread(self, lane: Lane, make: _Maker, call: Call, credentials: Credentials | None) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pools[lane], partial(self._counted, make, call, credentials))

    def _counted(self, make: _Maker, call: Call, credentials: Credentials | None) -> Answer:
        with self._counts.counted(call.operation):
            return make(call, credentials)


def _quota(place: Place, call: Call) -> Quota:
    return Quota(place.account, place.region, call.service, call.operation)


async def _rows(
    read: Callable[..., Awaitable[Answer]], member: str, params: Mapping[str, object], *, pages: int
) -> AsyncIterator[Answer]:
    """Call `read` for each page of a list, and yield the rows in `member`. Raises CallFailed after `pages` pages.

    A page may be empty although another one follows.
    """
    token = dict[str, object]()
    for _ in range(pages):
        answer = await read(**params, **token)
        async for row in in_turns(rows(answer.get(member))):
            yield row
        following = text(answer.get("NextToken"))
        if following is None:
            return
        token = {"NextToken": following}
    raise CallFailed("EndlessPages", Failure.NO_ANSWER)


async def _repeated(make: Callable[[], Awaitable[Answer]], lane: Lane) -> Answer:
    """Return the answer of `make`, a reading call; repeat it once if that may help and no click waits.

    Raises CallFailed.
    """
    try:
        return await make()
    except CallFailed as failed:
        if lane is Lane.CLICK or failed.failure not in _WORTH_REPEATING:
            raise
    return await make()


class _CallCounts:
    """Counts calls by operation and result: `ok` or AWS's error code. Thread-safe."""

    def __init__(self, calls: Counter) -> None:
        self._calls = calls
        self._codes: set[str] = set()

    @contextmanager
    def counted(self, operation: str) -> Iterator[None]:
        """Count the call made in this context."""
        result = OTHER
        try:
            yield
            result = "ok"
        except CallFailed as failed:
            result = self._label(failed.code)
            raise
        finally:
            self._calls.labels(operation=operation, result=result).inc()

    def _label(self, code: str) -> str:
        code = code[:LONGEST_CODE]
        if code not in self._codes and len(self._codes) >= MAX_CODES:
            return OTHER
        self._codes.add(code)
        return code
