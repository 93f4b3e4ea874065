"""Keeps what does not answer from taking every thread and every look. Knows no AWS.

Once a kind of call has timed out several times in a row, one at a time is enough to find out when it answers again; the
others fail at once, and their requests are looked at again later. So an account that hangs delays no other one.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bot.aws.calls.rate_limit import Quota
from bot.boto.failures import CallFailed, Failure

PATIENCE = 3  # time-outs in a row; one or two may be the network's


class CircuitBreaker:
    """What has not answered lately, by what AWS counts together: an operation in an account and Region."""

    def __init__(self) -> None:
        self._timed_out: Counter[Quota] = Counter()
        self._under_way: Counter[Quota] = Counter()

    @contextmanager
    def asked(self, quota: Quota) -> Iterator[None]:
        """Make a call inside; raise CallFailed where another one finds out already whether there is an answer."""
        if self._timed_out[quota] >= PATIENCE and self._under_way[quota]:
            raise CallFailed("NotAnswering", Failure.TIMED_OUT)
        self._under_way[quota] += 1
        try:
            yield
        except CallFailed as failed:
            self._timed_out[quota] = self._timed_out[quota] + 1 if failed.failure is Failure.TIMED_OUT else 0
            raise
        else:
            self._timed_out[quota] = 0
        finally:
            self._under_way[quota] -= 1
