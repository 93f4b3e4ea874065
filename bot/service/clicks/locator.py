"""Finds the row of the request that was clicked, and the card or message on which the person clicked."""

from dataclasses import dataclass, replace

from bot.domain.audit import state_of
from bot.domain.record import Record
from bot.domain.request import InvalidRequestKey, RequestKey
from bot.domain.routing import Channel, same_conversation
from bot.domain.rules.permission import Refusal
from bot.domain.shown.card_places import channel_of_card, may_have_more
from bot.domain.shown.views import Notice, NoticeCode
from bot.service.clicks.answers import Screen, bare
from bot.service.clicks.click import ACTIONS, OF_REQUESTER, Answer, Click, Verb
from bot.service.clicks.orphan_cards import OrphanCards
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows


@dataclass(frozen=True, slots=True)
class Located:
    """The request that a click is about, and the message on which it was made."""

    record: Record  # the row at the time of the click; its `request` is not None
    screen: Screen


class Locator:
    """Finds the row and the screen of a click."""

    def __init__(self, *, rows: Rows, configuration: CurrentConfiguration, orphan_cards: OrphanCards) -> None:
        self._rows, self._configuration, self._orphan_cards = rows, configuration, orphan_cards

    async def locate(self, click: Click) -> Located | Answer:
        """Return the request and message of a click, or the answer if they cannot be shown. Raises StoreUnavailable.

        Also adopts a request that the store does not know, and a card that is in no row.
        """
        key = self._key(click)
        if key is None:
            return bare(Notice(NoticeCode.NOT_FOUND, typed=click.comment), click.locale)
        record = await self._rows.load(key)
        if record is None or record.request is None:
            adopted = await self._orphan_cards.adopt_request(key, click)
            code = NoticeCode.LOOKING if adopted else NoticeCode.NOT_FOUND
            return bare(Notice(code, typed=click.comment), click.locale)
        screen = self._screen(record, click)
        if screen is None:
            refusal = Refusal.OWN_CHAT if click.verb in OF_REQUESTER else Refusal.NOT_HERE
            return replace(bare(Notice(refusal), click.locale, refused=True), state=state_of(record))
        if not screen.personal:
            self._orphan_cards.adopt_card_later(record, click)
        return Located(record, screen)

    async def find(self, click: Click) -> Located | None:
        """Return the request and card of an automatic refresh, and adopt nothing. Raises StoreUnavailable.

        None if the request is unknown, or has no card in that conversation.
        """
        key = self._key(click)
        record = await self._rows.load(key) if key else None
        if record is None or record.request is None:
            return None
        screen = self._screen(record, click)
        return Located(record, screen) if screen else None

    def _key(self, click: Click) -> RequestKey | None:
        try:
            key = RequestKey.parse(click.request)
        except InvalidRequestKey:
            return None
        return key if self._configuration.value.covers(key) else None

    def _screen(self, record: Record, click: Click) -> Screen | None:
        """Return the message that was clicked; None if this request is not shown in that conversation."""
        personal = click.verb in OF_REQUESTER or (click.verb is Verb.END_SESSIONS and click.personal)
        channel = self._channel_of_direct(record, click) if personal else self._channel_of_card(record, click)
        return Screen(channel, personal, click.locale, click.timezone, ACTIONS.get(click.verb)) if channel else None

    def _channel_of_direct(self, record: Record, click: Click) -> Channel | None:
        """Return the channel that decides, if the click came from the requester's chat with the bot; else None.

        Every personal chat of the requester counts: until the result of a post is stored, the row does not show where
        the message is.
        """
        channel = self._configuration.value.home(record)
        own = has_direct_message_in(record, click.conversation) or is_in_own_chat(record, click)
        return channel if own else None

    def _channel_of_card(self, record: Record, click: Click) -> Channel | None:
        """Return the channel of this conversation if the request has, or may have, a card there; else None."""
        cards = record.cards
        for card in cards:
            if same_conversation(card.conversation, click.conversation):
                return self._configuration.value.channel(channel_of_card(card.name))
        here = self._configuration.value.channel_at(click.conversation)
        posting = here and any(card.conversation is None and channel_of_card(card.name) == here.name for card in cards)
        at_home = here and record.route and record.route.channel == here.name
        return here if posting or (at_home and may_have_more(record)) else None


def is_in_own_chat(record: Record, click: Click) -> bool:
    """True if the requester clicked in their own chat with the bot."""
    requester = record.requester
    return click.personal and requester is not None and requester.is_identified_as(click.person)


def has_direct_message_in(record: Record, conversation: str) -> bool:
    """True if the requester's direct message was sent to this conversation."""
    sent = (surface for surface in record.surfaces if surface.kind.personal)
    return any(same_conversation(surface.conversation, conversation) for surface in sent)
