"""The front of the sandbox's AWS: credentials, checks against AWS's models, limits, faults and the call log."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from werkzeug.test import Client

from tests.contract.scene import Asked, Scene, refused, signal, staged
from tests.fakes.aws_faults import FaultyAws, Loss

SEND = "SendAutomationSignal"


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """One sandbox for this file."""
    with staged() as scene:
        yield scene


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """The sandbox without faults and with an empty call log."""
    stage.aws.faults.clear()
    stage.aws.forget_calls()
    yield stage
    stage.aws.faults.clear()


def client(aws: FaultyAws, service: str, key: str, secret: str, token: str | None = None) -> Any:
    """Return a client with these credentials."""
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}
    return boto3.client(  # type: ignore[call-overload]  # the stubs have one overload for each service name
        service, region_name="ap-northeast-1", endpoint_url=aws.endpoint, **keys
    )


@pytest.mark.parametrize("service", ["ssm", "sqs", "sts", "ec2"])
def test_sandbox_refuses_an_unknown_access_key(scene: Scene, service: str) -> None:
    """Every service refuses an unknown key, also the services that moto simulates."""
    calls = {
        "ssm": "describe_ops_items",
        "sqs": "list_queues",
        "sts": "get_caller_identity",
        "ec2": "describe_instances",
    }
    stranger = client(scene.aws, service, "AKIAUNKNOWN000000000", "secret")
    with refused("UnrecognizedClientException"):
        getattr(stranger, calls[service])()


@pytest.mark.parametrize("token", ["", "wrong"])
def test_sandbox_refuses_the_access_key_of_a_session_without_its_token(scene: Scene, token: str) -> None:
    """The access key of a session without its token, or with another one, is refused."""
    session = scene.aws.world.requester
    thief = client(scene.aws, "ssm", session.access_key_id, session.secret_access_key, token or None)
    with refused("UnrecognizedClientException"):
        thief.describe_ops_items()


def test_sandbox_refuses_an_unsigned_call(scene: Scene) -> None:
    """A call without an Authorization header is 403 with MissingAuthenticationToken."""
    answer = Client(scene.aws).post("/", headers={"X-Amz-Target": "AmazonSSM.DescribeOpsItems"}, data="{}")
    assert (answer.status_code, json.loads(answer.data)["__type"]) == (403, "MissingAuthenticationToken")


def test_sandbox_refuses_an_expired_session(scene: Scene) -> None:
    """AWS answers ExpiredTokenException once the credentials have expired."""
    session = scene.aws.callers.assume(scene.aws.world.approver_role, "late", seconds=0)
    with refused("ExpiredTokenException"):
        scene.aws.client("ssm", session).describe_ops_items()


def test_sandbox_session_expires_an_hour_after_the_time_of_the_injected_clock(scene: Scene) -> None:
    """Credentials expire an hour after the time of the injected clock, and are refused from then on."""
    scene.clock.move(seconds=10 * 3600)
    role = scene.aws.world.approver_role
    given = scene.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    assert given["Expiration"] == (scene.clock() + timedelta(hours=1)).replace(microsecond=0)
    keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    client(scene.aws, "ssm", *keys).describe_ops_items()
    scene.clock.move(seconds=3600)
    with refused("ExpiredTokenException"):
        client(scene.aws, "ssm", *keys).describe_ops_items()


def test_sandbox_credentials_become_environment_variables(scene: Scene) -> None:
    """The bot's own credentials have no session token; those of a session have one."""
    world = scene.aws.world
    assert set(world.bot.environment()) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert world.requester.environment()["AWS_SESSION_TOKEN"] == world.requester.session_token


