"""The row's side of deliveries: what is written before something leaves for Teams, and what after.

A post is claimed before it leaves and its id saved right after. A claim counts the post as one that may be in Teams
unknown to us; the count goes down again once it is known what became of it. Sends nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bot.domain.record import DeliveryState, Record, Surface, SurfaceKind
from bot.domain.request import RequestKey
from bot.domain.shown.card_places import card_name
from bot.domain.shown.surfaces import Wanted
from bot.ports.clock import Clock
from bot.ports.teams import Posted
from bot.service.rows import Rows


class Outbox:
    """Writes surfaces. Every change is made on the row as it is then: another process may have been here."""

    def __init__(self, rows: Rows, clock: Clock, owner: str) -> None:
        self._rows, self._clock, self._owner = rows, clock, owner

    async def renew(self, key: RequestKey) -> Record:
        """Make sure that it is still ours to write to Teams. Raises LeaseHeld."""
        return await self._rows.renew(key, self._owner)

    async def claim(self, key: RequestKey, want: Wanted) -> Record:
        """Note down that a post is about to leave. Raises LeaseHeld."""
        await self.renew(key)
        return await self._change(key, want, _claimed)

    async def begin_update(self, key: RequestKey, want: Wanted) -> Record:
        """Note down that a card is about to change: until its answer is kept, nobody knows what it shows.

        Raises LeaseHeld.
        """

        def begin(record: Record) -> Record:
            return record.with_surface(replace(_surface(record, want), digest=None))

        return await self._rows.renew(key, self._owner, also=begin)

    async def delivered(self, key: RequestKey, want: Wanted, posted: Posted, digest: str | None) -> Record:
        """Keep where a message is and what it shows."""

        def keep(record: Record) -> Record:
            former = _surface(record, want)
            if want.kind is SurfaceKind.CARD and former.activity_id not in {None, posted.activity_id}:
                return _with_copy(record, want, former, posted).requeue_by(self._clock.now())
            saved = replace(
                _known(former),
                delivery=DeliveryState.DELIVERED,
                conversation=posted.conversation,
                activity_id=posted.activity_id,
                digest=digest,
                problem=None,
                failures=0,
                refusals=0,
                retry_at=None,
            )
            return self._kept(record, saved)

        return await self._rows.apply(key, keep)

    async def put_off(
        self, key: RequestKey, want: Wanted, *, until: datetime, ambiguous: bool = False, problem: str | None = None
    ) -> Record:
        """Note down a failure and when to try again. `ambiguous`: the post may have arrived."""

        def put_off(former: Surface) -> Surface:
            known = former if ambiguous else _known(former)
            return replace(
                known,
                delivery=DeliveryState.WAITING if known.activity_id is None else known.delivery,
                failures=former.failures + 1,
                refusals=former.refusals + (problem is not None),
                retry_at=until,
                problem=problem or former.problem,
            )

        return await self._change(key, want, put_off)

    async def deleted(self, key: RequestKey, want: Wanted) -> Record:
        """Note down that a card is to be posted anew because somebody deleted it."""
        return await self._change(key, want, _without_place)

    async def impossible(self, key: RequestKey, want: Wanted, problem: str | None) -> Record:
        """Note down that Teams refused something, and that nothing more is done about it."""

        def give_up(former: Surface) -> Surface:
            return replace(_known(former), delivery=DeliveryState.IMPOSSIBLE, problem=problem, retry_at=None)

        return await self._change(key, want, give_up)

    async def skipped(self, key: RequestKey, want: Wanted) -> Record:
        """Note down that a later state has overtaken something."""
        return await self._change(key, want, _skip)

    async def reconcile_again(self, key: RequestKey) -> Record:
        """Reconcile again now: this delivery changed what Teams must show."""
        return await self._rows.requeue(key)

    async def _change(self, key: RequestKey, want: Wanted, change: Callable[[Surface], Surface]) -> Record:
        return await self._rows.apply(key, lambda record: self._kept(record, change(_surface(record, want))))

    def _kept(self, record: Record, surface: Surface) -> Record:
        """Keep a surface; one written after the lease was lost may lie over what another process knew better."""
        if record.leased_by(self._owner):
            return record.with_surface(surface)
        return record.with_surface(replace(surface, digest=None)).requeue_by(self._clock.now())


def _surface(record: Record, want: Wanted) -> Surface:
    return record.surface(want.name) or Surface(want.name, want.kind, DeliveryState.WAITING)


def _claimed(former: Surface) -> Surface:
    return replace(former, delivery=DeliveryState.CLAIMED, attempts=former.attempts + 1, lost=former.lost + 1)


def _known(former: Surface) -> Surface:
    """What became of the post is known. An update claims nothing."""
    return replace(former, lost=max(0, former.lost - 1)) if former.delivery is DeliveryState.CLAIMED else former


def _skip(former: Surface) -> Surface:
    return replace(former, delivery=DeliveryState.SKIPPED, retry_at=None)


def _without_place(former: Surface) -> Surface:
    return replace(
        former,
        delivery=DeliveryState.WAITING,
        conversation=None,
        activity_id=None,
        digest=None,
        reposts=former.reposts + 1,
    )


def _with_copy(record: Record, want: Wanted, former: Surface, posted: Posted) -> Record:
    """Another process posted the card while this one paused for too long: both are known, both are kept up to date.

    What the late one shows may be long past, buttons and all: no digest, so that it is made right.
    """
    name = card_name(want.channel.name, posted.activity_id)
    copy = Surface(name, want.kind, DeliveryState.DELIVERED, posted.conversation, posted.activity_id)
    return record.with_surface(replace(former, lost=max(0, former.lost - 1))).with_surface(copy)
