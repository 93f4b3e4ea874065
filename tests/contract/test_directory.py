"""The People port with rosters from a fake Teams: one read of a roster at a time, cached for five minutes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.domain.identity import Person
from bot.ports.store import PersonalChat
from bot.ports.teams import ChatRefused, KnownPeople, RosterUnavailable
from bot.service.checks.outcomes import Outcomes
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.chat_people import MOST_REQUESTED
from bot.teams.people.directory import Directory
from bot.teams.wire.people import TeamMember
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock
from tests.fakes.edge import running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import ALEX, FOREIGNER, GUEST, HANAKO, ICHIRO, MEI, PEOPLE, TARO, TENANT_ID, crowd
from tests.fakes.people import Person as Member
from tests.fakes.store import MemoryStore
from tests.fakes.teams_world import APPROVERS, LEADS, Change

ROSTER = r"pagedmembers$"
ONE = r"/members/"
SHORT = 0.2  # seconds that a test waits for a response that is held back


@dataclass(slots=True)
class Room:
    """A directory that reads rosters from the fake Microsoft."""

    ms: FakeMicrosoft
    connector: Connector
    store: MemoryStore
    clock: ManualClock
    directory: Directory = field(init=False)
    telemetry: Telemetry = field(default_factory=lambda: Telemetry(CollectorRegistry()))

    def rosters(self, channel: str = APPROVERS) -> int:
        """Return the number of roster pages of a channel that were requested and answered."""
        return len(self.ms.faults.matching("GET", f"{channel}/{ROSTER}"))

    def problems(self) -> list[str]:
        """Return the problems that the check of the channel's roster shows."""
        return [str(each) for each in self.directory.roster_problems(APPROVERS)]

    def ones(self) -> int:
        """Return the number of requests for single members that were answered."""
        return len(self.ms.faults.matching("GET", ONE))

    def another(self, patience: float) -> Directory:
        """Build a directory that waits this many seconds for Teams."""
        urls = ServiceUrls(
            self.store,
            default=self.ms.service_url,
            hosts=ServiceHosts(self.ms.service_hosts),
            outcomes=Outcomes(self.clock),
            clock=self.clock,
        )
        return Directory(
            self.connector,
            store=self.store,
            service_urls=urls,
            clock=self.clock,
            tenant_id=TENANT_ID,
            channels=lambda: [APPROVERS, LEADS, APPROVERS],
            telemetry=self.telemetry,
            patience=patience,
        )


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    """A directory that waits up to five seconds for Teams."""
    async with FakeMicrosoft() as ms, running_edge(ms) as edge:
        ready = Room(ms, edge.connector, MemoryStore(), ManualClock())
        async with ready.another(5.0) as ready.directory:
            yield ready


# --- members


async def test_a_member_is_returned_with_upn_and_mail_address(room: Room) -> None:
    """The id may be in upper or lower case. A thread has the roster of its channel."""
    thread = f"{APPROVERS};messageid=1"
    found = await room.directory.member(thread, HANAKO.object_id.upper())

    assert found == Person(HANAKO.object_id, TENANT_ID, HANAKO.name, HANAKO.upn, HANAKO.email, HANAKO.id)


async def test_person_outside_the_channel_is_not_a_member(room: Room) -> None:
    """The roster may be minutes old, so a person who is not in it is requested once. Later clicks use the answer."""
    room.ms.world.conversations[APPROVERS].members.remove(TARO)

    assert [await room.directory.member(APPROVERS, TARO.object_id) for _ in range(5)] == [None] * 5
    assert (room.rosters(), room.ones()) == (1, 1)


async def test_new_member_is_found_after_the_roster_was_read(room: Room) -> None:
    """A person who is not in the cached roster is requested once and then cached."""
    room.ms.world.conversations[APPROVERS].members.remove(MEI)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    room.ms.world.conversations[APPROVERS].members.append(MEI)

    for _ in range(3):
        assert await room.directory.member(APPROVERS, MEI.object_id)
    assert (room.rosters(), room.ones()) == (1, 1)


async def test_new_member_who_was_refused_is_found_within_seconds(room: Room) -> None:
    """The absence of a member is cached for ten seconds at most."""
    room.ms.world.conversations[APPROVERS].members.remove(MEI)
    assert await room.directory.member(APPROVERS, MEI.object_id) is None
    room.ms.world.conversations[APPROVERS].members.append(MEI)
    await room.clock.advance(10)

    assert await room.directory.member(APPROVERS, MEI.object_id)


async def test_member_of_one_channel_is_not_a_member_of_another(room: Room) -> None:
    """Each channel has its own roster."""
    room.ms.world.conversations[LEADS].members[:] = [ICHIRO]

    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    assert await room.directory.member(LEADS, HANAKO.object_id) is None