def test_sdk_reads_role_credentials_from_the_container_endpoint_of_the_sandbox(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK reads the bot's credentials from this AWS, as in a container, if the environment has no keys."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in scene.aws.role_endpoint.environment(scene.aws.endpoint).items():
        monkeypatch.setenv(name, value)
    sts = boto3.session.Session(region_name="ap-northeast-1").client("sts", endpoint_url=scene.aws.endpoint)
    assert sts.get_caller_identity()["Arn"] == scene.aws.world.bot.arn
    sts.close()


def test_sandbox_assume_role_accepts_valid_session_tags_and_refuses_an_invalid_one(scene: Scene) -> None:
    """Lists and structures of the query protocol are parsed."""
    sts, role = scene.aws.client("sts"), scene.aws.world.approver_role
    tags = [{"Key": "person", "Value": "花子"}, {"Key": "team", "Value": "a"}]
    transitive = {"TransitiveTagKeys": ["person", "team"], "DurationSeconds": 900}
    assert sts.assume_role(RoleArn=role, RoleSessionName="me", Tags=tags, **transitive)["Credentials"]
    with refused("ValidationException"):
        sts.assume_role(RoleArn=role, RoleSessionName="me", Tags=[{"Key": "<", "Value": ""}])
    assert scene.aws.calls("AssumeRole")[0].params["Tags.member.2.Key"] == "team"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_sandbox_refuses_a_body_that_is_not_a_json_object(scene: Scene, body: bytes) -> None:
    """Such a body is SerializationException; it does not count as an empty request."""
    sloppy = scene.aws.client("ssm")
    sloppy.meta.events.register("before-call.ssm.DescribeOpsItems", lambda params, **_: params.update(body=body))
    with refused("SerializationException"):
        sloppy.describe_ops_items()


def test_sandbox_session_keeps_its_source_identity_through_role_chaining(scene: Scene) -> None:
    """The ARN has the session name. The source identity is returned and logged."""
    sts = scene.aws.client("sts")
    role = scene.aws.world.approver_role
    person = "hanako.sato@example.com"
    given = sts.assume_role(RoleArn=role, RoleSessionName=person, SourceIdentity=person)
    assert given["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::111122223333:assumed-role/NodeAccessApprover/{person}"
    assert given["SourceIdentity"] == person
    keys = given["Credentials"]
    chained = client(scene.aws, "sts", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    assert chained.get_caller_identity()["Arn"] == given["AssumedRoleUser"]["Arn"]
    assert chained.assume_role(RoleArn=role, RoleSessionName="next")["SourceIdentity"] == person
    with refused("AccessDenied"):
        chained.assume_role(RoleArn=role, RoleSessionName="next", SourceIdentity="somebody.else")
    assert scene.aws.calls("GetCallerIdentity")[0].source_identity == person


def test_sandbox_denies_assuming_an_unknown_role(scene: Scene) -> None:
    """The error is AccessDenied, as in AWS for a role that does not exist or does not trust the caller."""
    with refused("AccessDenied"):
        scene.aws.client("sts").assume_role(RoleArn="arn:aws:iam::111122223333:role/Nobody", RoleSessionName="me")


@pytest.mark.parametrize("name", ["田中", "a b", "x" * 65, "a/b"])
def test_sandbox_refuses_an_invalid_session_name_or_source_identity(scene: Scene, name: str) -> None:
    """A session name or source identity that AWS would not accept is refused, also one in Japanese."""
    role = scene.aws.world.approver_role
    with refused("ValidationException"):
        scene.aws.client("sts").assume_role(RoleArn=role, RoleSessionName=name)
    with refused("ValidationException"):
        scene.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="ok", SourceIdentity=name)


def test_sandbox_role_of_a_different_account_cannot_read_the_sample_account(scene: Scene) -> None:
    """A session of the role has its account's id, and does not find a request of the sample account."""
    asked, role = scene.ask(), "arn:aws:iam::444455556666:role/NodeAccessReader"
    scene.aws.callers.add_role(role)
    other = scene.aws.client("ssm", scene.aws.session(role, "node-access-bot"))
    with refused("OpsItemNotFoundException"):
        other.get_ops_item(OpsItemId=asked.id)
    sts = scene.aws.client("sts", scene.aws.session(role, "node-access-bot"))
    assert sts.get_caller_identity()["Account"] == "444455556666"


def test_operation_that_the_sandbox_does_not_support_is_refused(scene: Scene) -> None:
    """An operation that neither the sandbox nor moto has gets the sandbox's own error code NotInTheSandbox."""
    with refused("NotInTheSandbox"):
        scene.bot.describe_inventory_deletions()


def test_moto_cannot_be_reset_over_http(scene: Scene) -> None:
    """Moto's own control API is 404: it would reset moto but not the simulator."""
    assert Client(scene.aws).post("/moto-api/reset").status_code == 404


# --- the call log ------------------------------------------------------------------------------------------------


def test_sandbox_logs_signals_with_caller_parameters_and_outcome(scene: Scene) -> None:
    """Accepted and refused signals are logged. Effects are counted separately."""
    asked = scene.ask()
    signal(scene.approver(), asked, comment="はい")
    with refused("InvalidAutomationSignalException"):
        signal(scene.approver("late@example.com"), asked)
    first, late = scene.aws.calls(SEND)
    assert first.params["Payload"] == {"Comment": ["はい"]}
    assert (first.status, first.error) == (200, None)
    assert first.caller.endswith("NodeAccessApprover/hanako.sato@example.com")
    assert (late.status, late.error) == (400, "InvalidAutomationSignalException")
    assert [e.by for e in scene.aws.effects("Approve") if e.ops_item_id == asked.id] == [first.caller]


def test_sandbox_logs_calls_that_moto_answers(scene: Scene) -> None:
    """They are logged by the name of the operation."""
    scene.aws.client("ec2").describe_instances()
    scene.events()
    assert {"DescribeInstances", "ReceiveMessage"} <= {c.operation for c in scene.aws.calls()}


# --- faults ------------------------------------------------------------------------------------------------------


def in_background(work: Any) -> "Future[Any]":
    """Run a call in a separate thread, and return its future."""
    with_one = ThreadPoolExecutor(1)
    future = with_one.submit(work)
    with_one.shutdown(wait=False)
    return future


def test_fault_can_hold_a_call_before_its_effect(scene: Scene) -> None:
    """A held signal has arrived and changes nothing until the hold is released."""
    asked, approver = scene.ask(), scene.approver()
    with scene.aws.faults.hold(SEND) as hold:
        answer = in_background(lambda: signal(approver, asked))
        assert hold.arrived.wait(5)
        assert scene.status(asked) == "PendingApproval"
        assert scene.aws.calls(SEND)[0].status is None
    answer.result(5)
    assert scene.status(asked) == "Approved"


def test_fault_can_hold_the_answer_to_a_call_after_its_effect(scene: Scene) -> None:
    """The request is approved while the approver still waits for the answer."""
    asked, approver = scene.ask(), scene.approver()
    with scene.aws.faults.hold(SEND, after_effect=True) as hold:
        answer = in_background(lambda: signal(approver, asked))
        assert hold.arrived.wait(5)
        assert scene.status(asked) == "Approved"
        assert not answer.done()
    answer.result(5)


@pytest.mark.parametrize("how", list(Loss))
def test_fault_can_lose_the_reply_to_a_call_after_its_effect(scene: Scene, how: Loss) -> None:
    """The signal takes effect, but its sender gets a closed connection or an empty 500. The next call is normal."""
    asked = scene.ask()
    scene.aws.faults.lose_reply(SEND, how=how)
    with pytest.raises((ConnectionClosedError, EndpointConnectionError, ClientError)):
        signal(scene.approver(), asked)
    assert scene.status(asked) == "Approved"
    assert (len(scene.aws.calls(SEND)), scene.aws.calls(SEND)[0].status) == (1, 0)
    signal(scene.approver(), scene.ask())


def test_fault_can_fail_an_operation_a_number_of_times(scene: Scene) -> None:
    """Two calls are answered 500 without effect; the next is normal."""
    asked = scene.ask()
    scene.aws.faults.fail(SEND, "InternalServerError", times=2)
    for _ in range(2):
        with refused("InternalServerError"):
            signal(scene.approver(), asked)
    assert scene.aws.effects()[-1:] == [] or scene.aws.effects()[-1].ops_item_id != asked.id
    signal(scene.approver(), asked)
    assert [c.status for c in scene.aws.calls(SEND)] == [500, 500, 200]


@pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 400), ("ServiceUnavailable", 503)])
def test_fault_of_an_operation_has_the_chosen_code_and_status(scene: Scene, code: str, status: int) -> None:
    """A fault can have any code and status, also a code that no model lists, and can affect calls that moto answers."""
    scene.aws.faults.fail("ReceiveMessage", code, status=status)
    with pytest.raises(ClientError) as caught:
        scene.events()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_fault_can_delay_the_answer_to_a_call(scene: Scene) -> None:
    """A delayed call is answered normally, but not before the end of the delay."""
    asked = scene.ask()
    scene.aws.faults.delay("GetOpsItem", 0.05, times=1)
    began = time.monotonic()
    assert scene.status(asked) == "PendingApproval"
    assert time.monotonic() - began >= 0.05


