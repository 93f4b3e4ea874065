"""Looks up nodes: name, platform, private address and tags, which help people to decide.

EC2 describes instances (`i-…`); only Systems Manager knows hybrid-activated nodes (`mi-…`).
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_InstanceInformation.html
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog
from cachetools import TTLCache

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.combine import Part
from bot.boto.failures import CallFailed
from bot.boto.fields import rows, text
from bot.concurrency.single_flight import SingleFlight
from bot.domain.request import Node
from bot.ports.clock import Clock
from bot.text.invisible import is_visible

KEPT_SECONDS = 60.0  # a request is often read several times a minute; a changed tag shows a minute late at most
KEPT = 2000  # nodes
PROMPT_SECONDS = 3.0  # a card must appear within seconds; it may show no node name at first and be completed later
PAGE = 50  # rows; the most that SSM returns. EC2 accepts no page size together with ids
# Names for the values of SourceType that show where a machine is.
_CLOUDS = {
    "Microsoft.Compute/virtualMachines": "Azure",
    "compute.googleapis.com/Instance": "Google Cloud",
    "AWS::IoT::Thing": "AWS IoT Greengrass",
}
_KINDS_OF_AWS = frozenset({"AWS::EC2::Instance", "AWS::SSM::ManagedInstance"})
log = structlog.get_logger(__name__)

Facts = Mapping[str, object]
Tags = tuple[tuple[str, str], ...]


class Nodes:
    """Looks up nodes, each at most once at a time, and caches complete answers for a short while."""

    def __init__(self, clients: Clients, *, clock: Clock) -> None:
        self._clients = clients
        self._kept: TTLCache[tuple[Place, str], Node] = TTLCache(KEPT, ttl=KEPT_SECONDS, timer=clock.epoch)
        self._lookups = SingleFlight(self._look_up)

    async def drain(self) -> None:
        """Wait for running lookups."""
        await self._lookups.drain()

    async def find(self, place: Place, node_ids: Sequence[str]) -> Part[tuple[Node, ...]]:
        """Return the nodes, with the facts that can be read within PROMPT_SECONDS. Never raises.

        The part is incomplete if there is no node. A lookup that takes longer continues, and a later call gets its
        answer.
        """
        found = await asyncio.gather(*(self._find(place, each) for each in node_ids))
        return Part(tuple(each.found for each in found), complete=bool(found) and all(each.complete for each in found))

    async def _find(self, place: Place, node_id: str) -> Part[Node]:
        if kept := self._kept.get((place, node_id)):
            return Part(kept)
        found = await self._lookups.join_briefly(place, node_id, seconds=PROMPT_SECONDS)
        return found or Part(Node(node_id), complete=False)

    async def _look_up(self, place: Place, node_id: str) -> Part[Node]:
        node = await (self._hybrid(place, node_id) if node_id.startswith("mi-") else self._ec2(place, node_id))
        if node.complete:
            self._kept[place, node_id] = node.found
        return node

    async def _ec2(self, place: Place, node_id: str) -> Part[Node]:
        instance, agent = await asyncio.gather(self._instance(place, node_id), self._agent(place, node_id))
        if instance is None:
            return Part(_described(node_id, None, agent), complete=False)
        node = _described(node_id, _tags(instance.get("Tags")), agent)
        platform = node.platform or text(instance.get("PlatformDetails"))
        return Part(replace(node, platform=platform, private_ip=text(instance.get("PrivateIpAddress"))))

    async def _hybrid(self, place: Place, node_id: str) -> Part[Node]:
        agent, tags = await asyncio.gather(self._agent(place, node_id), self._hybrid_tags(place, node_id))
        return Part(_described(node_id, tags, agent), complete=agent is not None and tags is not None)

    # --- calls; None if the answer could not be read

    async def _instance(self, place: Place, node_id: str) -> Facts | None:
        def instance(reservation: Facts) -> Facts | None:
            instances = rows(reservation.get("Instances"))
            return next((each for each in instances if each.get("InstanceId") == node_id), None)

        return await self._first(
            instance, place, "ec2", "describe_instances", member="Reservations", InstanceIds=[node_id]
        )

    async def _agent(self, place: Place, node_id: str) -> Facts | None:
        """Return the last report of the node's agent; None if it never sent one, or if it cannot be read."""
        wanted = {"Key": "InstanceIds", "Values": [node_id]}
        return await self._first(
            lambda row: row if row.get("InstanceId") == node_id else None,
            place,
            "ssm",
            "describe_instance_information",
            member="InstanceInformationList",
            Filters=[wanted],
            MaxResults=PAGE,
        )

    async def _hybrid_tags(self, place: Place, node_id: str) -> Tags | None:
        operation = "list_tags_for_resource"
        try:
            answer = await self._clients.read(
                place, "ssm", operation, Lane.RECONCILE, ResourceType="ManagedInstance", ResourceId=node_id
            )
        except CallFailed as failed:
            _log_failure(place, operation, failed)
            return None
        return _tags(answer.get("TagList"))

    async def _first(
        self,
        wanted: Callable[[Facts], Facts | None],
        place: Place,
        service: str,
        operation: str,
        *,
        member: str,
        **params: object,
    ) -> Facts | None:
        """Call `wanted` for the rows of a list, page by page, until it returns a result, and return that.

        Return None if no row has a result, or if a page cannot be read.
        """
        pages = self._clients.rows(place, service, operation, Lane.RECONCILE, member=member, **params)
        try:
            async for row in pages:
                if found := wanted(row):
                    return found
        except CallFailed as failed:
            _log_failure(place, operation, failed)
        return None


def _log_failure(place: Place, operation: str, failed: CallFailed) -> None:
    log.warning("node_unreadable", operation=operation, account=place.account, code=failed.code)


def _described(node_id: str, tags: Tags | None, agent: Facts | None) -> Node:
    """Return the node with its tags and the facts that its agent reports.

    Its name is the first of these with a visible character: the Name tag, the name of the activation, the host name.
    """
    reported = agent or {}
    names = (dict(tags or ()).get("Name"), text(reported.get("Name")), text(reported.get("ComputerName")))
    return Node(
        node_id,
        name=next((name for name in names if name and is_visible(name)), None),
        platform=_system(agent),
        private_ip=text(reported.get("IPAddress")),
        tags=tags,
        host=_host(reported),
    )


def _host(reported: Facts) -> str | None:
    """Return the cloud and the location of a machine outside EC2, like `Azure (japaneast)`; None if it is unknown."""
    kind, location = text(reported.get("SourceType")), text(reported.get("SourceLocation"))
    if kind is None or kind in _KINDS_OF_AWS:
        return None
    cloud = _CLOUDS.get(kind, kind)
    return f"{cloud} ({location})" if location else cloud


def _system(agent: Facts | None) -> str | None:
    """Return the operating system and its version, like `Amazon Linux 2023`; None if both are unknown."""
    parts = (text((agent or {}).get(name)) for name in ("PlatformName", "PlatformVersion"))
    return " ".join(each for each in parts if each) or None


def _tags(listed: object) -> Tags:
    pairs = ((text(each.get("Key")), each.get("Value")) for each in rows(listed))
    return tuple({key: text(value) or "" for key, value in pairs if key}.items())
