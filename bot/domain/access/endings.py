"""Endings: a person's click to end the open sessions of an access, and its progress. Pure.

An ending waits for its revocation, if it has one. Then it runs in rounds for an hour, because credentials from before
the revocation may still start sessions. A round plans the sessions that certainly belong to the requester and to this
access. Right before each call, all sessions and all access are read again: a session is ended only if the answer is
the same. That AWS accepted the call proves nothing: a session has ended once AWS lists it as ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from bot.domain.access.sessions import SETTLED_AFTER, Access, AccessType, ListedSession, Others, Whose, whose
from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Person
from bot.domain.spans import runs

ROUNDS: Final = tuple(timedelta(minutes=each) for each in (0, 1, 5, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60))
"""When rounds begin, counted from the click."""
CONFIRMED_WITHIN: Final = timedelta(seconds=30)  # after the call; then the session is shown as not confirmed
CALL_PAUSE: Final = timedelta(seconds=1)  # between two calls
LOOK_PAUSE: Final = timedelta(seconds=2)  # between two reads that wait for AWS to list a session as ended
LONGEST_PAUSE: Final = timedelta(minutes=10)  # between two rounds; a later time was stored by a clock that was ahead
UNREAD_AFTER: Final = 3  # failures in a row, before cards say that AWS or Teams does not answer
MOST_ENDED: Final = 50  # sessions of one ending; rows of DynamoDB are limited, and further ones are left open
MOST_PLANNED: Final = 20  # sessions of one round; each needs an audit entry, and one write takes a limited number
MOST_ENDINGS: Final = 5  # of a row; the oldest are dropped


class EndingStage(StrEnum):
    """How far an ending is."""

    WAITS = "waits"  # for its revocation
    RUNS = "runs"
    OVER = "over"


class EndState(StrEnum):
    """How far the end of one session is."""

    FOUND = "found"  # planned in this round; nothing was sent
    ASKED = "asked"  # the call may have been sent
    ENDED = "ended"  # AWS lists it as ended
    UNCONFIRMED = "unconfirmed"  # AWS does not list it as ended, CONFIRMED_WITHIN after the call
    DENIED = "denied"  # AWS denied the call
    FAILED = "failed"  # AWS refused the call for another reason, or did not answer


_ASKED: Final = frozenset({EndState.ASKED, EndState.UNCONFIRMED})


class Stopped(StrEnum):
    """Why an ending stopped before its last round."""

    NOT_REVOKED = "not_revoked"  # the revocation was not sent, or AWS refused it: nothing is ended
    NOT_PERMITTED = "not_permitted"  # the rules no longer permit it to the person
    NEW_ACCESS = "new_access"  # a newer request of the requester for the node was granted
    NO_ROLE = "no_role"  # the account's end_sessions_role was removed, or cannot be assumed
    UNREADABLE = "unreadable"  # AWS does not list sessions, or not all access to nodes


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that an ending has planned to end, or has asked AWS to end."""

    id: str
    node: str
    whose: Whose
    state: EndState = EndState.FOUND
    asked_at: datetime | None = None
    detail: str = ""  # AWS's error code

    @property
    def is_refused(self) -> bool:
        """True if AWS did not accept the call."""
        return self.state in {EndState.DENIED, EndState.FAILED}


@dataclass(frozen=True, slots=True)
class Ending:
    """A person's decision to end the open sessions of an access."""

    id: str
    person: Person
    step: str  # the level whose approvers may do it; "" if the requester ends their own
    clicked_at: datetime
    conversation: str = ""
    comment: str = ""
    own: bool = False  # the requester ends their own sessions
    revocation: str = ""  # id of the decision that goes first; "" without one
    stage: EndingStage = EndingStage.RUNS
    sessions: tuple[EndedSession, ...] = ()
    left: int = 0  # open sessions that may belong to this access or to another one, as of the last read
    rounds: int = 0  # that have begun
    in_round: bool = False
    failures: int = 0  # of AWS or Teams to answer, in a row
    next_at: datetime | None = None  # None while it waits, and once it is over
    stopped: Stopped | None = None

    def count(self, *states: EndState) -> int:
        """Return how many sessions are in one of these states."""
        return sum(each.state in states for each in self.sessions)

    def session(self, session_id: str) -> EndedSession | None:
        """Return the session with this id, or None."""
        return next((each for each in self.sessions if each.id == session_id), None)

    def is_due(self, now: datetime) -> bool:
        """True if the next step must be made now. A time that a clock stored ahead is not waited for."""
        if self.stage is not EndingStage.RUNS:
            return False
        return self.next_at is None or not runs(self.next_at, now=now, span=LONGEST_PAUSE)

    def missing_from(self, active: Iterable[ListedSession]) -> bool:
        """True if a session whose end AWS has not confirmed is no longer in this list of open ones."""
        listed = {each.id for each in active}
        return any(each.state in _ASKED and each.id not in listed for each in self.sessions)

    @property
    def is_unread(self) -> bool:
        """True if AWS or Teams has not answered for a while."""
        return self.failures >= UNREAD_AFTER or self.stopped is Stopped.UNREADABLE


