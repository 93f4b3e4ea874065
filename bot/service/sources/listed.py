"""Finds the requests for which AWS's lists differ from the rows. No I/O.

A list may differ from the OpsItem for a while or permanently: whether AWS keeps them equal is not verified. Therefore a
list entry that has not changed since before the last reconcile is ignored; otherwise each sweep might reconcile every
request.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.concurrency.turns import in_turns
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.domain.spans import SKEW
from bot.ports.aws import ListedRequest


@dataclass(frozen=True, slots=True)
class RowFacts:
    """The part of a row that is compared. A whole row is much larger, and there may be ten thousand.

    `status` is None until AWS has been read. `requested_at` is that of granted access, else None. `unread` is True if
    the last reconcile failed to read AWS after an earlier one had read everything; after an incomplete read, the row
    has its own retry time. `waits` is True if the row is due at a stored time and its last reconcile did not fail.
    """

    key: RequestKey
    version: int
    status: Status | None
    step: str | None
    replica: bool
    requested_at: datetime | None
    modified_at: datetime | None
    observed_at: datetime | None
    unread: bool
    waits: bool

    @property
    def open(self) -> bool:
        """True if the row says that the request is waiting for a decision.

        A replica is decided elsewhere. A request with a status that is new to this version has its own retry time.
        """
        return self.status is Status.PENDING and not self.replica


def facts_of(row: Record) -> RowFacts:
    """Return the part of a row that is compared."""
    request = row.request
    key = row.key
    return RowFacts(
        key=replace(key, account=sys.intern(key.account), region=sys.intern(key.region)),  # few places, many rows
        version=row.version,
        status=request.status if request else None,
        step=sys.intern(request.waiting.step) if request and request.waiting else None,  # few steps, many rows
        replica=bool(request and request.replica_of),
        requested_at=request.requested_at if request and request.status is Status.APPROVED else None,
        modified_at=request.modified_at if request else None,
        observed_at=row.observed_at,
        unread=bool(request and request.complete and row.reconcile_failures),
        waits=row.requeue_at is not None and not row.reconcile_failures,
    )


class Listed:
    """The last contents of the lists of one account and Region, and since when each entry is unchanged."""

    def __init__(self) -> None:
        self._since: dict[RequestKey, tuple[ListedRequest, datetime]] = {}

    async def news(
        self,
        sightings: Iterable[ListedRequest],
        rows: Mapping[RequestKey, RowFacts | None],
        *,
        with_steps: bool,
        now: datetime,
    ) -> set[RequestKey]:
        """Return the requests that must be reconciled. The lists were read at `now`, the steps only if `with_steps`.

        `rows` has all watched rows, and for each sighting its row, or None if there is no row.
        """
        changed, since = set[RequestKey](), dict[RequestKey, tuple[ListedRequest, datetime]]()
        async for each in in_turns(sightings):
            row = rows.get(each.key)
            noted = self._noted(each, row, with_steps=with_steps, now=now)
            since[noted[0].key] = noted
            if _is_news(each, row, noted[1]):
                changed.add(each.key)
        self._since = since
        disappeared = {key async for key, row in in_turns(rows.items()) if row and row.open and key not in since}
        return changed | disappeared

    def _noted(
        self, sighting: ListedRequest, row: RowFacts | None, *, with_steps: bool, now: datetime
    ) -> tuple[ListedRequest, datetime]:
        """Return an entry, with its last step if the steps were not read, and since when it is unchanged."""
        noted = self._since.get(sighting.key)
        last = noted[0] if noted else None
        if last and last.step and not with_steps:
            sighting = replace(sighting, step=last.step)
        if noted and last == sighting:
            return noted
        if row:
            sighting = replace(sighting, key=row.key)  # equal, but one key in memory instead of two
        return sighting, now


async def merged(listed: Iterable[ListedRequest], steps: Iterable[ListedRequest]) -> Sequence[ListedRequest]:
    """Return the listed requests with their current steps, and those that only the list of steps has."""
    found = {each.key: each for each in listed}
    async for each in in_turns(steps):
        known = found.get(each.key)
        found[each.key] = replace(known, step=each.step or known.step) if known else each
    return list(found.values())


def _is_news(sighting: ListedRequest, row: RowFacts | None, since: datetime) -> bool:
    if row is None:
        return True
    if row.status is None:
        return not row.waits
    if row.unread:
        return True
    observed_since = row.observed_at is not None and row.observed_at >= since + SKEW
    return not observed_since and _differs(sighting, row)


def _differs(sighting: ListedRequest, row: RowFacts) -> bool:
    if row.replica:
        return False
    if sighting.status is not None and sighting.status is not row.status:
        return True
    if sighting.step and row.step is not None and sighting.step != row.step:
        return True
    return _newer(sighting.modified_at, row.modified_at)


def _newer(seen: datetime | None, known: datetime | None) -> bool:
    return seen is not None and (known is None or seen > known)