@pytest.mark.parametrize("outsider", [GUEST, FOREIGNER, replace(HANAKO, tenant_id="")])
async def test_members_from_outside_the_tenant_are_flagged_as_guests(room: Room, outsider: Member) -> None:
    """Guests, people of other tenants, and people without a tenant in Teams' response are all flagged."""
    room.ms.world.conversations[APPROVERS].members[:] = [outsider]
    found = await room.directory.member(APPROVERS, outsider.object_id)

    assert found is not None
    assert found.guest


async def test_large_rosters_are_read_page_by_page(room: Room) -> None:
    """A roster of 1,200 people is read completely, with three calls."""
    people = crowd(1200)
    room.ms.world.conversations[APPROVERS].members[:] = people

    assert await room.directory.member(APPROVERS, people[-1].object_id)
    assert (room.rosters(), room.ones()) == (3, 0)


async def test_a_roster_has_the_members_of_its_channel(room: Room) -> None:
    """A thread's roster has exactly the members of its channel, with guests flagged. The second call uses the cache."""
    room.ms.world.conversations[LEADS].members[:] = [ICHIRO, GUEST]

    found = [await room.directory.roster(f"{LEADS};messageid=1") for _ in range(2)][-1]
    assert [(each.object_id, each.guest) for each in found] == [(ICHIRO.object_id, False), (GUEST.object_id, True)]
    assert room.rosters(LEADS) == 1


async def test_a_roster_that_cannot_be_read_raises_an_error(room: Room) -> None:
    """An empty list would mean that the channel has no members."""
    room.ms.fault("GET", ROSTER, times=None, status=500)

    with pytest.raises(RosterUnavailable):
        await room.directory.roster(APPROVERS)


# --- caching


async def test_two_hundred_simultaneous_clicks_read_the_roster_once(room: Room) -> None:
    """They share one read of the roster, and no member is requested singly."""
    found = await asyncio.gather(*(room.directory.member(APPROVERS, PEOPLE[each % 6].object_id) for each in range(200)))

    assert all(found)
    assert (room.rosters(), room.ones()) == (1, 0)


async def test_a_roster_is_cached_for_five_minutes(room: Room) -> None:
    """After 299 seconds the cached roster is still used; after 300 it is read again."""
    await room.directory.member(APPROVERS, HANAKO.object_id)
    room.ms.world.conversations[APPROVERS].members.remove(HANAKO)
    await room.clock.advance(299)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)

    await room.clock.advance(1)
    assert await room.directory.member(APPROVERS, HANAKO.object_id) is None
    assert room.rosters() == 2


async def test_cached_members_are_those_of_the_last_five_minutes_and_cost_no_request(room: Room) -> None:
    """Without a read, after five minutes and after a membership event there are none."""

    def cached() -> tuple[bool, int]:
        member = room.directory.cached_member(f"{APPROVERS};messageid=1", HANAKO.object_id.upper())
        return member is not None, len(room.directory.cached_roster(APPROVERS))

    assert cached() == (False, 0)
    everyone = len(await room.directory.roster(APPROVERS))
    assert cached() == (True, everyone)
    await room.clock.advance(299)
    assert cached() == (True, everyone)
    await room.clock.advance(2)
    assert cached() == (False, 0)
    await room.directory.roster(APPROVERS)
    room.directory.invalidate(APPROVERS)
    assert cached() == (False, 0)
    assert room.rosters() == 2


async def test_cached_member_whose_roster_entry_lacks_data_is_not_returned(room: Room) -> None:
    """The member's tenant and addresses are unknown until the member is requested singly, as a click does."""
    room.ms.world.in_pages = without("userPrincipalName", "email")
    await room.directory.roster(APPROVERS)
    assert room.directory.cached_member(APPROVERS, HANAKO.object_id) is None
    await room.directory.member(APPROVERS, HANAKO.object_id)
    assert room.directory.cached_member(APPROVERS, HANAKO.object_id) is not None


async def test_age_of_a_roster_counts_from_the_beginning_of_its_read(room: Room) -> None:
    """The read takes 200 seconds, so the roster is read again 100 seconds after its end."""
    held = room.ms.hold("GET", ROSTER)
    asking = asyncio.create_task(room.directory.member(APPROVERS, HANAKO.object_id))
    await held.reached.wait()
    await room.clock.advance(200)
    room.ms.faults.heal()
    assert await asking

    await room.clock.advance(100)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    assert room.rosters() == 2


@pytest.mark.parametrize("dropped", [APPROVERS, f"{APPROVERS};messageid=1", None])
async def test_a_membership_event_invalidates_the_roster(room: Room, dropped: str | None) -> None:
    """Removed members can no longer decide; new members are not refused by a cached absence."""
    room.ms.world.conversations[APPROVERS].members.remove(MEI)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    assert await room.directory.member(APPROVERS, MEI.object_id) is None
    room.ms.world.conversations[APPROVERS].members[:] = [MEI]
    generation = room.directory.generation
    room.directory.invalidate(dropped)

    assert room.directory.generation > generation
    assert await room.directory.member(APPROVERS, HANAKO.object_id) is None
    assert await room.directory.member(APPROVERS, MEI.object_id)


