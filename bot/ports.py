"""The outside as the service layer sees it: small Protocols named for the domain, and the closed sets of their errors.

Adapters (bot.aws, bot.teams, bot.store) and the tests' fakes implement them; nothing else may raise through them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import SecretStr

from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Act, Execution, Grant, RequestKey, Status


class Clock(Protocol):
    """Time. Tests put in one that they move by hand."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Pause."""


# --- AWS ---------------------------------------------------------------------------------------------------------


class AwsUnavailable(Exception):
    """AWS did not answer, or not usefully; look again later. `code` is AWS's error code or a word of ours."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AwsThrottled(AwsUnavailable):
    """AWS asked for patience."""


class RequestNotReadable(Exception):
    """There is no such OpsItem (yet, or any more: `missing`), or it is not an access request; `code` says which."""

    def __init__(self, code: str, *, missing: bool = False) -> None:
        super().__init__(code)
        self.code, self.missing = code, missing


class SignalRefused(Exception):
    """AWS refused the signal: it had no effect. `denied`: for lack of permission, the role to assume included."""

    def __init__(self, code: str, *, denied: bool) -> None:
        super().__init__(code)
        self.code, self.denied = code, denied


class SignalThrottled(Exception):
    """AWS took no notice of the signal and asked for patience: it had no effect."""


class SignalLost(Exception):
    """The signal left and no answer came, or a 5xx: nobody knows whether it had an effect."""


@dataclass(frozen=True, slots=True)
class RoleSession:
    """A session of a role as AssumeRole makes it. Two that differ in anything are two sessions, never shared."""

    role: str  # ARN
    name: str  # names the person in CloudTrail
    source_identity: str | None = None
    external_id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """One decision on its way to AWS, as `SendAutomationSignal` takes it; to cancel, as `StopAutomationExecution`."""

    key: RequestKey
    execution_id: str
    verdict: Act
    comment: str  # the payload's comment, at most 512 characters, with the person in it; a cancellation carries none
    session: RoleSession | None  # of the role to assume; None: the bot's own credentials

    @property
    def role(self) -> str | None:
        """The ARN of the role to assume."""
        return self.session.role if self.session else None

    @property
    def session_name(self) -> str | None:
        """The name under which AWS records it; None: the bot's own."""
        return self.session.name if self.session else None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A request as a list call shows it: enough to see whether it must be read."""

    key: RequestKey
    status: Status | None = None
    modified_at: datetime | None = None
    step: str | None = None  # the current step, where the list tells
    replica_of: RequestKey | None = None  # a copy in the delegated administrator account, of a request made elsewhere


class Requests(Protocol):
    """Access requests in AWS."""

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Read everything about one request; what cannot be read is left out and `complete` is False.

        Raises RequestNotReadable, AwsUnavailable.
        """

    async def prepare(self, signal: Signal) -> None:
        """Get what sending needs and may have to wait for: the role's session and a turn in AWS's quota.

        Nothing leaves yet. Raises SignalRefused, SignalThrottled.
        """

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Read the approval's automation execution, never from a cache. Raises AwsUnavailable, AwsThrottled."""

    async def grant(self, key: RequestKey) -> Grant:
        """Read what access is granted now, never from a cache. Raises AwsUnavailable, AwsThrottled."""

    async def signal(self, signal: Signal) -> None:
        """Send what was prepared, at once and once. Raises SignalRefused, SignalThrottled, SignalLost."""

    async def sightings(self, account: str, region: str, since: datetime) -> Sequence[Sighting]:
        """List the requests pending now and those modified since then. Raises AwsUnavailable."""

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[Sighting]:
        """List the requests made since then that are revoked now, as far as AWS tells. Never raises."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A message from the queue. `key` None: understood, and not about a request (it is only deleted)."""

    receipt: str
    key: RequestKey | None
    event: str  # the detail-type, or what was found instead
    conflicting_policies: tuple[str, ...] = ()


class Queue(Protocol):
    """Events that say "look at this request". What cannot be parsed is never returned: its redrive takes it away."""

    async def check(self) -> None:
        """Find out whether the queue answers, without waiting for messages. Raises AwsUnavailable."""

    async def receive(self) -> Sequence[Hint]:
        """Wait for some messages, at most a few seconds. Raises AwsUnavailable."""

    async def delete(self, hint: Hint) -> None:
        """Delete a message. Raises AwsUnavailable."""


