"""Performs the difference between what Teams must show and what was delivered. Called by converge, under the lease.

A post is claimed in the row before it leaves and its id saved right after: a crash in between costs at most one extra.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from bot.domain.card import with_mentions
from bot.domain.record import Delivery, Record, Surface, SurfaceKind
from bot.domain.surfaces import CARD, Wanted
from bot.domain.views import CardView, Mention
from bot.ports import (
    Chat,
    ChatProblem,
    ChatRefused,
    ChatThrottled,
    ChatUnavailable,
    Clock,
    Message,
    People,
    Posted,
)
from bot.rendering import render, summary
from bot.service.rows import Rows
from bot.telemetry import Telemetry

RETRY_PAUSE = timedelta(seconds=5)  # after Teams did not answer usefully
MOST_DOUBLINGS = 6  # of the pause: five minutes at last
REFUSED_PAUSE = timedelta(minutes=5)  # before a channel that refused for good is tried again: the app may be installed
REPOSTS = 3  # times that a card somebody deleted is posted anew
log = structlog.get_logger(__name__)


class Postponed(Exception):
    """Something could not be delivered now; look again at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class Delivering:
    """Brings surfaces to Teams, in order."""

    def __init__(
        self, *, rows: Rows, chat: Chat, people: People, clock: Clock, owner: str, telemetry: Telemetry
    ) -> None:
        self._rows, self._chat, self._people, self._clock = rows, chat, people, clock
        self._owner, self._telemetry = owner, telemetry

    async def deliver(self, record: Record, wanted: Sequence[Wanted]) -> Record:
        """Deliver what differs. Raises Postponed once everything that could be delivered was."""
        waits: list[datetime] = []
        stuck: set[SurfaceKind] = set()
        for want in wanted:
            if want.kind in stuck:
                continue  # the same kind keeps its order; one kind never blocks another
            try:
                record = await self._deliver_one(record, want)
            except Postponed as postponed:
                waits.append(postponed.until)
                stuck.add(want.kind)
        if waits:
            raise Postponed(min(waits))
        return record

    async def _deliver_one(self, record: Record, want: Wanted) -> Record:
        try:
            match want.kind:
                case SurfaceKind.CARD:
                    return await self._card(record, want)
                case SurfaceKind.NOTE:
                    return await self._note(record, want)
                case SurfaceKind.DIRECT:
                    return await self._direct(record, want)
                case _:
                    assert_never(want.kind)
        except ChatThrottled as throttled:
            raise self._postponed(want, record, "throttled", timedelta(seconds=throttled.retry_after)) from throttled
        except ChatUnavailable as unavailable:
            raise self._postponed(want, record, unavailable.code, _longer_each_time(record, want)) from unavailable

    def _postponed(self, want: Wanted, record: Record, code: str, pause: timedelta) -> Postponed:
        self._count(want, "postponed")
        log.warning("delivery_postponed", request=str(record.key), surface=want.name, code=code)
        return Postponed(self._clock.now() + pause)

    # --- the card

    async def _card(self, record: Record, want: Wanted) -> Record:
        surface, digest = record.surface(want.name), digest_of(want)
        if surface is None or surface.activity_id is None:
            return await self._post_card(record, want, digest)
        if surface.digest == digest or surface.delivery is Delivery.IMPOSSIBLE:
            return record
        return await self._update_card(record, want, surface, digest)

    async def _post_card(self, record: Record, want: Wanted, digest: str) -> Record:
        record = await self._claim(record, want)
        message = await self._card_message(want, alert=True)
        try:
            posted = await self._chat.post(want.channel.conversation, message)
        except ChatRefused as refused:
            raise self._refused(want, record, refused) from refused
        return await self._delivered(record, want, posted, digest)

    async def _update_card(self, record: Record, want: Wanted, surface: Surface, digest: str) -> Record:
        await self._rows.renew(record.key, self._owner)
        posted = Posted(surface.conversation or want.channel.conversation, surface.activity_id or "")
        try:
            await self._chat.update(posted, await self._card_message(want, alert=False))
        except ChatRefused as refused:
            if refused.problem is ChatProblem.ACTIVITY_NOT_FOUND:
                return await self._repost(record, want, surface, digest)
            raise self._refused(want, record, refused) from refused
        return await self._delivered(record, want, posted, digest)

    async def _repost(self, record: Record, want: Wanted, surface: Surface, digest: str) -> Record:
        """Somebody deleted the card in Teams: post it anew while it is of use, and not for ever."""
        waiting = isinstance(want.view, CardView) and want.view.buttons
        log.warning("card_missing", request=str(record.key), surface=want.name, attempts=surface.attempts)
        if waiting and surface.attempts <= REPOSTS:
            return await self._post_card(record, want, digest)
        gone = replace(surface, delivery=Delivery.IMPOSSIBLE, problem=ChatProblem.ACTIVITY_NOT_FOUND)
        return await self._rows.apply(record.key, lambda row: row.with_surface(gone))

    def _refused(self, want: Wanted, record: Record, refused: ChatRefused) -> Postponed:
        self._count(want, "refused")
        log.error(
            "card_refused",
            request=str(record.key),
            channel=want.channel.name,
            problem=refused.problem,
            detail=refused.detail,
        )
        return Postponed(self._clock.now() + REFUSED_PAUSE)

    async def _card_message(self, want: Wanted, *, alert: bool) -> Message:
        view = want.view
        if isinstance(view, CardView) and want.channel.mention:
            view = with_mentions(view, await self._mentions(want.channel.mention))
        return self._message(replace(want, view=view), alert=alert)

    async def _mentions(self, listed: Sequence[str]) -> list[Mention]:
        """Name the people to be mentioned; who is in no roster cannot be."""
        known = {person.object_id.casefold(): person for person in await self._people.known()}
        ids = [entry.removeprefix("user:").casefold() for entry in listed]
        return [
            Mention(known[each].teams_id or known[each].object_id, known[each].shown_name)
            for each in ids
            if each in known
        ]

    # --- what is sent once

    async def _note(self, record: Record, want: Wanted) -> Record:
        thread = self._thread(record, want)
        if _done(record, want) or thread is None:
            return record
        record = await self._claim(record, want)
        try:
            posted = await self._chat.reply(thread, self._message(want, alert=False))
        except ChatRefused as refused:
            return await self._impossible(record, want, refused.problem)
        return await self._delivered(record, want, posted, None)

    def _thread(self, record: Record, want: Wanted) -> Posted | None:
        card = record.surface(CARD + want.channel.name)
        if card is None or card.activity_id is None or card.conversation is None:
            return None  # the card comes first; its thread is there once it is posted
        return Posted(card.conversation, card.activity_id)

    async def _direct(self, record: Record, want: Wanted) -> Record:
        if _done(record, want):
            return record
        if want.overtaken:
            return await self._save(record, want, Delivery.SKIPPED)
        record = await self._claim(record, want)
        if want.person is None:
            return await self._impossible(record, want, ChatProblem.UNKNOWN_PERSON)
        try:
            posted = await self._chat.direct(want.person, self._message(want, alert=True))
        except ChatRefused as refused:
            return await self._impossible(record, want, refused.problem)
        return await self._delivered(record, want, posted, None)

    # --- the row

    async def _claim(self, record: Record, want: Wanted) -> Record:
        record = await self._rows.renew(record.key, self._owner)
        former = record.surface(want.name)
        attempts = former.attempts + 1 if former else 1
        claimed = Surface(want.name, want.kind, Delivery.CLAIMED, attempts=attempts)
        return await self._rows.apply(record.key, lambda row: row.with_surface(claimed))

    async def _delivered(self, record: Record, want: Wanted, posted: Posted, digest: str | None) -> Record:
        self._count(want, "delivered")
        log.info("surface_delivered", request=str(record.key), surface=want.name)
        return await self._save(record, want, Delivery.DELIVERED, posted=posted, digest=digest)

    async def _impossible(self, record: Record, want: Wanted, problem: ChatProblem) -> Record:
        self._count(want, "impossible")
        log.warning("delivery_impossible", request=str(record.key), surface=want.name, problem=problem)
        return await self._save(record, want, Delivery.IMPOSSIBLE, problem=problem, again=True)

    async def _save(
        self,
        record: Record,
        want: Wanted,
        delivery: Delivery,
        *,
        posted: Posted | None = None,
        digest: str | None = None,
        problem: str | None = None,
        again: bool = False,
    ) -> Record:
        former = record.surface(want.name) or Surface(want.name, want.kind, delivery)
        saved = replace(
            former,
            delivery=delivery,
            conversation=posted.conversation if posted else former.conversation,
            activity_id=posted.activity_id if posted else former.activity_id,
            digest=digest,
            problem=problem,
        )
        now = self._clock.now()

        def save(row: Record) -> Record:
            if row.leased_by(self._owner):
                kept = row.with_surface(saved)
                return kept.look_by(now) if again else kept  # the thread must tell what is impossible
            return row.with_surface(replace(saved, digest=None)).look_by(now)  # another wrote meanwhile, and knew more

        return await self._rows.apply(record.key, save)

    def _message(self, want: Wanted, *, alert: bool) -> Message:
        channel = want.channel
        card = render(want.view, locale=channel.locale, timezone=channel.timezone)
        return Message(card, summary(want.view, locale=channel.locale), alert=alert)

    def _count(self, want: Wanted, result: str) -> None:
        self._telemetry.deliveries.labels(kind=want.kind, result=result).inc()


def _done(record: Record, want: Wanted) -> bool:
    surface = record.surface(want.name)
    return surface is not None and surface.delivery is not Delivery.CLAIMED


def _longer_each_time(record: Record, want: Wanted) -> timedelta:
    """A post whose reply was lost may have arrived: the longer Teams is away, the fewer copies."""
    surface = record.surface(want.name)
    doublings: int = min(surface.attempts if surface else 0, MOST_DOUBLINGS)
    return RETRY_PAUSE * (1 << doublings)


def digest_of(want: Wanted) -> str:
    """Return what tells two contents of a surface apart; views are frozen, so their repr is their content."""
    content = repr((want.view, want.channel.locale, want.channel.timezone))
    return hashlib.sha256(content.encode()).hexdigest()
