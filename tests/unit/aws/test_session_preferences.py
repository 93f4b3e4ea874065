"""Tests for bot.aws.session_preferences: what the document of Session Manager says."""

from datetime import timedelta

import pytest

from bot.aws.session_preferences import parse_session_preferences
from bot.ports.aws import AwsUnavailable
from bot.ports.probes import SessionPreferences

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("inputs", "longest", "idle"),
    [
        ({}, None, 20),
        ({"maxSessionDuration": "", "idleSessionTimeout": ""}, None, 20),
        ({"maxSessionDuration": "60", "idleSessionTimeout": "5"}, 60, 5),
        ({"maxSessionDuration": 1440}, 1440, 20),
    ],
)
def test_missing_and_empty_preferences_are_aws_defaults(
    inputs: dict[str, object], longest: int | None, idle: int
) -> None:
    """There is no maximum by default, and an idle session ends after 20 minutes."""
    expected = SessionPreferences(None if longest is None else longest * MINUTE, idle * MINUTE)
    assert parse_session_preferences(inputs) == expected


@pytest.mark.parametrize("value", ["soon", "0", "-5", True, [], "1.5"])
@pytest.mark.parametrize("member", ["maxSessionDuration", "idleSessionTimeout"])
def test_preferences_that_are_no_minutes_are_unreadable(member: str, value: object) -> None:
    """Doctor then says that they were not read, and not that there is no limit."""
    with pytest.raises(AwsUnavailable):
        parse_session_preferences({member: value})
