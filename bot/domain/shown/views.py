"""The views that people see, as facts without texts. bot.rendering adds texts, dates and durations of a locale.

Views are frozen and comparable. `surfaces.Wanted.digest` decides whether a delivered card must be updated, and
`surfaces.next_change` returns when a request changes by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, get_args

from bot.domain.access.endings import Stopped
from bot.domain.decision import Outcome
from bot.domain.record import Visits
from bot.domain.request import Action, Status, Verdict
from bot.domain.routing import Cause
from bot.domain.rules.permission import Refusal


class Banner(StrEnum):
    """The request's state in one word, at the top of a card."""

    WAITING = "waiting"
    QUEUED = "queued"  # a decision waits for its turn to be sent to AWS
    APPLYING = "applying"  # a decision is being sent to AWS
    APPROVED = "approved"
    ENDED = "ended"  # approved, and the access window is over
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    GIVEN_BACK = "given_back"  # the requester ended the access before its time
    FAILED = "failed"
    GONE = "gone"  # AWS no longer knows the request
    UNKNOWN = "unknown"


class OwnRequest(StrEnum):
    """What the requester sees in place of the buttons."""

    IN_CHAT = "in_chat"  # the requester has a message about the request in the chat with the bot
    ALONE = "alone"


class DecidedElsewhere(StrEnum):
    """Why a waiting card has no buttons: the request is decided in another channel, `home`."""

    ELSEWHERE = "elsewhere"
    UNREACHABLE = "unreachable"  # Teams refuses messages to that channel; `home_problem` says why


_NobodyHere = Literal[
    Refusal.PAUSED,
    Refusal.NOBODY,
    Refusal.OWN_REQUEST,
    Refusal.UNIDENTIFIED,
    Refusal.UNMATCHED,
    Refusal.REQUESTER_UNREAD,
    Refusal.CONSOLE_ONLY,
    Refusal.OTHER_ROLE,
    Refusal.NOT_ROUTED,
    Refusal.REPLICA,
    Refusal.NODES_UNREAD,
    Refusal.UNREADABLE,
]
NoButtons = DecidedElsewhere | _NobodyHere  # why a waiting card has no decision buttons; words `no_buttons.<code>`
NO_BUTTONS: Final[tuple[NoButtons, ...]] = (*DecidedElsewhere, *get_args(_NobodyHere))


@dataclass(frozen=True, slots=True)
class Mention:
    """A person to mention. `id` is an Entra object id, a UPN or `29:…`; `name` is shown."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """Who decided what and when. `who` is None for decisions outside Teams whose author AWS does not name."""

    verdict: Action
    who: str | None = None
    at: datetime | None = None
    comment: str | None = None
    in_teams: bool = True
    step: str = ""


@dataclass(frozen=True, slots=True)
class LevelLine:
    """Progress of the level that waits for approval; if none waits, of the last one that was started, or the first.

    `number` counts from 1. `waits_for` is set only while the level waits.
    """

    number: int
    of: int
    step: str
    approvals: int | None = None
    required: int | None = None
    waits_for: tuple[str, ...] = ()  # approvers as the policy names them; roles by name, not ARN
    votes_unread: bool = False  # AWS's votes at the waiting level cannot be read; `approvals` is the bot's own count


@dataclass(frozen=True, slots=True)
class EscalationLine:
    """Which other channel may decide the waiting level too: `after` a span from its opening, or `since` a moment.

    If `here`, the card is in the second channel, and `channel` is the request's own.
    """

    channel: str
    after: timedelta | None = None
    since: datetime | None = None
    here: bool = False


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One of several nodes of a request."""

    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class NodeFacts(NodeLine):
    """One of several nodes on a card, with its own facts."""

    platform: str | None = None
    host: str | None = None
    private_ip: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    tags_unread: bool = False


class UsageState(StrEnum):
    """What the sessions on a node show about granted access."""

    NOT_YET = "not_yet"  # access runs, and there was no session
    NONE_SEEN = "none_seen"  # access has ended, and there was no session so far; a last read is due
    NEVER = "never"  # access has ended, and there was no session
    OPEN = "open"  # access runs, and a session is open
    STILL_OPEN = "still_open"  # access has ended, and a session is open
    USED = "used"  # every session has ended
    UNKNOWN = "unknown"  # no session is certainly theirs, and that there was none is not certain


