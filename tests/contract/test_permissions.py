"""Compares infra/aws with the code: the policies allow exactly the calls that the program makes."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import create_loader

from bot.aws import web_identity
from bot.aws.events import KINDS, SOURCE
from bot.boto.models import OPERATIONS
from bot.domain.identity import Person
from bot.ports.aws import READER_SESSION
from bot.sandbox.aws.identity_center import STORE
from bot.store.dynamodb.items import chat_key
from bot.store.dynamodb.table import INDEXES
from bot.teams.login.client_authentication import FEDERATION_AUDIENCE
from tests.contract.scene import staged

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "aws"
INSTALLATION = (ROOT / "infra" / "README.md").read_text("utf-8")
FILES = sorted(path.name for path in FOLDER.glob("*.json"))
SERVICES = ("dynamodb", "ec2", "identitystore", "s3", "secretsmanager", "sqs", "sso-admin", "ssm", "sts")
PREFIXES = {"sso-admin": "sso"}  # the prefix of a service's actions, if it is not the service's name
NEEDS_NONE = {"sts:GetCallerIdentity"}  # always allowed; a policy cannot deny it
# A transaction has no separate permission: its puts, the only members the store uses, need that of PutItem. Nor has a
# batch of messages.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
GOVERNED_BY = {
    "dynamodb:TransactWriteItems": "dynamodb:PutItem",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
}
# for approval policies, and for the preferences of Session Manager; and by approvers, and by requesters
TWICE = ("ssm:GetDocument", "ssm:SendAutomationSignal")
MANAGED = {"StringEquals": {"aws:ResourceTag/SystemsManagerJustInTimeNodeAccessManaged": "true"}}
PEOPLE = ("approver-trust.json", "canceller-trust.json", "end-sessions-trust.json", "give-back-trust.json")
TRUSTS = (*PEOPLE, "reader-trust.json")
CONFIGURATION = "configuration-policy.json"
CREDENTIALS = ("app-secret-policy.json", "federation-policy.json")
IDENTITIES = "identity-center-policy.json"
POLICIES = (
    "approver-policy.json",
    "bot-policy.json",
    "canceller-policy.json",
    "end-sessions-policy.json",
    "give-back-policy.json",
    "reader-policy.json",
    CONFIGURATION,
    IDENTITIES,
    *CREDENTIALS,
)
TABLE, MAKING = "table-policy.json", "table-creation-policy.json"
CREATION = ROOT / "bot" / "store" / "dynamodb" / "creation.py"


def parsed(name: str) -> Any:
    """Return a file's JSON."""
    return json.loads((FOLDER / name).read_text("utf-8"))


def statements(name: str) -> list[dict[str, Any]]:
    """Return the statements of a policy, with their actions and resources as lists."""
    document = parsed(name)
    assert document["Version"] == "2012-10-17"
    return [
        {**each, "Action": as_list(each["Action"]), "Resource": as_list(each.get("Resource", []))}
        for each in document["Statement"]
    ]


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and any other value as the only element of a list."""
    return value if isinstance(value, list) else [value]


def actions(*names: str) -> list[str]:
    """Return the actions that policies allow."""
    return [action for name in names for each in statements(name) for action in each["Action"]]


def operations() -> Mapping[str, str]:
    """Return the actions of the services that the code uses, by the name that boto3 gives their operation.

    If several services have an operation of one name, the last in SERVICES is used: ListTagsForResource is SSM's.
    """
    loader = create_loader()
    models = {service: loader.load_service_model(service, "service-2") for service in SERVICES}
    return {
        xform_name(operation): f"{PREFIXES.get(service, service)}:{operation}"
        for service, model in models.items()
        for operation in model["operations"]
    }


def words_in(paths: Iterable[Path]) -> Iterator[str]:
    """Yield every string literal in some modules."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def called_in(paths: Iterable[Path]) -> set[str]:
    """Return the actions whose operations some modules name in a string."""
    known = operations()
    called = {known[word] for word in words_in(paths) if word in known}
    return {GOVERNED_BY.get(action, action) for action in called}


