"""Sessions on nodes behind the Sessions port, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.domain.request import AccessRequest, RequestKey
from bot.domain.sessions import Access, AccessType, ListedSession, access_of
from bot.ports.aws import AwsUnavailable

PAGE = 200  # sessions
TOKEN_ROLE = "arn:aws:sts::111122223333:assumed-role/SSM-JustInTimeAccessTokenRole"


class FakeSessions:
    """Keeps sessions, and what AWS lists of access. `calls` has a name for each page that was read."""

    def __init__(self) -> None:
        self.sessions: dict[str, ListedSession] = {}
        self.access: list[Access] = []  # of requests that no row has
        self.calls: list[str] = []
        self.failure: AwsUnavailable | None = None  # raised by every call
        self.unlisted: AwsUnavailable | None = None  # raised by the list of access
        self.requests: Mapping[RequestKey, AccessRequest] = {}  # those of AWS

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

    def _pass(self, call: str) -> None:
        self.calls.append(call)
        if self.failure:
            raise self.failure
