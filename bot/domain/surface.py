"""One message of the bot in Teams, as the row stores it: what it is, where it is, and the state of its delivery."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class SurfaceKind(StrEnum):
    """The kind of a message that a person sees in Teams."""

    CARD = "card"  # a message in the channel, updated in place
    NOTE = "note"  # a reply in the card's thread, sent once
    DIRECT = "direct"  # a message in the requester's personal chat, sent once
    LIVING = "living"  # a message in the requester's personal chat, updated in place

    @property
    def personal(self) -> bool:
        """True for a message in the requester's personal chat."""
        return self in {SurfaceKind.DIRECT, SurfaceKind.LIVING}

    @property
    def in_place(self) -> bool:
        """True for a message that is updated when its content changes."""
        return self in {SurfaceKind.CARD, SurfaceKind.LIVING}


class DeliveryState(StrEnum):
    """State of a surface's delivery."""

    WAITING = "waiting"  # not posted, or the post failed; it is tried again
    POSTING = "claimed"  # a post is about to be sent; a crash now may leave one orphan card
    DELIVERED = "delivered"
    SKIPPED = "skipped"  # outdated before it was sent; it is sent if it is wanted again
    IMPOSSIBLE = "impossible"  # Teams refused it permanently; no further attempt


@dataclass(frozen=True, slots=True)
class Surface:
    """One message in Teams and the state of its delivery.

    `name` is its key: `card:…`, `note:…`, `dm:approved`, `living:…`.
    """

    name: str
    kind: SurfaceKind
    delivery: DeliveryState
    conversation: str | None = None
    activity_id: str | None = None
    digest: str | None = None  # digest of the delivered content; if it differs, an update is due
    attempts: int = 0  # posts that were started
    reposts: int = 0  # how often it was posted again because a person deleted it
    unconfirmed_posts: int = 0  # posts without a known result; Teams may have that many copies that the row lacks
    doubted_posts: int = 0  # posts that Teams refused; a false refusal leaves a copy that the row lacks
    problem: str | None = None  # code of a lasting refusal by Teams; it is permanent only if `delivery` is IMPOSSIBLE
    failures: int = 0  # consecutive, of any kind; sets the pause before the next attempt
    refusals: int = 0  # how many of `failures` were refusals by Teams; the first ones have no consequence
    retry_at: datetime | None = None  # the time before which there is no attempt

    @property
    def decision_id(self) -> str | None:
        """The second part of the name of a note or direct message; None for a message that is updated in place.

        It is a decision's id in `note:<id>`, `note:<id>:hidden`, `note:<id>:shown` and `dm:<id>`, but not in
        `dm:approved` or `note:level:<step>`.
        """
        return None if self.kind.in_place else self.name.split(":")[1]

    @property
    def may_have_copies(self) -> bool:
        """True if Teams may have copies of this message that the row lacks."""
        return self.unconfirmed_posts + self.doubted_posts > 0

    @property
    def is_repeated(self) -> bool:
        """True while a refusal may be false: the message is repeated within a minute, without a consequence yet."""
        return self.refusals > 0 and self.problem is None and self.retry_at is not None

    @property
    def is_woken(self) -> bool:
        """True from the moment at which a refusing conversation came back until its next answer."""
        return self.problem is not None and not self.refusals

    def woken(self) -> "Surface":
        """Forget the pause before the next attempt: the conversation may accept messages again.

        The pause stays if Teams may have copies of the message already, unless Teams refused it for longer.
        """
        if self.problem is None and (self.retry_at is None or self.unconfirmed_posts):
            return self
        return replace(self, failures=0, refusals=0, retry_at=None)

    def with_post_confirmed(self) -> "Surface":
        """Count one unconfirmed post less, because its result is known."""
        return replace(self, unconfirmed_posts=max(0, self.unconfirmed_posts - 1))

    def with_copy_found(self) -> "Surface":
        """Count one possible copy less, because it was found in Teams."""
        if self.unconfirmed_posts:
            return self.with_post_confirmed()
        return replace(self, doubted_posts=max(0, self.doubted_posts - 1))
