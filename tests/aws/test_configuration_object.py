"""The configuration in S3, read from the simulated AWS over real HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from bot.aws import configuration_object, first_answer
from bot.aws.assembly import AwsSide
from bot.aws.calls.clients import THREADS, Clients
from bot.aws.calls.rate_limit import Lane
from bot.aws.configuration_object import ConfigurationObject
from bot.aws.first_answer import StoppedEarly
from bot.boto.sdk import LARGEST_BODY
from bot.ports.configuration import Content, ObjectPlace, SourceUnreadable
from bot.sandbox.aws.world import REGION
from tests.contract import gateway
from tests.contract.gateway import environment
from tests.contract.scene import Scene
from tests.fakes.aws_faults import Loss

stage, scene, side = gateway.stage, gateway.scene, gateway.side
KEY = "prod/node-access.toml"


class Bucket:
    """A bucket of its own for each test, and the object in it."""

    def __init__(self, scene: Scene) -> None:
        self.place = ObjectPlace(f"node-access-{uuid4()}", KEY)
        self._s3: Any = scene.aws.client("s3")
        self._s3.create_bucket(Bucket=self.place.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def keep_versions(self) -> None:
        """Switch versioning on."""
        self._s3.put_bucket_versioning(Bucket=self.place.bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, body: bytes) -> Any:
        """Upload the object. Return S3's answer."""
        return self._s3.put_object(Bucket=self.place.bucket, Key=KEY, Body=body)

    def delete(self) -> None:
        """Delete the object, with a delete marker if the bucket keeps versions."""
        self._s3.delete_object(Bucket=self.place.bucket, Key=KEY)

    def copy(self, version: str) -> None:
        """Make an earlier version the newest one, as a rollback does."""
        source = {"Bucket": self.place.bucket, "Key": KEY, "VersionId": version}
        self._s3.copy_object(Bucket=self.place.bucket, Key=KEY, CopySource=source)


@pytest.fixture
def bucket(scene: Scene) -> Bucket:
    """Return an empty bucket."""
    return Bucket(scene)


@pytest.fixture
def source(side: AwsSide, bucket: Bucket) -> ConfigurationObject:
    """Return the source of the bucket's object."""
    return side.configuration_object(bucket.place)


async def unreadable(source: ConfigurationObject) -> SourceUnreadable:
    """Return the error of a read."""
    with pytest.raises(SourceUnreadable) as raised:
        await source.read()
    return raised.value


async def test_each_new_version_of_the_configuration_is_returned_once_with_its_id(
    source: ConfigurationObject, bucket: Bucket
) -> None:
    """A version that was returned is not transferred again."""
    bucket.keep_versions()
    for body in (b"one", b"two", b""):
        version = bucket.put(body)["VersionId"]
        assert await source.read() == Content(body, version=version)
        assert await source.read() is None


async def test_content_from_a_bucket_without_versioning_has_its_etag_as_its_version(
    source: ConfigurationObject, bucket: Bucket
) -> None:
    """The ETag is what the S3 console shows. Objects from before versioning have no version id either."""
    etag = bucket.put(b"one")["ETag"].strip('"')
    assert await source.read() == Content(b"one", version=etag)
    bucket.keep_versions()
    assert await source.read() is None


async def test_copy_of_an_earlier_version_of_the_configuration_is_returned(
    source: ConfigurationObject, bucket: Bucket
) -> None:
    """A rollback takes effect although the content was read before."""
    bucket.keep_versions()
    first = bucket.put(b"one")["VersionId"]
    await source.read()
    bucket.put(b"two")
    await source.read()
    bucket.copy(first)
    found = await source.read()
    assert found is not None
    assert (found.raw, found.version == first) == (b"one", False)