async def test_an_invalidation_during_a_read_starts_the_read_again(room: Room) -> None:
    """The result of the first read may be older than the invalidation. Two callers cause two reads in total."""
    held = room.ms.hold("GET", ROSTER)
    asking = asyncio.create_task(room.directory.member(APPROVERS, HANAKO.object_id))
    await held.reached.wait()
    room.directory.invalidate(APPROVERS)
    also = asyncio.create_task(room.directory.member(APPROVERS, ICHIRO.object_id))
    room.ms.faults.heal()

    assert await asking
    assert await also
    assert room.rosters() == 2


async def test_members_are_requested_singly_if_events_invalidate_every_read_of_the_roster(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who is not in the channel is not a member. The whole roster is unavailable."""
    read = room.connector.all_members

    async def overtaken(
        service_url: str, *, conversation: str, turn: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[TeamMember]:
        async for member in read(service_url, conversation=conversation, turn=turn):
            yield member
        room.directory.invalidate()

    monkeypatch.setattr(room.connector, "all_members", overtaken)
    found = await room.directory.member(APPROVERS, HANAKO.object_id)
    assert found is not None
    assert found.upn == HANAKO.upn
    assert room.ones() == 1
    room.ms.world.conversations[APPROVERS].members.remove(HANAKO)
    assert await room.directory.member(APPROVERS, HANAKO.object_id) is None
    with pytest.raises(RosterUnavailable):
        await room.directory.roster(APPROVERS)


async def test_invalidating_an_unread_roster_has_no_effect(room: Room) -> None:
    """Events arrive for every conversation, even if its roster was never read."""
    room.directory.invalidate("19:other@thread.tacv2")
    assert await room.directory.member(APPROVERS, HANAKO.object_id)


# --- failures


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 401},
        {"status": 429, "headers": {"Retry-After": "60"}},
        {"drop": "before"},
        {"status": 200, "body": "[]"},
    ],
)
async def test_request_for_a_member_raises_an_error_while_the_roster_cannot_be_read(
    room: Room, fault: dict[str, object]
) -> None:
    """The person does not count as "not a member". Once Teams works again, the member is found."""
    room.ms.fault("GET", ROSTER, times=None, **fault)
    with pytest.raises(RosterUnavailable):
        await room.directory.member(APPROVERS, HANAKO.object_id)

    room.ms.faults.heal()
    await room.clock.advance(60)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)


async def test_an_expired_roster_is_not_used_if_the_new_read_fails(room: Room) -> None:
    """A roster expires after five minutes, even if Teams fails."""
    await room.directory.member(APPROVERS, HANAKO.object_id)
    await room.clock.advance(300)
    room.ms.fault("GET", ROSTER, times=None, status=500)

    with pytest.raises(RosterUnavailable):
        await room.directory.member(APPROVERS, HANAKO.object_id)


async def test_a_roster_with_a_failed_page_is_unavailable(room: Room) -> None:
    """Half a roster is not used, because the people on the second page would not count as members."""
    room.ms.world.conversations[APPROVERS].members[:] = crowd(600)
    first = room.ms.fault("GET", ROSTER, status=200, body='{"members": [], "continuationToken": "500"}')
    room.ms.fault("GET", ROSTER, times=None, status=500)
    with pytest.raises(RosterUnavailable):
        await room.directory.member(APPROVERS, HANAKO.object_id)

    assert first.times == 0


async def test_no_roster_is_requested_while_teams_throttles(room: Room) -> None:
    """After a 429, calls fail without a request until Retry-After has passed."""
    room.ms.fault("GET", ROSTER, status=429, headers={"Retry-After": "60"})
    for _ in range(5):
        with pytest.raises(RosterUnavailable):
            await room.directory.member(APPROVERS, HANAKO.object_id)
    assert room.rosters() == 1

    await room.clock.advance(60)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "60"}},
        {"status": 403},
        {"status": 200, "body": "{}"},
    ],
)
async def test_a_failed_request_for_a_single_member_raises_an_error(room: Room, fault: dict[str, object]) -> None:
    """Only Teams' own "not found" means that the person is not a member."""
    room.ms.world.conversations[APPROVERS].members.remove(TARO)
    room.ms.fault("GET", ONE, times=None, **fault)
    with pytest.raises(RosterUnavailable):
        await room.directory.member(APPROVERS, TARO.object_id)


async def test_a_response_about_another_person_than_requested_raises_an_error(room: Room) -> None:
    """The error is RosterUnavailable, as if Teams had not answered."""
    room.ms.world.conversations[APPROVERS].members.remove(TARO)
    room.ms.fault("GET", ONE, status=200, body='{"id": "29:1-other", "aadObjectId": "other", "tenantId": "x"}')
    with pytest.raises(RosterUnavailable):
        await room.directory.member(APPROVERS, TARO.object_id)


async def test_a_member_is_requested_singly_while_the_read_of_the_roster_is_slow(room: Room) -> None:
    """The read continues, and the next call uses its result."""
    held = room.ms.hold("GET", ROSTER)
    async with room.another(SHORT) as directory:
        assert await directory.member(APPROVERS, HANAKO.object_id)
        assert (room.rosters(), room.ones()) == (0, 1)  # the held call is recorded once it is answered
        assert held.gate is not None
        held.gate.set()
        assert await directory.member(APPROVERS, ICHIRO.object_id)
        assert (room.rosters(), room.ones()) == (1, 1)


async def test_a_cached_absence_ends_with_a_membership_event(room: Room) -> None:
    """The new member is found even while the roster is too slow to be read."""
    async with room.another(SHORT) as directory:
        room.ms.world.conversations[APPROVERS].members.remove(MEI)
        assert await directory.member(APPROVERS, MEI.object_id) is None
        room.ms.world.conversations[APPROVERS].members.append(MEI)
        room.ms.hold("GET", ROSTER)
        directory.invalidate()

        assert await directory.member(APPROVERS, MEI.object_id)
        room.ms.faults.heal()


async def test_a_member_who_was_removed_during_the_request_is_not_cached(room: Room) -> None:
    """A response from before the removal does not enter the roster that was read after it."""
    members = room.ms.world.conversations[APPROVERS].members
    members.remove(MEI)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    members.append(MEI)
    late = room.ms.faults.plan("GET", ONE, gate=asyncio.Event(), late=True)
    asking = asyncio.create_task(room.directory.member(APPROVERS, MEI.object_id))
    await late.reached.wait()
    members.remove(MEI)
    room.directory.invalidate(APPROVERS)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    assert late.gate is not None
    late.gate.set()
    await asking

    assert await room.directory.member(APPROVERS, MEI.object_id) is None


async def test_an_absence_from_before_a_membership_event_is_not_cached(room: Room) -> None:
    """A person who joins during the request is found by the next call."""
    members = room.ms.world.conversations[APPROVERS].members
    members.remove(MEI)
    late = room.ms.faults.plan("GET", ONE, gate=asyncio.Event(), late=True)
    asking = asyncio.create_task(room.directory.member(APPROVERS, MEI.object_id))
    await late.reached.wait()
    members.append(MEI)
    room.directory.invalidate(APPROVERS)
    assert late.gate is not None
    late.gate.set()
    assert await asking is None

    room.ms.fault("GET", ROSTER, status=200, body='{"members": []}')  # Teams updates it late
    assert await room.directory.member(APPROVERS, MEI.object_id)


async def test_request_for_a_member_fails_in_time_while_teams_does_not_answer(room: Room) -> None:
    """With a `patience` of 0.2 seconds, the error is raised within two seconds."""
    async with room.another(SHORT) as directory:
        room.ms.hold("GET", "/v3/", times=None)
        with pytest.raises(RosterUnavailable):
            async with asyncio.timeout(SHORT * 10):
                await directory.member(APPROVERS, HANAKO.object_id)

        room.ms.faults.heal()


# --- degraded rosters


def without(*fields: str, **replaced: str) -> Change:
    """Return a change of a member's entry: some fields are missing, and others replaced."""
    return lambda entry: {name: value for name, value in {**entry, **replaced}.items() if name not in fields}


FOREIGN_FORM = without(tenantId="29:1a2b-tenant")
NAMELESS = without("userPrincipalName", "email")
PAGES = [
    ("no tenant id", without("tenantId")),
    ("foreign form", FOREIGN_FORM),
    ("no UPN and mail", NAMELESS),
    ("no UPN", without("userPrincipalName")),
    ("no mail", without("email")),
    ("nothing", without("tenantId", "userPrincipalName", "email", "userRole", "name")),
]


@pytest.mark.parametrize("page", [page for _, page in PAGES], ids=[name for name, _ in PAGES])
async def test_a_member_whose_roster_entry_lacks_data_is_requested_singly(room: Room, page: Change) -> None:
    """The member is complete, and is requested once for three calls. No problem is reported."""
    room.ms.world.in_pages = page
    found = [await room.directory.member(APPROVERS, HANAKO.object_id) for _ in range(3)]
    assert found == [Person(HANAKO.object_id, TENANT_ID, HANAKO.name, HANAKO.upn, HANAKO.email, HANAKO.id)] * 3
    assert (room.rosters(), room.ones(), room.problems()) == (1, 1, [])


@pytest.mark.parametrize("outsider", [GUEST, FOREIGNER], ids=["guest", "foreigner"])
@pytest.mark.parametrize(
    "alone",
    [dict, without("userRole"), without("tenantId"), without("userPrincipalName"), without(userRole="user")],
    ids=["complete", "no role", "no tenant id", "no UPN", "a full member"],
)
async def test_guest_or_foreigner_counts_as_a_guest_if_entries_lack_data_or_differ(
    room: Room, outsider: Member, alone: Change
) -> None:
    """The person counts as a guest if the page of the roster or the answer for the single member shows a guest.

    The same holds if neither shows the person's tenant.
    """
    room.ms.world.conversations[APPROVERS].members[:] = [outsider]
    room.ms.world.alone = alone
    for page in (without("tenantId"), FOREIGN_FORM, NAMELESS, without("email")):
        room.ms.world.in_pages = page
        room.directory.invalidate()
        found = await room.directory.member(APPROVERS, outsider.object_id)
        assert found is not None
        assert found.guest


@pytest.mark.parametrize(
    "change",
    [
        without("userRole"),
        without("userRole", "userPrincipalName"),
        without("userRole", "userPrincipalName", "email"),
        without(userRole="Guest"),
        without(userRole=" guest "),
        lambda entry: {**entry, "userRole": ["guest"]},
        without(userRole="anonymous"),
        without(userRole="federatedUser"),
    ],
    ids=["no role", "no UPN", "no names", "capitals", "blanks", "a list", "anonymous", "an unknown role"],
)
async def test_a_guest_whose_role_is_missing_or_unknown_counts_as_a_guest(room: Room, change: Change) -> None:
    """The guest has this tenant's id, and Teams shows the role in another form or not at all, also for single members."""
    room.ms.world.conversations[APPROVERS].members[:] = [HANAKO, GUEST]
    room.ms.world.in_pages = room.ms.world.alone = lambda entry: (
        change(entry) if entry["aadObjectId"] == GUEST.object_id else entry
    )
    found = await room.directory.member(APPROVERS, GUEST.object_id)
    assert found is not None
    assert found.guest
    member = await room.directory.member(APPROVERS, HANAKO.object_id)
    assert member is not None
    assert not member.guest


@pytest.mark.parametrize("first", [True, False], ids=["guest first", "guest last"])
async def test_a_person_with_two_roster_entries_counts_as_a_guest_if_one_has_the_role_guest(
    room: Room, first: bool
) -> None:
    """Teams lists a person twice, once as a guest, with the object id in other letters."""
    entries = [replace(HANAKO, role="guest"), replace(HANAKO, object_id=HANAKO.object_id.upper())]
    room.ms.world.conversations[APPROVERS].members[:] = entries if first else entries[::-1]
    found = await room.directory.member(APPROVERS, HANAKO.object_id)
    assert found is not None
    assert found.guest


@pytest.mark.parametrize("token", ["same", "x" * 100_000])
async def test_roster_pages_that_repeat_their_token_are_not_read_endlessly(room: Room, token: str) -> None:
    """Members are requested singly, a stranger is no member, and the problem is reported."""
    body = json.dumps({"members": [MEI.as_member()], "continuationToken": token})
    room.ms.fault("GET", ROSTER, times=None, status=200, body=body)
    found = await room.directory.member(APPROVERS, HANAKO.object_id)
    assert (found and found.upn, room.rosters() <= 2) == (HANAKO.upn, True)
    assert await room.directory.member(APPROVERS, "aaaaaaaa-0000-4000-8000-000000000077") is None
    assert not (await room.directory.known(frozenset({"unknown@example.com"}))).complete
    assert room.problems()


@pytest.mark.parametrize(
    "body",
    ['{"members": null}', '{"members": {"0": {}}}', '{"members": [null, 5, "x", {}]}', '{"value": []}'],
)
async def test_members_are_requested_singly_if_the_roster_is_malformed(room: Room, body: str) -> None:
    """Missing data is not assumed: a person that Teams does not return is not a member."""
    room.ms.fault("GET", ROSTER, times=None, status=200, body=body)
    found = await room.directory.member(APPROVERS, HANAKO.object_id)
    assert found is not None
    assert not found.guest
    assert await room.directory.member(APPROVERS, "aaaaaaaa-0000-4000-8000-000000000077") is None
    assert room.problems() == ["empty"]


@pytest.mark.parametrize("status", [403, 404, 405, 400, 410])
async def test_members_of_a_refused_roster_are_requested_singly(room: Room, status: int) -> None:
    """Each person is requested once for several calls.

    A person that Teams does not know is not a member. The whole roster is unavailable.
    """
    room.ms.fault("GET", ROSTER, times=None, status=status)
    room.ms.world.conversations[APPROVERS].members.remove(TARO)
    assert [await room.directory.member(APPROVERS, TARO.object_id) for _ in range(2)] == [None, None]
    for _ in range(3):
        found = await room.directory.member(APPROVERS, HANAKO.object_id)
        assert found == Person(HANAKO.object_id, TENANT_ID, HANAKO.name, HANAKO.upn, HANAKO.email, HANAKO.id)
    assert (room.rosters(), room.ones()) == (1, 2)
    assert room.problems() == ["refused"]
    with pytest.raises(RosterUnavailable) as refused:
        await room.directory.roster(APPROVERS)
    assert refused.value.refused


async def test_check_of_a_channel_reads_one_page_and_one_member_and_reports_missing_data(room: Room) -> None:
    """The roster has three pages. Once Teams returns the missing tenant id for single members, the problem ends."""
    room.ms.world.conversations[APPROVERS].members[:] = crowd(1200)
    room.ms.world.in_pages = room.ms.world.alone = without("tenantId")
    await room.directory.read_members(APPROVERS)
    assert (room.rosters(), room.ones(), room.problems()) == (1, 1, ["no_tenant"])
    room.ms.world.alone = dict
    await room.clock.advance(11)
    await room.directory.read_members(APPROVERS)
    assert room.problems() == []


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 200, "body": '{"members": []}'}])
async def test_a_check_reports_an_unusable_roster_until_it_can_be_read(room: Room, fault: dict[str, object]) -> None:
    """The first read is refused or empty, the second one is complete. Complete entries are not requested singly."""
    room.ms.fault("GET", ROSTER, **fault)
    with suppress(ChatRefused):
        await room.directory.read_members(APPROVERS)
    assert len(room.problems()) == 1
    await room.directory.read_members(APPROVERS)
    assert (room.problems(), room.ones()) == ([], 0)


