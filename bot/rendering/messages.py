"""Makes the data of direct messages, notes and short answers. `cards.py` and `request_lists.py` make the rest."""

from typing import Final

from bot.domain.routing import MEMBERS
from bot.domain.shown.replies.commands import BotCommand, commands_of
from bot.domain.shown.replies.reply_views import HelpView, MessageView, SetupView
from bot.domain.shown.views import DirectKind, DirectView, NoteKind, NoteView, Notice, UsageState
from bot.rendering.command_names import command_line
from bot.rendering.formatter import CardFormatter, Data, Runs, plain
from bot.rendering.i18n import Localizer
from bot.rendering.mention_tags import MentionTags
from bot.rendering.notices import notice_data
from bot.rendering.usage import ending_alerts, ending_entry, usage_alerts, usage_lines, usage_links
from bot.text.escape import LINE_WIDTH, one_line, wrappable
from bot.text.invisible import UNSHOWABLE

_DIRECT_STYLES: Final = {
    DirectKind.WAITING: "warning",
    DirectKind.LEVEL_PASSED: "warning",
    DirectKind.UNDECIDABLE: "attention",
    DirectKind.APPROVED: "good",
    DirectKind.ENDING_SOON: "warning",
    DirectKind.REJECTED: "attention",
    DirectKind.TIMED_OUT: "emphasis",
    DirectKind.CANCELLED: "emphasis",
    DirectKind.REVOKED: "attention",
    DirectKind.GIVEN_BACK: "emphasis",
    DirectKind.FAILED: "attention",
    DirectKind.GONE: "emphasis",
    DirectKind.ENDED: "emphasis",
    DirectKind.NOT_CANCELLED: "warning",
    DirectKind.NOT_GIVEN_BACK: "warning",
}
_WAITING: Final = frozenset(
    {DirectKind.WAITING, DirectKind.LEVEL_PASSED, DirectKind.UNDECIDABLE, DirectKind.NOT_CANCELLED}
)
_NOTE_STYLES: Final = {
    NoteKind.APPROVAL: "good",
    NoteKind.REJECTION: "attention",
    NoteKind.REVOCATION: "attention",
    NoteKind.NOT_SHOWN: "warning",
    NoteKind.APPROVAL_NOT_SHOWN: "warning",
    NoteKind.REJECTION_NOT_SHOWN: "warning",
    NoteKind.LEVEL: "warning",
    NoteKind.ESCALATED: "warning",
    NoteKind.REMINDER: "warning",
}
_UNKNOWN_EFFECT: Final = frozenset({"no_answer", "not_shown"})  # with these details, a decision may have had an effect
_REQUEST_AGAIN: Final = frozenset(
    {
        DirectKind.REJECTED,
        DirectKind.TIMED_OUT,
        DirectKind.CANCELLED,
        DirectKind.REVOKED,
        DirectKind.GIVEN_BACK,
        DirectKind.ENDED,
        DirectKind.FAILED,
        DirectKind.GONE,
    }
)  # after these, the message says how to request access again
_MOST_COMMANDS: Final = 2  # a message has a command for each of so many nodes
_PLAIN: Final = frozenset(
    {
        DirectKind.WAITING,
        DirectKind.REJECTED,
        DirectKind.CANCELLED,
        DirectKind.REVOKED,
        DirectKind.GIVEN_BACK,
        DirectKind.ENDED,
        DirectKind.GONE,
    }
)  # states whose sentence says no more than the state
_CALL_LIMIT: Final = 256  # characters; AWS's ids and a session name are much shorter
_TOML_LINES: Final = 80  # lines; more than any channel's entry has


