"""Which sessions an ending may end, and how it proceeds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from bot.domain.access.endings import (
    CALL_PAUSE,
    CONFIRMED_WITHIN,
    LOOK_PAUSE,
    MOST_ENDED,
    MOST_ENDINGS,
    MOST_PLANNED,
    ROUNDS,
    UNREAD_AFTER,
    EndedSession,
    Ending,
    EndingStage,
    EndState,
    Found,
    Stopped,
    active_ending,
    after_read,
    after_revocation,
    found_in,
    may_be_ended,
    next_planned,
    put_off,
    scheduled,
    stopped,
    with_ending,
    with_state,
)
from bot.domain.access.sessions import SETTLED_AFTER, Access, AccessType, ListedSession, Others, Whose, session_names
from bot.domain.decision import DecisionState
from bot.domain.identity import Person
from tests.unit.domain.sample import decision

NOON: Final = datetime(2026, 4, 1, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
ACCOUNT: Final = "arn:aws:sts::111122223333:assumed-role"
TOKEN_ROLE: Final = f"{ACCOUNT}/SSM-JustInTimeAccessTokenRole"
HANAKO: Final = Person("8f3e1c52-0000-4000-8000-000000000002", "tenant", "Hanako Sato")
NOW: Final = NOON + 2 * HOUR


def access(name: str = "taro@example.com", *, node: str = "i-a", role: str = "Operator", **changed: Any) -> Access:
    """Return access to a node from noon until four."""
    requester = f"{ACCOUNT}/{role}/{name}"
    made = Access(requester, requester, session_names(requester), frozenset({node}), NOON, NOON + 4 * HOUR)
    return replace(made, **changed)


def session(name: str = "s-1", owner: str = f"{TOKEN_ROLE}/taro@example.com", **changed: Any) -> ListedSession:
    """Return an open session of just-in-time access that began at one o'clock."""
    made = ListedSession(name, "i-a", True, owner, AccessType.JUST_IN_TIME, NOON + HOUR)
    return replace(made, **changed)


def everyone(*others: Access) -> Others:
    """Return a complete list of the access of other requests."""
    return Others(others, complete=True)


def ending(**changed: Any) -> Ending:
    """Return an ending that was asked for at two o'clock."""
    return replace(Ending("e", HANAKO, "Level1", NOW, next_at=NOW), **changed)


def found(*sessions: ListedSession, others: Others | None = None, at: datetime = NOW) -> Found:
    """Return what a read of these open sessions shows."""
    return found_in(sessions, access(), others or everyone(), clicked_at=NOW, now=at)


def states(each: Ending) -> dict[str, EndState]:
    """Return the state of each session of an ending."""
    return {one.id: one.state for one in each.sessions}


# --- which sessions


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Whose.NAMED),
        ({"owner": ""}, Whose.ALONE),
        ({"open": False}, None),
        ({"access_type": None}, None),
        ({"access_type": AccessType.STANDARD}, None),
        ({"started_at": None}, None),
        ({"started_at": NOON - 2 * MINUTE}, None),
        ({"node": "i-b"}, None),
        ({"owner": f"{TOKEN_ROLE}/saburo@example.com"}, None),
    ],
)
def test_only_open_just_in_time_sessions_of_the_requester_may_be_ended(
    changed: dict[str, Any], expected: Whose | None
) -> None:
    """Whatever AWS does not show, or shows differently, leaves a session open. So does an incomplete list of access."""
    assert may_be_ended(session(**changed), access(), everyone(), now=NOW) is expected
    assert may_be_ended(session(**changed), access(), Others(), now=NOW) is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (access("jiro@example.com"), Whose.NAMED),
        (access("taro@example.com", role="Admin"), None),  # a namesake
        (access(requester="b4a8f4d2-70a1", names=frozenset()), None),  # a requester of unknown names
        (access(request="second"), None),  # the requester's own further access, which is current
        (access(request="second", ends=NOW), Whose.NAMED),
        (access(request="second", node="i-b"), Whose.NAMED),
    ],
)
def test_session_that_other_access_allows_may_be_left_open(other: Access, expected: Whose | None) -> None:
    """A name decides, unless another requester may have it, or another current access of the same person allows it."""
    assert may_be_ended(session(), access(), everyone(other), now=NOW) is expected
    shown = found(session(), others=everyone(other))
    assert (len(shown.theirs), shown.left) == ((1, 0) if expected else (0, 1))


# --- how an ending proceeds


