"""infra/azure/create-bot.sh with a fake `az` and, for AWS Secrets Manager, the real AWS CLI and moto."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.secretsmanager.models import secretsmanager_backends

from tests.fakes.azure import SECRET, TENANT, Azure

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "infra" / "azure" / "create-bot.sh"
NAME, GROUP, ENDPOINT = "node-access-bot", "node-access", "https://bot.example.com/api/messages"
APP = "22222222-2222-4222-8222-000000000001"
WHERE = ("--name", NAME, "--resource-group", GROUP)
BOT = (*WHERE, "--endpoint", ENDPOINT)
ISSUER, ROLE = "https://abc.tokens.sts.global.api.aws", "arn:aws:iam::111122223333:role/NodeAccessBot"
FEDERATION = ("--aws-federation", ISSUER, ROLE)
IDS = [f"NODE_ACCESS_APP_ID={APP}", f"NODE_ACCESS_TENANT_ID={TENANT}"]
CHANGING = ("create", "update", "reset")  # the last words of commands that change something


@dataclass(frozen=True, slots=True)
class Cloud:
    """A folder with an `az` on its PATH, and the state of Azure."""

    folder: Path
    environment: dict[str, str]

    @property
    def azure(self) -> Azure:
        """Azure's state."""
        return Azure.read(self._file)

    def set(self, azure: Azure) -> None:
        """Replace Azure's state."""
        azure.write(self._file)

    def create(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the script. AssertionError if the secret is printed, or in an argument of `az`."""
        done = subprocess.run(
            [SCRIPT, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        assert SECRET not in done.stdout + done.stderr + "".join(self.azure.calls)
        return done

    def changes(self) -> list[str]:
        """Return the commands that changed something, without their arguments, in order."""
        commands = [call.partition(" --")[0] for call in self.azure.calls]
        return [each for each in commands if each.endswith(CHANGING)]

    @property
    def _file(self) -> Path:
        return self.folder / "azure.json"


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    """Return a subscription with one resource group."""
    programs = tmp_path / "programs"
    programs.mkdir()
    az = programs / "az"
    az.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.fakes.azure "{tmp_path}/azure.json" "$@"\n')
    az.chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    one = Cloud(tmp_path, {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)})
    one.set(Azure(groups=[GROUP]))
    return one


@pytest.fixture
def aws(cloud: Cloud) -> Iterator[str]:
    """Start AWS Secrets Manager for the script. Yield its address."""
    secretsmanager_backends.reset()  # moto keeps the secrets of other tests in this process
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {
        "AWS_ACCESS_KEY_ID": "sample",
        "AWS_SECRET_ACCESS_KEY": "sample",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    cloud.environment.update(keys, AWS_ENDPOINT_URL=address)
    yield address
    server.stop()


def stored(address: str) -> dict[str, str]:
    """Return each secret in AWS Secrets Manager, by its ARN."""
    client = boto3.client(
        "secretsmanager",
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="sample",
        aws_secret_access_key="sample",
    )
    arns = [each["ARN"] for each in client.list_secrets()["SecretList"]]
    return {arn: client.get_secret_value(SecretId=arn)["SecretString"] for arn in arns}


def test_create_bot_script_creates_app_secret_bot_and_channel_in_order(cloud: Cloud) -> None:
    """The app is of one tenant, the bot is free and has the app, the tenant, the endpoint and the Teams channel."""
    done = cloud.create(*BOT, "--secret-file", "secret")
    assert (done.returncode, done.stdout.splitlines()) == (0, IDS), done.stderr
    assert cloud.changes() == [
        "ad app create",
        "ad sp create",
        "ad app credential reset",
        "bot create",
        "bot update",
        "bot msteams create",
    ]
    azure = cloud.azure
    assert [app["signInAudience"] for app in azure.apps] == ["AzureADMyOrg"]
    assert (azure.principals, azure.channels) == ([APP], [NAME])
    assert azure.bots == {
        NAME: {
            "msaAppId": APP,
            "msaAppType": "SingleTenant",
            "msaAppTenantId": TENANT,
            "sku": "F0",
            "endpoint": ENDPOINT,
        }
    }


def test_create_bot_script_writes_the_secret_to_a_file_that_only_its_owner_can_read(cloud: Cloud) -> None:
    """The file has the secret alone, without a line end, and the mode 600."""
    assert cloud.create(*BOT, "--secret-file", "secret").returncode == 0
    file = cloud.folder / "secret"
    assert file.read_text() == SECRET
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (cloud.folder / "secret.new").exists()


@pytest.mark.parametrize("credential", [("--secret-file", "secret"), FEDERATION], ids=lambda each: each[0])
def test_second_run_of_create_bot_creates_nothing_and_prints_the_same(
    cloud: Cloud, credential: tuple[str, ...]
) -> None:
    """Everything is found again, and there is no second secret or bot."""
    first = cloud.create(*BOT, *credential)
    before = cloud.azure
    second = cloud.create(*BOT, *credential)
    after = cloud.azure
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert second.stdout == first.stdout
    before.calls = after.calls = []
    assert after == before


def test_next_run_of_create_bot_completes_a_run_that_stopped(cloud: Cloud) -> None:
    """After a refused step, the exit code is 1 and no ids are printed. The next run creates what is missing."""
    refusing = cloud.azure
    refusing.failing = "bot create"
    cloud.set(refusing)
    stopped = cloud.create(*BOT, "--secret-file", "secret")
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert "Insufficient privileges" in stopped.stderr
    allowing = cloud.azure
    allowing.failing = ""
    cloud.set(allowing)
    assert cloud.create(*BOT, "--secret-file", "secret").stdout.splitlines() == IDS
    azure = cloud.azure
    assert (len(azure.apps), azure.secrets, list(azure.bots), azure.channels) == (1, 1, [NAME], [NAME])


def test_create_bot_script_writes_no_file_if_the_secret_is_refused(cloud: Cloud) -> None:
    """A file without a secret would count as one in the next run."""
    refusing = cloud.azure
    refusing.failing = "ad app credential reset"
    cloud.set(refusing)
    assert cloud.create(*BOT, "--secret-file", "secret").returncode == 1
    assert not (cloud.folder / "secret").exists()


def test_create_bot_script_stores_the_secret_in_aws_without_a_file(cloud: Cloud, aws: str) -> None:
    """The ARN is printed for the bot's settings. A second run keeps the secret that is there."""
    done = cloud.create(*BOT, "--secrets-manager", "node-access-bot")
    again = cloud.create(*BOT, "--secrets-manager", "node-access-bot")
    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    ((arn, secret),) = stored(aws).items()
    assert secret == SECRET
    assert done.stdout.splitlines() == [*IDS, f"NODE_ACCESS_APP_SECRET_ARN={arn}"]
    assert again.stdout == done.stdout
    assert cloud.azure.secrets == 1
    assert [path for path in cloud.folder.rglob("*") if path.is_file() and SECRET in path.read_text()] == []


def test_create_bot_script_stores_nothing_in_aws_if_the_secret_is_refused(cloud: Cloud, aws: str) -> None:
    """An empty secret in AWS would count as one in the next run. No bot is created."""
    refusing = cloud.azure
    refusing.failing = "ad app credential reset"
    cloud.set(refusing)
    done = cloud.create(*BOT, "--secrets-manager", "node-access-bot")
    assert done.returncode != 0
    assert "Insufficient privileges" in done.stderr
    assert (done.stdout, cloud.azure.bots, stored(aws)) == ("", {}, {})


def test_create_bot_script_makes_a_federated_credential_for_the_role_of_the_bot(cloud: Cloud) -> None:
    """The app gets no secret. A run with another role changes the credential instead of adding one."""
    done = cloud.create(*BOT, *FEDERATION)
    assert done.stdout.splitlines() == [*IDS, "NODE_ACCESS_APP_CREDENTIAL=aws-federation"], done.stderr
    trust = {"name": "aws", "issuer": ISSUER, "subject": ROLE, "audiences": ["api://AzureADTokenExchange"]}
    assert (cloud.azure.federated, cloud.azure.secrets) == ({"aws": trust}, 0)
    other = ROLE.replace("NodeAccessBot", "Other")
    assert cloud.create(*BOT, "--aws-federation", ISSUER, other).returncode == 0
    assert cloud.azure.federated == {"aws": {**trust, "subject": other}}


def test_second_run_of_create_bot_adds_the_endpoint(cloud: Cloud) -> None:
    """With infra/aws/bot.yaml, the address is known only after the stack is created."""
    assert cloud.create(*WHERE, *FEDERATION).returncode == 0
    assert "endpoint" not in cloud.azure.bots[NAME]
    assert cloud.create(*BOT, *FEDERATION).returncode == 0
    assert cloud.azure.bots[NAME]["endpoint"] == ENDPOINT


def test_create_bot_script_creates_nothing_without_the_resource_group(cloud: Cloud) -> None:
    """The message has the command that creates it."""
    done = cloud.create("--name", NAME, "--resource-group", "other", *FEDERATION)
    assert (done.returncode, done.stdout, cloud.changes()) == (1, "", [])
    assert "az group create --name other" in done.stderr


def test_create_bot_script_creates_nothing_if_the_bot_has_another_app_id(cloud: Cloud) -> None:
    """An Azure Bot with this name and another app id is not changed."""
    cloud.set(Azure(groups=[GROUP], bots={NAME: {"msaAppId": "another"}}))
    done = cloud.create(*BOT, *FEDERATION)
    assert (done.returncode, cloud.changes()) == (1, [])
    assert "another app id" in done.stderr


def test_create_bot_script_creates_nothing_if_several_apps_have_the_name(cloud: Cloud) -> None:
    """Entra allows several apps of one name. The script does not choose among them."""
    apps = [{"appId": f"{number}", "displayName": NAME} for number in range(2)]
    cloud.set(Azure(groups=[GROUP], apps=apps))
    done = cloud.create(*BOT, *FEDERATION)
    assert (done.returncode, cloud.changes()) == (1, [])
    assert "several app registrations" in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (BOT, 2),
        ((*BOT, "--secret-file"), 2),
        ((*BOT, "--aws-federation", ISSUER), 2),
        ((*BOT, "--secret-file", "one", "--secrets-manager", "two"), 2),
        (("--name", "x' or 'a", "--resource-group", GROUP, *FEDERATION), 2),
        (("--name", NAME, *FEDERATION), 2),
        ((*WHERE, "--endpoint", "http://bot.example.com/api/messages", *FEDERATION), 1),
        ((*WHERE, "--endpoint", "https://bot.example.com", *FEDERATION), 1),
        ((*BOT, "--aws-federation", 'https://x", "subject": "y', ROLE), 1),
        ((*BOT, "--aws-federation", ISSUER, "NodeAccessBot"), 1),
        ((*BOT, "--password", "x"), 2),
    ],
)
def test_create_bot_script_with_unusable_arguments_does_not_call_azure(
    cloud: Cloud, words: tuple[str, ...], code: int
) -> None:
    """The script explains what to write."""
    done = cloud.create(*words)
    assert (done.returncode, done.stdout, cloud.azure.calls) == (code, "", [])
    assert "usage:" in done.stderr or "write" in done.stderr
