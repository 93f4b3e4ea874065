"""How the program ends: after a signal to stop, and after a loop failed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.app import run
from bot.domain.decision import DecisionState
from bot.domain.request import RequestKey
from bot.sandbox.folder import held
from bot.sandbox.sandbox import END_OF_POLL
from bot.store.sqlite.store import SqliteStore
from tests.fakes.people import HANAKO, TENANT_ID
from tests.fakes.processes import environment
from tests.fakes.product import Product, product


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started."""
    async with product(monkeypatch, tmp_path) as world:
        yield world


class Dying:
    """A source whose loop raises an error. The program's own loops handle their errors."""

    async def run(self) -> None:
        """Raise ConnectionError."""
        raise ConnectionError("the loop is dead")


async def test_failed_loop_ends_the_program(world: Product) -> None:
    """`run` raises, so that the orchestrator restarts the program instead of keeping one that does no work."""
    async with world.running() as program:
        dying = replace(program, sources=(Dying(),))  # type: ignore[arg-type]  # a source needs `run` alone
        with pytest.raises(ExceptionGroup, match="unhandled"):
            await run(dying, asyncio.Event())


async def test_decision_in_progress_is_finished_before_the_program_ends(world: Product) -> None:
    """The program stops while AWS is slow: it waits for the signal's reply and stores it."""
    with world.aws.faults.hold("SendAutomationSignal") as held:
        async with world.running():
            request = await world.ask()
            card = await world.card(request)
            click = asyncio.create_task(world.click(HANAKO, card, "approve"))
            await asyncio.to_thread(held.arrived.wait, 10)
            asyncio.get_running_loop().call_later(0.2, held.release)
        await click
    async with SqliteStore(world.store) as store:
        row = await store.load(RequestKey(world.aws.world.account, world.aws.world.region, request))
    assert row is not None
    assert [each.state for each in row.decisions] == [DecisionState.CONFIRMED]
    assert world.signals() == 1


async def test_sigterm_ends_the_process_within_20_seconds_with_success(world: Product, tmp_path: Path) -> None:
    """`serve` exits with 0 and logs `bot_stopped`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", env=environment(world, tmp_path), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    while b"bot_started" not in (line := await process.stderr.readline()):
        assert line, "the bot ended before it had started"
    process.send_signal(signal.SIGTERM)
    world.aws.events.send(END_OF_POLL)
    async with asyncio.timeout(20):
        rest = await process.stderr.read()
        assert await process.wait() == 0
    assert b"bot_stopped" in rest
    assert b"Traceback" not in rest


async def test_start_that_waits_for_aws_can_be_stopped(world: Product, tmp_path: Path) -> None:
    """AWS refuses connections. The log says so without the tenant's id, and SIGTERM ends the process with success."""
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        refusing = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port.getsockname()[1]}"}
        unreachable = {**environment(world, tmp_path), **refusing}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "serve", env=unreachable, stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        while b"aws_unavailable" not in (line := await process.stderr.readline()):
            assert line, "the bot ended before it called AWS"
        assert TENANT_ID.encode() not in line
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            rest = await process.stderr.read()
            assert await process.wait() == 0
    assert b"Traceback" not in rest


async def test_start_without_aws_credentials_fails_and_names_the_cause(world: Product, tmp_path: Path) -> None:
    """The program exits with 1 and says that no AWS credentials were found, without a traceback."""
    whole = environment(world, tmp_path)
    bare = {name: value for name, value in whole.items() if name not in world.aws.world.bot.environment()}
    bare |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path), "AWS_REGION": "ap-northeast-1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", env=bare, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        output = await process.stderr.read()
        assert await process.wait() == 1
    assert b"no AWS credentials were found" in output
    assert b"Traceback" not in output


def test_interrupted_start_of_the_sandbox_ends_without_an_error(tmp_path: Path) -> None:
    """Ctrl-C during the start gives no traceback and no log, and unlocks the folder."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "bot", "sandbox"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as starting:
        assert starting.stdout is not None
        assert starting.stdout.readline() == "  loading the simulators …\n"
        assert starting.stdout.readline() == "  starting the simulated AWS …\n"
        starting.send_signal(signal.SIGINT)
        out, err = starting.communicate(timeout=55)
    *steps, end = out.splitlines()
    assert (starting.returncode, end, err) == (0, "stopping …", "")
    assert all(step.startswith("  starting ") for step in steps)
    with held(tmp_path / ".sandbox"):
        pass
