"""Replies to commands, and weekly digests, as facts without texts of a language, and the union of all views.

Cards and notes are in bot.domain.shown.views.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.shown.views import Banner, CardView, DecisionLine, DirectView, NoteView


@dataclass(frozen=True, slots=True)
class HelpView:
    """Template `help`. In a personal chat (`personal`), `setup` has no meaning."""

    personal: bool = False


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One line of a list of requests."""

    ops_item_id: str
    node: str
    requester: str
    banner: Banner
    reason: str = ""
    requested_at: datetime | None = None
    deadline: datetime | None = None
    own: bool = False  # the reader made this request
    requester_is_person: bool = True  # False: `requester` is the name of an AWS identity, maybe of a machine
    decision: DecisionLine | None = None  # the latest one, in a list of past requests
    turn: bool = False  # the reader may decide it now
    link: str | None = None  # opens its card in Teams


@dataclass(frozen=True, slots=True)
class PendingView:
    """Template `pending`: a channel's requests, or in a personal chat the reader's own and those they may decide.

    The card shows ages and the time left at the moment `at`.
    """

    requests: tuple[RequestLine, ...]
    at: datetime
    personal: bool = False
    more: int = 0  # requests beyond the limit of the list
    counted: bool = True  # False: there may be more than `more`


class HistoryKind(StrEnum):
    """Which past and current requests a list has; words `history.<kind>`."""

    OWN = "own"  # the reader's own
    CHANNELS = "channels"  # the reader's own, and those of the channels that they are a member of
    TERM = "term"  # of these, those for a node or of a person


@dataclass(frozen=True, slots=True)
class HistoryView:
    """Template `pending`: the requests that the reader may see, from the moment `since` on, newest first."""

    kind: HistoryKind
    requests: tuple[RequestLine, ...]
    since: datetime
    term: str = ""  # the node or person, as the reader wrote it
    began: datetime | None = None  # if later than `since`: requests that ended before may be missing
    more: int = 0  # requests beyond the limit of the list
    counted: bool = True  # False: there may be more than `more`


class MessageCode(StrEnum):
    """The code of a short answer; its text is `message.<code>` in every locale."""

    NOT_FOUND = "not_found"  # no request {detail}
    UNKNOWN_COMMAND = "unknown_command"
    WELCOME = "welcome"  # the bot was installed; explains the bot and `help`
    NOTHING_PENDING = "nothing_pending"
    CHAT_FIRST = "chat_first"  # an answer for one person only could not be sent to them
    ALREADY_SET_UP = "already_set_up"  # `setup` in a configured channel; {detail} is its name
    CHANNEL_ONLY = "channel_only"  # `setup` in a personal chat
    FAILED = "failed"  # the command failed; try again
    TEST = "test"  # an admin tries whether messages arrive


@dataclass(frozen=True, slots=True)
class MessageView:
    """Template `message`: one short answer."""

    code: MessageCode
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class SetupView:
    """Template `setup`: this channel's [[channels]] entry, ready to paste. `toml` is shown without any change."""

    toml: str
    fallback: str | None = None  # the only channel of the file so far: it must become the fallback


class DigestCount(StrEnum):
    """What the digest counts, in the order of the card; words `digest.<count>`."""

    REQUESTS = "requests"  # made in the week
    APPROVED = "approved"  # by people, in the week, whenever they were made
    AUTO_APPROVED = "auto_approved"  # by a policy, in the week
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"  # expired undecided
    CANCELLED = "cancelled"
    REVOKED = "revoked"  # approved in this week or before
    GIVEN_BACK = "given_back"  # by the requester, before its time
    NEVER_USED = "never_used"  # access that ended, and a complete read of its sessions in this week found none
    OUTLIVED = "outlived"  # sessions that were open after their access had ended in this week
    WAITING = "waiting"  # made before the end of the week, and still not decided


@dataclass(frozen=True, slots=True)
class WeeklyDigestView:
    """Template `weekly-digest`: what happened to the requests of a channel from `since` to before `until`."""

    since: datetime
    until: datetime
    counts: tuple[tuple[DigestCount, int], ...]  # requests, and what else occurred, each with its number
    median: timedelta | None = None  # from a request to its approval or rejection by people
    longest: timedelta | None = None
    began: datetime | None = None  # if later than `since`: requests that ended before may be missing
    complete: bool = True  # False: there were more requests than the bot counts

    @property
    def is_quiet(self) -> bool:
        """True if nothing was requested or decided, and nothing waits."""
        return not any(number for _, number in self.counts)


View = (
    CardView | DirectView | NoteView | HelpView | PendingView | HistoryView | MessageView | SetupView | WeeklyDigestView
)
