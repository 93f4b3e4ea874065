"""What approved access was used for: sessions are read while access runs, and the row and the trail keep them."""

import gc
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.access.sessions import Access, AccessType, Whose, access_of, session_names
from bot.domain.record import Record
from bot.domain.request import Node, RequestKey, Status, Verdict
from bot.ports.aws import AwsUnavailable, SessionsDenied
from bot.service.sources.session_watch import DENIED_PAUSE, FAILURES, RunningAccess
from tests.contract import documents
from tests.fakes.aws import ACCOUNT, key_of
from tests.fakes.aws import TARO as REQUESTER
from tests.fakes.card_text import shown
from tests.fakes.sessions import TOKEN_ROLE
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, new_world

NODE = "i-02999bd501754105a"
TARO = f"{TOKEN_ROLE}/taro.yamada@example.com"
JIRO = f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/jiro@example.com"


async def granted(world: World, number: int = 1, *, requester: str = REQUESTER) -> RequestKey:
    """Add a request, grant access for four hours, and return its key."""
    key = world.aws.add(number, requester=requester)
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    return key


async def minutes(world: World, count: int) -> None:
    """Let minutes pass with a sweep and a look in each, and with the reconciliations that fall due."""
    for _ in range(count):
        await world.clock.advance(60)
        await looked(world)


async def looked(world: World) -> None:
    """Sweep, look, and reconcile what is due now."""
    await world.sweep.sweep()
    await world.session_watch.look()
    for key in await world.store.due(world.clock.now(), 10):
        await world.reconciler.reconcile(key)


async def sessions_of(world: World, key: RequestKey) -> list[tuple[str, Whose, bool]]:
    """Return id, owner and state of each session in the row."""
    usage = (await world.row(key)).usage
    return [(each.id, each.whose, each.open) for each in usage.sessions] if usage else []


def versions(rows: list[Record]) -> list[int]:
    """Return the versions of some rows."""
    return [each.version for each in rows]


def card(world: World, kind: str = "post") -> str:
    """Return the text of the request's card, or of the requester's message, as it is now."""
    return shown(world.chat.of(kind)[0].versions[-1].card)


async def test_card_and_message_say_how_access_is_used_from_the_first_minute_to_the_end() -> None:
    """Not used, open, closed; after the end the exact length. Nothing is written while nothing changes."""
    world = new_world()
    await granted(world)
    await minutes(world, 1)
    assert "Not used yet" in card(world)
    assert "Not used yet" in card(world, "direct")
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await minutes(world, 1)
    assert "1 session open since" in card(world)
    assert "1 session open since" in card(world, "direct")
    updates = len(world.chat.of("post")[0].versions)
    await minutes(world, 5)
    assert len(world.chat.of("post")[0].versions) == updates
    world.sessions.close(name, world.clock.now() + timedelta(seconds=30))
    await minutes(world, 4 * 60 + 20)
    assert "1 session, 6 minutes" in card(world)
    assert "1 session, 6 minutes" in card(world, "direct")


async def test_never_used_is_said_only_a_quarter_of_an_hour_after_the_end() -> None:
    """Until then, the card says that the last check is still to come."""
    world = new_world()
    await granted(world)
    await minutes(world, 4 * 60 + 5)
    assert "No session so far" in card(world)
    await minutes(world, 15)
    assert "Never used" in card(world)
    assert "Never used" in card(world, "direct")


async def test_session_that_outlives_its_access_is_a_warning_with_a_link_until_it_ends() -> None:
    """The link leads to the console's list of sessions, where people can end it."""
    world = new_world()
    await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await minutes(world, 4 * 60 + 1)
    assert "1 session is still open" in card(world)
    assert "1 session is still open" in card(world, "direct")
    assert [card(world, each).count("13:00 UTC") for each in ("post", "direct")] == [1, 1]
    assert "/systems-manager/session-manager/sessions?region=" in world.chat.of("post")[0].card
    world.sessions.close(name, world.clock.now())
    await minutes(world, 1)
    assert "still open" not in card(world)
    assert "1 session, 4 hours" in card(world)