def test_policies_allow_exactly_the_operations_that_the_code_calls() -> None:
    """A call that is not allowed fails in production; an allowed call that is not made is a risk."""
    called = called_in(path for package in ("aws", "boto") for path in (ROOT / "bot" / package).rglob("*.py"))
    assert len(called) > 10
    allowed = actions(*POLICIES)
    assert sorted(allowed) == sorted([*(called - NEEDS_NONE), *TWICE])


def test_models_of_aws_keep_exactly_the_operations_that_the_code_calls() -> None:
    """A client has no method for an operation that its model leaves out."""
    called = called_in(path for package in ("aws", "boto") for path in (ROOT / "bot" / package).rglob("*.py"))
    kept = {f"{service}:{operation}" for service, operations in OPERATIONS.items() for operation in operations}
    assert kept == {action for action in called if action.partition(":")[0] in OPERATIONS}


def test_table_policies_allow_exactly_the_operations_that_the_store_calls() -> None:
    """The policy for creating the table is a separate one. Queries of an index are allowed for the store's indexes."""
    store = {*(ROOT / "bot" / "store" / "dynamodb").glob("*.py")} - {CREATION}
    assert set(actions(TABLE)) == called_in(store)
    assert set(actions(MAKING)) == called_in([CREATION])
    (table, retention, index), (making,) = statements(TABLE), statements(MAKING)
    assert table["Resource"] == retention["Resource"] == making["Resource"]
    assert index["Action"] == ["dynamodb:Query"]
    assert index["Resource"] == [f"{table['Resource'][0]}/index/{name}" for name in INDEXES]


def test_approver_role_may_only_send_signals_to_approvals_of_node_access() -> None:
    """The role allows one call, and only on approvals of just-in-time node access."""
    (only,) = statements("approver-policy.json")
    assert (only["Action"], only["Condition"]) == (["ssm:SendAutomationSignal"], MANAGED)


def test_canceller_role_may_only_stop_approvals_of_node_access() -> None:
    """The role stops approvals of just-in-time node access, and no other automation."""
    (only,) = statements("canceller-policy.json")
    assert (only["Action"], only["Condition"]) == (["ssm:StopAutomationExecution"], MANAGED)


def test_role_that_gives_access_back_may_only_send_signals_to_approvals_of_node_access() -> None:
    """Its policy is as narrow as the approver's."""
    (only,) = statements("give-back-policy.json")
    assert (only["Action"], only["Condition"]) == (["ssm:SendAutomationSignal"], MANAGED)
    assert only["Resource"] == statements("approver-policy.json")[0]["Resource"]


def test_role_that_ends_sessions_may_make_only_that_call_on_sessions_of_its_account() -> None:
    """It cannot start or resume a session, and the resource is no other account's."""
    (only,) = statements("end-sessions-policy.json")
    assert only["Action"] == ["ssm:TerminateSession"]
    assert only["Resource"] == ["arn:aws:ssm:*:111122223333:session/*"]


def test_policy_allows_web_identity_tokens_only_for_entra_and_a_limited_lifetime() -> None:
    """The longest lifetime is the one that the bot requests."""
    (only,) = statements("federation-policy.json")
    assert (only["Action"], only["Resource"]) == (["sts:GetWebIdentityToken"], ["*"])
    assert only["Condition"] == {
        "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": FEDERATION_AUDIENCE},
        "Null": {"sts:IdentityTokenAudience": "false"},
        "NumericLessThanEquals": {"sts:DurationSeconds": str(web_identity.SECONDS)},
    }


def test_bot_may_read_only_the_secret_of_its_app() -> None:
    """The policy names the app's secret, with the six characters that Secrets Manager appends to its name."""
    (only,) = statements("app-secret-policy.json")
    assert only["Action"] == ["secretsmanager:GetSecretValue"]
    assert [each.rpartition(":")[2] for each in only["Resource"]] == ["node-access-??????"]


