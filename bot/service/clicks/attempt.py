"""Processes one click, from its permission check to its answer. Start with `ClickAttempt.answer`.

Only a click whose claim is granted reaches AWS; all others are answered from the row.
"""

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from bot.concurrency.background import Background
from bot.domain.access.endings import Ending, EndingStage
from bot.domain.decision import COMMENT_LIMIT, Decision
from bot.domain.record import Record
from bot.domain.request import Withdrawal, asked_of_aws
from bot.domain.rules.claims import ClaimRefusal
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import Notice, NoticeCode, Tone
from bot.ports.clock import Clock
from bot.ports.store import Change, StoreUnavailable, StoreUncertain
from bot.service.clicks.answers import Answers, bare
from bot.service.clicks.claiming import ClaimLost, Permit, StaleCheck, claimed, is_claimable, promised
from bot.service.clicks.click import ACTIONS, OF_REQUESTER, Answer, Click, Verb
from bot.service.clicks.locator import Located
from bot.service.clicks.notices import notice_of_blocked, notice_of_decision, notice_of_too_late
from bot.service.decisions.permission_check import Actor, Inputs, PermissionCheck
from bot.service.decisions.queue import QueueFull, Ticket
from bot.service.decisions.signalling import Signalling
from bot.service.rows import Rows
from bot.telemetry import Telemetry

INVOKE_BUDGET = 2.5  # seconds from the click; Teams must have the answer within 3, and shows an error after 10


@dataclass(frozen=True, slots=True)
class AttemptServices:
    """The services that every attempt uses."""

    rows: Rows
    permission: PermissionCheck
    signalling: Signalling
    answers: Answers
    clock: Clock
    telemetry: Telemetry
    background: Background


@dataclass(frozen=True, slots=True)
class Held:
    """The decision that answers this click, and its place in the queue.

    `ticket` is None if an earlier click of the same person made the decision. If `uncertain`, the answer to the claim's
    write was lost, so the decision may not be stored.
    """

    decision_id: str
    ticket: Ticket | None = None
    uncertain: bool = False


