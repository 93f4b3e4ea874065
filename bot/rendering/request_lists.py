"""Makes the data for the template `pending`: lists of waiting and of past requests."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from bot.domain.request import Action, Verdict, Withdrawal
from bot.domain.shown.replies.reply_views import HistoryView, PendingView, RequestLine
from bot.domain.shown.views import Banner
from bot.rendering.formatter import CardFormatter, Data, Runs, plain
from bot.rendering.i18n import Run
from bot.text.escape import one_line, wrappable

_ACTIONS: Final[Mapping[Banner, Action]] = {
    Banner.APPROVED: Verdict.APPROVE,
    Banner.REJECTED: Verdict.REJECT,
    Banner.REVOKED: Withdrawal.REVOKE,
    Banner.GIVEN_BACK: Withdrawal.GIVE_BACK,
    Banner.CANCELLED: Withdrawal.CANCEL,
}  # a line on this action says the state as well
_LISTED_REASON: Final = 80  # characters of a reason in a list; its card has all of it


def list_data(view: PendingView | HistoryView, formatter: CardFormatter) -> Data:
    """Return the data for a list of waiting or of past requests."""
    return _history_data(view, formatter) if isinstance(view, HistoryView) else _pending_data(view, formatter)


def _pending_data(view: PendingView, formatter: CardFormatter) -> Data:
    none = formatter.say.text("pending.none_personal" if view.personal else "pending.none_channel")
    return _data(
        view,
        formatter,
        title=formatter.say.text("pending.title"),
        notes=[] if view.requests else [none],
        line=lambda each: _request_line(each, view.at, formatter),
    )


def _history_data(view: HistoryView, formatter: CardFormatter) -> Data:
    return _data(
        view,
        formatter,
        title=formatter.say.text(f"history.{view.kind}"),
        notes=_scope(view, formatter),
        line=lambda each: _past_line(each, formatter),
    )


def _data(
    view: PendingView | HistoryView,
    formatter: CardFormatter,
    *,
    title: str,
    notes: Sequence[str],
    line: Callable[[RequestLine], Data],
) -> Data:
    """Return the data of a list: its title, the notes above it, its lines, and how many requests it leaves out."""
    shown = view.requests[: formatter.limits.many]
    more = view.more + len(view.requests) - len(shown)
    words = "pending.more" if view.counted else "pending.at_least"
    return {
        "words": {**formatter.say.group("pending"), "title": title},
        "none": [{"text": each} for each in notes],
        "requests": [line(each) for each in shown],
        "more": [{"text": formatter.say.text(words, more)}] if more else [],
    }


def _scope(view: HistoryView, formatter: CardFormatter) -> list[str]:
    """Return what a list of past requests has, and what it may lack."""
    say = formatter.say
    about = [say.text("history.about", term=formatter.name(view.term))] if view.term else []
    began = [say.text("history.began", at=say.moment(view.began))] if view.began else []
    none = [] if view.requests else [say.text("history.none")]
    return [*about, say.text("history.since", at=say.moment(view.since)), *began, *none]


def _made_by(line: RequestLine, formatter: CardFormatter) -> Runs:
    requester = formatter.person(line.requester, known=line.requester_is_person)
    return formatter.runs("pending.own" if line.own else "pending.by", requester=requester, id=line.ops_item_id)


def _past_line(line: RequestLine, formatter: CardFormatter) -> Data:
    by = _made_by(line, formatter)
    decided = [formatter.decided(line.decision, beside=line.requested_at)] if line.decision else []
    repeated = line.decision is not None and _ACTIONS.get(line.banner) is line.decision.verdict
    state = [] if repeated else [formatter.runs(f"banner.{line.banner}")]
    at = formatter.say.moment(line.requested_at) if line.requested_at else ""
    made = [formatter.say.runs("history.requested", at=at)] if at else []
    return {
        "node": formatter.name(formatter.node(line.node)),
        "lines": [*state, *decided, by, *_reason(line, formatter), *made],
        "open": [{"url": line.link}] if line.link else [],
    }


def _request_line(line: RequestLine, at: datetime, formatter: CardFormatter) -> Data:
    by = _made_by(line, formatter)
    turn = [[Run(text=formatter.say.text("pending.turn"), weight="Bolder", font="Default")]] if line.turn else []
    return {
        "node": formatter.name(formatter.node(line.node)),
        "lines": [*turn, *_state(line, formatter), by, *_reason(line, formatter), *_times(line, at, formatter)],
        "open": [{"url": line.link}] if line.link else [],
    }


def _state(line: RequestLine, formatter: CardFormatter) -> list[Runs]:
    """Return the state of a listed request; [] if it waits."""
    return [] if line.banner is Banner.WAITING else [formatter.runs(f"banner.{line.banner}")]


def _reason(line: RequestLine, formatter: CardFormatter) -> list[Runs]:
    """Return the beginning of the reason; [] for an empty one."""
    written = one_line(line.reason, min(_LISTED_REASON, formatter.limits.prose))
    return [plain(wrappable(written))] if written else []


def _times(line: RequestLine, at: datetime, formatter: CardFormatter) -> list[Runs]:
    """Return how long ago the request was made, and the time until it expires, as far as they are known."""
    said = []
    if line.requested_at:
        age = formatter.say.duration(_rounded(at - line.requested_at))
        said.append(formatter.say.text("pending.age", age=age))
    if line.deadline:
        left = formatter.say.duration(_rounded(line.deadline - at))
        said.append(formatter.say.text("pending.left", left=left))
    return [plain(formatter.say.text("value.separator").join(said))] if said else []


def _rounded(span: timedelta) -> timedelta:
    """Round a span to hours if it is a day or more, else to minutes; at least one minute."""
    unit = timedelta(hours=1) if span >= timedelta(days=1) else timedelta(minutes=1)
    return max(unit, round(span / unit) * unit)
