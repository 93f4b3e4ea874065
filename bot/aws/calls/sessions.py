"""Role sessions: assumes roles and caches their credentials until shortly before they expire.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cachetools import TLRUCache, TTLCache

from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, Failure, is_denied
from bot.boto.fields import mapping, moment, text
from bot.boto.sdk import Answer, Credentials
from bot.concurrency.single_flight import SingleFlight
from bot.ports.aws import RoleSession
from bot.ports.clock import Clock

SESSION_LIFE = timedelta(hours=1)  # the default of AssumeRole, and its maximum with role chaining
SESSION_MARGIN = timedelta(minutes=5)  # allows for clock differences and the duration of a call
SESSIONS_KEPT = 1000  # sessions: people times roles; one that is dropped costs another AssumeRole
NEW = timedelta(minutes=1)  # for this long, a session that was denied is not stale: its role lacks the permission
RENEWED_EVERY = timedelta(minutes=10)  # a session that is denied more often is not stale: its role lacks a permission
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Kept:
    """The credentials of a session, and what is known about them."""

    credentials: Credentials
    assumed_at: datetime
    worked: bool = False  # AWS has accepted a call with them
    stale: bool = False  # AWS denied a call with them, and may accept it with others


class RoleSessions:
    """Credentials by role session. `sts` makes a call to STS, given operation, lane and parameters."""

    def __init__(self, sts: Callable[..., Awaitable[Answer]], *, clock: Clock) -> None:
        self._sts, self._clock = sts, clock
        self._kept: TLRUCache[RoleSession, _Kept] = TLRUCache(SESSIONS_KEPT, ttu=_usable_until, timer=clock.epoch)
        # the sessions that were stale lately; kept apart from their credentials, which are replaced
        self._renewed: TTLCache[RoleSession, None] = TTLCache(
            SESSIONS_KEPT, RENEWED_EVERY.total_seconds(), timer=clock.epoch
        )
        # one AssumeRole at a time for a person and role: a person may make many decisions at once
        self._assuming: SingleFlight[RoleSession, Lane, Credentials] = SingleFlight(self._assume)

    async def get(self, session: RoleSession, lane: Lane) -> Credentials:
        """Return the credentials of a session; assumes the role if none are cached. Raises CallFailed.

        Never returns stale ones.
        """
        found = self.cached(session)
        return found or await self._assuming.join(session, lane)

    async def get_or_stale(self, session: RoleSession, lane: Lane) -> Credentials:
        """Like `get`, but return stale credentials if no others can be had: AWS may deny a single operation only."""
        try:
            return await self.get(session, lane)
        except CallFailed:
            if kept := self._kept.get(session):
                return kept.credentials
            raise

    async def assume(self, session: RoleSession, lane: Lane) -> Credentials:
        """Assume the role of a session, even if credentials are cached. If this fails, the cached ones stay.

        Raises CallFailed.
        """
        return await self._assuming.join(session, lane)

    def cached(self, session: RoleSession) -> Credentials | None:
        """Return the cached credentials of a session, or None if there are none or they are stale. Never calls AWS."""
        kept = self._kept.get(session)
        return kept.credentials if kept and not kept.stale else None

    def accepted(self, session: RoleSession) -> None:
        """Note that AWS has accepted a call of a session."""
        if kept := self._kept.get(session):
            kept.worked = True

    def renew_if_stale(self, denied: Credentials) -> bool:
        """Mark credentials that AWS denied as stale, and return True, if others of the session may be accepted.

        The stale ones are kept until there are others.

        Credentials stay denied if their role is deleted and made again, or if its sessions are revoked. Those that were
        just assumed, or that replaced denied ones lately, are not stale: the role lacks the permission. That AWS has
        accepted other calls with them does not matter, because a role may lack a single permission.
        """
        session = denied.session
        kept = self._kept.get(session)
        if kept is None or kept.stale or kept.credentials is not denied:
            return True  # another call has found that, or has renewed them meanwhile
        if session in self._renewed or not (kept.worked or self._clock.now() - kept.assumed_at > NEW):
            return False
        log.info("session_stale", role=session.role)
        kept.stale = True
        self._renewed[session] = None
        return True

    def is_stale(self, used: Credentials, failed: CallFailed) -> bool:
        """Drop credentials that expired or were denied: the role may have been changed since it was assumed.

        Return True if AWS itself denied stale ones. Then the call had no effect, and may be accepted with others.
        """
        if is_denied(failed) and self.renew_if_stale(used):
            return True
        if failed.failure in {Failure.EXPIRED, Failure.DENIED}:
            self.forget(used.session)
        return False

    def forget(self, session: RoleSession) -> None:
        """Drop the credentials of a session, so that the next call assumes the role again."""
        self._kept.pop(session, None)

    async def _assume(self, session: RoleSession, lane: Lane) -> Credentials:
        try:
            answer = await self._sts("assume_role", lane, **_parameters(session))
        except CallFailed as failed:
            log.warning("role_not_assumed", role=session.role, code=failed.code)
            raise
        given = mapping(answer.get("Credentials"))
        key, secret, token = (text(given.get(each)) for each in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        if key is None or secret is None or token is None:
            raise CallFailed("NoCredentialsInAnswer", Failure.NO_ANSWER)
        latest = self._clock.now() + SESSION_LIFE
        expires_at = min(moment(given.get("Expiration")) or latest, latest)
        credentials = Credentials(session, key, secret, token, expires_at)
        self._kept[session] = _Kept(credentials, self._clock.now())
        return credentials


def _usable_until(_session: RoleSession, kept: _Kept, _now: float) -> float:
    return (kept.credentials.expires_at - SESSION_MARGIN).timestamp()


def _parameters(session: RoleSession) -> dict[str, object]:
    """Return the parameters of AssumeRole. Optional ones are left out, because each needs a permission."""
    found: dict[str, object] = {"RoleArn": session.role, "RoleSessionName": session.name}
    if session.source_identity:
        found["SourceIdentity"] = session.source_identity
    if session.external_id:
        found["ExternalId"] = session.external_id
    if session.tags:
        found["Tags"] = [{"Key": key, "Value": value} for key, value in session.tags]
    return found
