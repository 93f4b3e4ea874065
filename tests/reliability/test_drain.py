"""Figure 14: after SIGTERM at any stage the real process exits in time with code 0, and no work is lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from bot.domain.request import Status
from bot.sandbox.sandbox import END_OF_POLL
from tests.fakes.launcher import Defect
from tests.fakes.people import HANAKO
from tests.fakes.processes import ENDS_WITHIN, environment
from tests.figures import Figure
from tests.reliability.killing import MINUTE, PATIENCE, Rounds, rounds
from tests.reliability.rest import quiet

Release = Callable[[], object]


class Stage(StrEnum):
    """The work of the process when SIGTERM arrives."""

    IDLE = "idle"
    LOOKING = "a reconcile is under way"
    POSTING = "a post is under way"
    CLAIMED = "a click is claimed"
    SIGNALLING = "a signal's reply is pending"
    SWEEPING = "a sweep is under way"
    POLLING = "a long poll is under way"
    STARTING = "the process starts"


OPERATIONS = {
    Stage.LOOKING: "GetOpsItem",
    Stage.CLAIMED: "GetAutomationExecution",
    Stage.SIGNALLING: "SendAutomationSignal",
    Stage.SWEEPING: "DescribeOpsItems",
    Stage.STARTING: "GetCallerIdentity",
}


@pytest.mark.timeout(300)
async def test_sigterm_at_any_stage_loses_no_work_and_doubles_no_signal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure
) -> None:
    """The process exits with code 0, and the request converges in the next process. No message or signal is doubled."""
    slowest, extra, signals, clicks = 0.0, 0, 0, 0
    async with rounds(monkeypatch, tmp_path) as played:
        for stage in Stage:
            played.begin()
            request, seconds = await stopped_at(stage, played)
            await played.start()
            end = await played.until(played.true, request)
            slowest, extra = max(slowest, seconds), extra + played.extra(end)
            signals, clicks = signals + played.world.signals_of(end), clicks + played.clicks
    figure(14, stages=len(Stage), slowest_seconds=round(slowest, 1), clicks=clicks, signals=signals, extra=extra)
    assert clicks == 2
    assert (signals, extra) == (clicks, 0)


async def stopped_at(stage: Stage, played: Rounds) -> tuple[str, float]:
    """Bring the process to a stage and stop it. Return the request and the seconds until the exit."""
    request = "" if stage in {Stage.LOOKING, Stage.POSTING} else await _waiting(played)
    if stage is Stage.STARTING:
        await _stopped(played, lambda: None)
    arrived, release = _hold(stage, played)
    click: asyncio.Future[Any] | None = None
    match stage:
        case Stage.LOOKING | Stage.POSTING:
            request = await played.world.ask()
        case Stage.CLAIMED | Stage.SIGNALLING:
            played.clicks += 1
            card = played.world.cards(request)[-1]
            click = asyncio.ensure_future(played.world.click(HANAKO, card, "approve"))
        case Stage.SWEEPING:
            played.lead.put_forward(MINUTE)
        case Stage.STARTING:
            environ = environment(played.world, played.folder)
            played.bot = await played.processes.start(environ, *played.words, waiting=False)
        case Stage.IDLE | Stage.POLLING:
            pass
    await arrived
    seconds = await _stopped(played, release, poll=stage is Stage.POLLING, early=stage is Stage.STARTING)
    if click:
        await click  # raises if the click was not answered with 200
    return request, seconds


def _hold(stage: Stage, played: Rounds) -> tuple[Awaitable[object], Release]:
    """Hold the call of this stage. Return an awaitable for its arrival and a function that releases it."""
    if stage is Stage.POSTING:
        fault = played.world.microsoft.hold("POST", r"/v3/conversations$")
        assert fault.gate is not None
        return asyncio.wait_for(fault.reached.wait(), PATIENCE), fault.gate.set
    if stage not in OPERATIONS:
        return asyncio.sleep(0), lambda: None
    held = played.world.aws.faults.hold(OPERATIONS[stage], after_effect=stage is Stage.SIGNALLING, times=1)
    return asyncio.to_thread(held.arrived.wait, PATIENCE), held.release


async def _waiting(played: Rounds) -> str:
    """Request access. Return the request when its card waits for a click and no work is pending."""
    request = await played.world.ask()
    await played.until(lambda row: quiet(row, Status.PENDING), request)
    return request


async def _stopped(played: Rounds, release: Release, *, poll: bool = False, early: bool = False) -> float:
    """Send SIGTERM, release the held call after `bot_stopping`, and wait for the exit. Return the seconds it took.

    If `poll`, the long poll ends by itself; otherwise, a message ends it. If `early`, the process is still starting and
    does not log `bot_stopping`.
    """
    began = time.monotonic()
    played.bot.terminate()
    if not early:
        await played.bot.wait_for_event("bot_stopping")
    release()
    if not poll:
        played.world.aws.events.send(END_OF_POLL)
    assert await played.bot.ended(within=ENDS_WITHIN) == 0
    assert not any("Traceback" in line for line in played.bot.log)
    return time.monotonic() - began


async def test_control_sigterm_ends_a_process_without_its_handler_immediately(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Negative control: the process ends in the middle of a click."""
    async with rounds(monkeypatch, tmp_path, defect=Defect.NO_DRAIN) as played:
        with pytest.raises(AssertionError, match="ended before bot_stopping"):
            await stopped_at(Stage.CLAIMED, played)
        assert await played.bot.ended() == -15


async def test_failed_loop_ends_the_bot_process_with_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The exit code makes an orchestrator restart the process, and the log shows the reason."""
    async with rounds(monkeypatch, tmp_path, defect=Defect.DEAD_LOOP) as played:
        played.world.aws.events.send(END_OF_POLL)
        assert await played.bot.ended() == 1
        assert any("the loop is dead" in line for line in played.bot.log)
