"""The call log: every call to the simulated AWS, in the order of arrival."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

LOG_LENGTH = 50_000  # calls; a sandbox may run for days


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the simulated AWS, and its answer.

    `status` is None until the call is answered, and 0 if the caller got no answer. `error` is AWS's code if the
    simulator refused the call; for an answer of moto it is None.
    """

    number: int
    at: datetime
    service: str
    operation: str
    caller: str  # ARN
    source_identity: str
    region: str
    params: dict[str, Any]
    status: int | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the call in JSON form for the control API."""
        return {**asdict(self), "at": self.at.isoformat()}


class CallLog:
    """The last LOG_LENGTH calls, with times from the clock `now`. Thread-safe."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now, self._lock, self._next = now, threading.Lock(), 0
        self._calls: deque[Call] = deque(maxlen=LOG_LENGTH)

    def arrived(
        self, service: str, operation: str, *, caller: str, source_identity: str, region: str, params: dict[str, Any]
    ) -> Call:
        """Add a call that has arrived, and return its entry."""
        with self._lock:
            call = Call(self._next, self._now(), service, operation, caller, source_identity, region, params)
            self._next += 1
            self._calls.append(call)
            return call

    def answered(self, call: Call, status: int, error: str | None) -> None:
        """Add status and error code of the answer to the entry of a call."""
        with self._lock:
            at = call.number - self._next + len(self._calls)
            if at >= 0:  # otherwise the log has already dropped the call
                self._calls[at] = replace(call, status=status, error=error)

    def all(self, operation: str | None = None) -> list[Call]:
        """Return the calls in the log, of one operation or of all."""
        with self._lock:
            return [c for c in self._calls if operation in {None, c.operation}]

    def clear(self) -> None:
        """Remove all calls from the log."""
        with self._lock:
            self._calls.clear()
