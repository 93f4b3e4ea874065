"""Another account or Region of a simulated AWS: a node, a policy, roles, and requests for access."""

import asyncio
import json
from dataclasses import dataclass

from bot.sandbox.aws.jit.policies import MANUAL
from bot.sandbox.aws.nodes import HybridNode, Platform
from bot.sandbox.aws.server import SandboxAws
from bot.sandbox.aws.world import REQUESTER, level, manual_policy

CONSOLE = "alex.wilber@example.com"


@dataclass(frozen=True, slots=True)
class OtherPlace:
    """One account and Region with one node. Its policy lists the account's own approver role."""

    aws: SandboxAws
    account: str
    region: str

    def role(self, name: str) -> str:
        """Return the ARN of a role of this account."""
        return f"arn:aws:iam::{self.account}:role/{name}"

    @property
    def node(self) -> str:
        """The node's id."""
        return f"mi-{int(self.account) % 16**8:08x}{sum(self.region.encode()):09x}"

    def set_up(self, *roles: str) -> None:
        """Create the node, its policy and the roles, including the given ones."""
        for name in ("NodeAccessApprover", "Operator", *roles):
            self.aws.callers.add_role(self.role(name))
        name = f"gw-{self.account}-{self.region}"
        tags = (("Environment", "production"), ("Name", name))
        self.aws.nodes.add_hybrid(
            HybridNode(self.node, self.account, self.region, name, name, "10.1.2.3", Platform(), tags)
        )
        content = manual_policy(
            [level("ManualApproval", self.role("NodeAccessApprover"))], targets={"InstanceIds": ["*"]}
        )
        client = self.aws.client("ssm", self.aws.session(self.role("Operator"), "admin"), region=self.region)
        client.create_document(Name="Branch-Nodes", Content=json.dumps(content), DocumentType=MANUAL)

    async def ask(self, reason: str = "ログを確認します") -> str:
        """Request access as the sample requester. Return the OpsItem id."""
        session = self.aws.session(self.role("Operator"), REQUESTER)
        client = self.aws.client("ssm", session, region=self.region)
        targets = [{"Key": "InstanceIds", "Values": [self.node]}]
        started = await asyncio.to_thread(client.start_access_request, Reason=reason, Targets=targets)
        return str(started["AccessRequestId"])

    async def decide(self, request: str, kind: str) -> None:
        """Send a signal as a person in the AWS console."""
        session = self.aws.session(self.role("NodeAccessApprover"), CONSOLE)
        found = self.aws.state.find(request, account=self.account, region=self.region)
        assert found is not None
        client = self.aws.client("ssm", session, region=self.region)
        await asyncio.to_thread(
            client.send_automation_signal, AutomationExecutionId=found.execution_id, SignalType=kind
        )
