"""The life of a decision. Nowhere else; who may decide is bot.domain.permission's.

A click becomes a decision by a claim on the row, by the rules of bot.domain.claims:

    claimed ──sending──> sent ──answered──> confirmed
       │                  │ ├──refused───> refused
       │                  │ ├──throttled─> claimed      (it did not take effect)
       │                  │ └──lost──────> unknown ──seen, answered──> confirmed
       │                  │                  │ └──────refused────────> refused
       └──withdrawn─> released  <──withdrawn─┘

TRANSITIONS is the truth; this picture and the one of bot/README.md are drawn from it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.identity import Person
from bot.domain.request import Action

DECISION_SPAN = timedelta(seconds=60)  # a click older than this is never signalled; its person presses again
COMMENT_LIMIT = 400  # characters; AWS takes 512 and the bot adds who decided


class DecisionState(StrEnum):
    """The life of a decision."""

    CLAIMED = "claimed"
    SENT = "sent"  # the signal may have left
    CONFIRMED = "confirmed"  # AWS accepted the signal
    REFUSED = "refused"  # AWS refused the signal; it had no effect
    UNKNOWN = "unknown"  # no reply: nobody knows whether it had an effect; never sent again
    RELEASED = "released"  # nothing is on its way any more, and nothing is known to have happened

    @property
    def live(self) -> bool:
        """True while something may still come of it."""
        return self in {DecisionState.CLAIMED, DecisionState.SENT, DecisionState.UNKNOWN}


class DecisionEvent(StrEnum):
    """What happens to a decision."""

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
    (DecisionState.UNKNOWN, DecisionEvent.ANSWERED): DecisionState.CONFIRMED,  # it was given up too early
    (DecisionState.UNKNOWN, DecisionEvent.REFUSED): DecisionState.REFUSED,
    (DecisionState.UNKNOWN, DecisionEvent.SEEN): DecisionState.CONFIRMED,
    (DecisionState.UNKNOWN, DecisionEvent.WITHDRAWN): DecisionState.RELEASED,
}


class IllegalTransition(Exception):
    """The decision cannot go there from where it is; nothing was changed."""


class Outcome(StrEnum):
    """Why a decision came to nothing, or what its person is told."""

    SETTLED = "settled"  # the state check found the request ended
    STEP_PASSED = "step_passed"  # the state check found another step waiting
    EXPIRED = "expired"  # 60 s went by before it could be sent
    THROTTLED = "throttled"  # AWS asked for patience until the 60 s were over
    UNREADABLE = "unreadable"  # the state check never got an answer, so nothing was sent
    AWS_REFUSED = "aws_refused"
    AWS_DENIED = "aws_denied"  # AWS refused for lack of permission
    NO_ANSWER = "no_answer"  # sent, and never heard of again
    NOT_ROUTED = "not_routed"  # the channel that judged the click, or its role, went from the configuration since
    NO_CANCEL_ROLE = "no_cancel_role"  # the account's cancel_role went from the configuration since the click


@dataclass(frozen=True, slots=True)
class Decision:
    """One click that won the right to be sent."""

    id: str
    person: Person
    verdict: Action
    step: str  # "" for a cancellation: it takes back the whole request
    clicked_at: datetime
    held_until: datetime  # until then the process that claimed it works on it
    comment: str = ""
    conversation: str = ""
    in_role: bool = False  # at the claim there was a role in which it is to be sent, instead of the bot's own
    state: DecisionState = DecisionState.CLAIMED
    settled_at: datetime | None = None
    settled_in: int = 0  # the row's version that settled it: looks that began from it on know of it
    outcome: Outcome | None = None
    role: str | None = None  # the IAM role in which the signal was sent
    execution_id: str | None = None
    sent_comment: str = ""  # that of a signal without a role: AWS tells by it alone whose vote it is
    announced: bool = False  # its person was answered "applying…", so how it ends must be told in the thread
    detail: str = ""  # AWS's error code, where there was one

    @property
    def deadline(self) -> datetime:
        """After this moment it is not signalled any more."""
        return self.clicked_at + DECISION_SPAN

    def after(
        self, event: DecisionEvent, *, at: datetime, outcome: Outcome | None = None, detail: str = ""
    ) -> "Decision":
        """Return the decision after an event; raise IllegalTransition for one that cannot happen now."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise IllegalTransition(f"{self.state} + {event}")
        settled_at = None if state.live else at
        return replace(self, state=state, settled_at=settled_at, outcome=outcome, detail=detail)
