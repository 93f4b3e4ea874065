"""Calls to AWS as the rest of this room makes them: paced, in threads of their lane, in the right role's session.

Every lane has threads of its own, so that long polls never starve short calls and clicks never starve behind sweeps.
Must not know what any operation means.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Final

import structlog
from cachetools import TLRUCache

from bot.aws.calls.call_counts import CallCounts
from bot.aws.calls.circuit_breaker import CircuitBreaker
from bot.aws.calls.rate_limit import RATES, Lane, Quota, QuotaWaitTooLong, RateLimiter
from bot.boto.failures import CallFailed, Failure
from bot.boto.fields import mapping, moment, rows, text
from bot.boto.sdk import Answer, Call, Credentials, Sdk
from bot.ports.aws import RoleSession
from bot.ports.clock import Clock
from bot.telemetry import Telemetry

THREADS: Final[Mapping[Lane, int]] = MappingProxyType(
    {Lane.SIGNAL: 24, Lane.CLICK: 16, Lane.LOOK: 16, Lane.SWEEP: 32, Lane.POLL: 2}
)  # of signals: 3 a second, each of which may take 7 seconds
SESSION_LIFE = timedelta(hours=1)  # what AssumeRole gives unless asked, and the most for a role assumed by a role
SESSION_MARGIN = timedelta(minutes=5)  # clocks differ, and a call takes time
SESSIONS_KEPT = 1000  # people times roles; who is dropped costs one AssumeRole
OWN = "own"  # stands for the bot's own account where that need not be known
READER_SESSION = "node-access-bot"  # how CloudTrail names the product's reads
MAX_PAGES = 400  # of 50 rows; a list that goes on longer repeats itself
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
    """Calls AWS.

    `reader_roles`: the ARN of the role in which an account is read; without one it must be the bot's own account.
    `external_id`: told when one of these is assumed.
    `rates`: calls a second of one operation, account and Region, by service.
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
    ) -> None:
        self._region = region
        self._readers = {
            account: RoleSession(role, READER_SESSION, external_id=external_id)
            for account, role in reader_roles.items()
        }
        self._counts = CallCounts(telemetry.aws_calls)
        self._hanging = CircuitBreaker()
        self._pacer, self._sdk = RateLimiter(clock=clock, rates=rates), Sdk()
        self._pools = {lane: ThreadPoolExecutor(size, f"aws-{lane.name.lower()}") for lane, size in THREADS.items()}
        self._clock = clock
        self._sessions: TLRUCache[RoleSession, Credentials] = TLRUCache(
            SESSIONS_KEPT, ttu=_usable_until, timer=clock.epoch
        )
        self._own_account: str | None = None
        self._sending = 0

    async def read(self, place: Place, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """Make a call that changes nothing, again where that may help and nobody waits; raise CallFailed."""
        call = Call(service, place.region, operation, params)
        return await _repeated(partial(self._read, place, call, lane), lane)

    async def read_all(
        self, place: Place, service: str, operation: str, lane: Lane, *, member: str, **params: object
    ) -> list[Answer]:
        """Read every page of a list and return the rows that stand in `member`; raise CallFailed."""
        found: list[Answer] = []
        for _ in range(MAX_PAGES):
            answer = await self.read(place, service, operation, lane, **params)
            found += rows(answer.get(member))
            token = text(answer.get("NextToken"))
            if token is None:
                return found
            params["NextToken"] = token
        raise CallFailed("EndlessPages", Failure.NO_ANSWER)

    async def own_read(self, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """As `read`, with the bot's own credentials in its own Region, whichever account those are of."""
        place, call = Place(OWN, self._region), Call(service, self._region, operation, params)
        return await _repeated(partial(self._paced, place, call, lane, self._sdk.call, None), lane)

    async def own(self, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """Make a call once with the bot's own credentials in its own Region; raise CallFailed."""
        return await self.own_in(self._region, service, operation, lane, **params)

    async def own_in(self, region: str, service: str, operation: str, lane: Lane, **params: object) -> Answer:
        """Make a call once with the bot's own credentials in some Region; raise CallFailed."""
        return await self._in_thread(lane, self._sdk.call, Call(service, region, operation, params), None)

    async def own_account(self, lane: Lane = Lane.LOOK) -> str:
        """Return the account of the bot's own credentials; raise CallFailed."""
        if self._own_account is None:
            answer = await self.own("sts", "get_caller_identity", lane)
            self._own_account = text(answer.get("Account"))
        if self._own_account is None:
            raise CallFailed("NoAccountInAnswer", Failure.NO_ANSWER)
        return self._own_account

    async def turn(self, place: Place, service: str, operation: str, lane: Lane) -> None:
        """Wait for one's turn in the quota of an operation; raise CallFailed where that would take too long."""
        try:
            await self._pacer.turn(Quota(place.account, place.region, service, operation), lane)
        except QuotaWaitTooLong:
            raise CallFailed("QuotaUsedUp", Failure.THROTTLED) from None

    async def send(self, place: Place, operation: str, credentials: Credentials | None, **params: object) -> None:
        """Make a call to SSM that changes something, at once and once, for a person, whose `turn` it is.

        Raises CallFailed; NOT_SENT too where no thread is free: what waits for one would leave when nobody expects it.
        """
        if self._sending >= THREADS[Lane.SIGNAL]:
            raise CallFailed("NoThreadFree", Failure.NOT_SENT)
        self._sending += 1
        try:
            call = Call("ssm", place.region, operation, params)
            await self._heeded(place, call, Lane.SIGNAL, self._sdk.call_once, credentials)
        finally:
            self._sending -= 1

    async def session(self, wanted: RoleSession, lane: Lane) -> Credentials:
        """Return the credentials of a session, assuming the role if none is at hand; raise CallFailed."""
        found = self._sessions.get(wanted)
        if found is None:
            found = await self._assume(wanted, lane)
            self._sessions[wanted] = found
        return found

    @property
    def kept_own_account(self) -> str | None:
        """The account of the bot's own credentials, without asking AWS for it."""
        return self._own_account

    def kept_session(self, wanted: RoleSession) -> Credentials | None:
        """Return the credentials that are at hand, without asking AWS for any."""
        return self._sessions.get(wanted)

    def forget_session(self, wanted: RoleSession) -> None:
        """Assume the role anew next time."""
        self._sessions.pop(wanted, None)

    async def close(self) -> None:
        """Wait for the calls under way, at most as long as their time-outs, and close every connection."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools.values():
            await asyncio.to_thread(pool.shutdown, wait=True)
        self._sdk.close()

    # --- one call

    async def _read(self, place: Place, call: Call, lane: Lane) -> Answer:
        reader = self._readers.get(place.account)
        if reader is None:
            await self._refuse_foreign(place.account, lane)
            return await self._paced(place, call, lane, self._sdk.call, None)
        credentials = await self.session(reader, lane)
        try:
            return await self._paced(place, call, lane, self._sdk.call, credentials)
        except CallFailed as failed:
            if failed.failure is Failure.EXPIRED:
                self.forget_session(reader)
            raise

    async def _refuse_foreign(self, account: str, lane: Lane) -> None:
        """Refuse to read an account with the credentials of another one, whose requests would be shown as its own."""
        if await self.own_account(lane) != account:
            raise CallFailed("NoReaderRole", Failure.DENIED)

    async def _paced(
        self, place: Place, call: Call, lane: Lane, make: _Maker, credentials: Credentials | None
    ) -> Answer:
        await self.turn(place, call.service, call.operation, lane)
        if lane is Lane.CLICK:  # a person waits, and may press again
            return await self._heeded(place, call, lane, make, credentials)
        with self._hanging.asked(Quota(place.account, place.region, call.service, call.operation)):
            return await self._heeded(place, call, lane, make, credentials)

    async def _heeded(
        self, place: Place, call: Call, lane: Lane, make: _Maker, credentials: Credentials | None
    ) -> Answer:
        """Make a call; slow down where AWS asks for patience."""
        try:
            return await self._in_thread(lane, make, call, credentials)
        except CallFailed as failed:
            if failed.failure is Failure.THROTTLED:
                self._pacer.throttled(Quota(place.account, place.region, call.service, call.operation))
                log.warning("aws_throttled", operation=call.operation, account=place.account, region=place.region)
            raise

    async def _assume(self, wanted: RoleSession, lane: Lane) -> Credentials:
        try:
            answer = await self.own("sts", "assume_role", lane, **_parameters(wanted))
        except CallFailed as failed:
            log.warning("role_not_assumed", role=wanted.role, code=failed.code)
            raise
        given = mapping(answer.get("Credentials"))
        key, secret, token = (text(given.get(each)) for each in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        if key is None or secret is None or token is None:
            raise CallFailed("NoCredentialsInAnswer", Failure.NO_ANSWER)
        longest = self._clock.now() + SESSION_LIFE
        return Credentials(wanted, key, secret, token, min(moment(given.get("Expiration")) or longest, longest))

    async def _in_thread(self, lane: Lane, make: _Maker, call: Call, credentials: Credentials | None) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pools[lane], partial(self._made, make, call, credentials))

    def _made(self, make: _Maker, call: Call, credentials: Credentials | None) -> Answer:
        with self._counts.counted(call.operation):
            return make(call, credentials)


async def _repeated(make: Callable[[], Awaitable[Answer]], lane: Lane) -> Answer:
    """Make a call that changes nothing, once more where that may help and nobody waits."""
    try:
        return await make()
    except CallFailed as failed:
        if lane is Lane.CLICK or failed.failure not in _WORTH_REPEATING:
            raise
    return await make()


def _usable_until(_wanted: RoleSession, credentials: Credentials, _now: float) -> float:
    return (credentials.expires_at - SESSION_MARGIN).timestamp()


def _parameters(wanted: RoleSession) -> dict[str, object]:
    """Return what AssumeRole takes. Nothing is sent that is not wanted: each needs a permission of its own."""
    found: dict[str, object] = {"RoleArn": wanted.role, "RoleSessionName": wanted.name}
    if wanted.source_identity:
        found["SourceIdentity"] = wanted.source_identity
    if wanted.external_id:
        found["ExternalId"] = wanted.external_id
    if wanted.tags:
        found["Tags"] = [{"Key": key, "Value": value} for key, value in wanted.tags]
    return found
