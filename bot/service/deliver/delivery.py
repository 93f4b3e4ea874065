"""Delivers one surface to Teams: sends it, and stores the result. `failed_delivery.py` reacts to failures."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar, assert_never

import structlog

from bot.domain.record import Record
from bot.domain.shown.card_places import card_name
from bot.domain.shown.turns import called_step, is_called_already
from bot.domain.shown.views import NoteView
from bot.domain.shown.wanted import Wanted
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable, Message, Posted
from bot.rendering import render, summary
from bot.service.deliver import retry_policy
from bot.service.deliver.failed_delivery import FailedDelivery, Outlets
from bot.service.deliver.outbox import OutboxEntry
from bot.service.deliver.retry_policy import Task
from bot.telemetry import observe_wait

_UNSENT = frozenset({DeliveryState.WAITING, DeliveryState.POSTING})
# a skipped message may be wanted again: a vote that AWS did not show was hidden, and AWS shows it later
_TO_SEND = _UNSENT | {DeliveryState.SKIPPED}
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Delivery:
    """One attempt to deliver one surface to Teams. `prepared` is the result of `prepared_post`, if it was called."""

    def __init__(self, entry: OutboxEntry, outlets: Outlets, *, prepared: Wanted | None = None) -> None:
        self._entry, self._wanted, self._outlets = entry, entry.wanted, outlets
        self._chat, self._prepared = outlets.chat, prepared
        # the surface before this attempt
        self._former = entry.stored or Surface(self._wanted.name, self._wanted.kind, DeliveryState.WAITING)
        self._failed = FailedDelivery(entry, self._former, outlets)

    async def deliver(self) -> None:
        """Send the surface if it is due and Teams does not show it; skip or give up a surface that is no longer needed.

        Does nothing for a surface with stored values of a newer version that this version cannot read. Raises
        LeaseHeld, StoreUnavailable.
        """
        former = self._former
        if former.delivery is DeliveryState.IMPOSSIBLE or self._entry.record.has_unrecognized_surface(former.name):
            return
        if self._wanted.overtaken:
            await self._skip()
        elif self._failed.is_forgotten():
            await self._failed.give_up(former.problem)
        elif waits_until(former, self._outlets.clock.now()):
            return
        elif former.unconfirmed_posts >= retry_policy.MOST_POSTS and self._is_posted_again():
            # each time, Teams returned no id, the process ended after the post, or the store did not accept the result
            await self._failed.capped("not_noted", copies=former.unconfirmed_posts)
        else:
            await self._send()

    async def _send(self) -> None:
        match self._wanted.kind:
            case SurfaceKind.CARD | SurfaceKind.LIVING:
                await self._send_in_place()
            case SurfaceKind.NOTE:
                await self._send_note()
            case SurfaceKind.DIRECT:
                await self._send_direct()
            case _:
                assert_never(self._wanted.kind)

    async def _attempt(self, task: Task, send: Callable[[], Awaitable[None]]) -> None:
        if wait := self._failed.waits_for_another(task):
            await self._entry.queued(until=wait)
            return
        try:
            await send()
        except ChatThrottled as throttled:
            await self._failed.throttled(throttled)
        except ChatUnavailable as unavailable:
            await self._failed.unavailable(unavailable)
        except ChatRefused as refused:
            if await self._failed.refused(task, refused):
                await self._attempt(self._posting, partial(self._post_in_place, instead=refused.problem))
        else:
            self._failed.accepted(task)

    # --- messages that are updated in place: cards, and the requester's message

    async def _send_in_place(self) -> None:
        former = self._former
        if former.activity_id is None:
            if not self._wanted.is_copy and not self._is_shown_without_id():
                await self._attempt(self._posting, self._post_in_place)
        elif former.digest != self._entry.digest or former.problem is not None:
            shown = Posted(former.conversation or self._wanted.channel.conversation, former.activity_id)
            await self._attempt(Task.UPDATE, partial(self._update, shown))

    @property
    def _posting(self) -> Task:
        return Task.CARD if self._wanted.kind is SurfaceKind.CARD else Task.DIRECT

    async def _post_in_place(self, *, instead: ChatProblem | None = None) -> None:
        """Post the message. `instead` is the problem with which Teams refused to update the earlier one, if any."""
        shown = await self._to_post()
        await self._entry.begin_post()
        posted = await self._sent(shown, self._post_to, alert=self._alerts)
        self._note_first_card()
        gone = self._failed.gone(instead) if instead else None
        route = self._entry.record.route
        at_home = route is not None and route.channel == shown.channel.name
        await self._delivered(posted, gone=gone, called=called_step(shown.view) if at_home else None)

    @property
    def _alerts(self) -> bool:
        """False for a card that needs no action, because the request was approved automatically."""
        request = self._entry.record.request
        return request is None or not request.auto_approved

    async def _post_to(self, message: Message) -> Posted:
        if (person := self._wanted.person) is not None:
            return await self._chat.direct(person, message)
        return await self._chat.post(self._wanted.channel.conversation, message)

    def _note_first_card(self) -> None:
        """Measure how long the request waited for its card, if Teams has taken none before."""
        request = self._entry.record.request
        first = self._wanted.kind is SurfaceKind.CARD and self._former.delivery is DeliveryState.WAITING
        if first and request and request.requested_at and self._alerts:
            outlets = self._outlets
            observe_wait(outlets.telemetry.request_to_card, request.requested_at, outlets.clock.now())

    async def _update(self, posted: Posted) -> None:
        shown = await self._outlets.mentioning.on_update(self._entry.record, self._wanted)
        shown = await _styled(self._entry.record, shown, self._outlets)
        await self._entry.begin_update()
        await self._sent(shown, lambda message: self._chat.update(posted, message))
        await self._delivered(posted)

    def _is_shown_without_id(self) -> bool:
        """True if Teams accepted this state of the message, but returned no id for it."""
        former = self._former
        delivered = former.delivery is DeliveryState.DELIVERED and former.activity_id is None
        return delivered and former.digest == self._entry.digest

    def _is_posted_again(self) -> bool:
        former = self._former
        if former.delivery is DeliveryState.POSTING:
            return True
        posted = former.kind.in_place and former.delivery is DeliveryState.DELIVERED
        return posted and former.activity_id is None and not self._is_shown_without_id()

    # --- messages that are sent once

    async def _send_note(self) -> None:
        thread = _thread(self._entry.record, self._wanted)
        if self._former.delivery not in _TO_SEND or thread is None:
            return
        if is_called_already(self._entry.record, self._wanted.view):
            return
        calls = isinstance(self._wanted.view, NoteView) and self._wanted.view.level is not None
        send = partial(self._post, lambda message: self._chat.reply(thread, message), alert=calls)
        await self._attempt(Task.NOTE, send)

    async def _send_direct(self) -> None:
        if self._former.delivery not in _TO_SEND:
            return
        person = self._wanted.person
        if person is None:
            await self._failed.unaddressed()
            return
        send = partial(self._post, lambda message: self._chat.direct(person, message), alert=True)
        await self._attempt(Task.DIRECT, send)

    async def _post(self, send: Callable[[Message], Awaitable[Posted]], *, alert: bool = False) -> None:
        shown = await self._linked(await self._to_post())
        await self._entry.begin_post()
        await self._delivered(await self._sent(shown, send, alert=alert), called=called_step(shown.view))

    async def _linked(self, shown: Wanted) -> Wanted:
        """Return a note that calls people with a link to its card, if that is known. All else is returned unchanged."""
        view, card = shown.view, self._entry.record.surface(card_name(shown.channel.name))
        if card is None or not isinstance(view, NoteView) or view.level is None:
            return shown
        return replace(shown, view=replace(view, link=await self._outlets.links.to(card)))

    async def _to_post(self) -> Wanted:
        """Return the message with names and mentions. Done before the post is stored, because it may be slow."""
        return self._prepared or await prepared_post(self._entry.record, self._wanted, self._outlets)

    async def _skip(self) -> None:
        if self._former.delivery in _UNSENT:
            self._count("skipped")
            await self._entry.skipped()

    # --- sending

    async def _sent(self, shown: Wanted, send: Callable[[Message], Awaitable[T]], *, alert: bool = False) -> T:
        """Send a message. If Teams finds it too large, send it once more in its shortest form."""
        try:
            return await send(_message_of(shown, alert=alert))
        except ChatRefused as refused:
            if refused.problem is not ChatProblem.TOO_LARGE:
                raise
        log.warning("message_cut")
        await self._entry.renew()
        return await send(_message_of(shown, alert=alert, brief=True))

    async def _delivered(self, posted: Posted, *, gone: Surface | None = None, called: str | None = None) -> None:
        """Store a delivery. `gone` is the card that the message replaces; `called` is as for OutboxEntry.delivered."""
        self._count("delivered")
        log.info("surface_delivered")
        before = self._entry.stored
        if gone:
            await self._entry.replaced(posted, gone, called=called)
        else:
            await self._entry.delivered(posted, called=called)
        if before and before.problem:
            await self._entry.reconcile_again()

    def _count(self, result: str) -> None:
        self._outlets.telemetry.deliveries.labels(kind=self._wanted.kind, result=result).inc()


async def prepared_post(record: Record, wanted: Wanted, outlets: Outlets) -> Wanted:
    """Return a new message with names, mentions and viewers, in the language and time zone of its reader."""
    return await _styled(record, await outlets.mentioning.on_post(record, wanted), outlets)


async def _styled(record: Record, shown: Wanted, outlets: Outlets) -> Wanted:
    return await outlets.reader_style.of(await outlets.viewing.on_card(record, shown))


def _message_of(wanted: Wanted, *, alert: bool, brief: bool = False) -> Message:
    """Return the message in the locale and time zone of `wanted.channel`; with `alert`, Teams notifies its readers.

    If `brief`, its texts are cut as much as possible.
    """
    channel = wanted.channel
    card = render(wanted.view, locale=channel.locale, timezone=channel.timezone, brief=brief)
    return Message(card, summary(wanted.view, locale=channel.locale), alert=alert)


def _thread(record: Record, wanted: Wanted) -> Posted | None:
    """Return the channel's card, in whose thread notes are posted; None before the card is posted.

    While a refused update of the card is repeated, it is unknown whether its thread still exists: None as well.
    """
    card = record.surface(card_name(wanted.channel.name))
    if card is None or card.conversation is None or card.is_repeated:
        return None
    without_id = card.activity_id is None and card.delivery is DeliveryState.DELIVERED
    return Posted(card.conversation, card.activity_id) if card.activity_id or without_id else None


def waits_until(surface: Surface | None, now: datetime) -> datetime | None:
    """Return the time before which a surface must not be tried again; None if it may be tried now."""
    return surface.retry_at if surface and surface.retry_at and surface.retry_at > now else None
