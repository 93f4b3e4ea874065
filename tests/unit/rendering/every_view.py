"""Every kind of view that there is, each with everything and with as little as possible."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.domain.decision import Outcome
from bot.domain.request import Action, Status, Verdict, Withdrawal
from bot.domain.shown.reply_views import HelpView, MessageCode, MessageView, PendingView, RequestLine, SetupView, View
from bot.domain.shown.views import (
    NO_BUTTONS,
    REASONS,
    Banner,
    CardView,
    DecidedElsewhere,
    DecisionLine,
    DirectKind,
    DirectView,
    LevelLine,
    Mention,
    NoteKind,
    NoteView,
    Notice,
    NoticeCode,
)
from bot.ports.teams import ChatProblem
from bot.rendering.samples import SAMPLES

AT = datetime(2026, 11, 23, 5, 25, tzinfo=UTC)


def request(**changes: object) -> CardView:
    """A waiting card with everything on it."""
    view = SAMPLES["request"].view
    assert isinstance(view, CardView)
    return replace(view, **changes)  # type: ignore[arg-type]


def bare_request(**changes: object) -> CardView:
    """A waiting card of which hardly anything could be read."""
    view = CardView(
        key="111122223333/ap-northeast-1/oi-f57e817742bd",
        step="Level1",
        banner=Banner.WAITING,
        ops_item_id="oi-f57e817742bd",
        account="111122223333",
        region="ap-northeast-1",
        node_id="mi-0123456789abcdef0",
        node_name=None,
        requester="batch",
        requester_principal="arn:aws:iam::111122223333:user/batch",
        reason="",
        buttons=True,
    )
    return replace(view, **changes)  # type: ignore[arg-type]


def direct(**changes: object) -> DirectView:
    """A direct message with everything in it."""
    view = SAMPLES["direct-message"].view
    assert isinstance(view, DirectView)
    return replace(view, **changes)  # type: ignore[arg-type]


def note(kind: NoteKind, **changes: object) -> NoteView:
    """A note with the least in it."""
    return replace(NoteView(kind, "oi-f57e817742bd", "web-prod-01"), **changes)  # type: ignore[arg-type]


def decision(verdict: Action, who: str | None = "田中 一郎", *, in_teams: bool = True) -> DecisionLine:
    """A decision with a comment of two lines."""
    return DecisionLine(verdict, who, AT, "first line\nsecond line", in_teams=in_teams)


def every_view() -> Iterator[tuple[View | Notice, Notice | None]]:
    """Every view, with the notice above it where there is one."""
    yield from ((sample.view, sample.notice) for sample in SAMPLES.values())
    yield from ((view, None) for view in (*_cards(), *_directs(), *_notes(), *_answers()))
    for code in REASONS:
        yield Notice(code), None
        yield request(), Notice(code, detail="AccessDenied", typed="kept")
        yield request(), Notice(code, who="鈴木 芽依", verdict=Verdict.REJECT, at=AT, comment="no")
        yield bare_request(), Notice(code, verdict=Verdict.APPROVE)
        yield bare_request(), Notice(code, who="鈴木 芽依", verdict=Verdict.APPROVE)
        yield direct(), Notice(code, who="鈴木 芽依", verdict=Withdrawal.REVOKE, at=AT, comment="over")
    for action in (*Verdict, *Withdrawal):
        yield request(), Notice(NoticeCode.BUSY, who="鈴木 芽依", verdict=action, at=AT)


def _cards() -> Iterator[View]:
    lines = [decision(verdict, who, in_teams=there) for verdict in Verdict for who, there in _DECIDERS]
    lines += [decision(withdrawal) for withdrawal in Withdrawal]
    for banner in Banner:
        yield request(banner=banner, decisions=tuple(lines), access_until=AT, decided_outside=True)
        yield request(banner=banner, buttons=False, conflicting_policies=("A", "B"), applying=lines[0])
        yield bare_request(banner=banner, buttons=False, tags_unread=True)
    for why in NO_BUTTONS:
        yield request(buttons=False, no_buttons=why, requester_unchecked=True, home="production")
    for problem in ChatProblem:
        why = DecidedElsewhere.UNREACHABLE
        yield request(buttons=False, no_buttons=why, home="production", home_problem=str(problem))
    for verdicts in ((), (Verdict.APPROVE,), (Verdict.REJECT,), tuple(Verdict)):
        yield request(comment_required=verdicts)
    asked, named = (Mention("29:1-a", "田中 一郎"), Mention("29:1-b", "鈴木 芽依")), (Mention("29:1-c", "佐藤 花子"),)
    for rings in (True, False):
        yield request(mentions=asked, mentioned=named, rings=rings, tags=())
    yield request(level=LevelLine(1, 1, "Level1"), duration=timedelta(minutes=90))
    half = LevelLine(1, 2, "Level1", approvals=1, required=2, approved_by=("佐藤 花子",), waits_for=("NodeAccessLead",))
    yield request(level=half)
    yield request(reason="more lines than a card has\n" * 20)
    yield bare_request()
    for revoke in (True, False):
        yield request(banner=Banner.APPROVED, buttons=False, access_until=AT, revoke=revoke)


_DECIDERS = (("田中 一郎", True), ("ops", False), (None, False))


def _directs() -> Iterator[View]:
    for kind in DirectKind:
        yield direct(kind=kind, deadline=AT + timedelta(days=1), cancel=True, detail="aws_denied")
        yield direct(kind=kind, access_until=None, commands=(), decisions=(), conflicting_policies=("A",), reason="")


def _notes() -> Iterator[View]:
    for kind in NoteKind:
        yield note(kind)
        yield note(
            kind, who="田中 一郎", at=AT, comment="fine", call="ssm:SendAutomationSignal", role="a/b", requester="x"
        )
    for status in Status:
        yield note(NoteKind.OUTSIDE, status=status, who="ops")
    for problem in ChatProblem:
        yield note(NoteKind.DIRECT_IMPOSSIBLE, requester="山田 太郎", detail=str(problem))
    for why in (*Outcome, "cancel_denied", "not_shown"):
        yield note(NoteKind.UNDONE, who="田中 一郎", detail=str(why))
        yield direct(kind=DirectKind.NOT_CANCELLED, detail=str(why))


def _answers() -> Iterator[View]:
    line = RequestLine("oi-f57e817742bd", "web-prod-01", "山田 太郎", Banner.WAITING)
    for personal in (True, False):
        yield HelpView(personal=personal)
        yield PendingView((), personal=personal)
        yield PendingView((line, replace(line, own=True, requested_at=AT, deadline=AT)), personal=personal, more=2)
    for code in MessageCode:
        yield MessageView(code)
        yield MessageView(code, "oi-f57e817742bd")
    yield SetupView("a = 1\n\nb = 2")
