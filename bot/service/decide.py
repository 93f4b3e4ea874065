"""What happens when somebody presses a button: who may, who goes on, and what everybody is told in time.

A click is answered within its budget whatever AWS does. Only the winner of the claim reads AWS; everybody else is
answered from the row.
"""

import asyncio
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot.domain.card import card_view
from bot.domain.decision import (
    COMMENT_LIMIT,
    Claim,
    ClaimRefusal,
    Decision,
    claim,
)
from bot.domain.identity import Person
from bot.domain.record import Record, SurfaceKind
from bot.domain.request import InvalidRequestKey, RequestKey, Status, Verdict
from bot.domain.routing import Channel, same_conversation
from bot.domain.surfaces import CARD
from bot.domain.views import Banner, DecisionLine, Notice, NoticeCode, Tone
from bot.ports import AuditEntry, Clock, People, StoreUnavailable
from bot.service.answers import Answers, bare
from bot.service.clicks import Answer, Click, Verb
from bot.service.configured import Configured
from bot.service.notices import notice_of_decision, notice_of_ending
from bot.service.permission import Permission
from bot.service.rows import Rows
from bot.service.signalling import HOLD, Signalling
from bot.telemetry import Telemetry

INVOKE_BUDGET = 2.5  # seconds; an invoke is to be answered within 3, and Teams gives up after 10 and may click again
log = structlog.get_logger(__name__)


class ClaimLost(Exception):
    """The claim was not granted; nothing was written."""

    def __init__(self, refused: Claim) -> None:
        super().__init__(refused.refusal)
        self.claim = refused


@dataclass(frozen=True, slots=True)
class _Press:
    """A click whose request is known and whose person may decide it."""

    click: Click
    key: RequestKey
    verdict: Verdict
    person: Person
    channel: Channel
    at: datetime
    decision_id: str


