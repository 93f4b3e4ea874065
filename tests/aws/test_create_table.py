"""Tests for `doctor --create-table`, which creates the store's table or reports the problems of an existing one."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.ports.store import StoreUnavailable
from bot.store.dynamodb import creation
from bot.store.dynamodb.calls import Calls
from bot.store.dynamodb.creation import POLL_SECONDS, POLLS, TableMaker, TableWrong
from bot.store.dynamodb.store import DynamoStore
from bot.store.dynamodb.table import SCHEMA_KEY, definition
from tests.contract.test_store import counted
from tests.fakes.aws import key_of
from tests.fakes.dynamodb import REGION, DynamoEnvironment, FakeDynamo, shared

NAME = "rows-of-the-bot"
NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
UNSUPPORTED = {"error": (400, "UnknownOperationException")}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDynamo]:
    """Return a DynamoDB without the table. The environment names its address and the table."""
    server, aimed = shared(), DynamoEnvironment(shared())
    monkeypatch.setenv("NODE_ACCESS_STORE", f"dynamodb:{NAME}")
    monkeypatch.setenv("AWS_REGION", REGION)
    yield server
    server.heal()
    client = server.client()
    if NAME in client.list_tables()["TableNames"]:
        client.delete_table(TableName=NAME)
    aimed.undo()


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words, catch_exceptions=False)


def create() -> Result:
    return run("doctor", "--create-table")


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def shown(server: FakeDynamo, operation: str) -> Any:
    return getattr(server.client(), operation)(TableName=NAME)


async def test_created_table_has_time_to_live_and_recovery_and_the_store_can_write_a_row(server: FakeDynamo) -> None:
    """The table is billed per request."""
    assert lines(create()) == [
        f"making the table {NAME} …",
        "time to live: switched on",
        "point-in-time recovery: switched on",
        f"the table {NAME} is ready",
    ]
    assert shown(server, "describe_table")["Table"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    wanted = {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}
    assert shown(server, "describe_time_to_live")["TimeToLiveDescription"] == wanted
    backups = shown(server, "describe_continuous_backups")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    async with DynamoStore(NAME, region=REGION) as store:
        assert (await store.apply(key_of(1), counted, now=NOW)).version == 1


def test_second_run_of_create_table_does_not_change_the_table(server: FakeDynamo) -> None:
    """The command says that the table exists. Its settings and items stay as they are."""
    create()
    seen, items = len(server.calls), server.client().scan(TableName=NAME)["Items"]
    assert lines(create()) == [f"the table {NAME} is there", f"the table {NAME} is ready"]
    assert not [each for each in server.operations(seen) if each.startswith(("Create", "Update", "Delete"))]
    assert server.client().scan(TableName=NAME)["Items"] == items


def test_create_table_uses_a_table_that_another_run_created_in_the_meantime(server: FakeDynamo) -> None:
    """The other run creates the table just after this run has looked for it."""
    server.plan("DescribeTable", error=(400, "ResourceNotFoundException"))
    server.client().create_table(TableName=NAME, **definition())
    assert lines(create())[-1] == f"the table {NAME} is ready"


def test_create_table_continues_after_a_lost_reply_to_the_creation(server: FakeDynamo) -> None:
    """DynamoDB creates the table, but its answer is lost. The command finds the table."""
    fault = server.plan("CreateTable", before=False, cut=True)
    assert lines(create())[-1] == f"the table {NAME} is ready"
    assert fault.times == 0


@pytest.mark.parametrize("operation", ["DescribeContinuousBackups", "UpdateContinuousBackups"])
def test_endpoint_without_point_in_time_recovery_is_accepted(server: FakeDynamo, operation: str) -> None:
    """Emulators of DynamoDB have no point-in-time recovery. The command reports this and continues."""
    server.plan(operation, **UNSUPPORTED)
    assert lines(create())[-2:] == [
        "point-in-time recovery: this endpoint has none (UnknownOperationException)",
        f"the table {NAME} is ready",
    ]


def test_wrong_key_and_missing_indexes_of_an_existing_table_are_reported(server: FakeDynamo) -> None:
    """The command prints each problem on a line and changes nothing."""
    server.client().create_table(
        TableName=NAME,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    seen = len(server.calls)
    result = create()
    assert result.exit_code == 1
    for problem in ("has the key (id) instead of", "index `due` is missing", "index `watched` is missing"):
        assert len([line for line in result.stderr.splitlines() if problem in line]) == 1
    assert result.stderr.count(NAME) == 1
    assert set(server.operations(seen)) == {"DescribeTable"}


def test_different_time_to_live_attribute_of_an_existing_table_is_reported_and_kept(server: FakeDynamo) -> None:
    """An admin may have chosen the attribute, so the command does not replace it."""
    client = server.client()
    client.create_table(TableName=NAME, **definition())
    client.update_time_to_live(TableName=NAME, TimeToLiveSpecification={"Enabled": True, "AttributeName": "other"})
    result = create()
    assert (result.exit_code, "time to live is ENABLED for other, not on for expires_at" in result.stderr) == (1, True)
    assert shown(server, "describe_time_to_live")["TimeToLiveDescription"]["AttributeName"] == "other"


def test_newer_schema_version_of_an_existing_table_is_reported(server: FakeDynamo) -> None:
    """A table with the schema version of a newer bot is refused."""
    create()
    server.client().put_item(TableName=NAME, Item={**SCHEMA_KEY, "version": {"N": "99"}})
    result = create()
    assert (result.exit_code, "newer version of the bot" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    "operation", ["DescribeTable", "CreateTable", "UpdateTimeToLive", "UpdateContinuousBackups", "PutItem"]
)
def test_missing_permission_for_create_table_is_reported_in_one_line(server: FakeDynamo, operation: str) -> None:
    """The command prints one line with AWS's message and no traceback, and exits with 1."""
    server.plan(operation, error=(400, "AccessDeniedException"))
    result = create()
    message = f"Error: the table {NAME} is not ready: AccessDeniedException: planned by the test\n"
    assert (result.exit_code, result.stderr) == (1, message)


