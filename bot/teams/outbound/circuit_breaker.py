"""A circuit breaker per conversation: a conversation that hangs, fails or is throttled must not block others.

It limits the concurrent calls into a conversation, and closes the conversation for a while after a failure or a 429.
After that, one call at a time probes it, until one is answered.
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
from bot.telemetry import Telemetry

IN_FLIGHT: Final = 3  # calls; eight requests are reconciled at a time, so two hanging channels leave room for others
BUSY_PAUSE: Final = 1.0  # seconds; a call that does not hang ends within it
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds, doubled with every failure in a row
KNOWN: Final = 1024  # conversations
CHECK: Final = "conversations"  # the name of this check in /readyz
FAILING, THROTTLED = "failing", "throttled"
LASTING: Final = 2  # failures in a row that are a problem: the probe failed, too
REPORTED: Final = 600.0  # seconds after the last pause; a conversation that nothing probed since is not reported

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _State:
    in_flight: int = 0
    failures: int = 0  # failures and 429s in a row
    closed_until: float = 0.0  # seconds since 1970


class CircuitBreaker:
    """Admits or rejects calls into conversations. Reports closed ones as a problem and as a metric."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock, self._telemetry = clock, telemetry
        self._states: LRUCache[str, _State] = LRUCache(KNOWN)

    @contextmanager
    def passing(self, conversation: str) -> Iterator[None]:
        """Admit one call, which is made in this context. Raises ChatThrottled if the conversation is closed or busy.

        A ChatThrottled from the context changes nothing: it may be the bot's own rate limit (`throttled`).
        """
        state = self._states.setdefault(conversation, _State())
        self._admit(state)
        state.in_flight += 1
        try:
            yield
        except ChatThrottled:
            raise
        except ChatRefused:  # an error, but a quick answer: the conversation does not hang
            self._open(state)
            raise
        except BaseException:  # no useful answer, or the caller gave up
            pause = backoff(state.failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
            self._close(conversation, state, pause, why=FAILING)
            raise
        else:
            self._open(state)
        finally:
            state.in_flight -= 1

    def throttled(self, conversation: str, seconds: float) -> None:
        """Close a conversation for the seconds that Teams requires, LONGEST_PAUSE at most."""
        state = self._states.setdefault(conversation, _State())
        self._close(conversation, state, min(seconds, LONGEST_PAUSE), why=THROTTLED)

    def _admit(self, state: _State) -> None:
        wait = state.closed_until - self._clock.epoch()
        if 0 < wait <= LONGEST_PAUSE:  # a longer wait means that the clock was set back
            raise ChatThrottled(wait)
        if state.in_flight >= (1 if state.failures else IN_FLIGHT):
            raise ChatThrottled(BUSY_PAUSE)

    def _open(self, state: _State) -> None:
        if state.failures:
            state.failures, state.closed_until = 0, 0.0
            self._report("")

    def _close(self, conversation: str, state: _State, pause: float, *, why: str) -> None:
        """Close a conversation for `pause` seconds. A longer closure stays.

        Calls that fail at the same time count as one failure.
        """
        now = self._clock.epoch()
        left = state.closed_until - now
        is_closed = 0 < left <= LONGEST_PAUSE
        if is_closed and (why == FAILING or pause <= left):
            return
        state.failures, state.closed_until = state.failures + (not is_closed), now + pause
        log.warning("conversation_closed", conversation=conversation, seconds=pause, why=why)
        self._report(why)

    def _report(self, why: str) -> None:
        now = self._clock.epoch()
        closed = [each for each in self._states.values() if each.failures and now < each.closed_until + REPORTED]
        self._telemetry.conversations_closed.set(len(closed))
        if not any(each.failures >= LASTING for each in closed):
            self._telemetry.health.succeeded(CHECK)
        elif why:
            self._telemetry.health.failed(CHECK, why)
