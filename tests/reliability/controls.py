"""Runs a test without a guard of the program, in a separate process, and reports whether the test fails.

The guards are in tests/reliability/guards.
"""

import os
import xml.etree.ElementTree as ET  # reads only reports that a pytest started here has written
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.reliability.replacing import Guard
from tests.reliability.warm import WarmPython

ROOT = Path(__file__).parents[2]
REPORT, OUTPUT = "report.xml", "output.txt"
SECONDS = 100  # limit for one run; most runs take two
BROKEN_PROMISE = ("AssertionError", "assert ", "Failed: ")  # how the message of a failed assertion begins
TIMED_OUT = "Failed: Timeout"  # does not count, because the test did not reach its assertion
WITHOUT_GUARD = "WITHOUT_GUARD"  # environment variable: the name of the guard to take out
NOT_HANDED_ON = frozenset({"RELIABILITY", "PYTEST_ADDOPTS", "SAMPLE", "SAMPLE_SEED", WITHOUT_GUARD})


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run of tests."""

    exit_code: int
    failed: tuple[str, ...]  # the message of each failure
    broken: tuple[str, ...]  # tests that could not be run
    passed: int
    output: str = field(repr=False)

    @property
    def red(self) -> bool:
        """True if only assertions failed: no import error, no wrong name, no timeout."""
        return (
            self.exit_code == 1 and bool(self.failed) and not self.broken and all(map(_is_broken_promise, self.failed))
        )


def _is_broken_promise(message: str) -> bool:
    return message.startswith(BROKEN_PROMISE) and not message.startswith(TIMED_OUT)


class Runner:
    """Runs tests in a separate process, one run at a time. For parallel runs, use several runners."""

    def __init__(self) -> None:
        self._environment = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
        self._warm = WarmPython(ROOT, self._environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._warm.close()

    def run_without(self, guard: Guard, folder: Path) -> Run:
        """Run the guard's test without the guard. The report and the output of the run are in `folder`."""
        return self.run([guard.red], folder, without=guard.name)

    def run(self, tests: Sequence[str], folder: Path, *, without: str = "") -> Run:
        """Run tests. If `without` is the name of a guard, run them without that guard."""
        plugin = ["-p", "tests.reliability.without_guard"] if without else []
        environment = {WITHOUT_GUARD: without} if without else {}
        code = self._warm.run(
            [*plugin, *_arguments(tests, folder)], environment, output=folder / OUTPUT, seconds=SECONDS
        )
        return _read(folder, code)


def _arguments(tests: Sequence[str], folder: Path) -> list[str]:
    off = ["-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return ["-q", *off, f"--junitxml={folder / REPORT}", *tests]


def _read(folder: Path, exit_code: int) -> Run:
    report = folder / REPORT
    cases = ET.parse(report).getroot().findall(".//testcase") if report.exists() else []
    failed = [each.get("message", "") for case in cases for each in case.findall("failure")]
    broken = [case.get("name", "") for case in cases if case.find("error") is not None]
    passed = len(cases) - len(failed) - len(broken)
    return Run(exit_code, tuple(failed), tuple(broken), passed, (folder / OUTPUT).read_text())
