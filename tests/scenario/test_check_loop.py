"""The loop of the checks: when they are made, what counts as a problem, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.service.checks import loop
from bot.service.checks.check import EACH_MINUTE, HOURLY, LONGEST, Check, NotChecked, Problem
from bot.service.checks.loop import Checks
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock
from tests.fakes.world import current_configuration

MINUTE = 60.0
REFUSED = Problem("refused", "add the app to the team")


@dataclass
class Installation:
    """A check per name. `problems` has what each finds now; an Exception is raised."""

    clock: ManualClock = field(default_factory=ManualClock)
    problems: dict[str, Problem | Exception | None] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)

    def check(
        self,
        name: str,
        *,
        every: float = HOURLY,
        needs: str | None = None,
        is_memory: bool = False,
        takes: float = 0.0,
        longest: float = LONGEST,
    ) -> None:
        """Add a check whose runs take some seconds."""

        async def find() -> Problem | None:
            self.made[name] = self.made.get(name, 0) + 1
            await self.clock.sleep(takes)
            match self.problems.get(name):
                case Exception() as error:
                    raise error
                case found:
                    return found

        found = Check(name, find, every=every, longest=longest, needs=needs, is_memory=is_memory)
        self.checks.append(found)

    def named(self) -> Sequence[Check]:
        """Return the checks."""
        return tuple(self.checks)


class Running:
    """The running loop over an installation."""

    def __init__(self, installation: Installation) -> None:
        self.clock, self.registry = installation.clock, CollectorRegistry()
        self.telemetry, self.configuration = Telemetry(self.registry), current_configuration()
        self.loop = Checks(
            installation.named, configuration=self.configuration, clock=self.clock, telemetry=self.telemetry
        )

    @property
    def problems(self) -> dict[str, str]:
        """What `/readyz` on the metrics port lists."""
        return dict(self.telemetry.health.problems())

    def ok(self, name: str) -> float | None:
        """The value of the metric `check_ok`."""
        return self.registry.get_sample_value("node_access_check_ok", {"check": name})


@pytest.fixture
def installation() -> Installation:
    """Return an installation without checks."""
    return Installation()


@asynccontextmanager
async def running(installation: Installation) -> AsyncIterator[Running]:
    """Run the loop."""
    it = Running(installation)
    task = asyncio.create_task(it.loop.run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_problem_is_reported_within_a_minute_of_the_start(installation: Installation) -> None:
    """The readiness report has the problem with its advice, and its metric is 0.

    The log has the problem once, also after half an hour.
    """
    installation.check("token")
    installation.check("store")
    installation.problems["token"] = REFUSED
    with capture_logs() as logs:
        async with running(installation) as it:
            await it.clock.advance(MINUTE)
            assert it.problems == {"token": "refused: add the app to the team"}
            assert (it.ok("token"), it.ok("store")) == (0.0, 1.0)
            await it.clock.advance(30 * MINUTE)
    assert [(line["event"], line["check"], line["code"], line["advice"]) for line in logs] == [
        ("problem_began", "token", "refused", "add the app to the team")
    ]


async def test_problem_of_a_check_that_answers_as_late_as_it_may_is_reported_within_a_minute_of_the_start(
    installation: Installation,
) -> None:
    """Both runs take nearly the time limit, because the network loses what is sent."""
    installation.check("channel production", takes=LONGEST - 0.1)
    installation.problems["channel production"] = REFUSED
    async with running(installation) as it:
        await it.clock.advance(MINUTE)
        assert set(it.problems) == {"channel production"}


async def test_checks_that_take_long_delay_no_other_check(installation: Installation) -> None:
    """Many policies are read for 40 seconds, in each of twelve accounts.

    All other problems are reported within a minute of the start, also those of checks that wait for another one.
    Meanwhile a problem that ends, and one that the bot's own work reveals, are reported within a minute, too.
    """
    for number in range(12):
        installation.check(f"policies {number}", takes=40, longest=45)
    installation.check("role", takes=14)
    installation.check("token")
    installation.check("channel production", needs="token", takes=14)
    installation.check("decisions", every=EACH_MINUTE, is_memory=True)
    installation.problems = {"role": REFUSED, "channel production": REFUSED}
    async with running(installation) as it:
        await it.clock.advance(MINUTE)
        assert set(it.problems) == {"role", "channel production"}
        installation.problems = {"decisions": REFUSED}
        await it.clock.advance(MINUTE + 2 * 14)
        assert set(it.problems) == {"decisions"}


async def test_check_waits_only_for_the_check_that_it_needs(installation: Installation) -> None:
    """The channel is checked as soon as there is a token, although a role does not answer."""
    installation.check("role", takes=14)
    installation.check("token")
    installation.check("channel production", needs="token", is_memory=True)
    installation.problems["channel production"] = REFUSED
    async with running(installation) as it:
        await it.clock.advance(loop.FIRST_AFTER)
        assert set(it.problems) == {"channel production"}


async def test_eight_checks_are_made_at_once_also_when_many_are_repeated(installation: Installation) -> None:
    """Twenty checks fail at once, and are made again at once. No more than eight calls are open."""
    open_calls = []

    async def find() -> Problem | None:
        open_calls.append(1)
        most.append(len(open_calls))
        await installation.clock.sleep(1)
        open_calls.pop()
        return REFUSED

    most: list[int] = []
    installation.checks += [Check(f"channel {number}", find) for number in range(20)]
    async with running(installation) as it:
        await it.clock.advance(2 * MINUTE)
        assert len(it.problems) == 20
    assert max(most) == 8


async def test_check_that_makes_no_call_reports_its_problem_after_one_run(installation: Installation) -> None:
    """The problem of a check that makes calls is reported after a second run: one refusal may be a passing one."""
    installation.check("direct messages", every=EACH_MINUTE, is_memory=True)
    installation.check("token")
    installation.problems = {"direct messages": REFUSED, "token": REFUSED}
    async with running(installation) as it:
        await it.clock.advance(loop.FIRST_AFTER)
        assert set(it.problems) == {"direct messages"}
        await it.clock.advance(loop.REPEATED_AFTER)
        assert set(it.problems) == {"direct messages", "token"}
        assert installation.made == {"direct messages": 1, "token": 2}


async def test_problem_ends_within_a_minute_after_its_cause_is_gone(installation: Installation) -> None:
    """A check with a problem runs each minute. A check without a problem runs only once in six minutes."""
    for name in ("token", "role"):
        installation.check(name)
    installation.problems["token"] = REFUSED
    async with running(installation) as it:
        await it.clock.advance(5 * MINUTE)
        installation.problems["token"] = None
        await it.clock.advance(MINUTE)
        assert (it.problems, it.ok("token")) == ({}, 1.0)
    assert installation.made["role"] == 1


async def test_each_check_is_repeated_after_its_interval(installation: Installation) -> None:
    """A check that makes calls runs each hour. A check that reads what the process has recorded runs each minute."""
    installation.check("token")
    installation.check("direct messages", every=EACH_MINUTE)
    async with running(installation) as it:
        await it.clock.advance(5 * MINUTE)
        assert installation.made == {"token": 1, "direct messages": 5}
        installation.problems["token"] = REFUSED
        await it.clock.advance(61 * MINUTE)
        assert "token" in it.problems


async def test_check_that_fails_only_once_reports_no_problem(installation: Installation) -> None:
    """Teams refuses about one call in a thousand for no reason, so only a repeated failure counts."""
    installation.check("channel production")
    installation.problems["channel production"] = REFUSED
    with capture_logs() as logs:
        async with running(installation) as it:
            await it.clock.advance(loop.FIRST_AFTER + 1)
            installation.problems["channel production"] = None
            await it.clock.advance(MINUTE)
            assert it.ok("channel production") == 1.0
    assert logs == []


@pytest.mark.parametrize("second", [NotChecked(), RuntimeError("a defect")])
async def test_failed_check_whose_second_run_has_no_result_is_repeated_after_a_minute(
    installation: Installation, second: Exception
) -> None:
    """The second run is throttled or has a defect. The check is repeated in the next round, not only after an hour."""
    installation.check("role")
    installation.problems["role"] = REFUSED
    async with running(installation) as it:
        await it.clock.advance(loop.FIRST_AFTER)
        installation.problems["role"] = second
        await it.clock.advance(loop.REPEATED_AFTER)
        assert it.problems == {}
        installation.problems["role"] = REFUSED
        await it.clock.advance(MINUTE + loop.REPEATED_AFTER)
        assert it.problems == {"role": "refused: add the app to the team"}


async def test_check_is_not_run_while_the_check_that_it_needs_has_a_problem(installation: Installation) -> None:
    """Without a token every channel would be refused, so only the token's problem is reported."""
    installation.check("channel production", needs="token")
    installation.check("token")
    installation.problems = {"token": REFUSED, "channel production": REFUSED}
    async with running(installation) as it:
        await it.clock.advance(5 * MINUTE)
        assert it.problems == {"token": "refused: add the app to the team"}
        assert "channel production" not in installation.made
        installation.problems["token"] = None
        await it.clock.advance(2 * MINUTE)
        assert list(it.problems) == ["channel production"]