async def test_a_refused_roster_is_read_again_after_ten_seconds(room: Room) -> None:
    """Teams sometimes refuses without a reason. The problem ends with the next successful read."""
    room.ms.fault("GET", ROSTER, status=403)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    await room.clock.advance(10)
    assert len(await room.directory.roster(APPROVERS)) == len(PEOPLE)
    assert room.problems() == []


@pytest.mark.parametrize("body", ['{"members": []}', "{}", '{"members": [{"id": "28:bot", "name": "a bot"}]}'])
async def test_members_are_requested_singly_if_the_roster_is_empty(room: Room, body: str) -> None:
    """A channel always has members. The list of known people is incomplete, and the problem is reported."""
    room.ms.fault("GET", ROSTER, times=None, status=200, body=body)
    assert await room.directory.member(APPROVERS, HANAKO.object_id)
    assert not (await room.directory.known(frozenset({"unknown@example.com"}))).complete
    assert room.problems() == ["empty"]


async def test_refusal_of_both_the_roster_and_a_single_member_is_reported_as_a_refusal(room: Room) -> None:
    """A later attempt does not help, unlike after an outage."""
    room.ms.fault("GET", "members", times=None, status=403)
    with pytest.raises(RosterUnavailable) as refused:
        await room.directory.member(APPROVERS, HANAKO.object_id)
    assert refused.value.refused


