"""Who goes on with a decision, and what its person is told in time: permission, the claim on the row, the answer.

Only the winner of the claim reads AWS; everybody else is answered from the row.
"""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from bot.concurrency.background import Background
from bot.domain.claims import Claim, ClaimRefusal, claim, under_way
from bot.domain.decision import COMMENT_LIMIT, Decision
from bot.domain.identity import Person
from bot.domain.permission import Refusal
from bot.domain.record import Record
from bot.domain.request import Action, RequestKey, Verdict, Withdrawal
from bot.domain.shown.card_places import with_unknown_content
from bot.domain.shown.views import Notice, NoticeCode, Tone
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable, StoreUncertain
from bot.ports.teams import People
from bot.service.clicks.answers import Answers, Screen, bare
from bot.service.clicks.click import Answer, Click, Verb
from bot.service.clicks.notices import notice_of_decision, notice_of_too_late
from bot.service.clicks.permission import Known, Permission
from bot.service.clicks.signalling import HOLD, Signalling
from bot.service.configured import Configured
from bot.service.rows import Rows
from bot.telemetry import Telemetry

ANNOUNCE_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds; as long as a decision may be on its way
INVOKE_BUDGET = 2.5  # seconds; an invoke is to be answered within 3, and Teams gives up after 10 and may click again
ACTS: Final[Mapping[Verb, Action]] = MappingProxyType(
    {
        Verb.APPROVE: Verdict.APPROVE,
        Verb.REJECT: Verdict.REJECT,
        Verb.REVOKE: Withdrawal.REVOKE,
        Verb.CANCEL: Withdrawal.CANCEL,
    }
)


class StaleCheck(Exception):
    """The row or the rules are others than those by which the person was judged; nothing was written."""


class ClaimLost(Exception):
    """The claim was not granted; nothing was written."""

    def __init__(self, refused: Claim) -> None:
        super().__init__(refused.refusal)
        self.claim = refused


Facts = tuple[object, ...]
"""By what somebody was judged: another revision of the file, or another row in what counts, are other facts."""


@dataclass(frozen=True, slots=True)
class _Press:
    """A click whose request is known, and the facts by which its person may do this."""

    click: Click
    key: RequestKey
    act: Action
    person: Person
    screen: Screen
    at: datetime  # when the click came: its budget, and the minute in which it may be sent, count from here
    decision_id: str
    known: Known | None = None  # None: to cancel, no roster is asked
    judged: Facts = ()
    in_role: bool = False


