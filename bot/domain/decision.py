"""The life of a decision: its states and the transitions between them. Who may decide: bot.domain.rules.permission.

A click becomes a decision by a claim on the row (bot.domain.rules.claims):

    claimed ──sending──> sent ──answered──> confirmed
       │                  │ ├──refused───> refused
       │                  │ ├──throttled─> claimed      (it did not take effect)
       │                  │ └──lost──────> unknown ──seen, answered──> confirmed
       │                  │                  │ └──────refused────────> refused
       └──withdrawn─> released  <──withdrawn─┘

TRANSITIONS is authoritative. A test compares the diagram in bot/README.md with it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.identity import Person
from bot.domain.request import Action, Withdrawal
from bot.domain.spans import is_ahead, runs

DECISION_SPAN = timedelta(seconds=60)  # attempts to send a decision end this long after its turn began
QUEUE_SPAN = timedelta(minutes=5)  # a decision is never signalled later than this after its click
HOLD = timedelta(seconds=25)  # longer than preparing (15 s), most checks (20 s) or sending (7 s); renewed in between
QUEUE_HOLD = timedelta(seconds=60)  # of a decision that waits for its turn: few writes for hundreds of them
LONGEST_HOLD = QUEUE_HOLD  # a hold that ends later was stored by a clock that was ahead
COMMENT_LIMIT = 400  # characters; AWS accepts 512, and the bot adds who decided


class DecisionState(StrEnum):
    """State of a decision."""

    CLAIMED = "claimed"
    SENT = "sent"  # the signal may have been sent
    CONFIRMED = "confirmed"  # AWS accepted the signal
    REFUSED = "refused"  # AWS refused the signal; it had no effect
    UNKNOWN = "unknown"  # AWS did not reply, so it may have had an effect; never sent again
    RELEASED = "released"  # given up, with no known effect

    @property
    def live(self) -> bool:
        """True while the decision may still take effect."""
        return self in {DecisionState.CLAIMED, DecisionState.SENT, DecisionState.UNKNOWN}


class DecisionEvent(StrEnum):
    """Event that moves a decision to another state."""

    SENDING = "sending"
    ANSWERED = "answered"
    REFUSED = "refused"
    THROTTLED = "throttled"
    LOST = "lost"
    SEEN = "seen"
    WITHDRAWN = "withdrawn"


TRANSITIONS: dict[tuple[DecisionState, DecisionEvent], DecisionState] = {
    (DecisionState.CLAIMED, DecisionEvent.SENDING): DecisionState.SENT,
    (DecisionState.CLAIMED, DecisionEvent.WITHDRAWN): DecisionState.RELEASED,
    (DecisionState.SENT, DecisionEvent.ANSWERED): DecisionState.CONFIRMED,
    (DecisionState.SENT, DecisionEvent.REFUSED): DecisionState.REFUSED,
    (DecisionState.SENT, DecisionEvent.THROTTLED): DecisionState.CLAIMED,
    (DecisionState.SENT, DecisionEvent.LOST): DecisionState.UNKNOWN,
    (DecisionState.UNKNOWN, DecisionEvent.ANSWERED): DecisionState.CONFIRMED,  # the answer came after all
    (DecisionState.UNKNOWN, DecisionEvent.REFUSED): DecisionState.REFUSED,
    (DecisionState.UNKNOWN, DecisionEvent.SEEN): DecisionState.CONFIRMED,
    (DecisionState.UNKNOWN, DecisionEvent.WITHDRAWN): DecisionState.RELEASED,
}


class IllegalTransition(Exception):
    """The event is not possible in the decision's current state; nothing was changed."""