async def test_incomplete_roster_entries_are_used_while_requests_for_single_members_are_refused(room: Room) -> None:
    """What is missing stays missing: the person without a tenant counts as a guest. The problem is logged once."""
    room.ms.world.in_pages = without("tenantId", "email")
    room.ms.fault("GET", ONE, times=None, status=405)
    with capture_logs() as logs:
        found = [await room.directory.member(APPROVERS, person.object_id) for person in (HANAKO, ICHIRO, HANAKO)]
    expected = Person(HANAKO.object_id, "", HANAKO.name, HANAKO.upn, None, HANAKO.id, guest=True)
    assert (found[0], found[2]) == (expected, expected)
    assert [line["problem"] for line in logs if line["event"] == "roster_degraded"] == ["no_tenant"]
    assert room.problems() == ["no_tenant"]


async def test_an_incomplete_roster_entry_is_not_used_while_requests_for_single_members_fail(room: Room) -> None:
    """The missing mail address could be the requester's.

    The error does not say that Teams refused, because a later attempt may succeed.
    """
    room.ms.world.in_pages = without("email")
    room.ms.fault("GET", ONE, times=None, status=503)
    with pytest.raises(RosterUnavailable) as unavailable:
        await room.directory.member(APPROVERS, HANAKO.object_id)
    assert not unavailable.value.refused


