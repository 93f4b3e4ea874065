"""What people see, as facts without words: the words, dates and durations of a locale come later.

A view is frozen and comparable; its digest decides whether what was delivered must be updated. Nothing in one changes
by the mere passing of time, except at moments that `surfaces.next_change` names.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.request import Action, Status, Verdict


class Banner(StrEnum):
    """The state in one word, at the top of a card."""

    WAITING = "waiting"
    APPLYING = "applying"  # somebody's decision is on its way to AWS
    APPROVED = "approved"
    ENDED = "ended"  # approved, and the access window is over
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    FAILED = "failed"
    GONE = "gone"  # AWS does not know the request any more
    UNKNOWN = "unknown"


class NoButtons(StrEnum):
    """Why a waiting card has no decision buttons, and so what to do instead."""

    PAUSED = "paused"  # the channel has decide = false: AWS console
    NOBODY = "nobody"  # the channel lists no approvers: add some to node-access.toml
    UNIDENTIFIED = "unplaced"  # who asks is not known: [people], trusted_roles or people_domains
    CONSOLE_ONLY = "console_only"  # the policy's approvers are Identity Center users or groups: AWS console
    OTHER_ROLE = "other_role"  # AWS would refuse the channel's approver_role: the policy lists other roles
    NOT_ROUTED = "not_routed"  # tags or policy that decide the channel could not be read yet
    REPLICA = "replica"  # decided in the account where it was made
    UNREADABLE = "unreadable"  # the approval's state could not be read yet
    ELSEWHERE = "elsewhere"  # the request's buttons are in another channel, `home`
    UNREACHABLE = "unreachable"  # they should be in another channel, `home`, which Teams refuses: `home_problem`


@dataclass(frozen=True, slots=True)
class Mention:
    """A person to be mentioned. `id` is an Entra object id, a UPN or `29:…`; `name` is shown."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """Who decided what and when. `who` None: decided outside Teams by somebody whom AWS does not name."""

    verdict: Action
    who: str | None = None
    at: datetime | None = None
    comment: str | None = None
    in_teams: bool = True
    step: str = ""


@dataclass(frozen=True, slots=True)
class LevelLine:
    """Progress of the level that waits, or of the last one. `number` counts from 1; names only while it waits."""

    number: int
    of: int
    step: str
    approvals: int | None = None
    required: int | None = None
    approved_by: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()  # approvers as the policy names them; a role by its name


@dataclass(frozen=True, slots=True)
class CardView:
    """The card of one request, waiting or decided; templates `request` and `decided`."""

    key: str  # account/region/oi-…
    step: str  # the step that the buttons, or Revoke, belong to; "" without them
    banner: Banner
    ops_item_id: str
    account: str
    region: str
    node_id: str
    node_name: str | None
    requester: str
    requester_principal: str  # as AWS names it
    reason: str
    duration: timedelta | None = None
    platform: str | None = None
    private_ip: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    tags_unread: bool = False
    policy: str | None = None
    level: LevelLine | None = None
    requested_at: datetime | None = None
    deadline: datetime | None = None  # when AWS gives up waiting
    access_until: datetime | None = None
    decisions: tuple[DecisionLine, ...] = ()  # oldest first
    applying: DecisionLine | None = None
    buttons: bool = False
    revoke: bool = False  # an approver may take the access back
    no_buttons: NoButtons | None = None  # set on a waiting card without buttons
    home: str | None = None  # the channel in which it is decided, on a waiting card in another one
    home_problem: str | None = None  # why that cannot be reached, as a code
    console_url: str | None = None
    comment_required: tuple[Verdict, ...] = ()
    mentions: tuple[Mention, ...] = ()  # whom the channel's entry names
    mentioned: tuple[Mention, ...] = ()  # whom the reason names besides
    rings: bool = False  # their phones ring: once, when the card is posted; afterwards they are only named
    requester_unchecked: bool = False  # nobody knows who asks, and the admin allowed deciding all the same
    conflicting_policies: tuple[str, ...] = ()
    decided_outside: bool = False  # ended, and nobody in Teams did it

    @property
    def shown_node(self) -> str:
        """The node's name, or its id where it has none."""
        return self.node_name or self.node_id


class Tone(StrEnum):
    """How a notice is coloured."""

    GOOD = "good"
    ATTENTION = "attention"
    INFO = "accent"


