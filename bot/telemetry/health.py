"""Readiness: which parts of the program have answered so far. The parts report their own state.

Each change of a problem is one log event, however often a part fails with the same code.
"""

from collections.abc import Mapping
from contextlib import suppress

import structlog
from prometheus_client import Gauge

log = structlog.get_logger(__name__)
NEVER_ANSWERED = "has not answered yet"


class Health:
    """The state of each part, by name. An expected part is missing until it has answered once."""

    def __init__(self, answering: Gauge) -> None:
        """Take the gauge that shows the last result of each part."""
        self._answering = answering
        self._missing: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self._sound: set[str] = set()  # the parts whose last call succeeded

    def expect(self, name: str) -> None:
        """Count the program as not ready until this part has answered."""
        self._missing.setdefault(name, NEVER_ANSWERED)

    def succeeded(self, name: str) -> None:
        """Record that a part answered."""
        self._sound.add(name)
        self._answering.labels(check=name).set(1)
        self._missing.pop(name, None)
        if self._problems.pop(name, None) is not None:
            log.info("problem_ended", check=name)

    def failed(self, name: str, code: str, advice: str = "", *, may_pass: bool = False) -> None:
        """Record that a part failed, with the code, and what to do. A part that has answered once is never missing.

        With `may_pass`, the first failure after a success is no problem: one call of thousands fails for no reason.
        """
        was_sound = name in self._sound
        self._sound.discard(name)
        if may_pass and was_sound:
            return
        self._answering.labels(check=name).set(0)
        words = f"{code}: {advice}" if advice else code
        if self._problems.get(name) != words:
            log.warning("problem_began", check=name, code=code, **({"advice": advice} if advice else {}))
        self._problems[name] = words
        if name in self._missing:
            self._missing[name] = words

    def forget(self, name: str) -> None:
        """Drop a part that no longer exists, such as a channel that was removed from node-access.toml."""
        if self._problems.pop(name, None) is not None:
            log.info("problem_ended", check=name)
        self._sound.discard(name)
        with suppress(KeyError):  # the part never reported
            self._answering.remove(name)

    def missing(self) -> Mapping[str, str]:
        """Return the expected parts that have never answered, each with the last code; empty if all have."""
        return dict(self._missing)

    def problems(self) -> Mapping[str, str]:
        """Return the parts whose last call failed, each with the code and what to do."""
        return dict(self._problems)
