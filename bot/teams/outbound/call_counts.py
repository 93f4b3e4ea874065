"""Counts calls to Teams by what became of them. Knows neither paths nor bodies."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from bot.ports.teams import ChatRefused, ChatThrottled
from bot.telemetry import Telemetry


class CallKind(StrEnum):
    """What was asked of Teams; the metric's label."""

    POST = "post"
    UPDATE = "update"
    REPLY = "reply"
    DIRECT = "direct"
    CHAT = "chat"  # the personal chat of somebody who is not remembered
    ROSTER = "roster"
    MEMBER = "member"


@contextmanager
def counted(telemetry: Telemetry, kind: CallKind) -> Iterator[None]:
    """Count what happens within: ok, throttled, unavailable, or why Teams refused."""
    result = "unavailable"  # no useful answer, or given up by the caller
    try:
        yield
        result = "ok"
    except ChatThrottled:
        result = "throttled"
        raise
    except ChatRefused as refused:
        result = refused.problem.value
        raise
    finally:
        telemetry.teams_calls.labels(kind=kind, result=result).inc()
