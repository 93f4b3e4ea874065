"""Misinstallations and what the running bot says about them: a problem by name, in words that say what to do.

The whole program over real HTTP. test_seen_problems has the misinstallations that only the bot's own work shows.
infra/docs/operations.md has the cases as a table, which a test compares.
"""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.sandbox.aws.jit.assumptions import ROLE_APPROVER
from bot.sandbox.aws.jit.policies import MANUAL
from bot.sandbox.aws.world import (
    ACCOUNT,
    APPROVER_ROLE,
    LEAD_ROLE,
    MANUAL_POLICIES,
    QUEUE_POLICY,
    REGION,
    level,
    manual_policy,
)
from bot.sandbox.sandbox import free_port
from bot.sandbox.teams.graph import NESTED, ON_CALL, Member
from bot.service.checks import advice, loop
from tests.fakes import activities
from tests.fakes.misinstallation import Case
from tests.fakes.people import APP_ID, HANAKO, TENANT_ID
from tests.fakes.product import UNPACED, Product, product
from tests.fakes.signing import SECRET
from tests.fakes.teams_world import APPROVERS
from tests.fakes.tls import certificate_file

ROOT = Path(__file__).parents[2]
TOKEN, ROSTER = "oauth2/v2.0/token$", "pagedmembers$"
OTHER = "99999999-8888-4777-8666-555555555555"
Setup = Callable[[Product], Awaitable[None]]
LAST_A_DAY = ("service addresses",)  # checks whose problem nothing ends sooner: a wrong host stays wrong
SERVERS: list[asyncio.Server] = []  # of the current test


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started. A check with a new problem runs a second time at once."""
    monkeypatch.setattr(loop, "REPEATED_AFTER", 0.0)
    async with product(monkeypatch, tmp_path, rates=UNPACED) as world:
        world.changed["metrics_port"] = free_port()
        yield world
        while SERVERS:
            SERVERS.pop().close()


async def problems(world: Product) -> dict[str, str]:
    """Make the checks that are due, and return what `/readyz` on the metrics port lists. The bot stays ready."""
    assert world.program is not None
    await world.program.services.checks.make()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{world.program.sockets[1].port}/readyz") as answer,
    ):
        assert answer.status == 200
        found: dict[str, str] = (await answer.json())["problems"]
    return found


def entra(code: int, error: str = "invalid_client") -> Setup:
    """Entra refuses the sign-in with this number of its list."""

    async def arrange(world: Product) -> None:
        body = json.dumps({"error": error, "error_codes": [code]})
        world.microsoft.fault("POST", TOKEN, times=None, status=401, body=body)

    return arrange


def roster(status: int, code: str = "") -> Setup:
    """Teams refuses the channel's members with this status and code."""

    async def arrange(world: Product) -> None:
        body = json.dumps({"error": {"code": code, "message": "…"}}) if code else ""
        world.microsoft.fault("GET", ROSTER, times=None, status=status, body=body)

    return arrange


def keys(**how: Any) -> Setup:
    """The signing keys cannot be fetched any longer."""

    async def arrange(world: Product) -> None:
        world.microsoft.fault("GET", "openidconfiguration", times=None, **how)

    return arrange


def aws(operation: str, code: str) -> Setup:
    """AWS refuses an operation."""

    async def arrange(world: Product) -> None:
        world.aws.faults.fail(operation, code, times=None)

    return arrange


async def wrong_value(world: Product) -> None:
    """The secret's id was copied instead of its value."""
    world.microsoft.sign_in.rotate_secret("the value")


def listing(group: str, *members: tuple[Member, ...], consent: bool = True) -> Setup:
    """The channel lists a group beside the approver; the tenant has the on-call group only."""

    async def arrange(world: Product) -> None:
        people = members[0] if members else (Member(HANAKO.object_id),)
        world.microsoft.graph.groups = {ON_CALL: people}
        world.microsoft.graph.switch(consent=consent)
        world.toml = world.toml.replace('approvers = ["members"]', f'approvers = ["group:{group}"]', 1)

    return arrange