@pytest.mark.parametrize("page", [page for _, page in PAGES], ids=[name for name, _ in PAGES])
async def test_a_person_who_is_looked_up_by_upn_is_returned_with_all_data(room: Room, page: Change) -> None:
    """At most two single requests are made: by object id if a person's entry has the UPN, else by the UPN."""
    room.ms.world.in_pages = page
    known = await room.directory.known(frozenset({TARO.upn}))
    (found,) = [each for each in known.people if each.upn == TARO.upn and not each.guest and each.mail]
    assert (found.object_id, known.complete) == (TARO.object_id, True)
    assert room.ones() <= 2


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 200, "body": '{"members": []}'}])
async def test_a_person_is_found_by_upn_although_the_roster_cannot_be_read(
    room: Room, fault: dict[str, object]
) -> None:
    """Teams looks people up by UPN.

    If it finds no one, the list of known people is incomplete, because the name may be a member's mail address.
    """
    room.ms.fault("GET", ROSTER, times=None, **fault)
    known = await room.directory.known(frozenset({TARO.upn}))
    assert ([each.upn for each in known.people], known.complete) == ([TARO.upn], True)
    assert not (await room.directory.known(frozenset({"nobody@example.com", "a b/@"}))).complete


async def test_a_response_with_another_upn_than_requested_is_not_used(room: Room) -> None:
    """The person is left out, and the list of known people is incomplete."""
    room.ms.fault("GET", ROSTER, times=None, status=403)
    room.ms.world.alone = without(userPrincipalName="other@example.com", email="other@example.com")
    known = await room.directory.known(frozenset({TARO.upn}))
    assert known == KnownPeople((), complete=False)


