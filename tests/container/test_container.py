"""The image of infra/container, run as a container platform runs it. `make container` builds it and runs these tests."""

import asyncio
import json
import os
import re
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.domain.decision import DecisionState
from bot.domain.request import RequestKey
from bot.sandbox.aws.world import ACCOUNT, REGION
from bot.sandbox.sandbox import END_OF_POLL, free_port
from bot.store.sqlite.store import SqliteStore
from tests.contract import documents
from tests.fakes.containers import Container, Image
from tests.fakes.people import HANAKO
from tests.fakes.processes import BotProcess, Processes, environment
from tests.fakes.product import Product, product

DATABASE = "node-access.db"  # the name in the image's NODE_ACCESS_STORE
PROGRAM = "/app/lib/python3.11/site-packages/bot/x"
OF_THE_IMAGE = {"NODE_ACCESS_CONFIG", "NODE_ACCESS_STORE"}  # settings that the image has already
REQUIRED = ("NODE_ACCESS_APP_ID", "NODE_ACCESS_APP_SECRET", "NODE_ACCESS_TENANT_ID", "AWS_REGION")


@pytest.fixture(scope="module")
def image() -> Image:
    """Return the image that `.ci/container` built."""
    return Image.built()


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Iterator[Container]:
    """Yield a container that is not started."""
    one = Container(image, tmp_path)
    yield one
    one.remove()


@dataclass(slots=True)
class Started:
    """The bot in a container, with AWS and Teams on this machine."""

    world: Product
    container: Container
    bot: BotProcess


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, container: Container) -> AsyncIterator[Started]:
    """Start AWS, Teams and the bot; the bot serves."""
    async with product(monkeypatch, tmp_path) as world, Processes() as processes:
        config = container.volumes["/config"]
        config.mkdir()
        settings = environment(world, config) | {"NODE_ACCESS_PORT": str(free_port())}
        given = {name: value for name, value in settings.items() if name not in OF_THE_IMAGE}
        bot = await processes.spawn(os.environ, *container.command(environment=given))
        world.bot_url = bot.url
        yield Started(world, container, bot)
        container.remove()


def test_image_runs_as_a_user_without_privileges_and_says_how_to_check_it(image: Image) -> None:
    """The image has a user, a health check and the settings for its two volumes, and starts `serve`."""
    assert image.user == (10001, 10001)
    assert (image.config["Entrypoint"], image.config["Cmd"]) == (["node-access-bot"], ["serve"])
    assert image.config["Healthcheck"]["Test"] == ["CMD", "node-access-bot", "health"]
    assert image.config["WorkingDir"] == "/data"
    assert {name: image.environment[name] for name in OF_THE_IMAGE} == {
        "NODE_ACCESS_CONFIG": "/config/node-access.toml",
        "NODE_ACCESS_STORE": f"sqlite:/data/{DATABASE}",
    }
    assert image.config["Labels"]["org.opencontainers.image.title"] == "Node Access Bot"


def test_installation_guide_mounts_and_publishes_what_the_image_uses(image: Image) -> None:
    """The command in infra/README.md mounts the two folders and publishes the port of the image."""
    (command,) = [
        each for each in documents.blocks(documents.read(documents.INSTALLATION), "sh") if "docker run" in each
    ]
    assert re.findall(r"--volume \S+?:([\w/:]+)", command) == ["/config:ro", "/data"]
    assert [f"{port}/tcp" for port in re.findall(r"--publish \S+:(\d+)", command)] == list(image.config["ExposedPorts"])


def test_image_has_no_cache_and_no_tools(image: Image) -> None:
    """The image has the program and its packages, without pip, sources, or files of an installation."""
    left = ["root/.cache", "source", "tools", "app/bin/pip"]
    assert [path for path in left if (image.root / path).exists()] == []
    assert (image.root / "app/bin/node-access-bot").exists()


