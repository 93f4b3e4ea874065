"""Takes hints from the queue: stores "look at this request now", then deletes the message.

What cannot be stored stays in the queue; what cannot be deleted comes again, and only says the same once more. Nothing
is kept here: the rows are the queue of what is to be looked at, one each however many messages speak of a request.

An event's content is believed in nothing but which request it is about, and in the policies that conflict, which AWS
tells nowhere else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from bot.domain.record import Record
from bot.ports.aws import AwsUnavailable, Hint, Queue
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.configured import Configured
from bot.service.rows import Rows
from bot.telemetry import Telemetry

QUEUE = "queue"  # its name among the checks of /readyz
PAUSE = 5.0  # seconds before the queue is asked again after it failed
log = structlog.get_logger(__name__)


class Intake:
    """The loop that empties the queue."""

    def __init__(self, *, queue: Queue, rows: Rows, clock: Clock, configured: Configured, telemetry: Telemetry) -> None:
        self._queue, self._rows, self._clock = queue, rows, clock
        self._configured, self._telemetry = configured, telemetry
        self._store_away = False

    async def run(self) -> None:
        """Take messages until cancelled. The first question is quick, so that the program is soon known to be ready."""
        await self._safely(self.check)
        while True:
            await self._safely(self.take)

    async def _safely(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except AwsUnavailable as problem:
            log.warning("queue_unavailable", code=problem.code)
            self._telemetry.health.failed(QUEUE, problem.code)
            await self._clock.sleep(PAUSE)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            await self._clock.sleep(PAUSE)

    async def check(self) -> None:
        """Find out whether the queue answers. Raises AwsUnavailable."""
        await self._queue.check()
        self._telemetry.health.succeeded(QUEUE)

    async def take(self) -> int:
        """Take the messages that are there; return how many. Raises AwsUnavailable, StoreUnavailable.

        While the store is away none is received: the queue gives up what was received five times in vain.
        """
        if self._store_away:
            await self._rows.store.next_due()
        self._store_away = False
        hints = await self._queue.receive()
        deleted = [await self._take(hint) for hint in hints]
        if all(deleted):
            self._telemetry.health.succeeded(QUEUE)
        return len(hints)

    async def _take(self, hint: Hint) -> bool:
        """Take one message; whatever goes wrong with it, the others of its batch are taken all the same."""
        try:
            await self._store(hint)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()
            self._store_away = True
            return True  # not deleted, on purpose: the queue shows it again
        try:
            await self._queue.delete(hint)
        except AwsUnavailable as problem:
            log.warning("event_not_deleted", code=problem.code)
            self._telemetry.health.failed(QUEUE, problem.code)
            return False
        return True

    async def _store(self, hint: Hint) -> None:
        if hint.key is None or not self._configured.covers(hint.key):
            self._telemetry.events.labels(outcome="ignored").inc()
            log.info("event_ignored", event_type=hint.event, request=str(hint.key) if hint.key else None)
            return
        now = self._clock.now()

        def due(record: Record) -> Record:
            policies = hint.conflicting_policies or record.conflicting_policies
            return replace(record, conflicting_policies=policies).requeue_soon(now)

        await self._rows.apply(hint.key, due)
        self._telemetry.events.labels(outcome="taken").inc()
        log.info("event_taken", event_type=hint.event, request=str(hint.key))