async def test_response_without_upn_and_mail_address_for_a_requested_upn_is_reported(room: Room) -> None:
    """The list of known people is incomplete."""
    room.ms.world.in_pages = room.ms.world.alone = NAMELESS
    known = await room.directory.known(frozenset({TARO.upn}))
    assert not known.complete
    assert room.problems() == ["no_address"]


# --- all known people


def _chat(person: Person) -> PersonalChat:
    return PersonalChat(person, f"a:{person.object_id}", "https://example.com/")


async def test_known_people_are_roster_members_and_people_with_a_chat(room: Room) -> None:
    """Each person is listed once. The roster's data takes precedence over stored data."""
    room.ms.world.conversations[APPROVERS].members[:] = [HANAKO]
    room.ms.world.conversations[LEADS].members[:] = [HANAKO, ICHIRO]
    await room.store.remember_chat(_chat(Person(HANAKO.object_id.upper(), TENANT_ID, "old name")))
    await room.store.remember_chat(_chat(Person(TARO.object_id, TENANT_ID, TARO.name)))

    everybody = [each.object_id for each in (HANAKO, ICHIRO, TARO)]
    known = {person.object_id: person.name for person in await room.directory.with_ids(map(str.upper, everybody))}
    assert known == {each.object_id: each.name for each in (HANAKO, ICHIRO, TARO)}
    assert len(await room.directory.with_ids([*everybody, *everybody])) == 3
    assert [each.name for each in await room.directory.with_ids([TARO.object_id])] == [TARO.name]
    names = frozenset({HANAKO.object_id, ICHIRO.upn})
    assert {each.name for each in (await room.directory.known(names)).people} == {HANAKO.name, ICHIRO.name}
    assert (room.rosters(APPROVERS), room.rosters(LEADS)) == (1, 1)


async def test_unreadable_channel_or_store_leaves_out_only_its_own_people(room: Room) -> None:
    """If a channel or the store cannot be read, no error is raised, and the list is incomplete."""
    room.ms.fault("GET", f"{LEADS}/{ROSTER}", times=None, status=500)
    room.ms.world.conversations[APPROVERS].members[:] = [HANAKO]
    room.store.broken = True
    names = frozenset({HANAKO.upn, ICHIRO.upn})
    known = await room.directory.known(names)
    assert [person.object_id for person in await room.directory.with_ids([HANAKO.object_id])] == [HANAKO.object_id]
    assert ([person.object_id for person in known.people], known.complete) == ([HANAKO.object_id], False)

    room.ms.fault("GET", ROSTER, times=None, status=500)
    room.directory.invalidate()
    assert await room.directory.known(names) == KnownPeople((), complete=False)
    assert await room.directory.with_ids([HANAKO.object_id]) == ()


# --- people of personal chats


def _kept(room: Room, person: Member, *, upn: str | None = None) -> PersonalChat:
    """Return a personal chat to store. If `upn` is given, it is the person's stored address, which is outdated."""
    former = Person(person.object_id, TENANT_ID, person.name, upn or person.upn, person.email, person.id)
    return PersonalChat(former, room.ms.world.personal(person).id, room.ms.service_url)


async def _known(room: Room, *names: str) -> dict[str, str | None]:
    """Return the UPN of each known person with these names by object id."""
    return {each.object_id: each.upn for each in (await room.directory.known(frozenset(names))).people}


async def _chats(room: Room) -> dict[str, str | None]:
    """Return the UPN of each person with a personal chat by object id, without the channels' only member."""
    known = await room.directory.with_ids(each.object_id for each in PEOPLE)
    return {each.object_id: each.upn for each in known if each.object_id != ALEX.object_id}


