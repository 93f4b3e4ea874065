"""Makes the resources of the CloudFormation templates in the simulated AWS, from their resolved JSON.

moto's own CloudFormation leaves out queue policies, bucket policies and bus policies, and fails for a template that
refers to a resource that it leaves out. So each type is made by its own call here. NOT_MADE lists the others.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from bot.sandbox.aws.server import SandboxAws
from tests.system.cloudformation import PSEUDO, Template

NOT_MADE: Final = frozenset(
    {
        "AWS::ApiGatewayV2::Api",
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
        "AWS::ApiGatewayV2::Stage",
        "AWS::ApiGatewayV2::VpcLink",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::EC2::SecurityGroup",
        "AWS::ECS::Cluster",
        "AWS::ECS::Service",
        "AWS::ECS::TaskDefinition",
        "AWS::Events::EventBusPolicy",
        "AWS::Logs::LogGroup",
        "AWS::Logs::MetricFilter",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::ServiceDiscovery::PrivateDnsNamespace",
        "AWS::ServiceDiscovery::Service",
    }
)
"""The types that the bot does not call: its public address, its container, alarms, and policies that moto lacks."""


def deploy(template: Template, aws: SandboxAws) -> None:
    """Make the resources that the bot calls. The queues of the sample world are replaced."""
    sqs = aws.client("sqs")
    for url in sqs.list_queues().get("QueueUrls", ()):
        sqs.delete_queue(QueueUrl=url)
    makers = {
        "AWS::SQS::Queue": _queue,
        "AWS::SQS::QueuePolicy": _queue_policy,
        "AWS::DynamoDB::Table": _table,
        "AWS::S3::Bucket": _bucket,
        "AWS::Events::Rule": _rule,
        "AWS::IAM::Role": _role,
        "AWS::IAM::Policy": _policy,
    }
    resources = template.resources.values()
    if unknown := {each["Type"] for each in resources} - makers.keys() - NOT_MADE:
        raise ValueError(f"types that this module does not know: {sorted(unknown)}")
    for kind, make in makers.items():
        for each in resources:
            if each["Type"] == kind:
                make(aws, each["Properties"])


def _queue(aws: SandboxAws, properties: Mapping[str, Any]) -> None:
    attributes = {"MessageRetentionPeriod": str(properties["MessageRetentionPeriod"])}
    aws.client("sqs").create_queue(QueueName=properties["QueueName"], Attributes=attributes)


def _queue_policy(aws: SandboxAws, properties: Mapping[str, Any]) -> None:
    sqs = aws.client("sqs")
    for url in properties["Queues"]:
        here = sqs.get_queue_url(QueueName=url.rpartition("/")[2])["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=here, Attributes={"Policy": json.dumps(properties["PolicyDocument"])})


def _table(aws: SandboxAws, properties: Mapping[str, Any]) -> None:
    dynamodb, name = aws.client("dynamodb"), properties["TableName"]
    own = {"TimeToLiveSpecification", "PointInTimeRecoverySpecification"}
    dynamodb.create_table(**{key: value for key, value in properties.items() if key not in own})
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"])
    dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification=properties["PointInTimeRecoverySpecification"]
    )


def _bucket(aws: SandboxAws, properties: Mapping[str, Any]) -> None:
    s3, name = aws.client("s3"), properties["BucketName"]
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": PSEUDO["AWS::Region"]})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=properties["VersioningConfiguration"])


def _rule(aws: SandboxAws, properties: Mapping[str, Any]) -> None:
    events, name = aws.client("events"), properties["Name"]
    events.put_rule(Name=name, EventPattern=json.dumps(properties["EventPattern"]))
    events.put_targets(Rule=name, Targets=[{"Id": each["Id"], "Arn": each["Arn"]} for each in properties["Targets"]])


def _role(aws: SandboxAws, properties: Mapping[str, Any]) -> None:
    if name := properties.get("RoleName"):
        arn = f"arn:aws:iam::{PSEUDO['AWS::AccountId']}:role/{name}"
        aws.callers.add_role(arn, trust=properties["AssumeRolePolicyDocument"])


def _policy(aws: SandboxAws, properties: Mapping[str, Any]) -> None:
    """Do nothing: tests/contract/test_permissions.py compares the policies with the calls."""
    del aws, properties
