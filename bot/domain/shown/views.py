"""What people see, as facts without words. bot.rendering adds the words, dates and durations of a locale.

A view is frozen and comparable; its digest decides whether the delivered message must be updated. A view changes
without an event only at the moments that `surfaces.next_change` returns.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, get_args

from bot.domain.decision import Outcome
from bot.domain.permission import Refusal
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


class DecidedElsewhere(StrEnum):
    """Why a waiting card has no decision buttons although the request has: they belong to the channel `home`."""

    ELSEWHERE = "elsewhere"
    UNREACHABLE = "unreachable"  # Teams refuses that channel: `home_problem`


_NobodyHere = Literal[
    Refusal.PAUSED,
    Refusal.NOBODY,
    Refusal.UNIDENTIFIED,
    Refusal.CONSOLE_ONLY,
    Refusal.OTHER_ROLE,
    Refusal.NOT_ROUTED,
    Refusal.REPLICA,
    Refusal.UNREADABLE,
]
NoButtons = DecidedElsewhere | _NobodyHere  # why a waiting card has no decision buttons; words `no_buttons.<code>`
NO_BUTTONS: Final[tuple[NoButtons, ...]] = (*DecidedElsewhere, *get_args(_NobodyHere))


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
    """What the person who clicked is shown, where neither a Refusal nor an Outcome says it."""

    # the click had its effect
    RECORDED = "recorded"  # your approval counts; more are needed
    APPLYING = "applying"  # it is on its way to AWS; the card follows
    REPEATED = "repeated"  # your decision at this step is in already; nothing was sent again
    # somebody or something else was first
    DECIDED = "decided"  # {who} {verdict} at {at}, {comment}; each part only if AWS shows it
    ENDED = "ended"  # timed out, cancelled, revoked, failed: the card's banner says which
    REVOKED = "revoked"  # {who} revoked it at {at}, {comment}, as far as known
    CANCELLED = "cancelled"  # {who} cancelled it at {at}, as far as known
    WINDOW_OVER = "window_over"  # the access window is over; there is nothing to revoke
    NOT_APPROVED = "not_approved"  # there is no access to revoke
    BUSY = "busy"  # somebody else's decision is on its way; press again if the card stays
    # it was not sent, or had no effect
    CANCEL_DENIED = "cancel_denied"  # {detail}: AWS's error code; an admin must check the cancel role
    NOT_SHOWN = "not_shown"  # AWS accepted it, and does not show it
    NOT_STORED = "not_stored"
    STORE_SLOW = "store_slow"  # not known so far whether it was stored; the card will show it
    NOT_FOUND = "not_found"
    LOOKING = "looking"  # no row knows the request, so AWS is asked; the card follows


Reason = NoticeCode | Refusal | Outcome  # every code of a notice; words `notice.<code>` in every locale
REASONS: Final[tuple[Reason, ...]] = tuple(
    dict.fromkeys(each for each in (*NoticeCode, *Refusal, *Outcome) if each is not Outcome.SETTLED)
)  # once each, although an outcome and a refusal share some codes; a settled decision is shown as NoticeCode.ENDED


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the person who clicked, above the card that they get back.

    `who`, `verdict`, `at`, `comment` and `detail` fill the words where they have a place and are known.
    """

    code: Reason
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
