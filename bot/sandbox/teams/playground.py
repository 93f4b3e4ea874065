"""The Microsoft 365 Agents Playground as a child process: installed by npm at first use, on loopback only.

Owns the process, its configuration file and its start errors. Knows neither tokens nor the bot. The Playground's
licence allows evaluation only, so it is never shipped with the product.

https://learn.microsoft.com/microsoft-365/agents-sdk/test-with-toolkit-project
"""

import asyncio
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import aiohttp

from bot.sandbox.node import Node, find_node, install_once

START_LIMIT: Final = 30.0  # seconds; on two cores, the Playground starts within one second
STOP_LIMIT: Final = 5.0  # seconds; the Playground normally ends at once
READY_PAUSE: Final = 0.05  # seconds between two probes of a starting Playground
_LISTENING: Final = re.compile(rb"Listening on (\d+)")
_PACKAGE_FILES: Final = ("package.json", "package-lock.json", ".npmrc", "loopback.cjs")
_PROGRAM: Final = Path("node_modules", "@microsoft", "m365agentsplayground", "cli.js")


class PlaygroundFailed(Exception):
    """The Playground did not start; the message contains its reason."""


class _Ended(Exception):
    """The Playground's process ended before it was ready."""


class Playground:
    """One running Playground. `start` creates it, `stop` ends it."""

    def __init__(self, process: asyncio.subprocess.Process, folder: tempfile.TemporaryDirectory[str]) -> None:
        self.url = ""  # origin, `http://127.0.0.1:<port>`
        self._process = process
        self._folder = folder
        self._draining: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        configuration: Mapping[str, Any],
        *,
        bot_endpoint: str,
        service_url: str,
        directory: Path,
        port: int = 0,
    ) -> "Playground":
        """Install the Playground if necessary, start it and wait until it is ready.

        `directory` keeps the installation. If the port is in use, the Playground uses another one: read `url`.
        Raises NodeMissing, InstallFailed or PlaygroundFailed.
        """
        node = await asyncio.to_thread(find_node)
        installed = await asyncio.to_thread(install_playground, node, directory)
        folder = await asyncio.to_thread(_prepared_folder, configuration, directory)
        options = ["-e", bot_endpoint, "--service-url", service_url, "-p", str(port)]
        playground = cls(await _spawn(node, installed, Path(folder.name), options), folder)
        try:
            await playground._wait_until_serving()
        except BaseException:
            await playground.stop()
            raise
        return playground

    async def stop(self) -> None:
        """End the process and remove its files. May be called again."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._draining is not None:
            await self._draining
        await asyncio.to_thread(self._folder.cleanup)

    async def _wait_until_serving(self) -> None:
        try:
            async with asyncio.timeout(START_LIMIT):
                self.url = f"http://127.0.0.1:{await self._announced_port()}"
                self._draining = asyncio.create_task(_drain(self._process))
                await self._wait_for_its_interface()
        except (TimeoutError, _Ended) as error:
            reason = await asyncio.to_thread(_reason, Path(self._folder.name))
            raise PlaygroundFailed(reason or str(error) or "it did not answer in time") from error

    async def _wait_for_its_interface(self) -> None:
        """Wait until the Playground answers. Raises _Ended if its process has ended.

        After it has printed its port, it may fail to read its configuration.
        """
        async with aiohttp.ClientSession(trust_env=False) as session:
            while not await _serves(session, self.url):
                if self._process.returncode is not None:
                    raise _Ended(f"it ended with {self._process.returncode}")
                await asyncio.sleep(READY_PAUSE)

    async def _announced_port(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - `_spawn` requests a pipe
        async for line in self._process.stdout:
            if found := _LISTENING.search(line):
                return int(found[1])
        raise _Ended(f"it ended with {await self._process.wait()}")


def install_playground(node: Node, directory: Path) -> Path:
    """Install the Playground unless it is installed already, and return its folder. Blocks. Raises InstallFailed."""
    package = files("bot.sandbox") / "npm"
    return install_once(node, [package / name for name in _PACKAGE_FILES], into=directory, name="playground")


def _prepared_folder(configuration: Mapping[str, Any], directory: Path) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(dir=directory, prefix="running-", ignore_cleanup_errors=True)
    text = json.dumps(configuration, ensure_ascii=False, indent=2)  # the Playground reads YAML, and JSON is valid YAML
    Path(folder.name, "playground.yml").write_text(text, encoding="utf-8")
    return folder


async def _spawn(node: Node, installed: Path, folder: Path, options: list[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(node.program),
        "--require",
        str(installed / "loopback.cjs"),
        str(installed / _PROGRAM),
        *["start", "--channel-id", "msteams", "--disable-telemetry", *options],
        cwd=folder,
        env=_environment(folder),
        stdin=asyncio.subprocess.PIPE,  # see loopback.cjs: the Playground ends when this process does
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches this process only, which then stops the Playground
    )


def _environment(folder: Path) -> dict[str, str]:
    """Return only the variables that the Playground needs: no credentials and no proxy settings."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "SANDBOX_FOLDER": str(folder),  # see loopback.cjs: it removes the folder if this process cannot
        "TEAMSAPPTESTER_BROWSER": "none",
        "M365_AGENTS_PLAYGROUND_CONFIG_PATH": str(folder / "playground.yml"),
        "M365_AGENTS_PLAYGROUND_LOGFILE": str(folder / "playground.log"),
    }


async def _serves(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/_internal/v1/config") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read the Playground's output, so that it never blocks on a full pipe."""
    if process.stdout is not None:
        async for _ in process.stdout:
            pass


def _reason(folder: Path) -> str:
    """Return the errors in the Playground's log: for an invalid configuration it ends without output."""
    try:
        lines = (folder / "playground.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line.removeprefix("error ") for line in lines if line.startswith("error "))
