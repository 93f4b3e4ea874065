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

from bot.domain.abilities import Abilities
from bot.domain.escalation import with_escalation
from bot.domain.record import Record
from bot.domain.request import AccessRequest, RequestKey, Status
from bot.domain.routing import route
from bot.domain.shown.card_places import renamed
from bot.domain.shown.direct import with_living_message
from bot.domain.shown.surfaces import desired
from bot.domain.shown.turns import may_escalate
from bot.ports.aws import AwsUnavailable, RequestNotReadable, Requests
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.checks.check import NOT_COMPLETE
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.signalling import Signalling
from bot.service.deliver.deliveries import Deliveries, Postponed
from bot.service.reconcile.due_time import due_at, is_recent
from bot.service.reconcile.earlier_access import EarlierAccess
from bot.service.reconcile.ending import SessionEndings
from bot.service.reconcile.identifying import Identifying
from bot.service.reconcile.recovering import Recovering
from bot.service.rows import LeaseHeld, Rows
from bot.telemetry import Telemetry, observe_wait

INCOMPLETE_READS = 3  # in a row; AWS allows the first reads of a new approval only once it has set the tag
log = structlog.get_logger(__name__)


class Reconciler:
    """Reconciles requests. `owner` identifies this process, which takes the lease of each row that it reconciles.

    `abilities` returns what every running process can do.
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
        session_endings: SessionEndings,
        clock: Clock,
        configuration: CurrentConfiguration,
        owner: str,
        telemetry: Telemetry,
        outcomes: Outcomes,
        abilities: Callable[[], Abilities],
    ) -> None:
        self._rows, self._requests, self._identifying = rows, requests, identifying
        self._deliveries, self._clock = deliveries, clock
        self._configuration, self._owner, self._telemetry = configuration, owner, telemetry
        self._outcomes, self._earlier_access, self._abilities = outcomes, earlier_access, abilities
        self._session_endings = session_endings
        self._recovering = Recovering(rows=rows, signalling=signalling, clock=clock)

    async def reconcile(self, key: RequestKey) -> None:
        """Read a request from AWS and update Teams.

        Raises LeaseHeld while another process does this, and StoreUnavailable.
        """
        try:
            record = await self._rows.lease(key, self._owner)
        except LeaseHeld:
            self._telemetry.reconciliations.labels(outcome="leased").inc()
            raise
        outcome, again_at, shown_at = "failed", None, self._clock.now()
        store_failed = False
        try:
            await self._recovering.continue_queued(record)
            async with self._rows.lease_kept(key, self._owner):  # AWS may take longer than a lease lasts
                if not self._is_known(record):
                    record = await self._escalated(await self._recovering.recover(await self._observe(record)))
                    record = await self._session_endings.proceed(record)
            shown_at = self._clock.now()
            await self._deliver(record, shown_at)
            outcome = "converged"
        except Postponed as postponed:
            outcome, again_at = "postponed", postponed.until
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except StoreUnavailable:
            store_failed = True
            raise
        finally:
            try:
                if outcome != "cancelled":  # otherwise the lease is kept: when it ends, the row is due again
                    await self._end(key, again_at, shown_at, store_failed=store_failed)
            finally:
                self._rows.forget_deferred(key)
            self._telemetry.reconciliations.labels(outcome=outcome).inc()

    async def _deliver(self, record: Record, now: datetime) -> None:
        """Deliver what Teams must show at this time. Raises LeaseHeld, StoreUnavailable, Postponed."""
        abilities = self._abilities()
        if abilities.living_messages and with_living_message(record) != record:
            record = self._rows.defer(record, with_living_message)
        wanted = desired(record, self._configuration.value, now, abilities=abilities)
        await self._deliveries.deliver(record, wanted)

    async def put_off(self, key: RequestKey, pause: timedelta) -> None:
        """Give the lease back and make the request due after `pause`, not earlier. Raises StoreUnavailable."""
        later = self._clock.now() + pause
        await self._rows.apply(key, lambda record: replace(record.released_by(self._owner), requeue_at=later))

    async def drain(self) -> None:
        """Wait for the decisions that were taken over from crashed processes."""
        await self._recovering.drain()

    # --- lease and next time

    async def _end(self, key: RequestKey, again_at: datetime | None, shown_at: datetime, *, store_failed: bool) -> None:
        """Give the lease back and set the time of the next reconcile, unless an earlier time is already stored.

        What changed by itself after `shown_at`, while messages were delivered, makes the row due at once. So does a
        store that failed.
        """

        def end(record: Record) -> Record:
            planned = due_at(record, self._configuration.value, self._clock.now(), shown_at=shown_at)
            free = replace(record.released_by(self._owner), deliver_at=None)
            if store_failed:
                return free.requeue_by(self._clock.now())
            if again_at and (planned is None or again_at < planned):
                return free.redeliver_at(again_at)
            return free.requeue_by(planned) if planned else free

        try:
            await self._rows.apply(key, end)
        except StoreUnavailable:
            if store_failed:
                self._rows.forget_deferred(key)  # perhaps they are why the store refuses the row
            await self._rows.apply(key, end)

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
            failures = 0 if identified.request.complete else record.reconcile_failures + 1
            counted = seen if seen.cards else replace(seen, visits=visits)
            return self._routed(replace(counted, reconcile_failures=failures))

        # a click that waits for what was read gets it soon, even if something slow comes before the next write
        keep = self._rows.defer_briefly if self._rows.is_awaited(record.key) else self._rows.defer
        observed_record = keep(record, observed)
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
        return self._rows.defer(
            record,
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


def _unreadable(row: Record, *, since: int, missing_at: datetime | None) -> Record:
    """Count a failed read that began at version `since`.

    `missing_at` is the start of the read if AWS said that there is no such OpsItem, else None.
    """
    if row.observed_from > since:
        return row  # a later read has succeeded
    counted = replace(row, reconcile_failures=row.reconcile_failures + 1)
    return counted.not_found(missing_at) if missing_at else replace(counted, missing_since=None)
