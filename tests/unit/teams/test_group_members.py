"""Tests for bot.teams.groups: the members of Microsoft Entra groups, read from the sandbox's Graph over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.ports.teams import GroupProblem, GroupUnavailable
from bot.sandbox.teams.graph import DEVICE, NESTED, ON_CALL, Member
from bot.teams.groups.graph import MOST_PAGES, RENEWED_EVERY, Graph
from bot.teams.groups.group_members import UNREAD_FOR, GroupMembers
from bot.teams.login.client_authentication import StaticSecret
from bot.teams.login.credentials import Api, AppCredentials
from bot.teams.login.entra import Entra
from bot.teams.net.session import open_session
from bot.telemetry import Telemetry
from tests.fakes.edge import Ticker
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import ALEX, APP_ID, HANAKO, ICHIRO, MEI, TENANT_ID
from tests.fakes.signing import SECRET

TOKEN = "oauth2/v2.0/token$"
EVERYBODY = {each.object_id for each in (HANAKO, ICHIRO, MEI, ALEX)}
GRAPH = "/v1.0/groups/"
MINUTE = 60.0


@asynccontextmanager
async def reading(ms: FakeMicrosoft, clock: Ticker, *, patience: float = 5.0) -> AsyncIterator[GroupMembers]:
    """Yield the port over HTTP to the sandbox's Microsoft."""
    async with open_session() as session:
        entra = Entra(
            session,
            authority=ms.authority,
            tenant_id=TENANT_ID,
            app_id=APP_ID,
            authentication=StaticSecret(SecretStr(SECRET)),
            scope=f"{ms.graph_url}/.default",
            clock=clock,
        )
        telemetry = Telemetry(CollectorRegistry())
        async with AppCredentials(entra, clock=clock, telemetry=telemetry, api=Api.GRAPH) as credentials:
            graph = Graph(session, url=ms.graph_url, credentials=credentials, clock=clock)
            async with GroupMembers(graph, clock=clock, telemetry=telemetry, patience=patience) as members:
                yield members


@pytest.fixture
async def groups(ms: FakeMicrosoft, clock: Ticker) -> AsyncIterator[GroupMembers]:
    """Return the port over HTTP to the sandbox's Microsoft."""
    async with reading(ms, clock) as members:
        yield members


async def problem_of(groups: GroupMembers, group: str = ON_CALL) -> tuple[GroupProblem, str]:
    with pytest.raises(GroupUnavailable) as raised:
        await groups.members(group)
    assert groups.cached_members(group) is None
    return raised.value.problem, raised.value.detail


async def test_members_are_all_people_of_the_group_and_of_the_groups_in_it(
    ms: FakeMicrosoft, groups: GroupMembers
) -> None:
    """Nested groups and devices are members too, but no people. The permission, path and query are the documented ones."""
    assert await groups.members(ON_CALL) == EVERYBODY
    assert EVERYBODY.isdisjoint({NESTED, DEVICE})
    assert list(ms.graph.asked) == [f"{GRAPH}{ON_CALL}/transitiveMembers?$select=id&$top=999"]
    assert ms.sign_in.graph_roles == ("GroupMember.Read.All",)


async def test_group_is_read_once_a_minute_and_once_for_many_callers(
    ms: FakeMicrosoft, clock: Ticker, groups: GroupMembers
) -> None:
    """A person who was removed is believed for a minute at most, counted from the beginning of the read."""
    await asyncio.gather(*(groups.members(ON_CALL) for _ in range(50)))
    ms.graph.groups[ON_CALL] = (Member(MEI.object_id),)
    clock.seconds += MINUTE - 1
    assert await groups.members(ON_CALL) == EVERYBODY
    assert groups.cached_members(ON_CALL) == frozenset(EVERYBODY)
    assert len(ms.graph.asked) == 1
    clock.seconds += 1
    assert groups.cached_members(ON_CALL) is None
    assert await groups.members(ON_CALL) == {MEI.object_id}
    assert len(ms.graph.asked) == 2


async def test_members_of_a_read_before_the_clock_was_set_back_are_not_believed(
    ms: FakeMicrosoft, clock: Ticker, groups: GroupMembers
) -> None:
    """Otherwise they would be believed for as long as the clock was wrong."""
    await groups.members(ON_CALL)
    clock.seconds -= 3600
    assert groups.cached_members(ON_CALL) is None