async def other_audience(world: Product) -> None:
    """An activity for another app arrives, which is in the team in place of the configured one."""
    await roster(403, "BotNotInConversationRoster")(world)
    assert world.program is not None
    world.program.services.checks.recheck()
    await world.program.services.checks.make()  # finds that the configured app is not in the team
    await send(world, aud=OTHER)


async def other_tenant(world: Product) -> None:
    """An activity of another tenant arrives."""
    await send(world, tenant=OTHER)


async def expired(world: Product) -> None:
    """An activity arrives whose token seems to have expired, as with a clock that is ahead."""
    await send(world, exp=1_700_000_000, nbf=1_699_000_000)


async def other_host(world: Product) -> None:
    """Teams sends from another host."""
    await send(world, service_url="https://smba.example.com/teams/")


async def send(
    world: Product, *, tenant: str = TENANT_ID, service_url: str = "", conversation: str = APPROVERS, **claims: Any
) -> int:
    """Send a message from Teams. Return the status of the answer."""
    place = activities.Place(id=conversation, kind="channel", team="19:team@thread.tacv2", tenant_id=tenant)
    address = service_url or world.microsoft.service_url
    body = activities.message("help", sender=HANAKO, place=place, service_url=address)
    header = world.microsoft.signer.header(address, **claims)
    status, _ = await world.microsoft.send(world.bot_url, body, authorization=header)
    return status


async def wrong_date(world: Product) -> None:
    """Microsoft's clock is decades ahead of this machine's."""
    known = list(world.microsoft.sign_in.published.values())
    keys = json.dumps({"keys": known, "jwks_uri": f"{world.microsoft.base}/v1/.well-known/keys"})
    date = {"Date": "Fri, 01 Jan 2100 00:00:00 GMT"}
    world.microsoft.fault("GET", "well-known", times=None, status=200, body=keys, headers=date)


async def denied_decision(world: Product) -> None:
    """The role lacks the permission to decide, which the first click shows."""
    world.aws.faults.fail("SendAutomationSignal", "AccessDeniedException")
    await world.click(HANAKO, await world.card(await world.ask()), "approve")
    assert world.program is not None
    await world.program.services.click_handler.drain()  # on a busy machine, the click is answered before AWS answers


def policy(**content: Any) -> Setup:
    """There is another approval policy, with these approvers of this kind."""

    async def arrange(world: Product) -> None:
        levels = [level("ManualApproval", *content["approvers"], kind=content.get("kind", ROLE_APPROVER))]
        document = manual_policy(levels, targets={"tag:Other": ["yes"]})
        await asyncio.to_thread(
            world.aws.client("ssm").create_document, Name="Other", Content=json.dumps(document), DocumentType=MANUAL
        )

    return arrange


async def one_approver(world: Product) -> None:
    """The file lists the same person, and no one else, for both levels of a policy."""
    assert world.toml.count('["members"]') == 2
    world.toml = world.toml.replace('["members"]', f'["user:{HANAKO.object_id}"]')


async def no_policy(world: Product) -> None:
    """There is no approval policy in the account and Region."""
    ssm = world.aws.client("ssm")
    for name in MANUAL_POLICIES:
        await asyncio.to_thread(ssm.delete_document, Name=name)


def queue(**attributes: str) -> Setup:
    """The queue has these attributes."""

    async def arrange(world: Product) -> None:
        sqs = world.aws.client("sqs")
        await asyncio.to_thread(sqs.set_queue_attributes, QueueUrl=world.aws.world.queue_url, Attributes=attributes)

    return arrange


async def put_right(world: Product) -> None:
    """Undo every misinstallation of CASES, send a message from Teams, and approve the waiting cards."""
    world.microsoft.faults.heal()
    world.aws.faults.clear()
    world.microsoft.sign_in.rotate_secret(SECRET)
    await asyncio.to_thread(_put_aws_right, world)
    await send(world)
    for card in world.microsoft.posted(APPROVERS):
        if "'verb': 'approve'" in str(card.card):
            await world.click(HANAKO, card, "approve")


