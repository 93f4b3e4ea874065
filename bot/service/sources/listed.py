"""Which requests AWS's lists tell something new about. Asks nobody.

A list may disagree with what a look brings, for a while or for ever: nobody has verified what AWS's lists show. So what
a list said already before the last look is no news, or each sweep would cost a look at every request.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from bot.domain.record import Record
from bot.domain.request import AccessRequest, RequestKey, Status
from bot.ports.aws import ListedRequest

SKEW = timedelta(
    seconds=5
)  # by which the clocks of two processes may differ; what is looked at within counts as before


class Listed:
    """Remembers what the lists of one account and Region showed last, and since when."""

    def __init__(self) -> None:
        self._since: dict[RequestKey, tuple[ListedRequest, datetime]] = {}

    def news(
        self, sightings: Iterable[ListedRequest], rows: Mapping[RequestKey, Record | None], *, now: datetime
    ) -> list[RequestKey]:
        """Return which requests must be looked at, after lists that were answered at `now`.

        `rows`: all that are watched, and those of the sightings, where there are some.
        """
        self._since = {each.key: (each, self._told_since(each, now)) for each in sightings}
        told = {key for key, (sighting, since) in self._since.items() if _tells(sighting, rows.get(key), since)}
        untold = {key for key, row in rows.items() if key not in self._since and row and is_open(row)}
        return sorted(told | untold)

    def _told_since(self, sighting: ListedRequest, now: datetime) -> datetime:
        last, since = self._since.get(sighting.key, (None, now))
        return since if last == sighting else now


def is_open(row: Record) -> bool:
    """True for a request that waits for a decision as far as is known here.

    A replica waits elsewhere. What AWS has a new word for is looked at again by its own clock.
    """
    request = row.request
    return request is not None and request.status is Status.PENDING and request.replica_of is None


def _tells(sighting: ListedRequest, row: Record | None, since: datetime) -> bool:
    if row is None:
        return True
    if row.request is None:
        return row.requeue_at is None or bool(row.reconcile_failures)
    if _unreadable(row):
        return True
    looked_at_since = row.observed_at is not None and row.observed_at >= since + SKEW
    return not looked_at_since and _differs(sighting, row.request)


def _differs(sighting: ListedRequest, request: AccessRequest) -> bool:
    if request.replica_of:
        return False
    if sighting.status is not None and sighting.status is not request.status:
        return True
    if sighting.step and request.waiting and sighting.step != request.waiting.step:
        return True
    return _newer(sighting.modified_at, request.modified_at)


def _unreadable(row: Record) -> bool:
    """True after a look that failed as a whole; what only a part of lacks is looked at again by its own clock."""
    return bool(row.reconcile_failures) and row.request is not None and row.request.complete


def _newer(seen: datetime | None, known: datetime | None) -> bool:
    return seen is not None and (known is None or seen > known)
