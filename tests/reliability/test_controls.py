"""Negative controls: without a guard of the program, a named test fails. `make controls` runs all of them.

`make controls SAMPLE=12` runs a random sample of twelve.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.reliability.controls import SECONDS, Run, Runner
from tests.reliability.guards import GUARDS
from tests.reliability.replacing import DoesNotFit, Guard, always

AT_ONCE = 2  # parallel runs; most machines have two cores

Runs = dict[str, Future[Run]]


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """Return a runner for the tests of the controls themselves."""
    with Runner() as one:
        yield one


@pytest.fixture(scope="module")
def without(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Start the test of each selected guard, without the guard, two at a time. Yield the runs by the guard's name."""
    own = [item for item in request.session.items if item.path == request.path]
    calls = [getattr(item, "callspec", None) for item in own]
    guards = [call.params["guard"] for call in calls if call and "guard" in call.params]
    runners = SimpleQueue[Runner]()

    def run(guard: Guard) -> Run:
        runner = runners.get()
        try:
            return runner.run_without(guard, tmp_path_factory.mktemp("run"))
        finally:
            runners.put(runner)

    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            runners.put(stack.enter_context(Runner()))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        yield {guard.name: pool.submit(run, guard) for guard in guards}


@pytest.mark.timeout(SECONDS * 10)  # each run has its own limit; a test also waits for the runs before it
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_test_of_each_guard_fails_without_the_guard(
    guard: Guard, without: Runs, turned_red: Callable[[str, str], None]
) -> None:
    """Without the guard, the test that the guard names fails on an assertion."""
    gone = without[guard.name].result()
    assert gone.red, gone.output[-3000:]
    turned_red(guard.name, guard.red)


@pytest.mark.timeout(SECONDS * 2)
def test_tests_of_all_guards_pass_with_every_guard_in_place(runner: Runner, tmp_path: Path) -> None:
    """Only the missing guard makes such a test fail."""
    reds = sorted({guard.red for guard in GUARDS})
    unchanged = runner.run(reds, tmp_path)
    assert unchanged.exit_code == 0, unchanged.output[-3000:]
    assert unchanged.passed >= len(reds)


@pytest.mark.parametrize(
    "target", ["bot.domain.nowhere:claim", "bot.domain.rules.claims:gone", "bot.domain.rules.claims:Claim.gone"]
)
def test_guard_whose_target_does_not_exist_raises_an_error(target: str) -> None:
    """Taking out a guard that was renamed or removed raises an error, so its control cannot be skipped silently."""
    with pytest.raises(DoesNotFit, match=f"{re.escape(target)} does not exist"):
        Guard("gone", "", {target: always(None)}).take_out()


def test_run_that_cannot_remove_its_guard_does_not_count_as_failed(runner: Runner, tmp_path: Path) -> None:
    """A run that stops before its test starts proves nothing about the guard."""
    stopped = runner.run(["tests/unit/test_guards.py"], tmp_path, without="no such guard")
    assert "DoesNotFit" in stopped.output
    assert not stopped.red


@pytest.mark.parametrize("target", ["bot.domain.rules.claims:claim", "bot.domain.decision:Decision.hold_ended"])
def test_guard_whose_replacement_changes_nothing_raises_an_error(target: str) -> None:
    """Such a replacement raises DoesNotFit, so no control can pass while its guard is still in place."""
    with pytest.raises(DoesNotFit, match="is the original"):
        Guard("same", "", {target: lambda original: original}).take_out()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("import nowhere\n\n\ndef test_it():\n    pass\n", id="import"),
        pytest.param("def test_it():\n    nowhere()\n", id="name"),
        pytest.param("def test_it():\n    len(1)\n", id="type"),
        pytest.param(
            "import threading\nimport pytest\n\n\n"
            "@pytest.mark.timeout(0.1)\ndef test_it():\n    threading.Event().wait()\n",
            id="timeout",
        ),
    ],
)
def test_test_that_fails_without_a_failed_assertion_does_not_count_as_failed(
    body: str, runner: Runner, tmp_path: Path
) -> None:
    """An import error, a wrong name or type, or a timeout does not show that the promise was broken."""
    test = tmp_path / "test_it.py"
    test.write_text(body)
    failed = runner.run([str(test)], tmp_path)
    assert failed.exit_code in {1, 2}
    assert len(failed.failed) + len(failed.broken) == 1
    assert not failed.red
