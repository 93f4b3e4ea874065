"""Marks a person as a reviewer of a waiting request, so that others do not start the same work. Sends nothing to AWS.

The mark needs the permission for a decision, because the card names its person to all approvers. It is no decision:
there is no claim, and every other click works as without it.
"""

from dataclasses import replace
from datetime import datetime

from bot.domain.record import Record
from bot.domain.request import Verdict
from bot.domain.rules.permission import Refusal
from bot.domain.rules.reviewing import REVIEW_SPAN, Review, active_reviews, renewed
from bot.domain.shown.views import Notice, NoticeCode, Tone
from bot.ports.clock import Clock
from bot.service.clicks.answers import Answers
from bot.service.clicks.click import Answer, Click
from bot.service.clicks.locator import Located
from bot.service.clicks.notices import notice_of_too_late
from bot.service.decisions.permission_check import Actor, PermissionCheck
from bot.service.rows import Rows


class NotMarked(Exception):
    """The person may not be marked in this row, which was not written."""

    def __init__(self, record: Record, notice: Notice) -> None:
        super().__init__(notice.code)
        self.record, self.notice = record, notice


class Reviewing:
    """Answers clicks on "I'm reviewing this"."""

    def __init__(self, *, rows: Rows, permission: PermissionCheck, answers: Answers, clock: Clock) -> None:
        self._rows, self._permission, self._answers, self._clock = rows, permission, answers, clock

    async def answer(self, click: Click, located: Located) -> Answer:
        """Store the mark, and return the answer to the click. Raises StoreUnavailable."""
        record, screen = located.record, located.screen
        if late := self._too_late(record, click):
            return self._answers.shown(record, screen, late)
        actor = await self._permission.actor(click.person, screen.channel)

        def mark(row: Record) -> Record:
            now = self._clock.now()
            if late := self._too_late(row, click):
                raise NotMarked(row, late)
            if refusal := self._refusal(row, screen.channel.name, actor, click.step):
                raise NotMarked(row, Notice(refusal))
            return marked(row, actor, click.step, now)

        try:
            record = await self._rows.apply(record.key, mark)
        except NotMarked as why:
            if why.notice.code is Refusal.RECONFIGURED:  # the next click works once the requester is identified again
                await self._rows.requeue(record.key)
            refused = isinstance(why.notice.code, Refusal)
            return self._answers.shown(why.record, screen, why.notice, refused=refused)
        return self._answers.shown(record, screen, Notice(NoticeCode.REVIEWING, Tone.GOOD))

    def _refusal(self, record: Record, channel: str, actor: Actor, step: str) -> Refusal | None:
        """Return why the person may not decide. Reject is checked, because one rule restricts only Approve."""
        return self._permission.refusal(record, channel, actor, action=Verdict.REJECT, step=step, comment=None)

    def _too_late(self, record: Record, click: Click) -> Notice | None:
        return notice_of_too_late(record, Verdict.REJECT, click.step, self._clock.now())


def marked(record: Record, actor: Actor, step: str, now: datetime) -> Record:
    """Return the row with the person as a reviewer of this step. It is due if its card changes, and when the mark ends.

    If the person's mark has just begun, the row is returned unchanged.
    """
    review = Review(actor.person.user, actor.person.shown_name, step, now + REVIEW_SPAN)
    reviews = renewed(record.reviews, review, now=now)
    if reviews == record.reviews:
        return record
    after = replace(record, reviews=reviews).requeue_by(review.until)
    return after if _shown(after, step, now) == _shown(record, step, now) else after.requeue_by(now)


def _shown(record: Record, step: str, now: datetime) -> list[str]:
    return [each.name for each in active_reviews(record.reviews, record.decisions, step=step, now=now)]
