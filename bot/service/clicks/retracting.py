"""Takes back a person's own votes that were not sent, so that AWS does not get them."""

from dataclasses import replace

from bot.domain.decision import Decision, DecisionEvent, DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Verdict
from bot.domain.shown.card_places import with_unknown_content
from bot.domain.shown.views import Notice, NoticeCode, Tone
from bot.ports.clock import Clock
from bot.service.clicks.answers import Answers
from bot.service.clicks.click import Answer, Click
from bot.service.clicks.locator import Located
from bot.service.rows import Rows
from bot.text.names import exact


class NothingToRetract(Exception):
    """The person has no unsent vote on the request. The row was not written."""


class Retracting:
    """Answers clicks on Withdraw."""

    def __init__(self, *, rows: Rows, answers: Answers, clock: Clock) -> None:
        self._rows, self._answers, self._clock = rows, answers, clock

    async def answer(self, click: Click, located: Located) -> Answer:
        """Release the person's votes that were not sent, and return the answer to the click. Raises StoreUnavailable.

        The click's step does not matter: a person has a vote only where they may vote.
        """
        screen = located.screen

        def retract(row: Record) -> Record:
            now, own = self._clock.now(), [each for each in row.live_decisions if may_retract(click.person, each)]
            if not own:
                raise NothingToRetract
            for each in own:
                released = each.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.WITHDRAWN)
                row = row.with_decision(replace(released, announced=False))
            return with_unknown_content(row, screen.channel.name).requeue_first(now)

        try:
            record = await self._rows.apply(located.record.key, retract)
        except NothingToRetract:
            return self._answers.shown(located.record, screen, Notice(NoticeCode.NOTHING_TO_WITHDRAW), refused=True)
        return self._answers.shown(record, screen, Notice(Outcome.WITHDRAWN, Tone.GOOD))


def may_retract(person: Person, decision: Decision) -> bool:
    """True for the person's own vote that was not sent."""
    own = exact(decision.person.object_id) == exact(person.object_id)
    same_tenant = exact(decision.person.tenant_id) == exact(person.tenant_id)
    unsent = decision.state is DecisionState.CLAIMED and isinstance(decision.verdict, Verdict)
    return own and same_tenant and unsent and bool(person.object_id)
