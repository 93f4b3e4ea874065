"""node-access.toml as an object in S3: one conditional read at a time, and what to do about each of S3's errors.

S3 replaces an object as a whole, so a new version can be used at once. The conditional read compares ETags; an object
that goes back to an earlier version has another ETag than the one before, and is read again.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

import asyncio
from typing import Final

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import Lane
from bot.aws.first_answer import NO_CREDENTIALS, advice, first_answer
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import text
from bot.boto.sdk import BODY_TOO_LARGE, NOT_MODIFIED, Answer, status_of
from bot.ports.aws import AwsUnavailable
from bot.ports.configuration import Content, ObjectPlace, SourceUnreadable

PERIOD = 30.0  # seconds between two reads
LONGEST = 20.0  # seconds of one read with its repetition; with PERIOD, a removed approver is out within a minute
NOT_ANSWERING: Final = "NotAnswering"
NO_BODY: Final = "NoBodyInAnswer"
KEY_DENIED: Final = "AccessDenied (kms:Decrypt)"
UNVERSIONED: Final = "null"  # the version id of an object that was stored while its bucket kept no versions
_NO_OBJECT: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "InvalidBucketName"})
_ELSEWHERE: Final = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "301",
        "307",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    }
)  # botocore follows such an answer if it can find out the bucket's Region
_KEY: Final = "KMS"  # begins the codes that S3 passes on from AWS KMS, such as KMS.DisabledException
FINAL: Final = NO_CREDENTIALS | _NO_OBJECT | _NO_BUCKET | _ELSEWHERE | {BODY_TOO_LARGE}
_CLOCK: Final = "RequestTimeTooSkewed"


class ConfigurationObject:
    """The source that reads an object with the bot's own credentials. The object may be in another Region."""

    def __init__(self, clients: Clients, place: ObjectPlace) -> None:
        self._clients, self._place = clients, place
        self.name, self.period = str(place), PERIOD
        self._etag: str | None = None  # of the content that the last read returned; None: the next read returns any

    async def read(self) -> Content | None:
        """Return the content; None while it is the one that the last call returned. Raises SourceUnreadable."""
        try:
            return await self._read()
        except AwsUnavailable as problem:
            raise self._unreadable(problem) from None

    async def first(self, stopping: asyncio.Event) -> Content:
        """Return the content at the start. Retry for up to a minute, unless waiting cannot help.

        Raises SourceUnreadable, or StoppedEarly on shutdown.
        """
        try:
            return await first_answer(self._whole, stopping, final=FINAL)
        except AwsUnavailable as problem:
            raise self._unreadable(problem) from None

    async def _whole(self) -> Content:
        self._etag = None
        content = await self._read()
        if content is None:
            raise AwsUnavailable(NO_BODY)
        return content

    async def _read(self) -> Content | None:
        """Read the object, if it has changed. Raises AwsUnavailable; the next read is then unconditional."""
        known, self._etag = self._etag, None
        answer = await self._answer({} if known is None else {"IfNoneMatch": known})
        if status_of(answer) == NOT_MODIFIED:
            self._etag = known
            return None
        body = answer.get("Body")
        if not isinstance(body, bytes):
            raise AwsUnavailable(NO_BODY)
        self._etag = text(answer.get("ETag"))
        return Content(body, version=_version(answer))

    async def _answer(self, condition: dict[str, str]) -> Answer:
        where = {"Bucket": self._place.bucket, "Key": self._place.key}
        try:
            async with asyncio.timeout(LONGEST):
                return await self._clients.own_read("s3", "get_object", Lane.CONFIGURATION, **where, **condition)
        except TimeoutError:
            raise AwsUnavailable(NOT_ANSWERING) from None
        except CallFailed as failed:
            # S3 denies with the same code if its own permission is missing, and names the missing one in the text only.
            denied_key = failed.code == "AccessDenied" and "kms:" in failed.detail
            raise AwsUnavailable(KEY_DENIED) if denied_key else unavailable(failed) from None

    def _unreadable(self, problem: AwsUnavailable) -> SourceUnreadable:
        return SourceUnreadable(problem.code, f"{self._place}: {advice(problem) or self._advice(problem.code)}")

    def _advice(self, code: str) -> str:
        bucket, key = self._place.bucket, self._place.key
        if code in _NO_OBJECT:
            return (
                f"there is no such object ({code}): upload node-access.toml, or restore a deleted one, or set"
                " NODE_ACCESS_CONFIG"
            )
        if code in _NO_BUCKET:
            return f"there is no such bucket ({code}): create {bucket}, or set NODE_ACCESS_CONFIG"
        if code in _ELSEWHERE:
            return f"the bucket is in another Region ({code}): use a bucket in AWS_REGION"
        if code == KEY_DENIED or code.startswith(_KEY):
            return f"its KMS key cannot be used ({code}): enable the key, and allow the bot's role kms:Decrypt for it"
        if code == "AccessDenied":
            return (
                f"AWS denies the read ({code}): allow the bot's role s3:GetObject on {bucket}/{key}, and check the"
                " bucket's policy; AWS also answers this if the object does not exist"
            )
        if code == BODY_TOO_LARGE:
            return "the object has more than 1 MB: it is not node-access.toml; upload the right file"
        if code == _CLOCK:
            return f"AWS refuses the bot's signature ({code}): set the clock of this machine"
        return f"S3 did not return the object ({code}): check it in the S3 console, and the health of AWS"


def _version(answer: Answer) -> str | None:
    """Return the version id; the ETag if the bucket keeps no versions."""
    version, etag = text(answer.get("VersionId")), text(answer.get("ETag"))
    return version if version and version != UNVERSIONED else etag and etag.strip('"')