@dataclass(frozen=True, slots=True)
class SessionLink:
    """The log of a session that began at `at`."""

    at: datetime | None
    url: str


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What granted access was used for. `total` and `open` count sessions of the requester; `unclear`, other ones."""

    state: UsageState
    total: int = 0
    open: int = 0
    since: datetime | None = None  # the start of the first open one
    span: timedelta | None = None  # how long all of them lasted, if all have ended
    more: bool = False  # there were more than are counted
    unclear: int = 0
    unread: bool = False  # the sessions cannot be read now
    sessions_url: str | None = None  # where people end open sessions, once access has ended
    logs: tuple[SessionLink, ...] = ()


@dataclass(frozen=True, slots=True)
class EndingLine:
    """How far it is that a person ends the open sessions of an access. Each number counts sessions."""

    who: str
    at: datetime  # of the click
    comment: str = ""  # "" if the revocation before it has the same
    waits: bool = False  # for the revocation
    looked: bool = False  # the open sessions were read
    running: int = 0  # planned, or AWS was asked and has not confirmed it so far
    ended: int = 0
    unconfirmed: int = 0  # AWS was asked, and lists them as open
    refused: int = 0
    detail: str = ""  # AWS's error code for the first that was refused
    left: int = 0  # may be somebody else's, and were left open
    unknown_revocation: bool = False  # AWS has not answered the revocation
    delayed: bool = False  # AWS or Teams does not answer for a while
    stopped: Stopped | None = None
    sessions_url: str | None = None  # where people end sessions; set if some may be open


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
    requester_principal: str  # the requester as AWS names it
    reason: str
    duration: timedelta | None = None
    platform: str | None = None
    host: str | None = None  # the cloud of a machine outside EC2, and its location there
    private_ip: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    tags_unread: bool = False
    policy: str | None = None
    level: LevelLine | None = None
    steps: tuple[str, ...] = ()  # the names of the levels, in order, if there are several
    requested_at: datetime | None = None
    deadline: datetime | None = None  # when the request times out in AWS
    access_until: datetime | None = None
    decisions: tuple[DecisionLine, ...] = ()  # in the order of `decision_lines`
    applying: DecisionLine | None = None
    queued: tuple[DecisionLine, ...] = ()  # votes that wait for their turn; their people may withdraw them
    reviewers: tuple[str, ...] = ()  # the names of people who are reviewing the request; on a card with buttons
    buttons: bool = False
    revoke: bool = False  # the card offers Revoke
    end_sessions: bool = False  # the card offers to end open sessions: with `revoke`, beside Revoke; else alone
    can_withdraw: bool = True  # False in the view of a person who has no vote
    own: OwnRequest | None = None  # set in the requester's view of a card with buttons
    viewers: tuple[str, ...] = ()  # Teams ids of the people who get their own view of the card
    no_buttons: NoButtons | None = None  # set on a waiting card without buttons, unless `no_approver`
    no_approver: bool = False  # no member of the channel may decide: no buttons, until an approver joins
    no_second_approver: bool = False  # each approver has or may have approved another level; no Approve
    escalation: EscalationLine | None = None  # on a card with buttons, or with `no_approver`
    home: str | None = None  # the channel that decides, on a waiting card in another channel
    home_problem: str | None = None  # code of Teams' refusal of messages to that channel
    console_url: str | None = None
    comment_required: tuple[Verdict, ...] = ()
    mentions: tuple[Mention, ...] = ()  # people in the `mention` setting of the channel or of the waiting level
    mentioned: tuple[Mention, ...] = ()  # other people that the reason names
    rings: bool = False  # True only for the post, so that phones ring once; updates name people without notifying them
    requester_unchecked: bool = False  # the requester is unidentified, and the configuration allows deciding anyway
    unmatched_address: str = ""  # the requester's address, which matches no Teams user; on a waiting card
    conflicting_policies: tuple[str, ...] = ()  # of a failed request
    decided_outside: bool = False  # decided, but not from Teams
    not_shown: tuple[DecisionLine, ...] = ()  # votes that AWS accepted and does not show
    same_role: str | None = None  # name of the role whose further votes at the waiting level had no effect
    same_role_denied: bool = False  # AWS denied such a vote: the role may also have lost its permission
    nodes: tuple[NodeFacts, ...] = ()  # the nodes of a request for several; `node_id` is then empty
    requester_is_person: bool = True  # False: `requester` is the name of an AWS identity, maybe of a machine
    account_name: str | None = None
    region_name: str | None = None  # what AWS calls the Region, in English
    causes: tuple[Cause, ...] = ()  # why this channel has the card
    visits: Visits | None = None  # earlier access of the requester to the node
    link: str | None = None  # opens the card in Teams, from an answer that shows it elsewhere
    auto_approved: bool = False  # an auto-approval policy has approved it
    usage: UsageLine | None = None  # what granted access was used for; None: nothing is known
    ending: EndingLine | None = None  # the latest click that ends sessions

    @property
    def shown_node(self) -> str:
        """The names of all nodes, or their ids where they have none."""
        return _shown_node(self)


class Tone(StrEnum):
    """The color of a notice."""

    GOOD = "good"
    ATTENTION = "attention"
    INFO = "accent"


class NoticeCode(StrEnum):
    """Answers to a click that are neither a Refusal nor an Outcome."""

    # the click had its effect
    RECORDED = "recorded"  # your approval counts; more are needed
    APPLYING = "applying"  # the decision is being sent to AWS; the card changes later
    QUEUED = "queued"  # the decision is stored and waits for its turn; the card changes later
    REVIEWING = "reviewing"  # the card shows for ten minutes that you are reviewing the request
    REPEATED = "repeated"  # you already decided at this step; nothing was sent again
    ENDING = "ending"  # open sessions are being ended; the card shows the result
    ENDING_ALREADY = "ending_already"  # {who} ends them since an earlier click; nothing was sent again
    # the request changed before the click
    DECIDED = "decided"  # {who} {verdict} at {at}, {comment}; each part only if AWS shows it
    ENDED = "ended"  # timed out, cancelled, revoked, failed: the card's banner says which
    REVOKED = "revoked"  # {who} revoked it at {at}, {comment}, as far as known
    GIVEN_BACK = "given_back"  # {who} gave the access back at {at}
    CANCELLED = "cancelled"  # {who} cancelled it at {at}, as far as known
    WINDOW_OVER = "window_over"  # the access window is over; there is nothing to end
    NOT_APPROVED = "not_approved"  # there is no access to end
    BUSY = "busy"  # another person's decision is in progress; click again if the card does not change
    # the decision was not sent, or had no effect
    CANCEL_DENIED = "cancel_denied"  # {detail}: AWS's error code; an admin must check the cancel role
    GIVE_BACK_DENIED = "give_back_denied"  # {detail}: AWS's error code; an admin must check the give-back role
    GIVE_BACK_REFUSED = "give_back_refused"  # {detail}: AWS's error code
    NOT_SHOWN = "not_shown"  # AWS accepted the decision but does not show it
    SAME_ROLE = "same_role"  # no effect, maybe because the role has voted at this level; {detail}: AWS's error code
    SAME_ROLE_DENIED = "same_role_denied"  # the same, but AWS denied it: the role may also have lost its permission
    UPGRADING = "upgrading"  # not every process of the bot can do this so far
    QUEUE_FULL = "queue_full"  # too many decisions wait for their turn; this one was not stored
    NOTHING_TO_WITHDRAW = "nothing_to_withdraw"  # the person has no decision here that is not sent
    NOT_STORED = "not_stored"
    STORE_SLOW = "store_slow"  # the store has not answered yet; the card will show whether the decision was stored
    NOT_FOUND = "not_found"
    LOOKING = "looking"  # the store has no such request, so it is read from AWS; the card is updated later


Reason = NoticeCode | Refusal | Outcome  # every code of a notice; words `notice.<code>` in every locale
REASONS: Final[tuple[Reason, ...]] = tuple(
    dict.fromkeys(each for each in (*NoticeCode, *Refusal, *Outcome) if each is not Outcome.SETTLED)
)  # each code once, although an outcome and a refusal share some; a settled decision is shown as NoticeCode.ENDED


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the person who clicked, above the card that they get back.

    Its text shows `who`, `verdict`, `at`, `comment` and `detail` as far as they are known.
    """

    code: Reason
    tone: Tone = Tone.ATTENTION
    who: str | None = None
    verdict: Action | None = None
    at: datetime | None = None
    comment: str | None = None  # comment of the decision that the notice is about
    detail: str | None = None
    typed: str = ""  # the clicker's own comment
    typed_for: Action | None = None  # the action whose comment field keeps it


