"""Tests for bot.sandbox.sandbox: the settings and credentials of the sandbox's bot."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.config.settings import load
from bot.sandbox import sandbox
from bot.sandbox.aws.server import SandboxAws
from bot.sandbox.aws.world import BOT_ROLE
from bot.sandbox.sandbox import FEDERATION, SAMPLE_SECRET, Options
from bot.sandbox.teams.people import SAMPLE_APP_ID

TEAMS: Any = SimpleNamespace(
    service_url="http://127.0.0.1:1/_connector",
    openid_metadata_url="http://127.0.0.1:1/keys",
    login_authority="http://127.0.0.1:1",
    graph_url="http://127.0.0.1:1",
)


@pytest.fixture(scope="module")
def aws() -> Iterator[SandboxAws]:
    """Yield a running simulated AWS."""
    with SandboxAws.start() as aws:
        yield aws


def test_bot_of_the_sandbox_has_a_client_secret_by_default(aws: SandboxAws, tmp_path: Path) -> None:
    """The bot's environment has the client secret, and `serve` accepts it."""
    environ = sandbox._environment(aws, TEAMS, Options(folder=tmp_path))
    settings, _ = load(environ)
    assert (settings.app_credential, settings.app_secret.get_secret_value()) == ("secret", SAMPLE_SECRET)


def test_environment_of_a_sandbox_bot_with_federation_has_no_secret(aws: SandboxAws, tmp_path: Path) -> None:
    """The environment has no client secret and no AWS keys. The app trusts tokens of this AWS for the bot's role."""
    environ = sandbox._environment(aws, TEAMS, Options(folder=tmp_path, credential=FEDERATION))
    settings, _ = load(environ)
    assert (settings.app_credential, settings.app_secret.get_secret_value()) == (FEDERATION, "")
    secrets = {SAMPLE_SECRET, aws.world.bot.secret_access_key}
    assert not [name for name, value in environ.items() if "SECRET" in name or any(each in value for each in secrets)]
    credential = sandbox.trusting(aws)
    assert credential.issuer.startswith(f"{aws.endpoint}/")
    assert (credential.subject, credential.audience) == (BOT_ROLE, "api://AzureADTokenExchange")


async def test_simulated_microsoft_of_a_sandbox_with_federation_has_no_secret(
    aws: SandboxAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a federated credential instead. By default, it has the client secret."""
    given: dict[str, Any] = {}

    async def start(**arguments: Any) -> None:
        given.update(arguments)

    monkeypatch.setattr(sandbox, "SandboxTeams", SimpleNamespace(start=start))
    await sandbox._teams(aws, Options(folder=tmp_path, installation=tmp_path, credential=FEDERATION))
    assert (given["app_id"], given["app_secret"], given["federated"]) == (SAMPLE_APP_ID, "", sandbox.trusting(aws))
    await sandbox._teams(aws, Options(folder=tmp_path, installation=tmp_path))
    assert (given["app_secret"], given["federated"]) == (SAMPLE_SECRET, None)