class SecretSource(Protocol):
    """Something secret that AWS keeps or makes for the bot: a client secret, or a signed statement of who it is."""

    async def read(self) -> SecretStr:
        """Return it as it is now, never from a cache. Raises AwsUnavailable, whose code holds nothing of it."""


# --- Teams -------------------------------------------------------------------------------------------------------


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

    async def known(self) -> Sequence[Person]:
        """Everybody in the rosters of the configured channels, and whoever installed the bot. Never raises."""


# --- Store -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PersonalChat:
    """A person who has talked to the bot or installed it: where to reach them."""

    person: Person
    conversation: str
    service_url: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who tried what, from where, and what came of it. Append-only."""

    at: datetime
    event: str  # clicked, or what became of a decision: claimed, sent, accepted, refused, unanswered, released
    request: str = ""
    step: str = ""
    verb: str = ""
    person: str = ""  # object id
    person_name: str = ""
    tenant: str = ""
    conversation: str = ""
    outcome: str = ""  # what the person was told, or why a decision came to nothing
    detail: str = ""  # AWS's error code
    decision: str = ""  # the id that ties a decision's entries together
    state: str = ""  # of the request and its waiting step, as the row had it
    execution: str = ""  # the automation execution that was signalled or stopped
    role: str = ""  # ARN of the role in which
    session: str = ""  # name of its session, which CloudTrail shows


class StoreUnavailable(Exception):
    """The store did not take or give a row; nothing was changed as far as is known."""


class StoreUncertain(StoreUnavailable):
    """A write left and nobody knows what became of it: it may be stored, or be stored yet."""


class RowUnreadable(StoreUnavailable):
    """A stored row does not have the shape that this version knows."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The rows that AWS may still change, oldest first, and those of them that this version cannot read."""

    rows: tuple[Record, ...] = ()
    unreadable: tuple[RequestKey, ...] = ()


Change = Callable[[Record], Record]


class Store(Protocol):
    """Rows, people and the audit trail. Every call may raise StoreUnavailable.

    `due`, `next_due` and `watched` may hear a second late of what another process wrote; what they return is true.
    """

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row, as last written by anybody."""

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write what `change` makes of the row (of a new one, made at `now`, where there is none).

        `change` is pure and is applied again when another writer was faster; the same row back writes nothing; what
        it raises passes through and nothing is written. Returns the row as it is then, with its new version.
        """

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        """Return the rows whose `next_look_at` has come, longest due first."""

    async def next_due(self) -> datetime | None:
        """Return the earliest `next_look_at` of all rows."""

    async def watched(self) -> Watched:
        """Return the rows that AWS may still change (`Record.watched`); one that cannot be read hides no other."""

    async def forget_expired(self, now: datetime) -> int:
        """Drop rows whose `Record.expires_at` has come, some hundred at most; return how many were dropped here."""

    async def find(self, ops_item_id: str) -> Sequence[Record]:
        """Return the rows of that OpsItem id, in whatever account and Region."""

    async def remember_chat(self, chat: PersonalChat) -> None:
        """Keep where a person can be reached."""

    async def forget_chat(self, object_id: str) -> None:
        """Drop it."""

    async def personal_chat(self, object_id: str) -> PersonalChat | None:
        """Return where a person can be reached."""

    async def personal_chats(self) -> Sequence[PersonalChat]:
        """Return everybody who can be reached."""

    async def remember_service_url(self, conversation: str, service_url: str) -> None:
        """Keep where Teams wants messages for a conversation to go."""

    async def service_url(self, conversation: str) -> str | None:
        """Return it."""

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the right to sweep an account and Region; False while another owner has it after `now`."""

    async def watermark(self, account: str, region: str) -> datetime | None:
        """Return since when the sweep must list changes."""

    async def advance_watermark(self, account: str, region: str, moment: datetime) -> None:
        """Keep it."""

    async def append_audit(self, entry: AuditEntry) -> None:
        """Add to the audit trail."""

    async def audit(self, since: datetime, until: datetime | None = None) -> Sequence[AuditEntry]:
        """Return the audit trail from then on, up to another moment or its end, oldest first."""

    async def close(self) -> None:
        """Let go of files and connections."""