@dataclass(frozen=True, slots=True)
class Found:
    """What one complete read shows of an access."""

    open: frozenset[str] = frozenset()  # every session that AWS lists as open, on any node
    ended: frozenset[str] = frozenset()  # sessions that AWS lists as ended, as far as they were read
    theirs: Mapping[str, EndedSession] = field(default_factory=dict)  # by id: sessions that may be ended
    left: int = 0  # further open sessions that may belong to the access
    new_access: bool = False


# --- which sessions may be ended


def may_be_ended(session: ListedSession, access: Access, others: Others, *, now: datetime) -> Whose | None:
    """Return why an open session is certainly the requester's by this access; None if it must be left open.

    `others` has the access of all other requests. What is not certain is left open: a session of another kind of
    access or without a start, one that may be of a requester whose session names are unknown, and one that another
    current access of the same requester allows.
    """
    certain = others.complete and session.open and session.started_at is not None
    if not certain or session.access_type is not AccessType.JUST_IN_TIME:
        return None
    found = whose(session, access, others)
    if found is None or found is Whose.UNCLEAR:
        return None
    allowing = [each for each in others.access if each.may_cover(session)]
    if any(_is_unknown(each, access) or _is_current(each, access, now) for each in allowing):
        return None
    return found


def _is_unknown(other: Access, access: Access) -> bool:
    return other.requester != access.requester and not other.names


def _is_current(other: Access, access: Access, now: datetime) -> bool:
    return other.requester == access.requester and other.ends > now


def found_in(
    sessions: Iterable[ListedSession], access: Access, others: Others, *, clicked_at: datetime, now: datetime
) -> Found:
    """Return what a read of all open sessions shows, and of ended ones that an ending waits for.

    A session in both lists has ended between the reads. `others` has the access of all other requests.
    """
    every = tuple(sessions)
    over = frozenset(each.id for each in every if not each.open)
    listed = [each for each in every if each.open and each.id not in over]
    theirs, left = dict[str, EndedSession](), 0
    for each in listed:
        if found := may_be_ended(each, access, others, now=now):
            theirs[each.id] = EndedSession(each.id, each.node, found)
        elif whose(each, access, others):
            left += 1
    newer = any(_is_current(each, access, now) and _is_newer(each, access, clicked_at) for each in others.access)
    return Found(frozenset(each.id for each in listed), over, theirs, left, newer)


def _is_newer(other: Access, access: Access, clicked_at: datetime) -> bool:
    return other.begins > clicked_at and (not other.nodes or bool(other.nodes & access.nodes))


# --- the endings of a row


def active_ending(endings: Iterable[Ending]) -> Ending | None:
    """Return the ending that is not over; None if there is none."""
    return next((each for each in endings if each.stage is not EndingStage.OVER), None)


def with_ending(endings: tuple[Ending, ...], ending: Ending) -> tuple[Ending, ...]:
    """Add an ending, or replace its earlier version. The newest MOST_ENDINGS are kept."""
    if any(each.id == ending.id for each in endings):
        return tuple(ending if each.id == ending.id else each for each in endings)
    return (*endings, ending)[-MOST_ENDINGS:]


# --- one ending


def after_revocation(ending: Ending, revocation: Decision | None, now: datetime) -> Ending:
    """Return an ending that waits, once the result of its revocation is known, or AWS did not answer it.

    Without an answer it goes on: the revocation may have taken effect, and the person asked for both. If the answer
    comes later and is a refusal, the ending stops.
    """
    state = revocation.state if revocation else DecisionState.RELEASED
    if ending.stage is EndingStage.RUNS and state is DecisionState.REFUSED:
        return stopped(ending, Stopped.NOT_REVOKED)
    if ending.stage is not EndingStage.WAITS:
        return ending
    match state:
        case DecisionState.CONFIRMED | DecisionState.UNKNOWN:
            return replace(ending, stage=EndingStage.RUNS, next_at=now)
        case DecisionState.REFUSED | DecisionState.RELEASED:
            return stopped(ending, Stopped.NOT_REVOKED)
        case _:
            return ending