async def test_a_stored_address_is_replaced_by_the_address_that_teams_returns(room: Room) -> None:
    """Stored addresses only select people. Each gets the address that Teams returns, and only that is a name."""
    for conversation in (APPROVERS, LEADS):
        room.ms.world.conversations[conversation].members[:] = [ALEX]
    await room.store.remember_chat(_kept(room, MEI, upn="given.on@example.com"))
    await room.store.remember_chat(_kept(room, TARO))

    assert await _known(room, "given.on@example.com") == {}
    assert await _chats(room) == {MEI.object_id: MEI.upn, TARO.object_id: None}
    assert await _known(room, TARO.upn, MEI.upn) == {MEI.object_id: MEI.upn, TARO.object_id: TARO.upn}
    assert await _chats(room) == {MEI.object_id: MEI.upn, TARO.object_id: TARO.upn}
    assert room.ones() == 2


async def test_the_address_of_a_stored_person_is_cached_for_a_day(room: Room) -> None:
    """The address is requested once for twenty calls, and again for a call on the next day."""
    room.ms.world.conversations[APPROVERS].members[:] = room.ms.world.conversations[LEADS].members[:] = [ALEX]
    await room.store.remember_chat(_kept(room, TARO))
    await asyncio.gather(*(_known(room, TARO.upn) for _ in range(20)))
    await room.clock.advance(86_399)
    assert await _chats(room) == {TARO.object_id: TARO.upn}
    assert room.ones() == 1

    await room.clock.advance(1)
    assert await _chats(room) == {TARO.object_id: None}
    assert await _known(room, TARO.object_id) == {TARO.object_id: TARO.upn}
    assert room.ones() == 2


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 404}, {"status": 200, "body": '{"id": "29:x"}'}])
async def test_a_stored_person_is_left_out_while_teams_does_not_confirm_the_address(
    room: Room, fault: dict[str, object]
) -> None:
    """The list of known people is incomplete. Nothing shows the addresses of people who were not requested."""
    room.ms.world.conversations[APPROVERS].members[:] = room.ms.world.conversations[LEADS].members[:] = [ALEX]
    await room.store.remember_chat(_kept(room, TARO))
    await room.store.remember_chat(_kept(room, MEI))
    room.ms.fault("GET", ONE, times=None, **fault)

    assert await _known(room, TARO.upn) == {}
    assert await _chats(room) == {MEI.object_id: None, TARO.object_id: None}
    assert not (await room.directory.known(frozenset({TARO.upn}))).complete
    room.ms.faults.heal()
    assert (await room.directory.known(frozenset({TARO.upn}))).complete
    assert await _known(room, TARO.upn) == {TARO.object_id: TARO.upn}
    assert await _chats(room) == {MEI.object_id: None, TARO.object_id: TARO.upn}


async def test_only_a_few_of_many_stored_people_with_the_same_address_are_requested(room: Room) -> None:
    """Of the stored people with this address, only MOST_REQUESTED are requested; the others have no address."""
    room.ms.world.conversations[APPROVERS].members[:] = room.ms.world.conversations[LEADS].members[:] = [ALEX]
    for person in PEOPLE:
        await room.store.remember_chat(_kept(room, person, upn="everybody@example.com"))

    assert len(PEOPLE) > MOST_REQUESTED
    assert not (await room.directory.known(frozenset({"everybody@example.com"}))).complete
    assert sum(upn is not None for upn in (await _chats(room)).values()) == room.ones() == MOST_REQUESTED


async def test_a_roster_member_with_an_outdated_stored_address_is_not_requested_singly(room: Room) -> None:
    """The UPN comes from the roster, which is newer than stored data."""
    await room.store.remember_chat(_kept(room, HANAKO, upn="given.on@example.com"))
    assert await _known(room, "given.on@example.com") == {}
    assert await _known(room, HANAKO.object_id) == {HANAKO.object_id: HANAKO.upn}
    assert room.ones() == 0


async def test_missing_upn_and_mail_address_of_a_person_are_read_from_the_personal_chat(room: Room) -> None:
    """The activity has neither UPN nor mail; the members of the chat have both."""
    sent = Person(TARO.object_id, TENANT_ID, "Taro", teams_id=TARO.id)
    chat = room.ms.world.personal(TARO).id

    found = await room.directory.complete(sent, chat, room.ms.service_url)
    assert (found.upn, found.mail, found.name) == (TARO.upn, TARO.email, TARO.name)


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 404}, {"status": 200, "body": '{"id": "29:x"}'}])
async def test_a_person_whose_addresses_cannot_be_read_is_unchanged(room: Room, fault: dict[str, object]) -> None:
    """The person never gets the addresses of another person."""
    sent = Person(TARO.object_id, TENANT_ID, "Taro", teams_id=TARO.id)
    chat = room.ms.world.personal(TARO).id
    room.ms.fault("GET", ONE, times=None, **fault)
    assert await room.directory.complete(sent, chat, room.ms.service_url) == sent

    room.ms.faults.heal()
    other = replace(sent, object_id=HANAKO.object_id)
    assert await room.directory.complete(other, chat, room.ms.service_url) == other
