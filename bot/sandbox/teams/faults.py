"""Faults of the sandbox's Teams: what a test wants to go wrong with the bot's next connector calls.

Owns the matching and the counting. Knows no server; `bot.sandbox.teams.front` performs what is found here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.sandbox.teams.gaps import Refusal


class Effect(StrEnum):
    """What a fault does to the call that it meets."""

    REFUSE = "refuse"  # answer `status`; the call has no effect
    DISCONNECT = "disconnect"  # close the connection; the call has no effect
    LOSE_REPLY = "lose_reply"  # perform the call, then close the connection
    DELAY = "delay"  # wait `seconds`, then perform the call


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What shall happen to the next `times` calls of this method whose path matches `path`."""

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
        """Build a fault from a request's body; raises TypeError or ValueError for what is none."""
        return cls(**{**wanted, "effect": Effect(wanted.get("effect", Effect.REFUSE))})

    def refusal(self) -> Refusal:
        """Return the error that this fault answers with."""
        return Refusal(status=self.status, code=self.code, message="Injected by the sandbox")


class Faults:
    """The faults still to come, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let this happen to the next calls that match."""
        self._waiting += [fault] * fault.times

    def clear(self) -> None:
        """Let everything work again."""
        self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Use up the first fault that meets this call; None if none does."""
        for index, fault in enumerate(self._waiting):
            if fault.method == method and re.search(fault.path, path):
                return self._waiting.pop(index)
        return None
