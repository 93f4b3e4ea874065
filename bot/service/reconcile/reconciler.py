"""Makes Teams show the state of a request in AWS.

Every card, note and direct message reaches Teams in this way:

    observe (AWS) -> desired surfaces (pure) -> compare with what was delivered (row) -> deliver the difference (Teams)

Events, clicks, sweeps, timers and restarts only store that a row is due; `ReconcileLoop` finds due rows.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bot.concurrency.background import Background
from bot.concurrency.backoff import backoff
from bot.domain.claims import awaits_effect, under_way
from bot.domain.configuration import Configuration
from bot.domain.decision import HOLD, QUEUE_HOLD, Decision, DecisionEvent, DecisionState, Outcome
from bot.domain.effects import settle_unknown, votes_due_at
from bot.domain.escalation import with_escalation
from bot.domain.record import Record
from bot.domain.request import AccessRequest, RequestKey, Status
from bot.domain.routing import route
from bot.domain.shown.card_places import renamed
from bot.domain.shown.direct import LOOKUP_SPAN, may_still_be_identified, with_living_message
from bot.domain.shown.surfaces import desired, next_change
from bot.domain.shown.turns import may_escalate
from bot.ports.aws import AwsUnavailable, RequestNotReadable, Requests
from bot.ports.clock import Clock
from bot.ports.store import StoreUncertain
from bot.service.checks.check import NOT_COMPLETE
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.clicks.signalling import Signalling
from bot.service.current_configuration import CurrentConfiguration
from bot.service.reconcile.deliveries import Deliveries, Postponed
from bot.service.reconcile.earlier_access import EarlierAccess
from bot.service.reconcile.identifying import Identifying
from bot.service.rows import LeaseHeld, Rows
from bot.telemetry import Telemetry, observe_wait

FIRST_PAUSE = timedelta(seconds=1)  # pause before the second attempt to read a request
LONGEST_PAUSE = timedelta(minutes=1)  # longest pause between attempts to read a request
INCOMPLETE_READS = 3  # in a row; AWS allows the first reads of a new approval only once it has set the tag
INCOMPLETE_PAUSE = timedelta(minutes=10)  # pause between attempts if only a part of a request is unreadable
LAST_ATTEMPT = 12  # retries of an OpsItem that was never readable; the last is about seven minutes after the first read
UNIDENTIFIED_PAUSE = timedelta(minutes=5)  # rosters are read again after it: a requester or approver may have joined
# The pauses while Teams does not return all rosters, for LOOKUP_SPAN: the message must be sent within a minute of the
# recovery, and the directory may return the last result for another 10 seconds.
LOOKUP_PAUSES = timedelta(seconds=5), timedelta(seconds=45)
FACTS_KEPT = timedelta(minutes=5)  # how long a postponed delivery is repeated without reading AWS again
UNKNOWN_PAUSE = timedelta(seconds=2)  # pause between checks of a decision that AWS never answered
log = structlog.get_logger(__name__)


class Reconciler:
    """Reconciles requests. `owner` identifies this process, which takes the lease of each row that it reconciles.

    `in_place` returns whether rows may have messages to requesters that are updated in place.
    """

    def __init__(
        self,
        *,
        rows: Rows,
        requests: Requests,
        identifying: Identifying,
        earlier_access: EarlierAccess,
        deliveries: Deliveries,
        signalling: Signalling,
        clock: Clock,
        configuration: CurrentConfiguration,
        owner: str,
        telemetry: Telemetry,
        outcomes: Outcomes,
        in_place: Callable[[], bool],
    ) -> None:
        self._rows, self._requests, self._identifying = rows, requests, identifying
        self._deliveries, self._signalling, self._clock = deliveries, signalling, clock
        self._configuration, self._owner, self._telemetry = configuration, owner, telemetry
        self._outcomes, self._earlier_access, self._in_place = outcomes, earlier_access, in_place
        self._taken_over = Background()

    async def reconcile(self, key: RequestKey) -> None:
        """Read a request from AWS and update Teams.

        Raises LeaseHeld while another process does this, and StoreUnavailable.
        """
        try:
            record = await self._rows.lease(key, self._owner)
        except LeaseHeld:
            self._telemetry.reconciliations.labels(outcome="leased").inc()
            raise
        outcome, again_at = "failed", None
        try:
            await self._continue_queued(record)
            async with self._rows.lease_kept(key, self._owner):  # AWS may take longer than a lease lasts
                if not self._is_known(record):
                    record = await self._escalated(await self._recover_decisions(await self._observe(record)))
            await self._deliver(record)
            outcome = "converged"
        except Postponed as postponed:
            outcome, again_at = "postponed", postponed.until
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if outcome != "cancelled":  # otherwise the lease is kept: when it ends, the row is due again
                await self._end(key, again_at)
            self._telemetry.reconciliations.labels(outcome=outcome).inc()

    async def _deliver(self, record: Record) -> None:
        """Deliver what Teams must show. Raises LeaseHeld, StoreUnavailable, Postponed."""
        in_place = self._in_place()
        if in_place and with_living_message(record) != record:
            record = await self._rows.apply(record.key, with_living_message)
        wanted = desired(record, self._configuration.value, self._clock.now(), in_place=in_place)
        await self._deliveries.deliver(record, wanted)

    async def put_off(self, key: RequestKey, pause: timedelta) -> None:
        """Give the lease back and make the request due after `pause`, not earlier. Raises StoreUnavailable."""
        later = self._clock.now() + pause
        await self._rows.apply(key, lambda record: replace(record.released_by(self._owner), requeue_at=later))

    async def drain(self) -> None:
        """Wait for the decisions that were taken over from crashed processes."""
        await self._taken_over.drain()

    # --- lease and next time

    async def _end(self, key: RequestKey, again_at: datetime | None) -> None:
        """Give the lease back and set the time of the next reconcile, unless an earlier time is already stored."""

        def end(record: Record) -> Record:
            planned = self._next_requeue(record)
            free = replace(record.released_by(self._owner), deliver_at=None)
            if again_at and (planned is None or again_at < planned):
                return free.redeliver_at(again_at)
            return free.requeue_by(planned) if planned else free

        await self._rows.apply(key, end)

    def _next_requeue(self, record: Record) -> datetime | None:
        if not self._configuration.value.covers(record.key):
            return None  # the account or Region was removed from the configuration; clicks are answered with NOT_FOUND
        now = self._clock.now()
        change = next_change(record, self._configuration.value, now)
        moments = [_retry_at(record, now), change, *_decision_checks(record, now)]
        if may_still_be_identified(record, now):
            moments.append(now + _lookup_pause(record, now))
        if (record.no_approver or record.no_second_approver) and record.waiting_level:
            moments.append(now + UNIDENTIFIED_PAUSE)
        return min((moment for moment in moments if moment), default=None)

    # --- observe

    def _is_known(self, record: Record) -> bool:
        """True if AWS need not be read: the row is due only for a postponed delivery, and its facts are recent."""
        rules_changed = self._configuration.value.identified_by_former_rules(record) or self._routed(record) != record
        return not rules_changed and is_recent(record, self._configuration.value, self._clock.now())

    async def _observe(self, record: Record) -> Record:
        began = self._clock.now()
        try:
            facts = await self._requests.observe(record.key)
        except (RequestNotReadable, AwsUnavailable) as problem:
            log.warning("request_unreadable", code=problem.code, failed=record.reconcile_failures + 1)
            missing = isinstance(problem, RequestNotReadable) and problem.missing
            return await self._rows.apply(
                record.key, lambda row: _unreadable(row, since=record.version, missing_at=began if missing else None)
            )
        identified = await self._identifying.identify(facts, earlier=record.requester)
        # only names to show: while Teams does not answer, the facts must not wait for them
        voters = await self._identifying.voters(identified.request, record=record) if identified.rosters_read else {}
        visits = await self._earlier_access.count(record, identified.request, identified.requester)

        def observed(row: Record) -> Record:
            seen = row.observed(identified.request, identified.requester, at=began, since=record.version)
            seen = seen.with_voters(voters)
            failures = 0 if identified.request.complete else row.reconcile_failures + 1
            counted = seen if seen.cards else replace(seen, visits=visits)
            return self._routed(replace(counted, reconcile_failures=failures))

        observed_record = await self._rows.apply(record.key, observed)
        self._note_decision(record.request, observed_record.request)
        self._note_reading(observed_record)
        return await self._with_approvers(observed_record) if identified.rosters_read else observed_record

    def _note_decision(self, before: AccessRequest | None, after: AccessRequest | None) -> None:
        """Measure how long a request waited, if this read is the first to see that it was decided."""
        was_open = before is not None and before.status is Status.PENDING
        if was_open and after and after.requested_at and after.status in {Status.APPROVED, Status.REJECTED}:
            histogram = self._telemetry.request_to_decision.labels(status=after.status)
            observe_wait(histogram, after.requested_at, self._clock.now())

    def _note_reading(self, record: Record) -> None:
        """Report to the checks that a request was read completely, or once that several reads were incomplete."""
        subject = f"{record.key.account} {record.key.region}"
        if not record.reconcile_failures:
            self._outcomes.succeeded(Work.READING, subject)
        elif record.reconcile_failures == INCOMPLETE_READS:
            self._outcomes.failed(Work.READING, subject, code=NOT_COMPLETE, detail=record.key.ops_item_id)

    async def _with_approvers(self, record: Record) -> Record:
        """Store whether any member of the channel may decide or approve, if that has changed, and return the row."""
        missing = await self._identifying.missing_approvers(record)
        if (missing.any_at_all, missing.a_second) == (record.no_approver, record.no_second_approver):
            return record
        return await self._rows.apply(
            record.key,
            lambda row: replace(row, no_approver=missing.any_at_all, no_second_approver=missing.a_second),
        )

    def _routed(self, record: Record) -> Record:
        """Choose the channel, once: a settled route stays even if tags change, unless its channel was removed."""
        record = renamed(record, self._configuration.value)
        settled = record.route is not None and record.route.settled
        if record.request is None or (
            settled and record.route and self._configuration.value.channel(record.route.channel)
        ):
            return record
        return replace(record, route=route(record.request, self._configuration.value.channels))

    async def _escalated(self, record: Record) -> Record:
        """Give the second channel its right if the waiting level has waited too long, and return the row."""

        def escalate(row: Record) -> Record:
            configuration, now = self._configuration.value, self._clock.now()
            due = may_escalate(row, configuration, now)
            return with_escalation(row, configuration, now) if due else row

        if escalate(record) == record:
            return record
        log.info("request_escalated")
        return await self._rows.apply(record.key, escalate)

    # --- decisions that no process is working on

    async def _recover_decisions(self, record: Record) -> Record:
        now = self._clock.now()
        for decision in record.live_decisions:
            if decision.state is DecisionState.UNKNOWN:
                record = await self._settle_unknown(record, decision)
            elif decision.hold_ended(now):
                record = await self._take_over(record, decision)
        return record

    async def _continue_queued(self, record: Record) -> None:
        """Queue the decisions of a crashed process again. Raises Postponed if there were any.

        AWS is read later: hundreds of them have five minutes in all, and AWS allows only a few reads a second.
        """
        now = self._clock.now()
        left = [each for each in record.live_decisions if each.queued and each.hold_ended(now)]
        for decision in left:
            await self._take_over(record, decision)
        if left:
            raise Postponed(now)

    async def _settle_unknown(self, record: Record, decision: Decision) -> Record:
        def settle(row: Record) -> Record:
            current = row.decision(decision.id)
            if current is None or current.state is not DecisionState.UNKNOWN:
                return row
            settled = settle_unknown(row, current, self._clock.now())
            # this reconcile has already read the effect
            return row.with_decision(replace(settled, settled_in=row.observed_from))

        return await self._rows.apply(record.key, settle)

    async def _take_over(self, record: Record, decision: Decision) -> Record:
        """Take a decision over from a crashed process: continue, release or settle it as `taken_over` says."""
        now = self._clock.now()
        taken: Decision | None = None

        def adopt(row: Record) -> Record:
            nonlocal taken
            current = row.decision(decision.id)
            taken = taken_over(current, now) if current and current.hold_ended(now) else None
            return row.with_decision(taken) if taken else row

        try:
            adopted = await self._rows.apply(record.key, adopt)
        except StoreUncertain:  # if it is stored, the others wait for this process
            self._continue(record.key, taken)
            raise
        self._continue(record.key, taken)
        return adopted

    def _continue(self, key: RequestKey, taken: Decision | None) -> None:
        if taken and taken.state is DecisionState.CLAIMED:
            self._taken_over.begin(self._signalling.take_over(key, taken))


def _unreadable(row: Record, *, since: int, missing_at: datetime | None) -> Record:
    """Count a failed read that began at version `since`.

    `missing_at` is the start of the read if AWS said that there is no such OpsItem, else None.
    """
    if row.observed_from > since:
        return row  # a later read has succeeded
    counted = replace(row, reconcile_failures=row.reconcile_failures + 1)
    return counted.not_found(missing_at) if missing_at else replace(counted, missing_since=None)


def taken_over(decision: Decision, now: datetime) -> Decision:
    """Return a decision of a crashed process as this process continues it.

    A sent one becomes unknown, an expired one is released, any other stays claimed. Its outcome must be posted.
    """
    announced = replace(decision, announced=True, held_until=min(decision.held_until, now))
    if decision.state is DecisionState.SENT:
        return announced.after(DecisionEvent.LOST, at=now)
    if decision.is_expired(now):
        return announced.after(DecisionEvent.WITHDRAWN, at=now, outcome=Outcome.EXPIRED)
    return replace(announced, held_until=now + (QUEUE_HOLD if decision.queued else HOLD))


def is_recent(record: Record, configuration: Configuration, now: datetime) -> bool:
    """True if a row that is due only for a postponed delivery has facts that need not be read again.

    An event, a click or a change in a sweep makes the row due for more than the delivery. A decision that is under
    way needs a read, and so does a moment since the last read at which the desired surfaces changed by themselves.
    """
    observed_at, request = record.observed_at, record.request
    if record.deliver_at is None or request is None or observed_at is None:
        return False
    if record.reconcile_failures or request.status is Status.UNKNOWN:
        return False
    if any(under_way(each, request, now) for each in record.decisions):
        return False
    change = next_change(record, configuration, observed_at)
    return observed_at <= now < observed_at + FACTS_KEPT and (change is None or now < change)


def _retry_at(record: Record, now: datetime) -> datetime | None:
    """Return when to read AWS again after failed reads; None if no read has failed, or there is no further retry.

    Requests that were never readable, or have ended, get LAST_ATTEMPT retries.
    """
    pending = record.request is not None and not record.request.status.ended
    if not record.reconcile_failures or (not pending and record.reconcile_failures > LAST_ATTEMPT):
        return None
    longest = LONGEST_PAUSE if record.request is None or record.request.complete else INCOMPLETE_PAUSE
    return now + backoff(record.reconcile_failures - 1, first=FIRST_PAUSE, longest=longest)


def _lookup_pause(record: Record, now: datetime) -> timedelta:
    """Return the pause before the requester is looked up again: short while Teams does not return everybody."""
    age = now - record.created_at
    if record.requester is None or not record.requester.may_be_found or age > LOOKUP_SPAN:
        return UNIDENTIFIED_PAUSE
    shortest, longest = LOOKUP_PAUSES
    return min(max(age, shortest), longest)


def _decision_checks(record: Record, now: datetime) -> list[datetime | None]:
    """Return the times to check live decisions, and decisions that AWS accepted but does not show yet.

    An element that is None does not count.
    """
    unknown = DecisionState.UNKNOWN
    checks: list[datetime | None] = [
        now + UNKNOWN_PAUSE if each.state is unknown else max(each.held_until, now) for each in record.live_decisions
    ]
    hidden = [each for each in record.decisions if record.request and awaits_effect(each, record.request, now)]
    last = votes_due_at(record, now) if not record.reconcile_failures else None  # failed reads have their own pauses
    return [*checks, *(now + _effect_pause(each, now) for each in hidden), last]


def _effect_pause(decision: Decision, now: datetime) -> timedelta:
    """Return the time until the next check: as long as the effect has been missing so far, and at least a second.

    So the waits double: 1, 1, 2, 4 … seconds.
    """
    return max(now - (decision.settled_at or now), timedelta(seconds=1))
