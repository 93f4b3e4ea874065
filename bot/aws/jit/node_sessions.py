"""Lists sessions on nodes and ends them, and lists the access of all requests, of one account and Region.

A list is complete, or it fails: what is missing in it must be able to mean that nobody used an access.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeSessions.html
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_TerminateSession.html
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.assumptions import NO_SUCH_FILTER, SESSION_START_FILTER, SESSION_TYPE_FILTER, SESSION_TYPES
from bot.aws.jit.listing import after, ops_item_rows
from bot.aws.jit.ops_items import OpsItem, UnreadableOpsItem, parse_ops_item
from bot.boto.failures import CallFailed, Failure, is_denied, unavailable
from bot.boto.fields import moment, text
from bot.boto.sdk import Answer, Credentials
from bot.domain.access.sessions import EARLIEST, LATEST, LONGEST_ACCESS, Access, ListedSession, session_names
from bot.domain.request import InvalidRequestKey, RequestKey, Status
from bot.ports.aws import AwsUnavailable, EndingRoleRefused, EndRefused, RoleSession, SessionsDenied

PAGE = 200  # rows; the most that AWS returns
TERMINATE = "terminate_session"
MOST_PAGES = 50  # 10,000 sessions; more are not read
LONGEST_WAIT = timedelta(days=30)  # of a request for its decision
_GRANTED = frozenset({Status.APPROVED, Status.REVOKED})
log = structlog.get_logger(__name__)


class NodeSessions:
    """`ports.aws.Sessions`. Remembers where AWS does not know the filter for just-in-time access."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._without_filter: set[Place] = set()

    async def active(self, account: str, region: str) -> Sequence[ListedSession]:
        """List the sessions that are open. Raises SessionsDenied, AwsUnavailable."""
        return await self._listed(Place(account, region), "Active")

    async def ended(self, account: str, region: str, since: datetime) -> Sequence[ListedSession]:
        """List the sessions that have ended and began after `since`. Raises SessionsDenied, AwsUnavailable."""
        began = {"key": SESSION_START_FILTER, "value": _utc(since)}
        return await self._listed(Place(account, region), "History", began)

    async def granted(self, account: str, region: str, since: datetime) -> Sequence[Access]:
        """List the access of all requests that may run at `since` or later. Raises AwsUnavailable."""
        place, created = Place(account, region), since - LONGEST_ACCESS - LONGEST_WAIT
        rows = ops_item_rows(self._clients, place, after("CreatedTime", created))
        try:
            return [found async for row in rows if (found := granted_access(place, row)) and found.ends >= since]
        except CallFailed as failed:
            raise unavailable(failed) from failed

    async def prepare_end(self, key: RequestKey, session: RoleSession) -> None:
        """Assume the role and wait for the quota. Raises EndingRoleRefused, AwsUnavailable."""
        await self._credentials(key, session)
        try:
            await self._clients.turn(Place(key.account, key.region), "ssm", TERMINATE, Lane.RECONCILE)
        except CallFailed as failed:
            raise unavailable(failed) from failed

    async def end(self, key: RequestKey, session_id: str, session: RoleSession) -> None:
        """End a session, in a role of its account. Raises EndRefused, EndingRoleRefused, AwsUnavailable."""
        place, credentials = Place(key.account, key.region), await self._credentials(key, session)
        try:
            await self._clients.send(place, TERMINATE, credentials, SessionId=session_id)
        except CallFailed as failed:
            raise self._not_ended(credentials, failed) from failed
        self._clients.sessions.accepted(session)

    async def _credentials(self, key: RequestKey, session: RoleSession) -> Credentials:
        if session.account != key.account:
            raise EndingRoleRefused("RoleOfAnotherAccount", denied=True)
        try:
            return await self._clients.sessions.get(session, Lane.RECONCILE)
        except CallFailed as failed:
            raise _refusal(failed, EndingRoleRefused) from failed

    def _not_ended(self, credentials: Credentials, failed: CallFailed) -> EndRefused | AwsUnavailable:
        """Return the port's error. If AWS denied stale credentials, the next call assumes the role again."""
        is_stale = self._clients.sessions.is_stale(credentials, failed)
        return unavailable(failed) if is_stale else _refusal(failed, EndRefused)

    async def _listed(self, place: Place, state: str, *filters: Mapping[str, str]) -> Sequence[ListedSession]:
        try:
            if place in self._without_filter:
                return await self._rows(place, state, filters)
            try:
                return await self._rows(place, state, (SESSION_TYPE_FILTER, *filters))
            except CallFailed as failed:
                if failed.code != NO_SUCH_FILTER:
                    raise
                self._without_filter.add(place)
                return await self._rows(place, state, filters)
        except CallFailed as failed:
            raise SessionsDenied(failed.code) if is_denied(failed) else unavailable(failed) from failed

    async def _rows(self, place: Place, state: str, filters: Sequence[Mapping[str, str]]) -> Sequence[ListedSession]:
        params: dict[str, object] = {"State": state, "MaxResults": PAGE}
        if filters:
            params["Filters"] = list(filters)
        rows = self._clients.rows_within(
            place, "ssm", "describe_sessions", Lane.SWEEP, member="Sessions", pages=MOST_PAGES, params=params
        )
        return [listed_session(row, is_open=state == "Active") async for row in rows]


def _refusal(failed: CallFailed, refused: type[EndRefused]) -> EndRefused | AwsUnavailable:
    """Return `refused` for a call that AWS refused, and AwsUnavailable for any other, which may be repeated."""
    if failed.failure in {Failure.DENIED, Failure.REFUSED}:
        return refused(failed.code, denied=failed.failure is Failure.DENIED)
    return unavailable(failed)


def listed_session(row: Answer, *, is_open: bool) -> ListedSession:
    """Parse a row of DescribeSessions. Raises AwsUnavailable for a row without an id or a node."""
    session_id, node = text(row.get("SessionId")), text(row.get("Target"))
    if session_id is None or node is None:
        raise AwsUnavailable("SessionUnreadable")
    return ListedSession(
        id=session_id,
        node=node,
        open=is_open,
        owner=text(row.get("Owner")) or "",
        access_type=SESSION_TYPES.get(text(row.get("AccessType")) or ""),
        started_at=moment(row.get("StartDate")),
        ended_at=None if is_open else moment(row.get("EndDate")),
    )


def granted_access(place: Place, row: Answer) -> Access | None:
    """Return the access of a row of DescribeOpsItems; None if the row grants none, or is a copy of another request.

    What is not certain counts as access to any node, from the first moment to the last that is possible. People may set
    the status by hand, so a start or an end of access is enough.
    """
    try:
        key = RequestKey.parse(f"{place.account}/{place.region}/{row.get('OpsItemId')}")
        item = parse_ops_item(row, key)
    except InvalidRequestKey:
        return None
    except UnreadableOpsItem as problem:
        raise AwsUnavailable(problem.code) from problem
    if item.replica_of or not (item.has_window or item.status in {*_GRANTED, Status.UNKNOWN}):
        return None
    return _access(item)


def _access(item: OpsItem) -> Access:
    begins = item.access_from or item.requested_at or EARLIEST
    decided = item.modified_at or item.requested_at
    ends = item.access_until or (decided + LONGEST_ACCESS if decided else LATEST)
    names = session_names(item.requester)
    return Access(str(item.key), item.requester, names, frozenset(item.node_ids), begins, ends)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
