"""The sample world: one account of a small company with nodes, approval policies, roles and a queue.

Sample data only; the product must not depend on it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from bot.sandbox.aws.callers import Callers, Session
from bot.sandbox.aws.jit.assumptions import ROLE_APPROVER
from bot.sandbox.aws.jit.policies import AUTO, MANUAL
from bot.sandbox.aws.jit.shapes import TOKEN_ROLE
from bot.sandbox.aws.nodes import HybridNode, Nodes, Platform

ACCOUNT: Final = "111122223333"
REGION: Final = "ap-northeast-1"
QUEUE: Final = "node-access-events"
BOT_KEY: Final = "SANDBOXKEYOFTHEBOT01"
APPROVER_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessApprover"
LEAD_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessLead"
CANCELLER: Final = "NodeAccessCanceller"  # the role, in any account, that may cancel other people's requests
CANCELLER_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/{CANCELLER}"
ENDER: Final = "NodeAccessEndSessions"  # the role, in any account, that may end other people's sessions
END_SESSIONS_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/{ENDER}"
GIVER: Final = "NodeAccessGiveBack"  # the role, in any account, in which requesters give their access back
GIVE_BACK_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/{GIVER}"
OPERATOR_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/Operator"
BOT_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessBot"
REQUESTER: Final = "taro.yamada@example.com"
Tags = tuple[tuple[str, str], ...]
MAX_RECEIVES = 20  # deliveries; after that, SQS moves a message to the dead-letter queue


@dataclass(frozen=True, slots=True)
class Ec2Node:
    """An EC2 instance to start."""

    name: str
    ip: str
    platform: Platform
    tags: Tags


EC2_NODES: Final = (
    Ec2Node(
        "web-prod-01",
        "172.31.10.21",
        Platform(),
        (
            ("Environment", "production"),
            ("Owner", "鈴木 芽依"),
            ("Team", "決済基盤チーム"),
            ("Service", "オンラインストア"),
            ("AccessTier", "standard"),
        ),
    ),
    Ec2Node(
        "db-prod-01",
        "172.31.20.5",
        Platform(name="Red Hat Enterprise Linux", version="9.6"),
        (
            ("Environment", "production"),
            ("Owner", "田中 一郎"),
            ("Team", "データ基盤チーム"),
            ("Service", "受注データベース"),
            ("AccessTier", "restricted"),
        ),
    ),
    Ec2Node(
        "batch-01",
        "172.31.10.40",
        Platform(),
        (("Environment", "staging"), ("AccessTier", "standard"), ("Workload", "batch")),  # two policies target it
    ),
    Ec2Node(
        "web-dev-01",
        "172.31.30.8",
        Platform("Windows", "Microsoft Windows Server 2022 Datacenter", "10.0.20348"),
        (("Environment", "development"), ("Team", "決済基盤チーム")),
    ),
    Ec2Node(
        "cache-stg-01",
        "172.31.10.60",
        Platform(),
        (("Environment", "staging"), ("Team", "決済基盤チーム"), ("AccessTier", "one-minute")),
    ),
    Ec2Node("bastion-01", "172.31.40.2", Platform(), (("Environment", "shared"),)),  # no policy targets it
)
HYBRID_NODE: Final = HybridNode(
    id="mi-0a1b2c3d4e5f67890",
    account=ACCOUNT,
    region=REGION,
    name="factory-gw-osaka",
    computer_name="factory-gw-osaka.example.com",
    ip="10.20.30.40",
    platform=Platform(name="Ubuntu", version="24.04"),
    tags=(
        ("Environment", "production"),
        ("Owner", "Priya Nair"),
        ("Service", "工場ゲートウェイ"),
        ("AccessTier", "standard"),
    ),
)
ENGLISH_TAGS: Final = {  # the tags' Japanese values in a sandbox in English
    "鈴木 芽依": "Mei Suzuki",
    "田中 一郎": "Ichiro Tanaka",
    "決済基盤チーム": "Payments platform",
    "データ基盤チーム": "Data platform",
    "オンラインストア": "Online store",
    "受注データベース": "Order database",
    "工場ゲートウェイ": "Factory gateway",
}
AUTO_POLICY: Final = {
    "schemaVersion": "0.3",
    "description": "Development nodes need no approval",
    "accessTokenRole": TOKEN_ROLE,
    "accessDuration": 3600,
    "AutoApprovalPolicyDocuments": [
        {
            "type": "Cedar",
            "content": 'permit (principal, action == AWS::SSM::Action::"getTokenForInstanceAccess", resource) '
            'when { resource.hasTag("Environment") && resource.getTag("Environment") == "development" };',
        }
    ],
}


@dataclass(frozen=True, slots=True)
class World:
    """Ids, addresses and sessions of the sample account."""

    account: str
    region: str
    queue_url: str
    dead_letter_queue_url: str
    nodes: dict[str, str]  # Name tag -> node id
    bot: Session  # the product's own credentials
    requester: Session
    approver_role: str
    lead_role: str
    operator_role: str


def level(name: str, *roles: str, needed: int = 1, timeout: int = 604_800, kind: str = ROLE_APPROVER) -> dict[str, Any]:
    """Return one aws:approve step of a manual approval policy: `needed` approvals within `timeout` seconds."""
    return {
        "name": name,
        "action": "aws:approve",
        "timeoutSeconds": timeout,
        "inputs": {
            "Message": "Please approve this request",
            "MinRequiredApprovals": needed,
            "EnhancedApprovals": {"Approvers": [{"approver": role, "type": kind} for role in roles]},
        },
    }


def manual_policy(
    levels: Sequence[dict[str, Any]], *, targets: dict[str, list[str]], access_seconds: int = 3600
) -> dict[str, Any]:
    """Return the content of a manual approval policy document; a target's key is `tag:Name` or `InstanceIds`."""
    return {
        "schemaVersion": "0.3",
        "accessDuration": access_seconds,
        "description": "",
        "accessTokenRole": TOKEN_ROLE,
        "targets": [{"Key": key, "Values": values} for key, values in targets.items()],
        "mainSteps": list(levels),
    }


