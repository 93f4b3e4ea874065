"""Sample views, one for every card that `render` can print for a designer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.domain.request import Verdict, Withdrawal
from bot.domain.shown.reply_views import HelpView, MessageCode, MessageView, PendingView, RequestLine, SetupView, View
from bot.domain.shown.views import (
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
    Tone,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A view, and what the person who clicked is told above it."""

    view: View
    notice: Notice | None = None


_REQUESTED = datetime(2026, 11, 23, 5, 19, tzinfo=UTC)
_DECIDED = _REQUESTED + timedelta(minutes=6)
_EXECUTION = "4f2c8a1e-0f7d-4a53-9a3e-5d0a7b6c1e22"
_ROLE = "arn:aws:iam::111122223333:role/NodeAccessApprover"
_REASON = "@田中 一郎 決済 API の 5xx が増えたため調査します。*至急* [チケット](https://example.com/INC-20481)"

_REQUEST = CardView(
    key="111122223333/ap-northeast-1/oi-f57e817742bd",
    step="Level1",
    banner=Banner.WAITING,
    ops_item_id="oi-f57e817742bd",
    account="111122223333",
    region="ap-northeast-1",
    node_id="i-02999bd501754105a",
    node_name="web-prod-01",
    requester="山田 太郎",
    requester_principal="arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com",
    reason=_REASON,
    duration=timedelta(hours=4),
    platform="Amazon Linux 2023",
    private_ip="10.0.3.17",
    tags=(("Environment", "production"), ("Owner", "payments"), ("Service", "checkout")),
    policy="E-commerce-Manual-Approval-Policy",
    level=LevelLine(number=1, of=2, step="Level1", approvals=0, required=1, waits_for=("NodeAccessApprover",)),
    requested_at=_REQUESTED,
    deadline=_REQUESTED + timedelta(days=7),
    buttons=True,
    console_url="https://ap-northeast-1.console.aws.amazon.com/systems-manager/home?region=ap-northeast-1",
)
_APPROVAL = DecisionLine(
    Verdict.APPROVE, "田中 一郎", _DECIDED, "INC-20481 を確認しました。作業後に報告をお願いします。"
)
_REJECTION = DecisionLine(Verdict.REJECT, "鈴木 芽依", _DECIDED, "先にステージング環境で再現を確認してください。")
_DECIDED_CARD = replace(
    _REQUEST,
    banner=Banner.APPROVED,
    step="Level2",
    buttons=False,
    level=LevelLine(number=2, of=2, step="Level2", approvals=1, required=1),
    decisions=(_APPROVAL,),
    access_until=_DECIDED + timedelta(hours=4),
    revoke=True,
)
_REVOKED = _DECIDED + timedelta(minutes=40)
_REVOCATION = DecisionLine(Withdrawal.REVOKE, "鈴木 芽依", _REVOKED, "対応が終わったため取り消します。")
_REVOKED_CARD = replace(
    _DECIDED_CARD,
    banner=Banner.REVOKED,
    decisions=(_APPROVAL, _REVOCATION),
    access_until=None,
    revoke=False,
    step="",
)
_CANCELLATION = DecisionLine(Withdrawal.CANCEL, "山田 太郎", _DECIDED)
_CANCELLED_CARD = replace(_REVOKED_CARD, banner=Banner.CANCELLED, decisions=(_CANCELLATION,))
_SIGN_IN = (
    'read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN <<< "$(aws ssm get-access-token'
    " --region ap-northeast-1 --access-request-id oi-f57e817742bd"
    " --query 'Credentials.[AccessKeyId, SecretAccessKey, SessionToken]' --output text)\""
    " && export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN"
)
_DIRECT = DirectView(
    kind=DirectKind.APPROVED,
    key=_REQUEST.key,
    ops_item_id=_REQUEST.ops_item_id,
    account=_REQUEST.account,
    region=_REQUEST.region,
    node_id=_REQUEST.node_id,
    node_name=_REQUEST.node_name,
    reason=_REASON,
    duration=_REQUEST.duration,
    decisions=(_APPROVAL,),
    requested_at=_REQUESTED,
    access_until=_DECIDED_CARD.access_until,
    commands=(
        _SIGN_IN,
        "aws ssm start-session --region ap-northeast-1 --target i-02999bd501754105a",
    ),
)
_WAITING_DIRECT = replace(
    _DIRECT,
    kind=DirectKind.WAITING,
    decisions=(),
    access_until=None,
    commands=(),
    deadline=_REQUEST.deadline,
    cancel=True,
)
_NOTE = NoteView(
    NoteKind.REJECTION,
    ops_item_id=_REQUEST.ops_item_id,
    node="web-prod-01",
    who=_REJECTION.who,
    at=_DECIDED,
    comment=_REJECTION.comment,
    call=f"ssm:SendAutomationSignal Reject {_EXECUTION} (ap-northeast-1)",
    role=f"{_ROLE}/mei.suzuki@example.com",
    requester="山田 太郎",
)
_LATE_CLICK = Notice(
    NoticeCode.DECIDED,
    Tone.INFO,
    who=_APPROVAL.who,
    verdict=_APPROVAL.verdict,
    at=_APPROVAL.at,
    comment=_APPROVAL.comment,
)
_PENDING = PendingView(
    (
        RequestLine(
            "oi-f57e817742bd",
            "web-prod-01",
            "山田 太郎",
            Banner.WAITING,
            requested_at=_REQUESTED,
            deadline=_REQUESTED + timedelta(days=7),
        ),
        RequestLine("oi-0123456789ab", "batch-staging-with-a-long-name-07", "Priya Nair", Banner.APPLYING, own=True),
    ),
    more=3,
)
_TOML = """[[channels]]
name = "approvers"
conversation = "19:approvers@thread.tacv2"
approvers = ["members"]
locale = "ja"
timezone = "Asia/Tokyo"
"""

