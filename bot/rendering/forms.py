"""Makes the data of the forms of cards and messages: the buttons, and what each asks for before it acts."""

from typing import Final

from bot.domain.decision import COMMENT_LIMIT
from bot.domain.request import Verdict, Withdrawal
from bot.domain.shown.views import CardView, DirectView, Notice
from bot.rendering.formatter import LIMITS, CardFormatter, Data
from bot.text.escape import cut

_WITHDRAWAL_STYLES: Final = {Withdrawal.CANCEL: "destructive", Withdrawal.GIVE_BACK: "positive"}


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
    """Return the comment field of Revoke; [] for a card without that button."""
    return [_field("revoke", view, formatter, notice)] if view.revoke else []


def withdrawal_forms(view: DirectView, formatter: CardFormatter) -> list[Data]:
    """Return the data of the requester's buttons. Each says what it does, and asks again."""
    say, offered = formatter.say, {Withdrawal.CANCEL: view.cancel, Withdrawal.GIVE_BACK: view.give_back}
    return [
        {
            "key": view.key,
            "verb": str(verb),
            "style": _WITHDRAWAL_STYLES[verb],
            "ask": say.text(f"direct.{verb}_ask"),
            "hint": say.text(f"direct.{verb}_hint"),
            "title": say.text(f"direct.{verb}"),
        }
        for verb, is_offered in offered.items()
        if is_offered
    ]


def _field(verdict: str, view: CardView, formatter: CardFormatter, notice: Notice | None) -> Data:
    """Return the label of a comment field, and what the person had typed in it for this action."""
    required = "_required" if verdict in view.comment_required else ""
    # the field accepts no more; only a forged click has a longer comment
    typed = cut(notice.typed, COMMENT_LIMIT) if notice and notice.typed_for == verdict else ""
    return {"label": formatter.say.text(f"card.{verdict}_label{required}"), "typed": typed}
