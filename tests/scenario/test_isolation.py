"""One channel or person in Teams hangs: the services and the real Messenger, over a connector on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from bot.domain.routing import Match
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.circuit_breaker import IN_FLIGHT
from bot.teams.outbound.messenger import Messenger
from bot.teams.outbound.service_urls import ServiceUrls
from bot.telemetry import Telemetry
from tests.fakes.activities import Place
from tests.fakes.edge import running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO, TARO, TENANT_ID
from tests.fakes.store import MemoryStore
from tests.fakes.teams_world import APPROVERS, Conversation
from tests.fakes.world import APPROVALS, World, new_world

LEADS = "19:leads@thread.tacv2"
REQUESTS = 20  # for the channel that hangs: far more than are reconciled side by side


@pytest.fixture
async def ms() -> AsyncIterator[FakeMicrosoft]:
    """Teams, whose second channel has no members."""
    async with FakeMicrosoft() as fake:
        fake.world.conversations[LEADS] = Conversation(Place(id=LEADS, kind="channel"), [])
        yield fake


@pytest.fixture
async def world(ms: FakeMicrosoft) -> AsyncIterator[World]:
    """The services over this Teams; requests for production nodes go to one channel, all others to the second."""
    production = Match(tags=(("Environment", frozenset({"production"})),))
    channels = (
        replace(APPROVALS, conversation=APPROVERS, match=production, fallback=False),
        replace(APPROVALS, name="leads", conversation=LEADS),
    )
    async with running_edge(ms) as edge:
        made = new_world(*channels)
        urls = ServiceUrls(
            MemoryStore(),
            default=ms.service_url,
            hosts=ServiceHosts(ms.service_hosts),
            outcomes=made.outcomes,
            clock=made.clock,
        )
        messenger = Messenger(
            edge.connector,
            store=made.store,
            service_urls=urls,
            clock=made.clock,
            tenant_id=TENANT_ID,
            telemetry=Telemetry(CollectorRegistry()),
        )
        yield replace(made, chat=messenger)  # type: ignore[arg-type]  # the real one instead of the fake


async def test_hanging_calls_to_one_channel_do_not_delay_the_card_of_another_channel(
    world: World, ms: FakeMicrosoft
) -> None:
    """Twenty requests for the hanging channel are due first. The other channel's card is posted meanwhile."""
    held = ms.hold("POST", "/v3/conversations$", times=None, body_holds=APPROVERS)
    for number in range(1, REQUESTS + 1):
        await world.rows.requeue(world.aws.add(number))
    other = world.aws.add(REQUESTS + 1)
    node = world.aws.requests[other].node
    world.aws.requests[other] = replace(world.aws.requests[other], node=replace(node, tags=()))
    async with world.running():
        await held.reached.wait()
        await world.rows.requeue(other)
        await ms.faults.until(lambda: bool(ms.posted(LEADS)))
        assert ms.posted(APPROVERS) == []
        ms.faults.heal()
        await ms.faults.until(lambda: len(ms.posted(APPROVERS)) == IN_FLIGHT)


async def test_hanging_direct_messages_to_one_person_do_not_delay_messages_to_another_person(
    world: World, ms: FakeMicrosoft
) -> None:
    """All cards are posted too, also those of the requests whose direct messages hang."""
    members = f'"members": [{{"id": "{TARO.id}"'  # of a personal chat; cards name the requester elsewhere
    held = ms.hold("POST", "/v3/conversations$", times=None, body_holds=members)
    for number in range(1, IN_FLIGHT + 1):
        await world.rows.requeue(world.aws.add(number))
    async with world.running():
        await held.reached.wait()
        for number in range(1, REQUESTS + 1):
            requester = f"arn:aws:sts::111122223333:assumed-role/Operator/{HANAKO.upn}"
            await world.rows.requeue(world.aws.add(100 + number, requester=requester))
        await _until(world, lambda: len(ms.posted(ms.world.personal(HANAKO).id)) == REQUESTS)
        assert ms.posted(ms.world.personal(TARO).id) == []
        await _until(world, lambda: len(ms.posted(APPROVERS)) == IN_FLIGHT + REQUESTS)
        ms.faults.heal()


async def _until(world: World, condition: Callable[[], bool]) -> None:
    """Advance the clock until the condition holds, and let socket I/O run in between."""
    while not condition():
        await world.clock.advance(1)
        await asyncio.sleep(0)
