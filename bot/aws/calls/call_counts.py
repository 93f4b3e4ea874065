"""Counts calls to AWS by what became of them. Knows no operation's meaning."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter

from bot.boto.failures import CallFailed

OK = "ok"
OTHER = "other"
MOST_CODES = 100  # told apart; a code is text from outside, and each becomes a time series per operation for good
LONGEST_CODE = 80  # characters


class CallCounts:
    """Counts by operation, and by `ok` or AWS's error code. Threads may share it."""

    def __init__(self, calls: Counter) -> None:
        self._calls = calls
        self._codes: set[str] = set()

    @contextmanager
    def counted(self, operation: str) -> Iterator[None]:
        """Count the call that is made within; `other` is a code too many, or no failure that anybody foresaw."""
        result = OTHER
        try:
            yield
            result = OK
        except CallFailed as failed:
            result = self._told_apart(failed.code)
            raise
        finally:
            self._calls.labels(operation=operation, result=result).inc()

    def _told_apart(self, code: str) -> str:
        code = code[:LONGEST_CODE]
        if code not in self._codes and len(self._codes) >= MOST_CODES:
            return OTHER
        self._codes.add(code)
        return code
