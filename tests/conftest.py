"""What every proof has: the figure that it prints, and silence while it measures."""

import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from tests.figures import FIGURES, REDS, Figure, tell


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Print a figure of tests/README.md: `figure(5, seeds=10_000, double_effects=0)`."""
    figures = request.config.stash.setdefault(FIGURES, [])

    def measured(number: int, **values: object) -> None:
        figures.append({"figure": number, "test": request.node.nodeid, **values})

    return measured


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
    """Print what was measured."""
    tell(terminalreporter, config)
