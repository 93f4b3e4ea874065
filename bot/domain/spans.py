"""Spans that are stored by their end: leases, holds, pauses, the age of a click.

A machine's clock may have been ahead when it stored one. A span whose end is further ahead than its whole length is
therefore over; otherwise a clock that is corrected by an hour would block a request for an hour.
"""

from datetime import UTC, datetime, timedelta

SKEW = timedelta(seconds=5)  # possible difference between the clocks of two processes
CLOCKS_APART = timedelta(minutes=1)  # tolerated difference between our clock and that of AWS or Teams
_NEVER = datetime.max.replace(tzinfo=UTC)


def runs(until: datetime, *, now: datetime, span: timedelta) -> bool:
    """True while the span that ends at `until` runs. `span` is its whole length, or the longest that it may have."""
    return until > now and not is_ahead(until - span, now)


def bounds(until: datetime, *, span: timedelta) -> tuple[datetime, datetime]:
    """Return the moments at which `runs` changes: at the first one the span begins, at the second it is over."""
    return until - span - SKEW, until


def latest_end(until: datetime, *, now: datetime) -> datetime:
    """Return the latest end that another running span of the same length can have, for a span from `now` to `until`.

    There is no limit if `until` is past: such a span has no length.
    """
    return until + SKEW if until > now else _NEVER


def is_ahead(moment: datetime, now: datetime) -> bool:
    """True if a time that was stored as past or present lies in the future: the clock that stored it was ahead."""
    return moment > now + SKEW