@pytest.mark.parametrize("versioned", [False, True])
async def test_deleted_configuration_is_unreadable_until_it_is_uploaded_again(
    source: ConfigurationObject, bucket: Bucket, versioned: bool
) -> None:
    """A delete marker is no empty configuration. The same content is returned again afterwards."""
    if versioned:
        bucket.keep_versions()
    bucket.put(b"one")
    await source.read()
    bucket.delete()
    for _ in range(2):
        problem = await unreadable(source)
        assert problem.code == "NoSuchKey"
        assert "upload node-access.toml, or restore a deleted one" in problem.advice
    bucket.put(b"one")
    found = await source.read()
    assert found is not None
    assert found.raw == b"one"


async def test_error_for_a_missing_bucket_names_the_bucket_and_the_setting(side: AwsSide) -> None:
    """The advice says to create the bucket or to change the setting."""
    problem = await unreadable(side.configuration_object(ObjectPlace("node-access-absent", KEY)))
    assert problem.code == "NoSuchBucket"
    assert problem.advice == (
        "s3://node-access-absent/prod/node-access.toml: there is no such bucket (NoSuchBucket):"
        " create node-access-absent, or set NODE_ACCESS_CONFIG"
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (("AccessDenied", 403), "allow the bot's role s3:GetObject on"),
        (("KMS.DisabledException", 400), "allow the bot's role kms:Decrypt for it"),
        (("PermanentRedirect", 301), "is in another Region (PermanentRedirect): use a bucket in AWS_REGION"),
        (("RequestTimeTooSkewed", 403), "set the clock of this machine"),
        (("InvalidAccessKeyId", 403), "AWS refuses the bot's credentials (InvalidAccessKeyId)"),
        (("InvalidObjectState", 403), "did not return the object (InvalidObjectState)"),
    ],
)
async def test_error_after_a_refusal_of_s3_names_the_object_and_the_fix(
    scene: Scene, source: ConfigurationObject, bucket: Bucket, answer: tuple[str, int], words: str
) -> None:
    """The error has S3's code. A read after the refusal succeeds."""
    bucket.put(b"one")
    code, status = answer
    scene.aws.faults.fail("GetObject", code, status=status, times=None)
    problem = await unreadable(source)
    assert problem.code == code
    assert problem.advice.startswith(f"{bucket.place}: ")
    assert words in problem.advice
    scene.aws.faults.clear()
    assert await source.read() is not None


async def test_advice_for_a_denied_kms_key_names_its_permission(
    scene: Scene, source: ConfigurationObject, bucket: Bucket
) -> None:
    """S3 answers AccessDenied for the key and for the object. The text of the answer names the missing permission."""
    bucket.put(b"one")
    denied = "<Error><Code>AccessDenied</Code><Message>… is not authorized to perform: kms:Decrypt …</Message></Error>"
    scene.aws.faults.replace("GetObject", denied, status=403)
    problem = await unreadable(source)
    assert "allow the bot's role kms:Decrypt for it" in problem.advice
    assert "authorized" not in problem.advice


@pytest.mark.parametrize("how", [Loss.CLOSED, Loss.EMPTY_500])
async def test_read_of_the_configuration_is_repeated_after_one_lost_answer(
    scene: Scene, source: ConfigurationObject, bucket: Bucket, how: Loss
) -> None:
    """The second read returns the content."""
    bucket.put(b"one")
    scene.aws.faults.lose_reply("GetObject", how=how)
    assert (await source.read() or Content(b"")).raw == b"one"


async def test_configuration_of_one_mebibyte_is_read_and_a_larger_one_is_refused(
    source: ConfigurationObject, bucket: Bucket
) -> None:
    """A wrong file must not fill the memory."""
    bucket.put(b"#" * LARGEST_BODY)
    found = await source.read()
    assert found is not None
    assert len(found.raw) == LARGEST_BODY == 1024 * 1024
    bucket.put(b"#" * (LARGEST_BODY + 1))
    problem = await unreadable(source)
    assert problem.code == "BodyTooLarge"
    assert "upload the right file" in problem.advice