class Claiming:
    """Takes a click to a claim, and the claim to its answer."""

    def __init__(
        self,
        *,
        rows: Rows,
        people: People,
        signalling: Signalling,
        clock: Clock,
        configured: Configured,
        telemetry: Telemetry,
        background: Background,
    ) -> None:
        self._rows, self._signalling, self._background = rows, signalling, background
        self._permission = Permission(people, configured)
        self._clock, self._configured, self._telemetry = clock, configured, telemetry
        self._answers = Answers(configured, clock)

    async def decide(self, record: Record, screen: Screen, click: Click, at: datetime) -> Answer:
        """Answer a click of any verb of ACTS that came at `at`. Raises StoreUnavailable where nothing was stored."""
        act = ACTS[click.verb]
        if act is Withdrawal.CANCEL and (stranger := self._permission.stranger(record, click.person)):
            return bare(Notice(NoticeCode(stranger)), click.locale, refused=True)
        if late := self._too_late(record, click):
            return self._answers.shown(record, screen, late)
        comment = "" if act is Withdrawal.CANCEL else click.comment.strip()[:COMMENT_LIMIT]  # AWS takes none to cancel
        known = None if act is Withdrawal.CANCEL else await self._permission.known(click.person, screen.channel)
        person = known.person if known else click.person
        press = _Press(replace(click, comment=comment), record.key, act, person, screen, at, uuid.uuid4().hex, known)
        return await self._judged(record, press)

    async def _judged(self, record: Record, press: _Press) -> Answer:
        """Judge by the row and the rules of this moment, and go on to the claim, which holds for these alone."""
        refusal = self._refusal(record, press)
        if refusal is Refusal.RECONFIGURED:
            await self._rows.requeue(record.key)  # a former process, or another replica, may have placed them
        if refusal:
            with suppress(StoreUnavailable):  # what was read before tells it, too
                record = await self._rows.load(record.key) or record  # the roster may have taken seconds
            notice = Notice(NoticeCode(refusal), typed=press.click.comment)
            return self._answers.shown(record, press.screen, notice, refused=True)
        own = record.requester.person if press.act is Withdrawal.CANCEL and record.requester else None
        person = own or press.person  # who cancels is the requester, with the name that CloudTrail is to show
        channel = self._configured.channel(press.screen.channel.name)
        in_role = bool(channel and channel.role_at(press.click.step, record.key.account))
        return await self._claim(replace(press, person=person, judged=self._facts(record), in_role=in_role))

    def _refusal(self, record: Record, press: _Press) -> Refusal | None:
        if press.known is None:
            return self._permission.refusal_to_cancel(record, press.click)
        click, name = press.click, press.screen.channel.name
        return self._permission.refusal(
            record, name, press.known, act=press.act, step=click.step, comment=click.comment
        )

    def _facts(self, record: Record) -> Facts:
        return self._configured.revision, record.request, record.requester, record.route

    def _too_late(self, record: Record, click: Click) -> Notice | None:
        now = self._clock.now()
        return notice_of_too_late(record, ACTS[click.verb], click.step, now, typed=click.comment)

    # --- the claim

    async def _claim(self, press: _Press) -> Answer:
        try:
            await self._rows.apply(press.key, lambda row: self._claimed(row, press))
        except ClaimLost as lost:
            return await self._lost(press, lost.claim)
        except StaleCheck:
            return await self._anew(press)
        except StoreUncertain:  # it may be stored, and then it is carried on: say no "nothing was sent"
            self._telemetry.store_errors.inc()
            return bare(Notice(NoticeCode.STORE_SLOW, typed=press.click.comment), press.click.locale)
        self._background.begin(self._signalling.carry(press.key, press.decision_id))
        return await self._own(press, press.decision_id)

    def _claimed(self, record: Record, press: _Press) -> Record:
        if record.request is None:
            raise ClaimLost(Claim(ClaimRefusal.OTHERS_FIRST))
        answer = claim(
            person=press.person,
            verdict=press.act,
            step=press.click.step,
            request=record.request,
            decisions=record.decisions,
            now=self._clock.now(),
        )
        if answer.refusal:
            raise ClaimLost(answer)
        if self._facts(record) != press.judged:
            raise StaleCheck
        held_until = self._clock.now() + HOLD
        decision = Decision(
            id=press.decision_id,
            person=press.person,
            verdict=press.act,
            step=press.click.step,
            clicked_at=press.at,
            held_until=held_until,
            comment=press.click.comment,
            conversation=press.click.conversation,
            in_role=press.in_role,
        )
        return record.with_decision(decision).requeue_by(held_until)

    async def _anew(self, press: _Press) -> Answer:
        """Judge once more, while there is time."""
        record = await self._rows.load(press.key)
        if record is None:
            return bare(Notice(NoticeCode.NOT_FOUND), press.click.locale)
        if notice := self._too_late(record, press.click):
            return self._answers.shown(record, press.screen, notice)
        if self._remaining(press) <= 0:
            notice = Notice(NoticeCode.RECONFIGURED, typed=press.click.comment)
            return self._answers.shown(record, press.screen, notice, refused=True)
        return await self._judged(record, press)

    async def _lost(self, press: _Press, lost: Claim) -> Answer:
        """Wait for what stands in the way, then try again while there is time; answered from the row alone."""
        if lost.refusal is ClaimRefusal.REPEAT and lost.held_by:
            return await self._own(press, lost.held_by.id, repeated=True)
        seconds = self._remaining(press)
        record = await self._rows.wait(press.key, lambda row: self._free_or_over(row, press), seconds=seconds)
        if record is None:
            return bare(Notice(NoticeCode.NOT_FOUND), press.click.locale)
        if notice := self._too_late(record, press.click):
            return self._answers.shown(record, press.screen, notice)
        if self._remaining(press) <= 0:
            return self._answers.shown(record, press.screen, _busy(record, press, self._clock.now()))
        return await self._claim(press)

    def _free_or_over(self, record: Record, press: _Press) -> bool:
        if self._too_late(record, press.click):
            return True
        try:
            self._claimed(record, press)
        except ClaimLost:
            return False
        except StaleCheck:
            return True
        return True

    # --- the answer to one's own decision

    async def _own(self, press: _Press, decision_id: str, *, repeated: bool = False) -> Answer:
        try:
            return await self._told(press, decision_id, repeated=repeated)
        except StoreUnavailable:  # the claim is stored, so something may well be sent
            self._telemetry.store_errors.inc()
            self._background.begin(self._announce_later(press, decision_id))
            return bare(Notice(NoticeCode.APPLYING, Tone.INFO), press.click.locale)

    async def _announce_later(self, press: _Press, decision_id: str) -> None:
        """Promise in the row, once the store takes it, what was promised to the person already."""
        for pause in (0.0, *ANNOUNCE_PAUSES):
            await self._clock.sleep(pause)
            with suppress(StoreUnavailable):
                await self._applying(press, decision_id)
                return

    async def _told(self, press: _Press, decision_id: str, *, repeated: bool) -> Answer:
        seconds = self._remaining(press)
        record = await self._rows.wait(press.key, lambda row: self._told_by(row, decision_id), seconds=seconds)
        if record is None:
            return bare(Notice(NoticeCode.NOT_FOUND), press.click.locale)
        if self._told_by(record, decision_id):
            now, typed = self._clock.now(), press.click.comment
            notice = notice_of_decision(record, decision_id, now, repeated=repeated, typed=typed)
            return self._answers.shown(record, press.screen, notice)
        return await self._applying(press, decision_id)

    def _told_by(self, record: Record, decision_id: str) -> bool:
        decision = record.decision(decision_id)
        return decision is None or record.tells_end_of(decision, self._clock.now())

    async def _applying(self, press: _Press, decision_id: str) -> Answer:
        """It takes longer: say so, and promise in the row that the end will be told."""
        now = self._clock.now()

        def announce(row: Record) -> Record:
            decision = row.decision(decision_id)
            if decision is None:
                return row
            # the clicker's card is not what was delivered; a direct message is never updated
            told = row if press.screen.personal else with_unknown_content(row, press.screen.channel.name)
            return told.with_decision(replace(decision, announced=True)).requeue_first(now)

        record = await self._rows.apply(press.key, announce)
        decision = record.decision(decision_id)
        if decision is None or record.request is None:
            return bare(Notice(NoticeCode.NOT_FOUND), press.click.locale)
        return self._answers.applying(record, press.screen, decision)

    def _remaining(self, press: _Press) -> float:
        spent = (self._clock.now() - press.at).total_seconds()
        return max(0.0, INVOKE_BUDGET - spent)


def _busy(record: Record, press: _Press, now: datetime) -> Notice:
    """Tell whose decision is on its way: AWS has not shown yet what comes of it."""
    others = (each for each in record.decisions if _stands_before(each, press))
    first = next((each for each in others if under_way(each, record.request, now)), None)
    busy = Notice(NoticeCode.BUSY, Tone.INFO, typed=press.click.comment)
    if first is None:
        return busy
    return replace(busy, who=first.person.shown_name, verdict=first.verdict, at=first.clicked_at)


def _stands_before(other: Decision, press: _Press) -> bool:
    if press.act is Withdrawal.REVOKE:
        return other.verdict is Withdrawal.REVOKE
    return Withdrawal.CANCEL in {other.verdict, press.act} or other.step == press.click.step
