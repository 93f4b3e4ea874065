"""Views for tests: the samples of the gallery, and variants of them with fields replaced."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from bot.domain.request import Action, Verdict, Withdrawal
from bot.domain.shown.replies.reply_views import View
from bot.domain.shown.views import (
    Banner,
    CardView,
    DecisionLine,
    DirectKind,
    DirectView,
    NoteKind,
    NoteView,
    Notice,
    NoticeCode,
)
from bot.rendering.gallery import SAMPLES
from bot.rendering.gallery.sample import DECIDED_AT

V = TypeVar("V", CardView, DirectView, NoteView)
AT = DECIDED_AT
_DECIDERS = (("田中 一郎", True), ("ops", False), (None, False))


def request(**changes: object) -> CardView:
    """Return the gallery's sample of a waiting card, with these fields replaced."""
    return _sample("request", CardView, changes)


def bare_request(**changes: object) -> CardView:
    """Return a waiting card whose request has hardly any readable facts, with these fields replaced."""
    return _sample("request-bare", CardView, changes)


def direct(**changes: object) -> DirectView:
    """Return the gallery's sample of a direct message, with these fields replaced."""
    return _sample("direct-message", DirectView, changes)


def note(kind: NoteKind, **changes: object) -> NoteView:
    """Return a note with only its required fields, unless `changes` sets more."""
    return _sample("note-ended", NoteView, {"kind": kind, **changes})


def decision(action: Action, who: str | None = "田中 一郎", *, in_teams: bool = True) -> DecisionLine:
    """Return a decision with a comment of two lines."""
    return DecisionLine(action, who, AT, "first line\nsecond line", in_teams=in_teams)


def every_view() -> Iterator[tuple[View | Notice, Notice | None]]:
    """Yield every sample, and variants: each banner, kind and notice with many details and with few.

    For each action, yield the notice that this action of another person is in progress.
    """
    for sample in SAMPLES.values():
        yield sample.view, sample.notice
        if sample.notice:
            yield from _above_other_cards(sample.notice)
    yield from ((view, None) for view in (*_cards(), *_direct_messages(), *_full_notes()))
    for action in (*Verdict, *Withdrawal):
        yield request(), Notice(NoticeCode.BUSY, who="鈴木 芽依", verdict=action, at=AT)


def _above_other_cards(notice: Notice) -> Iterator[tuple[View | Notice, Notice | None]]:
    """Yield a notice without a card, and above cards with no detail and with every detail."""
    code = notice.code
    yield Notice(code, at=AT), None
    yield request(), Notice(code, detail="AccessDenied", typed="kept", typed_for=Verdict.APPROVE)
    yield request(), Notice(code, who="鈴木 芽依", verdict=Verdict.REJECT, at=AT, comment="no")
    yield bare_request(), Notice(code, verdict=Verdict.APPROVE)
    yield bare_request(), Notice(code, who="鈴木 芽依", verdict=Verdict.APPROVE)
    yield direct(), Notice(code, who="鈴木 芽依", verdict=Withdrawal.REVOKE, at=AT, comment="over")


def _cards() -> Iterator[View]:
    lines = [decision(verdict, who, in_teams=there) for verdict in Verdict for who, there in _DECIDERS]
    lines += [decision(withdrawal) for withdrawal in Withdrawal]
    for banner in Banner:
        yield request(banner=banner, decisions=tuple(lines), access_until=AT, decided_outside=True)
        yield request(banner=banner, buttons=False, conflicting_policies=("A", "B"), applying=lines[0])
        yield bare_request(banner=banner, buttons=False, tags_unread=True)
    yield request(unmatched_address="jiro.sato@example.com")
    for sample in SAMPLES.values():
        if isinstance(sample.view, CardView) and sample.view.no_buttons:
            yield replace(sample.view, requester_unchecked=True)


def _direct_messages() -> Iterator[View]:
    for sample in SAMPLES.values():
        if isinstance(sample.view, NoteView) and sample.view.kind is NoteKind.UNDONE:
            yield direct(kind=DirectKind.NOT_CANCELLED, detail=sample.view.detail)
    for kind in DirectKind:
        yield direct(kind=kind, deadline=AT, cancel=True, detail="aws_denied")
        yield direct(kind=kind, access_until=None, commands=(), decisions=(), conflicting_policies=("A",), reason="")


def _full_notes() -> Iterator[View]:
    yield from (note(NoteKind.UNDONE, action=action) for action in (*Verdict, *Withdrawal))
    for kind in NoteKind:
        yield note(kind)
        yield note(
            kind, who="田中 一郎", at=AT, comment="fine", call="ssm:SendAutomationSignal", role="a/b", requester="x"
        )


def _sample(name: str, kind: type[V], changes: Mapping[str, object]) -> V:
    view = SAMPLES[name].view
    assert isinstance(view, kind)
    return replace(view, **changes)  # type: ignore[arg-type]  # `changes` are fields of the view
