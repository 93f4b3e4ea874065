"""Proof 28: for each misinstallation, doctor names it, and nothing else.

Against the simulated AWS and Teams over real HTTP, with the bot running beside it. infra/docs/operations.md lists the
misinstallations that the running bot notices as well; this proof adds those that only doctor can ask about.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.config.file import parse_configuration
from bot.config.reload import ConfigurationReload
from bot.doctor import examination
from bot.doctor.examination import Questions, examine
from bot.sandbox.aws.world import ACCOUNT, REGION
from bot.sandbox.sandbox import free_port
from bot.service.checks import loop
from tests.fakes.people import HANAKO
from tests.fakes.product import CANCELLING, Product, product
from tests.figures import Figure
from tests.system.test_checks import CASES, CASES_AT_START, SERVERS, Setup, aws


@dataclass(frozen=True, slots=True)
class Wrong:
    """A misinstallation, and the name that doctor gives it. `before` arranges it before the bot starts.

    If not `running`, no bot runs beside doctor. If `in_s3`, node-access.toml is in S3. `effects` are names that it
    cannot be without.
    """

    what: str
    finding: str
    arrange: Setup
    before: bool = False
    running: bool = True
    in_s3: bool = False
    person: str | None = None
    effects: frozenset[str] = frozenset()


NAMES = {
    "a company's own certificate authority": "net.tls-inspection",
    "outbound federation is off in the AWS account": "aws.federation-off",
    "a role that may not get a token from AWS": "aws.federation-off",
    "a task role that may not read the secret": "aws.secret",
    "a secret that does not exist": "aws.secret",
    "the secret's id instead of its value": "entra.secret",
    "an expired secret": "entra.secret-expired",
    "a wrong tenant": "entra.tenant",
    "an app of another tenant": "entra.tenant",
    "conditional access for workload identities": "entra.conditional-access",
    "a federated credential with another issuer": "entra.federation",
    "a federated credential with another audience": "entra.federation",
    "a federated credential with another subject": "entra.federation",
    "a subject in other letter case": "entra.federation",
    "a proxy that answers for the signing keys": "net.blocked",
    "a firewall that blocks the signing keys": "net.blocked",
    "a clock that is off": "clock",
    "an Azure Bot of another type or app id": "azure.app-type",
    "the app is not in the team": "teams.team",
    "an unknown channel": "teams.channel-id",
    "a malformed channel id": "teams.channel-id",
    "an app that an administrator blocks": "teams.policy",
    "a refused roster": "teams.roster",
    "activities for another app": "teams.app-id",
    "activities of another tenant": "teams.tenant",
    "tokens that seem to have expired": "clock",
    "a service address of another cloud": "teams.service-host",
    "a role that cannot be assumed": "aws.trust",
    "a role without permission to decide": "aws.signal",
    "a policy that lists another role": "aws.policy-role",
    "a policy that lists only users or groups": "aws.identity-center",
    "two levels that list one person": "aws.one-level",
    "no consent to read groups": "entra.graph-consent",
    "a group that does not exist": "entra.group",
    "a group without people": "entra.group",
    "just-in-time access without a policy": "aws.jit",
    "policies that may not be listed": "aws.policies",
    "a queue into which nobody may send": "aws.events",
    "a queue with an AWS managed key": "aws.queue-key",
}
"""What doctor must call each misinstallation that the running bot notices as well."""


def direct_messages(code: str) -> Setup:
    """Teams refuses direct messages with this code."""

    async def arrange(world: Product) -> None:
        body = json.dumps({"error": {"code": code, "message": "…"}})
        world.microsoft.fault("POST", "/v3/conversations$", times=None, status=403, body=body)

    return arrange


def configured(*changes: tuple[str, str]) -> Setup:
    """node-access.toml differs from the sound one."""

    async def arrange(world: Product) -> None:
        for old, new in changes:
            assert old in world.toml
            world.toml = world.toml.replace(old, new)

    return arrange


async def unknown_requester(world: Product) -> None:
    """The requester's role is not trusted, and a request waits."""
    await configured(('trusted_roles = ["Operator"]', "trusted_roles = []"))(world)
    await world.ask()


async def unreadable_requests(world: Product) -> None:
    """The reader role lacks the permission to read nodes."""
    await world.ask()
    for operation in ("DescribeInstanceInformation", "DescribeInstances", "ListTagsForResource"):
        world.aws.faults.fail(operation, "AccessDeniedException", times=None)


async def damaged_store(world: Product) -> None:
    """Something else wrote over the store's file."""
    world.store.write_bytes(b"noise" * 4096)


def object_with(text: str | None) -> Setup:
    """The object in S3 gets this content, or is deleted."""

    async def arrange(world: Product) -> None:
        s3 = world.aws.client("s3")
        if text is None:
            await asyncio.to_thread(s3.delete_object, Bucket=BUCKET, Key=KEY)
        else:
            await asyncio.to_thread(s3.put_object, Bucket=BUCKET, Key=KEY, Body=text.encode())
        await reread(world)

    return arrange


async def object_denied(world: Product) -> None:
    """The bot's role may not read the object any longer."""
    await aws("GetObject", "AccessDenied")(world)
    await reread(world)


def file_with(text: str) -> Setup:
    """The file on this machine gets this content in addition."""

    async def arrange(world: Product) -> None:
        await asyncio.to_thread(world.file.write_text, world.toml + text)
        await reread(world)

    return arrange