class Deciding:
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
    ) -> None:
        self._rows, self._signalling = rows, signalling
        self._permission = Permission(people, configured)
        self._clock, self._configured, self._telemetry = clock, configured, telemetry
        self._answers = Answers(configured, clock)
        self._carried: set[asyncio.Task[object]] = set()

    async def click(self, click: Click) -> Answer:
        """Answer a click within its budget; never raises for what a person or a card may send."""
        try:
            answer = await self._click(click)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            answer = bare(Notice(NoticeCode.NOT_STORED, typed=click.comment))
        code = answer.notice.code if answer.notice else "shown"
        self._telemetry.clicks.labels(verb=click.verb, outcome=code).inc()
        log.info("click_answered", request=click.request, verb=click.verb, person=click.person.object_id, outcome=code)
        self._later(self._audit(click, str(code)))  # an answer does not wait for the disk
        return answer

    async def drain(self) -> None:
        """Wait for the decisions that are on their way, and for the audit trail."""
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def _click(self, click: Click) -> Answer:
        deadline = self._clock.now() + timedelta(seconds=INVOKE_BUDGET)
        try:
            key = RequestKey.parse(click.request)
        except InvalidRequestKey:
            return bare(Notice(NoticeCode.NOT_FOUND))
        record = await self._rows.load(key)  # a row is never made from what a card says: anybody could say anything
        if record is None or record.request is None:
            return bare(Notice(NoticeCode.NOT_FOUND))
        channel = self._channel_of(record, click)
        if channel is None:
            return bare(Notice(NoticeCode.NOT_HERE), refused=True)
        if click.verb is Verb.REFRESH:
            return self._answers.shown(record, channel, None)
        if click.verb in {Verb.CANCEL, Verb.REVOKE}:
            return self._answers.shown(record, channel, Notice(NoticeCode.NOT_AVAILABLE, typed=click.comment))
        return await self._decide(record, channel, click, key, deadline)

    # --- where the click came from

    def _channel_of(self, record: Record, click: Click) -> Channel | None:
        """Return the channel of this conversation, if this request has a card there, or is just getting one.

        People may press before the row knows where the card is: a post is claimed first and its id kept after.
        """
        for surface in record.surfaces:
            if surface.kind is not SurfaceKind.CARD:
                continue
            channel = self._configured.channel(surface.name.removeprefix(CARD))
            posted_to = surface.conversation or (channel.conversation if channel else None)
            if same_conversation(posted_to, click.conversation):
                return channel
        return None

    # --- may this person, and is there anything left to decide

    async def _decide(
        self, record: Record, channel: Channel, click: Click, key: RequestKey, deadline: datetime
    ) -> Answer:
        if ending := self._too_late(record, click):
            return self._answers.shown(record, channel, ending)
        verdict = Verdict(click.verb.value)
        person, refusal = await self._permission.refusal(record, channel, click, verdict)
        if refusal:
            return self._answers.shown(record, channel, Notice(NoticeCode(refusal), typed=click.comment), refused=True)
        clicked = replace(click, comment=click.comment.strip()[:COMMENT_LIMIT])
        press = _Press(clicked, key, verdict, person, channel, self._clock.now(), uuid.uuid4().hex)
        return await self._claim(press, deadline)

    def _too_late(self, record: Record, click: Click) -> Notice | None:
        request = record.request
        if request and (request.status.ended or (request.waiting and request.waiting.step != click.step)):
            return notice_of_ending(record, click.step, typed=click.comment)
        return None

    # --- the claim

    async def _claim(self, press: _Press, deadline: datetime) -> Answer:
        try:
            await self._rows.apply(press.key, lambda row: self._claimed(row, press))
        except ClaimLost as lost:
            return await self._lost(press, lost.claim, deadline)
        self._later(self._signalling.carry(press.key, press.decision_id))
        try:
            return await self._own(press, press.decision_id, deadline)
        except StoreUnavailable:  # the claim is stored, so something may well be sent
            self._telemetry.store_errors.inc()
            return bare(Notice(NoticeCode.APPLYING, Tone.INFO))

    def _claimed(self, record: Record, press: _Press) -> Record:
        if record.request is None:
            raise ClaimLost(Claim(ClaimRefusal.OTHERS_FIRST))
        answer = claim(
            person=press.person,
            verdict=press.verdict,
            step=press.click.step,
            request=record.request,
            decisions=record.decisions,
            now=self._clock.now(),
        )
        if answer.refusal:
            raise ClaimLost(answer)
        held_until = self._clock.now() + HOLD
        decision = Decision(
            id=press.decision_id,
            person=press.person,
            verdict=press.verdict,
            step=press.click.step,
            clicked_at=press.at,
            held_until=held_until,
            comment=press.click.comment,
            conversation=press.click.conversation,
        )
        return record.with_decision(decision).look_by(held_until)

    async def _lost(self, press: _Press, lost: Claim, deadline: datetime) -> Answer:
        """Wait for what stands in the way, then try again while there is time; answered from the row alone."""
        if lost.refusal is ClaimRefusal.REPEAT and lost.held_by:
            return await self._own(press, lost.held_by.id, deadline, repeated=True)
        record = await self._rows.wait(
            press.key, lambda row: self._free_or_over(row, press), seconds=self._remaining(deadline)
        )
        if record is None:
            return bare(Notice(NoticeCode.NOT_FOUND))
        if notice := self._too_late(record, press.click):
            return self._answers.shown(record, press.channel, notice)
        if self._remaining(deadline) <= 0:
            return self._answers.shown(
                record, press.channel, Notice(NoticeCode.BUSY, Tone.INFO, typed=press.click.comment)
            )
        return await self._claim(press, deadline)

    def _free_or_over(self, record: Record, press: _Press) -> bool:
        if self._too_late(record, press.click):
            return True
        try:
            self._claimed(record, press)
        except ClaimLost:
            return False
        return True

    # --- the answer to one's own decision

    async def _own(self, press: _Press, decision_id: str, deadline: datetime, *, repeated: bool = False) -> Answer:
        seconds = self._remaining(deadline)
        record = await self._rows.wait(press.key, lambda row: self._told_by(row, decision_id), seconds=seconds)
        if record is None:
            return bare(Notice(NoticeCode.NOT_FOUND))
        if self._told_by(record, decision_id):
            notice = notice_of_decision(record, decision_id, repeated=repeated, typed=press.click.comment)
            return self._answers.shown(record, press.channel, notice)
        return await self._applying(press, decision_id)

    def _told_by(self, record: Record, decision_id: str) -> bool:
        decision = record.decision(decision_id)
        return decision is None or record.tells_end_of(decision, self._clock.now())

    async def _applying(self, press: _Press, decision_id: str) -> Answer:
        """It takes longer: say so, and promise in the row that the end will be told in the thread."""
        now = self._clock.now()

        def announce(row: Record) -> Record:
            decision = row.decision(decision_id)
            if decision is None:
                return row
            card = row.surface(CARD + press.channel.name)
            told = row.with_surface(replace(card, digest=None)) if card else row  # theirs is not what was delivered
            return told.with_decision(replace(decision, announced=True)).look_by(now)

        record = await self._rows.apply(press.key, announce)
        decision = record.decision(decision_id)
        if decision is None or record.request is None:
            return bare(Notice(NoticeCode.NOT_FOUND))
        view = card_view(record, press.channel, self._configured.rules, now)
        line = DecisionLine(decision.verdict, decision.person.shown_name, decision.clicked_at, decision.comment or None)
        if record.request.status is Status.PENDING:
            view = replace(view, banner=Banner.APPLYING, applying=line, buttons=False, step="")
        return self._answers.of(view, press.channel, Notice(NoticeCode.APPLYING, Tone.INFO))

    def _remaining(self, deadline: datetime) -> float:
        return max(0.0, (deadline - self._clock.now()).total_seconds())

    def _later(self, work: Coroutine[object, object, object]) -> None:
        """Have something done whose end the answer does not wait for; `drain` does."""
        task = asyncio.create_task(work)
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)

    async def _audit(self, click: Click, outcome: str) -> None:
        """Keep who tried what. An audit trail that cannot be written must not change what was answered."""
        entry = AuditEntry(
            at=self._clock.now(),
            event="clicked",
            request=click.request[:100],
            step=click.step[:128],
            verb=click.verb,
            person=click.person.object_id,
            person_name=click.person.name,
            tenant=click.person.tenant_id,
            conversation=click.conversation,
            outcome=outcome,
        )
        try:
            await self._rows.store.append_audit(entry)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            log.error("audit_not_stored", request=click.request, verb=click.verb, outcome=outcome)
