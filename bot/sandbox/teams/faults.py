"""Faults that the simulated Teams injects into the bot's next Connector calls.

Owns matching and counting. Knows no server: `connector.py` applies the faults. A person injects them by
`POST /_sandbox/faults` (`controls.py`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.sandbox.teams.gaps import Refusal


class Effect(StrEnum):
    """The effect of a fault on a call."""

    REFUSE = "refuse"  # answer `status`; the call has no effect
    DISCONNECT = "disconnect"  # close the connection; the call has no effect
    LOSE_REPLY = "lose_reply"  # perform the call, then close the connection
    DELAY = "delay"  # wait `seconds`, then perform the call


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault that affects the next `times` calls of this method whose path matches `path`."""

    effect: Effect = Effect.REFUSE
    method: str = "POST"
    path: str = ""  # regular expression, searched in the decoded path (`v3/conversations/…`)
    times: int = 1
    status: int = 503
    code: str = "ServiceError"
    headers: Mapping[str, str] = field(default_factory=dict)  # such as Retry-After
    seconds: float = 0.0

    @classmethod
    def from_json(cls, wanted: Mapping[str, Any]) -> "Fault":
        """Build a fault from a request's body. Raises TypeError or ValueError."""
        return cls(**{**wanted, "effect": Effect(wanted.get("effect", Effect.REFUSE))})

    def refusal(self) -> Refusal:
        """Return the error answer of this fault."""
        return Refusal(status=self.status, code=self.code, message="Injected by the sandbox")


class Faults:
    """The faults that have not happened, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Apply this fault to the next `times` calls that match."""
        self._waiting += [fault] * fault.times

    def clear(self) -> None:
        """Remove all faults."""
        self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return and use up the first fault that matches this call, or None."""
        for index, fault in enumerate(self._waiting):
            if fault.method == method and re.search(fault.path, path):
                return self._waiting.pop(index)
        return None