def test_bot_may_read_only_one_object_of_s3_in_its_own_account() -> None:
    """If the bucket is deleted, a stranger may create one of its name: its content must not say who may decide."""
    (only,) = statements(CONFIGURATION)
    assert only["Action"] == ["s3:GetObject"]
    assert only["Resource"] == ["arn:aws:s3:::node-access-111122223333/node-access.toml"]
    assert only["Condition"] == {"StringEquals": {"s3:ResourceAccount": "111122223333"}}


def test_identity_center_policy_allows_only_single_users_of_one_identity_store() -> None:
    """The policy allows no list of users and no groups.

    Listing instances needs `*`. The store's id is the sandbox's.
    """
    finding, reading = statements(IDENTITIES)
    assert (finding["Action"], finding["Resource"]) == (["sso:ListInstances"], ["*"])
    assert reading["Action"] == ["identitystore:DescribeUser"]
    store, users = reading["Resource"]
    assert (store, users) == (
        f"arn:aws:identitystore::111122223333:identitystore/{STORE}",
        "arn:aws:identitystore:::user/*",
    )


def test_kms_policy_allows_decryption_only_through_identity_center_services() -> None:
    """The optional policy names one key, and the identity store of the other policy, through AWS's services alone."""
    users, instance = statements("identity-center-key-policy.json")
    assert users["Action"] == instance["Action"] == ["kms:Decrypt"]
    assert users["Resource"] == instance["Resource"]
    assert "*" not in users["Resource"][0]
    store, _ = statements(IDENTITIES)[1]["Resource"]
    assert users["Condition"] == {
        "StringEquals": {"kms:EncryptionContext:aws:identitystore:identitystore-arn": store},
        "StringLike": {"kms:ViaService": "identitystore.*.amazonaws.com"},
    }
    assert instance["Condition"]["StringLike"] == {"kms:ViaService": "sso.*.amazonaws.com"}


def test_reader_role_reads_only_just_in_time_node_access() -> None:
    """The role reads no other automations and documents, except steps of automations, for which AWS has no condition.

    Only calls that need it have the resource `*`.
    """
    by_action = {action: each for each in statements("reader-policy.json") for action in each["Action"]}
    assert by_action["ssm:GetAutomationExecution"]["Condition"] == MANAGED
    assert "Condition" not in by_action["ssm:DescribeAutomationStepExecutions"]  # AWS lists no key for this action
    documents = [each for each in statements("reader-policy.json") if "ssm:GetDocument" in each["Action"]]
    assert [(each["Resource"][0].rpartition("/")[2], each["Condition"]) for each in documents] == [
        ("*", {"StringEquals": {"ssm:DocumentType": "ManualApprovalPolicy"}}),
        ("SSM-SessionManagerRunShell", {"StringEquals": {"ssm:DocumentType": "Session"}}),
    ]
    everywhere = {action for action, each in by_action.items() if each["Resource"] == ["*"]}
    assert all(":Describe" in action or action == "ssm:ListDocuments" for action in everywhere)


@pytest.mark.parametrize(
    "name", [*POLICIES, TABLE, MAKING, "identity-center-key-policy.json", "bot-trust.json", *TRUSTS]
)
def test_no_action_has_a_wildcard(name: str) -> None:
    """Each action has its full name. Each statement has the effect Allow."""
    assert not [action for action in actions(name) if "*" in action]
    assert {each["Effect"] for each in statements(name)} == {"Allow"}


