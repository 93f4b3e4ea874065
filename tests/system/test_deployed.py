"""The bot on what the CloudFormation templates make: queue, table, bucket, roles with their trust policies.

doctor finds nothing wrong there, and names what is wrong if a part of the template is missing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bot.config.file import parse_configuration
from bot.doctor import examination
from bot.doctor.examination import Questions, examine
from bot.domain.decision import DecisionState
from bot.sandbox.aws.world import APPROVER_ROLE, CANCELLER_ROLE, END_SESSIONS_ROLE, GIVE_BACK_ROLE, REGION
from bot.sandbox.sandbox import free_port
from bot.store.assembly import store_at
from bot.store.dynamodb.creation import create_table
from tests.fakes.people import HANAKO, TARO
from tests.fakes.product import EVERY_ROLE, Product, product
from tests.system.deploying import deploy
from tests.system.test_templates import ACTING
from tests.system.test_templates import bot as bot_template

KEY, RESTORED = "node-access.toml", "node-access-restored"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS without the sample queues and roles, and Teams; nothing is deployed, and the bot is not started."""
    monkeypatch.setattr(examination, "REPEATED_AFTER", 0.0)
    async with product(monkeypatch, tmp_path) as world:
        yield world


def _deploy(
    world: Product,
    without: Callable[[dict[str, Any]], None] | None = None,
    *,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> None:
    template = bot_template(**parameters)
    if without:
        without(template.body["Resources"])
    deploy(template, world.aws)
    bucket = template.resolved({"Ref": "Bucket"})
    world.aws.client("s3").put_object(Bucket=bucket, Key=KEY, Body=world.toml.encode())
    queue = template.outputs["QueueUrl"].rpartition("/")[2]
    world.changed |= {
        "store": f"dynamodb:{template.resolved({'Ref': 'Table'})}",
        "queue_url": world.aws.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"],
        "config": template.outputs["ConfigurationAddress"],
        "metrics_port": free_port(),
    }


async def findings(world: Product) -> list[tuple[str, str]]:
    """Return the name and the check of what doctor finds."""
    configuration = parse_configuration(world.toml.encode())
    report = await examine(world.settings(), configuration, Questions(), lambda _name, _problem: None)
    return [(each.finding.name, each.check) for each in report.found]


async def test_request_is_decided_with_the_resources_that_the_templates_create(world: Product) -> None:
    """The signal is sent in the approver role under the approver's name. The table has items."""
    await asyncio.to_thread(_deploy, world)
    async with world.running():
        card = await world.card(await world.ask())
        await world.click(HANAKO, card, "approve")
        await world.until(lambda: bool(world.direct_messages(TARO)))
    (signal,) = world.aws.calls("SendAutomationSignal")
    assert (
        signal.caller == f"{APPROVER_ROLE.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{HANAKO.upn}"
    )
    items = await asyncio.to_thread(lambda: world.aws.client("dynamodb").scan(TableName="node-access")["Items"])
    assert items


async def test_doctor_finds_no_problem_with_the_resources_that_the_templates_create(world: Product) -> None:
    """Doctor runs beside the running bot, after a decision. The optional roles are made, and named in the file."""
    world.toml += EVERY_ROLE
    await asyncio.to_thread(_deploy, world, parameters=ACTING)
    async with world.running() as program:
        await world.click(HANAKO, await world.card(await world.ask()), "approve")
        await program.services.checks.make()
        assert await findings(world) == []


async def test_doctor_finds_no_problem_with_a_restored_table_that_the_template_names(world: Product) -> None:
    """The row of a decided request is in the restored table, to which doctor adds what a restored table lacks."""
    await asyncio.to_thread(_deploy, world)
    async with world.running():
        request = await world.ask()
        await world.click(HANAKO, await world.card(request), "approve")
        await world.until(lambda: bool(world.direct_messages(TARO)))
    names = {"SourceTableName": "node-access", "TargetTableName": RESTORED, "UseLatestRestorableTime": True}
    await asyncio.to_thread(world.aws.client("dynamodb").restore_table_to_point_in_time, **names)
    said: list[str] = []
    await asyncio.to_thread(create_table, RESTORED, region=REGION, say=said.append)
    assert "time to live: switched on" in said
    template = bot_template(TableName=RESTORED)
    (task,) = template.of_type("AWS::ECS::TaskDefinition")
    environment = {each["Name"]: each["Value"] for each in task["ContainerDefinitions"][0]["Environment"]}
    world.changed["store"] = environment["NODE_ACCESS_STORE"]
    async with world.running():
        assert await findings(world) == []
    async with store_at(world.changed["store"], region=REGION) as store:
        (row,) = await store.find(request)
    assert [each.state for each in row.decisions] == [DecisionState.CONFIRMED]


def no_queue_policy(resources: dict[str, Any]) -> None:
    """Nobody may send to the queue."""
    del resources["QueuePolicy"]


def no_bot_in_the_trust_policy(resources: dict[str, Any]) -> None:
    """The approver role trusts another role."""
    (statement,) = resources["ApproverRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    statement["Principal"] = {"AWS": "arn:aws:iam::111122223333:role/Other"}


def other_domain(resources: dict[str, Any]) -> None:
    """The approver role trusts the bot under names of another domain only."""
    (statement,) = resources["ApproverRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    statement["Condition"] = {"StringLike": {"sts:RoleSessionName": "*@example.org"}}


@pytest.mark.parametrize(
    ("without", "finding"),
    [
        (no_queue_policy, ("aws.events", "queue settings")),
        (no_bot_in_the_trust_policy, ("aws.trust", f"role {APPROVER_ROLE}")),
        (other_domain, ("aws.trust", f"role {APPROVER_ROLE}")),
    ],
)
async def test_doctor_reports_exactly_the_one_defect_of_the_created_resources(
    world: Product, without: Callable[[dict[str, Any]], None], finding: tuple[str, str]
) -> None:
    """The queue has no policy, or the approver role trusts another role or only the names of another domain."""
    await asyncio.to_thread(_deploy, world, without)
    assert await findings(world) == [finding]


def test_templates_create_the_roles_that_the_simulated_aws_has() -> None:
    """These are the bot's own role, and those in which people act."""
    names = {each.get("RoleName") for each in bot_template(**ACTING).of_type("AWS::IAM::Role")}
    acting = (APPROVER_ROLE, CANCELLER_ROLE, END_SESSIONS_ROLE, GIVE_BACK_ROLE)
    assert {*(each.rpartition("/")[2] for each in acting), "NodeAccessBot"} <= names
