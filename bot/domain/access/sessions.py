"""Sessions on nodes: whose they are, and what a row keeps of them. Pure.

AWS names no access request in a session. A session is therefore attributed by its node, its start and its owner.
How AWS lists sessions of just-in-time access was not seen live: what does not fit is unclear, and never "theirs".
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from bot.domain.identity import Principal
from bot.domain.request import AccessRequest, Status
from bot.text.names import exact

MARGIN: Final = timedelta(minutes=1)  # AWS's services and nodes have clocks of their own
SETTLED_AFTER: Final = timedelta(minutes=15)  # after the end of the access, the list of ended sessions has them all
WATCHED_AFTER_END: Final = timedelta(hours=24)  # for this long, a session that stays open is watched
LONGEST_ACCESS: Final = timedelta(days=14)  # of a policy; the end of access whose end AWS does not show
MOST_KEPT: Final = 20  # sessions of a row; DynamoDB limits rows, and the entries of one write
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


class AccessType(StrEnum):
    """The permission with which a session was started, in AWS's words."""

    STANDARD = "Standard"
    JUST_IN_TIME = "JustInTime"


class Whose(StrEnum):
    """Why a session counts as the requester's, or that this is not certain."""

    NAMED = "named"  # its owner has the requester's session name
    ALONE = "alone"  # its owner names nobody known, and no one else had access to the node
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session as AWS lists it. Sessions without an id or a node are not listed: the list is then incomplete."""

    id: str
    node: str
    open: bool  # AWS lists it as active: connected, or disconnected and able to continue
    owner: str = ""  # as AWS spells it; maybe of nobody who is known
    access_type: AccessType | None = None  # None: AWS shows none, or a new one
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SeenSession:
    """A session that belongs to a request, or may belong to it."""

    id: str
    node: str
    whose: Whose
    open: bool
    owner: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None  # as AWS says; until it does, when the session was first missing

    @property
    def is_theirs(self) -> bool:
        """True if the session counts as the requester's."""
        return self.whose is not Whose.UNCLEAR


@dataclass(frozen=True, slots=True)
class Usage:
    """What the granted access of a request was used for, as far as sessions show it."""

    sessions: tuple[SeenSession, ...] = ()  # by their start, at most MOST_KEPT
    readable: bool = True  # False: AWS does not list the sessions now
    ended_read_at: datetime | None = None  # since the end: when the last complete read of ended sessions began
    more: bool = False  # there were more sessions than are kept


@dataclass(frozen=True, slots=True)
class Access:
    """Access to nodes that a request granted. Whether it was revoked does not matter: credentials may live longer."""

    request: str
    requester: str  # as AWS spells it
    names: frozenset[str]  # session names that are the requester's, in the form for comparisons
    nodes: frozenset[str]  # empty: it is not certain which, so that it may be any
    begins: datetime
    ends: datetime

    def may_cover(self, session: ListedSession) -> bool:
        """True if the session may have been started with this access."""
        return (not self.nodes or session.node in self.nodes) and self.is_within(session.started_at)

    @property
    def others_since(self) -> datetime:
        """The earliest end of other access with which a session that this one covers may have been started."""
        return self.begins - 2 * MARGIN  # the session may have begun a margin early, and the other access end one late

    def is_within(self, start: datetime | None) -> bool:
        """True for a moment within the access, or for an unknown one."""
        return start is None or self.begins - MARGIN <= start <= self.ends + MARGIN


