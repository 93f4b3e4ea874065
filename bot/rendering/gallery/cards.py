"""Samples of the request's card: waiting, waiting without buttons, and decided."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bot.domain.record import Visits
from bot.domain.request import Verdict
from bot.domain.routing import Cause, CauseKind
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import (
    NO_BUTTONS,
    Banner,
    CardView,
    DecidedElsewhere,
    DecisionLine,
    EscalationLine,
    LevelLine,
    Mention,
    NodeFacts,
    OwnRequest,
)
from bot.rendering.gallery.sample import (
    ACCESS_UNTIL,
    ACCOUNT,
    ACCOUNT_NAME,
    APPROVAL,
    APPROVER,
    CANCELLATION,
    COLLEAGUE,
    DEADLINE,
    DECIDED_AT,
    ENDINGS,
    GIVEN_BACK,
    KEY,
    LINK,
    LONG_REASON,
    NODE_ID,
    NODE_NAME,
    OPS_ITEM_ID,
    OTHER_REQUESTER,
    OWNER,
    PAST_USAGE,
    PRINCIPAL,
    REASON,
    REGION,
    REGION_NAME,
    REJECTION,
    REQUESTED_AT,
    REQUESTER,
    REVOCATION,
    SECOND_APPROVAL,
    USAGE,
    Sample,
    named,
)

_STEPS = ("Level1", "Level2")
AUTO_POLICY: Final = "SSM-JustInTimeAccessAutoApprovalPolicy"
_FIRST_LEVEL = LevelLine(number=1, of=2, step="Level1", approvals=0, required=1, waits_for=("NodeAccessApprover",))
_LAST_LEVEL = LevelLine(number=2, of=2, step="Level2", approvals=1, required=1)
_HALF_APPROVED_LEVEL = replace(
    _FIRST_LEVEL, approvals=1, required=2, waits_for=("NodeAccessApprover", "NodeAccessLead")
)
SECOND_LEVEL: Final = LevelLine(number=2, of=2, step="Level2", approvals=0, required=1, waits_for=("NodeAccessLead",))
_BARE = CardView(
    key=KEY,
    step="Level1",
    banner=Banner.WAITING,
    ops_item_id=OPS_ITEM_ID,
    account=ACCOUNT,
    region=REGION,
    node_id="mi-0123456789abcdef0",
    node_name=None,
    requester="batch",
    requester_is_person=False,
    requester_principal="arn:aws:iam::111122223333:user/batch",
    reason="",
    buttons=True,
)
WAITING: Final = replace(
    _BARE,
    node_id=NODE_ID,
    node_name=NODE_NAME,
    requester=REQUESTER,
    requester_is_person=True,
    requester_principal=PRINCIPAL,
    reason=REASON,
    duration=timedelta(hours=4),
    platform="Amazon Linux 2023",
    private_ip="10.0.3.17",
    tags=(("Environment", "production"), ("Owner", OWNER), ("Service", "checkout")),
    policy="E-commerce-Manual-Approval-Policy",
    level=_FIRST_LEVEL,
    steps=_STEPS,
    requested_at=REQUESTED_AT,
    deadline=DEADLINE,
    account_name=ACCOUNT_NAME,
    region_name=REGION_NAME,
    causes=(Cause(CauseKind.TAG, "production", "Environment"),),
    visits=Visits(4, REQUESTED_AT - timedelta(days=2), 90),
    console_url="https://ap-northeast-1.console.aws.amazon.com/systems-manager/opsitems/"
    "oi-f57e817742bd/workbench?region=ap-northeast-1",
)
_COLLEAGUES_APPROVAL = replace(SECOND_APPROVAL, step="Level1")
HALF_APPROVED: Final = replace(WAITING, level=_HALF_APPROVED_LEVEL, decisions=(_COLLEAGUES_APPROVAL,))
_BOTH_APPROVALS = (APPROVAL, _COLLEAGUES_APPROVAL)
NODES: Final = (
    NodeFacts(NODE_ID, NODE_NAME, WAITING.platform, private_ip=WAITING.private_ip, tags=WAITING.tags),
    NodeFacts("mi-0123456789abcdef0", None, "Ubuntu 24.04", "Azure (japaneast)", tags_unread=True),
)
_CLOSED = replace(WAITING, buttons=False, step="")
_NODES_UNREAD = replace(_CLOSED, node_id="", node_name=None, platform=None, private_ip=None, tags=())
QUEUED: Final = replace(WAITING, banner=Banner.QUEUED, queued=(APPROVAL,))
APPLYING: Final = replace(_CLOSED, banner=Banner.APPLYING, applying=APPROVAL)
APPROVED: Final = replace(
    _CLOSED,
    banner=Banner.APPROVED,
    step="Level2",
    level=_LAST_LEVEL,
    decisions=(APPROVAL, SECOND_APPROVAL),
    access_until=ACCESS_UNTIL,
    revoke=True,
)
ENDED: Final = replace(APPROVED, banner=Banner.ENDED, step="", revoke=False)
_REJECTED = replace(_CLOSED, banner=Banner.REJECTED, decisions=(REJECTION,))
REVOKED: Final = replace(
    _CLOSED, banner=Banner.REVOKED, level=_LAST_LEVEL, decisions=(APPROVAL, SECOND_APPROVAL, REVOCATION)
)
RETURNED: Final = replace(REVOKED, banner=Banner.GIVEN_BACK, decisions=(APPROVAL, SECOND_APPROVAL, GIVEN_BACK))
CANCELLED: Final = replace(_CLOSED, banner=Banner.CANCELLED, decisions=(CANCELLATION,))
_IN_THE_CONSOLE = (
    DecisionLine(Verdict.APPROVE, "ops", DECIDED_AT, in_teams=False, step="Level1"),
    DecisionLine(Verdict.APPROVE, step="Level2"),
)

ASKED: Final = (Mention("29:1-priya-nair", APPROVER), Mention("29:1-sato-hanako", COLLEAGUE))
_NAMED = (Mention("29:1-priya-nair", APPROVER),)
HOME_PROBLEMS: Final = (  # codes of Teams' refusals with their own words; `bad_request` stands for the other codes
    "not_installed",
    "blocked",
    "writes_blocked",
    "conversation_not_found",
    "forbidden",
    "too_large",
    "bad_request",
)

_ADDRESS = "jiro.sato@example.com"  # of a requester; no Teams user has it
_WAITING_CARDS = {
    "request": replace(WAITING, mentioned=_NAMED, rings=True),
    "request-mentions": replace(
        WAITING, mentions=ASKED, mentioned=(Mention("29:1-lopez-maria", OTHER_REQUESTER),), rings=True
    ),
    "request-several-nodes": replace(
        WAITING,
        node_id="",
        node_name=None,
        nodes=NODES,
        tags_unread=True,
        platform="Amazon Linux 2023, Ubuntu 24.04",
        host="Azure (japaneast)",
    ),
    "request-outside-ec2": replace(
        WAITING, node_id=NODES[1].id, node_name="factory-gw-osaka", platform=NODES[1].platform, host=NODES[1].host
    ),
    "request-many-causes": replace(
        WAITING,
        causes=(
            Cause(CauseKind.ACCOUNT, ACCOUNT),
            Cause(CauseKind.REGION, REGION),
            Cause(CauseKind.POLICY, "E-commerce-Manual-Approval-Policy"),
        ),
    ),
    "request-fallback": replace(WAITING, causes=(Cause(CauseKind.FALLBACK),)),
    "request-updated": replace(WAITING, mentions=ASKED[1:], mentioned=_NAMED),
    "request-bare": _BARE,
    "request-tags-unread": replace(_BARE, tags_unread=True),
    "request-second-level": replace(
        WAITING, step="Level2", level=SECOND_LEVEL, decisions=(APPROVAL,), mentions=ASKED[1:]
    ),
    "request-escalates": replace(WAITING, escalation=EscalationLine("leads", after=timedelta(hours=2))),
    "request-escalated": replace(WAITING, escalation=EscalationLine("leads", since=DECIDED_AT)),
    "request-escalated-here": replace(WAITING, escalation=EscalationLine("production", since=DECIDED_AT, here=True)),
    "request-half-approved": HALF_APPROVED,
    "request-several-approvers": replace(
        HALF_APPROVED, level=replace(_HALF_APPROVED_LEVEL, approvals=2, required=3), decisions=_BOTH_APPROVALS
    ),
    "request-all-approved": replace(
        HALF_APPROVED,
        level=replace(_HALF_APPROVED_LEVEL, approvals=2),
        decisions=_BOTH_APPROVALS,
        same_role="NodeAccessApprover",
    ),
    "request-second-level-applying": replace(
        _CLOSED,
        banner=Banner.APPLYING,
        level=SECOND_LEVEL,
        decisions=(APPROVAL,),
        applying=SECOND_APPROVAL,
    ),
    "request-long-names": replace(
        WAITING,
        node_name="payments-checkout-worker-production-ap-northeast-1a-0123456789",
        requester="deploy-agent-for-the-checkout-service-in-production-7",
        requester_is_person=False,
        requester_principal="arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_PlatformOperators_0123456789abcdef/"
        "firstname.surname.of.an.operator@subsidiary.example.com",
        tags=(("kubernetes.io/cluster/checkout-production", "owned"), ("Owner", "PLATFORM_OPERATIONS_CHECKOUT_TEAM")),
        policy="ManualApprovalPolicyForProductionNodesOfTheCheckoutService",
    ),
    "request-same-role": replace(HALF_APPROVED, same_role="NodeAccessApprover"),
    "request-same-role-denied": replace(HALF_APPROVED, same_role="NodeAccessApprover", same_role_denied=True),
    "request-vote-not-shown": replace(WAITING, not_shown=(APPROVAL,)),
    "request-votes-unread": replace(HALF_APPROVED, level=replace(_HALF_APPROVED_LEVEL, votes_unread=True)),
    "request-no-vote-readable": replace(
        WAITING, level=replace(_FIRST_LEVEL, votes_unread=True), not_shown=(REJECTION,)
    ),
    "request-one-level": replace(WAITING, level=LevelLine(1, 1, "Level1"), steps=(), duration=timedelta(minutes=90)),
    "request-comment-required": replace(WAITING, comment_required=tuple(Verdict)),
    "request-comment-required-to-approve": replace(WAITING, comment_required=(Verdict.APPROVE,)),
    "request-comment-required-to-reject": replace(WAITING, comment_required=(Verdict.REJECT,)),
    "request-long-reason": replace(WAITING, reason=LONG_REASON),
    "request-unchecked": replace(WAITING, requester_unchecked=True),
    "request-no-approver": replace(_CLOSED, no_approver=True),
    "request-no-second-approver": replace(
        WAITING,
        step="Level2",
        level=SECOND_LEVEL,
        decisions=(APPROVAL,),
        no_second_approver=True,
    ),
    "request-unmatched-address": replace(WAITING, unmatched_address=_ADDRESS),
    "request-queued": QUEUED,
    "request-reviewing": replace(HALF_APPROVED, reviewers=(APPROVER, OTHER_REQUESTER)),
    "request-own": replace(_CLOSED, own=OwnRequest.IN_CHAT, can_withdraw=False, console_url=None),
    "request-own-without-chat": replace(_CLOSED, own=OwnRequest.ALONE, can_withdraw=False, console_url=None),
    "request-applying": APPLYING,
    "request-unknown": replace(_CLOSED, banner=Banner.UNKNOWN),
    "status": replace(_CLOSED, link=LINK),
}
_WITHOUT_BUTTONS = {
    named("request", why): replace(
        _NODES_UNREAD if why is Refusal.NODES_UNREAD else _CLOSED,
        no_buttons=why,
        home="production" if why in DecidedElsewhere else None,
        unmatched_address=_ADDRESS if why is Refusal.UNMATCHED else "",
    )
    for why in NO_BUTTONS
    if why is not DecidedElsewhere.UNREACHABLE
}
_UNREACHABLE = {
    "unreachable" if problem == HOME_PROBLEMS[0] else named("unreachable", problem): replace(
        _CLOSED, no_buttons=DecidedElsewhere.UNREACHABLE, home="production", home_problem=problem
    )
    for problem in HOME_PROBLEMS
}
_DECIDED_CARDS = {
    "decided": APPROVED,
    "decided-outside": replace(APPROVED, decisions=_IN_THE_CONSOLE),
    "rejected-outside-unknown": replace(_REJECTED, decisions=(), decided_outside=True),
    "decided-outside-unknown": replace(APPROVED, decisions=(), decided_outside=True),
    "decided-automatically": replace(
        APPROVED, revoke=False, step="", level=None, decisions=(), auto_approved=True, policy=AUTO_POLICY
    ),
    "ended": ENDED,
    "rejected": _REJECTED,
    "rejected-outside": replace(
        _REJECTED,
        decisions=(DecisionLine(Verdict.REJECT, "ops", DECIDED_AT, in_teams=False, step="Level1"),),
    ),
    "revoked": REVOKED,
    "given-back": RETURNED,
    "cancelled": CANCELLED,
    "timed-out": replace(_CLOSED, banner=Banner.TIMED_OUT),
    "failed": replace(_CLOSED, banner=Banner.FAILED),
    "failed-policies-conflict": replace(_CLOSED, banner=Banner.FAILED, conflicting_policies=("Policy-A", "Policy-B")),
    "rejected-second-level": replace(
        _REJECTED, level=_LAST_LEVEL, decisions=(APPROVAL, replace(REJECTION, step="Level2"))
    ),
    "gone": replace(_CLOSED, banner=Banner.GONE),
    **{named("decided-usage", name): replace(APPROVED, usage=usage) for name, usage in USAGE.items()},
    **{named("ended-usage", name): replace(ENDED, usage=usage) for name, usage in PAST_USAGE.items()},
    "decided-end-sessions": replace(APPROVED, usage=USAGE["open"], end_sessions=True),
    "ended-end-sessions": replace(ENDED, usage=PAST_USAGE["still-open"], step="Level2", end_sessions=True),
    **{named("revoked-ending", name): replace(REVOKED, ending=ending) for name, ending in ENDINGS.items()},
}

CARDS: Final[Mapping[str, Sample]] = {
    name: Sample(view)
    for name, view in {**_WAITING_CARDS, **_WITHOUT_BUTTONS, **_UNREACHABLE, **_DECIDED_CARDS}.items()
}
