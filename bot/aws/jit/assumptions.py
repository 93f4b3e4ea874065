"""All guesses about just-in-time node access and IAM Identity Center, where no primary source has the answer.

None of them was checked on a live account. If a guess is wrong, the fact counts as unknown or unreadable. Votes and
approvers are then logged raw at DEBUG, so that the guess can be corrected here. Documented facts name their page.
"""

import re
from typing import Final

from bot.domain.access.sessions import AccessType
from bot.domain.request import ApproverKind, LevelState, Status, Verdict

# --- Session Manager's preferences -----------------------------------------------------------------------------------

# https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-default-session-document.html
PREFERENCES_DOCUMENT: Final = "SSM-SessionManagerRunShell"  # AWS makes it when somebody first saves preferences
NO_SUCH_DOCUMENT: Final = "InvalidDocument"
# Members of `inputs`, in minutes as text; empty or missing means the default.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/session-preferences-timeout.html
LONGEST_SESSION_MEMBER: Final = "maxSessionDuration"  # by default, there is no maximum
IDLE_MEMBER: Final = "idleSessionTimeout"
DEFAULT_IDLE_MINUTES: Final = 20

# --- states ---------------------------------------------------------------------------------------------------------

# OpsItem: PendingApproval and Approved appear in AWS's samples; the other words are in the enum OpsItemStatus.
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_OpsItem.html
# Closed and Resolved do not show the outcome, because people may set them by hand. They are unknown, like any new word.
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
# Automation execution: members of the enum AutomationExecutionStatus, and `Canceled`, which appears only in events.
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
# Step: the same enum. An aws:approve step that is in progress waits for approval.
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
# statuses by which a list is filtered
RUNNING_EXECUTIONS: Final = ("Pending", "InProgress", "Waiting", "PendingApproval")
PENDING_OPS_ITEMS: Final = "PendingApproval"
REVOKED_OPS_ITEMS: Final = "Revoked"

# --- targets --------------------------------------------------------------------------------------------------------

# The only sample has one node, `{"targets": {"instanceId": "arn:…"}}`. How AWS writes several is not published:
# bot.aws.jit.targets accepts any form in which every text is a node.
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartAccessRequest.html
TARGETS: Final = "targets"
NODE_KEYS: Final = frozenset({"instanceid", "instanceids"})  # `Key` of a target that names nodes; compared without case
MOST_NODES: Final = 5  # documented for targets; that each names one node is a guess. A card can show so many

# --- votes ----------------------------------------------------------------------------------------------------------

# The output ApproverDecisions is documented as "a JSON map that includes the approval decision of each approver", of
# type MapList; no sample is published. Names are compared without case and in this order.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/automation-action-approve.html
VOTER_NAMES: Final = ("approver", "approverarn", "approverid", "principal", "user", "userarn")
VERDICT_NAMES: Final = ("decision", "approverdecision", "approvalstatus", "status", "signaltype")
VERDICT_PARTS: Final = ("decision", "status", "signal")  # in the name of the only member with a word for a verdict
# Parts of the names of members that say nothing about a vote: who requested or started, and texts that people typed.
NO_VOTE_PARTS: Final = ("request", "start", "creat", "initiat", "comment", "message", "reason", "note")
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

# `type` of an approver: samples have only SSOGroup; Change Manager has IamRole, IamUser, IamGroup. Compared as whole
# words first, then as parts.
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

# --- sessions -------------------------------------------------------------------------------------------------------

# Documented: the members of a session, none of them required, and the filter keys; not the values of AccessType for
# the filter. How AWS lists sessions of just-in-time access was not seen: bot.domain.access.sessions reads every form of
# Owner, and a session without AccessType is unclear. Sessions of Remote Desktop may be missing.
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_Session.html
SESSION_TYPES: Final = {each.value: each for each in AccessType}
SESSION_TYPE_FILTER: Final = {"key": "AccessType", "value": AccessType.JUST_IN_TIME.value}
SESSION_START_FILTER: Final = "InvokedAfter"
NO_SUCH_FILTER: Final = "InvalidFilterKey"  # documented: the error for a filter that AWS does not know

# --- documents ------------------------------------------------------------------------------------------------------

AUTO_POLICY: Final = (
    "SSM-JustInTimeAccessAutoApprovalPolicy"  # documented: the name of the auto-approval policy in every account
)
DEFAULT_APPROVAL_SECONDS: Final = 604_800  # documented: the default of an aws:approve step

# --- IAM Identity Center --------------------------------------------------------------------------------------------

# Documented: ListInstances shows what was "created in or visible to the account", and member accounts may read the
# identity store unless a service control policy forbids it. Not verified: what a member account sees, and that a user
# id in a request belongs to that store. So exactly one store must be visible; a user who is not in it is unidentified.
# https://docs.aws.amazon.com/singlesignon/latest/userguide/manage-your-accounts.html
IDENTITY_STORE_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)  # documented
USABLE_INSTANCES: Final = ("ACTIVE", None)  # documented, except for a missing status
UNKNOWN_USER: Final = "ResourceNotFoundException"  # documented; it may also mean that the identity store is missing
# Documented: Emails has at most one element. That it says Primary for the user's own address is a guess; an address
# without it is not used.
LONGEST_USER_NAME: Final = 128  # characters; documented
LONGEST_MAIL_ADDRESS: Final = 320  # characters; a mail server accepts at most 64 before the @ and 255 after it
