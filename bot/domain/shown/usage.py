"""What a card and the requester's message say about the sessions of an access."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import quote

from bot.domain.access.endings import EndingStage, EndState
from bot.domain.access.sessions import SeenSession, Usage, access_of, ended_at, is_settled, span_of
from bot.domain.configuration import Configuration
from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.routing import SessionLogs
from bot.domain.shown.connecting import console_site
from bot.domain.shown.views import EndingLine, SessionLink, UsageLine, UsageState

MOST_LOGS: Final = 3  # links; a card has room for so many buttons


def usage_line(record: Record, configuration: Configuration, now: datetime) -> UsageLine | None:
    """Return what the sessions of granted access show; None if none was granted, or its sessions were never read."""
    usage, request = record.usage, record.request
    end = ended_at(request) if request else None
    if usage is None or request is None or end is None or access_of(request) is None:
        return None
    theirs = [each for each in usage.sessions if each.is_theirs]
    unclear = [each for each in usage.sessions if not each.is_theirs]
    opened = [each for each in theirs if each.open]
    over = end <= now
    state = _state(usage, theirs, unclear, end=end, over=over)
    starts = [each.started_at for each in opened if each.started_at]
    return UsageLine(
        state=state,
        total=len(theirs),
        open=len(opened),
        since=min(starts, default=None),
        span=None if opened or usage.more else span_of(theirs),
        more=usage.more,
        unclear=len(unclear),
        unread=not usage.readable,
        sessions_url=sessions_url(request.key) if over and any(each.open for each in usage.sessions) else None,
        logs=tuple(_logs(record.key, theirs, configuration.session_logs(record.key))),
    )


def _state(
    usage: Usage, theirs: list[SeenSession], unclear: list[SeenSession], *, end: datetime, over: bool
) -> UsageState:
    if any(each.open for each in theirs):
        return UsageState.STILL_OPEN if over else UsageState.OPEN
    if theirs:
        return UsageState.USED
    if unclear or not usage.readable:
        return UsageState.UNKNOWN
    if not over:
        return UsageState.NOT_YET
    return UsageState.NEVER if is_settled(usage, end) else UsageState.NONE_SEEN


def ending_line(record: Record) -> EndingLine | None:
    """Return how far the latest click is that ends sessions; None if nobody has ended any."""
    if not record.endings:
        return None
    ending, revocation = record.endings[-1], record.decision(record.endings[-1].revocation)
    refused = [each for each in ending.sessions if each.is_refused]
    unconfirmed = ending.count(EndState.UNCONFIRMED)
    unsure = bool(refused or unconfirmed or ending.left or ending.stopped)
    return EndingLine(
        who=ending.person.shown_name,
        at=ending.clicked_at,
        comment="" if ending.revocation else ending.comment,
        waits=ending.stage is EndingStage.WAITS,
        looked=ending.rounds > 0,
        running=ending.count(EndState.FOUND, EndState.ASKED),
        ended=ending.count(EndState.ENDED),
        unconfirmed=unconfirmed,
        refused=len(refused),
        detail=refused[0].detail if refused else "",
        left=ending.left,
        unknown_revocation=revocation is not None and revocation.state in _NO_ANSWER and not ending.stopped,
        delayed=ending.is_unread and ending.stopped is None,
        stopped=ending.stopped,
        sessions_url=sessions_url(record.key) if unsure else None,
    )


_NO_ANSWER: Final = frozenset({DecisionState.UNKNOWN, DecisionState.RELEASED})


def _logs(key: RequestKey, sessions: list[SeenSession], logs: SessionLogs | None) -> Iterator[SessionLink]:
    """Yield links to the logs of the latest sessions: the log stream and the object have the id of the session."""
    if logs is None:
        return
    for each in sessions[-MOST_LOGS:]:
        yield SessionLink(each.started_at, log_url(key, logs, each.id))


def sessions_url(key: RequestKey) -> str:
    """Return the address of the list of open sessions in the console, where people end them. Not seen live."""
    return f"{console_site(key.region)}/systems-manager/session-manager/sessions?region={key.region}"


def log_url(key: RequestKey, logs: SessionLogs, session: str) -> str:
    """Return the address of a session's log in the console. Not seen live.

    The agent names the log stream after the session, and the object `<prefix>/<session>.log`.
    """
    region, site = key.region, console_site(key.region)
    if logs.group:
        group, stream = (quote(quote(each, safe=""), safe="").replace("%", "$") for each in (logs.group, session))
        fragment = f"logsV2:log-groups/log-group/{group}/log-events/{stream}"
        return f"{site}/cloudwatch/home?region={region}#{fragment}"
    bucket, _, prefix = (logs.bucket or "").partition("/")
    name = "/".join(filter(None, (prefix.strip("/"), f"{session}.log")))
    return f"{site}/s3/object/{quote(bucket, safe='')}?region={region}&prefix={quote(name, safe='')}"
