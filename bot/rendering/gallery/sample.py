"""The facts that all samples share: one request, the decisions on it, and their times."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from bot.domain.access.endings import Stopped
from bot.domain.request import Verdict, Withdrawal
from bot.domain.shown.replies.reply_views import View
from bot.domain.shown.views import DecisionLine, EndingLine, Notice, SessionLink, UsageLine, UsageState


@dataclass(frozen=True, slots=True)
class Sample:
    """A view, and the notice above it for the person who clicked; or a notice that is the whole answer."""

    view: View | Notice
    notice: Notice | None = None


def named(prefix: str, code: Enum | str) -> str:
    """Return the name of a code's sample: prefix and code, in lower case with hyphens.

    For an enum member, the code is its Python name.
    """
    text = code.name if isinstance(code, Enum) else code
    return f"{prefix}-{text.lower().replace('_', '-')}"


KEY: Final = "111122223333/ap-northeast-1/oi-f57e817742bd"
ACCOUNT, REGION, OPS_ITEM_ID = KEY.split("/")
ACCOUNT_NAME: Final = "prod-core"
REGION_NAME: Final = "Asia Pacific (Tokyo)"
NODE_ID: Final = "i-02999bd501754105a"
NODE_NAME: Final = "web-prod-01"
REQUESTER: Final = "Alex Wilber"
PRINCIPAL: Final = "arn:aws:sts::111122223333:assumed-role/Operator/alex.wilber@example.com"
REQUESTER_SESSION: Final = "alex.wilber@example.com"
APPROVER: Final = "Priya Nair"
APPROVER_SESSION: Final = "priya.nair@example.com"
COLLEAGUE: Final = "佐藤 花子"  # in every language: a team may have names in several scripts
COLLEAGUE_SESSION: Final = "hanako.sato@example.com"
OTHER_REQUESTER: Final = "Maria Lopez"
OWNER: Final = "payments"

LINK: Final = (
    "https://teams.microsoft.com/l/message/19%3A3Vx0pQkRz7mB1tYc8WdLw5GhN2sEaU6fJoXi9KbTqCy1%40thread.tacv2/"
    "1795939140000?tenantId=11111111-1111-4111-8111-111111111111"
    "&groupId=22222222-2222-4222-8222-222222222222&parentMessageId=1795939140000"
)
REASON: Final = "@Priya Nair Checkout has answered 5xx since 05:10. *Urgent* [ticket](https://example.com/INC-20481)"
LONG_REASON: Final = "A reason of more lines than a card shows.\n" * 20
TYPED: Final = "I have read INC-20481."  # the comment of a click without effect; the card's comment field keeps it
APPROVED_BECAUSE: Final = "INC-20481 checked. Please report when you are done."
REJECTED_BECAUSE: Final = "Please reproduce it in staging first."
REVOKED_BECAUSE: Final = "The incident is over."

REQUESTED_AT: Final = datetime(2026, 11, 23, 5, 19, tzinfo=UTC)
LISTED_AT: Final = REQUESTED_AT + timedelta(minutes=12)
DECIDED_AT: Final = REQUESTED_AT + timedelta(minutes=6)
REVOKED_AT: Final = DECIDED_AT + timedelta(minutes=40)
DEADLINE: Final = REQUESTED_AT + timedelta(days=7)
APPROVED_AT: Final = DECIDED_AT + timedelta(minutes=3)  # at the last level
ACCESS_UNTIL: Final = APPROVED_AT + timedelta(hours=4)

SESSION_AT: Final = DECIDED_AT + timedelta(minutes=9)
_CONSOLE: Final = f"https://{REGION}.console.aws.amazon.com"
_NAMED_LOG: Final = f"{_CONSOLE}/s3/object/session-logs?region={REGION}&prefix=alex.wilber-07a16060613c408b5.log"
_UNMEASURED: Final = UsageLine(UsageState.USED, total=2)
_STILL_OPEN: Final = UsageLine(UsageState.STILL_OPEN, total=2, open=1, since=SESSION_AT)
USAGE: Final[Mapping[str, UsageLine]] = {  # while access runs
    "not-yet": UsageLine(UsageState.NOT_YET),
    "open": UsageLine(UsageState.OPEN, total=1, open=1, since=SESSION_AT),
    "open-of-several": UsageLine(UsageState.OPEN, total=3, open=2, since=SESSION_AT),
    "unread": UsageLine(UsageState.UNKNOWN, unread=True),
    "unclear": UsageLine(UsageState.UNKNOWN, unclear=2),
}
PAST_USAGE: Final[Mapping[str, UsageLine]] = {  # once access has ended
    "used": UsageLine(
        UsageState.USED,
        total=2,
        span=timedelta(minutes=26),
        logs=(SessionLink(SESSION_AT, _NAMED_LOG), SessionLink(None, _NAMED_LOG)),
    ),
    "used-unmeasured": _UNMEASURED,
    "used-more": replace(_UNMEASURED, total=20, more=True),
    "none-seen": UsageLine(UsageState.NONE_SEEN),
    "never": UsageLine(UsageState.NEVER),
    "still-open": replace(
        _STILL_OPEN, sessions_url=f"{_CONSOLE}/systems-manager/session-manager/sessions?region={REGION}"
    ),
}

_ENDS = EndingLine(COLLEAGUE, REVOKED_AT, looked=True)
ENDINGS: Final[Mapping[str, EndingLine]] = {
    "waits": replace(_ENDS, waits=True, looked=False),
    "asked": replace(_ENDS, looked=False, comment=REVOKED_BECAUSE, delayed=True),
    "running": replace(_ENDS, running=2),
    "ended": replace(_ENDS, ended=2, comment=REVOKED_BECAUSE),
    "none": _ENDS,
    "partly": replace(
        _ENDS,
        ended=1,
        refused=1,
        detail="AccessDeniedException",
        unconfirmed=1,
        left=1,
        unknown_revocation=True,
        sessions_url=f"{_CONSOLE}/systems-manager/session-manager/sessions?region={REGION}",
    ),
    **{f"stopped-{each.replace('_', '-')}": replace(_ENDS, stopped=each) for each in Stopped},
}

APPROVAL: Final = DecisionLine(Verdict.APPROVE, APPROVER, DECIDED_AT, APPROVED_BECAUSE, step="Level1")
SECOND_APPROVAL: Final = DecisionLine(Verdict.APPROVE, COLLEAGUE, APPROVED_AT, step="Level2")
REJECTION: Final = DecisionLine(Verdict.REJECT, COLLEAGUE, DECIDED_AT, REJECTED_BECAUSE, step="Level1")
REVOCATION: Final = DecisionLine(Withdrawal.REVOKE, COLLEAGUE, REVOKED_AT, REVOKED_BECAUSE)
CANCELLATION: Final = DecisionLine(Withdrawal.CANCEL, REQUESTER, DECIDED_AT)
GIVEN_BACK: Final = DecisionLine(Withdrawal.GIVE_BACK, REQUESTER, REVOKED_AT)
