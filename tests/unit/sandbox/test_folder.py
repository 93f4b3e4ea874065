"""Tests for the folder of a sandbox: only one run at a time, and no files of an earlier run."""

import socket
from pathlib import Path

import pytest

from bot.sandbox.folder import NoSandbox, SandboxFailed, held, remember, state
from bot.sandbox.sandbox import Options, running_sandbox

ADDRESSES = {"aws": "http://127.0.0.1:1", "browser": "http://127.0.0.1:2", "bot": "http://127.0.0.1:3"}


def test_sandbox_removes_the_files_of_an_earlier_run(tmp_path: Path) -> None:
    """Rows, journal, log and addresses of an earlier run are deleted; the Playground's installation stays."""
    of_before = ("node-access.db", "node-access.db-wal", "node-access.db-shm", "bot.log", "state.json")
    for name in of_before:
        (tmp_path / name).write_text("{}")
    (tmp_path / "playground-0123").mkdir()
    with held(tmp_path):
        assert {entry.name for entry in tmp_path.iterdir()} == {"lock", "playground-0123"}


def test_end_of_a_sandbox_removes_its_addresses_and_keeps_its_rows(tmp_path: Path) -> None:
    """After the end, the stored rows can still be read, but the addresses of the stopped servers are removed."""
    with held(tmp_path):
        (tmp_path / "node-access.db").write_text("rows")
        remember(tmp_path, ADDRESSES)
        assert state(tmp_path) == ADDRESSES
    assert (tmp_path / "node-access.db").read_text() == "rows"
    with pytest.raises(NoSandbox):
        state(tmp_path)


async def test_second_sandbox_in_a_folder_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """The refusal names the address of the first run, which keeps its rows and its addresses."""
    with held(tmp_path):
        remember(tmp_path, ADDRESSES)
        (tmp_path / "node-access.db").write_text("rows")
        with pytest.raises(
            SandboxFailed, match=f"in this folder: open {ADDRESSES['browser']}; stop it with Ctrl-C there"
        ):
            async with running_sandbox(Options(folder=tmp_path, installation=tmp_path)):
                pass
        assert (state(tmp_path), (tmp_path / "node-access.db").read_text()) == (ADDRESSES, "rows")


def test_second_sandbox_in_a_folder_is_refused_while_the_first_starts(tmp_path: Path) -> None:
    """Before the first run has an address, the refusal says that the first run is still starting."""
    with held(tmp_path), pytest.raises(SandboxFailed, match="still starting"), held(tmp_path):
        pass


async def test_sandbox_refuses_a_port_in_use(tmp_path: Path) -> None:
    """The message has the port and says what to do. Afterwards the folder is not locked."""
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(SandboxFailed, match=f"^port {port} is in use; choose another with --port$"):
            async with running_sandbox(Options(folder=tmp_path, installation=tmp_path, port=port)):
                pass
    with held(tmp_path):
        pass
