"""Makes the checks while the bot runs, and reports the problems to log, metric and readiness.

A problem is reported once two runs in a row have found it: Teams refuses about one call in a thousand for no reason.
What this process has seen itself needs no second run.
Problems do not affect readiness itself: the bot may work without the part that fails.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from bot.concurrency.turns import in_turns
from bot.ports.clock import Clock
from bot.service.checks.check import Check
from bot.service.checks.running import Results, make_checks, only_asking
from bot.service.current_configuration import CurrentConfiguration
from bot.telemetry import Telemetry

FIRST_AFTER: Final = 30.0  # seconds after the start; the first sweep and its cards go first
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
        self._revision = configuration.revision
        self._results: Results = {}  # of the checks that were reported
        self._made_at: dict[str, float] = {}

    async def run(self) -> None:
        """Make the checks until cancelled."""
        await self._clock.sleep(FIRST_AFTER)
        while True:
            await self.make()
            await self._clock.sleep(PERIOD)

    async def make(self) -> None:
        """Make the checks that are due, and report what they find."""
        self._follow_configuration()
        checks = self._named()
        self._forget(set(self._results) - {each.name for each in checks})
        found = await self._found([each for each in checks if self._is_due(each)])
        news = self._new_problems(checks, found)
        doubtful = {each.name for each in news}
        await self._report({name: problem for name, problem in found.items() if name not in doubtful})
        if news:
            await self._clock.sleep(REPEATED_AFTER)
            repeated = await self._found(news)
            await self._report(repeated)
            for name in doubtful - repeated.keys():  # neither confirmed nor refuted: due again in the next round
                self._made_at.pop(name, None)

    def recheck(self) -> None:
        """Make every check again in the next round, whenever it was made."""
        self._made_at.clear()

    def _new_problems(self, checks: Iterable[Check], found: Results) -> list[Check]:
        """Return the checks that asked and found a problem that is not reported yet. It may be a false refusal."""
        return [each for each in only_asking(checks) if found.get(each.name) and not self._results.get(each.name)]

    def _follow_configuration(self) -> None:
        """Make every check again after the configuration has changed: a name may mean another channel now."""
        if self._configuration.revision != self._revision:
            self._revision = self._configuration.revision
            self.recheck()

    def _is_due(self, check: Check) -> bool:
        made_at = self._made_at.get(check.name)
        if made_at is None or self._results.get(check.name):
            return True
        return not 0 <= self._clock.epoch() - made_at < check.every

    async def _found(self, checks: Sequence[Check]) -> Results:
        found = await make_checks(checks, known=self._results)
        self._made_at |= dict.fromkeys(found, self._clock.epoch())
        return found

    async def _report(self, results: Results) -> None:
        async for name, problem in in_turns(results.items()):
            self._results[name] = problem
            if problem is None:
                self._health.succeeded(name)
            else:
                self._health.failed(name, problem.code, problem.advice)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            del self._results[name]
            self._made_at.pop(name, None)
            self._health.forget(name)