def test_fault_can_rewrite_one_answer(scene: Scene) -> None:
    """One answer has an OpsItem without operational data; the next answer is unchanged."""
    asked = scene.ask()

    def without_data(answer: dict[str, Any]) -> dict[str, Any]:
        return {"OpsItem": {k: v for k, v in answer["OpsItem"].items() if k != "OperationalData"}}

    scene.aws.faults.rewrite("GetOpsItem", without_data, times=1)
    assert "OperationalData" not in scene.ops_item(asked.id)
    assert "OperationalData" in scene.ops_item(asked.id)


def test_fault_on_an_operation_that_passes_to_moto_counts_once(scene: Scene) -> None:
    """A call that the sandbox passes on to moto uses up one fault, and is logged once."""
    scene.aws.faults.fail("ListDocuments", "InternalServerError", times=2)
    for _ in range(2):
        with refused("InternalServerError"):
            scene.bot.list_documents()
    scene.bot.list_documents()
    assert len(scene.aws.calls("ListDocuments")) == 3


def test_held_calls_continue_after_faults_are_cleared(scene: Scene) -> None:
    """After `clear`, a held call is answered."""
    hold = scene.aws.faults.hold("DescribeOpsItems")
    answer = in_background(scene.bot.describe_ops_items)
    assert hold.arrived.wait(5)
    scene.aws.faults.clear()
    answer.result(5)


