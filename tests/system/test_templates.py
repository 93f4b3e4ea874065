"""The CloudFormation templates: valid, and equal to the policy files, the table and the settings that the bot knows."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bot.config.file import parse_configuration
from bot.config.settings import Settings
from bot.store.dynamodb import table
from bot.telemetry import EVENTS
from tests.fakes.teams_world import APPROVERS
from tests.system.cloudformation import FOLDER, Template

APP_ID: Final = "22222222-2222-4222-8222-222222222222"
TENANT_ID: Final = "11111111-1111-4111-8111-111111111111"
SECRET: Final = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:node-access-??????"
BUS: Final = "arn:aws:events:ap-northeast-1:111122223333:event-bus/default"
ROLE: Final = "arn:aws:iam::111122223333:role/NodeAccessBot"
TABLE: Final = "table-policy.json"
MOST_INLINE: Final = 10_240  # characters in all inline policies of a role; a quota of IAM that cannot be raised


def bot(**values: Any) -> Template:
    """Return bot.yaml with the values of the policy files."""
    usual = {
        "AppId": APP_ID,
        "TenantId": TENANT_ID,
        "AppSecretArn": SECRET,
        "Image": "example.com/node-access-bot:1.0.0",
        "VpcId": "vpc-1",
        "SubnetIds": ["subnet-1", "subnet-2"],
        "ApproverDomain": "example.com",
        "OrganizationId": "o-1234567890",
        "IdentityStoreId": "d-1234567890",
        "AlarmEmail": "on-call@example.com",
    }
    return Template.read("bot.yaml", **usual | values)


def account(**values: Any) -> Template:
    """Return account.yaml with the values of the policy files."""
    return Template.read("account.yaml", BotRoleArn=ROLE, BusArn=BUS, ApproverDomain="example.com", **values)


def federated() -> Template:
    """Return bot.yaml for a bot without a secret."""
    return bot(AppCredential="aws-federation", AppSecretArn="")


def file(name: str) -> dict[str, dict[str, Any]]:
    """Return the statements of a policy file by their ids."""
    return {each["Sid"]: each for each in json.loads((FOLDER / name).read_text())["Statement"]}


def documents(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each statement about a role, with the name of its role or policy."""
    for each in template.of_type("AWS::IAM::Policy"):
        yield from ((each["PolicyName"], statement) for statement in each["PolicyDocument"]["Statement"])
    for each in template.of_type("AWS::IAM::Role"):
        yield from (("trust", statement) for statement in each["AssumeRolePolicyDocument"]["Statement"])
        for policy in each.get("Policies", ()):
            yield from ((policy["PolicyName"], statement) for statement in policy["PolicyDocument"]["Statement"])


FORWARDING: Final = {"EventBridgeForwards", "ForwardToTheBot"}
"""The statements of account.yaml that have no policy file: they are about EventBridge's role, not about the bot."""


ACTING: Final = {"EndSessions": "yes", "GiveBack": "yes"}  # parameters for the roles that are optional


@pytest.mark.parametrize(
    "template",
    [bot(**ACTING), federated(), account(**ACTING)],
    ids=["bot", "bot without a secret", "account"],
)
def test_roles_of_the_templates_have_only_statements_of_the_policy_files(template: Template) -> None:
    """Each statement has the same values as in its file, except those that forward events."""
    known = {
        sid: each
        for path in FOLDER.glob("*-*.json")
        if path.stem != "event-pattern"
        for sid, each in file(path.name).items()
    }
    found = [(name, each) for name, each in documents(template) if each["Sid"] not in FORWARDING]
    assert found
    for _, statement in found:
        assert statement == known[statement["Sid"]]


def test_template_of_the_bot_has_every_statement_of_the_policy_files_for_the_bot() -> None:
    """No statement of the policies for the bot's role is forgotten."""
    given = {each["Sid"] for template in (bot(), federated()) for _, each in documents(template)}
    of_the_bot = ("bot", "reader", "table", "app-secret", "federation", "identity-center", "configuration", "members")
    wanted = {sid for name in of_the_bot for sid in file(f"{name}-policy.json")}
    assert wanted <= given


def test_template_of_an_account_has_every_statement_of_the_policy_files_for_it() -> None:
    """These are the policies of the roles that the bot assumes in a member account."""
    given = {each["Sid"] for _, each in documents(account(**ACTING))}
    names = (
        "reader-policy",
        "reader-trust",
        "approver-policy",
        "approver-trust",
        "canceller-policy",
        "canceller-trust",
        "end-sessions-policy",
        "end-sessions-trust",
        "give-back-policy",
        "give-back-trust",
    )
    assert {sid for name in names for sid in file(f"{name}.json")} <= given