async def test_problem_stays_reported_while_its_check_cannot_be_run(installation: Installation) -> None:
    """A throttled call says nothing about the installation, so the earlier result stays."""
    installation.check("channel production")
    installation.problems["channel production"] = REFUSED
    async with running(installation) as it:
        await it.clock.advance(MINUTE)
        installation.problems["channel production"] = NotChecked()
        await it.clock.advance(5 * MINUTE)
        assert list(it.problems) == ["channel production"]


async def test_defect_in_one_check_stops_neither_the_loop_nor_another_check(installation: Installation) -> None:
    """The log has the stack trace of the defect, and the problem of the other check is reported."""
    for name in ("broken", "token"):
        installation.check(name)
    installation.problems = {"broken": RuntimeError("a defect"), "token": REFUSED}
    with capture_logs() as logs:
        async with running(installation) as it:
            await it.clock.advance(3 * MINUTE)
            assert list(it.problems) == ["token"]
    failed = [line for line in logs if line["event"] == "check_failed"]
    assert {(line["check"], line["exc_info"]) for line in failed} == {("broken", True)}


async def test_problem_and_metric_of_a_channel_end_after_the_channel_is_removed_from_the_file(
    installation: Installation,
) -> None:
    """After node-access.toml has changed, the check of the remaining channel runs again."""
    installation.check("channel production")
    installation.check("channel leads")
    installation.problems = {"channel production": REFUSED}
    async with running(installation) as it:
        await it.clock.advance(MINUTE)
        del installation.checks[0]
        it.configuration.replace(it.configuration.value)
        await it.clock.advance(MINUTE + 10)
        assert (it.problems, it.ok("channel production")) == ({}, None)
    assert installation.made["channel leads"] == 2


