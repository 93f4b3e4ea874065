"""A circuit breaker per conversation: a conversation that hangs or fails must not block the others.

It limits the concurrent calls into a conversation, and closes the conversation for a while after a failure.
It never waits: it raises ChatThrottled with the seconds to wait.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from cachetools import LRUCache

from bot.concurrency.backoff import backoff
from bot.ports.clock import Clock
from bot.ports.teams import ChatRefused, ChatThrottled

IN_FLIGHT: Final = 3  # calls; eight requests are reconciled at a time, so two hanging channels leave room for others
BUSY_PAUSE: Final = 1.0  # seconds; a call that does not hang ends within it
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds, doubled with every failure in a row
KNOWN: Final = 1024  # conversations

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _State:
    in_flight: int = 0
    failures: int = 0  # failures in a row
    closed_until: float = 0.0  # seconds since 1970


class CircuitBreaker:
    """Admits or rejects calls into conversations."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: LRUCache[str, _State] = LRUCache(KNOWN)

    @contextmanager
    def passing(self, conversation: str) -> Iterator[None]:
        """Admit one call, which is made in this context. Raises ChatThrottled if the conversation is closed or busy."""
        state = self._states.setdefault(conversation, _State())
        self._admit(state)
        state.in_flight += 1
        answered = False
        try:
            yield
            answered = True
        except (ChatThrottled, ChatRefused):
            answered = True  # an error, but a quick answer: the conversation does not hang
            raise
        finally:  # any other error: no useful answer, or the caller gave up
            state.in_flight -= 1
            self._learn(conversation, state, answered=answered)

    def _admit(self, state: _State) -> None:
        wait = state.closed_until - self._clock.epoch()
        if 0 < wait <= LONGEST_PAUSE:  # a longer wait means that the clock was set back
            raise ChatThrottled(wait)
        if state.in_flight >= IN_FLIGHT:
            raise ChatThrottled(BUSY_PAUSE)

    def _learn(self, conversation: str, state: _State, *, answered: bool) -> None:
        now = self._clock.epoch()
        if answered:
            state.failures, state.closed_until = 0, 0.0
        elif now >= state.closed_until:  # calls that fail at the same time count as one failure
            pause = backoff(state.failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
            state.failures, state.closed_until = state.failures + 1, now + pause
            log.warning("conversation_closed", conversation=conversation, seconds=pause)
