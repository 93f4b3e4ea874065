"""A pytest plugin for `make coverage`: records for each line the tests that ran it, and how long each test took."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import coverage
import pytest

DURATIONS: Final = Path(".sandbox/durations.json")  # node ids of tests to seconds

_seconds: dict[str, float] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Name the test as the context of every line that runs during it, fixtures included."""
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.switch_context(item.nodeid)
    result = yield
    if measured is not None:
        measured.switch_context("")
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up setup, call and teardown."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the durations; pytest-xdist sends the reports of its workers to this process."""
    if not hasattr(session.config, "workerinput"):
        DURATIONS.parent.mkdir(exist_ok=True)
        DURATIONS.write_text(json.dumps(_seconds))
