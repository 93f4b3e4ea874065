"""The script that is loaded before the Playground keeps its whole process on this machine."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from bot.sandbox.node import Node

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PRELOAD: Final = Path(__file__).parents[2] / "bot" / "sandbox" / "npm" / "loopback.cjs"


def output_of(script: str, node: Node) -> str:
    """Run a script after the preload, with an open stdin as in the sandbox. Return its output."""
    with subprocess.Popen(
        [node.program, "--require", PRELOAD, "-e", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        return process.stdout.read()


@pytest.mark.parametrize("listen", ["0", "0, '0.0.0.0'", "{port: 0, host: '::'}", "'0'", "{port: 0}", ""])
def test_every_server_of_the_playground_process_listens_on_loopback(node: Node, listen: str) -> None:
    """A server listens on 127.0.0.1, regardless of the address that it asks for."""
    script = (
        "const server = require('http').createServer(); server.on('listening', () => "
        "{ require('fs').writeSync(1, server.address().address); process.exit(0); });"
    )
    assert output_of(f"{script} server.listen({listen});", node) == "127.0.0.1"


@pytest.mark.parametrize("connect", ["9, '192.0.2.1'", "{port: 9, host: '192.0.2.1'}", "{port: 9, host: 'a.test'}"])
def test_playground_process_cannot_connect_to_another_host(node: Node, connect: str) -> None:
    """A connection to another host fails with the script's own error."""
    script = (
        f"require('net').connect({connect}).on('error', (error) => "
        "{ require('fs').writeSync(1, error.message); process.exit(0); });"
    )
    assert output_of(script, node).startswith("the sandbox does not leave this machine")


def test_playground_process_cannot_fetch_from_another_host(node: Node) -> None:
    """A request by fetch() is refused too, because it connects in the same way."""
    script = (
        "fetch('http://192.0.2.1/').catch((error) => "
        "{ require('fs').writeSync(1, error.cause.message); process.exit(0); });"
    )
    assert output_of(script, node).startswith("the sandbox does not leave this machine")


def test_playground_process_without_stdin_ends_and_removes_its_folder(node: Node, tmp_path: Path) -> None:
    """When its parent ends, its stdin is closed. Then the process ends too."""
    folder = tmp_path / "running"
    folder.mkdir()
    done = subprocess.run(
        [node.program, "--require", PRELOAD, "-e", "setInterval(() => {}, 1000)"],
        stdin=subprocess.DEVNULL,
        env={"SANDBOX_FOLDER": str(folder)},
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert not folder.exists()