def direct_data(view: DirectView, formatter: CardFormatter, *, notice: Notice | None) -> Data:
    """Return the data for the template `direct-message`."""
    return {
        "words": {**formatter.say.group("direct"), "reason": formatter.say.text("card.reason")},
        "notice": notice_data(notice, formatter, view),
        "cancel": [{"key": view.key}] if view.cancel else [],
        "give_back": [{"key": view.key}] if view.give_back else [],
        "end_sessions": [{"key": view.key}] if view.end_sessions else [],
        "style": _DIRECT_STYLES[view.kind],
        "heading": _heading(view, formatter),
        "node": formatter.name(formatter.node(view.shown_node)),
        "sentence": [] if _is_heading(view) else [_direct_sentence(view, formatter)],
        "details": _direct_details(view, formatter),
        "again": [formatter.say.runs("direct.again", command="aws ssm start-access-request")]
        if view.kind in _REQUEST_AGAIN
        else [],
        "decisions": [
            *formatter.latest(view.decisions, beside=view.requested_at),
            *ending_entry(view.ending, formatter, beside=view.requested_at),
        ],
        "alerts": [{"lines": lines} for lines in _direct_alerts(view, formatter) if lines],
        "session_links": usage_links(view.usage, formatter, beside=view.requested_at, ending=view.ending),
        "reason": formatter.reason(view.reason),
        "commands": _connecting(view, formatter) if view.commands else [],
        "open": not view.commands,
        "rows": _direct_rows(view, formatter),
    }


def _connecting(view: DirectView, formatter: CardFormatter) -> list[Data]:
    """Return the commands: of several nodes each below its node's name; of many only the first, and the other nodes."""
    many = len(view.commands) > _MOST_COMMANDS
    shown = slice(0, 1 if many else None)
    nodes = [formatter.name(each.name or each.id) for each in view.nodes]
    names = [[each] for each in nodes] or [[] for _ in view.commands]
    both = (zip(names[shown], each[shown], strict=True) for each in (view.commands, view.powershell))
    shell, powershell = ([{"node": node, "text": text} for node, text in each] for each in both)
    others = [formatter.say.runs("direct.commands_others"), *formatter.nodes(view.nodes[1:])] if many else []
    return [{"shell": shell, "powershell": powershell, "others": others}]


def _heading(view: DirectView, formatter: CardFormatter) -> str:
    if _is_heading(view):
        return "".join(run["text"] for run in _direct_sentence(view, formatter))
    return direct_banner(view, formatter)


def _is_heading(view: DirectView) -> bool:
    """True if the sentence says no more than the state, so that it is the heading."""
    return view.kind in _PLAIN and not view.reviewers


def direct_banner(view: DirectView, formatter: CardFormatter) -> str:
    """Return the state of the request. The notification shows it too."""
    if view.reviewers:
        return formatter.say.text("banner.reviewing")
    if view.kind is DirectKind.LEVEL_PASSED and view.level:
        number, of = view.level
        return formatter.say.text("banner.level_passed", passed=str(number - 1), of=str(of))
    return formatter.say.text(f"banner.{_without_number(view.kind)}")


def _direct_sentence(view: DirectView, formatter: CardFormatter) -> Runs:
    until = formatter.say.moment(view.access_until, beside=view.requested_at) if view.access_until else ""
    match view.kind:
        case DirectKind.APPROVED if until:
            return formatter.say.runs("direct.approved_until", at=until)
        case DirectKind.ENDING_SOON:
            return formatter.say.runs("direct.ending_soon", at=until)
        case DirectKind.LEVEL_PASSED if view.level:
            number, of = view.level
            return formatter.say.runs("direct.level_passed", number=str(number), of=str(of))
        case _:
            return formatter.runs(f"direct.{_without_number(view.kind)}", home=view.home or "")


def _direct_details(view: DirectView, formatter: CardFormatter) -> list[Runs]:
    """Return why the requester's decision failed, who is reviewing, what was used, and what the message shows.

    After the end of access, also say when it ended.
    """
    why = [formatter.coded("undone", view.detail, otherwise="aws_refused")] if view.detail else []
    names = formatter.people(view.reviewers)
    reviewing = [formatter.say.runs("direct.reviewing", len(view.reviewers), names=names)] if names else []
    used = usage_lines(view.usage, formatter, beside=view.requested_at, ending=view.ending)
    refused = [formatter.say.runs("direct.give_back_refused")] if view.give_back_refused else []
    current = [formatter.say.runs("direct.current")] if view.current else []
    return [*why, *_end(view, formatter), *reviewing, *used, *refused, *current]


def _end(view: DirectView, formatter: CardFormatter) -> list[Runs]:
    """Return when the access ended, and that open sessions keep running, unless it is known whether any is open."""
    if view.kind is not DirectKind.ENDED:
        return []
    at = formatter.say.moment(view.access_until, beside=view.requested_at) if view.access_until else ""
    since = [formatter.say.runs("card_line.ended_at", at=at)] if at else []
    unread = view.usage is None or view.usage.state is UsageState.UNKNOWN
    return [*since, *([formatter.say.runs("direct.open_sessions")] if unread else [])]