def _put_aws_right(world: Product) -> None:
    ssm, sqs = world.aws.client("ssm"), world.aws.client("sqs")
    filters = [{"Key": "DocumentType", "Values": [MANUAL]}]
    present = {each["Name"] for each in ssm.list_documents(Filters=filters)["DocumentIdentifiers"]}
    for name in present - MANUAL_POLICIES.keys():
        ssm.delete_document(Name=name)
    for name in MANUAL_POLICIES.keys() - present:
        ssm.create_document(Name=name, Content=json.dumps(MANUAL_POLICIES[name]), DocumentType=MANUAL)
    attributes = {"Policy": json.dumps(QUEUE_POLICY), "KmsMasterKeyId": ""}
    sqs.set_queue_attributes(QueueUrl=world.aws.world.queue_url, Attributes=attributes)


CASES: list[Case[Product]] = [
    Case(
        "the secret's id instead of its value",
        "token",
        "invalid_client AADSTS7000215",
        "value, not its id",
        wrong_value,
    ),
    Case("an expired secret", "token", "invalid_client AADSTS7000222", "has expired", entra(7000222)),
    Case(
        "a wrong tenant",
        "token",
        "invalid_request AADSTS90002",
        "NODE_ACCESS_TENANT_ID",
        entra(90002, "invalid_request"),
    ),
    Case(
        "an app of another tenant",
        "token",
        "unauthorized_client AADSTS700016",
        "not in the tenant",
        entra(700016, "unauthorized_client"),
    ),
    Case(
        "conditional access for workload identities",
        "token",
        "invalid_grant AADSTS53003",
        "Exclude the app",
        entra(53003, "invalid_grant"),
    ),
    Case(
        "a federated credential with another issuer",
        "token",
        "invalid_request AADSTS700211",
        "issuer",
        entra(700211, "invalid_request"),
    ),
    Case(
        "a federated credential with another audience",
        "token",
        "invalid_request AADSTS700212",
        "audience",
        entra(700212, "invalid_request"),
    ),
    Case(
        "a federated credential with another subject",
        "token",
        "invalid_request AADSTS700213",
        "ARN of the bot's IAM role",
        entra(700213, "invalid_request"),
    ),
    Case(
        "a subject in other letter case",
        "token",
        "invalid_request AADSTS7002138",
        "Letter case",
        entra(7002138, "invalid_request"),
    ),
    Case(
        "a proxy that answers for the signing keys",
        "keys",
        "JSONDecodeError",
        "answered 200 with text/html",
        keys(status=200, body="<html>", headers={"Content-Type": "text/html"}),
    ),
    Case(
        "a firewall that blocks the signing keys",
        "keys",
        "ServerDisconnectedError",
        "was not answered",
        keys(drop="before"),
    ),
    Case("a clock that is off", "clock", "clock_off", "more than a day behind Microsoft's", wrong_date),
    Case(
        "an Azure Bot of another type or app id", "channel approvals", "unauthorized", "Azure Bot's app id", roster(401)
    ),
    Case(
        "the app is not in the team",
        "channel approvals",
        "not_installed",
        "Add the app to the team",
        roster(403, "BotNotInConversationRoster"),
    ),
    Case(
        "an unknown channel",
        "channel approvals",
        "conversation_not_found",
        "19:…@thread.tacv2",
        roster(404, "ConversationNotFound"),
    ),
    Case("a malformed channel id", "channel approvals", "bad_request", "19:…@thread.tacv2", roster(400, "BadSyntax")),
    Case(
        "an app that an administrator blocks",
        "channel approvals",
        "blocked",
        "admin center",
        roster(403, "BotDisabledByAdmin"),
    ),
    Case("a refused roster", "roster approvals", "refused", "in the team", roster(403)),
    Case(
        "activities for another app",
        "activities",
        "audience",
        f"is for the app {OTHER}, but NODE_ACCESS_APP_ID is {APP_ID}",
        other_audience,
    ),
    Case(
        "activities of another tenant",
        "activities",
        "other_tenant",
        f"from the tenant {OTHER}, but NODE_ACCESS_TENANT_ID is {TENANT_ID}",
        other_tenant,
    ),
    Case("tokens that seem to have expired", "activities", "expired", "clock", expired),
    Case("a service address of another cloud", "service addresses", "host_not_listed", "smba.example.com", other_host),
    Case(
        "a role that cannot be assumed",
        f"role {APPROVER_ROLE}",
        "AccessDenied",
        "as node-access-bot@example.com",
        aws("AssumeRole", "AccessDenied"),
    ),
    Case(
        "a role without permission to decide",
        f"decisions {APPROVER_ROLE}",
        "AccessDeniedException",
        "approver-policy.json",
        denied_decision,
    ),
    Case(
        "a policy that lists another role",
        f"policies {ACCOUNT} {REGION}",
        "other_role",
        f"policy Other, ManualApproval: it does not list the role with which the bot decides ({APPROVER_ROLE})",
        policy(approvers=[LEAD_ROLE]),
    ),
    Case(
        "a policy that lists only users or groups",
        f"policies {ACCOUNT} {REGION}",
        "console_only",
        "policy Other, ManualApproval",
        policy(approvers=["94482488-3041-7026-5e3b-b6d6f5f7a1a1"], kind="IamIdentityCenterUser"),
    ),
    Case(
        "just-in-time access without a policy",
        f"policies {ACCOUNT} {REGION}",
        "no_policy",
        "create an approval policy",
        no_policy,
    ),
    Case(
        "policies that may not be listed",
        f"policies {ACCOUNT} {REGION}",
        "AccessDeniedException",
        "reader-policy.json",
        aws("ListDocuments", "AccessDeniedException"),
    ),
    Case("a queue into which nobody may send", "queue settings", "no_queue_policy", "queue.json", queue(Policy="")),
    Case(
        "a queue with an AWS managed key",
        "queue settings",
        "aws_managed_key",
        "SSE-SQS",
        queue(KmsMasterKeyId="alias/aws/sqs"),
    ),
]


