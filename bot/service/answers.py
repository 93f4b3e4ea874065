"""Words the answer to a click: the current card with a notice on it, in the channel's locale and time zone."""

from bot.domain.card import card_view
from bot.domain.record import Record
from bot.domain.routing import Channel
from bot.domain.views import CardView, Notice
from bot.ports import Clock
from bot.rendering import render, summary
from bot.service.clicks import Answer
from bot.service.configured import Configured


class Answers:
    """Makes answers from rows."""

    def __init__(self, configured: Configured, clock: Clock) -> None:
        self._configured, self._clock = configured, clock

    def shown(self, record: Record, channel: Channel, notice: Notice | None, *, refused: bool = False) -> Answer:
        """Answer with the card as the row has it."""
        view = card_view(record, channel, self._configured.rules, self._clock.now())
        return self.of(view, channel, notice, refused=refused)

    @staticmethod
    def of(view: CardView, channel: Channel, notice: Notice | None, *, refused: bool = False) -> Answer:
        """Answer with a card."""
        card = render(view, locale=channel.locale, timezone=channel.timezone, notice=notice)
        text = summary(notice, locale=channel.locale) if notice else ""
        return Answer(card, notice, text, refused=refused)


def bare(notice: Notice, *, refused: bool = False) -> Answer:
    """Answer without a card: there is no channel whose locale and card could be used."""
    return Answer(None, notice, summary(notice, locale="en"), refused=refused)