class Outcome(StrEnum):
    """Why a decision had no effect. Stored, and shown to the person who made it."""

    SETTLED = "settled"  # the state check found the request ended
    STEP_PASSED = "step_passed"  # the state check found another step waiting
    EXPIRED = "expired"  # it could not be sent within its time limits
    THROTTLED = "throttled"  # AWS throttled it until its time limit
    UNREADABLE = "unreadable"  # the state check got no answer, so nothing was sent
    AWS_REFUSED = "aws_refused"
    AWS_DENIED = "aws_denied"  # AWS refused for lack of permission
    NO_ANSWER = "no_answer"  # sent; AWS neither replied nor showed an effect
    # the channel of the click, or its role, was removed from the configuration since the click
    NOT_ROUTED = "not_routed"
    NO_CANCEL_ROLE = "no_cancel_role"  # the account's cancel_role was removed from the configuration since the click
    WITHDRAWN = "withdrawn"  # taken back before it was sent: by its person, or by the decision `withdrawn_by`
    NOT_PERMITTED = "not_permitted"  # the rules refuse the person since the click; `detail` is the code of the Refusal


@dataclass(frozen=True, slots=True)
class Decision:
    """A click whose claim was granted, so that it is sent to AWS."""

    id: str
    person: Person
    verdict: Action  # what AWS is asked for (`asked_of_aws`); `action` is what the person did
    step: str  # "" for a decision of the requester: it is about the whole request
    clicked_at: datetime
    held_until: datetime  # before this moment, only the process that claimed the decision may continue it
    comment: str = ""
    conversation: str = ""
    # whether a role was configured for the signal at the claim; if not, the bot's own credentials send it
    in_role: bool = False
    state: DecisionState = DecisionState.CLAIMED
    settled_at: datetime | None = None
    settled_in: int = 0  # the row's version that settled it; reads of AWS from that version on include its effect
    outcome: Outcome | None = None
    role: str | None = None  # the IAM role in which the signal was sent
    execution_id: str | None = None
    sent_comment: str = ""  # comment of the signal: it identifies the person where AWS names no session
    announced: bool = False  # the thread must report the outcome: "applying…" was answered, or a process took it over
    turn_at: datetime | None = None  # when its turn to be sent began; None: it waits in the queue
    withdrawn_by: str = ""  # id of the decision that replaced it before it was sent
    detail: str = ""  # AWS's error code, or the code of the Refusal, if any
    worker: str = ""  # who stored "sent": only this worker knows whether the signal was sent
    # the requester gives the access back; earlier versions read a revocation by the requester, which they never send
    given_back: bool = False

    @property
    def action(self) -> Action:
        """What the person did."""
        return Withdrawal.GIVE_BACK if self.given_back else self.verdict

    @property
    def deadline(self) -> datetime:
        """The time after which the decision is no longer signalled, not even after a restart."""
        latest = self.clicked_at + QUEUE_SPAN
        return min(latest, self.turn_at + DECISION_SPAN) if self.turn_at else latest

    @property
    def effect_deadline(self) -> datetime:
        """The time after which an unanswered signal that AWS does not show counts as without effect."""
        return (self.turn_at or self.clicked_at) + DECISION_SPAN

    @property
    def queued(self) -> bool:
        """True while the decision waits for its turn: nothing has been sent yet."""
        return self.state is DecisionState.CLAIMED and self.turn_at is None

    def is_expired(self, now: datetime) -> bool:
        """True once the decision must not be signalled: its deadline has passed, or its age is unknown."""
        return now > self.deadline or self.is_dated_ahead(now)

    def is_dated_ahead(self, now: datetime) -> bool:
        """True if its click or its turn lies in the future: the clock that stored it was ahead."""
        return is_ahead(self.clicked_at, now) or (self.turn_at is not None and is_ahead(self.turn_at, now))

    def hold_ended(self, now: datetime) -> bool:
        """True if the decision is claimed or sent and no process holds it, so that another may take it over."""
        held = runs(self.held_until, now=now, span=LONGEST_HOLD)
        return self.state in {DecisionState.CLAIMED, DecisionState.SENT} and not held

    def after(
        self, event: DecisionEvent, *, at: datetime, outcome: Outcome | None = None, detail: str = ""
    ) -> "Decision":
        """Return the decision after an event; raise IllegalTransition for one that cannot happen now."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise IllegalTransition(f"{self.state} + {event}")
        settled_at = None if state.live else at
        return replace(self, state=state, settled_at=settled_at, outcome=outcome, detail=detail)