async def test_unclear_and_unreadable_sessions_are_never_shown_as_unused() -> None:
    """Neither while access runs nor after its end."""
    world = new_world()
    await granted(world)
    world.sessions.failure = AwsUnavailable("InternalServerError")
    await minutes(world, FAILURES)
    assert "Sessions can’t be read right now" in card(world)
    await minutes(world, 4 * 60 + 20)
    assert "Sessions can’t be read right now" in card(world)
    world.sessions.failure = None
    began = world.clock.now() - timedelta(hours=1)
    world.sessions.open(NODE, began, owner=TARO, access_type=None, open=False, ended_at=began)
    await minutes(world, 2)
    assert "1 session on the node can’t be attributed" in card(world)
    assert "used" not in card(world).replace("whether the access was used", "")


async def test_sessions_are_read_once_a_minute_only_while_access_runs() -> None:
    """Nothing is read while requests wait. Running access costs one call a minute, however many requests run."""
    world = new_world()
    await world.posted()
    await minutes(world, 3)
    assert world.sessions.calls == []
    keys = [await granted(world, number) for number in (2, 3)]
    await looked(world)
    before = [await world.row(key) for key in keys]
    await minutes(world, 10)
    assert world.sessions.calls == ["active"] * 11
    assert versions([await world.row(key) for key in keys]) == versions(before)


async def many_granted(count: int) -> World:
    """Return a world with this many approved requests, each for a node of its own, on which a session is open."""
    world = new_world()
    store = world.store
    assert isinstance(store, MemoryStore)
    row = await world.row(await granted(world))
    assert row.request is not None
    for number in range(1, count + 1):
        node = f"i-{number:017x}"
        request = replace(row.request, key=key_of(number), node=Node(node))
        store.tables.records[request.key] = replace(row, key=request.key, request=request)
        world.aws.requests[request.key] = request
        world.sessions.open(node, world.clock.now(), owner=TARO)
    return world


@pytest.mark.parametrize(("running", "minutes_passed"), [("none", 60), ("1", 60), ("100", 10), ("1,000", 3)])
async def test_calls_an_hour_are_as_documented(running: str, minutes_passed: int) -> None:
    """One call a minute for 200 open sessions in an account and Region. The figures are those of operations.md."""
    head = ("running approvals", "calls an hour of `DescribeSessions`")
    rows = documents.table(documents.read(documents.OPERATIONS), *head)
    (stated,) = [re.match(r"\d+", row[1]) for row in rows if row[0].partition(", each")[0] == running]
    assert stated
    world = new_world() if running == "none" else await many_granted(int(running.replace(",", "")))
    for _ in range(minutes_passed):
        await world.clock.advance(60)
        await world.sweep.sweep()
        await world.session_watch.look()
    assert set(world.sessions.calls) <= {"active", "granted"}
    assert world.sessions.calls.count("granted") <= 1
    assert world.sessions.calls.count("active") * 60 // minutes_passed == int(stated[0])


async def test_used_access_is_kept_in_the_row_and_in_the_trail() -> None:
    """A session is seen within a minute. Its exact end is read at the end of the access."""
    world = new_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await minutes(world, 1)
    assert await sessions_of(world, key) == [(name, Whose.NAMED, True)]
    world.sessions.close(name, world.clock.now() + timedelta(seconds=30))
    await minutes(world, 3)
    assert await sessions_of(world, key) == [(name, Whose.NAMED, False)]
    await minutes(world, 4 * 60)
    usage = (await world.row(key)).usage
    assert usage is not None
    (session,) = usage.sessions
    assert session.started_at
    assert session.ended_at
    assert session.ended_at - session.started_at == timedelta(seconds=90)
    trail = await world.store.audit(world.clock.now() - timedelta(days=1))
    told = [(each.event, each.outcome, each.detail, each.session) for each in trail if each.event[:7] == "session"]
    assert told == [("session_opened", "named", NODE, name), ("session_ended", "named", NODE, name)]


