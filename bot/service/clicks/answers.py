"""Builds the answer to a click: the card or message that was clicked, from the current row, with a notice on it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from bot.concurrency.kept_results import KeptResults
from bot.domain.abilities import Abilities
from bot.domain.decision import Decision
from bot.domain.record import Record
from bot.domain.request import Action, Status, Withdrawal
from bot.domain.routing import Channel
from bot.domain.shown.card import card_view, last_change
from bot.domain.shown.decided import decision_line
from bot.domain.shown.direct import direct_kind, direct_view, living_view
from bot.domain.shown.viewers import ViewerKind, seen_by
from bot.domain.shown.views import Banner, CardView, DirectView, Notice, NoticeCode, Tone
from bot.ports.clock import Clock
from bot.rendering import render, summary
from bot.rendering.i18n import DEFAULT_LOCALE
from bot.rendering.template import Card
from bot.service.clicks.click import Answer
from bot.service.current_configuration import CurrentConfiguration

VIEWS_KEPT: Final = 64  # of cards, and of single people: a rush of clicks and refreshes is about few rows


@dataclass(frozen=True, slots=True)
class Screen:
    """The message that the person clicked: a channel's card, or with `personal` the requester's direct message.

    Only the person who clicked sees the answer. It is in that person's locale, `reader`, as far as that is known. A
    direct message and a notice have the person's `timezone`, the card has the channel's. A comment without effect stays
    in the field of the clicked `action`.
    """

    channel: Channel
    personal: bool = False
    reader: str | None = None
    timezone: str | None = None
    action: Action | None = None


class Answers:
    """Makes answers from rows. `abilities` returns what every running process can do."""

    def __init__(
        self, configuration: CurrentConfiguration, clock: Clock, *, abilities: Callable[[], Abilities]
    ) -> None:
        self._configuration, self._clock, self._abilities = configuration, clock, abilities
        self._cards: KeptResults[CardView] = KeptResults(VIEWS_KEPT)
        self._seen: KeptResults[CardView] = KeptResults(VIEWS_KEPT)

    def shown(self, record: Record, screen: Screen, notice: Notice | None, *, refused: bool = False) -> Answer:
        """Return the current card or message, with the notice on it, if any.

        Without a card if the requester has no direct message in this state. `refused` goes into the answer.
        """
        view = self._direct(record) if screen.personal else self.card(record, screen.channel)
        return _answer(view, screen, notice, refused=refused)

    def applying(self, record: Record, screen: Screen, decision: Decision) -> Answer:
        """Return the current card or message without buttons, with a notice that the decision is being sent.

        While votes wait for their turn, the card keeps its buttons: a person can still withdraw their vote.
        """
        notice = Notice(NoticeCode.QUEUED if decision.queued else NoticeCode.APPLYING, Tone.INFO)
        if screen.personal:
            return _answer(self._direct(record), screen, notice)
        card = self.card(record, screen.channel)
        status = record.request.status if record.request else Status.UNKNOWN
        if card.queued:
            return _answer(card, screen, notice)
        if status is Status.PENDING:
            card = replace(card, banner=Banner.APPLYING, applying=decision_line(decision), buttons=False, step="")
        elif status is Status.APPROVED and decision.verdict is Withdrawal.REVOKE:
            card = replace(card, applying=decision_line(decision), revoke=False, step="")
        return _answer(card, screen, notice)

    def seen(self, card: CardView, screen: Screen, kind: ViewerKind, record: Record, *, teams_id: str | None) -> Card:
        """Return the channel's card as this kind of viewer sees it, in the person's language.

        For an unknown kind, in the channel's language. Later refreshes are for this person only.
        """
        channel, viewers = screen.channel, (teams_id,) if teams_id else ()
        view = self._seen.get(
            lambda: replace(seen_by(card, kind, record), viewers=viewers), card, record, also=(kind, viewers)
        )
        reader = None if kind is ViewerKind.UNKNOWN else screen.reader
        return render(view, locale=reader or channel.locale, timezone=channel.timezone)

    def card(self, record: Record, channel: Channel) -> CardView:
        """Return the facts of the current card in a channel. For the same row, it is the same object."""
        configuration, abilities = self._configuration.value, self._abilities()
        changed = last_change(record, self._clock.now())
        return self._cards.get(
            lambda: card_view(record, channel, configuration, changed, abilities=abilities),
            record,
            channel,
            configuration,
            also=(changed, abilities),
        )

    def _direct(self, record: Record) -> DirectView | None:
        configuration, now = self._configuration.value, self._clock.now()
        kind = direct_kind(record, configuration, now)
        if kind is None:
            return None
        view = direct_view(record, kind, configuration)
        return living_view(view, record, configuration, now, abilities=self._abilities())


def _answer(
    view: CardView | DirectView | None, screen: Screen, notice: Notice | None, *, refused: bool = False
) -> Answer:
    channel, reader = screen.channel, screen.reader or screen.channel.locale
    timezone = screen.timezone or channel.timezone
    text = summary(notice, locale=reader) if notice else ""
    if view is None:
        return Answer(None, notice, text, refused=refused)
    notice = replace(notice, typed_for=screen.action) if notice else None
    if screen.personal:
        card = render(view, locale=reader, timezone=timezone, notice=notice)
    else:
        style = (reader, timezone)
        card = render(view, locale=reader, timezone=channel.timezone, notice=notice, reader=style)
    return Answer(card, notice, text, refused=refused)


def bare(notice: Notice, reader: str | None, *, refused: bool = False) -> Answer:
    """Return a notice without a card: the person may not see the card, or there was no time or row to build it.

    The notice is in the locale `reader`, or in English if that is None. `refused` goes into the answer.
    """
    return Answer(None, notice, summary(notice, locale=reader or DEFAULT_LOCALE), refused=refused)
