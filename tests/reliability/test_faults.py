"""Figure 11: after an outage of any service, of any kind, every request converges and no signal is doubled."""

import random
from pathlib import Path

import pytest

from bot.ports.aws import SignalThrottled
from tests.fakes.fault_proxy import Break, FaultProxy
from tests.figures import Figure, size
from tests.reliability.breaking import GRID, Phase, Service, broken_world

CELLS = size(ci=8, long=len(GRID))
PATIENT = 5.0  # real seconds; many times as long as a request takes to converge


@pytest.mark.timeout(3600)
async def test_requests_converge_after_an_outage_of_any_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure
) -> None:
    """Each request is decided once, its card shows the approval, and the probes answer during the outage.

    The note and the direct message are delivered.
    """
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


async def test_control_request_does_not_converge_during_an_outage_without_an_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Negative control: Teams refuses the card. After the outage ends, the next request converges."""

    async def not_healed(_: FaultProxy) -> None:
        """Leave the service broken."""

    async with broken_world(monkeypatch, tmp_path) as there:
        there.patience = PATIENT
        with monkeypatch.context() as patch:
            patch.setattr(FaultProxy, "heal", not_healed)
            await there.cell(Service.CONNECTOR, Break.ERROR, Phase.ASKED)
        assert there.unconverged == ["connector 5xx ASKED"]
        await there.proxies[Service.CONNECTOR].heal()
        await there.cell(Service.CONNECTOR, Break.ERROR, Phase.ASKED)
    assert (there.cells, there.unconverged) == (2, ["connector 5xx ASKED"])


async def test_control_bot_that_repeats_a_signal_after_a_lost_reply_doubles_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Negative control: a bot that retries after a lost reply, without a state check, sends a second signal."""
    async with broken_world(monkeypatch, tmp_path) as there:
        monkeypatch.setattr("bot.aws.jit.signals._outcome", lambda failed: SignalThrottled(failed.code))
        monkeypatch.setattr("bot.service.decisions.state_check.not_waiting", lambda *_: None)
        await there.cell(Service.SSM, Break.LOST, Phase.CLICKED)
    assert there.double > 0
