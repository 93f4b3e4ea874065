"""What every proof of reliability has: its size, and the figure that it prints.

A proof runs at the size that fits continuous integration; `make chaos` runs it at the size of the promise. Figures are
printed after the run and, in the long form, kept in `.sandbox/figures.jsonl`, from which tests/README.md is written.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

LONG = os.environ.get("RELIABILITY") == "long"
KEPT = Path(".sandbox/figures.jsonl")
FIGURES = pytest.StashKey[list[dict[str, object]]]()
REDS = pytest.StashKey[dict[str, str]]()

Figure = Callable[..., None]


def size(*, ci: int, long: int) -> int:
    """Return how many rounds, seeds or requests a proof is made with in this run."""
    return long if LONG else ci


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Print a figure of reliability.md: `figure(5, seeds=10_000, double_effects=0)`."""
    figures = request.config.stash.setdefault(FIGURES, [])

    def tell(number: int, **measured: object) -> None:
        figures.append({"figure": number, "test": request.node.nodeid, **measured})

    return tell


@pytest.fixture
def turned_red(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Print which test turned red without a guard: `turned_red("the digest", "tests/…::test_…")`."""
    return request.config.stash.setdefault(REDS, {}).__setitem__


@pytest.fixture
def silence() -> Iterator[None]:
    """Write no log: thousands of rounds have nothing to tell that the figure does not."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, and keep it in the long form."""
    _tell_reds(terminalreporter, config.stash.get(REDS, {}))
    told = config.stash.get(FIGURES, None)
    if not told:
        return
    figures = sorted(told, key=lambda each: (str(each["figure"]).zfill(2), str(each["test"])))
    terminalreporter.section("figures")
    for each in figures:
        measured = ", ".join(f"{name}={value}" for name, value in each.items() if name not in {"figure", "test"})
        terminalreporter.line(f"figure {each['figure']:>2}: {measured}  [{each['test']}]")
    if LONG:
        KEPT.parent.mkdir(exist_ok=True)
        with KEPT.open("a") as kept:
            kept.writelines(json.dumps(each, default=str) + "\n" for each in figures)


def _tell_reds(terminalreporter: pytest.TerminalReporter, reds: dict[str, str]) -> None:
    if reds:
        terminalreporter.section("without it -> what turned red")
    for guard, test in sorted(reds.items()):
        terminalreporter.line(f"{guard:<{max(map(len, reds))}} -> {test.removeprefix('tests/')}")