async def own_authority(world: Product) -> None:
    """TLS is inspected with a certificate that this machine does not trust."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file(world.store.parent))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    SERVERS.append(server)
    world.changed["login_authority"] = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def federation(code: str, status: int) -> Setup:
    """The bot signs in with an assertion from AWS, which AWS refuses."""

    async def arrange(world: Product) -> None:
        world.changed |= {"app_credential": "aws-federation", "app_secret": None}
        world.aws.faults.fail("GetWebIdentityToken", code, status=status, times=None)

    return arrange


def kept_secret(code: str) -> Setup:
    """The secret is in AWS Secrets Manager, which refuses it."""

    async def arrange(world: Product) -> None:
        arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:node-access-a1b2c3"
        world.changed |= {"app_secret": None, "app_secret_arn": arn}
        world.aws.faults.fail("GetSecretValue", code, times=None)

    return arrange


CASES_AT_START: list[Case[Product]] = [
    Case(
        "a company's own certificate authority",
        "token",
        "ClientConnectorCertificateError",
        "SSL_CERT_FILE",
        own_authority,
    ),
    Case(
        "outbound federation is off in the AWS account",
        "token",
        "OutboundWebIdentityFederationDisabledException",
        "enable-outbound-web-identity-federation",
        federation("OutboundWebIdentityFederationDisabledException", 403),
    ),
    Case(
        "a role that may not get a token from AWS",
        "token",
        "AccessDenied",
        "federation-policy.json",
        federation("AccessDenied", 403),
    ),
    Case(
        "a task role that may not read the secret",
        "token",
        "AccessDeniedException",
        "the task role, not the execution role",
        kept_secret("AccessDeniedException"),
    ),
    Case(
        "a secret that does not exist",
        "token",
        "ResourceNotFoundException",
        "NODE_ACCESS_APP_SECRET_ARN",
        kept_secret("ResourceNotFoundException"),
    ),
    Case(
        "two levels that list one person",
        f"policies {ACCOUNT} {REGION}",
        "one_level",
        "policy Restricted-Nodes: channel approvals lists too few approvers",
        one_approver,
    ),
    Case(
        "no consent to read groups",
        f"group {ON_CALL}",
        "graph_consent_missing",
        "GroupMember.Read.All",
        listing(ON_CALL, consent=False),
    ),
    Case("a group that does not exist", f"group {NESTED}", "group_not_found", "overview", listing(NESTED)),
    Case("a group without people", f"group {ON_CALL}", "group_empty", "hidden", listing(ON_CALL, ())),
]


@pytest.mark.parametrize("case", CASES_AT_START, ids=lambda case: case.what)
async def test_misinstallation_at_the_start_is_reported_by_one_check_with_code_and_advice(
    case: Case[Product], world: Product
) -> None:
    """The first round reports it. No channel is reported, although each would be refused for the same reason."""
    await case.arrange(world)
    async with world.running():
        found = await problems(world)
    assert list(found) == [case.check]
    assert found[case.check].startswith(f"{case.code}: ")
    assert case.words in found[case.check]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
async def test_misinstallation_is_reported_by_its_check_with_code_and_advice_until_it_is_corrected(
    case: Case[Product], world: Product
) -> None:
    """The metrics port's /readyz has the problem, the log has it once, and the bot stays ready.

    The problem ends in the first round after the correction, unless the check is one of LAST_A_DAY.
    """
    with capture_logs() as logs:
        async with world.running() as program:
            await problems(world)
            await case.arrange(world)
            for _ in range(2):
                program.services.checks.recheck()  # as if an hour had passed
                found = await problems(world)
            await put_right(world)
            left = await problems(world)
    assert found.get(case.check, "").startswith(f"{case.code}: ")
    assert case.words in found[case.check]
    assert list(left) == ([case.check] if case.check in LAST_A_DAY else [])
    began = [line for line in logs if line["event"] == "problem_began" and line["check"] == case.check]
    assert [(line["code"], line["advice"]) for line in began] == [tuple(found[case.check].split(": ", 1))]


async def test_every_check_of_a_sound_installation_passes(world: Product) -> None:
    """The metric of every check is 1, also after a decision."""
    async with world.running() as program:
        await world.click(HANAKO, await world.card(await world.ask()), "approve")
        assert await problems(world) == {}
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{program.sockets[1].port}/metrics") as answer,
        ):
            lines = [each for each in (await answer.text()).splitlines() if each.startswith("node_access_check_ok{")]
    assert {"token", "clock", "channel approvals"} <= {each.split('"')[1] for each in lines}
    assert [each for each in lines if not each.endswith(" 1.0")] == []


async def test_problem_of_a_channel_ends_in_the_next_round_after_teams_accepts_calls_again(world: Product) -> None:
    """At first, Teams refuses the roster as for a team without the app."""
    async with world.running():
        await roster(403, "BotNotInConversationRoster")(world)
        assert set(await problems(world)) == {"channel approvals"}
        world.microsoft.faults.heal()
        assert await problems(world) == {}


async def test_refused_activity_is_no_problem_after_an_accepted_activity(world: Product) -> None:
    """The accepted activity shows that the settings are right."""
    async with world.running():
        assert await send(world) == 200
        assert await send(world, exp=1_700_000_000, nbf=1_699_000_000) == 401
        assert await problems(world) == {}


async def test_activities_with_tokens_of_another_bot_or_cloud_cause_no_problem(world: Product) -> None:
    """The owner of any Azure Bot has tokens for it, and can send them before the first activity of our own app arrives.

    Teams says that our app is in the channel, so the settings are right.
    """
    async with world.running() as program:
        await problems(world)
        assert await send(world, aud=OTHER) == 401
        assert await send(world, iss="https://api.botframework.us") == 401
        program.services.checks.recheck()
        assert await problems(world) == {}


async def test_activity_from_another_tenant_in_an_unknown_channel_causes_no_problem(world: Product) -> None:
    """A stranger can install our app in another tenant and write to it from there."""
    async with world.running():
        assert await send(world, tenant=OTHER, conversation="19:theirs@thread.tacv2") == 403
        assert await problems(world) == {}


def test_no_advice_is_cut_off_or_names_a_missing_file() -> None:
    """No text ends with a comma, a colon, "with" or "or", and each file below infra/aws that a text names exists."""
    members = [value for name, value in vars(advice).items() if name.isupper()]
    tables = [text for each in members if isinstance(each, dict) for text in each.values()]
    texts = [*tables, *(each for each in members if isinstance(each, str))]
    assert len(texts) > 60
    assert [text for text in texts if text != text.strip() or text.endswith((",", ":", "with", "or"))] == []
    files = {name for text in texts for name in re.findall(r"infra/aws/[\w.-]+\w", text)}
    assert {name for name in files if not (ROOT / name).exists()} == set()
