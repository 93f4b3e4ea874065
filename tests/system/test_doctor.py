"""`node-access-bot doctor`: every problem of an installation with its fix, and nothing written that nobody asked for.

tests/reliability/test_misinstallations.py has the whole table of misinstallations.
"""

import asyncio
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bot.cli import main
from bot.config.file import parse_configuration
from bot.doctor import examination
from bot.doctor.endpoint import endpoint_problem, public_roots
from bot.doctor.examination import Questions, examine
from bot.doctor.findings import findings_of
from bot.doctor.printing import as_json, as_text
from bot.doctor.report import Report
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, REGION
from bot.sandbox.sandbox import free_port
from bot.sandbox.teams.graph import NESTED, ON_CALL, Member
from bot.service.checks.check import Problem
from tests.fakes.people import APP_ID, HANAKO, TARO
from tests.fakes.processes import environment
from tests.fakes.product import TOML, Product, product
from tests.fakes.signing import SECRET
from tests.fakes.teams_world import APPROVERS, LEADS, TEAM
from tests.figures import Figure

READS = {
    "AssumeRole",
    "DescribeAutomationExecutions",
    "DescribeAutomationStepExecutions",
    "DescribeInstanceInformation",
    "DescribeInstances",
    "DescribeOpsItems",
    "DescribeSessions",
    "GetAutomationExecution",
    "GetCallerIdentity",
    "GetDocument",
    "GetOpsItem",
    "GetQueueAttributes",
    "ListDocuments",
    "ListTagsForResource",
    "ReceiveMessage",
}

UNKNOWN_PERSON = "aaaaaaaa-0000-4000-8000-000000000099"  # in a group only


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started. A problem is confirmed at once."""
    monkeypatch.setattr(examination, "REPEATED_AFTER", 0.0)
    async with product(monkeypatch, tmp_path) as world:
        world.changed["metrics_port"] = free_port()
        yield world


async def doctor(world: Product, **questions: Any) -> Report:
    """Return what doctor reports about the world."""
    configuration = parse_configuration(world.toml.encode())
    return await examine(world.settings(), configuration, Questions(**questions), lambda _name, _problem: None)


def names(report: Report) -> list[str]:
    """Return the names of the findings, in the order of fixing."""
    return [each.finding.name for each in report.found]


async def test_doctor_finds_no_problem_in_a_sound_installation_and_writes_nothing(world: Product) -> None:
    """Doctor makes each check, only reads in AWS, posts nothing in Teams, and creates no store."""
    request = await world.ask()
    before = len(world.aws.calls())
    report = await doctor(world)
    assert names(report) == []
    assert {
        *("credentials", "clock", "token", "keys", "channel approvals", "roster approvals", f"role {APPROVER_ROLE}"),
        *(f"sweep {ACCOUNT} {REGION}", f"policies {ACCOUNT} {REGION}", "queue settings", "queue receive"),
    } <= set(report.passed)
    assert {call.operation for call in world.aws.calls()[before:]} <= READS
    assert world.microsoft.posted(APPROVERS) == []
    assert not world.store.exists()
    assert [(each.longest, each.idle, each.why) for each in report.sessions] == [(None, 20, "")]
    assert [(each.request.rpartition("/")[2], each.requester, each.why) for each in report.requesters] == [
        (request, TARO.name, "")
    ]


async def test_policy_table_of_doctor_says_which_channel_can_decide_each_level(world: Product) -> None:
    """A level that lists another role than those of the channel has no channel, which is a problem."""
    world.toml = TOML.replace("role/NodeAccessLead", "role/NodeAccessOther")
    report = await doctor(world)
    rows = {(each.policy, each.step): (each.approvers, each.channels, each.why) for each in report.policies}
    assert rows["Restricted-Nodes", "Level1"] == (("role NodeAccessApprover",), ("approvals",), "")
    assert rows["Restricted-Nodes", "Level2"] == (("role NodeAccessLead",), (), "no channel")
    assert "aws.policy-role" in names(report)


async def test_requester_table_of_doctor_says_why_a_requester_is_not_identified(world: Product) -> None:
    """The file does not trust the requester's role. The text of the report has the reason too."""
    await world.ask()
    world.toml = TOML.replace('trusted_roles = ["Operator"]', "trusted_roles = []")
    report = await doctor(world)
    (row,) = report.requesters
    assert row.why.startswith("not known as a person: add the role to trusted_roles")
    assert row.why in as_text(report)


