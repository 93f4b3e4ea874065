"""A click on a card and its answer, as the service layer sees them. The wire formats are in `bot.teams.wire.invoke`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bot.domain.identity import Person
from bot.domain.request import BY_REQUESTER, Action, Verdict, Withdrawal
from bot.domain.shown.views import Notice


class Verb(StrEnum):
    """The action of a button, or the automatic refresh of a card."""

    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    REVOKE = "revoke"
    END_SESSIONS = "end_sessions"  # while access runs, it revokes it first
    GIVE_BACK = "give_back"
    WITHDRAW = "withdraw"  # the person's own vote, before it is sent
    REVIEWING = "reviewing"  # shows on the card that the person is reviewing the request
    REFRESH = "refresh"


ACTIONS: Final[Mapping[Verb, Action]] = MappingProxyType(
    {
        Verb.APPROVE: Verdict.APPROVE,
        Verb.REJECT: Verdict.REJECT,
        Verb.REVOKE: Withdrawal.REVOKE,
        Verb.END_SESSIONS: Withdrawal.REVOKE,
        Verb.CANCEL: Withdrawal.CANCEL,
        Verb.GIVE_BACK: Withdrawal.GIVE_BACK,
    }
)
"""The action that each verb sends to AWS. Verbs that are not listed send nothing."""
OF_REQUESTER: Final = frozenset(verb for verb, action in ACTIONS.items() if action in BY_REQUESTER)
"""The verbs of buttons that only the requester's message has."""


@dataclass(frozen=True, slots=True)
class Click:
    """One click on a button, or a refresh of a card. Its verb, request, step and comment may be forged."""

    person: Person  # the sender of the authenticated activity
    conversation: str  # id of the conversation of the clicked card, thread part included
    verb: Verb
    request: str  # account/region/oi-…
    step: str = ""
    comment: str = ""
    activity_id: str | None = None  # of the card that was clicked
    locale: str | None = None  # locale of the person's client, if the bot supports it
    timezone: str | None = None  # time zone of the person's client, if it is known
    personal: bool = False  # it came from the person's own chat with the bot
    manual: bool = True  # False if Teams does not say that a person clicked; such a refresh shows the channel's card
    received_at: datetime | None = None  # when its HTTP request arrived; the time limits of the answer count from here


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to the person who clicked: a card that replaces theirs, and the notice on it.

    `card` is None if nothing can be shown, for example for an unknown request. The notice alone is the answer then.
    `text` is the notice in words, for clients that cannot take a card as an answer. `refused` is True if the person may
    not do this, or not here. `state` is the state of the request when the click came, for the audit trail; empty if
    that is not known.
    """

    card: Mapping[str, object] | None
    notice: Notice | None
    text: str
    refused: bool = False
    state: str = ""