def test_held_call_does_not_block_other_calls_to_the_sandbox(scene: Scene) -> None:
    """A held call does not block other calls."""
    with scene.aws.faults.hold("DescribeOpsItems", times=1) as hold:
        held = in_background(scene.bot.describe_ops_items)
        assert hold.arrived.wait(5)
        assert scene.aws.client("ssm").describe_ops_items()["OpsItemSummaries"] is not None
    held.result(5)


def test_sandbox_refuses_parameters_with_an_invalid_pattern_or_enum_value(scene: Scene) -> None:
    """The error has the reason. The client of botocore does not check patterns and enums."""
    with pytest.raises(ClientError, match="does not match"):
        scene.bot.get_ops_item(OpsItemId="oi-XYZ")
    with pytest.raises(ClientError, match="is not one of Complete, Cancel"):
        scene.bot.stop_automation_execution(AutomationExecutionId=Asked("", "0" * 36).execution_id, Type="Now")


@pytest.fixture
def restless() -> Iterator[None]:
    """Make threads switch as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_simultaneous_dynamodb_transactions_in_the_sandbox_lose_no_item(scene: Scene) -> None:
    """The item of a successful transaction stays, even if other transactions fail at the same time."""
    table = scene.aws.client("dynamodb")
    table.create_table(
        TableName="pairs",
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def put(name: str, **condition: Any) -> None:
        table.transact_write_items(
            TransactItems=[{"Put": {"TableName": "pairs", "Item": {"name": {"S": name}}, **condition}}]
        )

    def write(number: int) -> None:
        put(f"item {number}")
        with refused("TransactionCanceledException"):
            put(
                f"item {number}",
                ConditionExpression="attribute_not_exists(#name)",
                ExpressionAttributeNames={"#name": "name"},
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    items = table.scan(TableName="pairs")["Items"]
    assert {each["name"]["S"] for each in items} == {f"item {number}" for number in range(40)}
    table.close()
