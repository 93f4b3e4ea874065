"""Lists access requests for the sweep: pending, changed and revoked OpsItems, and running executions.

Only the list of pending OpsItems must succeed. It is not verified that AWS answers the other lists as expected.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import structlog

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.assumptions import OPS_ITEM_WORDS, PENDING_OPS_ITEMS, REVOKED_OPS_ITEMS, RUNNING_EXECUTIONS
from bot.aws.jit.executions import ACCESS_REQUEST
from bot.aws.jit.ops_items import UnreadableOpsItem, parse_listed
from bot.aws.jit.targets import TYPE
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import mapping, text, timestamp
from bot.boto.sdk import Answer
from bot.concurrency.turns import in_turns
from bot.domain.request import InvalidRequestKey, RequestKey, Status
from bot.ports.aws import ListedRequest

PAGE = 50  # rows; the most that AWS returns
log = structlog.get_logger(__name__)


class Listing:
    """Lists the requests of one account and Region."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def list_requests(self, place: Place, since: datetime) -> Sequence[ListedRequest]:
        """List the requests that are pending, and those modified after `since`. Raises AwsUnavailable."""
        changed = after("LastModifiedTime", since)
        try:
            pending, modified = await asyncio.gather(
                self._ops_items(place, _filter("Status", PENDING_OPS_ITEMS)),
                self._tolerated(place, partial(self._ops_items, place, changed), "modified"),
            )
        except CallFailed as failed:
            raise unavailable(failed) from failed
        return await _merged((*modified, *pending))

    async def steps(self, place: Place) -> Sequence[ListedRequest]:
        """List the requests whose approval runs, with its current step, as far as AWS shows them. Never raises."""
        return await self._tolerated(place, partial(self._executions, place), "executions")

    async def revoked(self, place: Place, since: datetime) -> Sequence[ListedRequest]:
        """List the requests created after `since` that are revoked, as far as AWS shows them. Never raises."""
        wanted = (_filter("Status", REVOKED_OPS_ITEMS), after("CreatedTime", since))
        return await self._tolerated(place, partial(self._ops_items, place, *wanted), "revoked")

    async def _ops_items(self, place: Place, *wanted: Mapping[str, object]) -> list[ListedRequest]:
        rows = ops_item_rows(self._clients, place, *wanted)
        # parsed row by row as the pages come: a list may have ten thousand rows
        return [found async for row in rows if (found := listed_ops_item(place, row))]

    async def _executions(self, place: Place) -> list[ListedRequest]:
        rows = self._clients.rows(
            place,
            "ssm",
            "describe_automation_executions",
            Lane.SWEEP,
            member="AutomationExecutionMetadataList",
            Filters=[
                {"Key": "AutomationSubtype", "Values": [ACCESS_REQUEST]},
                {"Key": "ExecutionStatus", "Values": list(RUNNING_EXECUTIONS)},
            ],
            MaxResults=PAGE,
        )
        return [found async for row in rows if (found := listed_execution(place, row))]

    @staticmethod
    async def _tolerated(
        place: Place, listing: Callable[[], Awaitable[list[ListedRequest]]], name: str
    ) -> list[ListedRequest]:
        try:
            return await listing()
        except CallFailed as failed:
            log.warning("list_unreadable", list=name, account=place.account, region=place.region, code=failed.code)
            return []


def ops_item_rows(clients: Clients, place: Place, *wanted: Mapping[str, object]) -> AsyncIterator[Answer]:
    """Return the rows of access requests that fulfil all these filters. Iterating raises CallFailed."""
    return clients.rows(
        place,
        "ssm",
        "describe_ops_items",
        Lane.SWEEP,
        member="OpsItemSummaries",
        OpsItemFilters=[_filter("OpsItemType", TYPE), *wanted],
        MaxResults=PAGE,
    )


def _filter(key: str, value: str, *, operator: str = "Equal") -> Mapping[str, object]:
    return {"Key": key, "Values": [value], "Operator": operator}


def after(key: str, moment: datetime) -> Mapping[str, object]:
    """Return the filter for a time after `moment`."""
    return _filter(key, f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", operator="GreaterThan")


def listed_ops_item(place: Place, row: Answer) -> ListedRequest | None:
    """Return the request in a row of DescribeOpsItems; None if the row is no access request."""
    key = _key(place, row)
    return _listed(key, row) if key else None


def _listed(key: RequestKey, row: Answer) -> ListedRequest | None:
    """Return the request of a row; None for an OpsItem that is not a request."""
    try:
        return parse_listed(row, key)
    except UnreadableOpsItem:
        if mapping(row.get("OperationalData")):
            return None
        status = OPS_ITEM_WORDS.get(text(row.get("Status")) or "", Status.UNKNOWN)
        return ListedRequest(key, status, timestamp(row.get("LastModifiedTime")))


def listed_execution(place: Place, row: Answer) -> ListedRequest | None:
    """Return the request in a row of DescribeAutomationExecutions, with its current step; None if it names none."""
    key, step = _key(place, row), text(row.get("CurrentStepName"))
    return ListedRequest(key, step=sys.intern(step) if step else None) if key else None  # few steps, many executions


def _key(place: Place, row: Answer) -> RequestKey | None:
    try:
        return RequestKey.parse(f"{place.account}/{place.region}/{row.get('OpsItemId')}")
    except InvalidRequestKey:
        return None


async def _merged(listed: Iterable[ListedRequest]) -> Sequence[ListedRequest]:
    """Merge rows about the same request: the newer one remains."""
    found: dict[RequestKey, ListedRequest] = {}
    async for each in in_turns(listed):
        known = found.get(each.key)
        if known is None or not _is_newer(known, each):
            found[each.key] = each
    return list(found.values())


def _is_newer(one: ListedRequest, other: ListedRequest) -> bool:
    if one.modified_at is None or other.modified_at is None:
        return other.modified_at is None
    return one.modified_at > other.modified_at
