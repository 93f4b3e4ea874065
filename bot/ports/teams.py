"""Teams as the services see it: messages and rosters, and the closed set of what goes wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot.domain.identity import Person


class ChatThrottled(Exception):
    """Teams asked for patience; `retry_after` in seconds. Nothing was delivered."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class ChatUnavailable(Exception):
    """Teams did not answer usefully. `ambiguous`: the message may have been delivered all the same."""

    def __init__(self, code: str, *, ambiguous: bool) -> None:
        super().__init__(code)
        self.code, self.ambiguous = code, ambiguous


class ChatProblem(StrEnum):
    """Why Teams refuses for good."""

    NOT_INSTALLED = "not_installed"  # the bot is not in the team, or not in the person's apps
    BLOCKED = "blocked"  # the person or an administrator has blocked the bot
    WRITES_BLOCKED = "writes_blocked"  # nobody may write there: an archived team; in a personal chat as `blocked`
    UNKNOWN_PERSON = "unknown_person"
    CONVERSATION_NOT_FOUND = "conversation_not_found"
    ACTIVITY_NOT_FOUND = "activity_not_found"  # the message was deleted
    TOO_LARGE = "too_large"
    FORBIDDEN = "forbidden"  # any other 403
    UNAUTHORIZED = "unauthorized"  # the bot itself is not let in
    BAD_REQUEST = "bad_request"  # any other refusal


class ChatRefused(Exception):
    """Teams refused for good."""

    def __init__(self, problem: ChatProblem, detail: str = "") -> None:
        super().__init__(problem, detail)
        self.problem, self.detail = problem, detail


@dataclass(frozen=True, slots=True)
class Message:
    """One message: an adaptive card, and the line that a notification shows."""

    card: dict[str, object]
    summary: str
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message is: the conversation to reply to (for a channel, its thread) and the activity's id."""

    conversation: str
    activity_id: str


class Chat(Protocol):
    """Messages in Teams. Every call raises ChatThrottled, ChatUnavailable or ChatRefused, and nothing else."""

    async def post(self, conversation: str, message: Message) -> Posted:
        """Start a thread in a channel, or post in a group chat."""

    async def update(self, posted: Posted, message: Message) -> None:
        """Replace a message in place."""

    async def reply(self, posted: Posted, message: Message) -> Posted:
        """Post into the thread of a message."""

    async def direct(self, person: Person, message: Message) -> Posted:
        """Post into a person's own chat with the bot."""


class RosterUnavailable(Exception):
    """The roster could not be read; who is asked for counts as nobody."""


class People(Protocol):
    """Who is in the channels."""

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the channel's roster entry of a person, None for who is not in it. Raises RosterUnavailable."""

    async def roster(self, conversation: str) -> Sequence[Person]:
        """Return everybody in the channel. Raises RosterUnavailable."""

    async def known(self, names: frozenset[str] = frozenset()) -> Sequence[Person]:
        """Everybody in the rosters of the configured channels, and whoever has the bot in a chat of their own.

        Of the latter only who goes by one of `names` (case-folded ids and addresses) is sure to have UPN and mail, read
        within a day; who goes by one and cannot be read now is left out. Never raises.
        """
