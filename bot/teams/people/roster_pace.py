"""Spreads the reads of rosters: a bot of a hundred channels does not ask Teams for a hundred rosters at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bot.concurrency.window import SlidingWindow
from bot.ports.clock import Clock

SPAN: Final = 0.2  # seconds; a click does not wait longer for its turn
PAGES: Final = 3  # in each span: Teams allows an app 50 calls a second in a tenant, and messages need most of them
SHORTEST: Final = 0.001  # seconds of a pause: a remainder below the clock's resolution would be none
A_SECOND: Final = PAGES / SPAN


class RosterPace:
    """Counts the pages of all rosters that this process reads."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._window = clock, SlidingWindow(((SPAN, PAGES),))
        self._urgent, self._waiting = Counter[str](), Counter[str]()

    async def turn(self, conversation: str) -> None:
        """Wait until a page of this conversation's roster may be read: not at all while a caller is in a hurry."""
        self._waiting[conversation] += 1
        try:
            while not self._urgent[conversation] and (wait := self._window.wait(self._clock.epoch())) > 0:
                await self._clock.sleep(max(wait, SHORTEST))
        finally:
            self._waiting[conversation] -= 1
        self._window.add(self._clock.epoch())

    @contextmanager
    def hurry(self, conversation: str) -> Iterator[None]:
        """Let this conversation's roster be read before all others during the block: somebody waits for it alone."""
        self._urgent[conversation] += 1
        try:
            yield
        finally:
            self._urgent[conversation] -= 1

    def delays(self, conversation: str) -> bool:
        """Return whether a page of this conversation's roster waits for its turn."""
        return self._waiting[conversation] > 0