def _direct_alerts(view: DirectView, formatter: CardFormatter) -> list[list[Runs]]:
    open_sessions = usage_alerts(view.usage, formatter)
    ending = ([each] for each in ending_alerts(view.ending, formatter))
    return [formatter.conflict(view.conflicting_policies), open_sessions, *ending]


def _without_number(kind: DirectKind) -> DirectKind:
    return DirectKind.WAITING if kind is DirectKind.LEVEL_PASSED else kind


def _direct_rows(view: DirectView, formatter: CardFormatter) -> list[Data]:
    waiting = view.kind in _WAITING
    return [
        *(formatter.plain_row("decided_in", view.home) if waiting else []),
        *(_deciders_row(view, formatter) if waiting else []),
        *(formatter.plain_row("escalated_to", view.second) if waiting else []),
        *formatter.node_row(view.node_id, view.nodes),
        formatter.account_row(view.account, view.account_name),
        formatter.region_row(view.region, view.region_name),
        *formatter.duration_row("duration", view.duration),
        *formatter.moment_row("requested", view.requested_at),
        *(formatter.moment_row("expires", view.deadline, beside=view.requested_at) if waiting else []),
        *formatter.plain_row("request", view.ops_item_id),
    ]


def _deciders_row(view: DirectView, formatter: CardFormatter) -> list[Data]:
    """Return the row on who may decide; no row if no one may, or their names are not known."""
    if MEMBERS in view.deciders:
        return [formatter.row("deciders", formatter.say.runs("value.members"))]
    names = formatter.names(view.decider_names)
    return [formatter.row("deciders", plain(names))] if names else []


def note_data(view: NoteView, formatter: CardFormatter) -> Data:
    """Return the data for the template `note`."""
    return {
        "style": _NOTE_STYLES.get(view.kind, "emphasis"),
        "sentence": note_sentence(view, formatter),
        "detail": _note_detail(view, formatter),
        "quote": formatter.comment(view.comment),
        "facts": _note_facts(view, formatter),
        "audit": _audit(view, formatter),
        "open": [{"url": view.link}] if view.link else [],
        "words": {"audit": formatter.say.text("note.audit"), "open": formatter.say.text("card.open")},
        **_note_mentions(view, formatter),
    }


def _note_mentions(view: NoteView, formatter: CardFormatter) -> Data:
    tags, people = MentionTags(formatter), view.mentions[: formatter.limits.many]
    lines = [tags.line("card_line.mentions", people)] if people else []
    return {"mentions": lines, "entities": tags.entities}


def note_sentence(view: NoteView, formatter: CardFormatter) -> Runs:
    """Return the first sentence of a note. Its notification shows the same sentence."""
    if view.kind is NoteKind.OUTSIDE:
        return _outside_sentence(view, formatter)
    requester = _person(view.requester, formatter, known=view.requester_is_person)
    names = {"who": _person(view.who, formatter), "requester": requester, "node": formatter.node(view.node)}
    if view.kind in {NoteKind.UNDONE, NoteKind.UNANSWERED}:
        unknown = view.kind is NoteKind.UNANSWERED or view.detail in _UNKNOWN_EFFECT
        action = formatter.say.text(f"action.{view.action or 'any'}")
        return formatter.runs(f"note.{'unknown_effect' if unknown else 'undone'}", **names, action=action)
    if view.level and view.level.of > 1:
        names |= {"number": str(view.level.number), "of": str(view.level.of)}
        return formatter.runs(f"note.{view.kind}_of_several", **names)
    return formatter.runs(f"note.{view.kind}", **names)


def _person(name: str | None, formatter: CardFormatter, *, known: bool = True) -> str:
    return formatter.person(name, known=known) if name else formatter.say.text("note.somebody")


def _outside_sentence(view: NoteView, formatter: CardFormatter) -> Runs:
    """Return who approved or rejected, if that is known; else the new state."""
    key, node = f"outside.{view.status or 'unknown'}", formatter.node(view.node)
    if view.who and formatter.say.has(f"{key}_by"):
        return formatter.runs(f"{key}_by", who=view.who, node=node)
    return formatter.runs(key, node=node)