def test_program_prints_its_version(container: Container) -> None:
    """Arguments after the image's name replace `serve`."""
    done = container.run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("node-access-bot, version ")


def test_start_without_settings_names_each_missing_one(container: Container) -> None:
    """The container ends with exit code 2 and a line for each missing setting."""
    done = container.run()
    assert done.returncode == 2, done.stderr
    assert [name for name in REQUIRED if name not in done.stderr] == []
    assert "/config/node-access.toml" in done.stderr


def test_health_check_fails_while_no_bot_runs(container: Container) -> None:
    """Without a bot, the health check exits with 1 and says that nothing answers."""
    done = container.run("health")
    assert done.returncode == 1
    assert "the bot does not answer" in done.stderr


@pytest.mark.parametrize("path", ["/x", "/app/x", PROGRAM, "/tmp/x", "/config/x"])
def test_only_the_data_volume_is_writable(container: Container, path: str) -> None:
    """Writing to any other place is refused, also in the program's own folder."""
    done = container.run(path, entrypoint=["touch"])
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert container.run("/data/x", entrypoint=["touch"]).returncode == 0


@pytest.mark.parametrize("path", ["/x", PROGRAM])
def test_program_cannot_be_changed_even_in_a_writable_file_system(container: Container, path: str) -> None:
    """The image's user owns nothing but /data, so its own rights forbid it as well."""
    writable = replace(container, read_only=False)
    done = writable.run(path, entrypoint=["touch"])
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


async def test_request_is_decided_by_the_bot_in_the_container(started: Started) -> None:
    """A click reaches AWS under the approver's name, the card follows, and the store is a file of the image's user."""
    world = started.world
    request = await world.ask()
    card = await world.card(request)
    await world.click(HANAKO, card, "approve")
    await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    (call,) = world.aws.calls("SendAutomationSignal")
    assert call.caller.endswith("assumed-role/NodeAccessApprover/hanako.sato@example.com")
    assert await _stopped(started) == 0
    database = started.container.volumes["/data"] / DATABASE
    assert stat.S_IMODE(database.stat().st_mode) & 0o077 == 0
    assert (database.stat().st_uid, database.stat().st_gid) == started.container.image.user
    async with SqliteStore(database) as store:
        row = await store.load(RequestKey(world.aws.world.account, world.aws.world.region, request))
    assert row is not None
    assert [each.state for each in row.decisions] == [DecisionState.CONFIRMED]


async def test_health_check_succeeds_in_the_container_of_a_running_bot(started: Started) -> None:
    """The health check runs in the bot's container, and SIGTERM ends the bot with success."""
    done: subprocess.CompletedProcess[str] = started.container.check_health()
    assert (done.returncode, done.stderr) == (0, "")
    assert await _stopped(started) == 0


async def test_doctor_runs_in_the_container_of_the_template_and_reports_a_missing_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, container: Container
) -> None:
    """No place is writable there, not even /data. Doctor reports the table as its only problem."""
    async with product(monkeypatch, tmp_path) as world:
        s3, bucket = world.aws.client("s3"), f"node-access-{ACCOUNT}"
        await asyncio.to_thread(
            s3.create_bucket, Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        await asyncio.to_thread(s3.put_object, Bucket=bucket, Key="node-access.toml", Body=world.toml.encode())
        settings = environment(world, tmp_path) | {
            "NODE_ACCESS_CONFIG": f"s3://{bucket}/node-access.toml",
            "NODE_ACCESS_STORE": "dynamodb:missing",
        }
        bare = replace(container, mounted=False)
        done = await asyncio.to_thread(bare.run, "doctor", "--json", environment=settings)
    assert done.returncode == 1, done.stderr
    assert [each["finding"] for each in json.loads(done.stdout)["findings"]] == ["store"]


async def _stopped(started: Started) -> int:
    """Send SIGTERM, as a container platform does. Return the exit code."""
    started.bot.terminate()
    started.world.aws.events.send(END_OF_POLL)
    return await started.bot.ended()