class ClickAttempt:
    """One click until it is answered. `at` is the time of the click, from which all its time limits count."""

    def __init__(self, services: AttemptServices, click: Click, located: Located, *, at: datetime) -> None:
        self._rows, self._permission, self._signalling = services.rows, services.permission, services.signalling
        self._answers, self._clock, self._telemetry = services.answers, services.clock, services.telemetry
        self._background = services.background
        self._action = ACTIONS[click.verb]
        self._own, self._ends_sessions = click.verb in OF_REQUESTER, click.verb is Verb.END_SESSIONS
        # AWS accepts no comment with a cancellation
        comment = "" if self._own else click.comment.strip()[:COMMENT_LIMIT]
        self._click, self._at = replace(click, comment=comment), at
        self._record, self._screen, self._key = located.record, located.screen, located.record.key
        self._decision_id = uuid.uuid4().hex
        self._actor: Actor | None = None  # the roster is read once

    async def answer(self) -> Answer:
        """Check permission, claim, signal, and return the answer. Raises StoreUnavailable if no decision was stored."""
        held: Held | Answer | None = None
        while held is None:  # None: the row or the rules changed between permission and claim
            permit = await self._permit()
            if isinstance(permit, Answer):
                return permit
            held = await self._claim(permit)
        if isinstance(held, Answer):
            return held
        if held.ticket:
            held.ticket.enter()
            claimed = None if held.uncertain else self._record
            self._background.begin(self._signalling.carry(self._key, held.decision_id, held.ticket, claimed=claimed))
        return await self._answer(held)

    # --- permit

    async def _permit(self) -> Permit | Answer:
        """Check permission against the row and the rules as they are now."""
        if answer := await self._identified_again():
            return answer
        if self._own and (refusal := self._permission.not_the_requester(self._record, self._click.person)):
            return bare(Notice(refusal), self._click.locale, refused=True)
        if too_late := self._too_late(self._record):
            return self._shown(too_late)
        refusal = await self._refusal()
        if refusal is Refusal.RECONFIGURED:  # the rules have changed while the roster was read
            return await self._identified_again() or await self._permit()
        if refusal:
            return await self._refused(refusal)
        decision = self._decision()
        return Permit(decision, self._permission.inputs(self._record), self._ending_after(decision))

    async def _identified_again(self) -> Answer | None:
        """If other rules or another version identified the requester, wait until they are identified again.

        Return an Answer if that takes too long, if the click is too late, or if the row is gone; None otherwise.
        """
        if not self._permission.identified_by_former_rules(self._record):
            return None
        # no one else may see the requester's message: whether the click is too late is checked after the person
        if not self._own and (too_late := self._too_late(self._record)):
            return self._shown(too_late)
        await self._rows.apply(self._key, lambda row: row.requeue_first(self._clock.now()))

        def is_over(row: Record) -> bool:
            return not self._permission.identified_by_former_rules(row)

        record = await self._rows.wait(self._key, is_over, seconds=self._remaining())
        if record is None:
            return self._not_found()
        self._record = record
        return None if is_over(record) else self._reconfigured()

    def _reconfigured(self) -> Answer:
        notice = Notice(Refusal.RECONFIGURED, typed=self._click.comment)
        return bare(notice, self._click.locale, refused=True) if self._own else self._shown(notice, refused=True)

    async def _refusal(self) -> Refusal | None:
        if self._own:
            return self._permission.refusal_of_requester(
                self._record, self._click.person, action=self._action, step=self._click.step
            )
        click, channel = self._click, self._screen.channel
        if self._actor is None:
            self._actor = await self._permission.actor(click.person, channel)
        if self._ends_sessions and not self._permission.has_role_to_end(self._key):
            return Refusal.NO_END_ROLE
        return self._permission.refusal(
            self._record, channel.name, self._actor, action=self._action, step=click.step, comment=click.comment
        )

    async def _refused(self, refusal: Refusal) -> Answer:
        # reading the roster may have taken seconds; if the store fails, the old row is good enough
        with suppress(StoreUnavailable):
            self._record = await self._rows.load(self._key) or self._record
        return self._shown(Notice(refusal, typed=self._click.comment), refused=True)

    def _decision(self) -> Decision:
        person = self._actor.person if self._actor else self._click.person
        if self._own and self._record.requester and (requester := self._record.requester.person):
            # it carries the requester's name as CloudTrail shows it; the roster may not say their tenant
            person = replace(requester, tenant_id=person.tenant_id)
        return Decision(
            id=self._decision_id,
            person=person,
            verdict=asked_of_aws(self._action),
            step=self._click.step,
            clicked_at=self._at,
            held_until=self._at,
            comment=self._click.comment,
            conversation=self._click.conversation,
            in_role=self._permission.has_role(self._key, self._screen.channel.name, self._click.step),
            given_back=self._action is Withdrawal.GIVE_BACK,
        )

    def _ending_after(self, decision: Decision) -> Ending | None:
        """Return the ending of sessions that waits for this revocation; None for any other button."""
        if not self._ends_sessions:
            return None
        return Ending(
            id=decision.id,
            person=decision.person,
            step=decision.step,
            clicked_at=self._at,
            conversation=decision.conversation,
            comment=decision.comment,
            revocation=decision.id,
            stage=EndingStage.WAITS,
        )

    # --- claim

    async def _claim(self, permit: Permit) -> Held | Answer | None:
        """Claim the decision with a place in the queue.

        Returns an Answer if the claim is not granted, None if permission must be checked again.
        """
        try:
            ticket = self._signalling.queue.reserve(self._key, self._action, permit.decision.person)
        except QueueFull:
            return self._repeated(permit) or self._shown(Notice(NoticeCode.QUEUE_FULL, typed=self._click.comment))
        held: Held | Answer | None = None
        try:
            held = await self._claim_with(ticket, permit)
        finally:
            if not isinstance(held, Held) or held.ticket is None:
                ticket.leave()
        return held

    def _repeated(self, permit: Permit) -> Held | None:
        """Return the person's earlier decision that answers this click; None if there is none."""
        try:
            claimed(self._record, permit, *self._current(self._record))
        except ClaimLost as lost:
            return Held(lost.claim.held_by.id) if lost.claim.held_by else None
        except StaleCheck:
            return None
        return None

    async def _claim_with(self, ticket: Ticket, permit: Permit) -> Held | Answer | None:
        """Claim the decision. If other decisions block it, wait and try again until the time of the click is over.

        Returns None if permission must be checked again.
        """

        def claim(row: Record) -> Record:
            queued_from = self._screen if self._signalling.queue.is_busy(self._key) else None
            return claimed(row, permit, *self._current(row), queued_from=queued_from)

        while True:
            try:
                self._record = await self._rows.apply(self._key, claim)
            except ClaimLost as lost:
                if lost.claim.refusal is ClaimRefusal.REPEAT and lost.claim.held_by:
                    return Held(lost.claim.held_by.id)
                if answer := await self._wait_for_others(permit):
                    return answer
            except StaleCheck:
                return await self._reload()
            except StoreUncertain:  # if the claim is stored it is sent: do not say that nothing was sent
                self._telemetry.store_errors.inc()
                return Held(self._decision_id, ticket, uncertain=True)
            else:
                return Held(self._decision_id, ticket)

    async def _wait_for_others(self, permit: Permit) -> Answer | None:
        """Wait until other decisions allow the claim.

        Return an Answer if the click is too late, if its time is over, or if the row is gone; None otherwise.
        """
        if self._record.has_times_ahead(self._clock.now()):  # the decision that it waits for may be over
            await self._rows.requeue(self._key)

        def is_over(row: Record) -> bool:
            return self._too_late(row) is not None or is_claimable(row, permit, *self._current(row))

        record = await self._rows.wait(self._key, is_over, seconds=self._remaining())
        if answer := self._answer_if_over(record):
            return answer
        if self._remaining() <= 0:
            return self._shown(notice_of_blocked(self._record, permit.decision, self._clock.now()))
        return None

    async def _reload(self) -> Answer | None:
        """Read the row for another permission check.

        Return an Answer if the click is too late, if its time is over, or if the row is gone; None otherwise.
        """
        if answer := self._answer_if_over(await self._rows.load(self._key)):
            return answer
        if self._remaining() <= 0:
            return self._reconfigured()
        return None

    def _answer_if_over(self, record: Record | None) -> Answer | None:
        """Keep a row that was just read. Return an Answer if the row is gone or the click is too late, else None."""
        if record is None:
            return self._not_found()
        self._record = record
        too_late = self._too_late(record)
        return self._shown(too_late) if too_late else None

    def _current(self, record: Record) -> tuple[Inputs, datetime]:
        return self._permission.inputs(record), self._clock.now()

    # --- answer

    async def _answer(self, held: Held) -> Answer:
        """Wait for the decision's outcome; answer "applying…" if that takes longer than an invoke may."""
        if held.uncertain:
            self._background.begin(self._promise_later(held.decision_id))
            return bare(Notice(NoticeCode.STORE_SLOW, typed=self._click.comment), self._click.locale)
        try:
            if held.ticket and held.ticket.seconds > self._remaining():
                return self._queued(held.decision_id) or await self._promise(held.decision_id)
            return await self._end_of(held) or await self._promise(held.decision_id)
        except StoreUnavailable:  # the claim is stored, so something may be sent
            self._telemetry.store_errors.inc()
            self._background.begin(self._promise_later(held.decision_id))
            return bare(Notice(NoticeCode.APPLYING, Tone.INFO), self._click.locale)

    async def _end_of(self, held: Held) -> Answer | None:
        def is_over(row: Record) -> bool:
            decision = row.decision(held.decision_id)
            waits = decision is not None and held.ticket is None and decision.queued and decision.announced
            return decision is None or waits or row.has_result_of(decision, self._clock.now())

        record = await self._rows.wait(self._key, is_over, seconds=self._remaining())
        if record is None:
            return self._not_found()
        if not is_over(record):
            return None
        self._record = record
        now, typed, repeated = self._clock.now(), self._click.comment, held.ticket is None
        if answer := self._queued(held.decision_id):
            return answer
        return self._shown(notice_of_decision(record, held.decision_id, now, repeated=repeated, typed=typed))

    def _queued(self, decision_id: str) -> Answer | None:
        """Return the answer for a decision that waits for its turn; None unless the row promises its outcome."""
        decision = self._record.decision(decision_id)
        if decision is None or not (decision.queued and decision.announced):
            return None
        return self._answers.applying(self._record, self._screen, decision)

    async def _promise(self, decision_id: str) -> Answer:
        """Store that the outcome must be posted, and return the answer "applying…". Raises StoreUnavailable."""
        record = await self._rows.apply(self._key, self._promised(decision_id))
        decision = record.decision(decision_id)
        if decision is None or record.request is None:
            return self._not_found()
        return self._answers.applying(record, self._screen, decision)

    async def _promise_later(self, decision_id: str) -> None:
        """Store that the outcome must be posted once the store works again: the answer has promised it."""
        with suppress(StoreUnavailable):
            await self._rows.persist(self._key, self._promised(decision_id))

    def _promised(self, decision_id: str) -> Change:
        return lambda row: promised(row, decision_id, self._screen, self._clock.now())

    def _shown(self, notice: Notice | None, *, refused: bool = False) -> Answer:
        return self._answers.shown(self._record, self._screen, notice, refused=refused)

    def _not_found(self) -> Answer:
        return bare(Notice(NoticeCode.NOT_FOUND), self._click.locale)

    def _too_late(self, record: Record) -> Notice | None:
        now = self._clock.now()
        return notice_of_too_late(record, self._action, self._click.step, now, typed=self._click.comment)

    def _remaining(self) -> float:
        """Return the seconds that are left for the answer."""
        return max(0.0, INVOKE_BUDGET - (self._clock.now() - self._at).total_seconds())
