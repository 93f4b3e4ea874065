"""Makes the data for the templates `request` and `decided`: the card of one request."""

from collections.abc import Sequence
from typing import Final

from bot.domain.request import Verdict, Withdrawal
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import Banner, CardView, DecidedElsewhere, DecisionLine, LevelLine, Notice, NoticeCode
from bot.rendering.console_links import console_links
from bot.rendering.formatter import LIMITS, CardFormatter, Data, Runs
from bot.rendering.forms import decision_form, end_form, revoke_form
from bot.rendering.mention_tags import MentionTags
from bot.rendering.node_rows import node_rows
from bot.rendering.notices import notice_data
from bot.rendering.quiet_lines import quiet_lines
from bot.rendering.usage import ending_alerts, ending_entry, usage_alerts, usage_lines, usage_links
from bot.text.width import beginning

# states of the template `request`; all others use `decided`
OPEN: Final = frozenset({Banner.WAITING, Banner.QUEUED, Banner.APPLYING, Banner.UNKNOWN})

BANNER_STYLES: Final = {
    Banner.WAITING: "warning",
    Banner.QUEUED: "accent",
    Banner.APPLYING: "accent",
    Banner.APPROVED: "good",
    Banner.ENDED: "emphasis",
    Banner.REJECTED: "attention",
    Banner.TIMED_OUT: "emphasis",
    Banner.CANCELLED: "emphasis",
    Banner.REVOKED: "attention",
    Banner.GIVEN_BACK: "emphasis",
    Banner.FAILED: "attention",
    Banner.GONE: "emphasis",
    Banner.UNKNOWN: "warning",
}
ENVIRONMENT_TAGS: Final = frozenset({"environment", "env", "stage"})  # names of tags that teams use, in lower case
REASON_ROWS: Final = 5  # rows of a phone; a longer reason begins folded, because its button takes two rows
FOLDED_ROWS: Final = 3
_EXPLAINED: Final = frozenset(
    {Banner.TIMED_OUT, Banner.CANCELLED, Banner.REVOKED, Banner.FAILED, Banner.GONE, Banner.UNKNOWN}
)  # banners with an explanation below them, unless a line says who revoked or cancelled


def card_data(view: CardView, formatter: CardFormatter, *, notice: Notice | None) -> Data:
    """Return the data for the template `request` or `decided`."""
    reason = _reason(view, formatter)
    return {
        "words": formatter.say.group("card"),
        "notice": notice_data(notice, formatter, view),
        "style": BANNER_STYLES[view.banner],
        "banner": _banner(view, formatter),
        "expires": _expires(view, formatter),
        "details": _details(view, formatter) + _reviewers(view, formatter, notice),
        "decisions": _decisions(view, formatter, waiting=notice is None),
        "node": formatter.name(formatter.node(view.shown_node)),
        "environment": [f"  {each}" for each in formatter.tag_values(view.tags, ENVIRONMENT_TAGS)],
        "asks": _asks(view, formatter),
        "reason": reason,
        "more": [{}] if reason["whole"] else [],
        "alerts": _alerts(view, formatter),
        "quiet": [] if notice or view.reviewers else quiet_lines(view, formatter),
        "rows": _rows(view, formatter),
        **_people(view, formatter),
        "form": decision_form(view, formatter, notice),
        "open": [{"url": view.link}] if view.link else [],
        "own": [formatter.runs(f"card_line.own_{view.own}")] if view.own else [],
        "withdraw": [{}] if view.queued and view.can_withdraw else [],
        "review": [{}] if view.buttons and formatter.limits is not LIMITS[-1] else [],
        "revoke": revoke_form(view, formatter, notice),
        "end_sessions": end_form(view, formatter, notice),
        **console_links(view, formatter, notice, own_row=view.buttons or view.banner not in OPEN),
        "session_links": usage_links(view.usage, formatter, beside=view.requested_at, ending=view.ending),
        "footer": [] if view.buttons else [{}],
        "viewers": list(view.viewers),
        "key": view.key,
        "step": view.step,
    }


def _banner(view: CardView, formatter: CardFormatter) -> str:
    """Return the state, and of a waiting request with several levels the number of the level."""
    say, level = formatter.say, view.level
    if view.banner is Banner.WAITING and level and level.of > 1:
        return say.text("banner.waiting_level", number=str(level.number), of=str(level.of))
    return say.text(f"banner.{view.banner}")


def _expires(view: CardView, formatter: CardFormatter) -> list[str]:
    """Return the line below the state that says when a waiting request expires; [] for any other request."""
    if view.banner is not Banner.WAITING or view.deadline is None:
        return []
    return [formatter.say.text("card_line.expires", at=formatter.say.moment(view.deadline, beside=view.requested_at))]