class DirectKind(StrEnum):
    """The state or event that a direct message to the requester reports."""

    WAITING = "waiting"
    LEVEL_PASSED = "level_passed"  # the request waits for a further level
    UNDECIDABLE = "undecidable"  # the request waits, and no one may decide it in `home`
    APPROVED = "approved"
    ENDING_SOON = "ending_soon"  # the access ends within minutes
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    GIVEN_BACK = "given_back"  # the requester ended the access before its time
    FAILED = "failed"
    GONE = "gone"  # AWS no longer knows the request
    ENDED = "ended"  # the access window is over
    NOT_CANCELLED = "not_cancelled"  # the requester's cancellation failed; `detail` says why
    NOT_GIVEN_BACK = "not_given_back"  # the access could not be given back, and runs on; `detail` says why


@dataclass(frozen=True, slots=True)
class DirectView:
    """A direct message to the requester; template `direct-message`, or `direct-short` for a short one.

    A short message only notifies: the message that is updated in place has the details, the commands and the buttons.
    """

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
    commands: tuple[str, ...] = ()  # for bash and zsh, ready to copy; made from ids only
    powershell: tuple[str, ...] = ()  # the same for PowerShell
    conflicting_policies: tuple[str, ...] = ()
    cancel: bool = False  # the message offers Cancel
    give_back: bool = False  # the message offers to give the access back
    give_back_refused: bool = False  # AWS refused that, so it is not offered any longer
    end_sessions: bool = False  # the message offers to end the requester's own open sessions
    home: str | None = None  # the channel that decides a waiting request
    second: str | None = None  # the channel that may decide the waiting level too, after its escalation
    detail: str | None = None  # a code
    nodes: tuple[NodeLine, ...] = ()  # the nodes of a request for several; `node_id` is then empty
    account_name: str | None = None
    region_name: str | None = None  # what AWS calls the Region, in English
    short: bool = False
    level: tuple[int, int] | None = None  # number of the waiting level and of all levels, if there are several
    deciders: tuple[str, ...] = ()  # who may decide now, as in the configuration: `members`, `user:…`, `upn:…`
    decider_names: tuple[str, ...] = ()  # names of listed deciders; added when the message is sent
    reviewers: tuple[str, ...] = ()  # the names of people who are reviewing the waiting request
    current: bool = False  # the request waits, and the message is updated in place when that changes
    usage: UsageLine | None = None  # what granted access was used for; None: nothing is known
    ending: EndingLine | None = None  # the latest click that ends sessions

    @property
    def is_open(self) -> bool:
        """True while the request waits, or its access can be used: people still need the message."""
        return self.kind in _OPEN_KINDS

    @property
    def shown_node(self) -> str:
        """The names of all nodes, or their ids where they have none."""
        return _shown_node(self)


