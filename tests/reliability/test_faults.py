"""Figure 11: every service that the bot needs, broken in every way: all converges once healed, and nothing is doubled."""

import random
from pathlib import Path

import pytest

from bot.ports.aws import SignalThrottled
from tests.fakes.fault_proxy import Break, FaultProxy
from tests.figures import Figure, size
from tests.reliability.breaking import GRID, Phase, Service, broken_world

CELLS = size(ci=8, long=len(GRID))


@pytest.mark.timeout(3600)
async def test_every_service_broken_in_every_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure
) -> None:
    """The request is decided once, its card and messages follow, and the probes answer all the while."""
    async with broken_world(monkeypatch, tmp_path) as there:
        for service, how, phase in random.Random(11).sample(GRID, CELLS):
            await there.cell(service, how, phase)
    figure(
        11,
        cells=there.cells,
        services=len(Service),
        ways=len(Break),
        unconverged=len(there.unconverged),
        double=there.double,
        presses=there.presses,
        probes=there.probes,
    )
    assert there.unconverged == []
    assert there.double == 0


async def test_what_is_never_healed_is_not_called_converged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The control: while Teams cannot take the card, the proof says so."""

    async def not_healed(_: FaultProxy) -> None:
        """Leave it broken."""

    async with broken_world(monkeypatch, tmp_path) as there:
        there.patience = 1.5
        monkeypatch.setattr(FaultProxy, "heal", not_healed)
        await there.cell(Service.CONNECTOR, Break.ERROR, Phase.ASKED)
    assert there.unconverged == ["connector 5xx ASKED"]


async def test_a_signal_that_is_sent_again_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The control: where a lost reply counts as none, and nobody looks before the next attempt, a second signal leaves."""
    async with broken_world(monkeypatch, tmp_path) as there:
        monkeypatch.setattr("bot.aws.jit.signals._outcome", lambda failed: SignalThrottled(failed.code))
        monkeypatch.setattr("bot.service.clicks.state_check.not_waiting", lambda *_: None)
        await there.cell(Service.SSM, Break.LOST, Phase.CLICKED)
    assert there.double > 0
