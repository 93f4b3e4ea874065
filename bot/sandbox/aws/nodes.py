"""The nodes: moto's EC2 instances and the sandbox's hybrid-activated machines, as Systems Manager shows them.

Answers DescribeInstanceInformation for both and ListTagsForResource for hybrid nodes. Does not know access requests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.ec2.exceptions import InvalidInstanceIdError
from moto.ec2.models import ec2_backends

from bot.sandbox.aws.callers import Caller
from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.jit.documents import NotOurs
from bot.sandbox.aws.jit.filters import page
from bot.sandbox.aws.jit.operations import Operation, Params

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Platform:
    """The operating system that the agent reports."""

    type: str = "Linux"
    name: str = "Amazon Linux"
    version: str = "2023"


@dataclass(frozen=True, slots=True)
class HybridNode:
    """A machine outside EC2, activated with Systems Manager."""

    id: str  # mi-…
    account: str
    region: str
    name: str
    computer_name: str
    ip: str
    platform: Platform
    tags: tuple[tuple[str, str], ...]


class Nodes:
    """All nodes of every account and Region."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._hybrid: dict[str, HybridNode] = {}
        self._platforms: dict[str, Platform] = {}

    def add_hybrid(self, node: HybridNode) -> None:
        """Register a hybrid node."""
        self._hybrid[node.id] = node

    def set_platform(self, instance_id: str, platform: Platform) -> None:
        """Set the operating system of an EC2 instance, because moto has none."""
        self._platforms[instance_id] = platform

    def tags(self, node_id: str, *, account: str, region: str) -> dict[str, str] | None:
        """Return a node's tags, or None if the node does not exist in this account and Region."""
        if node := self._hybrid_in(account, region).get(node_id):
            return dict(node.tags)
        try:
            instance = ec2_backends[account][region].get_instance(node_id)
        except InvalidInstanceIdError:
            return None
        return {t["key"]: t["value"] for t in instance.get_tags()}

    def table(self) -> dict[tuple[str, str], Operation]:
        """Return the operations of this class, by service and operation."""
        return {
            ("ssm", "DescribeInstanceInformation"): self.describe_instance_information,
            ("ssm", "ListTagsForResource"): self.list_tags_for_resource,
        }

    def describe_instance_information(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return the agents' reports that pass the filters."""
        rows = [*self._ec2_rows(caller), *self._hybrid_rows(caller)]
        wanted = [(f["Key"], f["Values"]) for f in params.get("Filters", [])]
        wanted += [(f["key"], f["valueSet"]) for f in params.get("InstanceInformationFilterList", [])]
        found = [r for r in rows if all(self._passes(r, key, values, caller) for key, values in wanted)]
        shown, more = page(found, params, "InvalidNextToken")
        return {"InstanceInformationList": shown, **more}

    def list_tags_for_resource(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return the tags of a hybrid node. Raises NotOurs for other resource types, AwsError for an unknown node."""
        if params["ResourceType"] != "ManagedInstance":
            raise NotOurs
        node = self._hybrid_in(caller.account, caller.region).get(params["ResourceId"])
        if node is None:
            raise AwsError("InvalidResourceId", f"{params['ResourceId']} is no managed instance.")
        return {"TagList": [{"Key": k, "Value": v} for k, v in node.tags]}

    def _passes(self, row: Row, key: str, values: list[str], caller: Caller) -> bool:
        members = {
            "InstanceIds": "InstanceId",
            "PingStatus": "PingStatus",
            "PlatformTypes": "PlatformType",
            "ResourceType": "ResourceType",
        }
        if key.startswith("tag:"):
            tags = self.tags(row["InstanceId"], account=caller.account, region=caller.region) or {}
            return tags.get(key.removeprefix("tag:")) in values
        if key not in members:
            raise AwsError("InvalidFilterKey", f"The sandbox has no filter {key}.")
        return row[members[key]] in values

    def _hybrid_in(self, account: str, region: str) -> dict[str, HybridNode]:
        return {n.id: n for n in self._hybrid.values() if (n.account, n.region) == (account, region)}

    def _ec2_rows(self, caller: Caller) -> list[Row]:
        instances = ec2_backends[caller.account][caller.region].all_running_instances()
        return [
            {
                **self._row(i.id, self._platforms.get(i.id, Platform())),
                "ResourceType": "EC2Instance",
                "IPAddress": i.private_ip,
                "ComputerName": _host_name(str(i.private_ip), caller.region),
                "SourceId": i.id,
                "SourceType": "AWS::EC2::Instance",
            }
            for i in instances
        ]

    def _hybrid_rows(self, caller: Caller) -> list[Row]:
        return [
            {
                **self._row(n.id, n.platform),
                "ResourceType": "ManagedInstance",
                "Name": n.name,
                "IPAddress": n.ip,
                "ComputerName": n.computer_name,
                "SourceId": n.id,
                "SourceType": "AWS::SSM::ManagedInstance",
            }
            for n in self._hybrid_in(caller.account, caller.region).values()
        ]

    def _row(self, node_id: str, platform: Platform) -> Row:
        return {
            "InstanceId": node_id,
            "PingStatus": "Online",
            "LastPingDateTime": self._now(),
            "AgentVersion": "3.3.1611.0",
            "IsLatestVersion": True,
            "PlatformType": platform.type,
            "PlatformName": platform.name,
            "PlatformVersion": platform.version,
        }


def _host_name(ip: str, region: str) -> str:
    """Return the host name in EC2's form: `ip-172-31-10-21.<Region>.compute.internal`."""
    return f"ip-{ip.replace('.', '-')}.{region}.compute.internal"
