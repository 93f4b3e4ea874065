"""Reads Session Manager's preferences, which limit how long a session can outlive the access that it was started with.

https://docs.aws.amazon.com/systems-manager/latest/userguide/session-preferences-timeout.html
"""

from collections.abc import Mapping
from datetime import timedelta

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.assumptions import (
    DEFAULT_IDLE_MINUTES,
    IDLE_MEMBER,
    LONGEST_SESSION_MEMBER,
    NO_SUCH_DOCUMENT,
    PREFERENCES_DOCUMENT,
)
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import decoded, mapping, whole
from bot.ports.aws import AwsUnavailable
from bot.ports.probes import SessionPreferences

UNREADABLE = "UnreadablePreferences"


async def read_session_preferences(clients: Clients, account: str, region: str) -> SessionPreferences:
    """Return the preferences, or AWS's defaults if nobody has saved any. Raises AwsUnavailable."""
    try:
        answer = await clients.read(
            Place(account, region), "ssm", "get_document", Lane.SWEEP, Name=PREFERENCES_DOCUMENT, DocumentFormat="JSON"
        )
    except CallFailed as failed:
        if failed.code == NO_SUCH_DOCUMENT:
            return parse_session_preferences({})
        raise unavailable(failed) from failed
    inputs = mapping(decoded(answer.get("Content"))).get("inputs")
    if not isinstance(inputs, Mapping):
        raise AwsUnavailable(UNREADABLE)
    return parse_session_preferences(inputs)


def parse_session_preferences(inputs: Mapping[str, object]) -> SessionPreferences:
    """Return the preferences in the member `inputs` of the document. Raises AwsUnavailable."""
    idle = _minutes(inputs, IDLE_MEMBER)
    return SessionPreferences(
        longest=_minutes(inputs, LONGEST_SESSION_MEMBER),
        idle=timedelta(minutes=DEFAULT_IDLE_MINUTES) if idle is None else idle,
    )


def _minutes(inputs: Mapping[str, object], member: str) -> timedelta | None:
    """Return a number of minutes; None if the member is missing or empty."""
    value = inputs.get(member)
    if value in (None, ""):
        return None
    minutes = whole(value)
    if minutes is None or minutes <= 0:
        raise AwsUnavailable(UNREADABLE)
    return timedelta(minutes=minutes)
