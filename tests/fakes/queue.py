"""The queue behind its port, in memory: it shows a message until it is deleted."""

from collections.abc import Sequence

from bot.domain.request import RequestKey
from bot.ports import Clock, Hint

LONG_POLL = 5.0  # seconds that a question waits for messages


class MemoryQueue:
    """Messages in the order in which they came."""

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
