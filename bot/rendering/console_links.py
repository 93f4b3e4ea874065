"""Makes the data of a card's link to the AWS console: beside the buttons, or among all facts."""

from typing import Final

from bot.domain.decision import Outcome
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import Banner, CardView, DecidedElsewhere, Notice, NoticeCode, Reason
from bot.rendering.formatter import LIMITS, CardFormatter, Data

_SENDS_THERE: Final[frozenset[Reason]] = frozenset(
    {
        Outcome.AWS_REFUSED,
        NoticeCode.NOT_SHOWN,
        NoticeCode.SAME_ROLE,
        NoticeCode.SAME_ROLE_DENIED,
        Refusal.OTHER_LEVEL_UNKNOWN,
        Refusal.ROSTER_REFUSED,
        Refusal.GROUP_REFUSED,
        Refusal.GROUP_UNAVAILABLE,
    }
)  # notices that send the person to the console, on a card that others can decide


def console_links(view: CardView, formatter: CardFormatter, notice: Notice | None, *, own_row: bool) -> Data:
    """Return the link to the console, and the way from there to the request, with the account to sign in to.

    If the card sends people to the console, the link is in the first row of buttons: alone if `own_row` (three do not
    fit on a phone). Any other card has it among all facts. The shortest form of a card has no way: its account has a
    row as well. A copy of a request has no link, because it is decided in another account.
    """
    if not view.console_url or view.no_buttons is Refusal.REPLICA:
        return {"console": [], "console_row": [], "way": [], "folded_links": []}
    account = formatter.account(view.account, view.account_name)
    said = [] if formatter.limits is LIMITS[-1] else [formatter.say.runs("card_line.console", account=account)]
    there = _is_decided_there(view)
    leads = bool(there or view.not_shown or view.same_role or (notice and notice.code in _SENDS_THERE))
    link = [{"url": view.console_url}]
    return {
        "console": link if leads and not own_row else [],
        "console_row": link if leads and own_row else [],
        "way": said if there else [],
        "folded_links": [{"way": said, "button": [] if leads else link}] if not there and (said or not leads) else [],
    }


def _is_decided_there(view: CardView) -> bool:
    """True if people must decide, or approve, in the console."""
    elsewhere = view.no_buttons not in {None, DecidedElsewhere.ELSEWHERE} or view.banner is Banner.UNKNOWN
    return elsewhere or view.no_approver or view.no_second_approver
