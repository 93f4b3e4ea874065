"""The row as an outbox: stores the state before and after each write to Teams. Does not send.

A post is stored before it is sent, and its id right after. Until its result is known, it may be in Teams although the
row does not have its id: `Surface.unconfirmed_posts` counts such posts. `Surface.doubted_posts` counts those that Teams
refused, because a refusal may be false.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cached_property

from bot.domain.record import ROW_LEASE, Record
from bot.domain.shown.wanted import Wanted
from bot.domain.spans import runs
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.clock import Clock
from bot.ports.store import Change
from bot.ports.teams import Posted
from bot.service.rows import Rows


class OutboxEntry:
    """One surface of one row. `record` is the row as this entry last wrote or read it.

    Every change applies to the row as it is stored at that moment, because another process may have written it. Every
    change may raise StoreUnavailable. `is_alone` returns whether no other message about the row is being sent: then the
    row is written again soon, and the same write stores that a message was delivered. The id of a new message must not
    wait for anything slow: `is_prepared` returns whether all other messages can be sent at once.
    """

    def __init__(
        self,
        record: Record,
        wanted: Wanted,
        *,
        rows: Rows,
        clock: Clock,
        owner: str,
        is_alone: Callable[[], bool],
        is_prepared: Callable[[], bool],
    ) -> None:
        self.record, self.wanted, self._is_alone, self._is_prepared = record, wanted, is_alone, is_prepared
        self._rows, self._clock, self._owner = rows, clock, owner

    @property
    def stored(self) -> Surface | None:
        """The surface as the row has it; None before the first attempt."""
        return self.record.surface(self.wanted.name)

    @cached_property
    def digest(self) -> str:
        """Identifies the content that Teams must show. Computed once: delivery asks for it several times."""
        return self.wanted.digest

    async def renew(self) -> None:
        """Renew the lease. Raises LeaseHeld if it was lost."""
        self.record = await self._rows.renew(self.record.key, self._owner)

    async def begin_post(self) -> None:
        """Store that a post is about to be sent. Raises LeaseHeld."""

        def begin(record: Record) -> Record:
            return record.with_surface(_posting(self._surface_of(record)))

        self.record = await self._rows.renew(self.record.key, self._owner, also=begin)

    async def begin_update(self) -> None:
        """Store that a card is about to change: its content is unknown until the answer is stored. Raises LeaseHeld.

        If a crash interrupted a post that was to replace this card, that post stays counted.
        """

        def begin(record: Record) -> Record:
            return record.with_surface(replace(self._surface_of(record), digest=None, delivery=DeliveryState.DELIVERED))

        self.record = await self._rows.renew(self.record.key, self._owner, also=begin)

    async def delivered(self, posted: Posted, *, called: str | None = None) -> None:
        """Store where a message is and, if it is updated in place, the digest of its content.

        A post without an id stays counted. `called` is the step whose people the message calls; "" for a card that
        calls no one, None if it does not count.
        """
        in_place = self.wanted.kind.in_place
        digest = self.digest if in_place else None

        def keep(record: Record) -> Record:
            record, former = self._with_call(record, called), self._surface_of(record)
            if former.activity_id is None or former.activity_id != posted.activity_id:
                record = self._with_announced(record, posted)
            if in_place and former.activity_id not in {None, posted.activity_id}:
                return self._with_copy(record, former, posted).requeue_by(self._clock.now())
            return self._with_delivery(record, _delivered(former, posted, digest))

        await self._store(keep, at_once=not self._may_wait(posted))

    async def _store(self, keep: Change, *, at_once: bool) -> None:
        """Store a change with the next write, or `at_once`. If that write fails, the last one tries it again."""
        self.record = self._rows.defer(self.record, keep)
        if at_once:
            self.record = await self._rows.apply(self.record.key, lambda record: record)

    def _may_wait(self, posted: Posted) -> bool:
        """Return whether the next write comes soon enough, so that no crash before it loses the message's id."""
        is_known = self.stored is not None and self.stored.activity_id == posted.activity_id
        return self._is_alone() and (is_known or self._is_prepared()) and self._has_lease()

    async def replaced(self, posted: Posted, gone: Surface, *, called: str | None = None) -> None:
        """Store that a message was posted again, because Teams says that the earlier one is gone.

        `gone` is the earlier one. It is kept as a copy: if Teams was wrong, it is still there and may have buttons.
        `called` is as for `delivered`.
        """

        def keep(record: Record) -> Record:
            record, former = self._with_call(self._with_announced(record, posted), called), self._surface_of(record)
            if former.activity_id != gone.activity_id:
                return self._with_copy(record, former, posted).requeue_by(self._clock.now())
            again = replace(_delivered(former, posted, self.digest), reposts=former.reposts + 1)
            adopted = self._copy_name(posted.activity_id)  # by a click right after the post
            others = tuple(each for each in record.surfaces if each.name != adopted)
            kept = replace(gone, name=self._copy_name(gone.activity_id), digest=None)
            return self._with_delivery(replace(record, surfaces=others).with_surface(kept), again)

        await self._store(keep, at_once=True)

    async def put_off(self, *, until: datetime, before: int, ambiguous: bool = False, failed: bool = True) -> None:
        """Store a failure and when to try again. If `ambiguous`, the post may have arrived.

        If not `failed`, the message only waits for its turn, and later pauses do not grow.

        `before` is how many failures in a row the surface had when the attempt began.
        """

        def fail(former: Surface) -> Surface:
            result = former if ambiguous else _result_known(former)
            return _put_off(result, until=until, failures=int(failed)) if former.failures >= before else _woken(result)

        await self._change(fail)

    async def refused(self, *, until: datetime, before: int, problem: str | None) -> None:
        """Store a refusal and when to try again. `problem` is its code, once the refusal counts as lasting.

        `before` is how many failures in a row the surface had when the attempt began.
        """

        def refuse(former: Surface) -> Surface:
            if former.failures < before:
                return _woken(_doubted(former))
            waiting = _put_off(_doubted(former), until=until, failures=1)
            return replace(waiting, refusals=former.refusals + 1, problem=problem or former.problem)

        await self._change(refuse)

    async def queued(self, *, until: datetime) -> None:
        """Store that the message waits for another one, which is tried first."""
        await self._change(lambda former: _put_off(former, until=until, failures=0))

    async def impossible(self, problem: str | None) -> None:
        """Store that the bot gives the message up. `problem` is the code of the reason.

        A requester's message that was never posted is forgotten: only what it had to announce is given up, and the next
        state is tried again.
        """

        def give_up(record: Record) -> Record:
            former = self._surface_of(record)
            end = replace(_doubted(former), delivery=DeliveryState.IMPOSSIBLE, problem=problem, retry_at=None)
            if former.activity_id is not None or not self.wanted.announces:
                return self._with_delivery(record, end)
            others = replace(record, surfaces=tuple(each for each in record.surfaces if each.name != former.name))
            for name in self.wanted.announces:
                others = others.with_surface(replace(end, name=name, kind=SurfaceKind.DIRECT))
            return others

        self.record = await self._rows.apply(self.record.key, give_up)

    async def skipped(self) -> None:
        """Store that a later state has overtaken the message."""
        await self._change(lambda former: replace(former, delivery=DeliveryState.SKIPPED, retry_at=None))

    async def reconcile_again(self) -> None:
        """Make the row due now, because the result of this delivery changes the surfaces that Teams must show."""
        self.record = await self._rows.requeue(self.record.key)

    def _has_lease(self) -> bool:
        """True if no other process can have taken the lease since this one renewed it."""
        lease = self.record.lease
        return lease is not None and runs(lease.until, now=self._clock.now(), span=ROW_LEASE)

    async def _change(self, change: Callable[[Surface], Surface]) -> None:
        self.record = await self._rows.apply(
            self.record.key, lambda record: self._with_delivery(record, change(self._surface_of(record)))
        )

    def _surface_of(self, record: Record) -> Surface:
        wanted = self.wanted
        return record.surface(wanted.name) or Surface(wanted.name, wanted.kind, DeliveryState.WAITING)

    def _with_delivery(self, record: Record, surface: Surface) -> Record:
        return record.with_delivery(surface, by=self._owner, now=self._clock.now())

    def _with_call(self, record: Record, called: str | None) -> Record:
        return record if called is None else record.with_level_call(called, self._clock.now())

    def _with_announced(self, record: Record, posted: Posted) -> Record:
        """Store the direct messages that are not sent, because a message that was posted has announced the same."""
        for name in self.wanted.announces:
            record = record.with_surface(
                Surface(name, SurfaceKind.DIRECT, DeliveryState.DELIVERED, posted.conversation, posted.activity_id)
            )
        return record

    def _copy_name(self, activity_id: str | None) -> str:
        return f"{self.wanted.name}:{activity_id}"

    def _with_copy(self, record: Record, former: Surface, posted: Posted) -> Record:
        """Add a second message: another process posted one while this process was paused. Both are kept up to date.

        The later one may show an outdated state, buttons included. It gets no digest, so that it is updated. If it has
        no id, it stays counted, so that a click on it adopts it.
        """
        if posted.activity_id is None:
            return record
        name = self._copy_name(posted.activity_id)
        if record.surface(name):  # stored by an earlier try, or found by a click
            return record
        copy = Surface(name, self.wanted.kind, DeliveryState.DELIVERED, posted.conversation, posted.activity_id)
        return record.with_surface(former.with_post_confirmed()).with_surface(copy)


