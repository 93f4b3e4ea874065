"""Tests for the weekly digest: when it is due, and what it counts."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from bot.domain.access.sessions import SETTLED_AFTER, SeenSession, Usage, Whose
from bot.domain.decision import DecisionState
from bot.domain.record import Escalation, Record
from bot.domain.request import AccessRequest, LevelState, Status, Withdrawal
from bot.domain.routing import Route
from bot.domain.schedule.digest_week import DigestWeek, WeeklyTime
from bot.domain.shown.replies.reply_views import DigestCount
from bot.domain.shown.replies.weekly_digest import Tally, tally
from tests.fakes.chat import CHANNEL, HANAKO
from tests.unit.domain.sample import KEY, decision, level, request

MONDAY = datetime(2026, 3, 30, 9, tzinfo=UTC)
WEEK = DigestWeek("2026-W14", MONDAY, MONDAY + timedelta(days=7))
BEFORE, WITHIN, AFTER = (MONDAY + timedelta(days=days) for days in (-3, 3, 7))
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("digest", "zone", "now", "week"),
    [
        (
            WeeklyTime(0, time(9)),
            "Asia/Tokyo",
            "2026-04-06T00:00",
            ("2026-W15", "2026-03-30T00:00", "2026-04-06T00:00"),
        ),
        (
            WeeklyTime(0, time(9)),
            "Asia/Tokyo",
            "2026-04-05T23:59",
            ("2026-W14", "2026-03-23T00:00", "2026-03-30T00:00"),
        ),
        (
            WeeklyTime(6, time(0)),
            "Asia/Tokyo",
            "2027-01-02T20:00",
            ("2026-W53", "2026-12-26T15:00", "2027-01-02T15:00"),
        ),
        (
            WeeklyTime(0, time(9)),
            "Europe/Berlin",
            "2026-03-30T07:00",
            ("2026-W14", "2026-03-23T08:00", "2026-03-30T07:00"),
        ),
        (
            WeeklyTime(0, time(9)),
            "Europe/Berlin",
            "2026-10-26T08:00",
            ("2026-W44", "2026-10-19T07:00", "2026-10-26T08:00"),
        ),
        (
            WeeklyTime(6, time(2, 30)),
            "Europe/Berlin",
            "2026-03-29T01:30",
            ("2026-W13", "2026-03-22T01:30", "2026-03-29T01:30"),
        ),
        (
            WeeklyTime(6, time(2, 30)),
            "Europe/Berlin",
            "2026-03-29T01:29",
            ("2026-W12", "2026-03-15T01:30", "2026-03-22T01:30"),
        ),
        (
            WeeklyTime(6, time(2, 30)),
            "Europe/Berlin",
            "2026-10-25T00:30",
            ("2026-W43", "2026-10-18T00:30", "2026-10-25T00:30"),
        ),
        (
            WeeklyTime(6, time(2, 30)),
            "Europe/Berlin",
            "2026-10-25T01:30",
            ("2026-W43", "2026-10-18T00:30", "2026-10-25T00:30"),
        ),
    ],
    ids=[
        "due now",
        "a minute before",
        "new year",
        "spring",
        "autumn",
        "skipped",
        "before skipped",
        "first",
        "repeated",
    ],
)
def test_digest_is_due_by_the_clock_of_the_time_zone(
    digest: WeeklyTime, zone: str, now: str, week: tuple[str, str, str]
) -> None:
    """It covers a week on that clock: an hour less or more when summer time begins or ends.

    A time that the clock skips is due when it would have been; of a repeated one, the first counts. Times are in UTC.
    """
    name, *span = week
    moment, since, until = (datetime.fromisoformat(f"{each}+00:00") for each in (now, *span))
    assert digest.latest(moment, zone) == DigestWeek(name, since, until)


def row(asked: AccessRequest, **facts: Any) -> Record:
    """Return a row of the channel. `facts` are fields of the row."""
    record = Record(KEY, asked.requested_at or BEFORE, request=asked, route=Route("approvals", CHANNEL, settled=True))
    return replace(record, **facts)


def asked(status: Status, made: datetime, ended: datetime | None = None, **facts: object) -> AccessRequest:
    """Return a request with one level, which ended at this time."""
    steps = {Status.PENDING: LevelState.WAITING, Status.REJECTED: LevelState.REJECTED}
    step = replace(level(state=steps.get(status, LevelState.APPROVED)), ended_at=ended)
    return request(step, status=status, requested_at=made, **facts)


def counted(*rows: Record) -> dict[str, int]:
    """Return the numbers of the digest, without a zero."""
    return {str(each): number for each, number in tally(rows, CHANNEL, WEEK).view(WEEK).counts if number}


@pytest.mark.parametrize(
    ("record", "numbers"),
    [
        (row(asked(Status.PENDING, WITHIN)), {"requests": 1, "waiting": 1}),
        (row(asked(Status.PENDING, BEFORE)), {"waiting": 1}),
        (row(asked(Status.PENDING, AFTER)), {}),
        (row(asked(Status.APPROVED, WITHIN, WITHIN)), {"requests": 1, "approved": 1}),
        (row(asked(Status.APPROVED, BEFORE, WITHIN)), {"approved": 1}),
        (row(asked(Status.APPROVED, BEFORE, BEFORE)), {}),
        (row(asked(Status.APPROVED, WITHIN, AFTER)), {"requests": 1}),
        (row(asked(Status.REJECTED, WITHIN, WITHIN)), {"requests": 1, "rejected": 1}),
        (row(asked(Status.TIMED_OUT, BEFORE, WITHIN)), {"timed_out": 1}),
        (row(asked(Status.TIMED_OUT, BEFORE, AFTER)), {}),
        (row(asked(Status.CANCELLED, WITHIN, modified_at=WITHIN)), {"requests": 1, "cancelled": 1}),
        (row(asked(Status.REVOKED, WITHIN, WITHIN, modified_at=WITHIN)), {"requests": 1, "approved": 1, "revoked": 1}),
        (row(asked(Status.REVOKED, BEFORE, BEFORE, modified_at=WITHIN)), {"revoked": 1}),
        (row(asked(Status.FAILED, WITHIN, modified_at=WITHIN)), {"requests": 1}),
        (
            row(
                request(status=Status.APPROVED, requested_at=WITHIN, access_from=WITHIN, auto_approved=True, levels=())
            ),
            {"requests": 1, "auto_approved": 1},
        ),
    ],
)
def test_each_event_counts_in_the_week_in_which_it_happened(record: Record, numbers: dict[str, int]) -> None:
    """A request is counted when it was made, its outcome when that happened, and once while it waits."""
    assert counted(record) == numbers


def session(ended: datetime | None, whose: Whose = Whose.NAMED) -> SeenSession:
    """Return a session, open if it has no end."""
    return SeenSession("s", "i-02999bd501754105a", whose, ended is None, "", BEFORE, ended)


SETTLED = Usage(ended_read_at=WITHIN + SETTLED_AFTER)


@pytest.mark.parametrize(
    ("usage", "ends", "numbers"),
    [
        (None, WITHIN, {}),
        (SETTLED, WITHIN, {"never_used": 1}),
        (SETTLED, WITHIN + MINUTE, {}),
        (replace(SETTLED, readable=False), WITHIN, {}),
        (replace(SETTLED, sessions=(session(WITHIN, Whose.UNCLEAR),)), WITHIN, {}),
        (Usage(ended_read_at=AFTER + SETTLED_AFTER), AFTER, {}),
        (Usage((session(None), session(WITHIN + 9 * MINUTE), session(WITHIN + MINUTE))), WITHIN, {"outlived": 2}),
        (Usage((session(None, Whose.UNCLEAR),)), WITHIN, {}),
        (Usage((session(None),)), BEFORE, {}),
        (Usage((session(None),)), AFTER, {}),
    ],
    ids=[
        "not read",
        "never used",
        "not settled",
        "unreadable",
        "maybe used",
        "settled after the week",
        "two of three outlived",
        "maybe of others",
        "ended before the week",
        "runs on",
    ],
)
def test_sessions_show_access_that_was_never_used_and_what_outlived_it(
    usage: Usage | None, ends: datetime, numbers: dict[str, int]
) -> None:
    """Only certain facts count: a complete read of no session, and the requester's own sessions after the end."""
    facts = {"access_from": BEFORE, "access_until": ends}
    assert counted(row(asked(Status.APPROVED, BEFORE, BEFORE, **facts), usage=usage)) == numbers


