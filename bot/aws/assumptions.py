"""What this room guesses about just-in-time node access because no primary source tells: the one place for it.

None of it has been seen on a live account. Where a guess fails, the fact counts as unreadable and is logged raw at
DEBUG, so that it can be mended here. What is documented is said with its page.
"""

from typing import Final

from bot.domain.request import ApproverKind, LevelState, Status, Verdict

# --- states ---------------------------------------------------------------------------------------------------------

# OpsItem: PendingApproval and Approved were seen in AWS's samples; the others are words of the enum OpsItemStatus.
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_OpsItem.html
# Closed and Resolved say nothing of the outcome: anybody may put them by hand. They are unknown, like any new word.
OPS_ITEM_WORDS: Final = {
    "Open": Status.PENDING,
    "InProgress": Status.PENDING,
    "Pending": Status.PENDING,
    "PendingApproval": Status.PENDING,
    "RunbookInProgress": Status.PENDING,
    "Scheduled": Status.PENDING,
    "Waiting": Status.PENDING,
    "Approved": Status.APPROVED,
    "CompletedWithSuccess": Status.APPROVED,
    "Rejected": Status.REJECTED,
    "Revoked": Status.REVOKED,
    "TimedOut": Status.TIMED_OUT,
    "Cancelling": Status.CANCELLED,
    "Cancelled": Status.CANCELLED,
    "Canceled": Status.CANCELLED,
    "Failed": Status.FAILED,
    "CompletedWithFailure": Status.FAILED,
}
# Automation execution: words of the enum AutomationExecutionStatus, and `Canceled`, which only its events have.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/reference-eventbridge-events.html
EXECUTION_WORDS: Final = {
    "Pending": Status.PENDING,
    "InProgress": Status.PENDING,
    "Waiting": Status.PENDING,
    "PendingApproval": Status.PENDING,
    "RunbookInProgress": Status.PENDING,
    "Scheduled": Status.PENDING,
    "Success": Status.APPROVED,
    "Approved": Status.APPROVED,
    "CompletedWithSuccess": Status.APPROVED,
    "Rejected": Status.REJECTED,
    "TimedOut": Status.TIMED_OUT,
    "Cancelling": Status.CANCELLED,
    "Cancelled": Status.CANCELLED,
    "Canceled": Status.CANCELLED,
    "Failed": Status.FAILED,
    "CompletedWithFailure": Status.FAILED,
}
# Step: the same enum. An aws:approve step that runs is one that waits.
STEP_WORDS: Final = {
    "Pending": LevelState.NOT_STARTED,
    "Scheduled": LevelState.NOT_STARTED,
    "InProgress": LevelState.WAITING,
    "Waiting": LevelState.WAITING,
    "PendingApproval": LevelState.WAITING,
    "Success": LevelState.APPROVED,
    "Approved": LevelState.APPROVED,
    "CompletedWithSuccess": LevelState.APPROVED,
    "Rejected": LevelState.REJECTED,
    "TimedOut": LevelState.TIMED_OUT,
    "Cancelling": LevelState.CANCELLED,
    "Cancelled": LevelState.CANCELLED,
    "Canceled": LevelState.CANCELLED,
    "Failed": LevelState.FAILED,
    "CompletedWithFailure": LevelState.FAILED,
}
RUNNING_EXECUTIONS: Final = ("Pending", "InProgress", "Waiting", "PendingApproval")  # to filter a list by
PENDING_OPS_ITEMS: Final = "PendingApproval"
REVOKED_OPS_ITEMS: Final = "Revoked"

# --- votes ----------------------------------------------------------------------------------------------------------

# The output ApproverDecisions is documented as "a JSON map that includes the approval decision of each approver", of
# type MapList; nobody has published one. Names are compared without case and in this order.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/automation-action-approve.html
VOTER_NAMES: Final = ("approver", "approverarn", "approverid", "principal", "user", "userarn")
VERDICT_NAMES: Final = ("decision", "approverdecision", "approvalstatus", "status", "signaltype")
TIME_NAMES: Final = ("time", "timestamp", "decisiontime", "date")
COMMENT_NAMES: Final = ("comment", "comments", "message")
VERDICT_WORDS: Final = {
    "approve": Verdict.APPROVE,
    "approved": Verdict.APPROVE,
    "reject": Verdict.REJECT,
    "rejected": Verdict.REJECT,
    "deny": Verdict.REJECT,
    "denied": Verdict.REJECT,
}

# --- approvers ------------------------------------------------------------------------------------------------------

# `type` of an approver: only SSOGroup was seen; Change Manager has IamRole, IamUser, IamGroup. Whole words, then parts.
APPROVER_TYPES: Final = {
    "iamrole": ApproverKind.ROLE,
    "iamuser": ApproverKind.OTHER,  # no API gives the bot an IAM user's session
    "iamgroup": ApproverKind.OTHER,
    "ssogroup": ApproverKind.GROUP,
    "ssouser": ApproverKind.USER,
}
APPROVER_TYPE_PARTS: Final = {
    "group": ApproverKind.GROUP,
    "user": ApproverKind.USER,
    "role": ApproverKind.ROLE,
}

# --- documents ------------------------------------------------------------------------------------------------------

AUTO_POLICY: Final = (
    "SSM-JustInTimeAccessAutoApprovalPolicy"  # documented: the one name of every account's auto-approval
)
DEFAULT_APPROVAL_SECONDS: Final = 604_800  # documented: what an aws:approve step waits that does not say
