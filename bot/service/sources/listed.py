"""Finds the requests for which AWS's lists differ from the rows. No I/O.

A list may differ from the OpsItem for a while or permanently: whether AWS keeps them equal is not verified. Therefore a
list entry that has not changed since before the last reconcile is ignored; otherwise each sweep might reconcile every
request.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from bot.domain.record import Record
from bot.domain.request import AccessRequest, RequestKey, Status
from bot.domain.spans import SKEW
from bot.ports.aws import ListedRequest


class Listed:
    """The last contents of the lists of one account and Region, and since when each entry is unchanged."""

    def __init__(self) -> None:
        self._since: dict[RequestKey, tuple[ListedRequest, datetime]] = {}

    def news(
        self, sightings: Iterable[ListedRequest], rows: Mapping[RequestKey, Record | None], *, now: datetime
    ) -> list[RequestKey]:
        """Return the requests that must be reconciled. The lists were read at `now`.

        `rows` has all watched rows, and for each sighting its row, or None if there is no row.
        """
        self._since = {each.key: (each, self._unchanged_since(each, now)) for each in sightings}
        changed = {key for key, (sighting, since) in self._since.items() if _is_news(sighting, rows.get(key), since)}
        disappeared = {key for key, row in rows.items() if key not in self._since and row and is_open(row)}
        return sorted(changed | disappeared)

    def _unchanged_since(self, sighting: ListedRequest, now: datetime) -> datetime:
        last, since = self._since.get(sighting.key, (None, now))
        return since if last == sighting else now


def is_open(row: Record) -> bool:
    """True if the row says that the request is waiting for a decision.

    A replica is decided elsewhere. A request with a status that is new to this version has its own retry time.
    """
    request = row.request
    return request is not None and request.status is Status.PENDING and request.replica_of is None


def _is_news(sighting: ListedRequest, row: Record | None, since: datetime) -> bool:
    if row is None:
        return True
    if row.request is None:
        return row.requeue_at is None or bool(row.reconcile_failures)
    if _unreadable(row):
        return True
    observed_since = row.observed_at is not None and row.observed_at >= since + SKEW
    return not observed_since and _differs(sighting, row.request)


def _differs(sighting: ListedRequest, request: AccessRequest) -> bool:
    if request.replica_of:
        return False
    if sighting.status is not None and sighting.status is not request.status:
        return True
    if sighting.step and request.waiting and sighting.step != request.waiting.step:
        return True
    return _newer(sighting.modified_at, request.modified_at)


def _unreadable(row: Record) -> bool:
    """True after a reconcile that could not read AWS at all; an incomplete one has its own retry time."""
    return bool(row.reconcile_failures) and row.request is not None and row.request.complete


def _newer(seen: datetime | None, known: datetime | None) -> bool:
    return seen is not None and (known is None or seen > known)
