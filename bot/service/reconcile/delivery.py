"""Performs the difference between what Teams must show and what was delivered. Called by converge, under the lease.

Owns order, what is sent, and what follows from Teams' answer. One recipient that cannot be reached never keeps
anything from another; what must be tried again has its own moment in the row, so that nobody is asked too often.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar, assert_never

import structlog

from bot.domain.record import DeliveryState, Record, Surface, SurfaceKind
from bot.domain.shown.card_places import card_name, is_copy
from bot.domain.shown.surfaces import Wanted
from bot.ports.clock import Clock
from bot.ports.teams import Chat, ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable, Message, People, Posted
from bot.service.reconcile import backoff
from bot.service.reconcile.mentioning import Mentioning
from bot.service.reconcile.messages import digest_of, message_of
from bot.service.reconcile.outbox import Outbox
from bot.service.reconcile.refusal_policy import CONSEQUENCES, Consequence
from bot.service.rows import Rows
from bot.telemetry import Telemetry

REPOSTS = 3  # times that a card somebody deleted is posted anew
LAST_REFUSALS = 8  # some five hours of refusals after which the card of a request that has ended is left as it is
UNDONE = frozenset({DeliveryState.WAITING, DeliveryState.CLAIMED})
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Postponed(Exception):
    """Something could not be delivered now; look again at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class Deliveries:
    """Brings surfaces to Teams, in order."""

    def __init__(
        self, *, rows: Rows, chat: Chat, people: People, clock: Clock, owner: str, telemetry: Telemetry
    ) -> None:
        self._outbox = Outbox(rows, clock, owner)
        self._chat, self._clock, self._telemetry = chat, clock, telemetry
        self._mentioning = Mentioning(people)

    async def deliver(self, record: Record, wanted: Sequence[Wanted]) -> Record:
        """Deliver what differs. Raises Postponed once everything that could be delivered was."""
        waits: dict[str, datetime] = {}
        for want in wanted:
            if want.line in waits:
                continue  # a line keeps its order; one line never holds up another
            record = await self._deliver_one(record, want)
            surface = record.surface(want.name)
            if surface and surface.retry_at and surface.retry_at > self._clock.now():
                waits[want.line] = surface.retry_at
        if waits:
            raise Postponed(min(waits.values()))
        return record

    async def _deliver_one(self, record: Record, want: Wanted) -> Record:
        surface = record.surface(want.name) or Surface(want.name, want.kind, DeliveryState.WAITING)
        if surface.delivery is DeliveryState.IMPOSSIBLE:
            return record
        if want.overtaken:
            return await self._skip(record, want, surface)
        if _rests(record, surface):
            return await self._leave(record, want, surface.problem)
        if surface.retry_at and surface.retry_at > self._clock.now():
            return record
        if (
            surface.delivery is DeliveryState.CLAIMED and surface.lost >= backoff.MOST_COPIES
        ):  # died, or noted down in vain
            return await self._capped(record, want, "not_noted", copies=surface.lost)
        try:
            return await self._attempt(record, want, surface)
        except ChatThrottled as throttled:
            return await self._throttled(record, want, throttled)
        except ChatUnavailable as unavailable:
            return await self._unavailable(record, want, unavailable.code, ambiguous=unavailable.ambiguous)
        except ChatRefused as refused:
            return await self._refused(record, want, refused)

    async def _attempt(self, record: Record, want: Wanted, surface: Surface) -> Record:
        match want.kind:
            case SurfaceKind.CARD:
                return await self._card(record, want, surface)
            case SurfaceKind.NOTE:
                return await self._note(record, want, surface)
            case SurfaceKind.DIRECT:
                return await self._direct(record, want, surface)
            case _:
                assert_never(want.kind)

    # --- the card

    async def _card(self, record: Record, want: Wanted, surface: Surface) -> Record:
        digest = digest_of(want)
        if surface.activity_id is None:
            return record if is_copy(want.name) else await self._post_card(record, want, digest)
        if surface.digest == digest and surface.problem is None:
            return record
        return await self._update_card(record, want, surface, digest)

    async def _post_card(self, record: Record, want: Wanted, digest: str) -> Record:
        shown = await self._mentioning.on_post(record, want)  # before the claim: rosters may take their time
        record = await self._outbox.claim(record.key, want)
        posted = await self._sent(
            record, shown, lambda message: self._chat.post(want.channel.conversation, message), alert=True
        )
        return await self._delivered(record, want, posted, digest)

    async def _update_card(self, record: Record, want: Wanted, surface: Surface, digest: str) -> Record:
        shown = await self._mentioning.on_update(record, want)
        record = await self._outbox.begin_update(record.key, want)
        posted = Posted(surface.conversation or want.channel.conversation, surface.activity_id or "")
        await self._sent(record, shown, lambda message: self._chat.update(posted, message))
        return await self._delivered(record, want, posted, digest)

    # --- what is sent once

    async def _note(self, record: Record, want: Wanted, surface: Surface) -> Record:
        thread = _thread(record, want)
        if surface.delivery not in UNDONE or thread is None:
            return record
        record = await self._outbox.claim(record.key, want)
        posted = await self._sent(record, want, lambda message: self._chat.reply(thread, message))
        return await self._delivered(record, want, posted, None)

    async def _direct(self, record: Record, want: Wanted, surface: Surface) -> Record:
        if surface.delivery not in UNDONE:
            return record
        person = want.person
        if person is None:
            raise ChatRefused(ChatProblem.UNKNOWN_PERSON)
        record = await self._outbox.claim(record.key, want)
        posted = await self._sent(record, want, lambda message: self._chat.direct(person, message), alert=True)
        return await self._delivered(record, want, posted, None)

    async def _skip(self, record: Record, want: Wanted, surface: Surface) -> Record:
        if surface.delivery not in UNDONE:
            return record
        self._count(want, "skipped")
        return await self._outbox.skipped(record.key, want)

    # --- sending

    async def _sent(
        self, record: Record, want: Wanted, send: Callable[[Message], Awaitable[T]], *, alert: bool = False
    ) -> T:
        """Send; what Teams finds too large is sent once more, cut as short as it can be."""
        try:
            return await send(message_of(want, alert=alert))
        except ChatRefused as refused:
            if refused.problem is not ChatProblem.TOO_LARGE:
                raise
        log.warning("message_cut", request=str(record.key), surface=want.name)
        await self._outbox.renew(record.key)
        return await send(message_of(want, alert=alert, brief=True))

    async def _delivered(self, record: Record, want: Wanted, posted: Posted, digest: str | None) -> Record:
        self._count(want, "delivered")
        log.info("surface_delivered", request=str(record.key), surface=want.name)
        former = record.surface(want.name)
        record = await self._outbox.delivered(record.key, want, posted, digest)
        return await self._outbox.reconcile_again(record.key) if former and former.problem else record

    # --- when it fails

    async def _throttled(self, record: Record, want: Wanted, throttled: ChatThrottled) -> Record:
        surface, seed = _failed(record, want)
        pause = backoff.after_throttling(surface, seed, patience=throttled.retry_after)
        return await self._put_off(record, want, "throttled", pause)

    async def _unavailable(self, record: Record, want: Wanted, code: str, *, ambiguous: bool = False) -> Record:
        """A post whose reply was lost may have arrived: after some of these, only one an hour is risked."""
        surface, seed = _failed(record, want)
        if ambiguous and surface.lost + 1 >= backoff.MOST_COPIES:
            return await self._capped(record, want, code, copies=surface.lost + 1)
        return await self._put_off(record, want, code, backoff.after_outage(surface, seed), ambiguous=ambiguous)

    async def _capped(self, record: Record, want: Wanted, code: str, *, copies: int) -> Record:
        log.error("post_capped", request=str(record.key), surface=want.name, copies=copies)
        return await self._put_off(record, want, code, backoff.CAPPED, result="capped", ambiguous=True)

    async def _put_off(
        self,
        record: Record,
        want: Wanted,
        code: str,
        pause: timedelta,
        *,
        result: str = "postponed",
        ambiguous: bool = False,
        problem: str | None = None,
    ) -> Record:
        self._count(want, result)
        seconds = pause.total_seconds()
        log.warning("delivery_postponed", request=str(record.key), surface=want.name, code=code, seconds=seconds)
        until = self._clock.now() + pause
        return await self._outbox.put_off(record.key, want, until=until, ambiguous=ambiguous, problem=problem)

    async def _refused(self, record: Record, want: Wanted, refused: ChatRefused) -> Record:
        problem, consequence = refused.problem, CONSEQUENCES[want.kind, refused.problem]
        self._telemetry.refusals.labels(kind=want.kind, problem=problem).inc()
        log.error(
            "delivery_refused",
            request=str(record.key),
            surface=want.name,
            channel=want.channel.name,
            problem=problem,
            detail=refused.detail,
            consequence=consequence,
        )
        match consequence:
            case Consequence.WAIT:
                return await self._unavailable(record, want, problem)
            case Consequence.REPOST:
                return await self._repost(record, want, problem)
            case Consequence.STAND_IN:
                return await self._out_of_reach(record, want, problem)
            case Consequence.TELL:
                await self._leave(record, want, problem)
                return await self._outbox.reconcile_again(record.key)
            case Consequence.DROP:
                return await self._leave(record, want, problem)
            case _:
                assert_never(consequence)

    async def _repost(self, record: Record, want: Wanted, problem: str) -> Record:
        """Somebody deleted the card in Teams: post it anew while it is of use, and not for ever."""
        surface = record.surface(want.name)
        reposts = surface.reposts if surface else REPOSTS
        log.warning("card_missing", request=str(record.key), surface=want.name, reposts=reposts)
        if is_copy(want.name) or _ended(record) or reposts >= REPOSTS:
            return await self._leave(record, want, problem)
        return await self._deliver_one(await self._outbox.deleted(record.key, want), want)

    async def _out_of_reach(self, record: Record, want: Wanted, problem: str) -> Record:
        """Try again, ever later; meanwhile the request must be seen somewhere else."""
        surface, seed = _failed(record, want)
        record = await self._put_off(
            record, want, problem, backoff.after_refusal(surface, seed), result="refused", problem=problem
        )
        return record if surface.problem else await self._outbox.reconcile_again(record.key)

    async def _leave(self, record: Record, want: Wanted, problem: str | None) -> Record:
        self._count(want, "impossible")
        log.warning("delivery_impossible", request=str(record.key), surface=want.name, problem=problem)
        return await self._outbox.impossible(record.key, want, problem)

    def _count(self, want: Wanted, result: str) -> None:
        self._telemetry.deliveries.labels(kind=want.kind, result=result).inc()


def _thread(record: Record, want: Wanted) -> Posted | None:
    card = record.surface(card_name(want.channel.name))
    if card is None or card.activity_id is None or card.conversation is None:
        return None  # the card comes first; its thread is there once it is posted
    return Posted(card.conversation, card.activity_id)


def _failed(record: Record, want: Wanted) -> tuple[Surface, str]:
    """Return what was tried, as it was before, and a seed that no other failure has."""
    surface = record.surface(want.name) or Surface(want.name, want.kind, DeliveryState.WAITING)
    return surface, f"{record.key} {want.name} {surface.failures}"


def _ended(record: Record) -> bool:
    return record.request is not None and record.request.status.ended


def _rests(record: Record, surface: Surface) -> bool:
    """True for the card of an ended request that Teams refuses: one that nobody ever saw, or after long enough."""
    if surface.kind is not SurfaceKind.CARD or surface.problem is None or not _ended(record):
        return False
    return surface.activity_id is None or surface.refusals >= LAST_REFUSALS
