"""Counts how often a requester was granted access to the same node before, for the card. From the store's index."""

from datetime import timedelta
from typing import Final

import structlog

from bot.domain.history import visit_subject, visits
from bot.domain.identity import Requester
from bot.domain.record import Record, Visits
from bot.domain.request import AccessRequest, Status
from bot.ports.clock import Clock
from bot.ports.store import Store, StoreUnavailable

SPAN: Final = timedelta(days=90)
MOST_COUNTED: Final = 100  # requests of one person for one node; more are not counted

log = structlog.get_logger(__name__)


class EarlierAccess:
    """Reads the index, once for each request: before its first card."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def count(self, record: Record, request: AccessRequest, requester: Requester) -> Visits | None:
        """Return the earlier access to show on the card of a row; the stored one if it was counted or posted.

        Counted for an identified Teams user and a single node. Never raises: a card must not wait for it.
        """
        person = requester.person if requester.identified else None
        if record.visits or record.cards or request.status is not Status.PENDING:
            return record.visits
        if person is None or len(request.targets) != 1:
            return None
        now = self._clock.now()
        try:
            since = max(now - SPAN, await self._store.history_began(now))
            subject = visit_subject(person, record.key, request.node.id)
            entries = await self._store.history(subject, since, MOST_COUNTED)
        except StoreUnavailable as problem:
            log.warning("earlier_access_not_read", reason=str(problem))
            return None
        return visits(entries, record.key, since=since, now=now)
