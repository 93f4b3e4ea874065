"""Tests for bot.teams.people with thousands of people: other tasks run while these are read and compared."""

from collections.abc import AsyncIterator

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
from tests.fakes.people import TENANT_ID
from tests.fakes.store import MemoryStore

CHANNEL = "19:approvers@thread.tacv2"
MANY = 5 * AT_ONCE
PASS = MANY // AT_ONCE  # turns of other tasks while all people are looked at once
NAMES = frozenset({"batch"})  # nobody has this name, and it is no address to request from Teams


class BigChannel(Connector):
    """Teams with one channel of many members, in which entries may lack the UPN. Its answers take no turn."""

    def __init__(self, *, upn: bool) -> None:
        self._upn = upn

    async def all_members(self, service_url: str, *, conversation: str) -> AsyncIterator[TeamMember]:
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
    urls = ServiceUrls(store, default="http://127.0.0.1:9/", hosts=hosts, outcomes=Outcomes(clock))
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


@pytest.mark.parametrize("names", [NAMES, frozenset({"person.7@example.com"})])
async def test_other_tasks_run_while_a_roster_without_upns_is_searched(names: frozenset[str]) -> None:
    """The roster is cached. Every member is compared with the wanted names, before and after single requests."""
    async with directory(MemoryStore(), upn=False) as people:
        await people.roster(CHANNEL)
        assert await turns_during(people.known(names)) >= 3 * PASS


async def test_other_tasks_run_while_people_with_personal_chats_are_searched() -> None:
    """The bot is installed for everybody, so each person has a personal chat. All of them are compared each time."""
    store = MemoryStore()
    for number in range(MANY):
        person = Person(f"bbbbbbbb-0000-4000-8000-{number:012d}", TENANT_ID, upn=f"other.{number}@example.com")
        await store.remember_chat(PersonalChat(person, f"a:{number}", "http://127.0.0.1:9/"))
    async with directory(store) as people:
        await people.roster(CHANNEL)
        assert await turns_during(people.known(NAMES)) >= 3 * PASS
        assert len((await people.known(NAMES)).people) == 2 * MANY
