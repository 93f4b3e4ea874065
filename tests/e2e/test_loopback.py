"""What is loaded before the Playground keeps all of its process on this machine."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from bot.sandbox.node import Node

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PRELOAD: Final = Path(__file__).parents[2] / "bot" / "sandbox" / "npm" / "loopback.cjs"


def written_by(script: str, node: Node) -> str:
    """Run the script below the preload, with stdin held open as the sandbox does, and return what it wrote."""
    with subprocess.Popen(
        [node.program, "--require", PRELOAD, "-e", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        return process.stdout.read()


@pytest.mark.parametrize("listen", ["0", "0, '0.0.0.0'", "{port: 0, host: '::'}", "'0'", "{port: 0}", ""])
def test_every_server_listens_on_loopback(node: Node, listen: str) -> None:
    """However a server asks to listen, it listens on 127.0.0.1."""
    script = (
        "const server = require('http').createServer(); server.on('listening', () => "
        "{ require('fs').writeSync(1, server.address().address); process.exit(0); });"
    )
    assert written_by(f"{script} server.listen({listen});", node) == "127.0.0.1"


@pytest.mark.parametrize("connect", ["9, '192.0.2.1'", "{port: 9, host: '192.0.2.1'}", "{port: 9, host: 'a.test'}"])
def test_no_connection_leaves_this_machine(node: Node, connect: str) -> None:
    """A connection to any other host fails before it leaves."""
    script = (
        f"require('net').connect({connect}).on('error', (error) => "
        "{ require('fs').writeSync(1, error.message); process.exit(0); });"
    )
    assert written_by(script, node).startswith("the sandbox does not leave this machine")


def test_web_requests_do_not_leave_either(node: Node) -> None:
    """What fetch() asks for is refused as well, because it connects in the same way."""
    script = (
        "fetch('http://192.0.2.1/').catch((error) => "
        "{ require('fs').writeSync(1, error.cause.message); process.exit(0); });"
    )
    assert written_by(script, node).startswith("the sandbox does not leave this machine")


def test_process_goes_with_its_parent_and_removes_its_folder(node: Node, tmp_path: Path) -> None:
    """Once stdin is closed the process ends, and its folder is gone."""
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