MANUAL_POLICIES: Final = {
    "Standard-Nodes": manual_policy(
        [level("ManualApproval", APPROVER_ROLE)], targets={"tag:AccessTier": ["standard"]}, access_seconds=28_800
    ),
    "Restricted-Nodes": manual_policy(
        [level("Level1", APPROVER_ROLE), level("Level2", LEAD_ROLE)], targets={"tag:AccessTier": ["restricted"]}
    ),
    "Batch-Nodes": manual_policy([level("ManualApproval", APPROVER_ROLE)], targets={"tag:Workload": ["batch"]}),
    "One-Minute-Nodes": manual_policy(
        [level("ManualApproval", APPROVER_ROLE, timeout=60)], targets={"tag:AccessTier": ["one-minute"]}
    ),
}
# The access of these policies ends sooner than in AWS, whose shortest duration is an hour: a person can wait for it.
SHORT_ACCESS: Final = {"One-Minute-Nodes": timedelta(minutes=1)}

QUEUE_POLICY: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}",
        }
    ],
}


def admit(callers: Callers) -> tuple[Session, Session]:
    """Create the sample roles; return the sessions of the bot and of the requester."""
    acting = (APPROVER_ROLE, LEAD_ROLE, CANCELLER_ROLE, END_SESSIONS_ROLE, GIVE_BACK_ROLE)
    for role in (*acting, OPERATOR_ROLE, BOT_ROLE):
        callers.add_role(role)
    bot = callers.bootstrap(BOT_KEY, role_arn=BOT_ROLE, session_name="node-access-bot")
    return bot, callers.assume(OPERATOR_ROLE, REQUESTER)


def build(*, ec2: Any, sqs: Any, ssm: Any, nodes: Nodes, bot: Session, requester: Session, locale: str) -> World:
    """Create the sample account's resources with boto3 clients, as its owner would.

    `locale` (`en` or `ja`) is the language of the nodes' tags.
    """
    dead, queue = _queues(sqs)
    for name, content in MANUAL_POLICIES.items():
        ssm.create_document(Name=name, Content=json.dumps(content, ensure_ascii=False), DocumentType=MANUAL)
    ssm.create_document(
        Name="SSM-JustInTimeAccessAutoApprovalPolicy", Content=json.dumps(AUTO_POLICY), DocumentType=AUTO
    )
    nodes.add_hybrid(replace(HYBRID_NODE, tags=tags_in(locale, HYBRID_NODE.tags)))
    ids = {node.name: start_instance(ec2, nodes, replace(node, tags=tags_in(locale, node.tags))) for node in EC2_NODES}
    return World(
        account=ACCOUNT,
        region=REGION,
        queue_url=queue,
        dead_letter_queue_url=dead,
        nodes={**ids, HYBRID_NODE.name: HYBRID_NODE.id},
        bot=bot,
        requester=requester,
        approver_role=APPROVER_ROLE,
        lead_role=LEAD_ROLE,
        operator_role=OPERATOR_ROLE,
    )


def tags_in(locale: str, tags: Tags) -> Tags:
    """Return the tags of a sample node, which are written in Japanese, with values in this language."""
    return tuple((key, ENGLISH_TAGS.get(value, value) if locale == "en" else value) for key, value in tags)


def start_instance(ec2: Any, nodes: Nodes, node: Ec2Node) -> str:
    """Start an EC2 instance; return its id, which moto generates."""
    tags = [{"Key": key, "Value": value} for key, value in (("Name", node.name), *node.tags)]
    started = ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        InstanceType="t3.small",
        PrivateIpAddress=node.ip,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    instance_id = str(started["Instances"][0]["InstanceId"])
    nodes.set_platform(instance_id, node.platform)
    return instance_id


def _queues(sqs: Any) -> tuple[str, str]:
    dead = sqs.create_queue(QueueName=f"{QUEUE}-dead")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}-dead"
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES})
    attributes = {"RedrivePolicy": redrive, "Policy": json.dumps(QUEUE_POLICY)}
    return dead, sqs.create_queue(QueueName=QUEUE, Attributes=attributes)["QueueUrl"]
