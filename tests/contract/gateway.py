"""The bot's AWS side against the sandbox's AWS over real HTTP. boto3 is configured by environment variables."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bot.aws import identity_center
from bot.aws.assembly import AwsSide
from bot.aws.jit import nodes
from bot.boto import sdk
from bot.domain.request import RequestKey, Verdict
from bot.ports.aws import RoleSession, Signal
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, REGION
from bot.telemetry import Telemetry
from tests.contract.scene import Asked, Scene, staged

UNLIMITED: dict[str, float] = {}
HANAKO = "hanako.sato@example.com"


@dataclass(frozen=True, slots=True)
class Watched:
    """An entry of [[accounts]] in node-access.toml: an account, and the role that reads it."""

    id: str
    reader_role: str | None = None


@contextmanager
def environment(endpoint: str, session: Any) -> Iterator[None]:
    """Point boto3 at the endpoint with the credentials of `session`: no profile, file, proxy or instance metadata."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.delenv(name, raising=False)
        for name, value in session.environment().items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


def unread_metrics() -> Telemetry:
    """Return metrics that the test does not read."""
    return Telemetry(CollectorRegistry())


@asynccontextmanager
async def aws_side(scene: Any, **arguments: Any) -> AsyncIterator[AwsSide]:
    """Run the bot's AWS side against a scene, without rate limits by default."""
    settings = {
        "region": REGION,
        "accounts": (),
        "queue_url": None,
        "clock": scene.clock,
        "telemetry": unread_metrics(),
        "rates": UNLIMITED,
    }
    with environment(scene.aws.endpoint, scene.aws.world.bot):
        async with AwsSide(**{**settings, **arguments}) as side:
            yield side


# --- fixtures of most files: one sandbox for a file, in which every test requests its own access


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """Run one sandbox for all tests of a file."""
    with staged() as scene:
        yield scene


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """Return the sandbox with an empty call log; remove the test's faults afterwards."""
    stage.aws.forget_calls()
    yield stage
    stage.aws.faults.clear()


@pytest.fixture
async def side(scene: Scene) -> AsyncIterator[AwsSide]:
    """Run the bot's AWS side against the sandbox."""
    async with aws_side(scene) as side:
        yield side


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait up to 30 s for names of nodes and users and for each answer of AWS, because the machine may be slow."""
    for module in (identity_center, nodes):
        monkeypatch.setattr(module, "PROMPT_SECONDS", 30.0)
    monkeypatch.setattr(sdk, "READ_SECONDS", 30.0)
    monkeypatch.setattr(sdk, "_READ_SECONDS_OF", dict.fromkeys(sdk._READ_SECONDS_OF, 30.0))


# --- sample values


def key_of(asked: Asked) -> RequestKey:
    """Return the key of a request of the sample account."""
    return RequestKey(ACCOUNT, REGION, asked.id)


def signal_of(asked: Asked, **changed: Any) -> Signal:
    """Return the signal for an approval by Hanako, with changed fields.

    `role` and `session_name` replace those of her session. With the role None, the signal has no session.
    """
    fields = {
        "key": key_of(asked),
        "execution_id": asked.execution_id,
        "action": Verdict.APPROVE,
        "comment": "確認しました (佐藤 花子 via Microsoft Teams)",
        "session": RoleSession(APPROVER_ROLE, HANAKO),
    }
    if "role" in changed or "session_name" in changed:
        role, name = changed.pop("role", APPROVER_ROLE), changed.pop("session_name", HANAKO)
        fields["session"] = RoleSession(role, name) if role else None
    return Signal(**{**fields, **changed})
