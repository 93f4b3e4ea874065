"""Makes the data of a notice: the answer to a click that only the person who clicked sees, on a card or alone."""

from datetime import datetime
from typing import Final

from bot.domain.decision import Outcome
from bot.domain.shown.views import Banner, CardView, DecisionLine, DirectView, Notice, NoticeCode
from bot.rendering.formatter import CardFormatter, Data, Runs, plain

_DONE: Final = frozenset(
    {
        NoticeCode.DECIDED,
        Outcome.STEP_PASSED,
        NoticeCode.REPEATED,
        NoticeCode.REVOKED,
        NoticeCode.GIVEN_BACK,
        NoticeCode.CANCELLED,
    }
)  # notices about a decision that AWS accepted


def notice_data(
    notice: Notice | None, formatter: CardFormatter, card: CardView | DirectView | None = None
) -> list[Data]:
    """Return the notice for the person who clicked, or []. It does not repeat what the card says."""
    formatter = formatter.to_reader
    if notice is None or _is_sending(card, notice):
        return []
    said = [formatter.runs(f"notice.{notice.code}"), *formatter.for_administrators("admin_click", notice.code)]
    quote: list[Data] = []
    if not _lists(card, notice):
        said += [] if card else _when(notice, formatter)
        said += _who(notice, formatter, beside=card.requested_at if card else None)
        quote = formatter.comment(notice.comment)
    if notice.detail:
        said.append(plain(formatter.name(notice.detail), font="Monospace"))
    return [{"style": notice.tone, "lines": said, "quote": quote}]


def _is_sending(card: CardView | DirectView | None, notice: Notice) -> bool:
    """True if the heading of the card says that the decision is being sent."""
    return notice.code is NoticeCode.APPLYING and isinstance(card, CardView) and card.banner is Banner.APPLYING


def _lists(card: CardView | DirectView | None, notice: Notice) -> bool:
    """True if the card lists the decision that the notice is about."""
    lines = card.decisions if card and notice.code in _DONE else ()
    return any((line.who, line.verdict, line.comment) == (notice.who, notice.verdict, notice.comment) for line in lines)


def _when(notice: Notice, formatter: CardFormatter) -> list[Runs]:
    over = notice.at if notice.code is NoticeCode.WINDOW_OVER else None
    return [formatter.say.runs("card_line.was_until", at=formatter.say.moment(over))] if over else []


def _who(notice: Notice, formatter: CardFormatter, *, beside: datetime | None) -> list[Runs]:
    """Return who decided, or whose decision is in progress; [] if that is not known."""
    if notice.verdict is None or (notice.who is None and notice.code is not NoticeCode.DECIDED):
        return []
    if notice.code in _DONE:
        return [formatter.decided(DecisionLine(notice.verdict, notice.who, notice.at), beside=beside)]
    return [formatter.pressed(notice.who or "", notice.verdict, notice.at, beside=beside)]
