"""Settings that make all tests fast, and fixtures for the proofs: `figure`, `turned_red` and `silence`."""

import gc
import json
import logging
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import structlog
from botocore.client import ClientCreator
from botocore.loaders import Loader
from hypothesis import HealthCheck, settings

from tests.figures import FIGURE, RED, Figure, print_figures

# Development dependencies install rich. structlog would use it for each logged exception and print all local variables,
# which took most of the time of some tests. The product configures its own log (bot/telemetry/logs.py).
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

RAISED_AGAIN = 1.0  # seconds after which a test that has exceeded its time limit, and still runs, fails again

# No limit on the speed of the machine. Without a cache in .hypothesis, the first text that a process draws takes more
# than a second, because hypothesis builds its table of characters; its check for slow inputs then fails that test.
settings.register_profile("no-time-limit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-time-limit")


def _load_each_service_model_once() -> None:
    """Share what botocore makes from its data files between the clients of all tests in this process.

    The program makes a few clients; the tests make thousands. Each would list botocore's folders, parse its own copies
    and build a method for every operation of its service, of which EC2 has 750: without sharing, the tests take a
    quarter more CPU time. Sharing hides only the time of loading, and not in tests that start the program as a process.
    Loaders with other search paths, such as moto's, have separate copies, because they extend the models that they load.
    So has the program's loader, which leaves out what it does not use.
    """

    def origin(loader: Any) -> tuple[object, ...]:
        return type(loader.file_loader), *loader.search_paths

    @cache
    def loaded(_origin: tuple[object, ...]) -> dict[object, Any]:
        return {}

    load, create = ClientCreator._load_service_model, ClientCreator._create_methods  # type: ignore[attr-defined]
    models: dict[object, Any] = {}
    methods: dict[Any, dict[str, Any]] = {}

    def model(creator: Any, service: str, version: str | None = None) -> Any:
        key = (*origin(creator._loader), service, version)
        if key not in models:
            models[key] = load(creator, service, version)
        return models[key]

    def methods_of(creator: Any, service_model: Any) -> dict[str, Any]:
        if service_model not in methods:
            methods[service_model] = create(creator, service_model)
        return dict(methods[service_model])  # the caller adds attributes

    # botocore has no settings for this
    Loader._cache = property(lambda self: loaded(origin(self)), lambda _self, _empty: None)  # type: ignore[attr-defined]
    ClientCreator._load_service_model = model  # type: ignore[attr-defined]
    ClientCreator._create_methods = methods_of  # type: ignore[attr-defined]


_load_each_service_model_once()


def pytest_collection_finish() -> None:
    """Exclude everything that the tests have imported from garbage collection, which would scan it many times."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # collecting garbage as often as usual takes 5 % of the time


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test whose time limit was exceeded, even if the error of pytest-timeout ended only one of its tasks.

    The error is raised in whatever runs at that moment. In a task that the test then cancels and gathers, nobody would
    see it. And if it ends a task for which the test waits, the test would wait forever: so it is raised again.
    """
    left = signal.getitimer(signal.ITIMER_REAL)[0]
    if not left:
        yield
        return
    ends = time.monotonic() + left
    signal.setitimer(signal.ITIMER_REAL, left, RAISED_AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(0.0, ends - time.monotonic()))  # once, outside the test
    if time.monotonic() >= ends:
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
