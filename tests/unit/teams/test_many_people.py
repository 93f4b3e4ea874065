"""Tests for bot.teams.people with thousands of people, or a hundred channels.

Other tasks run while many people are read, and the rosters of many channels are not all read at once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from bot.concurrency.turns import AT_ONCE
from bot.domain.identity import Person
from bot.ports.store import PersonalChat
from bot.ports.teams import ChatProblem
from bot.service.checks.outcomes import Outcomes
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.directory import Directory
from bot.teams.wire.errors import ConnectorRefused
from bot.teams.wire.people import TeamMember
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock, turns_during
from tests.fakes.many_channels import ManyChannels, channel
from tests.fakes.people import HANAKO, TENANT_ID
from tests.fakes.store import MemoryStore
from tests.fakes.work import function_calls_during

CHANNEL = "19:approvers@thread.tacv2"
MANY = 5 * AT_ONCE
PASS = MANY // AT_ONCE  # turns of other tasks while all people are looked at once
NAMES = frozenset({"batch"})  # nobody has this name, and it is no address to request from Teams


class BigChannel(Connector):
    """Teams with one channel of many members, in which entries may lack the UPN. Its answers take no turn."""

    def __init__(self, *, upn: bool) -> None:
        self._upn = upn

    async def all_members(
        self, service_url: str, *, conversation: str, turn: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[TeamMember]:
        """Yield the members."""
        for number in range(MANY):
            address = f"person.{number}@example.com"
            yield TeamMember(
                id=f"29:1-{number}",
                object_id=f"aaaaaaaa-0000-4000-8000-{number:012d}",
                name=f"Person {number}",
                user_principal_name=address if self._upn else None,
                email=address,
                tenant_id=TENANT_ID,
                role="user",
            )

    async def get_member(self, service_url: str, *, conversation: str, member: str) -> TeamMember:
        """Say that there is no such member."""
        raise ConnectorRefused(ChatProblem.UNKNOWN_PERSON, status=404)


def directory(store: MemoryStore, *, upn: bool = True) -> Directory:
    """Return a directory of the channel."""
    clock = ManualClock()
    hosts = ServiceHosts(("127.0.0.1",))
    urls = ServiceUrls(store, default="http://127.0.0.1:9/", hosts=hosts, outcomes=Outcomes(clock), clock=clock)
    return Directory(
        BigChannel(upn=upn),
        store=store,
        service_urls=urls,
        clock=clock,
        tenant_id=TENANT_ID,
        channels=lambda: [CHANNEL],
        telemetry=Telemetry(CollectorRegistry()),
    )


async def test_other_tasks_run_while_a_roster_is_read() -> None:
    """Every member becomes a person, and is checked for what is missing."""
    async with directory(MemoryStore()) as people:
        assert await turns_during(people.roster(CHANNEL)) >= 2 * PASS
        assert len(await people.roster(CHANNEL)) == MANY


@pytest.mark.parametrize("upn", [True, False])
@pytest.mark.parametrize("names", [NAMES, frozenset({"person.7@example.com"})])
async def test_names_are_found_in_a_large_roster_without_a_look_at_each_member(
    names: frozenset[str], *, upn: bool
) -> None:
    """The names are indexed when the roster is read, so that a card costs no time for each member."""
    async with directory(MemoryStore(), upn=upn) as people:
        await people.roster(CHANNEL)
        assert await function_calls_during(people.known(names)) < MANY
        found = (await people.known(names)).people
        assert [each.mail for each in found] == sorted(names - NAMES)


async def test_other_tasks_run_while_people_with_personal_chats_are_searched() -> None:
    """The bot is installed for everybody, so each person has a personal chat. All of them are compared each time."""
    store = MemoryStore()
    for number in range(MANY):
        person = Person(f"bbbbbbbb-0000-4000-8000-{number:012d}", TENANT_ID, upn=f"other.{number}@example.com")
        await store.remember_chat(PersonalChat(person, f"a:{number}", "http://127.0.0.1:9/"))
    async with directory(store) as people:
        await people.roster(CHANNEL)
        assert await turns_during(people.known(NAMES)) >= PASS
        assert (await people.known(NAMES)).people == ()
        everybody = [f"{kind * 8}-0000-4000-8000-{number:012d}" for kind in "ab" for number in range(MANY)]
        assert len(await people.with_ids(everybody)) == 2 * MANY


async def test_rosters_of_a_hundred_channels_are_read_at_fewer_than_twenty_calls_a_second() -> None:
    """Teams allows an app 50 calls a second, and messages need most of them. All people are found in the end."""
    teams = ManyChannels(ManualClock())
    async with teams.directory(100) as people:
        knowing = asyncio.create_task(people.known(frozenset({HANAKO.upn})))
        await teams.clock.advance(10)
        known = await knowing
    assert (len(known.people), known.complete, len(teams.read)) == (1, True, 100)
    assert teams.most_in_a_second() < 20


async def test_click_waits_for_the_roster_of_its_own_channel_only() -> None:
    """The rosters of a hundred channels wait for their turns. That of the click is read next, without a turn."""
    teams = ManyChannels(ManualClock())
    async with teams.directory(100) as people:
        knowing = asyncio.create_task(people.known(frozenset({HANAKO.upn})))
        await teams.clock.advance(1)
        clicking = asyncio.create_task(people.member(channel(99), HANAKO.object_id))
        await teams.clock.advance(0.2)
        member = await clicking
        assert member is not None
        assert member.upn == HANAKO.upn
        assert len(teams.read) < 30
        knowing.cancel()
