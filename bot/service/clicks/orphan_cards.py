"""Cards that Teams has and no row knows: of a post whose id could not be saved, or of a store that was lost.

A click on one is all that ever tells of it. From then on its request is looked at, and the card kept up to date. What
the click says is believed in nothing but which request it means; AWS says the rest.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

import structlog

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.shown.card_places import is_too_old_or_new, may_have_more, with_adopted_card
from bot.ports.clock import Clock
from bot.service.clicks.click import Click
from bot.service.configured import Configured
from bot.service.rows import Rows

MOST_UNKNOWN, UNKNOWN_SPAN = 5, timedelta(minutes=1)
"""Requests that no row knows and a click may have looked at, and in which time: anybody could make ids up, and each
costs 13 reads of AWS, which allows three a second: this is one of them. A lost store is repaired by the sweep; clicks
only are quicker."""
MOST_CARDS, CARDS_SPAN = 20, timedelta(minutes=1)
"""Cards that no row knows and a click may tell of, and in which time: for each one every open row is read."""
log: Final = structlog.get_logger(__name__)


class _Measure:
    """So many within so long, whoever asks; the rest is for a later click."""

    def __init__(self, clock: Clock, most: int, span: timedelta) -> None:
        self._clock, self._most, self._span = clock, most, span
        self._taken: deque[datetime] = deque(maxlen=most)

    def has_room(self) -> bool:
        """Take one; False where there is none left."""
        now = self._clock.now()
        if len(self._taken) == self._most and now - self._taken[0] < self._span:
            return False
        self._taken.append(now)
        return True


class OrphanCards:
    """Takes unknown cards into the rows."""

    def __init__(self, *, rows: Rows, clock: Clock, configured: Configured) -> None:
        self._rows, self._clock, self._configured = rows, clock, configured
        self._requests, self._cards = (
            _Measure(clock, MOST_UNKNOWN, UNKNOWN_SPAN),
            _Measure(clock, MOST_CARDS, CARDS_SPAN),
        )

    async def of_unknown_request(self, key: RequestKey, click: Click) -> bool:
        """Have a request looked at that no row has facts of; False where a click is no reason to.

        Raises StoreUnavailable.
        """
        if not self._may_tell(key, click) or not self._requests.has_room():
            return False
        await self._rows.requeue(key)
        return True

    async def of_unknown_card(self, record: Record, click: Click) -> None:
        """Take in the card that was clicked, if the row does not have it. Raises StoreUnavailable."""
        known = any(surface.activity_id == click.activity_id for surface in record.surfaces)
        if known or not may_have_more(record) or not self._may_tell(record.key, click):
            return
        if is_too_old_or_new(record, click.activity_id or ""):
            log.warning("card_not_adopted", request=str(record.key), person=click.person.object_id)
        elif self._cards.has_room():
            await self._adopt(record.key, click)

    def _may_tell(self, key: RequestKey, click: Click) -> bool:
        """Only somebody of the tenant, in a configured channel, about a configured account."""
        ours = click.person.tenant_id.casefold() == self._configured.tenant_id.casefold() and not click.person.guest
        here = self._configured.channel_at(click.conversation) is not None
        return ours and here and click.activity_id is not None and self._configured.covers(key)

    async def _adopt(self, key: RequestKey, click: Click) -> None:
        channel, activity_id = self._configured.channel_at(click.conversation), click.activity_id
        if channel is None or activity_id is None:
            return
        watched = await self._rows.store.watched()
        others = [surface for row in watched.rows if row.key != key for surface in row.surfaces]
        if watched.unreadable or any(surface.activity_id == activity_id for surface in others):
            log.warning("card_not_adopted", request=str(key), person=click.person.object_id)
            return  # it is, or may be, another request's: whoever says otherwise made it up
        now = self._clock.now()

        def adopt(record: Record) -> Record:
            return with_adopted_card(record, channel.name, click.conversation, activity_id).requeue_by(now)

        await self._rows.apply(key, adopt)
        log.info("card_adopted", request=str(key), person=click.person.object_id)
