"""The negative controls: with a guard gone, the test that stands for it turns red. `make controls` shows all of them."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.reliability.controls import GUARDS, SECONDS, DoesNotFit, Guard, Run, copied, run

AT_ONCE = 2  # runs side by side: each is a process of its own, and most machines have two cores

Runs = dict[Guard, Future[Run]]


@pytest.fixture(scope="module")
def without(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Take out each guard that is asked for, all of them some at a time."""

    def gone(guard: Guard) -> Run:
        tree = copied(tmp_path_factory.mktemp("copy"))
        guard.taken_out_of(tree)
        return run(tree, [guard.red])

    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [call.params["guard"] for call in calls if call and "guard" in call.params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {guard: pool.submit(gone, guard) for guard in asked}


@pytest.mark.timeout(SECONDS + 60)  # the run within has its own bound and says what hung
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_that_is_gone_is_missed(guard: Guard, without: Runs, turned_red: Callable[[str, str], None]) -> None:
    """The named test fails, because a promise is broken and not because the patch does not run."""
    gone = without[guard].result()
    assert gone.red, gone.output[-3000:]
    turned_red(guard.name, guard.red)


def test_with_every_guard_in_place_the_same_tests_are_green(tmp_path: Path) -> None:
    """What turns red above is green in an untouched copy, so it is the guard that is missed."""
    untouched = run(copied(tmp_path), sorted({guard.red for guard in GUARDS}))
    assert untouched.exit_code == 0, untouched.output[-3000:]
    assert untouched.passed >= len({guard.red for guard in GUARDS})


def test_a_patch_that_does_not_fit_says_so(tmp_path: Path) -> None:
    """A guard that was moved or reworded fails its control instead of being passed over."""
    (tmp_path / "rules.py").write_text("if guarded:\n    return\n")
    for old in ("if guarded_otherwise:", "r"):
        with pytest.raises(DoesNotFit, match=re.escape("the rule: rules.py has")):
            Guard("the rule", "rules.py", old, "", "").taken_out_of(tmp_path)


def test_a_patch_that_does_not_run_is_no_proof(tmp_path: Path) -> None:
    """A copy that cannot even be imported, or fails of a wrong name, does not count as a test turned red."""
    for number, new in enumerate(("if requester is_person(person):", "if nobody_knows_this_name:")):
        tree = copied(tmp_path / str(number))
        guard = next(each for each in GUARDS if each.name == "the requester cannot decide")
        Guard(guard.name, guard.file, guard.old, new, guard.red).taken_out_of(tree)
        assert not run(tree, [guard.red]).red


def test_a_test_that_hangs_is_no_proof(tmp_path: Path) -> None:
    """A run that was ended by its time limit says nothing about the promise, so it does not count as red."""
    tree = copied(tmp_path)
    hanging = tree / "tests" / "unit" / "test_hanging.py"
    hanging.write_text(
        "import threading\nimport pytest\n\n\n"
        "@pytest.mark.timeout(0.1)\ndef test_hangs():\n    threading.Event().wait()\n"
    )
    gone = run(tree, ["tests/unit/test_hanging.py"])
    assert gone.exit_code == 1
    assert len(gone.failed) == 1
    assert not gone.red
