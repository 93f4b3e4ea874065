"""The bot's own credentials in a shared file, which another program renews while the bot runs; over real HTTP."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bot.aws.assembly import AwsSide
from bot.domain.request import Status
from bot.ports.aws import AwsUnavailable, SignalRefused, SignalThrottled
from bot.sandbox.aws.callers import Session
from bot.sandbox.aws.world import BOT_ROLE, level
from tests.contract import gateway
from tests.contract.gateway import aws_side, key_of, signal_of
from tests.contract.scene import Scene

stage, scene = gateway.stage, gateway.scene
LIFE = 900  # seconds of a session in the file
DELETED = Session("ASIADELETED", "secret", "token", BOT_ROLE, "node-access-bot")  # a session that AWS does not know


class SharedFile:
    """A shared credentials file, as a program that renews credentials writes it."""

    def __init__(self, path: Path, scene: Scene) -> None:
        self.path, self._scene, self._written = path, scene, 0

    def write(self, session: Session) -> None:
        """Write a session into the file."""
        named = {name.lower(): value for name, value in session.environment().items()}
        self.path.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in named.items()))

    def renew(self) -> Session:
        """Write a new session of the bot's role into the file."""
        self._written += 1
        session = self._scene.aws.callers.assume(BOT_ROLE, f"bot-{self._written}", seconds=LIFE)
        self.write(session)
        return session

    def expire(self) -> None:
        """Let every session that was written before expire."""
        self._scene.clock.move(seconds=LIFE + 1)


@pytest.fixture
def file(scene: Scene, tmp_path: Path) -> SharedFile:
    """The file, which does not exist at first."""
    return SharedFile(tmp_path / "credentials", scene)


@pytest.fixture
async def side(scene: Scene, file: SharedFile, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsSide]:
    """The bot's AWS side with the file as the only source of credentials."""
    async with aws_side(scene, queue_url=scene.aws.world.queue_url) as side:
        for name in scene.aws.world.bot.environment():
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file.path))
        yield side


def signers(scene: Scene) -> list[str]:
    """Return the ARN of each signer since the last time, in order and each once. Empty the call log."""
    found = list(dict.fromkeys(call.caller for call in scene.aws.calls()))
    scene.aws.forget_calls()
    return found


async def test_renewed_credentials_file_is_read_after_the_session_expired(
    scene: Scene, side: AwsSide, file: SharedFile
) -> None:
    """Reads continue with the session that is in the file, without a restart."""
    asked, key = scene.ask(), None
    for _ in range(3):
        renewed = file.renew()
        assert (await side.requests.observe(key := key_of(asked))).complete
        signers(scene)
        assert (await side.requests.observe(key)).status is Status.PENDING
        assert signers(scene) == [renewed.arn]
        file.expire()


async def test_call_is_repeated_immediately_with_renewed_own_credentials(
    scene: Scene, side: AwsSide, file: SharedFile
) -> None:
    """No caller has to repeat its call: not a click's state check, the preparation of a signal, or the queue."""
    asked = scene.ask()
    assert side.queue
    file.renew()
    await side.requests.observe(key_of(asked))
    for call in (
        partial(side.requests.execution, key_of(asked), asked.execution_id),
        partial(side.requests.prepare, signal_of(asked)),
        side.queue.check,
    ):
        file.expire()
        file.renew()
        await call()


async def test_signal_is_sent_with_renewed_credentials_after_it_is_prepared_again(
    scene: Scene, side: AwsSide, file: SharedFile
) -> None:
    """AWS refuses the first attempt, with expired own credentials. The signal has one effect."""
    asked = scene.ask(scene.policy(level("One", BOT_ROLE)))
    own = replace(signal_of(asked), session=None)
    file.renew()
    await side.requests.prepare(own)
    file.expire()
    renewed = file.renew()
    with pytest.raises(SignalThrottled, match="ExpiredTokenException"):
        await side.requests.signal(own)
    await side.requests.prepare(own)
    await side.requests.signal(own)
    assert [each.by for each in scene.aws.effects("Approve") if each.ops_item_id == asked.id] == [renewed.arn]


async def test_own_credentials_of_a_deleted_session_are_replaced_by_those_in_the_file(
    scene: Scene, side: AwsSide, file: SharedFile
) -> None:
    """The code for a deleted session differs from that for an expired one. The file is read again all the same."""
    asked = scene.ask()
    file.write(DELETED)
    with pytest.raises(AwsUnavailable, match="UnrecognizedClientException"):
        await side.requests.observe(key_of(asked))
    file.renew()
    assert (await side.requests.observe(key_of(asked))).complete


async def test_credentials_file_may_appear_after_the_start(scene: Scene, side: AwsSide, file: SharedFile) -> None:
    """While the file is missing, empty or half-written, calls fail. Once it is complete, calls succeed."""
    asked = scene.ask()
    for content in (None, "", "[default", "[default]\naws_access_key_id = ASIA\n"):
        if content is not None:
            file.path.write_text(content)
        with pytest.raises(AwsUnavailable):
            await side.requests.observe(key_of(asked))
    file.renew()
    assert (await side.requests.observe(key_of(asked))).complete


BROKEN = {
    "not text": bytes(range(128, 256)) * 5,
    "zeros": bytes(500),
    "a key twice": b"[default]\naws_access_key_id = A\naws_access_key_id = B\n",
    "no values": b"[default]\ngarbage\n",
    "another profile": b"[other]\naws_access_key_id = A\naws_secret_access_key = B\n",
    "a failing process": b"[default]\ncredential_process = /bin/false\n",
    "a missing source": b"[default]\nrole_arn = arn:aws:iam::111122223333:role/x\nsource_profile = none\n",
    "a circle": b"[default]\nrole_arn = arn:aws:iam::111122223333:role/x\nsource_profile = default\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("started", [False, True], ids=["at the start", "later"])
async def test_calls_succeed_again_after_a_broken_credentials_file_was_renewed(
    scene: Scene, side: AwsSide, file: SharedFile, content: bytes, *, started: bool
) -> None:
    """Another program breaks the file or switches its profile: calls fail with a declared error, and no signal is lost.

    Once the file is renewed, calls succeed, and the signal has one effect.
    """
    asked = scene.ask(scene.policy(level("One", BOT_ROLE)))
    own = replace(signal_of(asked), session=None)
    if started:
        file.renew()
        await side.requests.observe(key_of(asked))
        file.expire()
    file.path.write_bytes(content)
    for call in (partial(side.requests.observe, key_of(asked)), partial(side.requests.signal, own)):
        with pytest.raises((AwsUnavailable, SignalThrottled, SignalRefused)):
            await call()
    file.renew()
    await side.requests.observe(key_of(asked))
    await side.requests.prepare(own)
    await side.requests.signal(own)
    assert [each.ops_item_id for each in scene.aws.effects("Approve")].count(asked.id) == 1


async def test_calls_fail_until_expired_credentials_in_the_file_are_renewed(
    scene: Scene, side: AwsSide, file: SharedFile
) -> None:
    """While the file is not renewed, calls fail with AWS's code. The first call afterwards succeeds."""
    asked = scene.ask()
    file.renew()
    await side.requests.observe(key_of(asked))
    file.expire()
    for _ in range(2):
        with pytest.raises(AwsUnavailable, match="ExpiredTokenException"):
            await side.requests.execution(key_of(asked), asked.execution_id)
    file.renew()
    await side.requests.execution(key_of(asked), asked.execution_id)
