"""A click on a card and its answer, as the service layer sees them. The wire formats are in bot.teams.wire.invoke."""

from dataclasses import dataclass
from enum import StrEnum

from bot.domain.identity import Person
from bot.domain.shown.views import Notice


class Verb(StrEnum):
    """What a button asks for."""

    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    REVOKE = "revoke"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Click:
    """One press of a button. Everything but the person is a claim of the card's data and is looked up anew."""

    person: Person  # from the authenticated activity
    conversation: str  # where the click came from, thread part included
    verb: Verb
    request: str  # account/region/oi-…
    step: str = ""
    comment: str = ""
    activity_id: str | None = None  # of the card that was clicked
    locale: str | None = None  # of the person's client, as far as there are words in it


@dataclass(frozen=True, slots=True)
class Answer:
    """What the person who clicked gets back: a card to put in place of theirs, and what the notice on it says.

    `card` is None where nothing can be shown (an unknown request): then the notice alone is the answer.
    `text` is the notice in words, for clients that cannot take a card as an answer. `state` is how the request stood
    when the click came, for the audit trail; empty where that is not known.
    """

    card: dict[str, object] | None
    notice: Notice | None
    text: str
    refused: bool = False
    state: str = ""
