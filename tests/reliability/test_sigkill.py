"""Figure 4: the real process is killed by SIGKILL at twenty named points, and no stored decision is lost."""

import asyncio
import random
from pathlib import Path

import pytest

from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import Status
from tests.fakes.launcher import Defect
from tests.figures import Figure, size
from tests.reliability.killing import AWAY, PATIENCE, SWEEP, Point, rounds
from tests.reliability.rest import quiet

ROUNDS = size(ci=4, long=200)


def order(number: int) -> list[Point]:
    """Return the points of this many rounds. Each point comes once before any comes again."""
    drawn = random.Random(number)
    laps = [drawn.sample(list(Point), len(Point)) for _ in range(-(-number // len(Point)))]
    return [point for lap in laps for point in lap][:number]


@pytest.mark.timeout(7200)
async def test_sigkill_at_any_point_loses_no_stored_decision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure
) -> None:
    """Requests converge within one sweep, no click sends two signals, and a kill causes at most one extra message.

    The audit trail has every step of a decision. It has no `clicked` entry if the process died before it answered.
    """
    async with rounds(monkeypatch, tmp_path) as played:
        for point in order(ROUNDS):
            await played.round(point)
    tally = played.tally
    figure(
        4,
        rounds=tally.rounds,
        points=len(tally.points),
        lost=tally.lost,
        untold=tally.untold,
        unconverged=tally.unconverged,
        double=tally.double,
        extra=tally.extra,
        beyond_one_extra=tally.beyond,
        slowest_seconds=round(tally.slowest, 1),
    )
    assert len(Point) == 20
    assert (tally.lost, tally.untold, tally.unconverged, tally.double, tally.beyond) == (0, 0, 0, 0, 0)
    assert tally.slowest <= SWEEP


@pytest.mark.parametrize(("defect", "signals"), [("", 1), (Defect.LOST_WRITE, 2)], ids=["product", "lost write"])
async def test_late_signal_of_a_killed_process_is_doubled_only_by_a_store_that_loses_a_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, defect: str, signals: int
) -> None:
    """AWS accepts the signal only after the restart, and the next process sends none.

    Negative control: with a store that loses the "sending" write, the next process sends a second signal.
    """
    async with rounds(monkeypatch, tmp_path, defect=defect) as played:
        request = await played.world.ask()
        await played.until(lambda row: quiet(row, Status.PENDING), request)
        held = played.world.aws.faults.hold("SendAutomationSignal", times=1)
        click = asyncio.create_task(played.press(request))
        await asyncio.to_thread(held.arrived.wait, PATIENCE)
        played.bot.kill()
        await asyncio.gather(click, played.dead())
        played.lead.put_forward(AWAY)
        await played.start()
        await played.until(lambda row: _taken_over(row, played.world.signals_of(row), wanted=signals), request)
        held.release()
        end = await played.until(lambda row: quiet(row, Status.APPROVED), request)
        assert played.world.signals_of(end) == signals


def _taken_over(row: Record, sent: int, *, wanted: int) -> bool:
    """Return whether the next process has handled the decision: marked it as unknown, or sent the expected signals."""
    unknown = any(each.state is DecisionState.UNKNOWN for each in row.decisions)
    return unknown if wanted == 1 else sent == wanted
