"""Receives events from the queue: makes the row of an event's request due, then deletes the message.

A message whose request could not be stored stays in the queue. A message that could not be deleted arrives again, which
does no harm. The rows are the work list, one row for each request, however many messages are about it.

An event is only a hint. It is trusted for the key of the request, and for the names of conflicting policies, which AWS
reports nowhere else.

EventBridge can replay an archive of events. Old events must not delay new requests: a request that was read from AWS
after the event is not read again, and other old events become due one by one, OLD_EVERY apart.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from bot.domain.record import Record
from bot.domain.spans import CLOCKS_APART
from bot.ports.aws import AwsUnavailable, Hint, Queue
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.checks.advice import QUEUE_CODES, aws_advice
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.telemetry import Telemetry

QUEUE = "queue"  # the name of this check in /readyz
MANY = 5  # messages in a batch: more are probably waiting, so the next batch is received while this one is handled
BATCHES = 3  # handled at once; enough to hide the latency of the queue and of the store
PAUSE = 5.0  # seconds before the next attempt after the queue or the store failed
OLD = timedelta(minutes=10)  # age of an event that is replayed, or was delayed; the sweep has found its request by then
OLD_EVERY = timedelta(seconds=1)  # leaves most of AWS's quota of 3 calls a second to new requests
log = structlog.get_logger(__name__)


class Intake:
    """The loop that empties the queue."""

    def __init__(
        self,
        *,
        queue: Queue,
        rows: Rows,
        clock: Clock,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
        outcomes: Outcomes,
    ) -> None:
        self._outcomes = outcomes
        self._queue, self._rows, self._clock = queue, rows, clock
        self._configuration, self._telemetry = configuration, telemetry
        self._store_works: bool | None = None  # None: not known since the last failure
        self._slots = asyncio.Semaphore(BATCHES)
        self._last_old = clock.now()  # when the latest old event becomes due

    async def run(self) -> None:
        """Take messages until cancelled. Starts with a quick check, so that /readyz does not wait for a long poll."""
        await self._safely(self.check)
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._safely(partial(self._take_beside, batches))

    async def _safely(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except AwsUnavailable as problem:
            log.warning("queue_unavailable", code=problem.code)
            self._failed(problem, may_pass=True)
            await self._clock.sleep(PAUSE)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            await self._clock.sleep(PAUSE)

    async def check(self) -> None:
        """Check that the queue answers. Raises AwsUnavailable."""
        await self._queue.check()
        self._telemetry.health.succeeded(QUEUE)

    async def take(self) -> int:
        """Take one batch of messages; return their number. Raises AwsUnavailable, StoreUnavailable.

        Does not receive messages while the store is unavailable: after five receives the queue moves a message to its
        dead-letter queue.
        """
        hints = await self._receive()
        await self._handle(hints)
        return len(hints)

    async def _take_beside(self, batches: asyncio.TaskGroup) -> None:
        """Take one batch; if more messages are probably waiting, leave it to a task of `batches`, BATCHES at most.

        Not after a failure of the store: messages that are received and not stored are soon dead letters.
        """
        async with self._slots:
            hints = await self._receive()
        if self._store_works and len(hints) >= MANY:
            batches.create_task(self._handle_in_slot(hints))
        else:
            await self._handle(hints)

    async def _handle_in_slot(self, hints: Sequence[Hint]) -> None:
        async with self._slots:
            await self._handle(hints)

    async def _receive(self) -> Sequence[Hint]:
        if self._store_works is False:
            await self._rows.store.next_due()
            self._store_works = None
        return await self._queue.receive()

    async def _handle(self, hints: Sequence[Hint]) -> None:
        """Store the messages of a batch side by side, then delete those that are stored. The queue keeps the others."""
        stored = await asyncio.gather(*map(self._is_stored, hints))
        done = [hint for hint, is_stored in zip(hints, stored, strict=True) if is_stored]
        try:
            if done:
                await self._queue.delete(done)
        except AwsUnavailable as problem:
            log.warning("event_not_deleted", code=problem.code)
            self._failed(problem, may_pass=False)  # empty batches between two such failures prove nothing
        else:
            self._telemetry.health.succeeded(QUEUE)

    async def _is_stored(self, hint: Hint) -> bool:
        """Store one message; return False if the store failed, which does not stop the rest of the batch."""
        try:
            await self._store(hint)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            self._store_works = False
            return False
        if self._store_works is None:
            self._store_works = True
        return True

    def _failed(self, problem: AwsUnavailable, *, may_pass: bool) -> None:
        words = aws_advice(problem.code, QUEUE_CODES)
        self._telemetry.health.failed(QUEUE, problem.code, words, may_pass=may_pass)

    async def _store(self, hint: Hint) -> None:
        if hint.key is None or not self._configuration.value.covers(hint.key):
            self._telemetry.events.labels(outcome="ignored").inc()
            log.info("event_ignored", event_type=hint.event, request=str(hint.key) if hint.key else None)
            return
        now, old_at = self._clock.now(), self._due_time_of_old(hint)

        def due(record: Record) -> Record:
            policies = hint.conflicting_policies or record.conflicting_policies
            noted = replace(record, conflicting_policies=policies)
            if _was_read_after(record, hint):
                return noted
            return noted.requeue_by(old_at) if old_at else noted.requeue_soon(now)

        self._outcomes.succeeded(Work.EVENT, f"{hint.key.account} {hint.key.region}")
        await self._rows.apply(hint.key, due)
        self._telemetry.events.labels(outcome="taken").inc()
        self._telemetry.request_events.labels(account=hint.key.account, region=hint.key.region).inc()
        log.info("event_taken", event_type=hint.event, request=str(hint.key))

    def _due_time_of_old(self, hint: Hint) -> datetime | None:
        """Return when the request of an old event is reconciled; None for a new event."""
        now = self._clock.now()
        if hint.occurred_at is None or now - hint.occurred_at < OLD:
            return None
        self._last_old = max(now, self._last_old + OLD_EVERY)
        return self._last_old


def _was_read_after(record: Record, hint: Hint) -> bool:
    """True if AWS was read after the event occurred, so that the row has its effect."""
    if hint.occurred_at is None or record.observed_at is None:
        return False
    return hint.occurred_at + CLOCKS_APART < record.observed_at
