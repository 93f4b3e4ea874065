"""The real process with its configuration in S3: start, change, and what it says if it cannot start."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.aws.world import REGION
from bot.sandbox.sandbox import END_OF_POLL
from tests.fakes.people import HANAKO
from tests.fakes.processes import BotProcess, environment
from tests.fakes.product import TOML, Product, product
from tests.system.cloudformation import counts
from tests.system.test_doctor import run
from tests.system.test_starting import failed
from tests.system.test_templates import bot as bot_template

BUCKET, KEY = "node-access-111122223333", "node-access.toml"
PLACE = f"s3://{BUCKET}/{KEY}"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS, with a bucket that keeps versions, and Teams; the bot is not started."""
    async with product(monkeypatch, tmp_path) as world:
        world.changed["config"] = PLACE
        await asyncio.to_thread(_create_bucket, world)
        yield world


def _create_bucket(world: Product) -> None:
    s3 = world.aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


async def put(world: Product, text: str) -> str:
    """Upload the configuration. Return its version id."""
    s3: Any = world.aws.client("s3")
    stored = await asyncio.to_thread(s3.put_object, Bucket=BUCKET, Key=KEY, Body=text.encode())
    return str(stored["VersionId"])


def environ(world: Product, folder: Path) -> dict[str, str]:
    """Return the environment of a process that reads the bucket."""
    return environment(world, folder) | {"NODE_ACCESS_CONFIG": PLACE}


async def test_bot_starts_with_a_configuration_from_s3_and_logs_the_version_of_the_object(
    world: Product, tmp_path: Path
) -> None:
    """The line also names the channels. It is no change, so no alarm counts it. The object has a byte order mark."""
    version = await put(world, "\ufeff" + TOML)
    bot = await BotProcess.start(environ(world, tmp_path))
    await bot.wait_for_event("bot_started")
    bot.terminate()
    world.aws.events.send(END_OF_POLL)
    assert await bot.ended() == 0
    (read,) = bot.events("configuration_read")
    assert (read["version"], read["channels"]) == (version, ["approvals"])
    assert not counts(bot_template(), "ConfigurationRead", read)


async def test_start_waits_while_the_role_may_not_read_the_configuration_object(world: Product, tmp_path: Path) -> None:
    """A new role's permissions need seconds. A stop meanwhile ends the process without an error."""
    await put(world, TOML)
    world.aws.faults.fail("GetObject", "AccessDenied", status=403, times=None)
    bot = await BotProcess.start(environ(world, tmp_path))
    await bot.wait_for_event("aws_unavailable")
    assert bot.events("aws_unavailable")[0]["code"] == "AccessDenied"
    bot.terminate()
    assert await bot.ended() == 0
    assert bot.events("bot_stopped")


async def test_start_without_a_configuration_object_fails_and_says_what_to_do(world: Product, tmp_path: Path) -> None:
    """Waiting cannot help, so the process ends at once, with exit code 2 as for a missing file."""
    (line,) = await failed(environ(world, tmp_path), 2)
    assert line.startswith(f"{PLACE}: there is no such object (NoSuchKey): upload node-access.toml, or restore")


async def test_start_with_an_invalid_configuration_object_fails_and_names_the_problem(
    world: Product, tmp_path: Path
) -> None:
    """The line names the object."""
    await put(world, TOML.replace("approvers =", "approver =", 1))
    (line,) = await failed(environ(world, tmp_path), 2)
    assert line.startswith(f"{PLACE}: channels 1 (approvals): approver: unknown; did you mean")


async def test_start_lists_the_problems_of_settings_and_configuration_object_together(
    world: Product, tmp_path: Path
) -> None:
    """One try shows everything that must be fixed."""
    await put(world, TOML.replace("approvers =", "approver =", 1))
    lines = await failed(environ(world, tmp_path) | {"NODE_ACCESS_PORT": "x", "NODE_ACCESS_TENANT_ID": ""}, 2)
    assert [line.partition(": ")[0] for line in lines] == ["NODE_ACCESS_TENANT_ID", "NODE_ACCESS_PORT", PLACE]


async def test_doctor_reads_the_configuration_object_once_in_each_run(world: Product, tmp_path: Path) -> None:
    """It does not wait for a missing object, and names the same problem as a start."""
    code, _, err = await run(environ(world, tmp_path))
    assert (code, err.splitlines()[0].partition(" (")[0]) == (2, f"{PLACE}: there is no such object")
    await put(world, TOML)
    code, _, err = await run(environ(world, tmp_path), "--send-test-card", "absent")
    assert (code, "there is no channel absent; write one of approvals" in err) == (2, True)
    assert len(world.aws.calls("GetObject")) == 2


async def test_approvers_who_are_removed_in_s3_are_refused_without_a_restart(
    world: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is deleted, then put without approvers. A click on the card's earlier version sends no signal."""
    monkeypatch.setattr("bot.aws.configuration_object.PERIOD", 0.05)
    await put(world, world.toml)
    async with world.running():
        card = await world.card(await world.ask())
        old = type(card)(conversation=card.conversation, root=card.root, id=card.id, activity=dict(card.activity))
        s3: Any = world.aws.client("s3")
        await asyncio.to_thread(s3.delete_object, Bucket=BUCKET, Key=KEY)
        await put(world, world.toml.replace('approvers = ["members"]', "approvers = []", 1))
        await world.until(lambda: card.card != old.card)
        answer = await world.click(HANAKO, old, "approve")
    assert "This channel has no approvers" in str(answer)
    assert world.signals() == 0