async def test_all_pages_are_read_and_ids_are_in_lower_case(ms: FakeMicrosoft, groups: GroupMembers) -> None:
    """A page may also hold a person whose id is in capitals."""
    ms.graph.groups[NESTED] = (Member(MEI.object_id.upper()), Member(ALEX.object_id))
    ms.graph.switch(page_size=2)
    assert await groups.members(ON_CALL) == EVERYBODY
    assert len(ms.graph.asked) == 3


async def test_group_with_more_pages_than_are_read_has_no_members(ms: FakeMicrosoft, groups: GroupMembers) -> None:
    """Who is on the other pages is unknown. No more pages are read."""
    ms.graph.groups[ON_CALL] = tuple(Member(f"aaaaaaaa-0000-4000-8000-9{number:011d}") for number in range(12))
    ms.graph.switch(page_size=2)
    assert await problem_of(groups) == (GroupProblem.TOO_LARGE, "")
    assert len(ms.graph.asked) == MOST_PAGES


@pytest.mark.parametrize(
    "origin", ["http://localhost:{port}", "https://graph.example.com", "http://127.0.0.1:9", "//x"]
)
async def test_token_is_not_sent_to_another_origin_that_a_page_names(
    ms: FakeMicrosoft, groups: GroupMembers, origin: str
) -> None:
    """Another name of the same machine is another host. The people of the first page do not count either."""
    ms.graph.switch(foreign=origin.format(port=ms.base.rpartition(":")[2]))
    assert await problem_of(groups) == (GroupProblem.REFUSED, "foreign_next_page")
    assert len(ms.graph.asked) == 1


@pytest.mark.parametrize(
    "members", [(), (Member(DEVICE, "device"),), (Member(NESTED, "group"),)], ids=["none", "a device", "an empty group"]
)
async def test_group_without_people_is_a_problem_and_not_an_answer(
    ms: FakeMicrosoft, groups: GroupMembers, members: tuple[Member, ...]
) -> None:
    """Graph answers so for a group whose members are hidden from the bot."""
    ms.graph.groups = {ON_CALL: members, NESTED: ()}
    assert await problem_of(groups) == (GroupProblem.EMPTY, "")


@pytest.mark.parametrize(
    ("status", "code", "problem"),
    [
        (400, "Request_BadRequest", GroupProblem.REFUSED),
        (403, "Authorization_RequestDenied", GroupProblem.CONSENT_MISSING),
        (403, "accessDenied", GroupProblem.REFUSED),
        (404, "Request_ResourceNotFound", GroupProblem.NOT_FOUND),
        (302, "", GroupProblem.REFUSED),
        (429, "TooManyRequests", GroupProblem.UNAVAILABLE),
        (500, "", GroupProblem.UNAVAILABLE),
        (503, "serviceNotAvailable", GroupProblem.UNAVAILABLE),
        (504, "", GroupProblem.UNAVAILABLE),
    ],
)
async def test_each_refusal_of_graph_has_its_problem(
    ms: FakeMicrosoft, groups: GroupMembers, status: int, code: str, problem: GroupProblem
) -> None:
    """No status makes anybody a member, and no redirect is followed."""
    ms.graph.switch(status=status, code=code)
    assert await problem_of(groups) == (problem, code or f"http_{status}")


async def test_unknown_group_is_not_found(groups: GroupMembers) -> None:
    """The id is wrong, or the group was deleted: somebody must change the file."""
    assert await problem_of(groups, NESTED[:-1] + "8") == (GroupProblem.NOT_FOUND, "Request_ResourceNotFound")


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        "{}",
        '{"value": {}}',
        '{"value": [], "@odata.nextLink": 7}',
        '{"value": ["x"], "@odata.nextLink": {}}',
    ],
)
async def test_answer_of_another_form_is_no_list_of_members(ms: FakeMicrosoft, groups: GroupMembers, body: str) -> None:
    """A part of a list would count as the whole list."""
    ms.fault("GET", GRAPH, status=200, body=body)
    assert await problem_of(groups) == (GroupProblem.UNAVAILABLE, "unreadable_answer")


@pytest.mark.parametrize(
    "entry",
    [
        "text",
        {"id": HANAKO.object_id},
        {"@odata.type": "#microsoft.graph.user"},
        {"@odata.type": "#microsoft.graph.user", "id": f"{HANAKO.object_id}/../x"},
        {"@odata.type": "#microsoft.graph.device", "id": HANAKO.object_id},
        {"@odata.type": ["#microsoft.graph.user"], "id": HANAKO.object_id},
    ],
)
async def test_entry_that_is_not_certainly_a_person_is_left_out(
    ms: FakeMicrosoft, groups: GroupMembers, entry: Any
) -> None:
    """The other entry of the page counts."""
    person = {"@odata.type": "#microsoft.graph.user", "id": MEI.object_id}
    ms.fault("GET", GRAPH, status=200, body=json.dumps({"value": [entry, person]}))
    assert await groups.members(ON_CALL) == {MEI.object_id}


