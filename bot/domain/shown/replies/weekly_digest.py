"""Computes the weekly digest of a channel from the rows of its requests. It contains no names of people."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from bot.domain.access.sessions import MARGIN, access_of, ended_at, is_settled
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Status
from bot.domain.routing import same_conversation
from bot.domain.schedule.digest_week import DigestWeek
from bot.domain.shown.decided import deciding_line, was_given_back
from bot.domain.shown.replies.reply_views import DigestCount, WeeklyDigestView


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers from some rows of a channel, which can be added to those from others."""

    events: tuple[DigestCount, ...] = ()
    waits: tuple[timedelta, ...] = ()  # of the decisions of people

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.events + other.events, self.waits + other.waits)

    def view(self, week: DigestWeek, *, began: datetime | None = None, complete: bool = True) -> WeeklyDigestView:
        """Return the digest. `began` is since when all requests are listed."""
        numbers = ((each, self.events.count(each)) for each in DigestCount)
        return WeeklyDigestView(
            week.since,
            week.until,
            counts=tuple((each, number) for each, number in numbers if number or each is DigestCount.REQUESTS),
            median=timedelta(seconds=median(each.total_seconds() for each in self.waits)) if self.waits else None,
            longest=max(self.waits, default=None),
            began=began if began and began > week.since else None,
            complete=complete,
        )


def tally(records: Iterable[Record], conversation: str, week: DigestWeek) -> Tally:
    """Count what happened in the week to those of the rows that people of this channel decide, or decided."""
    rows = [(each, each.request) for each in records if _is_of(each, conversation)]
    known = [(row, request) for row, request in rows if request]
    return Tally(
        tuple(event for row, request in known for event in _events(row, request, week)),
        tuple(wait for row, request in known for wait in _wait(row, request, week)),
    )


def _is_of(record: Record, conversation: str) -> bool:
    """True for the channel that the request is routed to, and for one that a level was escalated to."""
    places: Sequence[str] = [each.conversation for each in record.escalations]
    home = record.route.conversation if record.route else None
    return any(same_conversation(each, conversation) for each in (home, *places))


def _events(record: Record, request: AccessRequest, week: DigestWeek) -> Iterator[DigestCount]:
    made = request.requested_at or record.created_at
    if week.includes(made):
        yield DigestCount.REQUESTS
    if week.includes(_granted_at(request)):
        yield DigestCount.AUTO_APPROVED if request.auto_approved else DigestCount.APPROVED
    match request.status:
        case Status.REJECTED | Status.TIMED_OUT | Status.CANCELLED | Status.REVOKED:
            if week.includes(_ended_at(record, request)):
                yield DigestCount.GIVEN_BACK if was_given_back(record) else DigestCount(request.status)
        case Status.PENDING if made < week.until:
            yield DigestCount.WAITING
        case _:
            pass
    yield from _use(record, request, week)


def _use(record: Record, request: AccessRequest, week: DigestWeek) -> Iterator[DigestCount]:
    """Yield what sessions show of access that has ended; nothing if they were never read."""
    usage, end = record.usage, ended_at(request)
    if usage is None or end is None or access_of(request) is None:
        return
    seen = usage.sessions or usage.more or not usage.readable
    if not seen and is_settled(usage, end) and week.includes(usage.ended_read_at):
        yield DigestCount.NEVER_USED
    late = end + MARGIN
    if week.includes(late):
        theirs = (each for each in usage.sessions if each.is_theirs)
        yield from (DigestCount.OUTLIVED for each in theirs if each.open or (each.ended_at and each.ended_at > late))


def _wait(record: Record, request: AccessRequest, week: DigestWeek) -> Iterator[timedelta]:
    """Yield how long the request waited for its last approval or its rejection, if that was in the week."""
    rejected_at = _ended_at(record, request) if request.status is Status.REJECTED else None
    decided_at = rejected_at or _granted_at(request)
    if request.requested_at and decided_at and week.includes(decided_at) and not request.auto_approved:
        yield max(timedelta(), decided_at - request.requested_at)


def _granted_at(request: AccessRequest) -> datetime | None:
    """Return when access was approved; None if it was not, or the time is unknown."""
    if request.status not in {Status.APPROVED, Status.REVOKED}:
        return None
    level = request.last_level
    return (level.ended_at if level else None) or request.access_from


def _ended_at(record: Record, request: AccessRequest) -> datetime | None:
    """Return when a request that is not approved any longer was decided, withdrawn or expired, as exactly as known."""
    line, level = deciding_line(record), request.last_level
    clicked_at = line.at if line else None
    if request.status in {Status.REVOKED, Status.CANCELLED}:
        return clicked_at or request.modified_at
    return (level.ended_at if level else None) or clicked_at or request.modified_at