async def test_ended_sessions_are_read_at_the_end_and_a_quarter_of_an_hour_later() -> None:
    """Then nothing is read any more, and the row is due no more: the result is final."""
    world = new_world()
    key = await granted(world)
    await minutes(world, 4 * 60 + 20)
    assert world.sessions.calls.count("ended") == 2
    calls = len(world.sessions.calls)
    await minutes(world, 5)
    assert len(world.sessions.calls) == calls
    row = await world.row(key)
    assert row.requeue_at is None
    assert not row.watched


async def test_session_that_outlives_its_access_is_read_for_a_day() -> None:
    """AWS ends no session when access ends."""
    world = new_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await minutes(world, 4 * 60 + 20)
    assert await sessions_of(world, key) == [(name, Whose.NAMED, True)]
    await world.clock.advance(23 * 3600)
    await minutes(world, 2)
    assert (await world.row(key)).usage is not None
    world.sessions.close(name, world.clock.now())
    await minutes(world, 1)
    assert await sessions_of(world, key) == [(name, Whose.NAMED, False)]
    assert not (await world.row(key)).watched


async def test_requesters_on_one_node_never_get_the_others_sessions() -> None:
    """Each has the sessions of their own name. A session of an unknown owner belongs to neither."""
    world = new_world()
    taro, jiro = await granted(world), await granted(world, 2, requester=JIRO)
    mine = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    theirs = world.sessions.open(NODE, world.clock.now(), owner=f"{TOKEN_ROLE}/jiro@example.com")
    nobodys = world.sessions.open(NODE, world.clock.now(), owner=f"{TOKEN_ROLE}/6f0d")
    await minutes(world, 1)
    assert await sessions_of(world, taro) == [(mine, Whose.NAMED, True), (nobodys, Whose.UNCLEAR, True)]
    assert await sessions_of(world, jiro) == [(theirs, Whose.NAMED, True), (nobodys, Whose.UNCLEAR, True)]
    await minutes(world, 3)
    assert world.sessions.calls.count("granted") == 1


@pytest.mark.parametrize("listed", [True, False])
async def test_session_of_an_unknown_owner_is_the_requesters_if_all_access_is_read(listed: bool) -> None:
    """Without the list of all access, it stays unclear until the list is read at the end."""
    world = new_world()
    key = await granted(world)
    world.sessions.unlisted = None if listed else AwsUnavailable("InternalServerError")
    world.sessions.open(NODE, world.clock.now())
    await minutes(world, 2)
    assert [each[1] for each in await sessions_of(world, key)] == [Whose.ALONE if listed else Whose.UNCLEAR]
    world.sessions.unlisted = None
    await minutes(world, 4 * 60)
    assert [each[1] for each in await sessions_of(world, key)] == [Whose.ALONE]


async def test_access_that_has_no_row_makes_a_session_unclear() -> None:
    """An automatically approved request has no row, but its requester may have opened the session."""
    world = new_world()
    key = await granted(world)
    own = access_of(world.aws.requests[key])
    assert own is not None
    world.sessions.access.append(Access("another", JIRO, session_names(JIRO), own.nodes, own.begins, own.ends))
    world.sessions.open(NODE, world.clock.now())
    await minutes(world, 1)
    assert [each[1] for each in await sessions_of(world, key)] == [Whose.UNCLEAR]


async def test_list_of_access_without_the_request_itself_is_not_trusted() -> None:
    """Such a list is not the list of all access, so another requester may be missing in it, too."""
    world = new_world()
    key = await granted(world)
    world.sessions.requests = {}
    world.sessions.open(NODE, world.clock.now())
    await minutes(world, 1)
    assert [each[1] for each in await sessions_of(world, key)] == [Whose.UNCLEAR]


