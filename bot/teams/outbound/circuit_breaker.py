"""Keeps a conversation that hangs or fails from taking up everybody's time.

Owns how many calls into one conversation run at once, and for how long it is left alone after one came to nothing.
It never waits: who may not pass is told when to come back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from cachetools import LRUCache

from bot.ports.clock import Clock
from bot.ports.teams import ChatRefused, ChatThrottled

IN_FLIGHT: Final = 3  # calls; requests are looked at eight at a time, so two hanging channels leave room for others
BUSY_PAUSE: Final = 1.0  # seconds; a call that does not hang is over by then
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds, doubled with every failure in a row
KNOWN: Final = 1024  # conversations

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(slots=True)
class _State:
    in_flight: int = 0
    failures: int = 0  # in a row
    closed_until: float = 0.0


class CircuitBreaker:
    """Lets calls into conversations pass, or not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: LRUCache[str, _State] = LRUCache(KNOWN)

    @contextmanager
    def passing(self, conversation: str) -> Iterator[None]:
        """Make one call within. Raises ChatThrottled while the conversation is closed or busy."""
        state = self._states.setdefault(conversation, _State())
        self._admit(state)
        state.in_flight += 1
        answered = False
        try:
            yield
            answered = True
        except (ChatThrottled, ChatRefused):
            answered = True  # not what was hoped for, but the conversation is no waste of time
            raise
        finally:  # anything else: no useful answer, or given up by who waited for it
            state.in_flight -= 1
            self._learn(conversation, state, answered=answered)

    def _admit(self, state: _State) -> None:
        wait = state.closed_until - self._clock.now().timestamp()
        if 0 < wait <= LONGEST_PAUSE:  # more: the clock was set back
            raise ChatThrottled(wait)
        if state.in_flight >= IN_FLIGHT:
            raise ChatThrottled(BUSY_PAUSE)

    def _learn(self, conversation: str, state: _State, *, answered: bool) -> None:
        now = self._clock.now().timestamp()
        if answered:
            state.failures, state.closed_until = 0, 0.0
        elif now >= state.closed_until:  # calls that failed side by side are one failure
            pause = min(FIRST_PAUSE * 2.0**state.failures, LONGEST_PAUSE)
            state.failures, state.closed_until = min(state.failures + 1, 10), now + pause
            log.warning("conversation_closed", conversation=conversation, seconds=pause)