# --- failures pass, and cost few calls


async def test_failed_read_is_repeated_soon_and_many_callers_cause_one_call(
    ms: FakeMicrosoft, clock: Ticker, groups: GroupMembers
) -> None:
    """Members that were read earlier do not count while Graph fails."""
    await groups.members(ON_CALL)
    clock.seconds += MINUTE
    ms.graph.switch(status=503)
    for _ in range(3):
        assert (await problem_of(groups))[0] is GroupProblem.UNAVAILABLE
    assert len(ms.graph.asked) == 2
    ms.graph.switch(status=200)
    clock.seconds += UNREAD_FOR
    assert await groups.members(ON_CALL) == EVERYBODY


async def test_pause_that_graph_demands_is_kept(ms: FakeMicrosoft, clock: Ticker, groups: GroupMembers) -> None:
    """No call is made during the pause, and the next one after it."""
    ms.graph.switch(status=429, code="TooManyRequests", retry_after="30")
    await problem_of(groups)
    ms.graph.switch(status=200)
    clock.seconds += 29
    assert (await problem_of(groups))[0] is GroupProblem.UNAVAILABLE
    assert len(ms.graph.asked) == 1
    clock.seconds += 1
    assert await groups.members(ON_CALL) == EVERYBODY


async def test_slow_answer_does_not_delay_the_caller_and_serves_the_next(ms: FakeMicrosoft, clock: Ticker) -> None:
    """A click must be answered in time. The read continues."""
    held = ms.hold("GET", GRAPH)
    async with reading(ms, clock, patience=0.05) as groups:
        assert await problem_of(groups) == (GroupProblem.UNAVAILABLE, "slow")
        assert held.gate
        held.gate.set()
        await groups._flight.join(ON_CALL)
        assert await groups.members(ON_CALL) == EVERYBODY
    assert len(ms.graph.asked) == 1


# --- the token


async def test_consent_is_noticed_within_a_minute_and_costs_one_token_a_minute(
    ms: FakeMicrosoft, clock: Ticker, groups: GroupMembers
) -> None:
    """Entra issues tokens without roles before the consent. A token that lacks the role stays without it."""
    ms.graph.switch(consent=False)
    for _ in range(20):
        assert await problem_of(groups) == (GroupProblem.CONSENT_MISSING, "Authorization_RequestDenied")
        clock.seconds += UNREAD_FOR
    assert len(ms.faults.matching("POST", TOKEN)) == 2  # the first one, and one for the first refusal
    ms.graph.switch(consent=True)
    clock.seconds += RENEWED_EVERY
    await problem_of(groups)  # drops the token
    clock.seconds += UNREAD_FOR
    assert await groups.members(ON_CALL) == EVERYBODY
    assert len(ms.faults.matching("POST", TOKEN)) == 3


async def test_token_that_graph_no_longer_accepts_is_replaced_at_once(
    ms: FakeMicrosoft, clock: Ticker, groups: GroupMembers
) -> None:
    """A revoked token costs one more call, and no caller notices."""
    await groups.members(ON_CALL)
    ms.fault("GET", GRAPH, status=401, body='{"error": {"code": "InvalidAuthenticationToken"}}')
    clock.seconds += MINUTE
    assert await groups.members(ON_CALL) == EVERYBODY
    assert len(ms.faults.matching("POST", TOKEN)) == 2


async def test_refused_sign_in_is_a_refusal_of_the_group(ms: FakeMicrosoft, groups: GroupMembers) -> None:
    """The code is Entra's, so that the problem can be found."""
    ms.sign_in.rotate_secret("rotated")
    problem, code = await problem_of(groups)
    assert problem is GroupProblem.REFUSED
    assert "AADSTS7000215" in code


async def test_token_for_graph_is_not_that_of_the_connector(ms: FakeMicrosoft, groups: GroupMembers) -> None:
    """Each is sent to its own service only."""
    await groups.members(ON_CALL)
    (form,) = [str(call.body) for call in ms.faults.matching("POST", TOKEN)]
    assert f"{ms.graph_url}/.default" in form
    sent = next(call for call in ms.calls if GRAPH in call.path).headers["Authorization"]
    assert ms.sign_in.roles_for_graph(sent) == ("GroupMember.Read.All",)
    assert not ms.sign_in.accepts(sent)