def test_revocation_from_teams_counts_when_it_was_confirmed() -> None:
    """AWS may change the request later; the time of the decision is more exact. Access that is given back counts apart."""
    revoked = asked(Status.REVOKED, BEFORE, BEFORE, modified_at=AFTER)
    made = replace(decision(HANAKO), verdict=Withdrawal.REVOKE, settled_at=WITHIN, clicked_at=WITHIN)
    assert counted(row(revoked)) == {}
    confirmed = replace(made, state=DecisionState.CONFIRMED)
    assert counted(row(revoked, decisions=(confirmed,))) == {"revoked": 1}
    assert counted(row(revoked, decisions=(replace(confirmed, given_back=True),))) == {"given_back": 1}


def test_requests_count_in_their_channel_and_where_they_were_escalated() -> None:
    """A row of another channel, or without facts, is not counted. An escalated one is counted in both."""
    elsewhere = row(asked(Status.PENDING, WITHIN), route=Route("leads", "19:leads@thread.tacv2", settled=True))
    escalated = replace(elsewhere, escalations=(Escalation("Level1", "approvals", CHANNEL, WITHIN),))
    assert counted(elsewhere, Record(KEY, WITHIN), replace(elsewhere, route=None)) == {}
    assert counted(escalated) == {"requests": 1, "waiting": 1}


def test_waiting_times_are_of_decisions_by_people_in_the_week() -> None:
    """Median and longest time from a request to its approval or rejection. Expired ones, and policies, do not count."""
    rows = [
        row(asked(Status.APPROVED, WITHIN - 3 * MINUTE, WITHIN)),
        row(asked(Status.REVOKED, WITHIN - 10 * MINUTE, WITHIN, modified_at=AFTER)),
        row(asked(Status.REJECTED, WITHIN - 4 * MINUTE, WITHIN)),
        row(asked(Status.REJECTED, WITHIN - 5 * MINUTE, WITHIN)),
        row(asked(Status.APPROVED, BEFORE - 90 * MINUTE, BEFORE)),
        row(asked(Status.TIMED_OUT, BEFORE, WITHIN)),
        row(request(status=Status.APPROVED, requested_at=BEFORE, access_from=WITHIN, auto_approved=True, levels=())),
    ]
    view = (tally(rows[:3], CHANNEL, WEEK) + tally(rows[3:], CHANNEL, WEEK)).view(WEEK)
    assert (view.median, view.longest) == (4.5 * MINUTE, 10 * MINUTE)


def test_quiet_week_has_no_requests_and_no_times() -> None:
    """The number of requests is stated although it is 0. The start of the index is stated only if it is later."""
    view = Tally().view(WEEK, began=WITHIN)
    assert (view.counts, view.median, view.longest, view.began) == (((DigestCount.REQUESTS, 0),), None, None, WITHIN)
    assert view.is_quiet
    assert Tally().view(WEEK, began=BEFORE).began is None
