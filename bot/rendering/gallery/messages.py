"""Samples of direct messages, notes in the thread, replies to commands, and weekly digests."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bot.domain.decision import Outcome
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.shown.connecting import powershell_command, shell_command
from bot.domain.shown.direct import NOTIFIED, short_view
from bot.domain.shown.replies.reply_views import (
    DigestCount,
    HelpView,
    HistoryKind,
    HistoryView,
    MessageCode,
    MessageView,
    PendingView,
    RequestLine,
    SetupView,
    View,
    WeeklyDigestView,
)
from bot.domain.shown.views import Banner, DecisionLine, DirectKind, DirectView, NodeLine, NoteKind, NoteView
from bot.rendering.gallery.cards import ASKED, NODES, SECOND_LEVEL, WAITING
from bot.rendering.gallery.sample import (
    ACCESS_UNTIL,
    APPROVAL,
    APPROVER,
    APPROVER_SESSION,
    CANCELLATION,
    COLLEAGUE,
    COLLEAGUE_SESSION,
    DEADLINE,
    ENDINGS,
    GIVEN_BACK,
    KEY,
    LINK,
    LISTED_AT,
    NODE_ID,
    NODE_NAME,
    OPS_ITEM_ID,
    OTHER_REQUESTER,
    PAST_USAGE,
    REASON,
    REGION,
    REJECTION,
    REQUESTED_AT,
    REQUESTER,
    REQUESTER_SESSION,
    REVOCATION,
    SECOND_APPROVAL,
    USAGE,
    Sample,
    named,
)

UNDONE: Final = (
    *Outcome,
    "cancel_denied",
    "give_back_denied",
    "not_shown",
    "same_role",
    "same_role_denied",
)  # codes of the reasons why a decision had no effect
DIRECT_PROBLEMS: Final = (  # codes of Teams' refusals with their own words; `bad_request` stands for the other codes
    "not_installed",
    "blocked",
    "writes_blocked",
    "unknown_person",
    "conversation_not_found",
    "too_large",
    "bad_request",
)

WAITING_MESSAGE: Final = DirectView(
    kind=DirectKind.WAITING,
    key=WAITING.key,
    ops_item_id=WAITING.ops_item_id,
    account=WAITING.account,
    region=WAITING.region,
    node_id=WAITING.node_id,
    node_name=WAITING.node_name,
    reason=WAITING.reason,
    duration=WAITING.duration,
    requested_at=REQUESTED_AT,
    deadline=DEADLINE,
    cancel=True,
    account_name=WAITING.account_name,
    region_name=WAITING.region_name,
    home="production",
    deciders=("members",),
    current=True,
)
_OVER = replace(WAITING_MESSAGE, cancel=False, home=None, deciders=(), current=False)
_ENDED = replace(_OVER, kind=DirectKind.ENDED, access_until=ACCESS_UNTIL)
_LEVEL_PASSED = replace(
    WAITING_MESSAGE,
    kind=DirectKind.LEVEL_PASSED,
    level=(2, 2),
    decisions=(APPROVAL,),
    deciders=("user:aaaaaaaa-0000-4000-8000-900000000002",),
    decider_names=(COLLEAGUE,),
    second="leads",
)
_APPROVED = replace(
    _OVER,
    kind=DirectKind.APPROVED,
    decisions=(APPROVAL, SECOND_APPROVAL),
    deadline=None,
    access_until=ACCESS_UNTIL,
    commands=(shell_command(RequestKey.parse(KEY), NODE_ID),),
    powershell=(powershell_command(RequestKey.parse(KEY), NODE_ID),),
)
NOT_RETURNABLE: Final = replace(_APPROVED, give_back_refused=True)


_NODES = tuple(NodeLine(each.id, each.name) for each in NODES)


def _approved_for(nodes: tuple[NodeLine, ...]) -> DirectView:
    """Return the message on access to several nodes."""
    key = RequestKey.parse(KEY)
    shell = tuple(shell_command(key, each.id) for each in nodes)
    powershell = tuple(powershell_command(key, each.id) for each in nodes)
    return replace(_APPROVED, node_id="", node_name=None, nodes=nodes, commands=shell, powershell=powershell)


_DIRECT = {
    DirectKind.WAITING: WAITING_MESSAGE,
    DirectKind.LEVEL_PASSED: _LEVEL_PASSED,
    DirectKind.UNDECIDABLE: replace(WAITING_MESSAGE, kind=DirectKind.UNDECIDABLE, deciders=(), current=False),
    DirectKind.APPROVED: replace(_APPROVED, give_back=True),
    DirectKind.ENDING_SOON: replace(_APPROVED, kind=DirectKind.ENDING_SOON),
    DirectKind.REJECTED: replace(_OVER, kind=DirectKind.REJECTED, decisions=(REJECTION,)),
    DirectKind.REVOKED: replace(_OVER, kind=DirectKind.REVOKED, decisions=(APPROVAL, SECOND_APPROVAL, REVOCATION)),
    DirectKind.GIVEN_BACK: replace(
        _OVER, kind=DirectKind.GIVEN_BACK, decisions=(APPROVAL, SECOND_APPROVAL, GIVEN_BACK)
    ),
    DirectKind.CANCELLED: replace(_OVER, kind=DirectKind.CANCELLED, decisions=(CANCELLATION,)),
    DirectKind.ENDED: replace(_ENDED, decisions=(APPROVAL, SECOND_APPROVAL)),
    **{kind: replace(_OVER, kind=kind) for kind in (DirectKind.TIMED_OUT, DirectKind.FAILED, DirectKind.GONE)},
    DirectKind.NOT_CANCELLED: replace(
        WAITING_MESSAGE, kind=DirectKind.NOT_CANCELLED, detail="cancel_denied", current=False
    ),
    DirectKind.NOT_GIVEN_BACK: replace(_APPROVED, kind=DirectKind.NOT_GIVEN_BACK, detail="throttled"),
}

_USED = {
    "direct-give-back-refused": NOT_RETURNABLE,
    "direct-usage-open": replace(_APPROVED, usage=USAGE["open"]),
    "direct-end-sessions": replace(_ENDED, usage=PAST_USAGE["still-open"], end_sessions=True),
    "direct-usage-still-open": replace(_ENDED, usage=PAST_USAGE["still-open"]),
    "direct-usage-used": replace(_ENDED, usage=PAST_USAGE["used"]),
    "direct-ending-ended": replace(_OVER, kind=DirectKind.REVOKED, ending=ENDINGS["ended"]),
    "direct-ending-partly": replace(_OVER, kind=DirectKind.REVOKED, ending=ENDINGS["partly"]),
}

_SHORT = {
    named("direct-short", kind): short_view(view, kind, detail=view.detail)
    for kind, view in _DIRECT.items()
    if kind in {*NOTIFIED, DirectKind.NOT_CANCELLED, DirectKind.NOT_GIVEN_BACK}
}

_EXECUTION = "4f2c8a1e-0f7d-4a53-9a3e-5d0a7b6c1e22"
_BLANK = NoteView(NoteKind.ENDED, OPS_ITEM_ID, NODE_NAME)


def _accepted(kind: NoteKind, line: DecisionLine, call: str) -> NoteView:
    """Return the note on a decision that AWS accepted."""
    note = replace(_BLANK, kind=kind, who=line.who, at=line.at, comment=line.comment, requester=REQUESTER)
    call = f"ssm:{call} ({REGION})"
    return replace(note, call=call, execution=_EXECUTION, role="NodeAccessApprover", session=APPROVER_SESSION)


_NOTES = {
    "note": replace(_accepted(NoteKind.REJECTION, REJECTION, "SendAutomationSignal Reject"), session=COLLEAGUE_SESSION),
    "note-approved": _accepted(NoteKind.APPROVAL, APPROVAL, "SendAutomationSignal Approve"),
    "note-revoked": replace(
        _accepted(NoteKind.REVOCATION, REVOCATION, "SendAutomationSignal Revoke"), session=COLLEAGUE_SESSION
    ),
    "note-cancelled": replace(
        _accepted(NoteKind.CANCELLATION, CANCELLATION, "StopAutomationExecution Cancel"),
        role="NodeAccessCanceller",
        session=REQUESTER_SESSION,
    ),
    "note-given-back": replace(
        _accepted(NoteKind.GIVING_BACK, GIVEN_BACK, "SendAutomationSignal Revoke"),
        role="NodeAccessGiveBack",
        session=REQUESTER_SESSION,
    ),
    "note-not-shown": replace(_BLANK, kind=NoteKind.NOT_SHOWN, who=REVOCATION.who, at=REVOCATION.at),
    "note-approval-not-shown": replace(
        _accepted(NoteKind.APPROVAL_NOT_SHOWN, APPROVAL, "SendAutomationSignal Approve"), detail="press_again"
    ),
    "note-approval-of-same-role": replace(
        _accepted(NoteKind.APPROVAL_NOT_SHOWN, APPROVAL, "SendAutomationSignal Approve"), detail="same_role"
    ),
    "note-rejection-not-shown": replace(
        _accepted(NoteKind.REJECTION_NOT_SHOWN, REJECTION, "SendAutomationSignal Reject"), session=COLLEAGUE_SESSION
    ),
    "note-ended": replace(_BLANK, requester=REQUESTER),
    "note-ended-of-unknown-user": _BLANK,
    "note-unanswered": replace(
        _BLANK, kind=NoteKind.UNANSWERED, who=APPROVAL.who, action=Verdict.APPROVE, requester=REQUESTER
    ),
    "note-level": replace(
        _BLANK, kind=NoteKind.LEVEL, requester=REQUESTER, level=SECOND_LEVEL, mentions=ASKED, link=LINK
    ),
    "note-level-of-one": replace(
        _BLANK, kind=NoteKind.LEVEL, requester=REQUESTER, level=replace(SECOND_LEVEL, number=1, of=1)
    ),
    "note-escalated": replace(_BLANK, kind=NoteKind.ESCALATED, requester=REQUESTER, level=SECOND_LEVEL, mentions=ASKED),
    "note-reminder": replace(
        _BLANK,
        kind=NoteKind.REMINDER,
        requester=REQUESTER,
        level=replace(SECOND_LEVEL, number=1, of=1),
        at=REQUESTED_AT,
        deadline=DEADLINE,
        mentions=ASKED,
        link=LINK,
    ),
    "note-reminder-of-second-level": replace(
        _BLANK, kind=NoteKind.REMINDER, requester=REQUESTER, level=SECOND_LEVEL, at=REQUESTED_AT, mentions=ASKED
    ),
    "note-outside-approved-by": replace(_BLANK, kind=NoteKind.OUTSIDE, status=Status.APPROVED, who="ops"),
    "note-outside-rejected-by": replace(_BLANK, kind=NoteKind.OUTSIDE, status=Status.REJECTED, who="ops"),
}
_OUTSIDE = {named("note-outside", each): replace(_BLANK, kind=NoteKind.OUTSIDE, status=each) for each in Status}
_DECIDED = replace(_BLANK, kind=NoteKind.UNDONE, who=APPROVAL.who, action=Verdict.APPROVE, requester=REQUESTER)
_UNDONE = {
    "note-withdrawn-by": replace(_DECIDED, detail="withdrawn", by=REJECTION.who),
    **{named("note-undone", each): replace(_DECIDED, detail=each) for each in UNDONE},
}
_IMPOSSIBLE = {
    named("note-direct-impossible", each): replace(
        _BLANK, kind=NoteKind.DIRECT_IMPOSSIBLE, requester=REQUESTER, detail=each
    )
    for each in DIRECT_PROBLEMS
}

_LINES = (
    RequestLine(
        OPS_ITEM_ID,
        NODE_NAME,
        REQUESTER,
        Banner.WAITING,
        reason=REASON,
        requested_at=REQUESTED_AT,
        deadline=DEADLINE,
        turn=True,
        link=LINK,
    ),
    RequestLine("oi-0123456789ab", "batch-staging-with-a-long-name-07", OTHER_REQUESTER, Banner.APPLYING, own=True),
)
_PAST = (
    RequestLine(
        OPS_ITEM_ID,
        NODE_NAME,
        REQUESTER,
        Banner.APPROVED,
        reason=REASON,
        requested_at=REQUESTED_AT,
        decision=APPROVAL,
        link=LINK,
    ),
    RequestLine("oi-0123456789ab", "batch-staging-with-a-long-name-07", OTHER_REQUESTER, Banner.TIMED_OUT, own=True),
)
_OWN = tuple(replace(each, own=True) for each in _PAST)
_TOML = """[[channels]]
name = "approvals"
conversation = "19:3Vx0pQkRz7mB1tYc8WdLw5GhN2sEaU6fJoXi9KbTqCy1@thread.tacv2"
approvers = ["members"]
approver_role = "arn:aws:iam::{account}:role/NodeAccessApprover"
match = { tags = { Environment = ["production"] } }
"""
_DETAILS = {MessageCode.NOT_FOUND: OPS_ITEM_ID, MessageCode.ALREADY_SET_UP: "approvers"}
_OTHER_CODES = (each for each in MessageCode if each is not MessageCode.NOT_FOUND)
_REPLIES: Final[Mapping[str, View]] = {
    "help": HelpView(),
    "help-personal": HelpView(personal=True),
    "pending": PendingView(_LINES, LISTED_AT, more=3),
    "pending-many": PendingView(_LINES, LISTED_AT, more=85, counted=False),
    "pending-none": PendingView((), LISTED_AT),
    "pending-personal": PendingView(_LINES, LISTED_AT, personal=True),
    "pending-personal-none": PendingView((), LISTED_AT, personal=True),
    "my-requests": HistoryView(HistoryKind.OWN, _OWN, LISTED_AT - timedelta(days=90)),
    "history": HistoryView(HistoryKind.CHANNELS, _PAST, LISTED_AT - timedelta(days=30), began=REQUESTED_AT, more=3),
    "history-of-a-node": HistoryView(
        HistoryKind.TERM, _PAST, LISTED_AT - timedelta(days=30), term=NODE_NAME, more=85, counted=False
    ),
    "history-none": HistoryView(
        HistoryKind.TERM, (), LISTED_AT - timedelta(days=30), term="batch-staging-with-a-long-name-07"
    ),
    "setup": SetupView(_TOML),
    "setup-of-a-second-channel": SetupView(_TOML, fallback="leads"),
    "message": MessageView(MessageCode.NOT_FOUND, OPS_ITEM_ID),
    **{named("message", code): MessageView(code, _DETAILS.get(code)) for code in _OTHER_CODES},
    **{named("message", f"{code}_plain"): MessageView(code) for code in _DETAILS},
}

_WEEK = (REQUESTED_AT - timedelta(days=7), REQUESTED_AT)
_DIGESTS: Final[Mapping[str, View]] = {
    "weekly-digest": WeeklyDigestView(
        *_WEEK,
        counts=tuple(zip(DigestCount, (24, 18, 3, 2, 1, 1, 1, 2, 4, 1, 2), strict=True)),
        median=timedelta(minutes=12),
        longest=timedelta(days=1, hours=3, minutes=40),
        began=REQUESTED_AT - timedelta(days=2),
        complete=False,
    ),
    "weekly-digest-one": WeeklyDigestView(*_WEEK, counts=((DigestCount.REQUESTS, 1), (DigestCount.WAITING, 1))),
    "weekly-digest-quiet": WeeklyDigestView(*_WEEK, counts=((DigestCount.REQUESTS, 0),)),
}

MESSAGES: Final[Mapping[str, Sample]] = {
    name: Sample(view)
    for name, view in {
        "direct-message": _APPROVED,
        **{named("direct-message", kind): view for kind, view in _DIRECT.items() if view is not _APPROVED},
        "direct-message-reviewing": replace(WAITING_MESSAGE, reviewers=(APPROVER,)),
        "direct-message-level-passed-reviewing": replace(_LEVEL_PASSED, reviewers=(COLLEAGUE, OTHER_REQUESTER)),
        **_USED,
        **_SHORT,
        "direct-message-several-nodes": _approved_for(_NODES),
        "direct-message-many-nodes": _approved_for((*_NODES, NodeLine("i-0a1b2c3d4e5f60718", "web-prod-02"))),
        "direct-message-failed-policies-conflict": replace(
            _OVER, kind=DirectKind.FAILED, conflicting_policies=("Policy-A", "Policy-B")
        ),
        **_NOTES,
        **_OUTSIDE,
        **_UNDONE,
        **_IMPOSSIBLE,
        **_REPLIES,
        **_DIGESTS,
    }.items()
}
