"""Samples of the notices: one of every code, above the card that the person who clicked gets back, or alone."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bot.domain.decision import Outcome
from bot.domain.request import Verdict
from bot.domain.rules.permission import Refusal
from bot.domain.shown.replies.reply_views import View
from bot.domain.shown.views import NO_BUTTONS, REASONS, DecisionLine, Notice, NoticeCode, Reason, Tone
from bot.rendering.gallery.cards import (
    APPLYING,
    APPROVED,
    CANCELLED,
    CARDS,
    ENDED,
    HALF_APPROVED,
    QUEUED,
    RETURNED,
    REVOKED,
    WAITING,
)
from bot.rendering.gallery.messages import NOT_RETURNABLE, WAITING_MESSAGE
from bot.rendering.gallery.sample import (
    ACCESS_UNTIL,
    APPROVAL,
    APPROVER,
    CANCELLATION,
    GIVEN_BACK,
    REJECTION,
    REVOCATION,
    SECOND_APPROVAL,
    TYPED,
    Sample,
    named,
)

_ERROR = "AccessDeniedException"


def _about(code: Reason, line: DecisionLine) -> Notice:
    return Notice(code, Tone.INFO, line.who, line.verdict, line.at, line.comment)


_FILLED: Final[Mapping[Reason, Notice]] = {
    each.code: each
    for each in (
        Notice(NoticeCode.RECORDED, Tone.GOOD),
        Notice(NoticeCode.REVIEWING, Tone.GOOD),
        Notice(NoticeCode.APPLYING, Tone.INFO),
        Notice(NoticeCode.ENDING, Tone.GOOD),
        Notice(NoticeCode.ENDING_ALREADY, Tone.INFO),
        Notice(NoticeCode.ENDED, Tone.INFO),
        Notice(NoticeCode.WINDOW_OVER, Tone.INFO, at=ACCESS_UNTIL),
        Notice(NoticeCode.NOT_APPROVED, Tone.INFO),
        Notice(Refusal.COMMENT_REQUIRED),
        Notice(NoticeCode.BUSY, Tone.INFO, REJECTION.who, REJECTION.verdict, REJECTION.at, typed=TYPED),
        Notice(NoticeCode.CANCEL_DENIED, detail=_ERROR),
        Notice(NoticeCode.GIVE_BACK_DENIED, detail=_ERROR),
        Notice(NoticeCode.GIVE_BACK_REFUSED, detail="InvalidAutomationSignalException"),
        Notice(Outcome.AWS_REFUSED, detail="InvalidAutomationSignalException", typed=TYPED),
        Notice(Outcome.AWS_DENIED, detail=_ERROR, typed=TYPED),
        Notice(NoticeCode.SAME_ROLE, detail="InvalidAutomationSignalException", typed=TYPED),
        Notice(NoticeCode.SAME_ROLE_DENIED, detail=_ERROR, typed=TYPED),
        Notice(NoticeCode.QUEUED, Tone.INFO),
        Notice(Outcome.WITHDRAWN, Tone.INFO, REJECTION.who, REJECTION.verdict, REJECTION.at, typed=TYPED),
        _about(NoticeCode.REPEATED, APPROVAL),
        _about(NoticeCode.DECIDED, SECOND_APPROVAL),
        _about(NoticeCode.REVOKED, REVOCATION),
        _about(NoticeCode.GIVEN_BACK, GIVEN_BACK),
        _about(NoticeCode.CANCELLED, CANCELLATION),
        _about(Outcome.STEP_PASSED, APPROVAL),
    )
}
_CARDS: Final[Mapping[Reason, View | Notice]] = {  # every other notice is above the waiting card
    **{why: CARDS[named("request", why)].view for why in NO_BUTTONS if isinstance(why, Refusal)},
    Refusal.OWN_REQUEST: WAITING,  # there are other approvers
    NoticeCode.RECORDED: replace(HALF_APPROVED, decisions=(APPROVAL,)),
    NoticeCode.REVIEWING: replace(WAITING, reviewers=(APPROVER,)),
    NoticeCode.SAME_ROLE: CARDS["request-same-role"].view,
    NoticeCode.SAME_ROLE_DENIED: CARDS["request-same-role-denied"].view,
    Outcome.STEP_PASSED: CARDS["request-second-level"].view,
    Refusal.OTHER_LEVEL: CARDS["request-second-level"].view,
    Refusal.OTHER_LEVEL_UNKNOWN: CARDS["request-second-level"].view,
    Refusal.COMMENT_REQUIRED: CARDS["request-comment-required"].view,
    NoticeCode.APPLYING: APPLYING,
    NoticeCode.QUEUED: QUEUED,
    NoticeCode.DECIDED: APPROVED,
    NoticeCode.REPEATED: APPROVED,
    NoticeCode.NOT_SHOWN: APPROVED,
    NoticeCode.QUEUE_FULL: QUEUED,
    NoticeCode.ENDED: CARDS["timed-out"].view,
    NoticeCode.REVOKED: REVOKED,
    NoticeCode.GIVEN_BACK: RETURNED,
    NoticeCode.CANCELLED: CANCELLED,
    NoticeCode.WINDOW_OVER: ENDED,
    NoticeCode.ENDING: CARDS["revoked-ending-asked"].view,
    NoticeCode.ENDING_ALREADY: CARDS["revoked-ending-running"].view,
    NoticeCode.UPGRADING: REVOKED,
    Refusal.NO_END_ROLE: ENDED,
    NoticeCode.CANCEL_DENIED: WAITING_MESSAGE,
    NoticeCode.GIVE_BACK_DENIED: NOT_RETURNABLE,
    NoticeCode.GIVE_BACK_REFUSED: NOT_RETURNABLE,
    Refusal.NO_GIVE_BACK_ROLE: replace(NOT_RETURNABLE, give_back_refused=False),
    Refusal.NO_CANCEL_ROLE: replace(WAITING_MESSAGE, cancel=False),
}
_ALONE: Final[frozenset[Reason]] = frozenset(
    {
        NoticeCode.NOT_FOUND,
        NoticeCode.LOOKING,
        NoticeCode.NOT_STORED,
        NoticeCode.STORE_SLOW,
        Refusal.NOT_HERE,
        Refusal.OWN_CHAT,
        Refusal.NOT_REQUESTER,
    }
)  # notices without a card: there is none, or the person may not see it
_NAMES: Final[Mapping[Reason, str]] = {NoticeCode.DECIDED: "refused", NoticeCode.REVOKED: "already-revoked"}

NOTICES: Final[Mapping[str, Sample]] = {
    _NAMES.get(code, named("notice", code)): Sample(Notice(code))
    if code in _ALONE
    else Sample(
        _CARDS.get(code, WAITING), replace(_FILLED.get(code, Notice(code, typed=TYPED)), typed_for=Verdict.APPROVE)
    )
    for code in REASONS
}
