"""Answers automatic refreshes of cards, each with the person's own view. A refresh is not a click.

Teams asks by itself when a card is shown or was updated, for each person and client. So a refresh writes nothing, calls
neither AWS nor Teams, adopts nothing, and is not in the audit trail. It is checked like a click: configured account,
conversation that has this card, tenant, and guest rule. The cached roster and groups decide which view the person gets.
"""

import asyncio

from bot.concurrency.kept_results import KeptResults
from bot.concurrency.waiting import ended_before
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.routing import Channel
from bot.domain.shown.card import asks_for_decision, with_mentions
from bot.domain.shown.card_places import channel_of_card
from bot.domain.shown.viewers import ViewerKind, viewer_kind
from bot.domain.shown.views import CardView
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.ports.teams import People
from bot.rendering.template import Card
from bot.service.approver_groups import ApproverGroups
from bot.service.clicks.answers import VIEWS_KEPT, Answers
from bot.service.clicks.click import Click
from bot.service.clicks.locator import Located, Locator
from bot.service.current_configuration import CurrentConfiguration
from bot.telemetry import Telemetry
from bot.text.names import exact

AT_ONCE = 4  # refreshes that read the store at a time; further ones wait, so that clicks do not wait behind them
REFRESH_BUDGET = 2.0  # seconds from the arrival; then the client keeps the card that it has


class Refreshing:
    """Answers automatic refreshes, within their time limit. Start with `refresh`."""

    def __init__(
        self,
        *,
        locator: Locator,
        people: People,
        groups: ApproverGroups,
        answers: Answers,
        clock: Clock,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
    ) -> None:
        self._locator, self._people, self._groups = locator, people, groups
        self._answers, self._clock = answers, clock
        self._configuration, self._telemetry = configuration, telemetry
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._named: KeptResults[CardView] = KeptResults(VIEWS_KEPT)

    async def refresh(self, click: Click) -> Card | None:
        """Return the card as the person sees it; None if there is no answer in time, or no such card. Never raises."""
        now = self._clock.now()
        left = REFRESH_BUDGET - (now - min(click.received_at or now, now)).total_seconds()
        work = asyncio.ensure_future(self._found(click))
        try:
            in_time = await ended_before(work, self._clock.sleep(left))
            outcome, card = work.result() if in_time else ("late", None)
        finally:
            work.cancel()
        self._telemetry.refreshes.labels(outcome=outcome).inc()
        return card

    async def _found(self, click: Click) -> tuple[str, Card | None]:
        async with self._turns:
            try:
                located = await self._locator.find(click)
            except StoreUnavailable:
                return "failed", None
            return self.view(located, click) if located else ("not_here", None)

    def view(self, located: Located, click: Click) -> tuple[ViewerKind, Card]:
        """Return which kind of viewer the person is, and their card: the channel's if the kind is unknown."""
        record, screen = located.record, located.screen
        card = self._with_names(self._answers.card(record, screen.channel), screen.channel)
        member = self._member(click, screen.channel)
        if member is None or not _is_of_card(record, screen.channel, click):
            kind = ViewerKind.UNKNOWN
        else:
            kind = viewer_kind(
                member,
                record,
                channel=screen.channel,
                step=card.step,
                tenant_id=self._configuration.tenant_id,
                groups=self._groups.cached(screen.channel.approvers_at(card.step)),
            )
        return kind, self._answers.seen(card, screen, kind, record, teams_id=click.person.teams_id)

    def _with_names(self, card: CardView, channel: Channel) -> CardView:
        """Return a card that asks for a decision with the names of the people in `mention`, which notify nobody."""
        if not asks_for_decision(card):
            return card
        ids = [entry.removeprefix("user:") for entry in channel.mention_at(card.step)]
        found = (self._people.cached_member(channel.conversation, each) for each in ids)
        members = [each for each in found if each]
        return self._named.get(lambda: with_mentions(card, members), card, *members)

    def _member(self, click: Click, channel: Channel) -> Person | None:
        """Return the sender with the roster's data; None for a guest or another tenant, and without a roster."""
        if exact(click.person.tenant_id) != exact(self._configuration.tenant_id) or click.person.guest:
            return None
        return self._people.cached_member(channel.conversation, click.person.object_id)


def _is_of_card(record: Record, channel: Channel, click: Click) -> bool:
    """True if the refresh names a card of this request in this channel, and a step of the request, if any.

    A client can ask before the row has the id of the card that was just posted: until then, any id may be the card's.
    """
    cards = {each.activity_id for each in record.cards if channel_of_card(each.name) == channel.name}
    steps = {"", *(level.step for level in record.request.levels)} if record.request else {""}
    return click.activity_id is not None and bool(cards & {click.activity_id, None}) and click.step in steps
