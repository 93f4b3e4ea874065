"""The ports for Teams: messages (Chat), rosters (People) and groups (Groups), with their closed set of errors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot.domain.identity import Person
from bot.domain.members import Members


class ChatThrottled(Exception):
    """Too many calls; try again after `retry_after` seconds. Nothing was delivered.

    If `booked`, the message can be sent exactly then: no other message gets that moment.
    """

    def __init__(self, retry_after: float, *, booked: bool = False) -> None:
        super().__init__(retry_after)
        self.retry_after, self.booked = retry_after, booked


class ChatUnavailable(Exception):
    """Teams failed or did not answer. If `ambiguous`, the message may have been delivered."""

    def __init__(self, code: str, *, ambiguous: bool) -> None:
        super().__init__(code)
        self.code, self.ambiguous = code, ambiguous


class ChatProblem(StrEnum):
    """Why Teams refused a call."""

    NOT_INSTALLED = "not_installed"  # the bot is not in the team, or the person has not installed it
    BLOCKED = "blocked"  # the person or an administrator has blocked the bot
    WRITES_BLOCKED = "writes_blocked"  # an archived team; in a personal chat the same as `blocked`
    UNKNOWN_PERSON = "unknown_person"
    CONVERSATION_NOT_FOUND = "conversation_not_found"
    ACTIVITY_NOT_FOUND = "activity_not_found"  # the message was deleted
    TOO_LARGE = "too_large"
    FORBIDDEN = "forbidden"  # any other 403
    UNAUTHORIZED = "unauthorized"  # the bot's own token was refused
    BAD_REQUEST = "bad_request"  # any other refusal


class ChatRefused(Exception):
    """Teams refused the call, so nothing was delivered. Now and then, Teams answers so by mistake."""

    def __init__(self, problem: ChatProblem, detail: str = "") -> None:
        super().__init__(problem, detail)
        self.problem, self.detail = problem, detail


@dataclass(frozen=True, slots=True)
class Message:
    """A message: an Adaptive Card, and the text of its notification. If `alert`, Teams should notify the readers."""

    card: Mapping[str, object]
    summary: str
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """The place of a message: its conversation (in a channel: the thread) and its activity id.

    `activity_id` is None if Teams accepted the message but returned no id: it cannot be updated.
    """

    conversation: str
    activity_id: str | None


class Chat(Protocol):
    """Messages in Teams. Calls raise only ChatThrottled, ChatUnavailable or ChatRefused."""

    async def post(self, conversation: str, message: Message) -> Posted:
        """Start a thread in a channel, or post in a group chat."""

    async def update(self, posted: Posted, message: Message) -> None:
        """Replace a message in place."""

    async def reply(self, posted: Posted, message: Message) -> Posted:
        """Post into the thread of a message."""

    async def reply_to_one(self, posted: Posted, person: Person, message: Message) -> None:
        """Post into the thread of a message of a channel, visible to one of its members only.

        Teams deletes it after a day. It cannot be updated.
        """

    async def direct(self, person: Person, message: Message) -> Posted:
        """Post into the personal chat of a person with the bot."""


class RosterUnavailable(Exception):
    """The roster could not be read. Callers must not treat any person as a member.

    If `refused`, Teams refuses the roster: a later attempt helps only if Teams or an administrator changes something.
    """

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__(refused)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """The people with a name that Teams returned.

    If not `complete`, a roster or chat could not be read, so people may be missing.
    """

    people: tuple[Person, ...]
    complete: bool = True


class People(Protocol):
    """The members of the channels, and the people who have a personal chat with the bot."""

    @property
    def generation(self) -> int:
        """A number that grows whenever members may have changed: what was asked before may be wrong since."""

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the person as a member of the channel; None if they are not a member. Raises RosterUnavailable.

        If Teams does not say to which tenant the person belongs, the tenant id is empty, and the person is a guest.
        """

    async def roster(self, conversation: str) -> Members:
        """Return all members of the channel. Raises RosterUnavailable."""

    def cached_member(self, conversation: str, object_id: str) -> Person | None:
        """Return the member with complete data if the roster was read a short time ago; else None. Makes no call."""

    def cached_roster(self, conversation: str) -> Members:
        """Return all members of the channel if the roster was read a short time ago; else none. Makes no call."""

    async def known(self, names: frozenset[str]) -> KnownPeople:
        """Return the people who could have one of these names, which are folded ids and addresses.

        They are members of the configured channels, or have a personal chat with the bot. The latter have the UPN and
        mail address that were read within a day; they are left out if Teams does not answer. Never raises: the result
        says whether people may be missing.
        """

    async def with_ids(self, object_ids: Iterable[str]) -> Sequence[Person]:
        """Return those people of the channels and personal chats who have these object ids, each once.

        People of personal chats may lack UPN and mail address. Never raises: people of a roster that cannot be read
        are left out.
        """


class GroupProblem(StrEnum):
    """Why the members of a Microsoft Entra group are unknown. The values are codes of the checks."""

    UNAVAILABLE = "group_unavailable"  # Microsoft Graph did not answer, failed, or throttled the call
    CONSENT_MISSING = "graph_consent_missing"  # the bot's app lacks the permission GroupMember.Read.All
    NOT_FOUND = "group_not_found"
    EMPTY = "group_empty"  # no person in it, or none that the bot may see
    TOO_LARGE = "group_too_large"
    REFUSED = "group_refused"  # any other refusal, or an answer that the bot must not follow


class GroupUnavailable(Exception):
    """The members of a group are unknown. Callers must not treat any person as a member.

    `detail` is Microsoft's code, or the bot's own; empty if there is none.
    """

    def __init__(self, problem: GroupProblem, detail: str = "") -> None:
        super().__init__(problem, detail)
        self.problem, self.detail = problem, detail


class Groups(Protocol):
    """The members of Microsoft Entra groups. Ids of groups and people are object ids in lower case."""

    async def members(self, group: str) -> frozenset[str]:
        """Return the object ids of all people in the group and the groups in it, as of a minute ago at most.

        The result is never empty. Raises GroupUnavailable, after a short time also if Microsoft does not answer.
        """

    def cached_members(self, group: str) -> frozenset[str] | None:
        """Return the members if they were read within the last minute; else None. Makes no call."""
