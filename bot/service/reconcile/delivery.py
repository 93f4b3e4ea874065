"""Delivers one surface to Teams: sends it, and stores the result."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar, assert_never

import structlog

from bot.domain.record import DeliveryState, Record, Surface, SurfaceKind
from bot.domain.shown.card_places import card_name, is_copy
from bot.domain.shown.surfaces import Wanted
from bot.ports.clock import Clock
from bot.ports.teams import Chat, ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable, Message, Posted
from bot.rendering import render, summary
from bot.service.reconcile import retry_policy
from bot.service.reconcile.mentioning import Mentioning
from bot.service.reconcile.outbox import OutboxEntry
from bot.service.reconcile.retry_policy import CONSEQUENCES, Consequence
from bot.telemetry import Telemetry

UNDONE = frozenset({DeliveryState.WAITING, DeliveryState.POSTING})
T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outlets:
    """The services that every delivery uses."""

    chat: Chat
    mentioning: Mentioning
    clock: Clock
    telemetry: Telemetry


class Delivery:
    """One attempt to deliver one surface to Teams."""

    def __init__(self, entry: OutboxEntry, outlets: Outlets) -> None:
        self._entry, self._wanted, self._outlets = entry, entry.wanted, outlets
        self._chat, self._mentioning = outlets.chat, outlets.mentioning
        # the surface before this attempt; its failures determine the next pause
        self._former = entry.stored or Surface(self._wanted.name, self._wanted.kind, DeliveryState.WAITING)
        self._is_first = entry.stored is None

    async def deliver(self) -> None:
        """Send the surface if it is due and Teams does not show it; skip or give up a surface that is no longer needed.

        Skips a surface with stored values of a newer version that this version cannot read. Raises LeaseHeld.
        """
        former = self._former
        if former.delivery is DeliveryState.IMPOSSIBLE or self._entry.record.has_unrecognized_surface(former.name):
            return
        if self._wanted.overtaken:
            await self._skip()
        elif self._is_given_up():
            await self._give_up(former.problem)
        elif waits_until(former, self._now()):
            return
        elif former.delivery is DeliveryState.POSTING and former.unconfirmed_posts >= retry_policy.MOST_POSTS:
            # each time, the process ended after the post or the store did not accept the result
            await self._capped("not_noted", copies=former.unconfirmed_posts)
        else:
            await self._attempt()

    async def _attempt(self) -> None:
        try:
            await self._send()
        except ChatThrottled as throttled:
            pause = retry_policy.after_throttling(self._former, self._seed, retry_after=throttled.retry_after)
            await self._put_off("throttled", pause)
        except ChatUnavailable as unavailable:
            await self._unavailable(unavailable.code, ambiguous=unavailable.ambiguous)
        except ChatRefused as refused:
            await self._refused(refused)

    async def _send(self) -> None:
        match self._wanted.kind:
            case SurfaceKind.CARD:
                await self._send_card()
            case SurfaceKind.NOTE:
                await self._send_note()
            case SurfaceKind.DIRECT:
                await self._send_direct()
            case _:
                assert_never(self._wanted.kind)

    # --- the card

    async def _send_card(self) -> None:
        former = self._former
        if former.activity_id is None:
            if not is_copy(self._wanted.name):
                await self._post_card()
        elif former.digest != self._entry.digest or former.problem is not None:
            await self._update_card(former.conversation or self._wanted.channel.conversation, former.activity_id)

    async def _post_card(self) -> None:
        # done before the post is stored, because it may be slow
        shown = await self._mentioning.on_post(self._entry.record, self._wanted)
        await self._entry.begin_post()
        conversation = self._wanted.channel.conversation
        posted = await self._sent(shown, lambda message: self._chat.post(conversation, message), alert=True)
        await self._delivered(posted)

    async def _update_card(self, conversation: str, activity_id: str) -> None:
        shown = await self._mentioning.on_update(self._entry.record, self._wanted)
        await self._entry.begin_update()
        posted = Posted(conversation, activity_id)
        await self._sent(shown, lambda message: self._chat.update(posted, message))
        await self._delivered(posted)

    # --- messages that are sent once

    async def _send_note(self) -> None:
        thread = _thread(self._entry.record, self._wanted)
        if self._former.delivery not in UNDONE or thread is None:
            return
        await self._entry.begin_post()
        posted = await self._sent(self._wanted, lambda message: self._chat.reply(thread, message))
        await self._delivered(posted)

    async def _send_direct(self) -> None:
        if self._former.delivery not in UNDONE:
            return
        person = self._wanted.person
        if person is None:
            raise ChatRefused(ChatProblem.UNKNOWN_PERSON)
        await self._entry.begin_post()
        posted = await self._sent(self._wanted, lambda message: self._chat.direct(person, message), alert=True)
        await self._delivered(posted)

    async def _skip(self) -> None:
        if self._former.delivery in UNDONE:
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

    async def _delivered(self, posted: Posted) -> None:
        self._count("delivered")
        log.info("surface_delivered")
        before = self._entry.stored
        await self._entry.delivered(posted)
        if before and before.problem:
            await self._entry.reconcile_again()

    # --- failures

    async def _unavailable(self, code: str, *, ambiguous: bool = False) -> None:
        """Retry later. A post whose answer was lost may have arrived: after MOST_POSTS of these, retry once an hour."""
        copies = self._former.unconfirmed_posts + 1
        if ambiguous and copies >= retry_policy.MOST_POSTS:
            await self._capped(code, copies=copies)
        else:
            await self._put_off(code, retry_policy.after_outage(self._former, self._seed), ambiguous=ambiguous)

    async def _capped(self, code: str, *, copies: int) -> None:
        log.error("post_capped", copies=copies)
        await self._put_off(code, retry_policy.CAPPED, result="capped", ambiguous=True)

    async def _put_off(
        self,
        code: str,
        pause: timedelta,
        *,
        result: str = "postponed",
        ambiguous: bool = False,
        problem: str | None = None,
    ) -> None:
        self._count(result)
        log.warning("delivery_postponed", code=code, seconds=pause.total_seconds())
        await self._entry.put_off(until=self._now() + pause, ambiguous=ambiguous, problem=problem)

    async def _refused(self, refused: ChatRefused) -> None:
        wanted, problem = self._wanted, refused.problem
        consequence = CONSEQUENCES[wanted.kind, problem]
        self._outlets.telemetry.refusals.labels(kind=wanted.kind, problem=problem).inc()
        log.error(
            "delivery_refused",
            channel=wanted.channel.name,
            problem=problem,
            detail=refused.detail,
            consequence=consequence,
        )
        match consequence:
            case Consequence.WAIT:
                await self._unavailable(problem)
            case Consequence.REPOST:
                await self._repost(problem)
            case Consequence.STAND_IN:
                await self._out_of_reach(problem)
            case Consequence.TELL:
                await self._give_up(problem)
                await self._entry.reconcile_again()
            case Consequence.DROP:
                await self._give_up(problem)
            case _:
                assert_never(consequence)

    async def _repost(self, problem: str) -> None:
        """Post a card again that somebody deleted in Teams, while the request is open and at most REPOSTS times."""
        reposts = self._former.reposts
        log.warning("card_missing", reposts=reposts)
        of_no_use = self._is_first or is_copy(self._wanted.name) or _has_ended(self._entry.record)
        if of_no_use or reposts >= retry_policy.REPOSTS:
            await self._give_up(problem)
            return
        await self._entry.deleted()
        await Delivery(self._entry, self._outlets).deliver()

    async def _out_of_reach(self, problem: str) -> None:
        """Retry with growing pauses. The first refusal also makes the row due: the fallback channel must get a card."""
        pause = retry_policy.after_refusal(self._former, self._seed)
        await self._put_off(problem, pause, result="refused", problem=problem)
        if not self._former.problem:
            await self._entry.reconcile_again()

    async def _give_up(self, problem: str | None) -> None:
        self._count("impossible")
        log.warning("delivery_impossible", problem=problem)
        await self._entry.impossible(problem)

    # --- this attempt

    def _now(self) -> datetime:
        return self._outlets.clock.now()

    @property
    def _seed(self) -> str:
        """A text that identifies this failure; it determines the jitter."""
        return f"{self._entry.record.key} {self._wanted.name} {self._former.failures}"

    def _is_given_up(self) -> bool:
        """True for a refused card of an ended request, if it was never shown or was refused LAST_REFUSALS times."""
        former = self._former
        if former.kind is not SurfaceKind.CARD or former.problem is None or not _has_ended(self._entry.record):
            return False
        return former.activity_id is None or former.refusals >= retry_policy.LAST_REFUSALS

    def _count(self, result: str) -> None:
        self._outlets.telemetry.deliveries.labels(kind=self._wanted.kind, result=result).inc()


def _message_of(wanted: Wanted, *, alert: bool, brief: bool = False) -> Message:
    """Return the message in its channel's locale and time zone; `brief`: in its shortest form."""
    channel = wanted.channel
    card = render(wanted.view, locale=channel.locale, timezone=channel.timezone, brief=brief)
    return Message(card, summary(wanted.view, locale=channel.locale), alert=alert)


def _thread(record: Record, wanted: Wanted) -> Posted | None:
    """Return the channel's card, in whose thread notes are posted; None before the card is posted."""
    card = record.surface(card_name(wanted.channel.name))
    if card is None or card.activity_id is None or card.conversation is None:
        return None
    return Posted(card.conversation, card.activity_id)


def waits_until(surface: Surface | None, now: datetime) -> datetime | None:
    """Return the time before which a surface must not be tried again; None if it may be tried now."""
    return surface.retry_at if surface and surface.retry_at and surface.retry_at > now else None


def _has_ended(record: Record) -> bool:
    return record.request is not None and record.request.status.ended
