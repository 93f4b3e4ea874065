"""What happens when somebody presses a button: which request it is about, and an answer in time.

A click is answered within its budget whatever AWS, Teams or the store does.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import structlog

from bot.concurrency.background import Background
from bot.domain.audit import CLICKED, AuditEntry, state_of
from bot.domain.record import Record, SurfaceKind
from bot.domain.request import InvalidRequestKey, RequestKey
from bot.domain.routing import Channel, same_conversation
from bot.domain.shown.card_places import channel_of_card, may_have_more
from bot.domain.shown.views import Notice, NoticeCode
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.ports.teams import People
from bot.service.auditing import Auditing
from bot.service.clicks.answers import Answers, Screen, bare
from bot.service.clicks.claiming import Claiming
from bot.service.clicks.click import Answer, Click, Verb
from bot.service.clicks.orphan_cards import OrphanCards
from bot.service.clicks.signalling import Signalling
from bot.service.configured import Configured
from bot.service.rows import Rows
from bot.telemetry import Telemetry

LAST_MOMENT = 2.8  # seconds; an invoke is to be answered within 3, even if the store hangs
log = structlog.get_logger(__name__)


class ClickHandler:
    """Answers clicks."""

    def __init__(
        self,
        *,
        rows: Rows,
        people: People,
        signalling: Signalling,
        clock: Clock,
        configured: Configured,
        telemetry: Telemetry,
        auditing: Auditing,
    ) -> None:
        self._auditing = auditing
        self._rows, self._clock, self._configured, self._telemetry = rows, clock, configured, telemetry
        self._adoption = OrphanCards(rows=rows, clock=clock, configured=configured)
        self._answers, self._carried = Answers(configured, clock), Background()
        self._claiming = Claiming(
            rows=rows,
            people=people,
            signalling=signalling,
            clock=clock,
            configured=configured,
            telemetry=telemetry,
            background=self._carried,
        )

    async def click(self, click: Click) -> Answer:
        """Answer a click within its budget; never raises for what a person or a card may send."""
        answer = await self._in_time(click)
        code = answer.notice.code if answer.notice else "shown"
        self._telemetry.clicks.labels(verb=click.verb, outcome=code).inc()
        log.info("click_answered", request=click.request, verb=click.verb, person=click.person.object_id, outcome=code)
        self._auditing.clicked(self._entry(click, str(code), answer.state))
        return answer

    async def drain(self) -> None:
        """Wait for the decisions that are on their way, and for the audit trail."""
        await self._carried.drain()
        await self._auditing.drain()

    async def _in_time(self, click: Click) -> Answer:
        """Answer at the last moment even if the store hangs; what was begun goes on, for it may be stored already."""
        work = self._carried.begin(self._answered(click, at=self._clock.now()))
        pause = asyncio.ensure_future(self._clock.sleep(LAST_MOMENT))
        try:
            await asyncio.wait({work, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
        if work.done():
            return work.result()
        self._telemetry.store_errors.inc()
        return bare(Notice(NoticeCode.STORE_SLOW, typed=click.comment), click.locale)

    async def _answered(self, click: Click, *, at: datetime) -> Answer:
        try:
            return await self._click(click, at)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            return bare(Notice(NoticeCode.NOT_STORED, typed=click.comment), click.locale)

    async def _click(self, click: Click, at: datetime) -> Answer:
        try:
            key = RequestKey.parse(click.request)
        except InvalidRequestKey:
            return bare(Notice(NoticeCode.NOT_FOUND), click.locale)
        if not self._configured.covers(key):
            return bare(Notice(NoticeCode.NOT_FOUND, typed=click.comment), click.locale)
        record = await self._rows.load(key)
        if record is None or record.request is None:
            reconciling = await self._adoption.of_unknown_request(key, click)
            return bare(
                Notice(NoticeCode.LOOKING if reconciling else NoticeCode.NOT_FOUND, typed=click.comment),
                click.locale,
            )
        return replace(await self._of_known(record, click, at), state=state_of(record))

    async def _of_known(self, record: Record, click: Click, at: datetime) -> Answer:
        if click.verb is Verb.CANCEL:
            return await self._cancel(record, click, at)
        channel = self._channel_of(record, click)
        if channel is None:
            return bare(Notice(NoticeCode.NOT_HERE), click.locale, refused=True)
        self._carried.begin(self._adopted(record, click))
        if click.verb is Verb.REFRESH:
            return self._answers.shown(record, Screen(channel, reader=click.locale), None)
        return await self._claiming.decide(record, Screen(channel, reader=click.locale), click, at)

    async def _cancel(self, record: Record, click: Click, at: datetime) -> Answer:
        channel = self._configured.channel(record.route.channel) if record.route else None
        if channel is None or not _was_told_in(record, click.conversation):
            return bare(Notice(NoticeCode.OWN_CHAT), click.locale, refused=True)
        return await self._claiming.decide(record, Screen(channel, personal=True, reader=click.locale), click, at)

    async def _adopted(self, record: Record, click: Click) -> None:
        with suppress(StoreUnavailable):  # the next click on it tells again
            await self._adoption.of_unknown_card(record, click)

    # --- where the click came from

    def _channel_of(self, record: Record, click: Click) -> Channel | None:
        """Return the channel of this conversation, if this request has a card there, or may have one unknown to us."""
        cards = [surface for surface in record.surfaces if surface.kind is SurfaceKind.CARD]
        for card in cards:
            if same_conversation(card.conversation, click.conversation):
                return self._configured.channel(channel_of_card(card.name))
        here = self._configured.channel_at(click.conversation)
        posting = here and any(card.conversation is None and channel_of_card(card.name) == here.name for card in cards)
        at_home = here and record.route and record.route.channel == here.name
        return here if posting or (at_home and may_have_more(record)) else None

    def _entry(self, click: Click, outcome: str, state: str) -> AuditEntry:
        """Say who tried what; the comment's words are AWS's and the card's."""
        return AuditEntry(
            at=self._clock.now(),
            event=CLICKED,
            request=click.request[:100],
            step=click.step[:128],
            verb=click.verb,
            person=click.person.object_id,
            person_name=click.person.name,
            tenant=click.person.tenant_id,
            conversation=click.conversation,
            outcome=outcome,
            state=state,
        )


def _was_told_in(record: Record, conversation: str) -> bool:
    """True for the chat in which the requester got a direct message about this request."""
    told = (surface for surface in record.surfaces if surface.kind is SurfaceKind.DIRECT)
    return any(same_conversation(surface.conversation, conversation) for surface in told)
