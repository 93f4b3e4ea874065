"""Circuit breaker: calls that time out must not occupy all threads.

After several time-outs of one operation in a row, only one call of this operation is made at a time, to find out
whether AWS answers again. Other calls of it fail immediately, and their requests are reconciled later. So a slow
account does not delay other accounts.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bot.aws.calls.rate_limit import Quota
from bot.boto.failures import CallFailed, Failure

PATIENCE = 3  # time-outs in a row that open the circuit; one or two may be a network problem


class CircuitBreaker:
    """Refuses calls of an operation that times out repeatedly in one account and Region."""

    def __init__(self) -> None:
        self._timed_out: Counter[Quota] = Counter()
        self._running: Counter[Quota] = Counter()

    @contextmanager
    def guard(self, quota: Quota) -> Iterator[None]:
        """Make a call in this context. Raises CallFailed if the circuit is open and a call of this quota is running."""
        if self._timed_out[quota] >= PATIENCE and self._running[quota]:
            raise CallFailed("NotAnswering", Failure.TIMED_OUT)
        self._running[quota] += 1
        try:
            yield
        except CallFailed as failed:
            self._timed_out[quota] = self._timed_out[quota] + 1 if failed.failure is Failure.TIMED_OUT else 0
            raise
        else:
            self._timed_out[quota] = 0
        finally:
            self._running[quota] -= 1
