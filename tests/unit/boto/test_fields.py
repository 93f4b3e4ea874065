"""Tests for the functions that read members of AWS's answers."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given

from bot.boto import fields
from tests.unit.aws.samples import MANY_EXAMPLES, anything


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2025-05-02 14:57:16 UTC", datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC)),
        ("2025-05-02T23:57:16+09:00", datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC)),
        ("2025-05-02T14:57:16Z", datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC)),
        (
            datetime(2025, 5, 2, 23, 57, 16, tzinfo=timezone(timedelta(hours=9))),
            datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC),
        ),
        ("2025-05-02T14:57:16", datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC)),
        ("Apr 10, 2025, 8:19:30 PM", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59Z", None),
        (datetime(9999, 12, 31, tzinfo=UTC), None),
        ("1969-12-31T23:59:59Z", None),
        (1746197836, None),
        (None, None),
    ],
)
def test_times_of_aws_are_read_in_utc(value: object, read: datetime | None) -> None:
    """A datetime, ISO 8601 and `… UTC` are read, without a zone as UTC. Anything else gives None.

    So does a time before 1970 or after the year 8999: spans are added to times, which must not overflow.
    """
    assert fields.moment(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1746197836.25, datetime(2025, 5, 2, 14, 57, 16, 250_000, tzinfo=UTC)),
        (1746197836, datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC)),
        ("2025-05-02T14:57:16Z", datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC)),
        (datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC), datetime(2025, 5, 2, 14, 57, 16, tzinfo=UTC)),
        (1746197836000, None),
        (10**40, None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ("1746197836", None),
    ],
)
def test_timestamps_of_aws_are_also_read_from_seconds_since_1970(value: object, read: datetime | None) -> None:
    """AWS's JSON has times as numbers. Numbers that are no time from 1970 to 8999 give None."""
    assert fields.timestamp(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("PT3600S", timedelta(hours=1)),
        ("PT8H", timedelta(hours=8)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        (86400, timedelta(days=1)),
        (86400.0, timedelta(days=1)),
        ("86400", timedelta(days=1)),
        ("PT", None),
        ("P", None),
        (0, None),
        (-5, None),
        (True, None),
        (float("nan"), None),
        ("P3650D", timedelta(days=3650)),
        ("P3651D", None),
        ("P99999D", None),
        ("一日", None),
    ],
)
def test_durations_are_read_from_iso_8601_texts_and_from_seconds(value: object, read: timedelta | None) -> None:
    """ISO 8601 texts and seconds are read if they are positive and at most 3,650 days. Anything else gives None.

    Fractions of a second in a text are dropped.
    """
    assert fields.duration(value) == read


def test_lone_surrogate_in_a_text_of_aws_is_replaced() -> None:
    """JSON allows a lone surrogate, but UTF-8 does not, so it is replaced."""
    assert fields.text(fields.decoded('"a\\ud800b"')) == "a?b"


@MANY_EXAMPLES
@given(anything)
def test_readers_of_aws_answers_accept_values_of_any_type(value: object) -> None:
    """No reader raises an error, because AWS's answers may have any type in any place."""
    readers = (fields.text, fields.mapping, fields.sequence, fields.rows, fields.moment, fields.timestamp)
    for read in (*readers, fields.duration, fields.whole, fields.decoded):
        read(value)