@dataclass(frozen=True, slots=True)
class Others:
    """The access of other requests in the same account and Region. Not `complete`: there may be more."""

    access: tuple[Access, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One complete read of sessions, which began at `at`. Not `with_ended`: only active ones were read."""

    at: datetime
    by_node: Mapping[str, Mapping[str, ListedSession]]  # node -> id -> session
    with_ended: bool = False

    @classmethod
    def of(cls, at: datetime, active: Iterable[ListedSession], ended: Iterable[ListedSession] | None) -> "Reading":
        """Return a read. A session in both lists has ended between them."""
        by_node: dict[str, dict[str, ListedSession]] = {}
        for each in (*active, *(ended or ())):
            by_node.setdefault(each.node, {})[each.id] = each
        return cls(at, by_node, with_ended=ended is not None)

    def on(self, nodes: Iterable[str]) -> Mapping[str, ListedSession]:
        """Return the sessions on some nodes, by their id."""
        return {name: each for node in nodes for name, each in self.by_node.get(node, {}).items()}


# --- access


def access_of(request: AccessRequest | None, learnt: Iterable[str] = ()) -> Access | None:
    """Return the access that a request granted; None if it granted none, or its nodes or its end are not known.

    `learnt` has the names of an Identity Center user. The session name of any other requester is in the principal.
    """
    if request is None or request.status not in _GRANTED or request.replica_of or request.access_until is None:
        return None
    nodes = frozenset(node.id for node in request.targets)
    begins = request.access_from or (request.duration and request.access_until - request.duration)
    begins = begins or request.requested_at
    if not nodes or begins is None:
        return None
    names = frozenset(learnt) or session_names(request.requester)
    return Access(str(request.key), request.requester, names, nodes, begins, request.access_until)


def session_names(principal: str) -> frozenset[str]:
    """Return the name of a principal's role session in the form for comparisons; empty for other principals."""
    session = Principal.parse(principal).session
    return frozenset({exact(session)}) if session else frozenset()


def ended_at(request: AccessRequest) -> datetime | None:
    """Return when access ended or will end: at a revocation, or with the window. None if it is unknown."""
    moments = [request.access_until, request.modified_at if request.status is Status.REVOKED else None]
    return min((each for each in moments if each), default=None)


_GRANTED = frozenset({Status.APPROVED, Status.REVOKED})


# --- whose a session is


def whose(session: ListedSession, access: Access, others: Others) -> Whose | None:
    """Return whether a session was started with this access; None if it was not.

    The owner of a session may be spelled in any way. A name that another requester has, or an address, names somebody.
    """
    if session.node not in access.nodes or session.access_type is AccessType.STANDARD:
        return None
    if not access.is_within(session.started_at):
        return None
    if session.access_type is None or session.started_at is None:
        return Whose.UNCLEAR
    name = owner_name(session.owner)
    strangers = [each for each in others.access if each.requester != access.requester]
    rivals = [each for each in strangers if each.may_cover(session)]
    if name in access.names:
        return Whose.UNCLEAR if any(name in each.names for each in rivals) else Whose.NAMED
    if any(name in each.names for each in rivals):
        return None
    names_somebody = "@" in name or any(name in each.names for each in strangers)
    alone = others.complete and not rivals and not names_somebody
    return Whose.ALONE if alone else Whose.UNCLEAR


def owner_name(owner: str) -> str:
    """Return the session name in a session's `Owner`, in the form for comparisons; "" without one.

    Documented for other sessions is the ARN of the role's session; `id:name` and a plain name are read too.
    """
    return exact(Principal.parse(owner).own_names[-1]) if owner.strip() else ""


def has_news(usage: Usage | None, access: Access, reading: Reading, known_others: Others) -> bool:
    """True if a session may belong to the access that the row does not have, so that others' access must be read."""
    known = {each.id for each in usage.sessions} if usage else set[str]()
    listed = (each for name, each in reading.on(access.nodes).items() if name not in known)
    return any(whose(each, access, known_others) for each in listed)


# --- what a row keeps


def with_reading(usage: Usage | None, access: Access, reading: Reading, others: Others, *, settles: bool) -> Usage:
    """Return what a row keeps after a read. `settles` is True if it is one that `wants_ended` asked for."""
    before = usage or Usage()
    known = {each.id: each for each in before.sessions}
    listed = reading.on(access.nodes)
    found = [_seen(each, known.get(each.id), access, others) for each in listed.values()]
    missing = [_missing(each, reading.at) for each in before.sessions if each.id not in listed]
    ordered = sorted((*filter(None, found), *missing), key=lambda each: (each.started_at or EARLIEST, each.id))
    kept = sorted(ordered, key=lambda each: each.open)[-MOST_KEPT:]  # open ones first, then the latest
    return Usage(
        sessions=tuple(each for each in ordered if each in kept),
        ended_read_at=reading.at if settles and reading.with_ended else before.ended_read_at,
        more=before.more or len(ordered) > len(kept),
    )


def with_ended(usage: Usage | None, ids: Collection[str], at: datetime) -> Usage | None:
    """Return what a row keeps once AWS no longer lists some sessions as open, before the next read of all."""
    if usage is None or not any(each.open and each.id in ids for each in usage.sessions):
        return usage
    return replace(usage, sessions=tuple(_missing(each, at) if each.id in ids else each for each in usage.sessions))


def unreadable(usage: Usage | None) -> Usage:
    """Return what a row keeps while AWS does not list the sessions."""
    return replace(usage or Usage(), readable=False)


def _seen(session: ListedSession, before: SeenSession | None, access: Access, others: Others) -> SeenSession | None:
    """Return what the row keeps of a listed session. Whose it is stays until others' access is read completely."""
    if before:
        started, owner = session.started_at or before.started_at, session.owner or before.owner
        session = replace(session, started_at=started, owner=owner, ended_at=session.ended_at or before.ended_at)
    found = before.whose if before and not others.complete else whose(session, access, others)
    if found is None:
        return None
    ended_at = None if session.open else session.ended_at
    return SeenSession(session.id, session.node, found, session.open, session.owner, session.started_at, ended_at)


def _missing(session: SeenSession, at: datetime) -> SeenSession:
    """Return a session that AWS no longer lists as active."""
    return replace(session, open=False, ended_at=at) if session.open else session


# --- when AWS is read


def is_settled(usage: Usage | None, end: datetime) -> bool:
    """True once nothing about the sessions can change: all have ended, and a late read has seen all of them."""
    if usage is None or usage.ended_read_at is None or usage.ended_read_at < end + SETTLED_AFTER:
        return False
    return not any(each.open for each in usage.sessions)


def is_watched(usage: Usage | None, end: datetime, now: datetime) -> bool:
    """True while the sessions of access that ends at `end` are read."""
    return now < end + WATCHED_AFTER_END and not is_settled(usage, end)


def wants_ended(usage: Usage | None, end: datetime, now: datetime) -> bool:
    """True if the ended sessions must be read, too: once after the end of the access, and once SETTLED_AFTER it."""
    due = [moment for moment in (end, end + SETTLED_AFTER) if moment <= now]
    read_at = usage.ended_read_at if usage else None
    return bool(due) and (read_at is None or read_at < due[-1])


def span_of(sessions: Sequence[SeenSession]) -> timedelta | None:
    """Return how long sessions lasted in all; None if that is unknown for any."""
    if any(each.started_at is None or each.ended_at is None for each in sessions):
        return None
    spans = (each.ended_at - each.started_at for each in sessions if each.started_at and each.ended_at)
    return sum((max(span, timedelta()) for span in spans), timedelta())