SAMPLES: Final[Mapping[str, Sample]] = {
    "request": Sample(replace(_REQUEST, mentioned=(Mention("29:1-tanaka-ichiro", "田中 一郎"),), rings=True)),
    "decided": Sample(_DECIDED_CARD),
    "rejected": Sample(
        replace(
            _DECIDED_CARD, banner=Banner.REJECTED, decisions=(_REJECTION,), access_until=None, revoke=False, step=""
        ),
    ),
    "revoked": Sample(_REVOKED_CARD),
    "cancelled": Sample(_CANCELLED_CARD),
    "already-revoked": Sample(
        _REVOKED_CARD,
        Notice(NoticeCode.REVOKED, Tone.INFO, _REVOCATION.who, Withdrawal.REVOKE, _REVOKED, _REVOCATION.comment),
    ),
    "refused": Sample(_DECIDED_CARD, _LATE_CLICK),
    "unreachable": Sample(
        replace(
            _REQUEST,
            buttons=False,
            step="",
            no_buttons=DecidedElsewhere.UNREACHABLE,
            home="production",
            home_problem="not_installed",
        )
    ),
    "direct-message": Sample(_DIRECT),
    "direct-message-waiting": Sample(_WAITING_DIRECT),
    "direct-message-revoked": Sample(
        replace(_WAITING_DIRECT, kind=DirectKind.REVOKED, cancel=False, decisions=(_APPROVAL, _REVOCATION))
    ),
    "direct-message-not-cancelled": Sample(
        replace(_WAITING_DIRECT, kind=DirectKind.NOT_CANCELLED, detail="cancel_denied")
    ),
    "note": Sample(_NOTE),
    "note-revoked": Sample(
        replace(
            _NOTE,
            kind=NoteKind.REVOCATION,
            at=_REVOKED,
            comment=_REVOCATION.comment,
            call=f"ssm:SendAutomationSignal Revoke {_EXECUTION} (ap-northeast-1)",
        )
    ),
    "note-cancelled": Sample(
        replace(
            _NOTE,
            kind=NoteKind.CANCELLATION,
            who=_CANCELLATION.who,
            comment=None,
            call=f"ssm:StopAutomationExecution Cancel {_EXECUTION} (ap-northeast-1)",
            role="arn:aws:sts::111122223333:assumed-role/NodeAccessCanceller/taro.yamada@example.com",
        )
    ),
    "help": Sample(HelpView()),
    "pending": Sample(_PENDING),
    "status": Sample(replace(_REQUEST, buttons=False, step="")),
    "setup": Sample(SetupView(_TOML)),
    "message": Sample(MessageView(MessageCode.NOT_FOUND, "oi-f57e817742bd")),
}
