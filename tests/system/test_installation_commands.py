"""The `aws` commands of infra/README.md, run by the real AWS CLI in the order of the page, against the simulated AWS.

The simulated IAM refuses a trust policy that names a role which does not exist, as AWS does.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from awscli.clidriver import create_clidriver  # type: ignore[import-untyped]  # it ships no types
from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.models import IAMBackend

from bot.sandbox.aws.world import REGION
from tests.contract import documents
from tests.contract.scene import Scene, staged

TEXT: Final = documents.read(documents.INSTALLATION)
BY_HAND: Final = documents.section(TEXT, "## AWS by hand")
ADMIN: Final = "Admin"  # the role of the person who installs, `<yours>` on the page
ROLE: Final = re.compile(r"arn:aws:iam::\d{12}:role/(.+)")
CUSTOM: Final = {
    ("s3", "cp"),
    ("s3", "rb"),
    ("logs", "tail"),
    ("cloudformation", "deploy"),
    ("ecr", "get-login-password"),
}
"""Commands that the AWS CLI itself adds. They have no model against which it could check their options offline."""
PARAMETER: Final = re.compile(r"\b([A-Z]\w+)=")


def commands(text: str) -> list[list[str]]:
    """Return the words of each `aws` command in the shell blocks of a text, in order. A `<placeholder>` is one word."""
    text = re.sub(r"<[a-z][\w ]*>", lambda found: found[0].replace(" ", "-"), text, flags=re.IGNORECASE)
    lines = "\n".join(documents.blocks(text, "sh")).replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.split(r" (?:&&|\|) ", line.strip()) if part.startswith("aws ")]
    return [shlex.split(part, comments=True) for part in parts]


def named_roles(policy: str) -> Iterator[str]:
    """Yield the names of the roles that a trust policy names as principals."""
    for statement in json.loads(policy)["Statement"]:
        principals = statement["Principal"].get("AWS", [])
        for arn in [principals] if isinstance(principals, str) else principals:
            if found := ROLE.fullmatch(arn):
                yield found[1]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scene]:
    """Run a sandbox that the AWS CLI of this process calls, in the folder of the repository."""
    create = IAMBackend.create_role

    def strict(backend: Any, role_name: str, assume_role_policy_document: str, *given: Any, **named: Any) -> Any:
        known = {role.name for role in backend.roles.values()}
        if missing := [each for each in named_roles(assume_role_policy_document) if each not in known]:
            raise MalformedPolicyDocument(f"Invalid principal in policy: {missing}")
        return create(backend, role_name, assume_role_policy_document, *given, **named)

    monkeypatch.setattr(IAMBackend, "create_role", strict)
    monkeypatch.chdir(documents.ROOT)
    with staged() as scene:
        settings = {"AWS_DEFAULT_REGION": REGION, "AWS_PAGER": "", "HOME": str(tmp_path)}
        for name, value in {**scene.aws.world.bot.environment(), **settings}.items():
            monkeypatch.setenv(name, value)
        for url in scene.aws.client("sqs").list_queues().get("QueueUrls", ()):
            scene.aws.client("sqs").delete_queue(QueueUrl=url)
        yield scene


def run(scene: Scene, words: list[str]) -> int:
    """Run one command of the AWS CLI. Return its exit code."""
    given = [word.replace("<yours>", ADMIN) for word in words[1:]]
    return int(create_clidriver().main(["--endpoint-url", scene.aws.endpoint, *given]))


def test_installation_commands_succeed_in_the_order_of_the_page(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command needs only what the commands before it have made. In the end, the rule sends to the bot's queue."""
    iam = scene.aws.client("iam")
    iam.create_role(RoleName=ADMIN, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
    for words in commands(BY_HAND):
        assert run(scene, words) == 0, (words, capsys.readouterr().err)
    roles = {each["RoleName"] for each in iam.list_roles()["Roles"]}
    acting = {"NodeAccessApprover", "NodeAccessCanceller", "NodeAccessEndSessions", "NodeAccessGiveBack"}
    assert {"NodeAccessBot", "NodeAccessReader", *acting} <= roles
    (target,) = scene.aws.client("events").list_targets_by_rule(Rule="node-access-events")["Targets"]
    sqs = scene.aws.client("sqs")
    queue = sqs.get_queue_url(QueueName="node-access-events")["QueueUrl"]
    assert (
        sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"] == target["Arn"]
    )


@pytest.mark.parametrize(
    "section",
    ["### Approver roles", "### Cancel roles", "### Roles that end sessions", "### Roles to give access back"],
)
def test_role_that_trusts_the_bot_cannot_be_created_before_the_bots_role(
    scene: Scene, section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The order of the page matters: the same command in another order fails, as in AWS."""
    first = commands(documents.section(TEXT, section))[0]
    assert run(scene, first) != 0
    assert "Invalid principal in policy" in capsys.readouterr().err
    assert scene.aws.client("iam").list_roles()["Roles"] == []


@pytest.mark.parametrize("name", [documents.INSTALLATION, documents.OPERATIONS])
def test_permission_to_create_a_table_comes_before_each_command_that_creates_one(name: str) -> None:
    """In the same block: a person who pastes it needs nothing else."""
    blocks = [each for each in documents.blocks(documents.read(name), "sh") if "doctor --create-table" in each]
    assert blocks
    for block in blocks:
        before, _, _ = block.partition("doctor --create-table")
        assert "--policy-document file://infra/aws/table-creation-policy.json" in before


def test_documented_restore_gives_the_template_the_name_of_the_restored_table() -> None:
    """Point-in-time recovery makes a table of another name, which the stack must then use."""
    restore = documents.section(documents.read(documents.OPERATIONS), "### DynamoDB")
    (restored,) = [each for each in commands(restore) if "restore-table-to-point-in-time" in each]
    target = restored[restored.index("--target-table-name") + 1]
    deploys = [each for each in commands(restore) if each[1:3] == ["cloudformation", "deploy"]]
    assert ["Running=no"] in [each[each.index("--parameter-overrides") + 1 :] for each in deploys]
    assert f"TableName={target}" in deploys[-1]
    assert f"NODE_ACCESS_STORE=dynamodb:{target} node-access-bot doctor --create-table" in restore


def test_documented_deploy_commands_give_only_parameters_of_the_template() -> None:
    """A parameter that the template does not know makes the command fail. The first one gives all without a default."""
    template = (documents.ROOT / "infra/aws/bot.yaml").read_text("utf-8").replace("!", "")
    parameters = yaml.safe_load(re.split(r"^Rules:$", template, flags=re.MULTILINE)[0])["Parameters"]
    required = {name for name, each in parameters.items() if "Default" not in each}
    everywhere = TEXT + documents.read(documents.OPERATIONS)
    deploys = [each for each in commands(everywhere) if each[1:3] == ["cloudformation", "deploy"]]
    given = [{found[1] for word in each if (found := PARAMETER.match(word))} for each in deploys]
    assert len(given) >= 3
    assert all(each <= parameters.keys() for each in given)
    assert required <= given[0]


@pytest.mark.parametrize("name", [documents.INSTALLATION, documents.OPERATIONS])
def test_every_documented_aws_command_has_existing_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The AWS CLI accepts each command of the document, with its options and the form of its values, without a call."""
    monkeypatch.chdir(documents.ROOT)
    for credential in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(credential, "testing")
    found = [each for each in commands(documents.read(name)) if (each[1], each[2]) not in CUSTOM]
    assert len(found) > 5
    for words in found:
        given = [word.replace("file:///dev/stdin", "secret") for word in words[1:]]
        code = create_clidriver().main([*given, "--generate-cli-skeleton", "input", "--region", REGION])
        assert code == 0, (words, capsys.readouterr().err)


def test_time_of_the_installation_is_the_sum_of_its_steps() -> None:
    """The page says how long all steps take in the shortest way: the first figure of each row."""
    rows = documents.table(TEXT, "step", "result", "time (estimate)", "who")
    minutes = [int(found[1]) for _, _, time, _ in rows if (found := re.match(r"(\d+) min", time))]
    assert len(minutes) == len(rows)
    assert f"These are {sum(minutes)} min" in TEXT
    steps = [each for each in documents.anchors(TEXT) if re.match(r"\d-", each)]
    assert len(rows) == len(steps) + 1  # and what comes before them
