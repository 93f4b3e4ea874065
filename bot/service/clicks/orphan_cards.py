"""Adopts orphan cards: cards in Teams that are in no row, because the id of a post or the store's data was lost.

Only a click on such a card reveals it; an automatic refresh is no click. A click is trusted only for the request's key;
AWS provides the facts. From then on the request is reconciled and the card is kept up to date.
"""

from contextlib import suppress

import structlog

from bot.concurrency.background import Background
from bot.concurrency.window import SlidingWindow
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.shown.card_places import is_too_old_or_new, may_have_more, with_adopted_card
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable, Watched
from bot.service.clicks.click import Click
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.text.names import exact

MOST_UNKNOWN, UNKNOWN_SPAN = 5, 60.0
"""Most unknown requests that clicks may adopt, and within how many seconds. Anybody can invent ids; each id costs up to
13 reads, and AWS allows 3 a second. After a lost store the sweep finds all requests; clicks only find them sooner."""
MOST_CARDS, CARDS_SPAN = 20, 60.0
"""Most unknown cards that clicks may adopt, and within how many seconds. Each makes the store read every open row."""
log = structlog.get_logger(__name__)


class OrphanCards:
    """Adds orphan cards to the rows of their requests."""

    def __init__(
        self, *, rows: Rows, clock: Clock, configuration: CurrentConfiguration, background: Background
    ) -> None:
        self._rows, self._clock, self._configuration, self._background = rows, clock, configuration, background
        self._requests = SlidingWindow([(UNKNOWN_SPAN, MOST_UNKNOWN)])
        self._cards = SlidingWindow([(CARDS_SPAN, MOST_CARDS)])

    async def adopt_request(self, key: RequestKey, click: Click) -> bool:
        """Store a due row for a request that the store does not know. Raises StoreUnavailable.

        Returns False if the click is not trusted or exceeds the limit.
        """
        if not self._is_trusted(key, click) or not self._requests.take(self._clock.epoch()):
            return False
        await self._rows.requeue(key)
        return True

    def adopt_card_later(self, record: Record, click: Click) -> None:
        """Add the clicked card to the row in the background.

        This needs a trusted click, a card that the row lacks and may have, a plausible age of the card, and room in the
        rate limit.
        """
        known = any(surface.activity_id == click.activity_id for surface in record.surfaces)
        if known or not may_have_more(record) or not self._is_trusted(record.key, click):
            return
        if is_too_old_or_new(record, click.activity_id or ""):
            log.warning("card_not_adopted", person=click.person.object_id)
        elif self._cards.take(self._clock.epoch()):
            self._background.begin(self._adopt_card(record.key, click))

    def _is_trusted(self, key: RequestKey, click: Click) -> bool:
        """True if channel, account and Region are configured, and the person is of the tenant and not a guest."""
        ours = exact(click.person.tenant_id) == exact(self._configuration.tenant_id) and not click.person.guest
        here = self._configuration.value.channel_at(click.conversation) is not None
        return ours and here and click.activity_id is not None and self._configuration.value.covers(key)

    async def _adopt_card(self, key: RequestKey, click: Click) -> None:
        with suppress(StoreUnavailable):  # the next click on the card tries again
            await self._adopt(key, click)

    async def _adopt(self, key: RequestKey, click: Click) -> None:
        channel, activity_id = self._configuration.value.channel_at(click.conversation), click.activity_id
        if channel is None or activity_id is None:
            return
        async for page in self._rows.store.watched():
            if may_be_of_another(page, key, activity_id):
                log.warning("card_not_adopted", person=click.person.object_id)
                return  # the click's data may be forged
        now = self._clock.now()

        def adopt(record: Record) -> Record:
            return with_adopted_card(record, channel.name, click.conversation, activity_id).requeue_by(now)

        await self._rows.apply(key, adopt)
        log.info("card_adopted", person=click.person.object_id)


def may_be_of_another(watched: Watched, key: RequestKey, activity_id: str) -> bool:
    """True if the card may belong to another request; an unreadable row may have any card."""
    others = [surface for row in watched.rows if row.key != key for surface in row.surfaces]
    return bool(watched.unreadable) or any(surface.activity_id == activity_id for surface in others)