@pytest.mark.parametrize(
    ("state", "stage", "why"),
    [
        (DecisionState.CLAIMED, EndingStage.WAITS, None),
        (DecisionState.SENT, EndingStage.WAITS, None),
        (DecisionState.CONFIRMED, EndingStage.RUNS, None),
        (DecisionState.UNKNOWN, EndingStage.RUNS, None),
        (DecisionState.REFUSED, EndingStage.OVER, Stopped.NOT_REVOKED),
        (DecisionState.RELEASED, EndingStage.OVER, Stopped.NOT_REVOKED),
    ],
)
def test_nothing_is_ended_before_the_revocation_was_sent(
    state: DecisionState, stage: EndingStage, why: Stopped | None
) -> None:
    """Without AWS's answer it goes on. A revocation that is gone from the row was not sent."""
    waiting = ending(stage=EndingStage.WAITS, revocation="d", next_at=None)
    assert not waiting.is_due(NOW)
    after = after_revocation(waiting, decision(HANAKO, state=state), NOW)
    assert (after.stage, after.stopped, after.is_due(NOW)) == (stage, why, stage is EndingStage.RUNS)
    assert after_revocation(waiting, None, NOW).stopped is Stopped.NOT_REVOKED
    if stage is not EndingStage.WAITS:
        assert after_revocation(after, None, NOW) == after


def test_each_planned_session_is_asked_for_only_after_a_second_read_that_says_the_same() -> None:
    """A session that opens between the reads waits for the next round; one whose owner is unclear now is left."""
    first = after_read(ending(), found(session("s-1"), session("s-2")), NOW)
    assert states(first) == {"s-1": EndState.FOUND, "s-2": EndState.FOUND}
    assert scheduled(first, access(), NOW, called=False).next_at == NOW
    rival = everyone(access("taro@example.com", role="Admin"))
    unclear = after_read(first, found(session("s-1"), session("s-2"), session("s-3"), others=rival), NOW)
    assert (states(unclear), unclear.left) == ({}, 3)
    again = after_read(first, found(session("s-1"), session("s-3")), NOW)
    assert states(again) == {"s-1": EndState.FOUND}
    by_elimination = after_read(first, found(session("s-1", owner=""), session("s-2")), NOW)
    assert states(by_elimination) == {"s-2": EndState.FOUND}


def test_a_session_has_ended_once_it_is_listed_as_ended() -> None:
    """That AWS accepted the call, or lists it as open no longer, proves nothing. A session that is listed for long is not confirmed, until it is."""
    begun = after_read(ending(), found(session()), NOW)
    asked = with_state(begun, "s-1", EndState.ASKED, at=NOW)
    assert scheduled(asked, access(), NOW, called=True).next_at == NOW + LOOK_PAUSE
    listed = after_read(asked, found(session()), NOW + SECOND)
    assert states(listed) == {"s-1": EndState.ASKED}
    over = session(open=False)
    assert states(after_read(asked, found(over), NOW + SECOND)) == {"s-1": EndState.ENDED}
    assert states(after_read(asked, found(session(), over), NOW + SECOND)) == {"s-1": EndState.ENDED}
    assert states(after_read(asked, found(), NOW + SECOND)) == {"s-1": EndState.ASKED}
    assert states(after_read(asked, found(), NOW + CONFIRMED_WITHIN)) == {"s-1": EndState.UNCONFIRMED}
    late = after_read(asked, found(session()), NOW + CONFIRMED_WITHIN)
    assert states(late) == {"s-1": EndState.UNCONFIRMED}
    rested = scheduled(late, access(), NOW + CONFIRMED_WITHIN, called=False)
    assert (rested.in_round, rested.next_at) == (False, NOW + MINUTE)
    assert states(after_read(rested, found(over), NOW + MINUTE)) == {"s-1": EndState.ENDED}
    assert states(after_read(rested, found(session()), NOW + MINUTE)) == {"s-1": EndState.FOUND}


def test_a_session_that_was_asked_for_is_not_confirmed_once_the_ending_stops() -> None:
    """AWS is not asked again, so nothing may say for ever that it is being ended."""
    asked = with_state(after_read(ending(), found(session()), NOW), "s-1", EndState.ASKED, at=NOW)
    for over in (stopped(asked, Stopped.NOT_PERMITTED), put_off(asked, NOW + HOUR)):
        assert (over.stage, states(over)) == (EndingStage.OVER, {"s-1": EndState.UNCONFIRMED})


def test_a_refused_session_is_tried_again_in_the_next_round_only() -> None:
    """If somebody ends it in the console meanwhile, nothing is said about it any more."""
    begun = after_read(ending(), found(session("s-1"), session("s-2")), NOW)
    denied = with_state(begun, "s-1", EndState.DENIED, detail="AccessDeniedException", at=NOW)
    denied = scheduled(denied, access(), NOW, called=True)
    assert denied.next_at == NOW + CALL_PAUSE
    assert next_planned(denied) == denied.session("s-2")
    rest = with_state(denied, "s-2", EndState.FAILED, detail="InternalServerError", at=NOW)
    rest = scheduled(rest, access(), NOW, called=True)
    assert (rest.next_at, rest.count(EndState.DENIED, EndState.FAILED)) == (NOW + MINUTE, 2)
    later = after_read(rest, found(session("s-2")), NOW + MINUTE)
    assert states(later) == {"s-2": EndState.FOUND}


