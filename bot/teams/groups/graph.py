"""Reads the members of a group from Microsoft Graph, page by page.

The only module that sends the token for Graph. Of all permissions, the call needs GroupMember.Read.All alone.
https://learn.microsoft.com/graph/api/group-list-transitivemembers
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import aiohttp
import structlog
from pydantic import SecretStr
from yarl import URL

from bot.ports.clock import Clock
from bot.ports.teams import GroupProblem, GroupUnavailable
from bot.teams.login.credentials import AppCredentials
from bot.teams.net.addresses import AddressRefused, checked
from bot.teams.net.session import OversizedAnswer, as_object, read_bounded
from bot.teams.wire.errors import LONGEST_CODE, ConnectorError, ConnectorRefused, error_code, retry_after
from bot.teams.wire.group_page import GroupPage, group_problem, read_group_page

MOST_PAGES: Final = 5
PAGE_SIZE: Final = 999
"""The most that Graph documents for lists of groups; for lists of members, it is assumed."""
CALL_TIMEOUT: Final = aiohttp.ClientTimeout(total=6, sock_connect=3)  # seconds
RENEWED_EVERY: Final = 60.0  # seconds between two new tokens while consent is missing

log = structlog.get_logger(__name__)


class GraphThrottled(GroupUnavailable):
    """Graph demands a pause: `retry_after` is its length in seconds."""

    def __init__(self, seconds: float, detail: str) -> None:
        super().__init__(GroupProblem.UNAVAILABLE, detail)
        self.retry_after = seconds


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes


class Graph:
    """Reads groups at `url`, the origin of Microsoft Graph. Raises AddressRefused unless it is https or loopback."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, credentials: AppCredentials, clock: Clock) -> None:
        checked(url)
        self._origin = URL(url).origin()
        self._session, self._credentials, self._clock = session, credentials, clock
        self._renewed_at = float("-inf")

    async def members(self, group: str) -> frozenset[str]:
        """Return the object ids of all people in a group and the groups in it; never none. Raises GroupUnavailable."""
        people: set[str] = set()
        address: URL | None = self._first_page(group)
        for _ in range(MOST_PAGES):
            if address is None:
                break
            page = await self._page(address)
            people |= page.people
            address = self._checked(page.next_link)
        if address is not None:
            raise GroupUnavailable(GroupProblem.TOO_LARGE)
        return _without_nobody(frozenset(people))

    def _first_page(self, group: str) -> URL:
        path = f"/v1.0/groups/{quote(group, safe='')}/transitiveMembers?$select=id&$top={PAGE_SIZE}"
        return URL(f"{self._origin}{path}", encoded=True)

    def _checked(self, link: str | None) -> URL | None:
        """Return the address of the next page; None on the last. The token goes to the configured origin only."""
        if link is None:
            return None
        if not _same_origin(link, self._origin):
            log.warning("graph_page_refused")
            raise GroupUnavailable(GroupProblem.REFUSED, "foreign_next_page")
        return URL(link, encoded=True)

    async def _page(self, address: URL) -> GroupPage:
        answer = await self._authorized(address)
        if answer.status != 200:
            raise self._refusal(answer)
        try:
            return read_group_page(as_object(answer.raw))
        except ValueError as error:
            raise GroupUnavailable(GroupProblem.UNAVAILABLE, "unreadable_answer") from error

    async def _authorized(self, address: URL) -> _Answer:
        """Return the answer to a call with the current token; with a new one if Graph does not accept that token."""
        token = await self._token()
        answer = await self._exchange(address, token)
        if answer.status == 401:
            self._credentials.forget(token)
            token = await self._token()
            answer = await self._exchange(address, token)
        if group_problem(answer.status, error_code(answer.raw)) is GroupProblem.CONSENT_MISSING:
            self._renew_later(token)
        return answer

    def _renew_later(self, token: SecretStr) -> None:
        """Drop a token without the permission, at most once a minute: after the consent, only a new one has it."""
        now = self._clock.epoch()
        if not 0 <= now - self._renewed_at < RENEWED_EVERY:
            self._renewed_at = now
            self._credentials.forget(token)

    async def _token(self) -> SecretStr:
        try:
            return await self._credentials.bearer()
        except ConnectorError as error:
            lasting = isinstance(error, ConnectorRefused)
            problem = GroupProblem.REFUSED if lasting else GroupProblem.UNAVAILABLE
            raise GroupUnavailable(problem, error.error_code) from error

    async def _exchange(self, address: URL, token: SecretStr) -> _Answer:
        try:
            async with self._session.get(
                address,
                headers={"Authorization": f"Bearer {token.get_secret_value()}"},
                allow_redirects=False,
                timeout=CALL_TIMEOUT,
            ) as answer:
                return _Answer(answer.status, answer.headers, await read_bounded(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, OversizedAnswer) as error:
            raise GroupUnavailable(GroupProblem.UNAVAILABLE, type(error).__name__[:LONGEST_CODE]) from error

    def _refusal(self, answer: _Answer) -> GroupUnavailable:
        code = error_code(answer.raw)
        problem = group_problem(answer.status, code)
        pause = retry_after(answer.headers.get("Retry-After"), now=self._clock.now())
        if problem is GroupProblem.UNAVAILABLE and pause is not None:
            return GraphThrottled(pause, code or f"http_{answer.status}")
        return GroupUnavailable(problem, code or f"http_{answer.status}")


def _same_origin(link: str, origin: URL) -> bool:
    try:
        checked(link)
        return URL(link, encoded=True).origin() == origin
    except (AddressRefused, ValueError):
        return False


def _without_nobody(people: frozenset[str]) -> frozenset[str]:
    """Return the people. Raises GroupUnavailable if there are none: Graph also answers so if they are hidden."""
    if not people:
        raise GroupUnavailable(GroupProblem.EMPTY)
    return people
