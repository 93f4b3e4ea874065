"""Reacts to a failed delivery: puts the surface off, or gives it up."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from bot.domain.record import KEPT, Record
from bot.domain.shown.views import DirectView
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.clock import Clock
from bot.ports.teams import Chat, ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.deliver import retry_policy
from bot.service.deliver.mentioning import Mentioning
from bot.service.deliver.outbox import OutboxEntry
from bot.service.deliver.probing import Probing
from bot.service.deliver.reader_style import ReaderStyle
from bot.service.deliver.retry_policy import CONSEQUENCES, Consequence, Task
from bot.service.deliver.viewing import Viewing
from bot.service.jump_links import JumpLinks
from bot.telemetry import Telemetry

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outlets:
    """The services that every delivery uses."""

    chat: Chat
    mentioning: Mentioning
    reader_style: ReaderStyle
    viewing: Viewing
    links: JumpLinks
    probing: Probing
    clock: Clock
    telemetry: Telemetry
    outcomes: Outcomes


class FailedDelivery:
    """The reactions for one surface. `former` is the surface before this attempt; its failures set the next pause."""

    def __init__(self, entry: OutboxEntry, former: Surface, outlets: Outlets) -> None:
        self._entry, self._wanted, self._former, self._outlets = entry, entry.wanted, former, outlets

    async def throttled(self, error: ChatThrottled) -> None:
        """Retry after the pause that Teams wants, or at the moment that our rate limit keeps for the message."""
        if error.booked:
            pause = timedelta(seconds=error.retry_after)
            self._note("postponed", "booked", pause)
            await self._entry.put_off(until=self._now() + pause, before=self._former.failures, failed=False)
            return
        pause = retry_policy.after_throttling(self._former, self._seed, retry_after=error.retry_after)
        await self._put_off("throttled", pause)

    async def unavailable(self, error: ChatUnavailable) -> None:
        """Retry later. A post whose answer was lost may have arrived: after MOST_POSTS of these, retry once an hour."""
        copies = self._former.unconfirmed_posts + 1
        if error.ambiguous and copies >= retry_policy.MOST_POSTS:
            await self.capped(error.code, copies=copies)
        else:
            await self._wait(error.code, ambiguous=error.ambiguous)

    async def capped(self, code: str, *, copies: int) -> None:
        """Retry in an hour, because several copies may be in Teams already."""
        log.error("post_capped", copies=copies)
        await self._put_off(code, retry_policy.CAPPED, result="capped", ambiguous=True)

    async def refused(self, task: Task, error: ChatRefused) -> bool:
        """React to a refusal; return True if the message must be posted again now."""
        if pause := self._before_repeat(task, error.problem):
            await self._repeat(task, error.problem, pause)
            return False
        consequence = CONSEQUENCES[task, error.problem]
        self._outlets.telemetry.refusals.labels(kind=self._wanted.kind, problem=error.problem).inc()
        log.error(
            "delivery_refused",
            channel=self._wanted.channel.name,
            problem=error.problem,
            detail=error.detail,
            consequence=consequence,
        )
        if (about := self._reported(task)) and error.problem is not ChatProblem.TOO_LARGE:
            self._outlets.outcomes.failed(*about, code=error.problem)
        if (place := self._place(task)) and consequence is not Consequence.WAIT:
            self._outlets.probing.lasts(place, self._entry.record, error.problem)
        match consequence:
            case Consequence.WAIT:
                await self._wait(error.problem)
            case Consequence.REPOST if self._may_post_again():
                log.warning("card_missing", reposts=self._former.reposts)
                return True
            case Consequence.REPOST if self._is_deleted_for_good(error.problem):
                await self.give_up(error.problem)
            case Consequence.STAND_IN | Consequence.REPOST:
                await self._out_of_reach(task, error.problem)
            case Consequence.TELL:
                await self.give_up(error.problem)
                await self._entry.reconcile_again()
            case Consequence.DROP:
                await self.give_up(error.problem)
            case _:
                assert_never(consequence)
        return False

    async def unaddressed(self) -> None:
        """Give up a direct message to a requester without a Teams user, and say so in the thread."""
        self._outlets.telemetry.refusals.labels(kind=self._wanted.kind, problem=ChatProblem.UNKNOWN_PERSON).inc()
        await self.give_up(ChatProblem.UNKNOWN_PERSON)
        await self._entry.reconcile_again()

    async def give_up(self, problem: str | None) -> None:
        """Make no further attempt. `problem` is the code of the reason, if one is known."""
        self._count("impossible")
        log.warning("delivery_impossible", problem=problem)
        await self._entry.impossible(problem)

    def waits_for_another(self, task: Task) -> datetime | None:
        """Return until when the post waits for another request that was refused in this conversation.

        Return None if it need not wait.
        """
        place = self._place(task)
        return self._outlets.probing.waits_until(place, self._entry.record) if place else None

    def accepted(self, task: Task) -> None:
        """Remember that Teams accepted the message."""
        if place := self._place(task):
            self._outlets.probing.accepted(place)
        if about := self._reported(task):
            self._outlets.outcomes.succeeded(*about)

    def gone(self, problem: ChatProblem) -> Surface:
        """Return the former card as a copy whose update is tried again, with growing pauses.

        It is given up after about a day, if Teams still reports it as deleted.
        """
        former, known = self._former, len(retry_policy.UPDATE_REPEATS)
        return replace(
            Surface(former.name, former.kind, DeliveryState.DELIVERED, former.conversation, former.activity_id),
            problem=problem,
            failures=known,
            refusals=known,
            retry_at=self._now() + retry_policy.REMAINS[0],
        )

    def is_forgotten(self) -> bool:
        """True for a refused message of an ended request, if it was never shown, or the request ended KEPT ago.

        Messages that are sent once have their own end.
        """
        former = self._former
        if not former.kind.in_place or former.problem is None or not self._has_ended():
            return False
        never_shown = former.activity_id is None and not former.unconfirmed_posts
        return never_shown or self._now() - _last_change(self._entry.record) > KEPT

    # --- pauses

    async def _repeat(self, task: Task, problem: ChatProblem, pause: timedelta) -> None:
        """Store that a refused message is sent again after `pause`, because the refusal may be false."""
        until = self._now() + pause
        if place := self._place(task):
            self._outlets.probing.refused(place, self._entry.record, until=until)
        self._note("postponed", problem, pause)
        await self._entry.refused(until=until, before=self._former.failures, problem=None)

    async def _out_of_reach(self, task: Task, problem: ChatProblem) -> None:
        """Retry with growing pauses. The first refusal also makes the row due: the fallback channel must get a card."""
        bounds = retry_policy.REFUSAL if self._is_of_use() else retry_policy.REMAINS
        pause = retry_policy.after_refusal(bounds, self._seed, refusals=self._lasting(task))
        self._note("refused", problem, pause)
        await self._entry.refused(until=self._now() + pause, before=self._former.failures, problem=problem)
        if not self._former.problem:
            await self._entry.reconcile_again()

    async def _wait(self, code: str, *, ambiguous: bool = False) -> None:
        await self._put_off(code, retry_policy.after_outage(self._former, self._seed), ambiguous=ambiguous)

    async def _put_off(
        self, code: str, pause: timedelta, *, result: str = "postponed", ambiguous: bool = False
    ) -> None:
        self._note(result, code, pause)
        await self._entry.put_off(until=self._now() + pause, before=self._former.failures, ambiguous=ambiguous)

    def _note(self, result: str, code: str, pause: timedelta) -> None:
        self._count(result)
        log.warning("delivery_postponed", code=code, seconds=pause.total_seconds())

    # --- what the refusal means

    def _before_repeat(self, task: Task, problem: ChatProblem) -> timedelta | None:
        place = self._place(task)
        if place and not self._former.is_woken and self._outlets.probing.is_lasting(place, problem):
            return None
        return retry_policy.before_repeat(task, problem, refusals=self._refusals_of(task))

    def _refusals_of(self, task: Task) -> int:
        """Return how often this task was refused before. A post that replaces a message comes after refused updates."""
        replaces = task is not Task.UPDATE and self._former.activity_id is not None
        return max(0, self._former.refusals - (len(retry_policy.UPDATE_REPEATS) if replaces else 0))

    def _lasting(self, task: Task) -> int:
        return max(0, self._refusals_of(task) - len(task.repeats))

    def _may_post_again(self) -> bool:
        is_card = self._wanted.kind is SurfaceKind.CARD
        most = retry_policy.REPOSTS if is_card else retry_policy.MESSAGE_REPOSTS
        return self._is_of_use() and self._former.reposts < most

    def _is_of_use(self) -> bool:
        """True for a message that people still need, and that is not a copy.

        They need a card while the request can be decided, and the requester's message also while they have access.
        """
        view = self._wanted.view
        needed = view.is_open if isinstance(view, DirectView) else not self._has_ended()
        return needed and not self._wanted.is_copy

    def _is_deleted_for_good(self, problem: ChatProblem) -> bool:
        deleted = problem is ChatProblem.ACTIVITY_NOT_FOUND
        return deleted and self._lasting(Task.UPDATE) >= retry_policy.DELETED_REFUSALS

    def _place(self, task: Task) -> str | None:
        """Return the destination that several requests may share: a channel's conversation, or a person's object id.

        None for an update or a note, which goes to the request's own card or thread, and for a direct message without
        a recipient.
        """
        if task is Task.DIRECT and self._wanted.person:
            return self._wanted.person.object_id
        return self._wanted.channel.conversation if task is Task.CARD else None

    def _reported(self, task: Task) -> tuple[Work, str] | None:
        """Return the kind of work and its subject under which the checks find the outcome of a new message.

        None for an update, a note, or a direct message without a recipient.
        """
        if task is Task.DIRECT and self._wanted.person:
            return Work.DIRECT, self._wanted.person.object_id
        return (Work.POST, self._wanted.channel.conversation) if task is Task.CARD else None

    def _has_ended(self) -> bool:
        request = self._entry.record.request
        return request is not None and request.status.ended

    def _now(self) -> datetime:
        return self._outlets.clock.now()

    @property
    def _seed(self) -> str:
        """A text that identifies this failure; it determines the jitter."""
        return f"{self._entry.record.key} {self._wanted.name} {self._former.failures}"

    def _count(self, result: str) -> None:
        self._outlets.telemetry.deliveries.labels(kind=self._wanted.kind, result=result).inc()


def _last_change(record: Record) -> datetime:
    request = record.request
    times = [record.created_at, request and request.access_until, request and request.modified_at]
    return max(time for time in times if time)
