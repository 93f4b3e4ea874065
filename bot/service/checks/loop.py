"""Makes the checks while the bot runs, and reports the problems to log, metric and readiness.

A problem is reported once two runs in a row have found it: Teams refuses about one call in a thousand for no reason.
What this process has seen itself needs no second run. Each problem is reported at once, whatever the other checks of
the round still wait for.
Problems do not affect readiness itself: the bot may work without the part that fails.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from bot.ports.clock import Clock
from bot.service.checks.check import LONGEST, Check, Problem
from bot.service.checks.running import SIDE_BY_SIDE, Results, make_checks
from bot.service.current_configuration import CurrentConfiguration
from bot.telemetry import Telemetry

FIRST_AFTER: Final = 20.0  # seconds after the start; the first sweep and its cards go first
PERIOD: Final = 60.0  # seconds between two rounds; a check with a problem is made in each of them
REPEATED_AFTER: Final = 5.0  # seconds between the two runs that must find a new problem
log = structlog.get_logger(__name__)


class Checks:
    """The loop that makes the checks.

    `named` returns the checks of the current configuration. The result of a check that it no longer returns is dropped.
    """

    def __init__(
        self,
        named: Callable[[], Sequence[Check]],
        *,
        configuration: CurrentConfiguration,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._named, self._configuration = named, configuration
        self._clock, self._health = clock, telemetry.health
        self._results: Results = {}  # of the checks that were reported
        self._made: dict[str, tuple[float, int]] = {}  # when, and with which revision of the configuration
        self._slots = {slow: asyncio.Semaphore(SIDE_BY_SIDE) for slow in (False, True)}

    async def run(self) -> None:
        """Make the checks until cancelled. Those that may take long have their own rounds and delay no others."""
        await self._clock.sleep(FIRST_AFTER)
        async with asyncio.TaskGroup() as group:
            for slow in self._slots:
                group.create_task(self._repeat_rounds(slow=slow))

    async def make(self) -> None:
        """Make the checks that are due, and report what they find."""
        await asyncio.gather(*(self._round(slow=slow) for slow in self._slots))

    async def _repeat_rounds(self, *, slow: bool) -> None:
        while True:
            await self._round(slow=slow)
            await self._clock.sleep(PERIOD)

    async def _round(self, *, slow: bool) -> None:
        """Make the checks that are due, either those that may take long, or all others."""
        checks, slots, revision = self._named(), self._slots[slow], self._configuration.revision
        self._forget(set(self._results) - {each.name for each in checks})
        due = [each for each in checks if (each.longest > LONGEST) is slow and self._is_due(each)]
        async with asyncio.TaskGroup() as repetitions:

            def seen(check: Check, found: Results) -> None:
                if check.name not in found:
                    return
                if self._is_doubtful(check, found[check.name]):
                    repetitions.create_task(self._make_again(check, slots, revision))
                else:
                    self._report(check.name, found[check.name], revision)

            await make_checks(due, known=self._results, seen=seen, slots=slots)

    async def _make_again(self, check: Check, slots: asyncio.Semaphore, revision: int) -> None:
        """Make a check that has found a new problem a second time, and report the result.

        If there is none, the problem is neither confirmed nor refuted: the check is due again in the next round.
        """
        await self._clock.sleep(REPEATED_AFTER)
        found = await make_checks([check], known=self._results, slots=slots)
        for name, problem in found.items():
            self._report(name, problem, revision)

    def recheck(self) -> None:
        """Make every check again in the next round, whenever it was made."""
        self._made.clear()

    def _is_doubtful(self, check: Check, problem: Problem | None) -> bool:
        """True for a new problem of a check that asked somebody: it may be a false refusal."""
        return problem is not None and not check.is_memory and not self._results.get(check.name)

    def _is_due(self, check: Check) -> bool:
        """True also after the configuration has changed: a name may mean another channel now."""
        made_at, revision = self._made.get(check.name, (None, 0))
        if made_at is None or self._results.get(check.name) or revision != self._configuration.revision:
            return True
        return not 0 <= self._clock.epoch() - made_at < check.every

    def _report(self, name: str, problem: Problem | None, revision: int) -> None:
        self._results[name], self._made[name] = problem, (self._clock.epoch(), revision)
        if problem is None:
            self._health.succeeded(name)
        else:
            self._health.failed(name, problem.code, problem.advice)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            del self._results[name]
            self._made.pop(name, None)
            self._health.forget(name)