class NoticeCode(StrEnum):
    """What the person who clicked is told. Each has its words in every locale: `notice.<code>`."""

    # the click did what it should
    RECORDED = "recorded"  # your approval counts; more are needed
    APPLYING = "applying"  # it is on its way to AWS; the card follows
    REPEATED = "repeated"  # your decision at this step is in already; nothing was sent again
    # somebody or something else was first
    DECIDED = "decided"  # {who} {verdict} at {at}, {comment}; each part only as far as AWS tells
    ENDED = "ended"  # timed out, cancelled, revoked, failed: the card's banner says which
    REVOKED = "revoked"  # {who} revoked it at {at}, {comment}, as far as that is known
    CANCELLED = "cancelled"  # {who} cancelled it at {at}, as far as that is known
    WINDOW_OVER = "window_over"  # the access window is over; there is nothing to revoke
    NOT_APPROVED = "not_approved"  # there is no access to revoke
    STEP_PASSED = "step_passed"  # this level is over; the card shows the one that waits now
    BUSY = "busy"  # somebody else's decision is on its way; press again if the card stays
    # it was not sent, or had no effect
    AWS_REFUSED = "aws_refused"  # {detail}: AWS's error code
    AWS_DENIED = "aws_denied"  # {detail}: AWS's error code; an admin must look at the approver role
    CANCEL_DENIED = "cancel_denied"  # {detail}: AWS's error code; an admin must look at the cancel role
    NOT_SHOWN = "not_shown"  # AWS accepted it, and does not show it
    THROTTLED = "throttled"
    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    NO_ANSWER = "no_answer"
    NOT_STORED = "not_stored"
    STORE_SLOW = "store_slow"  # whether it was stored is not known yet; the card tells
    NOT_FOUND = "not_found"
    LOOKING = "looking"  # no row knows it, so AWS is asked; the card follows
    # this person may not (bot.domain.decision.Refusal has the same codes)
    NOT_HERE = "not_here"
    FOREIGN = "foreign"
    NOBODY = "nobody"
    NOT_APPROVER = "not_approver"
    ROSTER_UNAVAILABLE = "roster_unavailable"
    OWN_REQUEST = "own_request"
    UNIDENTIFIED = "unplaced"
    CONSOLE_ONLY = "console_only"
    COMMENT_REQUIRED = "comment_required"
    NOT_ROUTED = "not_routed"
    PAUSED = "paused"
    OTHER_ROLE = "other_role"
    RECONFIGURED = "reconfigured"
    NOT_COMPARABLE = "not_comparable"
    REPLICA = "replica"
    OTHER_STEP = "other_step"
    OWN_CHAT = "own_chat"
    NOT_REQUESTER = "not_requester"
    NO_CANCEL_ROLE = "no_cancel_role"


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the person who clicked, above the card that they get back.

    `who`, `verdict`, `at`, `comment` and `detail` fill the words where they have a place and are known.
    """

    code: NoticeCode
    tone: Tone = Tone.ATTENTION
    who: str | None = None
    verdict: Action | None = None
    at: datetime | None = None
    comment: str | None = None  # of whoever decided
    detail: str | None = None
    typed: str = ""  # the clicker's own comment, kept in the input


class DirectKind(StrEnum):
    """What a direct message to the requester tells."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    FAILED = "failed"
    GONE = "gone"  # AWS does not know the request any more
    ENDED = "ended"  # the access window is over
    NOT_CANCELLED = "not_cancelled"  # the requester's cancellation came to nothing; `detail` says why


@dataclass(frozen=True, slots=True)
class DirectView:
    """A direct message to the requester; template `direct-message`."""

    kind: DirectKind
    key: str
    ops_item_id: str
    account: str
    region: str
    node_id: str
    node_name: str | None
    reason: str
    duration: timedelta | None = None
    decisions: tuple[DecisionLine, ...] = ()
    requested_at: datetime | None = None
    deadline: datetime | None = None
    access_until: datetime | None = None
    commands: tuple[str, ...] = ()  # ready to copy; made from ids only
    conflicting_policies: tuple[str, ...] = ()
    cancel: bool = False  # the requester may take the request back
    detail: str | None = None  # a code

    @property
    def shown_node(self) -> str:
        """The node's name, or its id where it has none."""
        return self.node_name or self.node_id


class NoteKind(StrEnum):
    """What a reply in the card's thread tells."""

    APPROVAL = "approval"  # a person's approval that AWS took
    REJECTION = "rejection"
    REVOCATION = "revocation"  # a person's revocation, and AWS shows it
    CANCELLATION = "cancellation"  # the requester's own, and AWS shows it
    NOT_SHOWN = "not_shown"  # AWS took a revocation and still shows the access
    OUTSIDE = "outside"  # the request ended without a decision from Teams; `status` says how
    ENDED = "ended"  # the access window is over
    DIRECT_IMPOSSIBLE = "direct_impossible"  # the requester could not be told; `detail` is a code
    UNANSWERED = "unanswered"  # a decision was sent and AWS never answered; its person may press again
    UNDONE = "undone"  # a decision that was accepted for sending could not be sent; `detail` is the outcome's code


@dataclass(frozen=True, slots=True)
class NoteView:
    """A reply in the card's thread; template `note`."""

    kind: NoteKind
    ops_item_id: str
    node: str
    who: str | None = None
    at: datetime | None = None
    comment: str | None = None
    status: Status | None = None
    call: str | None = None  # the AWS call that was made, from ids only
    role: str | None = None  # the session in which it was made
    requester: str | None = None
    detail: str | None = None