_OPEN_KINDS: Final = frozenset(
    {DirectKind.WAITING, DirectKind.LEVEL_PASSED, DirectKind.UNDECIDABLE, DirectKind.APPROVED}
)


def _shown_node(view: CardView | DirectView) -> str:
    return ", ".join(node.name or node.id for node in view.nodes) or view.node_name or view.node_id


class NoteKind(StrEnum):
    """The event that a reply in the card's thread reports."""

    APPROVAL = "approval"  # a person's approval that AWS accepted
    REJECTION = "rejection"
    REVOCATION = "revocation"  # a person's revocation, and AWS shows it
    CANCELLATION = "cancellation"  # the requester cancelled the request, and AWS shows it
    GIVING_BACK = "giving_back"  # the requester gave the access back, and AWS shows it
    NOT_SHOWN = "not_shown"  # AWS accepted a revocation but still shows the access
    APPROVAL_NOT_SHOWN = "approval_not_shown"  # AWS accepted an approval but does not show it
    REJECTION_NOT_SHOWN = "rejection_not_shown"
    OUTSIDE = "outside"  # the request ended without a decision from Teams; `status` says how
    ENDED = "ended"  # the access window is over
    DIRECT_IMPOSSIBLE = "direct_impossible"  # Teams refused the message to the requester; `detail` is a code
    UNANSWERED = "unanswered"  # a decision was sent and AWS never answered; the person may click again
    UNDONE = "undone"  # a claimed decision had no effect; `detail` is the code of the outcome
    LEVEL = "level"  # `level` has opened for its people, who are mentioned
    ESCALATED = "escalated"  # `level` may now be decided in this second channel, too, whose people are mentioned
    REMINDER = "reminder"  # `level` still waits for its people, who are mentioned; `at` says since when


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
    call: str | None = None  # the AWS call, made from ids only
    execution: str | None = None  # the automation execution that got it
    role: str | None = None  # the name of the role that made it, and of the session in that role
    session: str | None = None
    requester: str | None = None
    detail: str | None = None
    by: str | None = None  # who withdrew the decision before it was sent
    action: Action | None = None  # what a decision was that had no effect, or that AWS did not answer
    requester_is_person: bool = True  # False: `requester` is the name of an AWS identity, maybe of a machine
    level: LevelLine | None = None  # the level whose people the note calls
    deadline: datetime | None = None  # when the request times out in AWS, in a reminder
    mentions: tuple[Mention, ...] = ()  # these people
    link: str | None = None  # opens the card in Teams; added when a note that calls people is sent