async def test_reconciliations_that_wait_for_aws_do_not_block_a_read_of_the_configuration(
    scene: Scene, bucket: Bucket
) -> None:
    """A removed approver is out in time also while AWS answers slowly."""
    bucket.put(b"one")
    with environment(scene.aws.endpoint, scene.aws.world.bot), scene.aws.faults.hold("GetCallerIdentity"):
        async with Clients(region=REGION, clock=scene.clock, telemetry=gateway.unread_metrics()) as clients:
            waiting = [
                asyncio.ensure_future(clients.own("sts", "get_caller_identity", Lane.RECONCILE))
                for _ in range(THREADS[Lane.RECONCILE])
            ]
            assert await ConfigurationObject(clients, bucket.place).read() is not None
            scene.aws.faults.clear()
            await asyncio.gather(*waiting)


async def test_hanging_read_of_the_configuration_times_out_and_a_later_read_succeeds(
    scene: Scene, source: ConfigurationObject, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the call hangs in its thread, reads end in time all the same. Once AWS answers, the content is read."""
    monkeypatch.setattr(configuration_object, "LONGEST", 0.2)
    bucket.put(b"one")
    with scene.aws.faults.hold("GetObject"):
        for _ in range(2):
            assert (await unreadable(source)).code == "NotAnswering"
    scene.aws.faults.clear()
    monkeypatch.undo()
    found = await source.read()
    assert found is not None
    assert found.raw == b"one"


# --- the first read, at the start


async def test_first_read_of_the_configuration_is_repeated_while_access_is_denied(
    scene: Scene, source: ConfigurationObject, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new role's permissions take effect after seconds."""
    monkeypatch.setattr(first_answer, "PAUSE", 0.01)
    bucket.put(b"one")
    scene.aws.faults.fail("GetObject", "AccessDenied", status=403, times=3)
    assert (await source.first(asyncio.Event())).raw == b"one"


@pytest.mark.parametrize(
    ("arrange", "code"),
    [
        (lambda scene, _: scene.aws.faults.fail("GetObject", "NoSuchBucket", status=404), "NoSuchBucket"),
        (lambda _, bucket: bucket.delete(), "NoSuchKey"),
        (lambda _, bucket: bucket.put(b"#" * (LARGEST_BODY + 1)), "BodyTooLarge"),
    ],
)
async def test_first_read_of_the_configuration_is_not_repeated_if_bucket_or_object_is_unusable(
    scene: Scene, source: ConfigurationObject, bucket: Bucket, arrange: Callable[[Scene, Bucket], object], code: str
) -> None:
    """The bucket or the object is missing, or the object is too large. One call is made."""
    bucket.put(b"one")
    arrange(scene, bucket)
    scene.aws.forget_calls()
    with pytest.raises(SourceUnreadable) as raised:
        await source.first(asyncio.Event())
    assert (raised.value.code, len(scene.aws.calls("GetObject"))) == (code, 1)


async def test_first_read_of_the_configuration_that_stays_denied_names_the_permission(
    scene: Scene, source: ConfigurationObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the longest time for the first read, the error is raised."""
    monkeypatch.setattr(first_answer, "LONGEST", -1.0)
    scene.aws.faults.fail("GetObject", "AccessDenied", status=403, times=None)
    with pytest.raises(SourceUnreadable, match="s3:GetObject"):
        await source.first(asyncio.Event())


async def test_first_read_of_the_configuration_ends_when_the_process_is_stopped(
    scene: Scene, source: ConfigurationObject
) -> None:
    """A stop does not wait for AWS."""
    stopping = asyncio.Event()
    with scene.aws.faults.hold("GetObject") as held:
        scene.aws.faults.fail("GetObject", "AccessDenied", status=403, times=None)
        reading = asyncio.create_task(source.first(stopping))
        await asyncio.to_thread(held.arrived.wait)
        stopping.set()
    with pytest.raises(StoppedEarly):
        await reading
