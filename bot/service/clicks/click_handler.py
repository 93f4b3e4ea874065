"""Entry point for clicks: locates the request, attempts the decision, answers in time. Start with `ClickHandler.click`.

A click is answered within its time limit even if AWS, Teams or the store does not answer.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from bot.concurrency.background import Background
from bot.concurrency.waiting import ended_before
from bot.domain.abilities import Abilities
from bot.domain.audit import CLICKED, AuditEntry, state_of
from bot.domain.shown.views import Notice, NoticeCode
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.ports.teams import People
from bot.rendering.template import Card
from bot.service.approver_groups import ApproverGroups
from bot.service.auditing import Auditing
from bot.service.clicks.answers import Answers, bare
from bot.service.clicks.attempt import AttemptServices, ClickAttempt
from bot.service.clicks.click import Answer, Click, Verb
from bot.service.clicks.ending_sessions import EndingSessions
from bot.service.clicks.locator import Locator
from bot.service.clicks.orphan_cards import OrphanCards
from bot.service.clicks.refreshing import Refreshing
from bot.service.clicks.retracting import Retracting
from bot.service.clicks.reviewing import Reviewing
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.permission_check import PermissionCheck
from bot.service.decisions.signalling import Signalling
from bot.service.rows import Rows
from bot.telemetry import Telemetry

LAST_MOMENT = 2.8  # seconds from the arrival of the click; Teams must have the answer within 3, even if the store hangs
LONGEST_REQUEST = 100  # characters of a request's key in logs and audit trail; a card's data may hold anything
log = structlog.get_logger(__name__)


class ClickHandler:
    """Answers clicks, each within its time limit. Start with `click`.

    `abilities` returns what every running process can do.
    """

    def __init__(
        self,
        *,
        rows: Rows,
        permission: PermissionCheck,
        people: People,
        groups: ApproverGroups,
        signalling: Signalling,
        clock: Clock,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
        auditing: Auditing,
        abilities: Callable[[], Abilities],
    ) -> None:
        self._clock, self._telemetry, self._auditing = clock, telemetry, auditing
        self._answers, self._background = Answers(configuration, clock, abilities=abilities), Background()
        orphan_cards = OrphanCards(rows=rows, clock=clock, configuration=configuration, background=self._background)
        self._locator = Locator(rows=rows, configuration=configuration, orphan_cards=orphan_cards)
        self._refreshing = Refreshing(
            locator=self._locator,
            people=people,
            groups=groups,
            answers=self._answers,
            clock=clock,
            configuration=configuration,
            telemetry=telemetry,
        )
        self._retracting = Retracting(rows=rows, answers=self._answers, clock=clock)
        self._reviewing = Reviewing(rows=rows, permission=permission, answers=self._answers, clock=clock)
        self._ending_sessions = EndingSessions(
            rows=rows, permission=permission, answers=self._answers, clock=clock, abilities=abilities
        )
        self._services = AttemptServices(
            rows=rows,
            permission=permission,
            signalling=signalling,
            answers=self._answers,
            clock=clock,
            telemetry=telemetry,
            background=self._background,
        )

    async def click(self, click: Click) -> Answer:
        """Answer a click within its time limit. No input from a person or a card makes it raise an error."""
        with structlog.contextvars.bound_contextvars(request=click.request[:LONGEST_REQUEST]):
            answer = await self._in_time(click)
            code = answer.notice.code if answer.notice else "shown"
            self._telemetry.clicks.labels(verb=click.verb, outcome=code).inc()
            log.info("click_answered", verb=click.verb, person=click.person.object_id, outcome=code)
            entry = self._entry(click, str(code), answer.state)
            self._auditing.clicked(entry, shows_only=click.verb is Verb.REFRESH)
            return answer

    async def refresh(self, click: Click) -> Card | None:
        """Return a person's view of a card for an automatic refresh; None if there is none now. Never raises."""
        with structlog.contextvars.bound_contextvars(request=click.request[:LONGEST_REQUEST]):
            return await self._refreshing.refresh(click)

    async def drain(self) -> None:
        """Wait for decisions that are being sent to AWS, and for the audit trail.

        Decisions that wait for their turn are left to another process.
        """
        self._services.signalling.queue.close()
        await self._background.drain()
        await self._auditing.drain()

    async def _in_time(self, click: Click) -> Answer:
        """Answer at the last moment even if the store hangs. The work continues, because its claim may be stored."""
        now = self._clock.now()
        at = min(click.received_at or now, now)  # the clock may have been set back since
        work = self._background.begin(self._answer(click, at=at))
        if await ended_before(work, self._clock.sleep(LAST_MOMENT - (now - at).total_seconds())):
            return work.result()
        self._telemetry.store_errors.inc()
        return bare(Notice(NoticeCode.STORE_SLOW, typed=click.comment), click.locale)

    async def _answer(self, click: Click, *, at: datetime) -> Answer:
        try:
            return await self._attempt(click, at)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            return bare(Notice(NoticeCode.NOT_STORED, typed=click.comment), click.locale)

    async def _attempt(self, click: Click, at: datetime) -> Answer:
        located = await self._locator.locate(click)
        if isinstance(located, Answer):
            return located
        match click.verb:
            case Verb.REFRESH if click.manual:
                answer = Answer(self._refreshing.view(located, click)[1], None, "")
            case Verb.REFRESH:
                answer = self._answers.shown(located.record, located.screen, None)
            case Verb.WITHDRAW:
                answer = await self._retracting.answer(click, located)
            case Verb.REVIEWING:
                answer = await self._reviewing.answer(click, located)
            case Verb.END_SESSIONS if not self._ending_sessions.revokes_first(located):
                answer = await self._ending_sessions.answer(click, located, at=at)
            case _:
                answer = await ClickAttempt(self._services, click, located, at=at).answer()
        return replace(answer, state=state_of(located.record))

    def _entry(self, click: Click, outcome: str, state: str) -> AuditEntry:
        """Return the audit entry of a click. Comments are not in the audit trail: AWS and the card have them."""
        return AuditEntry(
            at=self._clock.now(),
            event=CLICKED,
            request=click.request[:LONGEST_REQUEST],
            step=click.step[:128],
            verb=click.verb,
            person=click.person.object_id,
            person_name=click.person.name,
            tenant=click.person.tenant_id,
            conversation=click.conversation,
            outcome=outcome,
            state=state,
        )
