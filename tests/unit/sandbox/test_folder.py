"""The folder of a sandbox: one run at a time, and nothing of an earlier run in it."""

import socket
from pathlib import Path

import pytest

from bot.sandbox.folder import NoSandbox, SandboxFailed, held, remember, state
from bot.sandbox.sandbox import Options, running_sandbox

ADDRESSES = {"aws": "http://127.0.0.1:1", "browser": "http://127.0.0.1:2", "bot": "http://127.0.0.1:3"}


def test_a_run_starts_without_the_files_of_an_earlier_one(tmp_path: Path) -> None:
    """Rows of a world that is gone, their journal, its log and its addresses do not outlive the run."""
    of_before = ("node-access.db", "node-access.db-wal", "node-access.db-shm", "bot.log", "state.json")
    for name in of_before:
        (tmp_path / name).write_text("{}")
    (tmp_path / "playground-0123").mkdir()
    with held(tmp_path):
        assert {entry.name for entry in tmp_path.iterdir()} == {"lock", "playground-0123"}


def test_what_the_run_wrote_stays_but_its_addresses(tmp_path: Path) -> None:
    """After the end the rows and the log can still be read, and nobody is sent to dead addresses."""
    with held(tmp_path):
        (tmp_path / "node-access.db").write_text("rows")
        remember(tmp_path, ADDRESSES)
        assert state(tmp_path) == ADDRESSES
    assert (tmp_path / "node-access.db").read_text() == "rows"
    with pytest.raises(NoSandbox):
        state(tmp_path)


async def test_a_second_run_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    """Who starts a second one is told where the first is; the first keeps its rows and its addresses."""
    with held(tmp_path):
        remember(tmp_path, ADDRESSES)
        (tmp_path / "node-access.db").write_text("rows")
        with pytest.raises(
            SandboxFailed, match=f"in this folder: open {ADDRESSES['browser']}; stop it with Ctrl-C there"
        ):
            async with running_sandbox(Options(folder=tmp_path, installation=tmp_path)):
                pass
        assert (state(tmp_path), (tmp_path / "node-access.db").read_text()) == (ADDRESSES, "rows")


def test_a_second_run_is_refused_while_the_first_starts(tmp_path: Path) -> None:
    """Before there is an address to name, the refusal says why there is none."""
    with held(tmp_path), pytest.raises(SandboxFailed, match="still starting"), held(tmp_path):
        pass


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """A port of somebody else is refused before anything starts, with what to do, and the folder is free again."""
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(SandboxFailed, match=f"^port {port} is in use; choose another with --port$"):
            async with running_sandbox(Options(folder=tmp_path, installation=tmp_path, port=port)):
                pass
    with held(tmp_path):
        pass