def test_rounds_go_on_for_an_hour_and_end_earlier_only_if_no_session_can_follow() -> None:
    """A revocation leaves credentials alive. After the end of the access, none can start a session of this access."""
    each, begins = ending(), list[timedelta]()
    while each.stage is EndingStage.RUNS and each.next_at:
        at = each.next_at
        begins.append(at - NOW)
        each = scheduled(after_read(each, found(at=at), at), access(), at, called=False)
    assert tuple(begins) == ROUNDS
    over = access(ends=NOW - SETTLED_AFTER)
    assert scheduled(after_read(ending(), found(), NOW), over, NOW, called=False).stage is EndingStage.OVER
    recent = access(ends=NOW - SETTLED_AFTER + SECOND)
    assert scheduled(after_read(ending(), found(), NOW), recent, NOW, called=False).next_at == NOW + MINUTE
    denied = with_state(after_read(ending(), found(session()), NOW), "s-1", EndState.DENIED, at=NOW)
    assert scheduled(denied, over, NOW, called=True).next_at == NOW + MINUTE


def test_newer_access_of_the_requester_to_the_node_stops_an_ending() -> None:
    """What was planned is left open. Access to another node, of another person, or from before changes nothing."""
    begun = after_read(ending(), found(session()), NOW)
    later = NOW + SECOND
    for other in (
        access(request="second", begins=later, node="i-b"),
        access("jiro@example.com", begins=later),
        access(request="second", begins=NOW),
    ):
        assert after_read(begun, found(others=everyone(other)), NOW).stopped is None
    newer = found(session(), others=everyone(access(request="second", begins=later)))
    after = after_read(begun, newer, NOW)
    assert (after.stage, after.stopped, after.sessions) == (EndingStage.OVER, Stopped.NEW_ACCESS, ())
    assert scheduled(after, access(), NOW, called=False) == after


def test_unreadable_sessions_are_read_again_with_growing_pauses_until_the_hour_is_over() -> None:
    """After some failures, people are told. A read that works clears them."""
    each = ending()
    pauses = list[timedelta]()
    for _ in range(UNREAD_AFTER + 4):
        each = put_off(each, NOW)
        assert each.next_at
        pauses.append(each.next_at - NOW)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1], each.is_unread) == (LOOK_PAUSE, MINUTE, True)
    assert not after_read(each, found(), NOW).is_unread
    last = put_off(each, NOW + HOUR)
    assert (last.stage, last.stopped) == (EndingStage.OVER, Stopped.UNREADABLE)


def test_an_ending_is_bounded() -> None:
    """A row has room for a few endings, and each for some sessions. Further sessions are left open, and counted."""
    many = [session(f"s-{number}") for number in range(MOST_ENDED + 5)]
    each, at = ending(), NOW
    while each.stage is EndingStage.RUNS and each.next_at:
        at = each.next_at
        asked = {one.id for one in each.sessions if one.state is EndState.ASKED}
        listed = [one for one in many if one.id not in asked]
        each = after_read(each, found(*listed, *(session(one, open=False) for one in asked), at=at), at)
        assert each.count(EndState.FOUND) <= MOST_PLANNED
        many = listed
        if planned := next_planned(each):
            each = with_state(each, planned.id, EndState.ASKED, at=at)
        each = scheduled(each, access(), at, called=True)
    assert (each.count(EndState.ENDED), each.left) == (MOST_ENDED, 5)
    kept = tuple[Ending, ...]()
    for number in range(MOST_ENDINGS + 1):
        kept = with_ending(kept, ending(id=str(number), stage=EndingStage.OVER))
    assert [one.id for one in kept] == ["1", "2", "3", "4", "5"]
    assert active_ending(kept) is None
    running = with_ending(kept, ending(id="3"))
    assert active_ending(running) == ending(id="3")
    assert len(running) == MOST_ENDINGS


def test_sessions_that_cannot_be_ended_do_not_keep_further_ones_out_of_a_round() -> None:
    """A person could otherwise open so many that the next one is never tried."""
    many = [session(f"s-{number:02}") for number in range(MOST_PLANNED + 1)]
    each = after_read(ending(), found(*many), NOW)
    while planned := next_planned(each):
        each = with_state(each, planned.id, EndState.DENIED, at=NOW)
    each = scheduled(each, access(), NOW, called=True)
    assert (each.session(many[-1].id), each.in_round) == (None, False)
    later = after_read(each, found(*many, at=NOW + MINUTE), NOW + MINUTE)
    assert later.session(many[-1].id)


def test_a_time_that_a_clock_stored_ahead_is_not_waited_for() -> None:
    """Otherwise a corrected clock would delay an ending by hours."""
    assert not ending(next_at=NOW + SECOND).is_due(NOW)
    assert ending(next_at=NOW + HOUR).is_due(NOW)
    asked = ending(sessions=(EndedSession("s-1", "i-a", Whose.NAMED, EndState.ASKED, NOW + HOUR),), in_round=True)
    assert states(after_read(asked, found(session()), NOW)) == {"s-1": EndState.UNCONFIRMED}