async def other_accounts(world: Product) -> None:
    """The file gets [[accounts]], which take effect at the next start. Doctor reads the same file."""
    await file_with(CANCELLING)(world)
    world.toml += CANCELLING


async def reread(world: Product) -> None:
    """Read the configuration as the loop does. A file must look the same twice before it counts."""
    assert world.program is not None
    (reload,) = [each for each in world.program.sources if isinstance(each, ConfigurationReload)]
    for _ in range(2):
        await reload.check()


async def put_into_s3(world: Product) -> None:
    """Keep node-access.toml in S3, before the bot starts."""
    s3 = world.aws.client("s3")
    place = {"LocationConstraint": REGION}
    await asyncio.to_thread(s3.create_bucket, Bucket=BUCKET, CreateBucketConfiguration=place)
    await asyncio.to_thread(s3.put_object, Bucket=BUCKET, Key=KEY, Body=world.toml.encode())
    world.changed["config"] = f"s3://{BUCKET}/{KEY}"


async def other_region(world: Product) -> None:
    """The Region has no just-in-time access."""
    world.changed |= {"region": "af-south-1", "queue_url": None}


ONLY_DOCTOR = [
    Wrong("credentials that AWS does not know", "aws.credentials", aws("GetCallerIdentity", "InvalidClientTokenId")),
    Wrong("credentials that have expired", "aws.credentials", aws("GetCallerIdentity", "ExpiredToken")),
    Wrong("lists that the reader role may not read", "aws.reader", aws("DescribeOpsItems", "AccessDeniedException")),
    Wrong("a request that the reader role may not read", "aws.reader", unreadable_requests),
    Wrong("a queue from which the bot may not receive", "aws.queue", aws("ReceiveMessage", "AccessDenied")),
    Wrong(
        "a queue that does not exist", "aws.queue", aws("GetQueueAttributes", "AWS.SimpleQueueService.NonExistentQueue")
    ),
    Wrong("a damaged store", "store", damaged_store, before=True, running=False),
    Wrong(
        "a package without the scope personal",
        "teams.personal",
        direct_messages("BotNotInConversationRoster"),
        person=HANAKO.upn,
    ),
    Wrong(
        "an app that a policy blocks for a person",
        "teams.policy",
        direct_messages("BotDisabledByAdmin"),
        person=HANAKO.upn,
    ),
    Wrong("a configuration object that became invalid", "configuration", object_with("[[channels"), in_s3=True),
    Wrong("a configuration object that was deleted", "configuration", object_with(None), in_s3=True),
    Wrong("a configuration object that may not be read any longer", "configuration", object_denied, in_s3=True),
    Wrong("a configuration file that became invalid", "configuration", file_with("[[channels")),
    Wrong("a change of [[accounts]] without a restart", "configuration", other_accounts),
    Wrong("a Region without just-in-time access", "aws.region", other_region, before=True),
    Wrong("a role whose sessions are not trusted", "people.requesters", unknown_requester, before=True),
]
BUCKET, KEY = f"node-access-{ACCOUNT}", "node-access.toml"
EFFECTS = {"activities for another app": frozenset({"teams.team"})}  # the configured app is not in the team
WRONG = [
    *(Wrong(each.what, NAMES[each.what], each.arrange, before=True) for each in CASES_AT_START),
    *(Wrong(each.what, NAMES[each.what], each.arrange, effects=EFFECTS.get(each.what, frozenset())) for each in CASES),
    *ONLY_DOCTOR,
]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started. A problem is confirmed at once."""
    monkeypatch.setattr(loop, "REPEATED_AFTER", 0.0)
    monkeypatch.setattr(examination, "REPEATED_AFTER", 0.0)
    async with product(monkeypatch, tmp_path) as world:
        world.changed["metrics_port"] = free_port()
        yield world
        while SERVERS:
            SERVERS.pop().close()


async def findings(world: Product, person: str | None = None) -> set[str]:
    """Return the names that doctor gives to what is wrong."""
    questions = Questions(person=person)
    configuration = parse_configuration(world.toml.encode())
    report = await examine(world.settings(), configuration, questions, lambda _name, _problem: None)
    return {each.finding.name for each in report.found}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
async def test_doctor_reports_exactly_the_finding_of_each_misinstallation(world: Product, wrong: Wrong) -> None:
    """Further findings are reported only if the misinstallation cannot be without them."""
    if wrong.in_s3:
        await put_into_s3(world)
    if wrong.before:
        await wrong.arrange(world)
    if not wrong.running:
        assert await findings(world, wrong.person) == {wrong.finding}
        return
    async with world.running() as program:
        await program.services.checks.make()
        if not wrong.before:
            await wrong.arrange(world)
            program.services.checks.recheck()
        await program.services.checks.make()
        assert await findings(world, wrong.person) == {wrong.finding} | wrong.effects


async def test_doctor_reports_no_finding_for_a_sound_installation(world: Product, figure: Figure) -> None:
    """Control: the bot has no misinstallation. There is none after a decision either."""
    async with world.running() as program:
        await world.click(HANAKO, await world.card(await world.ask()), "approve")
        await program.services.checks.make()
        assert await findings(world, HANAKO.upn) == set()
    figure(28, misinstallations=len(WRONG), names=len({each.finding for each in WRONG}))