def _decisions(view: CardView, formatter: CardFormatter, *, waiting: bool) -> list[Data]:
    """Return the latest decisions. Of several levels: each with its level, and with `waiting` whose turn it is now."""
    shown = view.decisions[-formatter.limits.decisions :]
    turn = _turn(view, formatter) if waiting else []
    made = [formatter.decision(line, beside=view.requested_at, level=_number(line, view.steps)) for line in shown]
    return [*made, *ending_entry(view.ending, formatter, beside=view.requested_at), *turn]


def _number(line: DecisionLine, steps: Sequence[str]) -> int | None:
    """Return the number of the level at which a person voted; None for a withdrawal or a single level."""
    return None if isinstance(line.verdict, Withdrawal) or line.step not in steps else steps.index(line.step) + 1


def _turn(view: CardView, formatter: CardFormatter) -> list[Data]:
    """Return the line that names the approvers in the policy, if the card asks no people to decide.

    These are names of roles; at the first level, the banner says enough.
    """
    level = view.level
    if not view.steps or level is None or view.banner is not Banner.WAITING or not view.buttons:
        return []
    names = formatter.names(level.waits_for if level.number > 1 and not view.mentions else ())
    runs = formatter.say.runs("value.level_waits", number=str(level.number), names=names)
    return [{"runs": runs, "quote": []}] if names else []


def _reason(view: CardView, formatter: CardFormatter) -> Data:
    """Return the reason, or that there is none. One that is long on a phone begins folded, with a button."""
    written = formatter.lines(view.reason) or [formatter.say.text("value.no_reason")]
    whole = {"first": written[0], "lines": written[1:]}
    start = beginning(written, FOLDED_ROWS, most=REASON_ROWS)
    return {**whole, "whole": []} if start is None else {"first": start, "lines": [], "whole": [whole]}


def _asks(view: CardView, formatter: CardFormatter) -> Runs:
    tense = "now" if view.banner in OPEN else "past"
    requester = formatter.name(formatter.person(view.requester, known=view.requester_is_person))
    if view.duration is None:
        return formatter.say.runs(f"asks.{tense}", requester=requester)
    return formatter.say.runs(f"asks.{tense}_for", requester=requester, duration=formatter.say.duration(view.duration))


def _details(view: CardView, formatter: CardFormatter) -> list[Runs]:
    """Return the lines below the heading in the banner."""
    beside, details = view.requested_at, _obstacles(view, formatter)
    details += [
        formatter.pressed(line.who, line.verdict, line.at, beside=beside)
        for line in (view.applying, *view.queued)
        if line and line.who
    ]
    if view.banner in _EXPLAINED and not any(isinstance(line.verdict, Withdrawal) for line in view.decisions):
        details.append(formatter.runs(f"card_line.{view.banner}"))
    details += formatter.conflict(view.conflicting_policies)
    if view.banner is Banner.WAITING and view.level and _is_worth_saying(view.level):
        details += _approvals(view.level, formatter)
    if view.auto_approved:
        details.append(formatter.runs("card_line.auto_approved"))
    if view.access_until:
        key = "card_line.ended_at" if view.banner is Banner.ENDED else "card_line.until"
        details.append(formatter.say.runs(key, at=formatter.say.moment(view.access_until, beside=beside)))
    details += usage_lines(view.usage, formatter, beside=beside, ending=view.ending)
    if view.decided_outside:
        verdict = Verdict.REJECT if view.banner is Banner.REJECTED else Verdict.APPROVE
        details.append(formatter.runs(f"decision.{verdict}_unknown"))
    return details


def _reviewers(view: CardView, formatter: CardFormatter, notice: Notice | None) -> list[Runs]:
    """Return the line that names the reviewers; [] without one. It takes the room of the quiet line on a phone.

    A notice leaves no room for it, unless it is the one that says that the card names the person.
    """
    names = formatter.names(view.reviewers) if notice is None or notice.code is NoticeCode.REVIEWING else ""
    return [formatter.say.runs("card_line.reviewing", names=names)] if names else []


