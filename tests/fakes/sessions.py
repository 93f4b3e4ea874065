"""Sessions on nodes behind the Sessions port, in memory."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.domain.access.sessions import Access, AccessType, ListedSession, access_of
from bot.domain.request import AccessRequest, RequestKey
from bot.ports.aws import AwsThrottled, AwsUnavailable, EndRefused, RoleSession
from bot.ports.clock import Clock
from bot.sandbox.aws.jit.assumptions import SessionEnd
from tests.fakes.clock import ManualClock

PAGE = 200  # sessions
TOKEN_ROLE = "arn:aws:sts::111122223333:assumed-role/SSM-JustInTimeAccessTokenRole"


class FakeSessions:
    """Keeps sessions, and what AWS lists of access. `calls` has a name for each page that was read, and each end."""

    def __init__(self) -> None:
        self.clock: Clock = ManualClock()  # replaced by the world's
        self.sessions: dict[str, ListedSession] = {}
        self.access: list[Access] = []  # of requests that no row has
        self.calls: list[str] = []
        self.failure: AwsUnavailable | None = None  # raised by every call
        self.unlisted: AwsUnavailable | None = None  # raised by the list of access
        self.requests: Mapping[RequestKey, AccessRequest] = {}  # those of AWS
        self.end_calls: list[
            tuple[str, RoleSession]
        ] = []  # the sessions that the bot asked AWS to end, and in whose role
        self.ends = SessionEnd.ENDS  # what AWS does when the bot ends a session
        self.ends_of: dict[str, SessionEnd] = {}  # the same for single sessions
        self.before_end: dict[str, list[BaseException]] = defaultdict(list)  # by session: raised before its end

    def copied(self, clock: Clock, requests: Mapping[RequestKey, AccessRequest]) -> "FakeSessions":
        """Return an independent copy on this clock, beside these requests."""
        other = FakeSessions()
        other.clock, other.requests, other.ends = clock, requests, self.ends
        other.sessions, other.access, other.end_calls = dict(self.sessions), list(self.access), list(self.end_calls)
        return other

    def open(self, node: str, at: datetime, *, owner: str = "", **more: Any) -> str:
        """Open a session, and return its id. `more` replaces fields of it."""
        name = f"session-{len(self.sessions)}"
        opened = ListedSession(name, node, True, owner, AccessType.JUST_IN_TIME, at)
        self.sessions[name] = replace(opened, **more)
        return name

    def close(self, name: str, at: datetime) -> None:
        """End a session."""
        self.sessions[name] = replace(self.sessions[name], open=False, ended_at=at)

    # --- the port

    async def active(self, account: str, region: str) -> Sequence[ListedSession]:
        """List the open sessions."""
        opened = [each for each in self.sessions.values() if each.open]
        for _ in range(0, max(1, len(opened)), PAGE):
            self._pass("active")
        return opened

    async def ended(self, account: str, region: str, since: datetime) -> Sequence[ListedSession]:
        """List the ended sessions that began after a moment."""
        self._pass("ended")
        ended = [each for each in self.sessions.values() if not each.open]
        return [each for each in ended if each.started_at is None or each.started_at > since]

    async def granted(self, account: str, region: str, since: datetime) -> Sequence[Access]:
        """List the access of all requests."""
        self._pass("granted")
        if self.unlisted:
            raise self.unlisted
        granted = filter(None, map(access_of, self.requests.values()))
        return [each for each in (*granted, *self.access) if each.ends >= since]

    async def prepare_end(self, key: RequestKey, session: RoleSession) -> None:
        """Assume the role."""
        self._pass("prepare_end")

    async def end(self, key: RequestKey, session_id: str, session: RoleSession) -> None:
        """Do what `ends` says. As in AWS, any session id is accepted, also that of a session that has ended."""
        self.end_calls.append((session_id, session))
        self._pass("end")
        if self.before_end[session_id]:
            raise self.before_end[session_id].pop(0)
        match self.ends_of.get(session_id, self.ends):
            case SessionEnd.DENIED:
                raise EndRefused("AccessDeniedException", denied=True)
            case SessionEnd.THROTTLED:
                raise AwsThrottled("ThrottlingException")
            case SessionEnd.ENDS if session_id in self.sessions and self.sessions[session_id].open:
                self.close(session_id, self.clock.now())

    def _pass(self, call: str) -> None:
        self.calls.append(call)
        if self.failure:
            raise self.failure
