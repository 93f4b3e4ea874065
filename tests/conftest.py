"""Settings that make all tests fast, and fixtures for the proofs: `figure`, `turned_red` and `silence`."""

import gc
import json
import logging
import signal
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import structlog
from botocore.loaders import Loader
from hypothesis import HealthCheck, settings

from tests.figures import FIGURE, RED, Figure, print_figures

# Development dependencies install rich. structlog would use it for each logged exception and print all local variables,
# which took most of the time of some tests. The product configures its own log (bot/telemetry/logs.py).
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

# No limit on the speed of the machine. Without a cache in .hypothesis, the first text that a process draws takes more
# than a second, because hypothesis builds its table of characters; its check for slow inputs then fails that test.
settings.register_profile("no-time-limit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-time-limit")


def _load_each_service_model_once() -> None:
    """Share what botocore has loaded from its data files between the sessions of all tests in this process.

    The program has one session for its calls and one for its table; the tests have hundreds. Each session lists
    botocore's folders and parses its own copies, and EC2's takes 0.2 s: without sharing, the tests of bot/aws take twice
    the CPU time. Sharing hides only the time of loading, and not in tests that start the program as a process. Loaders
    with other search paths, such as moto's, have separate copies, because they extend the models that they load.
    """

    @cache
    def loaded(_search_paths: tuple[str, ...]) -> dict[object, Any]:
        return {}

    # botocore has no setting for this
    Loader._cache = property(lambda self: loaded(tuple(self.search_paths)), lambda _self, _empty: None)  # type: ignore[attr-defined]


_load_each_service_model_once()


def pytest_collection_finish() -> None:
    """Exclude everything that the tests have imported from garbage collection, which would scan it many times."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test whose time limit was exceeded, even if the error of pytest-timeout ended only one of its tasks.

    The error is raised where the test hangs. In a task that the test then cancels and gathers, nobody would see it.
    """
    limited = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    yield
    if limited and signal.getitimer(signal.ITIMER_REAL)[0] == 0:
        pytest.fail("the time limit was exceeded in a task")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Return a function that records a figure of tests/README.md, to be printed after the run.

    For example `figure(5, seeds=10_000, double_effects=0)`.
    """

    def measured(number: int, **values: object) -> None:
        text = json.dumps({"figure": number, "test": request.node.nodeid, **values}, default=str)
        request.node.user_properties.append((FIGURE, text))

    return measured


@pytest.fixture
def turned_red(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that records which test failed without a guard, to be printed after the run.

    For example `turned_red("the digest", "tests/…::test_…")`.
    """

    def failed(guard: str, test: str) -> None:
        request.node.user_properties.append((RED, json.dumps([guard, test])))

    return failed


@pytest.fixture
def silence() -> Iterator[None]:
    """Write no log below CRITICAL. Thousands of rounds would spend much of their time on the log, and a captured log grows."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures and the results of the controls after the run."""
    print_figures(terminalreporter)
