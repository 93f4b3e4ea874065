"""What this room guesses about just-in-time node access because no primary source tells: the one place for it.

None of it has been seen on a live account. Where a guess fails, the fact counts as unreadable and is logged raw at
DEBUG, so that it can be mended here. What is documented is said with its page.
"""

import re
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

# --- IAM Identity Center --------------------------------------------------------------------------------------------

# Documented: ListInstances shows what was "created in or visible to the account", and member accounts may use what only
# reads in the identity store unless a service control policy forbids it. Not seen: what a member account is shown, and
# that a user's id in a request is one of that store. So one store must be in sight, and whoever is not in it is nobody.
# https://docs.aws.amazon.com/singlesignon/latest/userguide/manage-your-accounts.html
IDENTITY_STORE_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)  # documented
USABLE_INSTANCES: Final = ("ACTIVE", None)  # documented, but for one that says nothing of it
UNKNOWN_USER: Final = "ResourceNotFoundException"  # documented; it may speak of the store as well
# Documented: Emails has one element at most. That it says Primary wherever it is the user's own address is a guess;
# without it an address counts as none.
LONGEST_USER_NAME: Final = 128  # characters; documented
LONGEST_MAIL_ADDRESS: Final = 320  # characters; 64 before the @ and 255 after it are the most that a mail server takes
