"""What a start says: on stderr if the bot cannot start, and in its log if it can."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import pytest

from bot.sandbox.aws.world import ACCOUNT
from bot.sandbox.sandbox import END_OF_POLL
from tests.fakes.people import HANAKO
from tests.fakes.processes import BotProcess, environment
from tests.fakes.product import CANCELLING, TOML, Product, product
from tests.fakes.teams_world import APPROVERS


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started."""
    async with product(monkeypatch, tmp_path) as world:
        yield world


async def refused(environ: dict[str, str]) -> str:
    """Return the last line of a start that fails with exit code 1, without a traceback."""
    return (await failed(environ, 1))[-1]


async def failed(environ: dict[str, str], code: int) -> list[str]:
    """Return the lines of a start that fails with this exit code, without a traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", env=environ, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        output = (await process.stderr.read()).decode()
        assert await process.wait() == code
    assert "Traceback" not in output
    return output.splitlines()


async def started(world: Product, environ: dict[str, str]) -> BotProcess:
    """Start the bot and stop it. Return its process, with its whole log."""
    bot = await BotProcess.start(environ)
    await bot.wait_for_event("bot_started")
    bot.terminate()
    world.aws.events.send(END_OF_POLL)
    assert await bot.ended() == 0
    return bot


async def test_log_of_a_start_has_version_accounts_store_and_channels(world: Product, tmp_path: Path) -> None:
    """The event `bot_started` also has the Region, the kind of login and whether there is a queue.

    It has no other value.
    """
    bot = await started(world, environment(world, tmp_path))
    (line,) = bot.events("bot_started")
    assert {name: line[name] for name in line if name not in {"level", "logger", "timestamp", "event", "ports"}} == {
        "version": version("node-access-bot"),
        "accounts": [ACCOUNT],
        "region": "ap-northeast-1",
        "store": f"sqlite:{world.store}",
        "channels": ["approvals"],
        "login": "secret",
        "queue": True,
    }


async def test_log_of_a_start_has_the_configured_accounts(world: Product, tmp_path: Path) -> None:
    """With [[accounts]], the bot does not ask AWS for its own account."""
    world.toml = TOML + CANCELLING
    bot = await started(world, environment(world, tmp_path))
    assert bot.events("bot_started")[0]["accounts"] == [ACCOUNT]
    assert world.aws.calls("GetCallerIdentity") == []


async def test_channel_or_level_without_approvers_is_logged_as_a_warning_at_the_start(
    world: Product, tmp_path: Path
) -> None:
    """A channel that gets requests that no one may decide is allowed, but seldom intended.

    No warning is logged for a paused channel, or one that gets no requests. In the channel "levels", no one may decide
    at another level than Level1.
    """
    others = "".join(
        f'[[channels]]\nname = "{name}"\nconversation = "19:{name}@thread.tacv2"\n{line}\n'
        for name, line in (
            ("paused", "match = {}\ndecide = false"),
            ("quiet", ""),
            ("levels", f'match = {{}}\n[[channels.levels]]\nstep = "Level1"\napprovers = ["user:{HANAKO.object_id}"]'),
            ("part", 'match = {}\napprovers = ["members"]\n[[channels.levels]]\nstep = "Level2"'),
        )
    )
    world.toml = f'[[channels]]\nname = "approvals"\nconversation = "{APPROVERS}"\nfallback = true\n{others}'
    bot = await started(world, environment(world, tmp_path))
    found = [(line["level"], line["channel"], line["step"]) for line in bot.events("approvers_missing")]
    assert found == [("warning", "approvals", None), ("warning", "levels", None), ("warning", "part", "Level2")]


@pytest.mark.parametrize("name", ["NODE_ACCESS_PORT", "NODE_ACCESS_METRICS_PORT"])
async def test_start_with_a_port_in_use_names_the_setting_to_change(world: Product, tmp_path: Path, name: str) -> None:
    """The start fails. The last line names the port, the address and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = await refused(environment(world, tmp_path) | {name: port})
    assert line == (
        f"Error: the bot did not start: port {port} of 127.0.0.1 is in use by another program: stop it, or set {name}"
    )


async def test_start_with_an_address_of_another_machine_names_the_settings_to_check(
    world: Product, tmp_path: Path
) -> None:
    """192.0.2.1 is reserved for documentation, so no machine has it."""
    line = await refused(environment(world, tmp_path) | {"NODE_ACCESS_HOST": "192.0.2.1"})
    assert line.startswith("Error: the bot did not start: the bot cannot listen on 192.0.2.1, port 0: ")
    assert line.endswith("check NODE_ACCESS_HOST and NODE_ACCESS_PORT")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("{folder}/absent/rows.db", "there is no folder {folder}/absent: create it, or change NODE_ACCESS_STORE"),
        ("{folder}", "{folder} is a directory: name a file in it in NODE_ACCESS_STORE"),
        ("/proc/rows.db", "/proc/rows.db cannot be opened ("),
    ],
)
async def test_start_with_a_store_that_cannot_be_opened_fails_and_names_the_path(
    world: Product, tmp_path: Path, path: str, says: str
) -> None:
    """If the cause is clear, the line says what to change. It has the whole path at most once, and no error number."""
    place = path.format(folder=tmp_path)
    line = await refused(environment(world, tmp_path, store=f"sqlite:{place}"))
    assert line.startswith(f"Error: the bot did not start: {says.format(folder=tmp_path)}")
    assert line.count(place) <= 1
    assert "Errno" not in line


async def test_log_has_the_endpoint_of_aws_if_aws_cannot_be_reached(world: Product, tmp_path: Path) -> None:
    """A wrong endpoint or Region is visible at once. The line does not contain the word "secret"."""
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed_port.getsockname()[1]}"
        bot = await BotProcess.start(environment(world, tmp_path) | {"AWS_ENDPOINT_URL": endpoint})
        await bot.wait_for_event("aws_unavailable")
        bot.terminate()
        assert await bot.ended() == 0
    line = bot.events("aws_unavailable")[0]
    assert (line["code"], line["address"]) == ("EndpointConnectionError", endpoint)
    assert json.dumps(line).count("secret") == 0