def _note_detail(view: NoteView, formatter: CardFormatter) -> list[Runs]:
    """Return the text for the detail's code; [] for a note that shows no detail."""
    match view.kind:
        case NoteKind.DIRECT_IMPOSSIBLE:
            return [formatter.coded("direct_problem", view.detail, otherwise="other")]
        case NoteKind.APPROVAL_NOT_SHOWN | NoteKind.REJECTION_NOT_SHOWN if view.detail:
            advice = "same_role" if view.detail == "same_role" else "press_again"
            return [formatter.runs(f"note.{advice}", who=_person(view.who, formatter))]
        case NoteKind.UNANSWERED:
            return [formatter.runs("note.unanswered", who=_person(view.who, formatter))]
        case NoteKind.UNDONE if view.by:
            return [formatter.runs("note.withdrawn_by", by=formatter.person(view.by))]
        case NoteKind.UNDONE if view.detail:
            why = formatter.coded("undone", view.detail, otherwise="aws_refused")
            return [why, *formatter.for_administrators("admin_click", view.detail)]
        case _:
            return []


def _note_facts(view: NoteView, formatter: CardFormatter) -> list[Data]:
    at = "since" if view.kind is NoteKind.REMINDER else "at"
    moments = ((at, view.at, None), ("expires", view.deadline, view.at))
    return [
        {"text": formatter.say.text(f"note.{name}", at=formatter.say.moment(moment, beside=beside))}
        for name, moment, beside in moments
        if moment
    ]


def _audit(view: NoteView, formatter: CardFormatter) -> list[Data]:
    """Return what an auditor looks for in AWS: the call, the execution, and the role and session that made the call.

    A row is as wide as the card, so that nearly every id can be copied without marks for wrapping.
    """
    facts = {"call": view.call, "execution": view.execution, "role": view.role, "session": view.session}
    shown = {name: one_line(text, _CALL_LIMIT) or UNSHOWABLE for name, text in facts.items() if text}
    rows = [
        {"label": formatter.say.text(f"note.{name}"), "text": wrappable(text, LINE_WIDTH)}
        for name, text in shown.items()
    ]
    return [{"rows": rows}] if rows else []


def help_data(view: HelpView, formatter: CardFormatter) -> Data:
    """Return the data for the template `help`."""
    return {
        "words": formatter.say.group("help"),
        "channel": not view.personal,
        "rows": [
            {
                "label": command_line(command, locale=formatter.say.locale),
                "text": command_help(command, formatter.say, personal=view.personal),
            }
            for command in commands_of(personal=view.personal)
        ],
    }


def command_help(command: BotCommand, say: Localizer, *, personal: bool) -> str:
    """Return what the command does, in a personal chat or in a channel."""
    name = command.name.lower()
    here = f"help.{name}_{'personal' if personal else 'channel'}"
    return say.text(here if say.has(here) else f"help.{name}")


def message_data(view: MessageView, formatter: CardFormatter) -> Data:
    """Return the data for the template `message`."""
    return {"lines": [message_runs(view, formatter)], "notice": []}


def lone_notice_data(notice: Notice, formatter: CardFormatter) -> Data:
    """Return the data for the template `message`, for a notice without a card."""
    return {"lines": [], "notice": notice_data(notice, formatter)}


def message_runs(view: MessageView, formatter: CardFormatter) -> Runs:
    """Return the text of a short answer. Its notification shows the same text."""
    key = f"message.{view.code}"
    if view.detail:
        return formatter.runs(key, detail=view.detail)
    return formatter.runs(f"{key}_plain" if formatter.say.has(f"{key}_plain") else key)


def setup_data(view: SetupView, formatter: CardFormatter) -> Data:
    """Return the data for the template `setup`. Each line is a separate block, so that copied text keeps its lines.

    Long ids get marks for wrapping; the reader of the file removes them.
    """
    lines = view.toml.strip("\n").split("\n")[:_TOML_LINES]
    return {
        "words": formatter.say.group("setup"),
        "lines": [wrappable(line) for line in lines],
        "fallback": [formatter.runs("setup.fallback", channel=view.fallback)] if view.fallback else [],
    }
