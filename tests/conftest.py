"""What every test may have: a figure to print after the run."""

import pytest

from tests.fakes.figures import Figure, figure_of, tell_figures


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Print a figure of a proof: `figure(5, seeds=10_000, double_effects=0)`."""
    return figure_of(request)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    tell_figures(terminalreporter, config)
