"""Tests for bot.teams.outbound.team_groups: the Microsoft Entra group of each channel's team."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bot.ports.teams import ChatProblem
from bot.service.checks.outcomes import Outcomes
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.calls import Call, ConnectorCalls
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.outbound.team_groups import ASKED_EVERY, TeamGroups
from bot.teams.wire.errors import ConnectorRefused
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

TEAM = "19:general@thread.tacv2"
CHANNEL = "19:approvers@thread.tacv2"
OTHER = "19:others@thread.tacv2"
GROUP = "22222222-2222-4222-8222-222222222222"


class _Teams(ConnectorCalls):
    """Answers the call for a team's details with `answer`, or refuses it. Sends nothing."""

    def __init__(self, answer: dict[str, Any] | None) -> None:
        self.answer, self.asked = answer, list[str]()

    async def send(self, call: Call) -> dict[str, Any]:
        assert call.method == "GET"
        self.asked.append("/".join(call.path))
        if self.answer is None:
            raise ConnectorRefused(ChatProblem.FORBIDDEN)
        return self.answer


class _Scene:
    """Groups over a store in memory and a simulated Teams; CHANNEL and OTHER are configured."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.store, self.teams, self.clock = MemoryStore(), _Teams(answer), ManualClock()
        urls = ServiceUrls(
            self.store,
            default="https://smba.trafficmanager.net/teams/",
            hosts=ServiceHosts(["smba.trafficmanager.net"]),
            outcomes=Outcomes(self.clock),
            clock=self.clock,
        )
        self.groups = TeamGroups(
            self.store,
            Connector(self.teams, app_id="app"),
            service_urls=urls,
            is_configured={CHANNEL, OTHER}.__contains__,
            clock=self.clock,
            telemetry=Telemetry(CollectorRegistry()),
        )

    async def learn(self, conversation: str, *, team: str | None = TEAM, group_id: str | None = None) -> None:
        self.groups.learn(conversation, team=team, group_id=group_id)
        await self.groups.drain()


async def test_group_of_an_activity_is_stored_for_its_channel_and_its_team() -> None:
    """An event of the team states the group. Another channel of the team gets it without a call to Teams."""
    scene = _Scene()
    await scene.learn(f"{CHANNEL};messageid=1", group_id=GROUP)
    await scene.learn(OTHER)
    assert [await scene.store.team_group(each) for each in (CHANNEL, TEAM, OTHER)] == [GROUP] * 3
    assert scene.teams.asked == []


async def test_group_is_requested_from_teams_if_activities_lack_it() -> None:
    """Messages state only the team. Teams is asked once, however many messages follow."""
    scene = _Scene({"id": TEAM, "aadGroupId": GROUP})
    for _ in range(5):
        await scene.learn(CHANNEL)
    assert await scene.store.team_group(CHANNEL) == GROUP
    assert scene.teams.asked == [f"v3/teams/{TEAM}"]


async def test_group_is_requested_again_an_hour_after_a_refusal() -> None:
    """Until then, no further message causes a call."""
    scene = _Scene(None)
    await scene.learn(CHANNEL)
    scene.teams.answer = {"aadGroupId": GROUP}
    await scene.learn(CHANNEL)
    assert await scene.store.team_group(CHANNEL) is None
    await scene.clock.advance(ASKED_EVERY + 1)
    await scene.learn(CHANNEL)
    assert await scene.store.team_group(CHANNEL) == GROUP


@pytest.mark.parametrize(
    "learn",
    [
        lambda scene: scene.learn("a:personal", group_id=GROUP),
        lambda scene: scene.learn(CHANNEL, group_id="not a group", team=None),
        lambda scene: scene.learn("19:foreign@thread.tacv2"),
        lambda scene: scene.learn(CHANNEL, team=None),
    ],
    ids=["personal chat", "no group id", "channel that is not configured", "no team"],
)
async def test_nothing_is_stored_or_requested_for_a_conversation_without_need(
    learn: Callable[[_Scene], Any],
) -> None:
    """Only channels have links, only a valid group id is stored, and Teams is asked only about configured channels."""
    scene = _Scene({"aadGroupId": GROUP})
    await learn(scene)
    assert (scene.store.tables.team_groups, scene.teams.asked) == ({}, [])


async def test_malformed_group_in_an_answer_of_teams_is_not_stored() -> None:
    """The group becomes a part of links."""
    scene = _Scene({"aadGroupId": "x&tenantId=evil"})
    await scene.learn(CHANNEL)
    assert scene.store.tables.team_groups == {}


async def test_group_is_stored_at_the_next_activity_after_the_store_failed() -> None:
    """A failed write is not final."""
    scene = _Scene()
    scene.store.broken = True
    await scene.learn(CHANNEL, group_id=GROUP)
    scene.store.broken = False
    await scene.learn(CHANNEL, group_id=GROUP)
    assert await scene.store.team_group(CHANNEL) == GROUP
