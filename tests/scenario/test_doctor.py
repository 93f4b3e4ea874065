"""`node-access-bot doctor`: every problem of an installation with its fix, and nothing written that nobody asked for.

tests/reliability/test_misinstallations.py has the whole table of misinstallations.
"""

import asyncio
import json
import sys
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
from bot.doctor.printing import as_json, as_text
from bot.doctor.report import Report
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, REGION
from bot.sandbox.sandbox import free_port
from tests.fakes.people import APP_ID, HANAKO, TARO
from tests.fakes.processes import environment
from tests.fakes.product import TOML, Product, product
from tests.fakes.signing import SECRET
from tests.fakes.teams_world import APPROVERS

READS = {
    "AssumeRole",
    "DescribeAutomationExecutions",
    "DescribeAutomationStepExecutions",
    "DescribeInstanceInformation",
    "DescribeInstances",
    "DescribeOpsItems",
    "GetAutomationExecution",
    "GetCallerIdentity",
    "GetDocument",
    "GetOpsItem",
    "GetQueueAttributes",
    "ListDocuments",
    "ListTagsForResource",
    "ReceiveMessage",
}


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


async def test_sound_installation_has_no_problem_and_nothing_is_written(world: Product) -> None:
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
    assert [(each.request.rpartition("/")[2], each.requester, each.why) for each in report.requesters] == [
        (request, TARO.name, "")
    ]


async def test_table_says_which_channel_can_decide_each_level(world: Product) -> None:
    """A level with other roles than the channel's has no channel."""
    world.toml = TOML.replace("role/NodeAccessLead", "role/NodeAccessOther")
    report = await doctor(world)
    rows = {(each.policy, each.step): (each.approvers, each.channels, each.why) for each in report.policies}
    assert rows["Restricted-Nodes", "Level1"] == (("role NodeAccessApprover",), ("approvals",), "")
    assert rows["Restricted-Nodes", "Level2"] == (("role NodeAccessLead",), (), "no channel")
    assert "aws.policy-role" in names(report)


async def test_table_says_why_a_requester_is_not_identified(world: Product) -> None:
    """The rules of now count, not those under which the bot stored the request."""
    await world.ask()
    world.toml = TOML.replace('trusted_roles = ["Operator"]', "trusted_roles = []")
    report = await doctor(world)
    (row,) = report.requesters
    assert row.why.startswith("not known as a person: add the role to trusted_roles")
    assert row.why in as_text(report)


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
    """A problem that stops everything comes before one that stops a part, in whatever order they were found."""
    world.aws.faults.fail("ReceiveMessage", "AccessDenied", times=None)
    world.aws.faults.fail("AssumeRole", "AccessDenied", times=None)
    body = json.dumps({"error": {"code": "BotNotInConversationRoster", "message": "…"}})
    world.microsoft.fault("GET", "pagedmembers$", times=None, status=403, body=body)
    world.toml += 'people_domains = ["example.com"]\n'
    assert names(await doctor(world)) == ["teams.team", "aws.trust", "aws.trust", "aws.queue"]


async def test_refusal_that_does_not_repeat_is_no_problem(world: Product) -> None:
    """Teams refuses about one call in a thousand for no reason."""
    world.microsoft.fault("GET", "pagedmembers$", times=1, status=404)
    assert names(await doctor(world)) == []


