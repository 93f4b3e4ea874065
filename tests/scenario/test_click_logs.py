"""Every line that is logged because of a click names its request."""

import asyncio

import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from bot.domain.request import Execution, RequestKey
from bot.ports.aws import Signal
from tests.fakes.aws import FakeAws
from tests.fakes.chat import HANAKO
from tests.fakes.clock import ManualClock
from tests.fakes.world import new_world

log = structlog.get_logger()


class LoggingAws(FakeAws):
    """Logs a line in its calls, as an adapter does. The adapter does not know which click it works for."""

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        log.warning("execution_unreadable")
        return await super().execution(key, execution_id)

    async def signal(self, signal: Signal) -> None:
        await super().signal(signal)
        log.warning("aws_throttled")


async def test_log_lines_of_adapters_during_a_click_have_the_key_of_the_clicks_request() -> None:
    """Two requests are clicked at the same time. The signals are sent in the background, after the answer "applying…".

    The lines of this background work have the request too.
    """
    clock = ManualClock()
    world = new_world(clock=clock, aws=LoggingAws(clock))
    first, second = world.aws.add(1), world.aws.add(2)
    for key in (first, second):
        await world.shown(key)
    gate = world.aws.gates["execution"] = asyncio.Event()
    with capture_logs(processors=[merge_contextvars]) as lines:
        clicks = [asyncio.create_task(world.press(key, HANAKO)) for key in (first, second)]
        await clock.advance(3)
        await asyncio.gather(*clicks)
        answered = len(lines)
        gate.set()
        await clock.advance(1)
        await world.click_handler.drain()
    both = {str(first), str(second)}
    assert {line.get("request") for line in lines} == both
    for event in ("execution_unreadable", "click_answered", "aws_throttled", "signal_sent"):
        assert sorted(line["request"] for line in lines if line["event"] == event) == sorted(both)
    assert [line["event"] for line in lines[:answered]].count("click_answered") == 2
    assert "aws_throttled" not in [line["event"] for line in lines[:answered]]


async def test_log_line_after_the_answer_to_a_click_has_no_request() -> None:
    """The context that the click added to its log lines has ended."""
    world = new_world()
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
    with capture_logs(processors=[merge_contextvars]) as lines:
        log.info("bot_stopped")
    assert "request" not in lines[0]
