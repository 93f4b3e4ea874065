"""Makes the quiet lines of a card: where the node is, whose it is, and why this channel has the request."""

from datetime import datetime, timedelta
from typing import Final, assert_never

from bot.domain.routing import Cause, CauseKind
from bot.domain.shown.views import CardView, EscalationLine
from bot.rendering.formatter import CardFormatter

OWNER_TAGS: Final = frozenset({"owner", "team"})  # names of tags that teams use, in lower case


def quiet_lines(view: CardView, formatter: CardFormatter) -> list[str]:
    """Return who else may decide, where the node is, what it runs, its owner, earlier access, and why it is here."""
    escalation = _escalation(view.escalation, formatter, beside=view.requested_at) if view.escalation else []
    places = (view.account_name or view.account, formatter.place(view.region, view.region_name))
    facts = [formatter.name(each) for each in (*places, view.platform, view.host) if each]
    owners = [formatter.say.text("value.owner", name=each) for each in formatter.tag_values(view.tags, OWNER_TAGS)]
    separator, why = formatter.say.text("value.separator"), _why_here(view, formatter)
    if visits := _visits(view, formatter):  # one line less on a phone
        return [*escalation, separator.join([*facts, *owners, *visits, *why])]
    return [*escalation, separator.join([*facts, *owners]), *why]


def _escalation(line: EscalationLine, formatter: CardFormatter, *, beside: datetime | None) -> list[str]:
    """Return the line on the second channel: when it may decide, or that it may decide now."""
    channel = formatter.name(line.channel)
    if line.since is None:
        span = formatter.say.duration(line.after or timedelta())
        return [formatter.say.text("value.escalates", channel=channel, span=span)]
    at = formatter.say.moment(line.since, beside=beside)
    return [formatter.say.text("value.escalated_here" if line.here else "value.escalated", channel=channel, at=at)]


def _why_here(view: CardView, formatter: CardFormatter) -> list[str]:
    """Return the line with the conditions of the channel that the request meets; [] if they are not known."""
    causes = [_cause(each, view, formatter) for each in view.causes[: formatter.limits.tags]]
    shown = formatter.say.text("card_line.name_separator").join(causes)
    return [formatter.say.text("value.why_here", causes=shown)] if causes else []


def _cause(cause: Cause, view: CardView, formatter: CardFormatter) -> str:
    say, value = formatter.say, formatter.name(cause.value)
    match cause.kind:
        case CauseKind.FALLBACK:
            return say.text("cause.fallback")
        case CauseKind.TAG:
            return say.text("value.tag", name=formatter.name(cause.key), value=value)
        case CauseKind.POLICY:
            return say.text("cause.policy", name=value)
        case CauseKind.ACCOUNT:
            return say.text("cause.account", name=formatter.name(view.account_name or view.account))
        case CauseKind.REGION:
            return say.text("cause.region", name=formatter.name(formatter.place(view.region, view.region_name)))
        case _:
            assert_never(cause.kind)


def _visits(view: CardView, formatter: CardFormatter) -> list[str]:
    if view.visits is None:
        return []
    span, last = formatter.say.duration(timedelta(days=view.visits.days)), formatter.say.day(view.visits.last_at)
    return [formatter.say.text("value.visits", view.visits.times, span=span, last=last)]
