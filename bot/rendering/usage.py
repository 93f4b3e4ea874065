"""Makes the lines and buttons that say what granted access was used for, on cards and in messages to requesters."""

from datetime import datetime, timedelta

from bot.domain.shown.views import UsageLine, UsageState
from bot.rendering.formatter import LIMITS, CardFormatter, Data, Runs


def usage_lines(line: UsageLine | None, formatter: CardFormatter, *, beside: datetime | None) -> list[Runs]:
    """Return what the sessions show; [] if nothing is known. The warning of open sessions is `usage_alerts`."""
    if line is None:
        return []
    return [*_used(line, formatter, beside), *_unclear(line, formatter), *_unread(line, formatter)]


def usage_alerts(line: UsageLine | None, formatter: CardFormatter, *, beside: datetime | None) -> list[Runs]:
    """Return the warning that sessions outlived the access; [] without one."""
    if line is None or line.state is not UsageState.STILL_OPEN or line.ended_at is None:
        return []
    at = formatter.say.moment(line.ended_at, beside=beside)
    return [formatter.say.runs("usage.still_open", line.open, at=at)]


def usage_links(line: UsageLine | None, formatter: CardFormatter, *, beside: datetime | None) -> list[Data]:
    """Return the buttons: the console's list of open sessions, and the logs. The shortest form has no logs."""
    if line is None:
        return []
    logs = () if formatter.limits is LIMITS[-1] else line.logs
    links = [(formatter.say.text("usage.sessions"), line.sessions_url)] if line.sessions_url else []
    links += [(_log_title(each.at, formatter, beside), each.url) for each in logs]
    return [{"title": title, "url": url} for title, url in links]


def _used(line: UsageLine, formatter: CardFormatter, beside: datetime | None) -> list[Runs]:
    say = formatter.say
    match line.state:
        case UsageState.STILL_OPEN:
            return []
        case UsageState.OPEN:
            since = say.moment(line.since, beside=beside) if line.since else ""
            if line.total > line.open:
                return [say.runs("usage.open_of", line.open, total=str(line.total), since=since)]
            return [say.runs("usage.open", line.open, since=since)]
        case UsageState.USED if line.more:
            return [say.runs("usage.used_more", line.total)]
        case UsageState.USED if line.span is None:
            return [say.runs("usage.used_unmeasured", line.total)]
        case UsageState.USED:
            return [say.runs("usage.used", line.total, span=say.duration(line.span or timedelta()))]
        case UsageState.UNKNOWN if line.unread and not line.unclear:
            return []  # the line on the failure says enough
        case _:
            return [formatter.runs(f"usage.{line.state}")]


def _unclear(line: UsageLine, formatter: CardFormatter) -> list[Runs]:
    return [formatter.say.runs("usage.unclear", line.unclear)] if line.unclear else []


def _unread(line: UsageLine, formatter: CardFormatter) -> list[Runs]:
    return [formatter.runs("usage.unread")] if line.unread else []


def _log_title(at: datetime | None, formatter: CardFormatter, beside: datetime | None) -> str:
    if at is None:
        return formatter.say.text("usage.log_unknown")
    return formatter.say.text("usage.log", at=formatter.say.moment(at, beside=beside))
