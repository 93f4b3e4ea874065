"""Makes the lines and buttons that say what granted access was used for, on cards and in messages to requesters."""

from datetime import datetime, timedelta

from bot.domain.shown.views import EndingLine, UsageLine, UsageState
from bot.rendering.formatter import LIMITS, CardFormatter, Data, Runs


def usage_lines(
    line: UsageLine | None, formatter: CardFormatter, *, beside: datetime | None, ending: EndingLine | None
) -> list[Runs]:
    """Return what the sessions show; [] if nothing is known. The warning of open sessions is `usage_alerts`.

    `ending_alerts` counts the sessions that may be somebody else's, too.
    """
    if line is None:
        return []
    unclear = [] if ending and ending.left else _unclear(line, formatter)
    return [*_used(line, formatter, beside), *unclear, *_unread(line, formatter)]


def usage_alerts(line: UsageLine | None, formatter: CardFormatter) -> list[Runs]:
    """Return the warning that sessions outlived the access; [] without one."""
    if line is None or line.state is not UsageState.STILL_OPEN:
        return []
    return [formatter.say.runs("usage.still_open", line.open)]


def usage_links(
    line: UsageLine | None, formatter: CardFormatter, *, beside: datetime | None, ending: EndingLine | None
) -> list[Data]:
    """Return the buttons: the console's list of open sessions, and the logs. The shortest form has no logs."""
    url = (line and line.sessions_url) or (ending and ending.sessions_url)
    logs = () if line is None or formatter.limits is LIMITS[-1] else line.logs
    links = [(formatter.say.text("usage.sessions"), url)] if url else []
    links += [(_log_title(each.at, formatter, beside), each.url) for each in logs]
    return [{"title": title, "url": url} for title, url in links]


def ending_entry(line: EndingLine | None, formatter: CardFormatter, *, beside: datetime | None) -> list[Data]:
    """Return who ends sessions, how many, when, and the comment, like a decision; [] if nobody does."""
    if line is None:
        return []
    return [
        {
            "runs": [*_ending(line, formatter), *formatter.apart(line.at, beside=beside)],
            "quote": _quote(line, formatter),
        }
    ]


def _quote(line: EndingLine, formatter: CardFormatter) -> list[Data]:
    return formatter.comment(line.comment or None)


def _ending(line: EndingLine, formatter: CardFormatter) -> Runs:
    say, who = formatter.say, formatter.name(formatter.person(line.who))
    if line.waits:
        return say.runs("ending.waits", who=who)
    if line.running:
        return say.runs("ending.running", line.running, who=who)
    if line.ended:
        return say.runs("ending.ended", line.ended, who=who)
    found = line.refused or line.unconfirmed or line.left or line.stopped or not line.looked
    return say.runs("ending.asked" if found else "ending.none", who=who)


def ending_alerts(line: EndingLine | None, formatter: CardFormatter) -> list[Runs]:
    """Return what people must look after: sessions that were not ended, and why; [] if there are none."""
    if line is None:
        return []
    say, counts = formatter.say, {"refused": line.refused, "unconfirmed": line.unconfirmed, "left": line.left}
    alerts = [say.runs(f"ending.{name}", count, code=line.detail) for name, count in counts.items() if count]
    said = {
        "unknown_revocation": line.unknown_revocation,
        "delayed": line.delayed,
        f"stopped_{line.stopped}": line.stopped is not None,
    }
    return [*alerts, *(formatter.runs(f"ending.{name}") for name, is_so in said.items() if is_so)]


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
