"""Whose sessions on nodes are, and what a row keeps of them."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from bot.domain.access.sessions import (
    MOST_KEPT,
    Access,
    AccessType,
    ListedSession,
    Others,
    Reading,
    Usage,
    Whose,
    access_of,
    ended_at,
    has_news,
    is_settled,
    is_watched,
    owner_name,
    session_names,
    span_of,
    unreadable,
    wants_ended,
    whose,
    with_reading,
)
from bot.domain.request import AccessRequest, Node, RequestKey, Status

NOON: Final = datetime(2026, 4, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
TOKEN_ROLE: Final = "arn:aws:sts::111122223333:assumed-role/SSM-JustInTimeAccessTokenRole"
NODE: Final = "i-02999bd501754105a"
ALONE: Final = Others(complete=True)


def principal(name: str, role: str = "Operator") -> str:
    """Return a requester as AWS spells it."""
    return f"arn:aws:sts::111122223333:assumed-role/{role}/{name}"


def access(name: str = "taro@example.com", *, node: str = NODE, role: str = "Operator", hours: int = 4) -> Access:
    """Return access from noon on."""
    requester = principal(name, role)
    nodes = frozenset({node} if node else ())
    return Access(f"{requester} {node}", requester, session_names(requester), nodes, NOON, NOON + hours * HOUR)


def session(owner: str = f"{TOKEN_ROLE}/taro@example.com", *, after: timedelta = HOUR, **more: Any) -> ListedSession:
    """Return an open session of just-in-time access that began this long after noon."""
    made = ListedSession("s-1", NODE, open=True, owner=owner, access_type=AccessType.JUST_IN_TIME)
    return replace(replace(made, started_at=NOON + after), **more)


def read(*sessions: ListedSession, at: timedelta = HOUR, ended: Sequence[ListedSession] | None = None) -> Reading:
    """Return a read of active sessions and, if they are given, of ended ones."""
    return Reading.of(NOON + at, sessions, ended)


@pytest.mark.parametrize(
    "owner",
    [f"{TOKEN_ROLE}/taro@example.com", "taro@example.com", "AROAEXAMPLE:taro@example.com", "Taro@Example.com"],
)
def test_a_session_of_the_requesters_name_is_theirs(owner: str) -> None:
    """However AWS spells the owner. Nothing else needs to be read."""
    assert whose(session(owner), access(), Others()) is Whose.NAMED


@pytest.mark.parametrize("owner", ["", f"{TOKEN_ROLE}/6f0d2c", "oi-0123456789ab"])
def test_a_session_of_an_unknown_owner_is_theirs_only_if_no_one_else_had_access(owner: str) -> None:
    """It needs a complete list of all access: of a rival, or of an unread list, nothing can be said."""
    rival, elsewhere = access("jiro@example.com"), access("jiro@example.com", node="i-0aaaaaaaaaaaaaaaa")
    earlier = replace(rival, ends=NOON + 30 * MINUTE)
    somewhere = replace(rival, nodes=frozenset())
    assert whose(session(owner), access(), ALONE) is Whose.ALONE
    assert whose(session(owner), access(), Others((elsewhere, earlier), complete=True)) is Whose.ALONE
    assert whose(session(owner), access(), Others((access(hours=1),), complete=True)) is Whose.ALONE  # their own
    for others in (Others((rival,), complete=True), Others((somewhere,), complete=True), Others()):
        assert whose(session(owner), access(), others) is Whose.UNCLEAR


def test_a_session_that_names_somebody_else_is_never_theirs() -> None:
    """A rival's session is not listed; one of any other person, or of an unknown address, is unclear."""
    rival, absent = access("jiro"), access("jiro", node="i-0aaaaaaaaaaaaaaaa")
    assert whose(session("jiro"), access(), Others((rival,), complete=True)) is None
    assert whose(session("jiro"), access(), Others((absent,), complete=True)) is Whose.UNCLEAR
    assert whose(session("saburo@example.com"), access(), ALONE) is Whose.UNCLEAR


def test_a_namesake_with_access_makes_a_session_unclear() -> None:
    """Two roles may have sessions of one name."""
    namesake = access(role="Admin")
    assert whose(session(), access(), Others((namesake,))) is Whose.UNCLEAR


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"access_type": AccessType.STANDARD}, None),
        ({"access_type": None}, Whose.UNCLEAR),
        ({"started_at": None}, Whose.UNCLEAR),
        ({"node": "i-0aaaaaaaaaaaaaaaa"}, None),
        ({"started_at": NOON - 2 * MINUTE}, None),
        ({"started_at": NOON - MINUTE}, Whose.NAMED),
        ({"started_at": NOON + 4 * HOUR + MINUTE}, Whose.NAMED),
        ({"started_at": NOON + 4 * HOUR + 2 * MINUTE}, None),
    ],
)
def test_only_just_in_time_sessions_within_the_access_are_theirs(
    changed: dict[str, Any], expected: Whose | None
) -> None:
    """A minute of difference between clocks is allowed. What AWS does not show makes a session unclear."""
    assert whose(session(**changed), access(), ALONE) is expected