def test_account_template_without_roles_has_only_the_event_rule_and_the_role_of_the_rule() -> None:
    """A second Region of an account needs no roles for the bot, because they exist once in an account."""
    kinds = sorted(each["Type"] for each in account(Roles="no").resources.values())
    assert kinds == ["AWS::Events::Rule", "AWS::IAM::Role"]


@pytest.mark.parametrize("make", [bot, account])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, set()),
        ({"EndSessions": "yes"}, {"NodeAccessEndSessions"}),
        ({"GiveBack": "yes"}, {"NodeAccessGiveBack"}),
        ({**ACTING, "Roles": "no"}, set()),
    ],
)
def test_roles_that_end_sessions_and_give_access_back_are_made_only_on_request(
    make: Callable[..., Template], given: dict[str, str], expected: set[str]
) -> None:
    """Each has its own parameter. A second Region has no roles."""
    names = {each.get("RoleName") for each in make(**given).of_type("AWS::IAM::Role")}
    assert names & {"NodeAccessEndSessions", "NodeAccessGiveBack"} == expected


@pytest.mark.parametrize("given", [{}, ACTING])
def test_entry_for_the_file_that_the_account_template_prints_names_the_roles_that_it_made(
    given: dict[str, str],
) -> None:
    """The entry is accepted as it is."""
    template = account(**given)
    made = {f"arn:aws:iam::111122223333:role/{each}" for each in _names(template)}
    channel = f'[[channels]]\nname = "a"\nconversation = "{APPROVERS}"\n'
    (entry,) = parse_configuration(f"{channel}{template.outputs['Account']}\n".encode()).accounts
    roles = {entry.reader_role, entry.cancel_role, entry.end_sessions_role, entry.give_back_role}
    assert roles - {None} == made - {"arn:aws:iam::111122223333:role/NodeAccessApprover"}


def _names(template: Template) -> set[str]:
    return {each["RoleName"] for each in template.of_type("AWS::IAM::Role") if "RoleName" in each}


def test_queue_of_the_template_equals_queue_json() -> None:
    """Retention, dead-letter queue and the senders are the same. The template adds that only TLS is accepted."""
    wanted = json.loads((FOLDER / "queue.json").read_text())
    template = bot()
    queue = next(each for each in template.of_type("AWS::SQS::Queue") if each["QueueName"] == "node-access-events")
    assert str(queue["MessageRetentionPeriod"]) == wanted["MessageRetentionPeriod"]
    assert queue["RedrivePolicy"] == json.loads(wanted["RedrivePolicy"])
    policy, _ = template.of_type("AWS::SQS::QueuePolicy")
    sends, tls = policy["PolicyDocument"]["Statement"]
    assert [sends] == json.loads(wanted["Policy"])["Statement"]
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


@pytest.mark.parametrize("template", [bot(), account()], ids=["bot", "account"])
def test_rule_of_each_template_has_the_documented_event_pattern(template: Template) -> None:
    """The pattern is that of infra/aws/event-pattern.json, so every account sends the same events."""
    (rule,) = template.of_type("AWS::Events::Rule")
    assert rule["EventPattern"] == json.loads((FOLDER / "event-pattern.json").read_text())


def test_event_bus_of_the_template_accepts_only_accounts_of_the_organization() -> None:
    """Without an organization, it accepts no account."""
    (policy,) = bot().of_type("AWS::Events::EventBusPolicy")
    assert policy["Statement"]["Condition"]["StringEquals"]["aws:PrincipalOrgID"] == "o-1234567890"
    assert bot(OrganizationId="").of_type("AWS::Events::EventBusPolicy") == []
    (rule,) = account().of_type("AWS::Events::Rule")
    assert rule["Targets"][0]["Arn"] == BUS == bot().outputs["BusArn"]