def test_bot_may_delete_only_personal_chats_from_the_table() -> None:
    """Rows and audit entries are deleted by DynamoDB's time to live."""
    (deleting,) = [each for each in statements(TABLE) if "dynamodb:DeleteItem" in each["Action"]]
    assert deleting["Action"] == ["dynamodb:DeleteItem"]
    assert deleting["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": chat_key("a person")["pk"]["S"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


@pytest.mark.parametrize("name", TRUSTS)
def test_all_other_roles_trust_only_the_role_of_the_bot(name: str) -> None:
    """No other principal may assume the roles, and a condition restricts the session name."""
    (only,) = statements(name)
    assert only["Principal"] == {"AWS": "arn:aws:iam::111122223333:role/NodeAccessBot"}
    assert only["Action"] == ["sts:AssumeRole"]
    assert list(*only["Condition"].values()) == ["sts:RoleSessionName"]


def test_bot_role_trusts_only_compute_services_of_aws() -> None:
    """A container or a virtual machine gets the role. ECS states for which account it acts; EC2 does not."""
    ecs, ec2 = statements("bot-trust.json")
    assert (ecs["Principal"], ec2["Principal"]) == (
        {"Service": "ecs-tasks.amazonaws.com"},
        {"Service": "ec2.amazonaws.com"},
    )
    assert ecs["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    assert ecs["Action"] == ec2["Action"] == ["sts:AssumeRole"]


def test_installation_creates_the_role_of_the_bot_before_the_roles_that_trust_it() -> None:
    """AWS refuses a trust policy that names a role which does not exist."""
    made = re.findall(
        r"create-role --role-name (\S+) --assume-role-policy-document file://infra/aws/(\S+)", INSTALLATION
    )
    assert made[0] == ("NodeAccessBot", "bot-trust.json")
    assert {trust for _, trust in made[1:]} == set(TRUSTS)


def test_trust_policies_allow_the_session_names_that_the_bot_uses() -> None:
    """Readers share one name. All other roles are assumed under the person's user principal name."""
    (reader,) = statements("reader-trust.json")
    assert reader["Condition"] == {"StringEquals": {"sts:RoleSessionName": READER_SESSION}}
    person = Person("aaaaaaaa-0000-4000-8000-000000000001", "t", upn="hanako.sato@example.com")
    conditions = [each["Condition"] for name in PEOPLE for each in statements(name)]
    assert conditions == [{"StringLike": {"sts:RoleSessionName": "*@example.com"}}] * len(PEOPLE)
    assert person.session_name.endswith("@example.com")


def test_event_rule_matches_exactly_the_kinds_of_event_that_the_bot_parses() -> None:
    """The rule matches every kind of event that the bot parses, and no others."""
    pattern = parsed("event-pattern.json")
    assert pattern.keys() == {"source", "detail-type"}
    assert pattern["source"] == [SOURCE]
    assert sorted(pattern["detail-type"]) == sorted(KINDS)


def test_sqs_accepts_the_queue_attributes_of_the_installation() -> None:
    """SQS accepts the attributes; only the rule may send, and unreadable messages go to the dead-letter queue."""
    wanted = parsed("queue.json")
    with staged() as scene:
        sqs = scene.aws.client("sqs")
        queue = sqs.create_queue(QueueName="node-access-events-again", Attributes=wanted)["QueueUrl"]
        made = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    redrive, policy = json.loads(made["RedrivePolicy"]), json.loads(made["Policy"])
    assert redrive["deadLetterTargetArn"].endswith(":node-access-events-dead")
    (only,) = policy["Statement"]
    assert (only["Principal"], only["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert only["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(":rule/node-access-events")
    assert statements("bot-policy.json")[0]["Resource"] == [only["Resource"]]


@pytest.mark.parametrize("name", FILES)
def test_every_file_in_infra_aws_is_explained(name: str) -> None:
    """infra/README.md says what each file is for, and each file is JSON."""
    assert f"| [{name}](aws/{name}) |" in INSTALLATION
    assert parsed(name)


def test_installation_commands_use_exactly_the_files_in_infra_aws() -> None:
    """The commands of infra/README.md use every file in infra/aws, and no other."""
    named = re.findall(r"file://infra/aws/(\S+\.json)", INSTALLATION)
    assert set(named) == set(FILES)
