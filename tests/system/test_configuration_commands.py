"""The commands of infra/README.md for a configuration in S3, run by the real AWS CLI against the simulated AWS."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.aws.assembly import AwsSide
from bot.aws.configuration_object import ConfigurationObject
from bot.config.settings import Settings
from bot.ports.configuration import ObjectPlace
from bot.sandbox.aws.world import REGION
from tests.contract import documents, gateway
from tests.contract.scene import Scene, staged
from tests.fakes.people import APP_ID, TENANT_ID

LIMIT = 120  # real seconds for the commands of one block; they need about ten on a quiet machine
TEXT = documents.section(documents.read(documents.INSTALLATION), "### In Amazon S3")
CREATE, UPLOAD, GO_BACK, REMOVE = documents.blocks(TEXT, "sh")
PLACE = TEXT.partition("`NODE_ACCESS_CONFIG=")[2].partition("`")[0]


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Run a sandbox without buckets."""
    with staged() as scene:
        yield scene


side = gateway.side


@pytest.fixture
def source(side: AwsSide) -> ConfigurationObject:
    """Return the source of the place that the page tells the reader to set."""
    settings = Settings(app_id=APP_ID, app_secret=SecretStr("s"), tenant_id=TENANT_ID, region=REGION, config=PLACE)
    assert isinstance(settings.config, ObjectPlace)
    return side.configuration_object(settings.config)


def run(scene: Scene, folder: Path, commands: str) -> str:
    """Run commands as a reader pastes them into a shell in a folder. Return what they print."""
    names = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    aws = {**scene.aws.world.bot.environment(), "AWS_ENDPOINT_URL": scene.aws.endpoint, "AWS_REGION": REGION}
    done = subprocess.run(
        ["bash", "-ec", commands],
        check=False,
        cwd=folder,
        env={**names, **aws, "AWS_PAGER": ""},
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_pasted_commands_create_change_and_restore_the_configuration(
    scene: Scene, source: ConfigurationObject, tmp_path: Path
) -> None:
    """The bot reads each version. Going back restores a deleted file. The bucket is private and keeps versions."""
    (tmp_path / "infra").symlink_to(documents.ROOT / "infra")  # a reader is in the folder of the clone
    file = tmp_path / "node-access.toml"
    file.write_text("first")
    run(scene, tmp_path, CREATE + UPLOAD)
    first = await source.read()
    file.write_text("second")
    run(scene, tmp_path, UPLOAD)
    second = await source.read()
    s3 = scene.aws.client("s3")
    bucket = PLACE.split("/")[2]
    s3.delete_object(Bucket=bucket, Key="node-access.toml")
    listing, copying = GO_BACK.splitlines()
    versions = [line.split()[0] for line in run(scene, tmp_path, listing).splitlines()]
    assert first
    assert second
    assert sorted(versions) == sorted([str(first.version), str(second.version)])
    run(scene, tmp_path, copying.replace("<version id>", str(first.version)))
    restored = await source.read()
    assert restored
    assert (first.raw, second.raw, restored.raw) == (b"first", b"second", b"first")
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}


async def test_pasted_commands_remove_a_version_and_restore_the_policy_of_the_bucket(
    scene: Scene, source: ConfigurationObject, tmp_path: Path
) -> None:
    """The newest version stays. The bucket then denies the removal of versions again, as the policy file says."""
    (tmp_path / "infra").symlink_to(documents.ROOT / "infra")
    file = tmp_path / "node-access.toml"
    file.write_text("first")
    run(scene, tmp_path, CREATE + UPLOAD)
    first = await source.read()
    file.write_text("second")
    run(scene, tmp_path, UPLOAD)
    assert first
    s3, bucket = scene.aws.client("s3"), PLACE.split("/")[2]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy == json.loads(documents.read("infra/aws/bucket-policy.json"))
    run(scene, tmp_path, REMOVE.replace("<version id>", str(first.version)))
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 1
    left = await source.read()
    assert left
    assert left.raw == b"second"
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
