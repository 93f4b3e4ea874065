"""The lines of one reconciliation can be found by their request, the adapters' lines included."""

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.telemetry import configure_logging
from tests.fakes.product import Product, product

Lines = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started."""
    async with product(monkeypatch, tmp_path) as world:
        yield world


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Log as `serve` does, and return a function that returns the logged lines of an event."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # else pytest's own handlers would be closed
    configure_logging(format="json", level="info", stream=stream)
    structlog.configure(cache_logger_on_first_use=False)  # else the modules' loggers would keep this stream
    yield lambda event: [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == event]
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


async def test_log_lines_of_a_reconciliation_have_the_key_of_the_request(world: Product, lines: Lines) -> None:
    """AWS refuses to describe the node and Teams throttles the first post: both adapters log the request's key.

    A line of the sweep has no request.
    """
    world.aws.faults.fail("DescribeInstances", "UnauthorizedOperation")
    world.microsoft.fault("POST", "/v3/conversations$", status=429, headers={"Retry-After": "0"})
    async with world.running():
        request = await world.ask()
        await world.card(request)
    key = f"{world.aws.world.account}/{world.aws.world.region}/{request}"
    for event in ("node_unreadable", "connector_call_repeated", "surface_delivered"):
        found = lines(event)
        assert found
        assert {line.get("request") for line in found} == {key}
    assert lines("surface_delivered")[0]["surface"] == "card:approvals"
    assert "request" not in lines("sweep_done")[0]
