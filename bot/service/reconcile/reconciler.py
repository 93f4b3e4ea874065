"""Makes Teams show what is true in AWS, for one request at a time.

The only way in which a card, a note or a direct message reaches Teams:

    observe (AWS) -> desired surfaces (pure) -> compare with what was delivered (row) -> perform the difference (Teams)

Events, clicks, sweeps, timers and restarts only store that a row is due; `Looking` finds due rows and converges them.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bot.concurrency.background import Background
from bot.domain.claims import awaits_effect
from bot.domain.decision import Decision, DecisionEvent, DecisionState, Outcome
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.routing import route
from bot.domain.settling import settle_unknown
from bot.domain.shown.card_places import renamed
from bot.domain.shown.surfaces import desired, may_still_be_identified, next_change
from bot.ports.aws import AwsUnavailable, RequestNotReadable, Requests
from bot.ports.clock import Clock
from bot.service.clicks.signalling import Signalling, orphaned
from bot.service.configured import Configured
from bot.service.reconcile.deliveries import Deliveries, Postponed
from bot.service.reconcile.identifying import Identifying
from bot.service.rows import LeaseHeld, Rows
from bot.telemetry import Telemetry

LONGEST_PAUSE = 60.0  # seconds between looks at a request that cannot be read
INCOMPLETE_PAUSE = 600.0  # seconds between looks at one of which only a part cannot be read
MOST_DOUBLINGS = 16  # beyond, the number itself would be too large
LOOKS_AT_NOTHING = 12  # looks at an OpsItem that never was readable, about eight minutes, before it is let go
UNPLACED_PAUSE = timedelta(minutes=5)  # rosters are read anew after this; a requester may be placed then
UNKNOWN_PAUSE = timedelta(seconds=2)  # between looks at a decision that AWS never answered
log = structlog.get_logger(__name__)


class Reconciler:
    """One look at one request."""

    def __init__(
        self,
        *,
        rows: Rows,
        requests: Requests,
        identifying: Identifying,
        deliveries: Deliveries,
        signalling: Signalling,
        clock: Clock,
        configured: Configured,
        owner: str,
        telemetry: Telemetry,
    ) -> None:
        self._rows, self._requests, self._placing = rows, requests, identifying
        self._delivering, self._signalling, self._clock = deliveries, signalling, clock
        self._configured, self._owner, self._telemetry = configured, owner, telemetry
        self._carried = Background()

    async def reconcile(self, key: RequestKey) -> None:
        """Look at a request and make Teams show what is true. Raises LeaseHeld while another process does."""
        try:
            record = await self._rows.lease(key, self._owner)
        except LeaseHeld:
            self._telemetry.reconciliations.labels(outcome="leased").inc()
            raise
        outcome, again_at = "failed", None
        try:
            async with self._rows.lease_kept(key, self._owner):  # AWS may take longer than a lease lasts
                record = await self._look_after_decisions(await self._observe(record))
            await self._delivering.deliver(record, desired(record, self._configured.rules, self._clock.now()))
            outcome = "converged"
        except Postponed as postponed:
            outcome, again_at = "postponed", postponed.until
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if outcome != "cancelled":  # cut short, it keeps the lease: at its end the row is due again
                await self._end(key, again_at)
            self._telemetry.reconciliations.labels(outcome=outcome).inc()

    async def put_off(self, key: RequestKey, pause: timedelta) -> None:
        """Look again later at a request whose look went wrong in a way that nobody foresaw."""
        later = self._clock.now() + pause
        await self._rows.apply(key, lambda record: replace(record.released_by(self._owner), requeue_at=later))

    async def drain(self) -> None:
        """Wait for the decisions taken over from a dead process."""
        await self._carried.drain()

    # --- lease and appointment

    async def _end(self, key: RequestKey, again_at: datetime | None) -> None:
        """Give the lease back and make the next appointment; one made meanwhile by others stands."""

        def end(record: Record) -> Record:
            planned = min(filter(None, (self._next_requeue(record), again_at)), default=None)
            free = record.released_by(self._owner)
            return free.requeue_by(planned) if planned else free

        await self._rows.apply(key, end)

    def _next_requeue(self, record: Record) -> datetime | None:
        if not self._configured.covers(record.key):
            return None  # nobody reads that account any more; a click says so
        now = self._clock.now()
        moments = [_retry_at(record, now), next_change(record, now), *_decision_looks(record, now)]
        if may_still_be_identified(record, now):
            moments.append(now + UNPLACED_PAUSE)
        return min((moment for moment in moments if moment), default=None)

    # --- observe

    async def _observe(self, record: Record) -> Record:
        began = self._clock.now()
        try:
            facts = await self._requests.observe(record.key)
        except (RequestNotReadable, AwsUnavailable) as problem:
            log.warning("request_unreadable", code=problem.code, failed=record.reconcile_failures + 1)
            missing = isinstance(problem, RequestNotReadable) and problem.missing

            def failed(row: Record) -> Record:
                if row.observed_from > record.version:
                    return row  # a look that began later knows better
                counted = replace(row, reconcile_failures=row.reconcile_failures + 1)
                return counted.not_found(began) if missing else replace(counted, missing_since=None)

            return await self._rows.apply(record.key, failed)
        placed = await self._placing.place(facts, earlier=record.requester)

        def observed(row: Record) -> Record:
            seen = row.observed(placed.request, placed.requester, at=began, since=record.version)
            failed = 0 if placed.request.complete else row.reconcile_failures + 1
            return self._routed(replace(seen, reconcile_failures=failed))

        return await self._rows.apply(record.key, observed)

    def _routed(self, record: Record) -> Record:
        """Pick the channel, once: a settled route stays, whatever happens to tags, unless its channel is no more."""
        record = renamed(record, self._configured.rules.channels)
        settled = record.route is not None and record.route.settled
        if record.request is None or (settled and record.route and self._configured.channel(record.route.channel)):
            return record
        return replace(record, route=route(record.request, self._configured.channels))

    # --- decisions that nobody works on

    async def _look_after_decisions(self, record: Record) -> Record:
        now = self._clock.now()
        for decision in record.live_decisions:
            if decision.state is DecisionState.UNKNOWN:
                record = await self._settle_unknown(record, decision)
            elif orphaned(decision, now):
                record = await self._take_over(record, decision)
        return record

    async def _settle_unknown(self, record: Record, decision: Decision) -> Record:
        def settle(row: Record) -> Record:
            current = row.decision(decision.id)
            if current is None or current.state is not DecisionState.UNKNOWN:
                return row
            settled = settle_unknown(row, current, self._clock.now())
            return row.with_decision(replace(settled, settled_in=row.observed_from))  # this look has seen it

        return await self._rows.apply(record.key, settle)

    async def _take_over(self, record: Record, decision: Decision) -> Record:
        """Go on with what a dead process left: a claim is carried on, a sent signal is unknown. Its person is told."""
        now = self._clock.now()

        def adopt(row: Record) -> Record:
            current = row.decision(decision.id)
            if current is None or not orphaned(current, now):
                return row
            taken = replace(current, announced=True)
            if current.state is DecisionState.SENT:
                return row.with_decision(replace(taken.after(DecisionEvent.LOST, at=now), announced=True))
            if now > current.deadline:
                return row.with_decision(taken.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.EXPIRED))
            return row.with_decision(taken)

        adopted = await self._rows.apply(record.key, adopt)
        current = adopted.decision(decision.id)
        if current and current.state is DecisionState.CLAIMED:
            self._carried.begin(self._signalling.carry(adopted.key, decision.id))
        return adopted


def _retry_at(record: Record, now: datetime) -> datetime | None:
    """After 1, 2, 4 … seconds; what never was readable, or has ended, is let go at last."""
    pending = record.request is not None and not record.request.status.ended
    if not record.reconcile_failures or (not pending and record.reconcile_failures > LOOKS_AT_NOTHING):
        return None
    longest = LONGEST_PAUSE if record.request is None or record.request.complete else INCOMPLETE_PAUSE
    return now + timedelta(seconds=min(2.0 ** min(record.reconcile_failures - 1, MOST_DOUBLINGS), longest))


def _decision_looks(record: Record, now: datetime) -> list[datetime | None]:
    unknown = DecisionState.UNKNOWN
    looks: list[datetime | None] = [
        now + UNKNOWN_PAUSE if each.state is unknown else max(each.held_until, now) for each in record.live_decisions
    ]
    hidden = [each for each in record.decisions if record.request and awaits_effect(each, record.request, now)]
    return looks + [now + _effect_pause(each, now) for each in hidden]


def _effect_pause(decision: Decision, now: datetime) -> timedelta:
    """As long as it has been waited for already, at least a second: 1, 2, 4 … seconds."""
    return max(now - (decision.settled_at or now), timedelta(seconds=1))
