"""The queue behind its port: a plain one, and one like SQS, on the test's clock: visibility, redrive, copies, and deletes that fail."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from bot.domain.request import RequestKey
from bot.ports.aws import AwsUnavailable, Hint
from bot.ports.clock import Clock

LONG_POLL = 5.0  # seconds that a question waits for messages
BATCH = 10  # as SQS gives at most
INVISIBLE = timedelta(seconds=60)  # as bot.aws.queue asks for
MAX_RECEIVES = 5  # as infra/aws/queue.json has it


class MemoryQueue:
    """Messages in the order in which they came; each is shown until it is deleted. What a proof copies: a plain list."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.hints: list[Hint] = []

    def send(self, key: RequestKey) -> None:
        """Say "look at this request"."""
        self.hints.append(Hint(f"receipt of {key}", key, "Requester Access Request Status Update"))

    async def check(self) -> None:
        """Answer."""

    async def receive(self) -> Sequence[Hint]:
        """Return what is not deleted; wait a while where there is nothing."""
        if not self.hints:
            await self._clock.sleep(LONG_POLL)
        return tuple(self.hints)

    async def delete(self, hint: Hint) -> None:
        """Delete; a second time is no mistake."""
        self.hints = [each for each in self.hints if each != hint]


@dataclass(slots=True, eq=False)
class Kept:
    """One message in the queue. `hint` None: poison, which the adapter receives and never returns."""

    hint: Hint | None
    receives: int = 0
    visible_at: datetime | None = None
    receipts: list[str] = field(default_factory=list)


class FakeSqs:
    """At least once, in any order. `trouble`: how likely a delete fails, after or before it took effect."""

    def __init__(self, clock: Clock, chance: Random, *, trouble: float = 0.0) -> None:
        self._clock, self._chance, self.trouble = clock, chance, trouble
        self.kept: list[Kept] = []
        self.dead: list[Kept] = []
        self.received = 0

    def send(self, hint: Hint | None, *, copies: int = 1) -> None:
        """Put copies of a message in, anywhere in the line."""
        for _ in range(copies):
            self.kept.insert(self._chance.randint(0, len(self.kept)), Kept(hint))

    async def check(self) -> None:
        """Answer."""

    async def receive(self) -> Sequence[Hint]:
        """Give what is visible; wait a few seconds where nothing is."""
        taken = self._visible()
        if not taken:
            await self._clock.sleep(LONG_POLL)
            taken = self._visible()
        return [hint for message in taken if (hint := self._given(message))]

    async def delete(self, hint: Hint) -> None:
        """Delete by a receipt, the last one or an older one; fail now and then."""
        fails = self._chance.random() < self.trouble
        if fails and self._chance.random() < 0.5:
            raise AwsUnavailable("InternalError")
        self.kept = [each for each in self.kept if hint.receipt not in each.receipts]
        if fails:
            raise AwsUnavailable("InternalError")

    def _visible(self) -> list[Kept]:
        now = self._clock.now()
        visible = [each for each in self.kept if each.visible_at is None or each.visible_at <= now]
        given_up = [each for each in visible if each.receives >= MAX_RECEIVES]
        self.dead += given_up
        self.kept = [each for each in self.kept if each not in given_up]
        return [each for each in visible if each not in given_up][:BATCH]

    def _given(self, message: Kept) -> Hint | None:
        self.received += 1
        message.receives += 1
        message.visible_at = self._clock.now() + INVISIBLE
        message.receipts.append(f"receipt-{self.received}")
        return replace(message.hint, receipt=message.receipts[-1]) if message.hint else None


class AtMostOnce(FakeSqs):
    """A defective queue: what was received is gone. Shows that a proof can tell a message that was lost."""

    def _given(self, message: Kept) -> Hint | None:
        self.kept.remove(message)
        return super()._given(message)