async def test_session_of_an_unknown_type_is_unclear_and_a_standard_one_is_not_kept() -> None:
    """AWS may not show the type."""
    world = new_world()
    key = await granted(world)
    world.sessions.open(NODE, world.clock.now(), owner=TARO, access_type=AccessType.STANDARD)
    unknown = world.sessions.open(NODE, world.clock.now(), owner=TARO, access_type=None)
    await minutes(world, 1)
    assert await sessions_of(world, key) == [(unknown, Whose.UNCLEAR, True)]


async def test_missing_permission_changes_nothing_and_is_tried_once_an_hour() -> None:
    """No row and no card says anything about sessions. If the permission is lost later, they count as unreadable."""
    world = new_world()
    key = await granted(world)
    before = await world.row(key)
    world.sessions.failure = SessionsDenied("AccessDeniedException")
    await minutes(world, 30)
    assert world.sessions.calls == ["active"]
    assert await world.row(key) == before
    await world.clock.advance(DENIED_PAUSE.total_seconds())
    world.sessions.failure = None
    await minutes(world, 1)
    assert (await world.row(key)).usage is not None
    world.sessions.failure = SessionsDenied("AccessDeniedException")
    await minutes(world, 1)
    usage = (await world.row(key)).usage
    assert usage is not None
    assert not usage.readable


async def test_sessions_that_cannot_be_read_for_minutes_count_as_unreadable() -> None:
    """A single failure changes nothing. What was seen is kept, and a later read succeeds."""
    world = new_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await minutes(world, 1)
    world.sessions.failure = AwsUnavailable("InternalServerError")
    await minutes(world, FAILURES - 1)
    assert (await world.row(key)).usage == (await world.row(key)).usage
    await minutes(world, 1)
    usage = (await world.row(key)).usage
    assert usage is not None
    assert (usage.readable, [each.id for each in usage.sessions]) == (False, [name])
    world.sessions.failure = None
    await minutes(world, 1)
    usage = (await world.row(key)).usage
    assert usage is not None
    assert usage.readable


async def test_replicas_read_no_more_than_one_process() -> None:
    """Whichever process sweeps, a place is read once a minute."""
    world = new_world()
    await granted(world)
    other = World(
        world.clock, world.aws, world.chat, world.people, world.store, owner="replica-2", sessions=world.sessions
    )
    for _ in range(5):
        await world.clock.advance(60)
        for each in (world, other):
            await each.sweep.sweep()
            await each.session_watch.look()
    assert world.sessions.calls == ["active"] * 5


async def test_restart_continues_with_what_the_row_has() -> None:
    """A new process ends the session that an earlier one saw."""
    world = new_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await minutes(world, 1)
    world.owner = "replica-2"
    world.build()
    world.sessions.close(name, world.clock.now())
    await minutes(world, 1)
    assert await sessions_of(world, key) == [(name, Whose.NAMED, False)]


async def test_revoked_access_is_read_on_until_its_sessions_have_ended() -> None:
    """A revocation ends no session, and credentials from before it may still open one."""
    world = new_world()
    key = await granted(world)
    await minutes(world, 5)
    world.aws.end(key, Status.REVOKED)
    await minutes(world, 1)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await minutes(world, 20)
    assert await sessions_of(world, key) == [(name, Whose.NAMED, True)]
    assert world.sessions.calls.count("ended") == 2


def accesses_in_memory() -> int:
    """Return how many objects of RunningAccess the process holds."""
    gc.collect()
    return sum(isinstance(each, RunningAccess) for each in gc.get_objects())


async def test_no_access_is_kept_in_memory_between_two_sweeps() -> None:
    """It needs twice the memory of the facts that the next sweep compares, and the next sweep reads it again."""
    world = new_world()
    for number in range(1, 4):
        await granted(world, number)
    before = accesses_in_memory()
    await minutes(world, 3)
    assert accesses_in_memory() == before
    await world.sweep.sweep()
    assert accesses_in_memory() == before + 3  # until the look