async def test_doctor_says_whether_aws_lists_auto_approved_requests_if_a_channel_shows_them(world: Product) -> None:
    """As long as AWS lists none, that is unknown. They are in no table of requesters, because nobody decides them."""
    assert "auto-approved requests" not in (await doctor(world)).not_checked
    world.toml = world.toml.replace('approvers = ["members"]', 'approvers = ["members"]\nshow_auto_approved = true', 1)
    assert "AWS lists none of the last 14 days" in (await doctor(world)).not_checked["auto-approved requests"]
    await world.ask(node="web-dev-01")
    report = await doctor(world)
    assert "auto-approved requests" in report.passed
    assert (report.requesters, names(report)) == ((), [])


async def test_escalation_table_of_doctor_says_who_gains_the_right_and_when(world: Product) -> None:
    """Text and JSON have a row for the channel. Without an escalation, the text has no such table."""
    assert "Escalations:" not in as_text(await doctor(world))
    second = (
        '[[channels]]\nname = "second"\nconversation = "19:second@thread.tacv2"\napprovers = ["upn:lead@example.com"]\n'
    )
    escalating = 'fallback = true\nescalate_after = "2h"\nescalate_to = "second"\n'
    world.toml = TOML.replace('name = "approvals"\n', f'name = "approvals"\n{escalating}') + second
    report = await doctor(world)
    assert "approvals  120            second           upn:lead@example.com" in as_text(report)
    assert json.loads(as_json(report))["escalations"] == [
        {"channel": "approvals", "minutes": 120, "to": "second", "approvers": ["upn:lead@example.com"]}
    ]


async def test_group_table_of_doctor_has_sizes_and_the_members_who_are_not_in_the_channel(world: Product) -> None:
    """The bot shows the names of people it knows, and the object ids of others. Without a group, there is no table."""
    assert "Groups of approvers:" not in as_text(await doctor(world))
    world.toml = TOML.replace('approvers = ["members"]', f'approvers = ["group:{ON_CALL}"]', 1)
    world.microsoft.graph.groups[NESTED] += (Member(UNKNOWN_PERSON),)
    report = await doctor(world)
    assert names(report) == []
    assert f"group {ON_CALL}" in report.passed
    (row,) = report.groups
    assert (row.group, row.channel, row.size, row.absent) == (ON_CALL, "approvals", 5, (UNKNOWN_PERSON,))
    assert f"{ON_CALL}  approvals  5       {UNKNOWN_PERSON}" in as_text(report)
    assert json.loads(as_json(report))["groups"][0]["absent"] == [UNKNOWN_PERSON]
    world.microsoft.graph.switch(consent=False)
    report = await doctor(world)
    assert names(report) == ["entra.graph-consent"]
    assert (report.groups[0].size, report.groups[0].absent) == (None, None)
    assert f"{ON_CALL}  approvals  unknown  unknown" in as_text(report)


async def test_doctor_prints_name_reason_and_fix_of_a_problem(world: Product) -> None:
    """Text and JSON say what is wrong, why it matters, and what to do. The secret is in neither."""
    world.microsoft.sign_in.rotate_secret("the value")
    report = await doctor(world)
    (found,) = report.found
    assert (found.finding.name, found.check) == ("entra.secret", "token")
    text, data = as_text(report), json.loads(as_json(report))
    assert "1. entra.secret  (token: invalid_client AADSTS7000215)" in text
    assert "why: Without a token the bot posts no card" in text
    assert "fix: Entra refuses the client secret. Copy the secret's value, not its id" in text
    assert data["findings"][0]["finding"] == "entra.secret"
    assert SECRET not in text
    assert SECRET not in as_json(report)


async def test_doctor_lists_problems_in_the_order_in_which_to_fix_them(world: Product) -> None:
    """The roster comes first, then the two roles that cannot be assumed, then the queue."""
    world.aws.faults.fail("ReceiveMessage", "AccessDenied", times=None)
    world.aws.faults.fail("AssumeRole", "AccessDenied", times=None)
    body = json.dumps({"error": {"code": "BotNotInConversationRoster", "message": "…"}})
    world.microsoft.fault("GET", "pagedmembers$", times=None, status=403, body=body)
    world.toml += 'people_domains = ["example.com"]\n'
    assert names(await doctor(world)) == ["teams.team", "aws.trust", "aws.trust", "aws.queue"]


async def test_doctor_reports_no_problem_if_teams_refuses_a_call_only_once(world: Product) -> None:
    """Teams refuses about one call in a thousand for no reason."""
    world.microsoft.fault("GET", "pagedmembers$", times=1, status=404)
    assert names(await doctor(world)) == []