def _posting(former: Surface) -> Surface:
    return replace(
        former,
        delivery=DeliveryState.POSTING,
        attempts=former.attempts + 1,
        unconfirmed_posts=former.unconfirmed_posts + 1,
    )


def _put_off(former: Surface, *, until: datetime | None, failures: int) -> Surface:
    state = DeliveryState.WAITING if former.activity_id is None else DeliveryState.DELIVERED
    return replace(former, delivery=state, failures=former.failures + failures, retry_at=until)


def _woken(former: Surface) -> Surface:
    """Forget a failure: the conversation came back during the attempt, so another one is due now."""
    return _put_off(former, until=None, failures=0)


def _result_known(former: Surface) -> Surface:
    """Count the post in progress as confirmed, if there is one: an update is not a post."""
    return former.with_post_confirmed() if former.delivery is DeliveryState.POSTING else former


def _doubted(former: Surface) -> Surface:
    """Count the post in progress as refused, if there is one."""
    if former.delivery is not DeliveryState.POSTING:
        return former
    return replace(former.with_post_confirmed(), doubted_posts=former.doubted_posts + 1)


def _delivered(former: Surface, posted: Posted, digest: str | None) -> Surface:
    return replace(
        former if posted.activity_id is None else _result_known(former),
        delivery=DeliveryState.DELIVERED,
        conversation=posted.conversation,
        activity_id=posted.activity_id,
        digest=digest,
        problem=None,
        failures=0,
        refusals=0,
        retry_at=None,
    )
