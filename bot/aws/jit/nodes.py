"""Looks nodes up: name, platform, private address and tags, by which people judge a request.

EC2 instances (`i-…`) are EC2's, hybrid-activated nodes (`mi-…`) are known to Systems Manager alone.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_InstanceInformation.html
"""

import asyncio
from collections.abc import Mapping

import structlog
from cachetools import TTLCache

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.combine import Looked
from bot.boto.failures import CallFailed
from bot.boto.fields import rows, text
from bot.domain.request import Node
from bot.ports.clock import Clock

KEPT_SECONDS = 60.0  # one request is looked at several times within a minute; a changed tag shows after it
KEPT = 2000  # nodes
PROMPT_SECONDS = 3.0  # a card appears within seconds, if need be without the node's name, and is completed later
log = structlog.get_logger(__name__)

Facts = Mapping[str, object]
Tags = tuple[tuple[str, str], ...]


class Nodes:
    """Looks nodes up, each once at a time, and keeps complete answers for a short while."""

    def __init__(self, clients: Clients, *, clock: Clock) -> None:
        self._clients = clients
        self._kept: TTLCache[tuple[Place, str], Node] = TTLCache(KEPT, ttl=KEPT_SECONDS, timer=clock.epoch)
        self._under_way: dict[tuple[Place, str], asyncio.Task[Looked[Node]]] = {}

    async def look(self, place: Place, node_id: str | None) -> Looked[Node]:
        """Return what can be read of a node promptly; what takes longer is there for a later look. Never raises."""
        if node_id is None:
            return Looked(Node(""), complete=False)
        if kept := self._kept.get((place, node_id)):
            return Looked(kept)
        task = self._under_way.get((place, node_id)) or self._begin(place, node_id)
        await asyncio.wait({task}, timeout=PROMPT_SECONDS)
        return task.result() if task.done() else Looked(Node(node_id), complete=False)

    async def close(self) -> None:
        """Wait for the looks under way."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _begin(self, place: Place, node_id: str) -> asyncio.Task[Looked[Node]]:
        task = asyncio.create_task(self._look(place, node_id))
        self._under_way[place, node_id] = task
        task.add_done_callback(lambda _: self._under_way.pop((place, node_id), None))
        return task

    async def _look(self, place: Place, node_id: str) -> Looked[Node]:
        looked = await (self._hybrid(place, node_id) if node_id.startswith("mi-") else self._ec2(place, node_id))
        if looked.complete:
            self._kept[place, node_id] = looked.found
        return looked

    async def _ec2(self, place: Place, node_id: str) -> Looked[Node]:
        instance, agent = await asyncio.gather(self._instance(place, node_id), self._agent(place, node_id))
        if instance is None:
            return Looked(_described(Node(node_id), agent), complete=False)
        tags = _tags(instance.get("Tags"))
        node = Node(
            node_id,
            name=dict(tags).get("Name"),
            platform=_system(agent) or text(instance.get("PlatformDetails")),
            private_ip=text(instance.get("PrivateIpAddress")),
            tags=tags,
        )
        return Looked(node)

    async def _hybrid(self, place: Place, node_id: str) -> Looked[Node]:
        agent, tags = await asyncio.gather(self._agent(place, node_id), self._hybrid_tags(place, node_id))
        named = dict(tags or ()).get("Name") or text((agent or {}).get("Name"))
        node = _described(Node(node_id, name=named, tags=tags), agent)
        return Looked(node, complete=agent is not None and tags is not None)

    # --- calls; None: could not be read

    async def _instance(self, place: Place, node_id: str) -> Facts | None:
        answer = await self._read(place, "ec2", "describe_instances", InstanceIds=[node_id])
        reservations = rows((answer or {}).get("Reservations"))
        found = (each for reservation in reservations for each in rows(reservation.get("Instances")))
        return next((each for each in found if each.get("InstanceId") == node_id), None)

    async def _agent(self, place: Place, node_id: str) -> Facts | None:
        """Return what the node's agent reports, if it ever did."""
        wanted = {"Key": "InstanceIds", "Values": [node_id]}
        answer = await self._read(place, "ssm", "describe_instance_information", Filters=[wanted])
        listed = rows((answer or {}).get("InstanceInformationList"))
        return next((each for each in listed if each.get("InstanceId") == node_id), None)

    async def _hybrid_tags(self, place: Place, node_id: str) -> Tags | None:
        answer = await self._read(
            place, "ssm", "list_tags_for_resource", ResourceType="ManagedInstance", ResourceId=node_id
        )
        return None if answer is None else _tags(answer.get("TagList"))

    async def _read(self, place: Place, service: str, operation: str, **params: object) -> Facts | None:
        try:
            return await self._clients.read(place, service, operation, Lane.LOOK, **params)
        except CallFailed as failed:
            log.warning("node_unreadable", operation=operation, account=place.account, code=failed.code)
            return None


def _described(node: Node, agent: Facts | None) -> Node:
    """Add what the agent tells."""
    told = agent or {}
    return Node(
        node.id,
        name=node.name or text(told.get("ComputerName")),
        platform=_system(agent),
        private_ip=text(told.get("IPAddress")),
        tags=node.tags,
    )


def _system(agent: Facts | None) -> str | None:
    """Return the operating system and its version, like `Amazon Linux 2023`."""
    parts = (text((agent or {}).get(name)) for name in ("PlatformName", "PlatformVersion"))
    return " ".join(each for each in parts if each) or None


def _tags(listed: object) -> Tags:
    pairs = ((text(each.get("Key")), each.get("Value")) for each in rows(listed))
    return tuple((key, text(value) or "") for key, value in pairs if key)
