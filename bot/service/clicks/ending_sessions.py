"""Begins the end of a person's open sessions, for clicks once access has ended. Sends nothing to AWS.

While access runs, such a click revokes it first: `bot.service.clicks.attempt` then begins the ending together with the
decision. `bot.service.reconcile.ending` does the work, and checks permission again before each session.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bot.domain.abilities import Abilities
from bot.domain.access.endings import Ending
from bot.domain.decision import COMMENT_LIMIT
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.rules.permission import Refusal, can_be_revoked, had_access
from bot.domain.shown.views import Notice, NoticeCode, Tone
from bot.ports.clock import Clock
from bot.service.clicks.answers import Answers, Screen, bare
from bot.service.clicks.click import Answer, Click
from bot.service.clicks.locator import Located
from bot.service.decisions.permission_check import Actor, PermissionCheck
from bot.service.rows import Rows


class NotBegun(Exception):
    """The person may not end sessions by this row, which was not written."""

    def __init__(self, record: Record, notice: Notice) -> None:
        super().__init__(notice.code)
        self.record, self.notice = record, notice


class EndingSessions:
    """Answers clicks that end open sessions. `abilities` returns what every running process can do."""

    def __init__(
        self,
        *,
        rows: Rows,
        permission: PermissionCheck,
        answers: Answers,
        clock: Clock,
        abilities: Callable[[], Abilities],
    ) -> None:
        self._rows, self._permission, self._answers = rows, permission, answers
        self._clock, self._abilities = clock, abilities

    def revokes_first(self, located: Located) -> bool:
        """True for a click on a channel's card while access runs."""
        request, able = located.record.request, self._abilities().end_sessions
        on_card = able and not located.screen.personal
        return on_card and request is not None and can_be_revoked(request, self._clock.now())

    async def answer(self, click: Click, located: Located, *, at: datetime) -> Answer:
        """Store the ending, and return the answer to the click. `at` is its time. Raises StoreUnavailable."""
        record, screen = located.record, located.screen
        # no one else may see the requester's message
        if screen.personal and (refusal := self._permission.not_the_requester(record, click.person)):
            return bare(Notice(refusal), click.locale, refused=True)
        typed = "" if screen.personal else click.comment.strip()[:COMMENT_LIMIT]
        if not self._abilities().end_sessions:
            return self._answers.shown(record, screen, Notice(NoticeCode.UPGRADING, typed=typed), refused=True)
        actor = None if screen.personal else await self._permission.actor(click.person, screen.channel)
        ending = _ending(click, record, screen, actor, typed=typed, at=at)

        def begin(row: Record) -> Record:
            row = row.with_settled_ending(self._clock.now())
            if notice := self._notice(row, ending, actor):
                raise NotBegun(row, replace(notice, typed=typed))
            return row.with_ending(ending).requeue_first(self._clock.now())

        try:
            record = await self._rows.apply(record.key, begin)
        except NotBegun as why:
            return await self._not_begun(why, screen, click)
        return self._answers.shown(record, screen, Notice(NoticeCode.ENDING, Tone.GOOD))

    async def _not_begun(self, why: NotBegun, screen: Screen, click: Click) -> Answer:
        if why.notice.code is Refusal.RECONFIGURED:  # the next click works once the requester is identified again
            await self._rows.requeue(why.record.key)
            if screen.personal:
                return bare(why.notice, click.locale, refused=True)
        refused = isinstance(why.notice.code, Refusal)
        return self._answers.shown(why.record, screen, why.notice, refused=refused)

    def _notice(self, row: Record, ending: Ending, actor: Actor | None) -> Notice | None:
        """Return why the ending cannot begin, by this row; None if it can."""
        if row.request is None or not had_access(row.request):
            return Notice(NoticeCode.NOT_APPROVED, Tone.INFO)
        if refusal := self._permission.refusal_of_ending(row, ending, actor, self._clock.now()):
            return Notice(refusal)
        if row.ending:
            return Notice(NoticeCode.ENDING_ALREADY, Tone.INFO)
        return Notice(NoticeCode.BUSY, Tone.INFO) if row.has_unrecognized_ending else None


def _ending(click: Click, record: Record, screen: Screen, actor: Actor | None, *, typed: str, at: datetime) -> Ending:
    return Ending(
        id=uuid.uuid4().hex,
        person=actor.person if actor else _requester(record, click.person),
        step=click.step,
        clicked_at=at,
        conversation=click.conversation,
        comment=typed,
        own=screen.personal,
        next_at=at,
    )


def _requester(record: Record, person: Person) -> Person:
    """Return the requester, whose name CloudTrail shows as AWS spells it; the roster may not say their tenant."""
    known = record.requester.person if record.requester else None
    return replace(known, tenant_id=person.tenant_id) if known else person
