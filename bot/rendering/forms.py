"""Makes the data of the forms of a card: the buttons of a decision, and the comment field of each."""

from bot.domain.decision import COMMENT_LIMIT
from bot.domain.request import Verdict, Withdrawal
from bot.domain.shown.views import CardView, Notice
from bot.rendering.formatter import LIMITS, CardFormatter, Data
from bot.text.escape import cut


def decision_form(view: CardView, formatter: CardFormatter, notice: Notice | None) -> list[Data]:
    """Return the data of the buttons and their comment fields; [] for a card without buttons.

    Reject opens its field. Approve is one tap, with a field behind another button, unless a comment is required. The
    shortest form of a card has no room for that other button. If no one may approve, only Reject is left.
    """
    if not view.buttons:
        return []
    approval = [] if view.no_second_approver else [_field("approve", view, formatter, notice)]
    required, shortest = Verdict.APPROVE in view.comment_required, formatter.limits is LIMITS[-1]
    return [
        {
            "approve": [] if required or not approval else [{}],
            "approve_form": approval if required else [],
            "comment_form": [] if required or shortest else approval,
            "reject_form": [_field("reject", view, formatter, notice)],
        }
    ]


def revoke_form(view: CardView, formatter: CardFormatter, notice: Notice | None) -> list[Data]:
    """Return the comment field of Revoke; [] for a card without that button. Its form may end sessions, too."""
    ends: list[Data] = [{}] if view.end_sessions else []
    return [{**_field(Withdrawal.REVOKE, view, formatter, notice), "ends": ends}] if view.revoke else []


def end_form(view: CardView, formatter: CardFormatter, notice: Notice | None) -> list[Data]:
    """Return the comment field of "End open sessions…"; [] for a card without that button."""
    if view.revoke or not view.end_sessions:
        return []
    return [{**_field(Withdrawal.REVOKE, view, formatter, notice), "label": formatter.say.text("card.end_label")}]


def _field(verdict: str, view: CardView, formatter: CardFormatter, notice: Notice | None) -> Data:
    """Return the label of a comment field, and what the person had typed in it for this action."""
    required = "_required" if verdict in view.comment_required else ""
    # the field accepts no more; only a forged click has a longer comment
    typed = cut(notice.typed, COMMENT_LIMIT) if notice and notice.typed_for == verdict else ""
    return {"label": formatter.say.text(f"card.{verdict}_label{required}"), "typed": typed}