def _obstacles(view: CardView, formatter: CardFormatter) -> list[Runs]:
    """Return why no one can decide here, or no one can approve, and what to do; [] if approvers can decide."""
    said: list[Runs] = []
    if view.no_buttons is DecidedElsewhere.UNREACHABLE:
        said.append(formatter.coded("home_problem", view.home_problem, otherwise="other", home=view.home or ""))
    elif view.no_buttons:
        address, home = formatter.name(view.unmatched_address), formatter.name(view.home or "")
        said.append(formatter.say.runs(f"no_buttons.{view.no_buttons}", home=home, address=address))
        # administrators copy the principal into [people], which drops marks for wrapping
        said += formatter.for_administrators("admin_card", view.no_buttons, principal=view.requester_principal)
    for reason, prevents in (("no_approver", view.no_approver), ("no_second_approver", view.no_second_approver)):
        if prevents:
            said += [formatter.runs(f"card_line.{reason}"), *formatter.for_administrators("admin_card", reason)]
    return said


def _alerts(view: CardView, formatter: CardFormatter) -> list[Data]:
    """Return the conditions that approvers must consider."""
    alerts = [
        formatter.runs(f"card_line.{line.verdict}_not_shown", who=formatter.person(line.who or ""))
        for line in view.not_shown
    ]
    if view.banner in OPEN and view.tags_unread and (view.nodes or not view.tags):
        alerts.insert(0, formatter.runs("card_line.tags_unread_some" if view.tags else "card_line.tags_unread"))
    if view.same_role:
        key = "card_line.same_role_denied" if view.same_role_denied else "card_line.same_role"
        alerts.append(formatter.runs(key, role=view.same_role))
    if view.requester_unchecked:
        alerts.append(formatter.runs("card_line.unchecked", principal=view.requester_principal))
    elif view.unmatched_address and view.no_buttons is not Refusal.UNMATCHED:
        alerts.append(formatter.runs("card_line.unmatched", address=view.unmatched_address))
    alerts += usage_alerts(view.usage, formatter)
    alerts += ending_alerts(view.ending, formatter)
    return [{"lines": [line]} for line in alerts]


def _rows(view: CardView, formatter: CardFormatter) -> list[Data]:
    return [
        *node_rows(view, formatter),
        formatter.account_row(view.account, view.account_name),
        formatter.region_row(view.region, view.region_name),
        *formatter.plain_row("policy", view.policy),
        *_level(view, formatter),
        *_principal(view, formatter),
        *formatter.moment_row("requested", view.requested_at),
        *(formatter.moment_row("expires", view.deadline, beside=view.requested_at) if view.banner in OPEN else []),
        *formatter.plain_row("request", view.ops_item_id),
    ]


def _principal(view: CardView, formatter: CardFormatter) -> list[Data]:
    """Return the requester as AWS names it: role and session, without the account, which has its own row."""
    principal = view.requester_principal.rpartition(":assumed-role/")[2]
    return [] if principal == view.requester else formatter.plain_row("principal", principal)


def _level(view: CardView, formatter: CardFormatter) -> list[Data]:
    level = view.level
    if level is None:
        return []
    key = "value.level" if level.of > 1 else "value.level_only"
    said = [formatter.runs(key, number=str(level.number), of=str(level.of), step=level.step)]
    if view.banner in OPEN:
        said += _approvals(level, formatter)
    if level.waits_for and view.banner in OPEN:
        said.append(formatter.say.runs("value.waits_for", names=formatter.names(level.waits_for)))
    return [formatter.row("level", *said)]


def _is_worth_saying(level: LevelLine) -> bool:
    """True if several approvals are needed, or some are given, or they are not readable."""
    return level.votes_unread or bool(level.approvals) or (level.required or 0) > 1


def _approvals(level: LevelLine, formatter: CardFormatter) -> list[Runs]:
    """Return how many approvals the level still needs, or that all are given; [] if that is not known.

    It is no fraction, which readers would take for the number of the level. The decisions name the approvers.
    """
    if level.required is None:
        return []
    if level.votes_unread:
        return [formatter.say.runs("value.approvals_unread", level.required)]
    missing = level.required - (level.approvals or 0)
    if missing <= 0:
        return [formatter.say.runs("value.approvals_complete", level.required)]
    return [formatter.say.runs("value.approvals_missing" if level.approvals else "value.approvals_needed", missing)]


def _people(view: CardView, formatter: CardFormatter) -> Data:
    """Return the lines that name people: with mentions on the post, else as plain text."""
    groups = (("card_line.mentions", view.mentions), ("card_line.mentioned", view.mentioned))
    named = [(key, people[: formatter.limits.many]) for key, people in groups if people]
    if not view.rings:
        lines = [
            formatter.say.runs(key, names=formatter.names([each.name for each in people])) for key, people in named
        ]
        return {"named": lines, "mentions": [], "entities": []}
    tags = MentionTags(formatter)
    return {"named": [], "mentions": [tags.line(key, people) for key, people in named], "entities": tags.entities}