OWNERS: Final = {"name": TOKEN_ROLE + "/{}", "random": f"{TOKEN_ROLE}/9c21", "absent": ""}


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("complete", [True, False])
def test_no_session_of_another_requester_is_theirs(owner: str, *, typed: bool, complete: bool) -> None:
    """In 200 seeded overlaps of several requesters on two nodes, in every form in which AWS may list sessions."""
    chance = random.Random(f"{owner} {typed} {complete}")
    found = 0
    for _ in range(200):
        people = [access(f"user{number}", node=chance.choice([NODE, "i-b"])) for number in range(4)]
        people = [_moved(each, chance) for each in people]
        if complete:  # a namesake in another role; with an incomplete list, one may be unknown
            people.append(_moved(access("user0", role="Admin"), chance))
        opener, *strangers = chance.sample(people, len(people))
        started = opener.begins + chance.random() * (opener.ends - opener.begins)
        name = OWNERS[owner].format(opener.requester.rpartition("/")[2])
        opened = session(name, node=min(opener.nodes), started_at=started)
        listed = opened if typed else replace(opened, access_type=None)
        known = tuple(people) if complete else ()
        for each in strangers:
            others = Others(tuple(other for other in known if other is not each), complete=complete)
            assert whose(listed, each, others) in {None, Whose.UNCLEAR}
        own = Others(tuple(other for other in known if other is not opener), complete=complete)
        found += whose(listed, opener, own) in {Whose.NAMED, Whose.ALONE}
    assert bool(found) == (typed and (complete or owner == "name"))


def _moved(each: Access, chance: random.Random) -> Access:
    begins = NOON + chance.randrange(240) * MINUTE
    return replace(each, begins=begins, ends=begins + chance.randrange(30, 240) * MINUTE)


def test_access_begins_and_ends_as_granted() -> None:
    """A request that granted nothing, or whose nodes or end are unknown, has no access. A revocation ends it early."""
    request = AccessRequest(
        RequestKey("111122223333", "ap-northeast-1", "oi-0123456789ab"),
        Status.APPROVED,
        principal("taro@example.com"),
        Node(NODE),
        requested_at=NOON - HOUR,
        duration=HOUR,
        access_until=NOON + HOUR,
    )
    granted = access_of(request)
    assert granted is not None
    assert (granted.begins, granted.ends) == (NOON, NOON + HOUR)
    assert granted.names == {"taro@example.com"}
    revoked = replace(request, status=Status.REVOKED, modified_at=NOON + MINUTE)
    assert access_of(revoked) == granted
    assert (ended_at(request), ended_at(revoked)) == (NOON + HOUR, NOON + MINUTE)
    for without in (replace(request, status=Status.PENDING), replace(request, access_until=None), request.of_nodes(())):
        assert access_of(without) is None
    user = replace(request, requester="b4a8f4d2-70a1-70c1-9a3e-3d4f2a1b0c9d")
    known = access_of(user, ["taro"])
    assert known is not None
    assert known.names == {"taro"}
    assert owner_name("  ") == ""


def test_a_row_keeps_when_sessions_began_and_ended() -> None:
    """A session that AWS no longer lists ended meanwhile; the list of ended ones says when."""
    opened = with_reading(None, access(), read(session()), ALONE, settles=False)
    assert [(each.open, each.started_at, each.ended_at) for each in opened.sessions] == [(True, NOON + HOUR, None)]
    assert with_reading(opened, access(), read(session(), at=2 * HOUR), Others(), settles=False) == opened
    gone = with_reading(opened, access(), read(at=2 * HOUR), Others(), settles=False)
    assert span_of(gone.sessions) == HOUR
    over = session(open=False, ended_at=NOON + HOUR + 26 * MINUTE)
    ended = with_reading(gone, access(), read(at=5 * HOUR, ended=[over]), ALONE, settles=True)
    assert (span_of(ended.sessions), ended.ended_read_at) == (26 * MINUTE, NOON + 5 * HOUR)
    assert span_of(with_reading(None, access(), read(session()), ALONE, settles=False).sessions) is None


def test_whose_a_session_is_changes_only_after_a_complete_read() -> None:
    """An unread list neither takes a session away nor adds one."""
    alone = with_reading(None, access(), read(session("")), ALONE, settles=False)
    rival = Others((access("jiro@example.com"),), complete=True)
    assert with_reading(alone, access(), read(session("")), Others(), settles=False) == alone
    unclear = with_reading(alone, access(), read(session("")), rival, settles=False)
    assert [each.whose for each in unclear.sessions] == [Whose.UNCLEAR]
    assert not unclear.sessions[0].is_theirs
    assert not has_news(alone, access(), read(session("")), Others())
    assert has_news(None, access(), read(session("")), Others())
    assert not has_news(None, access(), read(session("jiro@example.com")), rival)


def test_a_row_keeps_the_latest_sessions_and_all_that_are_open() -> None:
    """A row has room for so many only; it says that there were more."""
    many = [session(id=f"s-{number:02}", after=number * MINUTE, open=number == 0) for number in range(MOST_KEPT + 5)]
    kept = with_reading(None, access(), read(*many), ALONE, settles=False)
    assert [each.id for each in kept.sessions] == ["s-00", *(f"s-{number:02}" for number in range(6, MOST_KEPT + 5))]
    assert kept.more


def test_sessions_are_read_until_nothing_can_change() -> None:
    """Ended ones are read at the end and once more after a quarter of an hour, then only while one is open."""
    end, late = NOON + 4 * HOUR, NOON + 4 * HOUR + 15 * MINUTE
    assert not wants_ended(None, end, end - MINUTE)
    assert wants_ended(None, end, end)
    once = Usage(ended_read_at=end)
    assert not wants_ended(once, end, end + 14 * MINUTE)
    assert wants_ended(once, end, late)
    twice = Usage(ended_read_at=late)
    assert not wants_ended(twice, end, end + 5 * HOUR)
    assert is_settled(twice, end)
    assert not is_settled(once, end)
    still = replace(with_reading(None, access(), read(session()), ALONE, settles=True), ended_read_at=late)
    assert is_watched(still, end, end + 23 * HOUR)
    assert not is_watched(still, end, end + 24 * HOUR)
    assert not is_watched(twice, end, late)
    assert unreadable(still).sessions == still.sessions
    assert not unreadable(None).readable
