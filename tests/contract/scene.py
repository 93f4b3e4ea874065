"""The sandbox's AWS with a clock that tests move, and the calls of requesters, approvers and admins in tests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from bot.sandbox.aws.jit.policies import MANUAL
from bot.sandbox.aws.nodes import Platform
from bot.sandbox.aws.world import Ec2Node, manual_policy, start_instance
from tests.fakes.aws_faults import FaultyAws

ALWAYS_FREE = "10.0.0.1"  # moto lets several nodes share an address


class HandClock:
    """`ports.clock.Clock` that a test moves. `sleep` moves it and does not wait. Calling the clock returns the time."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the current time: the sandbox takes its clock as a function."""
        return self.moment

    def now(self) -> datetime:
        """Return the current time."""
        return self.moment

    def epoch(self) -> float:
        """Return the time in seconds since 1970."""
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.move(seconds=seconds)

    def move(self, **delta: float) -> None:
        """Move the clock forward, by the arguments of a timedelta."""
        self.moment += timedelta(**delta)


@dataclass(frozen=True, slots=True)
class Asked:
    """One access request: its OpsItem id and its execution id, which is empty if the request needs no approval."""

    id: str
    execution_id: str


class Scene:
    """The sandbox, and the clients of the people who use it. These clients do not retry."""

    def __init__(self, aws: FaultyAws, clock: HandClock) -> None:
        self.aws, self.clock = aws, clock
        self.bot = aws.client("ssm")
        self.requester = aws.client("ssm", aws.world.requester)

    def ask(self, *nodes: str, reason: str = "ログを確認します") -> Asked:
        """Request access as the requester: to the named nodes, or to web-prod-01 if none is named."""
        ids = [self.aws.world.nodes.get(node, node) for node in nodes or ("web-prod-01",)]
        targets = [{"Key": "InstanceIds", "Values": [each]} for each in ids]
        ops_item_id = self.requester.start_access_request(Reason=reason, Targets=targets)["AccessRequestId"]
        return Asked(ops_item_id, self.about(ops_item_id)["automationExecutionId"])

    def about(self, ops_item_id: str) -> dict[str, Any]:
        """Return the decoded `/aws/accessrequest` of an OpsItem."""
        decoded: dict[str, Any] = json.loads(
            self.ops_item(ops_item_id)["OperationalData"]["/aws/accessrequest"]["Value"]
        )
        return decoded

    def ops_item(self, ops_item_id: str) -> dict[str, Any]:
        """Return the OpsItem."""
        item: dict[str, Any] = self.bot.get_ops_item(OpsItemId=ops_item_id)["OpsItem"]
        return item

    def status(self, asked: Asked) -> str:
        """Return the OpsItem's status."""
        return str(self.ops_item(asked.id)["Status"])

    def execution(self, asked: Asked) -> dict[str, Any]:
        """Return the automation execution."""
        found: dict[str, Any] = self.bot.get_automation_execution(AutomationExecutionId=asked.execution_id)
        execution: dict[str, Any] = found["AutomationExecution"]
        return execution

    def step_words(self, asked: Asked) -> list[str]:
        """Return the status of every step."""
        return [s["StepStatus"] for s in self.execution(asked)["StepExecutions"]]

    def approver(self, name: str = "hanako.sato@example.com", role: str | None = None) -> Any:
        """Return the SSM client of a person who assumed an approver role."""
        return self.aws.client("ssm", self.aws.session(role or self.aws.world.approver_role, name))

    def lead(self, name: str = "priya.nair@example.com") -> Any:
        """Return the SSM client of a person who assumed the lead role."""
        return self.approver(name, self.aws.world.lead_role)

    def node(self, **tags: str) -> str:
        """Start a node with tags; return its id."""
        node = Ec2Node(f"node-{uuid4()}", ALWAYS_FREE, Platform(), tuple(tags.items()))
        return start_instance(self.aws.client("ec2"), self.aws.nodes, node)

    def policy(self, *levels: dict[str, Any], **kwargs: Any) -> str:
        """Create a manual policy for a new tag, and a node with this tag. Return the node's id."""
        tag = f"T{uuid4().hex}"
        content = manual_policy(levels, targets={f"tag:{tag}": ["yes"]}, **kwargs)
        self.bot.create_document(Name=f"Policy-{tag}", Content=json.dumps(content), DocumentType=MANUAL)
        return self.node(**{tag: "yes"})

    def events(self, of: Asked | None = None) -> list[dict[str, Any]]:
        """Receive and delete all events in the queue. Return them in the order of receipt, all or those of one request."""
        sqs, taken = self.aws.client("sqs"), list[dict[str, Any]]()
        while found := sqs.receive_message(QueueUrl=self.aws.world.queue_url, MaxNumberOfMessages=10).get("Messages"):
            taken += [json.loads(m["Body"]) for m in found]
            for message in found:
                sqs.delete_message(QueueUrl=self.aws.world.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return [event for event in taken if of is None or event["detail"]["OpsItemId"] == of.id]


def signal(client: Any, asked: Asked, kind: str = "Approve", comment: str = "") -> None:
    """Send a signal to the execution of a request, with the given person's client."""
    payload = {"Payload": {"Comment": [comment]}} if comment else {}
    client.send_automation_signal(AutomationExecutionId=asked.execution_id, SignalType=kind, **payload)


@contextmanager
def refused(code: str) -> Iterator[None]:
    """Expect that AWS refuses a call with this error code."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code


@contextmanager
def staged(**settings: Any) -> Iterator[Scene]:
    """Run a sandbox. Fail at the end if it recorded an internal error."""
    clock = HandClock()
    with FaultyAws.start(now=clock, **settings) as aws:
        yield Scene(aws, clock)
        assert aws.mistakes == []
