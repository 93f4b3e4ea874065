"""Two fakes of the Queue port: a plain one, and one like SQS with visibility, redrive, copies and failing deletes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from bot.domain.request import RequestKey
from bot.ports.aws import AwsUnavailable, Hint
from bot.ports.clock import Clock
from bot.sandbox.aws.world import MAX_RECEIVES

LONG_POLL = 5.0  # seconds that `receive` waits for messages
BATCH = 10  # the most that SQS returns at once
INVISIBLE = timedelta(seconds=60)  # the visibility timeout that bot.aws.queue requests


class MemoryQueue:
    """Messages in the order of arrival, each returned until it is deleted. A plain list, so that proofs can copy it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.hints: list[Hint] = []

    def send(self, key: RequestKey) -> None:
        """Add an event for this request."""
        self.hints.append(Hint(f"receipt of {key}", key, "Requester Access Request Status Update"))

    async def check(self) -> None:
        """Succeed."""

    async def receive(self) -> Sequence[Hint]:
        """Return the messages that are not deleted. If there are none, wait LONG_POLL first."""
        if not self.hints:
            await self._clock.sleep(LONG_POLL)
        return tuple(self.hints)

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Delete messages. Deleting one again is not an error."""
        self.hints = [each for each in self.hints if each not in hints]


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """One message. If `hint` is None, the adapter cannot parse the message and never returns it."""

    hint: Hint | None
    receives: int = 0
    visible_at: datetime | None = None
    receipts: list[str] = field(default_factory=list)


class FakeSqs:
    """Delivers at least once, in any order. `trouble` is the probability that a delete fails."""

    def __init__(self, clock: Clock, chance: Random, *, trouble: float = 0.0) -> None:
        self._clock, self._chance, self.trouble = clock, chance, trouble
        self.kept: list[QueuedMessage] = []
        self.dead: list[QueuedMessage] = []
        self.received = 0

    def send(self, hint: Hint | None, *, copies: int = 1) -> None:
        """Add copies of a message, at random positions."""
        for _ in range(copies):
            self.kept.insert(self._chance.randint(0, len(self.kept)), QueuedMessage(hint))

    async def check(self) -> None:
        """Succeed."""

    async def receive(self) -> Sequence[Hint]:
        """Return up to BATCH visible messages. If there are none, wait LONG_POLL and try once more."""
        taken = self._visible()
        if not taken:
            await self._clock.sleep(LONG_POLL)
            taken = self._visible()
        return [hint for message in taken if (hint := self._given(message))]

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Delete messages by any of their receipts.

        Each fails with the probability `trouble`; half of these failures still delete. Raises AwsUnavailable if any
        failed.
        """
        deleted = [self._is_deleted(hint) for hint in hints]
        if not all(deleted):
            raise AwsUnavailable("InternalError")

    def _is_deleted(self, hint: Hint) -> bool:
        fails = self._chance.random() < self.trouble
        if not fails or self._chance.random() >= 0.5:
            self.kept = [each for each in self.kept if hint.receipt not in each.receipts]
        return not fails

    def _visible(self) -> list[QueuedMessage]:
        now = self._clock.now()
        visible = [each for each in self.kept if each.visible_at is None or each.visible_at <= now]
        given_up = [each for each in visible if each.receives >= MAX_RECEIVES]
        self.dead += given_up
        self.kept = [each for each in self.kept if each not in given_up]
        return [each for each in visible if each not in given_up][:BATCH]

    def _given(self, message: QueuedMessage) -> Hint | None:
        self.received += 1
        message.receives += 1
        message.visible_at = self._clock.now() + INVISIBLE
        message.receipts.append(f"receipt-{self.received}")
        return replace(message.hint, receipt=message.receipts[-1]) if message.hint else None


class LossyQueue(FakeSqs):
    """A defective queue that deletes a message when it is received, to show that a proof notices the loss."""

    def _given(self, message: QueuedMessage) -> Hint | None:
        self.kept.remove(message)
        return super()._given(message)