def stopped(ending: Ending, why: Stopped) -> Ending:
    """Return an ending that is over. Sessions that were planned are left open. AWS is not read again for the others."""
    asked = (
        replace(each, state=EndState.UNCONFIRMED) if each.state is EndState.ASKED else each for each in ending.sessions
    )
    kept = tuple(each for each in asked if each.state is not EndState.FOUND)
    return replace(ending, stage=EndingStage.OVER, stopped=why, sessions=kept, in_round=False, next_at=None)


def put_off(ending: Ending, now: datetime) -> Ending:
    """Return an ending after AWS or Teams did not answer: it tries again, at last when the last round begins."""
    if now >= ending.clicked_at + ROUNDS[-1]:
        return stopped(ending, Stopped.UNREADABLE)
    pause = min(LOOK_PAUSE * 2 ** min(ending.failures, 5), timedelta(minutes=1))
    return replace(ending, failures=ending.failures + 1, next_at=now + pause)


def after_read(ending: Ending, found: Found, now: datetime) -> Ending:
    """Return an ending after a complete read: with what AWS confirms, and with what this round plans."""
    if found.new_access:
        return stopped(_confirmed(ending, found, now), Stopped.NEW_ACCESS)
    seen, theirs = _confirmed(ending, found, now), found.theirs
    if ending.in_round:
        kept = (each for each in seen.sessions if each.state is not EndState.FOUND or theirs.get(each.id) == each)
        return replace(seen, sessions=tuple(kept), left=found.left, failures=0)
    others = tuple(each for each in seen.sessions if each.id not in theirs)
    untried_first = sorted(theirs.values(), key=lambda each: seen.session(each.id) is not None)
    planned = tuple(untried_first)[: max(0, min(MOST_PLANNED, MOST_ENDED - len(others)))]
    left = found.left + len(theirs) - len(planned)
    begun = replace(seen, sessions=(*others, *planned), left=left, failures=0)
    return replace(begun, in_round=True, rounds=ending.rounds + 1)


def next_planned(ending: Ending) -> EndedSession | None:
    """Return the session that is to be ended next; None if none is planned."""
    return next((each for each in ending.sessions if each.state is EndState.FOUND), None)


def with_state(ending: Ending, session_id: str, state: EndState, *, detail: str = "", at: datetime) -> Ending:
    """Return an ending with one session in another state. `at` is the time of the call, for ASKED."""
    moments = {EndState.ASKED: at, EndState.FOUND: None}
    sessions = (
        replace(each, state=state, detail=detail, asked_at=moments.get(state, each.asked_at))
        if each.id == session_id
        else each
        for each in ending.sessions
    )
    return replace(ending, sessions=tuple(sessions))


def scheduled(ending: Ending, access: Access, now: datetime, *, called: bool = False) -> Ending:
    """Return a running ending with the time of its next step. `called` says whether a call was just made."""
    if ending.stage is not EndingStage.RUNS:
        return ending
    if next_planned(ending):
        return replace(ending, next_at=now + CALL_PAUSE if called else now)
    if ending.count(EndState.ASKED):
        return replace(ending, next_at=now + LOOK_PAUSE)
    begins = (ending.clicked_at + each for each in ROUNDS[ending.rounds :])
    following = next((each for each in begins if each > now), None)
    if following is None or _is_done(ending, access, now):
        return replace(ending, stage=EndingStage.OVER, in_round=False, next_at=None)
    return replace(ending, in_round=False, next_at=following)


def _is_done(ending: Ending, access: Access, now: datetime) -> bool:
    """True if no further session of the access can appear, and every one that was found has ended."""
    return now >= access.ends + SETTLED_AFTER and ending.count(EndState.ENDED) == len(ending.sessions)


def _confirmed(ending: Ending, found: Found, now: datetime) -> Ending:
    """Return an ending with what AWS lists now. A session that AWS refused to end and that has ended is forgotten."""
    known = tuple(_seen(each, found, now) for each in ending.sessions)
    kept = (each for each in known if not each.is_refused or each.id in found.open)
    return replace(ending, sessions=tuple(kept))


def _seen(session: EndedSession, found: Found, now: datetime) -> EndedSession:
    if session.state not in _ASKED:
        return session
    if session.id in found.ended:
        return replace(session, state=EndState.ENDED)
    waits = session.asked_at and runs(session.asked_at + CONFIRMED_WITHIN, now=now, span=CONFIRMED_WITHIN)
    return session if waits else replace(session, state=EndState.UNCONFIRMED)