async def test_without_credentials_only_microsoft_is_checked(world: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report says that AWS was not checked, and not that it is fine."""
    world.aws.faults.fail("GetCallerIdentity", "InvalidClientTokenId", times=None)
    report = await doctor(world)
    assert names(report) == ["aws.credentials"]
    assert "token" in report.passed
    assert report.not_checked["AWS"] == "the AWS credentials do not work"
    assert "AWS: the AWS credentials do not work" in as_text(report)


async def test_doctor_adds_what_the_running_bot_has_seen(world: Product) -> None:
    """A decision that AWS denied is known to the running bot only."""
    async with world.running() as program:
        world.aws.faults.fail("SendAutomationSignal", "AccessDeniedException", times=None)
        await world.click(HANAKO, await world.card(await world.ask()), "approve")
        await program.services.checks.make()
        world.aws.faults.clear()
        report = await doctor(world)
    assert names(report) == ["aws.signal"]
    assert "running bot" not in report.not_checked


async def test_doctor_reports_a_damaged_store_and_checks_the_rest(world: Product) -> None:
    """The channel's check passes."""
    world.store.write_bytes(b"noise" * 4096)
    report = await doctor(world)
    assert names(report) == ["store"]
    assert "channel approvals" in report.passed


async def test_bot_receives_an_event_that_waited_while_doctor_ran(world: Product) -> None:
    """Doctor reads the queue without taking the event from the bot."""
    request = await world.ask()
    await doctor(world)
    async with world.running():
        assert await world.card(request)


async def test_test_messages_are_sent_only_on_request(world: Product) -> None:
    """One into the channel, and one to the person."""
    report = await doctor(world, test_card="approvals", person=HANAKO.upn)
    assert names(report) == []
    (card,) = world.microsoft.posted(APPROVERS)
    (message,) = world.direct_messages(HANAKO)
    assert "This is a test" in str(card.card)
    assert "This is a test" in str(message.card)


async def test_doctor_reports_a_person_to_whom_the_bot_cannot_write(world: Product) -> None:
    """Teams answers that the bot is not in the person's chat, for example because the package lacks the personal scope."""
    body = json.dumps({"error": {"code": "BotNotInConversationRoster", "message": "…"}})
    world.microsoft.fault("POST", "/v3/conversations$", times=None, status=403, body=body)
    assert names(await doctor(world, person=HANAKO.upn)) == ["teams.personal"]


async def test_package_without_the_scope_personal_is_a_problem(world: Product, tmp_path: Path) -> None:
    """Requesters could not get direct messages. A package for this bot, as `manifest` writes it, is no problem."""
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


async def test_throttled_list_is_not_called_unreadable(world: Product) -> None:
    """Others use up AWS's quota: the list was not checked, and nothing is wrong with the reader role."""
    world.aws.faults.fail("DescribeOpsItems", "ThrottlingException", times=None)
    report = await doctor(world)
    assert "aws.reader" not in names(report)
    assert report.not_checked[f"sweep {ACCOUNT} {REGION}"] == "it could not be made now; run doctor again"


async def test_person_who_may_be_in_an_unreadable_roster_is_not_called_unknown(world: Product) -> None:
    """The finding is the roster."""
    world.microsoft.fault("GET", "pagedmembers$", times=None, status=503)
    report = await doctor(world, person=HANAKO.upn)
    assert "unknown_person" not in {each.problem.code for each in report.found}


async def test_doctor_reports_an_unknown_person_and_sends_no_message(world: Product) -> None:
    """The address belongs to no member of a channel."""
    report = await doctor(world, person="nobody@example.com")
    assert [each.problem.code for each in report.found] == ["unknown_person"]
    assert world.microsoft.world.messages == []


async def test_running_bot_answers_as_the_check_of_the_public_address_expects(world: Product) -> None:
    """The bot's own 401 is no problem, and no problem of the bot either."""
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


async def test_command_exits_with_1_and_prints_json_alone(world: Product, tmp_path: Path) -> None:
    """Progress is on stderr, so that stdout is one JSON object. There is no secret and no log line in it."""
    world.aws.faults.fail("ReceiveMessage", "AccessDenied", times=None)
    code, out, err = await run(environment(world, tmp_path), "--json")
    assert code == 1
    assert [each["finding"] for each in json.loads(out)["findings"]] == ["aws.queue"]
    assert "ok       token" in err.splitlines()
    assert "problem  queue receive" in err.splitlines()
    assert SECRET not in out + err


async def test_doctor_refuses_an_unknown_channel_or_an_unusable_address(world: Product, tmp_path: Path) -> None:
    """Microsoft cannot call an address with http. The exit code is 2, and no call is made to AWS."""
    environ = environment(world, tmp_path)
    for arguments, words in (
        (("--send-test-card", "approvers"), "there is no channel approvers; write one of approvals"),
        (("--url", "http://bot.example.com"), "Microsoft calls https only"),
    ):
        code, _, err = await run(environ, *arguments)
        assert code == 2
        assert words in err
    assert world.aws.calls() == []
