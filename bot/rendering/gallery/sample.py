"""The facts that all samples share: one request, the decisions on it, and their times."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from bot.domain.request import Verdict, Withdrawal
from bot.domain.shown.reply_views import View
from bot.domain.shown.views import DecisionLine, Notice


@dataclass(frozen=True, slots=True)
class Sample:
    """A view, and the notice above it for the person who clicked."""

    view: View
    notice: Notice | None = None


def named(prefix: str, code: Enum | str) -> str:
    """Return the name of a code's sample: prefix and code, in lower case with hyphens.

    For an enum member, the code is its Python name.
    """
    text = code.name if isinstance(code, Enum) else code
    return f"{prefix}-{text.lower().replace('_', '-')}"


KEY: Final = "111122223333/ap-northeast-1/oi-f57e817742bd"
ACCOUNT, REGION, OPS_ITEM_ID = KEY.split("/")
NODE_ID: Final = "i-02999bd501754105a"
NODE_NAME: Final = "web-prod-01"
REQUESTER: Final = "山田 太郎"
REASON: Final = "@田中 一郎 決済 API の 5xx が増えたため調査します。*至急* [チケット](https://example.com/INC-20481)"

REQUESTED_AT: Final = datetime(2026, 11, 23, 5, 19, tzinfo=UTC)
DECIDED_AT: Final = REQUESTED_AT + timedelta(minutes=6)
REVOKED_AT: Final = DECIDED_AT + timedelta(minutes=40)
DEADLINE: Final = REQUESTED_AT + timedelta(days=7)
ACCESS_UNTIL: Final = DECIDED_AT + timedelta(hours=4)

APPROVAL: Final = DecisionLine(
    Verdict.APPROVE, "田中 一郎", DECIDED_AT, "INC-20481 を確認しました。作業後に報告をお願いします。"
)
REJECTION: Final = DecisionLine(
    Verdict.REJECT, "鈴木 芽依", DECIDED_AT, "先にステージング環境で再現を確認してください。"
)
REVOCATION: Final = DecisionLine(Withdrawal.REVOKE, "鈴木 芽依", REVOKED_AT, "対応が終わったため取り消します。")
CANCELLATION: Final = DecisionLine(Withdrawal.CANCEL, REQUESTER, DECIDED_AT)