def test_create_table_waits_until_the_table_and_its_index_are_active(server: FakeDynamo) -> None:
    """After its creation, the table is still missing, then it is being created, then its index is.

    The command waits three times.
    """
    create()
    table = json.loads(json.dumps(shown(server, "describe_table")["Table"], default=str))
    pauses: list[float] = []
    making = {**table, "TableStatus": "CREATING"}
    index = {**table, "GlobalSecondaryIndexes": [{**table["GlobalSecondaryIndexes"][0], "IndexStatus": "CREATING"}]}
    server.plan("DescribeTable", times=2, error=(400, "ResourceNotFoundException"))
    for each in (making, index):
        each.pop("CreationDateTime")
        server.plan("DescribeTable", body=json.dumps({"Table": each}).encode())
    said: list[str] = []
    TableMaker(Calls(NAME, region=REGION), say=said.append, sleep=pauses.append).make()
    assert (pauses, said[-1]) == ([POLL_SECONDS] * 3, f"the table {NAME} is ready")


def test_create_table_retries_recovery_while_backups_of_a_new_table_are_unavailable(server: FakeDynamo) -> None:
    """DynamoDB refuses point-in-time recovery while backups are being enabled. The command tries again."""
    server.plan("UpdateContinuousBackups", times=1000, error=(400, "ContinuousBackupsUnavailableException"))
    said, pauses = list[str](), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            server.heal()

    TableMaker(Calls(NAME, region=REGION), say=said.append, sleep=pause).make()
    assert pauses == [POLL_SECONDS] * 2
    assert said[-2:] == ["point-in-time recovery: switched on", f"the table {NAME} is ready"]


def test_create_table_asks_for_another_run_if_backups_stay_unavailable(server: FakeDynamo) -> None:
    """The error says to run the command again."""
    server.plan("UpdateContinuousBackups", times=1000, error=(400, "ContinuousBackupsUnavailableException"))
    maker = TableMaker(Calls(NAME, region=REGION), say=lambda _: None, sleep=lambda _: None)
    with pytest.raises(StoreUnavailable, match="run this again"):
        maker.make()


def test_create_table_stops_waiting_for_the_table_after_two_minutes(server: FakeDynamo) -> None:
    """The error has the status of the table."""
    create()
    table = json.loads(json.dumps(shown(server, "describe_table")["Table"], default=str))
    table.pop("CreationDateTime")
    body = json.dumps({"Table": {**table, "TableStatus": "CREATING"}}).encode()
    server.plan("DescribeTable", times=1000, body=body)
    pauses: list[float] = []
    maker = TableMaker(Calls(NAME, region=REGION), say=lambda _: None, sleep=pauses.append)
    with pytest.raises(TableWrong, match="the table is CREATING, not ACTIVE"):
        maker.make()
    assert sum(pauses) == POLLS * POLL_SECONDS == 120


def test_create_table_names_the_endpoint_if_dynamodb_is_unreachable(
    server: FakeDynamo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is printed, and the exit code is 1."""
    gone = FakeDynamo()
    gone.stop()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", gone.endpoint)
    monkeypatch.setattr(creation, "PATIENCE", 0.05)
    result = create()
    assert (result.exit_code, gone.endpoint in result.stderr) == (1, True)


@pytest.mark.parametrize("store", ["", "sqlite:rows.db"])
def test_create_table_with_a_store_that_has_no_table_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """Neither an empty setting nor SQLite names a table. The error shows the right setting, and the exit code is 2."""
    monkeypatch.setenv("NODE_ACCESS_STORE", store)
    result = create()
    assert result.exit_code == 2
    assert result.stderr == "NODE_ACCESS_STORE: does not name a table; write dynamodb:<table>\n"


def test_create_table_without_a_region_ends_with_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting AWS_REGION."""
    monkeypatch.setenv("NODE_ACCESS_STORE", f"dynamodb:{NAME}")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    result = create()
    assert (result.exit_code, result.stderr.startswith("AWS_REGION: missing")) == (2, True)


async def test_show_prints_a_request_of_the_table_by_its_key_or_its_ops_item_id(server: FakeDynamo) -> None:
    """An unknown request is an error."""
    create()
    async with DynamoStore(NAME, region=REGION) as store:
        await store.apply(key_of(1), counted, now=NOW)
    for name in (str(key_of(1)), key_of(1).ops_item_id):
        result = await asyncio.to_thread(run, "show", name)
        (row,) = json.loads(result.stdout)
        assert (row["key"]["ops_item_id"], row["version"]) == (key_of(1).ops_item_id, 1)
    unknown = await asyncio.to_thread(run, "show", "oi-ffffffffffff")
    assert (unknown.exit_code, "the store has no request" in unknown.stderr) == (1, True)


def test_show_reports_a_missing_table(server: FakeDynamo) -> None:
    """The error names the command that creates the table."""
    result = run("show", "oi-ffffffffffff")
    assert (result.exit_code, "doctor --create-table" in result.stderr) == (1, True)