async def test_doctor_checks_only_microsoft_if_the_aws_credentials_do_not_work(
    world: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report says that AWS was not checked, and why."""
    world.aws.faults.fail("GetCallerIdentity", "InvalidClientTokenId", times=None)
    report = await doctor(world)
    assert names(report) == ["aws.credentials"]
    assert "token" in report.passed
    assert report.not_checked["AWS"] == "the AWS credentials do not work"
    assert "AWS: the AWS credentials do not work" in as_text(report)


async def test_doctor_reports_a_problem_that_only_the_running_bot_has_observed(world: Product) -> None:
    """AWS denied a decision of the bot, and denies nothing while doctor runs."""
    async with world.running() as program:
        world.aws.faults.fail("SendAutomationSignal", "AccessDeniedException", times=None)
        await world.click(HANAKO, await world.card(await world.ask()), "approve")
        await program.services.checks.make()
        world.aws.faults.clear()
        report = await doctor(world)
    assert names(report) == ["aws.signal"]
    assert "running bot" not in report.not_checked


async def test_doctor_reports_a_damaged_store_and_still_checks_the_channel(world: Product) -> None:
    """The store is the only problem."""
    world.store.write_bytes(b"noise" * 4096)
    report = await doctor(world)
    assert names(report) == ["store"]
    assert "channel approvals" in report.passed


async def test_doctor_without_a_temporary_folder_reports_a_store_that_cannot_be_opened(
    world: Product, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The container of the template can write nowhere. The table of the store does not exist."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    world.changed["store"] = "dynamodb:missing"
    report = await doctor(world)
    assert names(report) == ["store"]
    assert "channel approvals" in report.passed


def visible(world: Product) -> int:
    """Return the number of messages in the queue that the bot can receive now."""
    name = "ApproximateNumberOfMessages"
    sqs, url = world.aws.client("sqs"), world.aws.world.queue_url
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


async def test_bot_receives_an_event_that_was_in_the_queue_while_doctor_ran(world: Product) -> None:
    """Doctor leaves every event visible. The sweep fails, so only an event can lead to the card."""
    request = await world.ask()
    await doctor(world)
    assert await asyncio.to_thread(visible, world) == len(world.aws.events.published)
    world.aws.faults.fail("DescribeOpsItems", "InternalServerError", times=None)
    async with world.running():
        assert await world.card(request)


async def test_ten_runs_of_doctor_leave_an_event_in_the_queue(world: Product) -> None:
    """Each run may receive the event, which SQS counts. The event must not become a dead letter while no bot runs."""
    await world.ask()
    for _ in range(10):
        await doctor(world)
    assert await asyncio.to_thread(visible, world) == len(world.aws.events.published)


async def test_doctor_sends_one_test_message_each_to_the_requested_channel_and_person(world: Product) -> None:
    """Both messages say that they are a test."""
    report = await doctor(world, test_card="approvals", person=HANAKO.upn)
    assert names(report) == []
    (card,) = world.microsoft.posted(APPROVERS)
    (message,) = world.direct_messages(HANAKO)
    assert "This is a test" in str(card.card)
    assert "This is a test" in str(message.card)


async def test_doctor_reports_a_person_who_cannot_get_direct_messages(world: Product) -> None:
    """Teams answers that the bot is not in the personal chat, for example without the personal scope."""
    body = json.dumps({"error": {"code": "BotNotInConversationRoster", "message": "…"}})
    world.microsoft.fault("POST", "/v3/conversations$", times=None, status=403, body=body)
    assert names(await doctor(world, person=HANAKO.upn)) == ["teams.personal"]


async def test_doctor_reports_an_app_package_without_the_personal_scope(world: Product, tmp_path: Path) -> None:
    """Requesters could not get direct messages. The package that the command `manifest` writes is no problem."""
    package = tmp_path / "package.zip"
    made = CliRunner().invoke(
        main,
        [
            *("manifest", "--app-id", APP_ID, "--developer", "Platform Team"),
            *("--url", "https://example.com/node-access", "--out", str(package)),
        ],
    )
    assert made.exit_code == 0, made.output
    assert names(await doctor(world, package=package.read_bytes())) == []
    with zipfile.ZipFile(package) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(entries["manifest.json"])
    manifest["bots"][0]["scopes"].remove("personal")
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in (entries | {"manifest.json": json.dumps(manifest).encode()}).items():
            archive.writestr(name, content)
    assert names(await doctor(world, package=package.read_bytes())) == ["teams.personal"]


async def test_doctor_reports_a_throttled_list_of_requests_as_not_checked(world: Product) -> None:
    """Others use up AWS's quota, so nothing is wrong with the reader role."""
    world.aws.faults.fail("DescribeOpsItems", "ThrottlingException", times=None)
    report = await doctor(world)
    assert "aws.reader" not in names(report)
    assert report.not_checked[f"sweep {ACCOUNT} {REGION}"] == "it could not be made now; run doctor again"


async def test_doctor_says_which_statement_is_missing_if_sessions_cannot_be_listed(world: Product) -> None:
    """The permission is optional, so that is no problem."""
    name = f"sessions {ACCOUNT} {REGION}"
    assert name not in (await doctor(world)).not_checked
    world.aws.faults.fail("DescribeSessions", "AccessDeniedException", times=None)
    report = await doctor(world)
    assert "ListSessionsToShowHowAccessWasUsed" in report.not_checked[name]
    assert names(report) == []


async def test_doctor_does_not_report_a_person_as_unknown_while_the_roster_cannot_be_read(world: Product) -> None:
    """The person may be a member of the channel."""
    world.microsoft.fault("GET", "pagedmembers$", times=None, status=503)
    report = await doctor(world, person=HANAKO.upn)
    assert "unknown_person" not in {each.problem.code for each in report.found}


async def test_doctor_reports_an_unknown_person_and_sends_no_message(world: Product) -> None:
    """The address belongs to no member of a channel."""
    report = await doctor(world, person="nobody@example.com")
    assert [(each.finding.name, each.problem.code) for each in report.found] == [("teams.person", "unknown_person")]
    assert world.microsoft.world.messages == []


async def test_check_of_the_public_address_accepts_the_answers_of_the_running_bot(world: Product) -> None:
    """The check sends no token, so the bot answers 401."""
    async with world.running():
        assert await endpoint_problem(f"{world.bot_url}/api/messages", public_roots()) is None


async def run(environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run doctor as a person does. Return exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "doctor", *arguments),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_doctor_command_with_a_problem_exits_with_1_and_prints_only_json_to_stdout(
    world: Product, tmp_path: Path
) -> None:
    """The progress is on stderr. The secret is in neither."""
    world.aws.faults.fail("ReceiveMessage", "AccessDenied", times=None)
    code, out, err = await run(environment(world, tmp_path), "--json")
    assert code == 1
    assert [each["finding"] for each in json.loads(out)["findings"]] == ["aws.queue"]
    assert "ok       token" in err.splitlines()
    assert "problem  queue receive" in err.splitlines()
    assert SECRET not in out + err


async def test_doctor_command_shows_each_check_and_takes_less_than_20_seconds_for_three_channels(
    world: Product, tmp_path: Path, figure: Figure
) -> None:
    """One account and Region, in which a request waits, and AWS takes 0.3 s for each answer."""
    world.toml = TOML.replace("[identity]", f"{channel('leads', LEADS)}{channel('team', TEAM)}\n[identity]")
    world.toml = world.toml.replace('name = "approvals"', 'name = "approvals"\nfallback = true')
    await world.ask()
    for operation in READS:
        world.aws.faults.delay(operation, 0.3)
    began = time.perf_counter()
    code, out, err = await run(environment(world, tmp_path), "--json")
    seconds = time.perf_counter() - began
    figure(28, doctor_seconds=round(seconds, 1), channels=3)
    passed = json.loads(out)["passed"]
    assert code == 0
    assert {f"channel {name}" for name in ("approvals", "leads", "team")} <= {*passed}
    assert sorted(err.splitlines()) == sorted(f"ok       {name}" for name in passed)
    assert seconds < 20


def channel(name: str, conversation: str) -> str:
    """Return an entry of node-access.toml."""
    return f"""
[[channels]]
name = "{name}"
conversation = "{conversation}"
approvers = ["members"]
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessApprover"
match = {{ tags = {{ Environment = ["{name}"] }} }}
"""


async def test_doctor_command_refuses_an_unknown_channel_and_an_http_address(world: Product, tmp_path: Path) -> None:
    """Microsoft calls https only. The exit code is 2, and no call is made to AWS."""
    environ = environment(world, tmp_path)
    for arguments, words in (
        (("--send-test-card", "approvers"), "there is no channel approvers; write one of approvals"),
        (("--url", "http://bot.example.com"), "Microsoft calls https only"),
    ):
        code, _, err = await run(environ, *arguments)
        assert code == 2
        assert words in err
    assert world.aws.calls() == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("invalid_client AADSTS7000218", "entra.other"),
        ("temporarily_unavailable AADSTS90033", "entra.other"),
        ("invalid_scope", "entra.other"),
        ("InvalidRequestException", "aws.secret"),
        ("DecryptionFailure", "aws.secret"),
        ("ClientConnectorDNSError", "net.blocked"),
        ("JSONDecodeError", "net.blocked"),
    ],
)
def test_doctor_blames_the_network_only_if_neither_entra_nor_aws_answered(code: str, name: str) -> None:
    """An error code of Entra, or an exception of AWS, shows that the host was reached."""
    assert [each.name for each in findings_of("token", Problem(code, ""))] == [name]