async def test_check_that_ran_while_the_configuration_changed_is_run_again_in_the_next_round(
    installation: Installation,
) -> None:
    """The file changes while the channel is checked, and a round of slow checks begins before the check has ended."""
    installation.check("policies", takes=loop.PERIOD - 10, longest=2 * loop.PERIOD)
    installation.check("channel production", takes=14)
    async with running(installation) as it:
        await it.clock.advance(loop.FIRST_AFTER + 1)
        assert installation.made == {"policies": 1, "channel production": 1}
        it.configuration.replace(it.configuration.value)
        other_round = asyncio.create_task(it.loop.make())
        await it.clock.advance(13)
        other_round.cancel()
        installation.problems["channel production"] = REFUSED
        await it.clock.advance(2 * MINUTE)
        assert list(it.problems) == ["channel production"]


async def test_hanging_check_is_reported_as_a_problem_and_another_check_still_runs(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hanging check is cancelled after its time limit and reported as "no_answer"."""
    monkeypatch.setattr(loop, "REPEATED_AFTER", 0.0)

    async def hang() -> Problem | None:
        await asyncio.Event().wait()
        return None

    installation.checks.append(Check("hanging", hang, longest=0.01))
    installation.check("token")
    it = Running(installation)
    await it.loop.make()
    assert it.problems == {"hanging": "no_answer: there was no answer within 0 seconds"}
    assert it.ok("token") == 1.0
