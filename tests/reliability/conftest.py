"""What the proofs of reliability have besides their size and their figure, which are in tests/fakes/figures.py.

`make chaos` keeps the figures in `.sandbox/figures.jsonl`, from which tests/README.md is written.
"""

import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from tests.fakes.figures import LONG, Figure, size

__all__ = ["LONG", "Figure", "size"]

REDS = pytest.StashKey[dict[str, str]]()


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
    """Print which tests turned red."""
    _tell_reds(terminalreporter, config.stash.get(REDS, {}))


def _tell_reds(terminalreporter: pytest.TerminalReporter, reds: dict[str, str]) -> None:
    if reds:
        terminalreporter.section("without it -> what turned red")
    for guard, test in sorted(reds.items()):
        terminalreporter.line(f"{guard:<{max(map(len, reds))}} -> {test.removeprefix('tests/')}")