def test_table_of_the_template_equals_the_one_that_doctor_creates() -> None:
    """Keys, indexes and time to live are those of `doctor --create-table`."""
    (made,) = bot().of_type("AWS::DynamoDB::Table")
    assert {name: made[name] for name in table.definition()} == table.definition()
    assert made["TimeToLiveSpecification"] == {"AttributeName": table.TIME_TO_LIVE, "Enabled": True}
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_template_with_the_name_of_a_table_uses_that_table_and_makes_none() -> None:
    """A restored table has another name. The former one leaves the stack, and is kept."""
    template = bot(TableName="node-access-restored")
    assert template.of_type("AWS::DynamoDB::Table") == []
    kept = template.body["Resources"]["Table"]
    assert (kept["DeletionPolicy"], kept["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    given = {sid: statement for _, statement in documents(template) if (sid := statement["Sid"]) in file(TABLE)}
    wanted = json.dumps(file(TABLE)).replace(":table/node-access", ":table/node-access-restored")
    assert given == json.loads(wanted)
    (task,) = template.of_type("AWS::ECS::TaskDefinition")
    environment = {each["Name"]: each["Value"] for each in task["ContainerDefinitions"][0]["Environment"]}
    assert environment["NODE_ACCESS_STORE"] == "dynamodb:node-access-restored"


@pytest.mark.parametrize("template", [bot(), federated(), bot(PublicAddress="load-balancer", CertificateArn="arn:c")])
def test_settings_of_the_container_in_the_template_are_valid(template: Template) -> None:
    """Every variable is a setting, and the settings are valid together."""
    (task,) = template.of_type("AWS::ECS::TaskDefinition")
    (container,) = task["ContainerDefinitions"]
    environment = {each["Name"]: each["Value"] for each in container["Environment"]}
    given = {name.removeprefix("NODE_ACCESS_").lower(): value for name, value in environment.items()}
    given["region"] = given.pop("aws_region")
    assert set(given) <= set(Settings.model_fields)
    given["app_secret_arn"] = given.get("app_secret_arn") and given["app_secret_arn"].replace("??????", "a1b2c3")
    settings = Settings(**{name: value for name, value in given.items() if value})
    assert settings.dynamodb_table == "node-access"
    assert settings.queue_url == "https://sqs.ap-northeast-1.amazonaws.com/111122223333/node-access-events"
    (service,) = template.of_type("AWS::ECS::Service")
    assert settings.replicas == service["DesiredCount"]


def test_template_of_a_stopped_bot_runs_no_container_and_disables_its_alarm() -> None:
    """The first deployment makes the bucket, before there is a configuration with which the bot could start."""
    template = bot(Running="no")
    (service,) = template.of_type("AWS::ECS::Service")
    assert service["DesiredCount"] == 0
    alarms = {each["AlarmName"]: each for each in template.of_type("AWS::CloudWatch::Alarm")}
    assert alarms["node-access-bot SweepDone"]["ActionsEnabled"] is False


def test_container_of_the_template_has_a_read_only_file_system_and_an_unprivileged_user() -> None:
    """The template also has the health check, because ECS ignores that of the image."""
    (task,) = bot().of_type("AWS::ECS::TaskDefinition")
    (container,) = task["ContainerDefinitions"]
    assert (container["ReadonlyRootFilesystem"], container["User"]) == (True, "10001:10001")
    assert container["HealthCheck"]["Command"] == ["CMD", "node-access-bot", "health"]


@pytest.mark.parametrize(
    ("address", "has", "has_not"),
    [
        ("http-api", "AWS::ApiGatewayV2::Api", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
        ("load-balancer", "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ApiGatewayV2::Api"),
    ],
)
def test_public_address_of_the_template_has_only_the_path_of_teams(address: str, has: str, has_not: str) -> None:
    """Health and metrics are not reachable from the internet."""
    template = bot(PublicAddress=address, CertificateArn="arn:aws:acm:ap-northeast-1:111122223333:certificate/1")
    assert template.of_type(has)
    assert not template.of_type(has_not)
    routes = [each["RouteKey"].split()[1] for each in template.of_type("AWS::ApiGatewayV2::Route")]
    rules = template.of_type("AWS::ElasticLoadBalancingV2::ListenerRule")
    paths = [path for rule in rules for each in rule["Conditions"] for path in each["PathPatternConfig"]["Values"]]
    assert [*routes, *paths] == ["/api/messages"]


def test_template_for_a_second_region_creates_nothing_with_a_name_of_the_first_stack() -> None:
    """Names of roles and buckets are global. The first stack's role gets more policies, and none is replaced."""
    first, second = bot(), bot(Roles="no")
    assert [each.get("RoleName") for each in second.of_type("AWS::IAM::Role")] == [None]  # ECS starts the container
    policies = {each["PolicyName"] for each in first.of_type("AWS::IAM::Policy")}
    added = second.of_type("AWS::IAM::Policy")
    assert {each["PolicyName"] for each in added} == {
        f"{name}-ap-northeast-1" for name in ("Bot", "Read", "Table", "AppSecret", "Configuration")
    }
    assert policies.isdisjoint(each["PolicyName"] for each in added)
    every = [each["PolicyDocument"] for each in (*first.of_type("AWS::IAM::Policy"), *added)]
    assert sum(len(json.dumps(each, separators=(",", ":"))) for each in every) < MOST_INLINE
    assert {*(role for each in added for role in each["Roles"])} == {"NodeAccessBot"}
    (bucket,), (former,) = second.of_type("AWS::S3::Bucket"), first.of_type("AWS::S3::Bucket")
    assert bucket["BucketName"] == f"{former['BucketName']}-ap-northeast-1"
    (task,) = second.of_type("AWS::ECS::TaskDefinition")
    assert task["TaskRoleArn"] == second.outputs["BotRoleArn"] == ROLE
    statements = {sid for _, each in documents(second) if (sid := each["Sid"])}
    assert {"TakeEvents", "KeepRows", "FindRows", "ReadTheAppSecret", "ReadTheConfiguration"} <= statements


def test_template_keeps_the_bucket_and_creates_no_configuration_in_it() -> None:
    """Otherwise an update of the stack could bring back an approver who was removed, or delete the versions."""
    body = bot().body["Resources"]["Bucket"]
    assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert body["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "toml" not in json.dumps(body["Properties"])
    (policy,) = bot().of_type("AWS::S3::BucketPolicy")
    denied = next(each for each in policy["PolicyDocument"]["Statement"] if each["Sid"] == "TheBotNeverWrites")
    assert (denied["Effect"], denied["Principal"], denied["NotAction"]) == ("Deny", {"AWS": ROLE}, "s3:GetObject")


def test_nobody_may_remove_versions_of_the_configuration_from_the_bucket() -> None:
    """Without the newest version, the one before counts again, with an approver who was removed since.

    The template denies it as the policy file does, to every principal and without a condition.
    """
    wanted = file("bucket-policy.json")
    (policy,) = bot().of_type("AWS::S3::BucketPolicy")
    given = {each["Sid"]: each for each in policy["PolicyDocument"]["Statement"]}
    assert wanted.items() <= given.items()
    (denied,) = wanted.values()
    assert (denied["Effect"], denied["Principal"], "Condition" in denied) == ("Deny", "*", False)
    assert set(denied["Action"]) == {"s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration"}


def test_every_alarm_of_the_template_has_a_metric_filter_for_existing_log_events() -> None:
    """A filter for an event that the bot does not log would never count anything."""
    template = bot()
    filters = {
        change["MetricName"]: each["FilterPattern"]
        for each in template.of_type("AWS::Logs::MetricFilter")
        for change in each["MetricTransformations"]
    }
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    own = {each["MetricName"] for each in alarms if each["Namespace"] == "NodeAccessBot"}
    assert own == set(filters)
    events = {name for pattern in filters.values() for name in re.findall(r'\$\.event = "(\w+)"', pattern)}
    assert events
    assert events <= set(EVENTS)
    assert all(each["AlarmDescription"] and each["AlarmActions"] for each in alarms)


@pytest.mark.parametrize(("address", "front"), [("http-api", "Route"), ("load-balancer", "ListenerRule")])
def test_service_is_created_after_what_is_in_front_of_it(address: str, front: str) -> None:
    """ECS refuses a service whose target group has no listener yet."""
    (service,) = bot(PublicAddress=address, CertificateArn="arn:c").of_type("AWS::ECS::Service")
    assert {"Key": "front", "Value": front} in service["Tags"]


def test_alarm_about_an_event_that_is_logged_once_does_not_report_its_end() -> None:
    """Five minutes without a new line do not mean that the problem is over."""
    template = bot()
    lasting = {"SweepDone", "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}
    ends = {each["MetricName"] for each in template.of_type("AWS::CloudWatch::Alarm") if "OKActions" in each}
    assert ends == lasting


def test_dashboard_of_the_template_has_only_metrics_with_a_filter() -> None:
    """Its body is JSON."""
    template = bot()
    (dashboard,) = template.of_type("AWS::CloudWatch::Dashboard")
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    shown = {
        each[1] for widget in widgets for each in widget["properties"].get("metrics", ()) if each[0] == "NodeAccessBot"
    }
    made = {each["MetricTransformations"][0]["MetricName"] for each in template.of_type("AWS::Logs::MetricFilter")}
    assert shown
    assert shown <= made


@pytest.mark.parametrize("name", ["bot.yaml", "account.yaml"])
def test_cfn_lint_finds_no_problem_in_the_template(name: str) -> None:
    """The tool is by AWS."""
    lint = Path(sys.executable).parent / "cfn-lint"
    result = subprocess.run([lint, FOLDER / name], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "")
