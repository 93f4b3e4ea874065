"""The ports to AWS: requests, signals, events, identities and secrets, with a closed set of errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from pydantic import SecretStr

from bot.domain.access.sessions import Access, ListedSession
from bot.domain.request import AccessRequest, Action, Execution, Grant, RequestKey, Status

READER_SESSION: Final = "node-access-bot"  # session name of the bot's own reads and checks in CloudTrail


class AwsUnavailable(Exception):
    """AWS did not answer, or its answer is unusable; try again later. `code` is AWS's error code, or the bot's own.

    `address` is AWS's endpoint, if there was no connection to it.
    """

    def __init__(self, code: str, *, address: str | None = None) -> None:
        super().__init__(code)
        self.code, self.address = code, address


class AwsThrottled(AwsUnavailable):
    """AWS throttled the call, or the bot's rate limit is used up."""


class SessionsDenied(AwsUnavailable):
    """AWS denies the list of sessions: the optional permission is missing."""


class EndRefused(Exception):
    """AWS refused to end a session. If `denied`, a permission is missing. `code` is AWS's error code."""

    def __init__(self, code: str, *, denied: bool) -> None:
        super().__init__(code)
        self.code, self.denied = code, denied


class EndingRoleRefused(EndRefused):
    """The role that ends sessions could not be assumed, so that no session can be ended in it now."""


class RequestNotReadable(Exception):
    """The OpsItem does not exist (`missing`), is not an access request, or has another request's execution.

    `code` is the reason.
    """

    def __init__(self, code: str, *, missing: bool = False) -> None:
        super().__init__(code)
        self.code, self.missing = code, missing


class SignalRefused(Exception):
    """AWS refused the signal, which had no effect.

    If `denied`, a permission is missing or the role could not be assumed.
    """

    def __init__(self, code: str, *, denied: bool) -> None:
        super().__init__(code)
        self.code, self.denied = code, denied


class SignalThrottled(Exception):
    """AWS throttled the signal or denied its stale session, or it was not sent. It had no effect; send it again."""


class SignalLost(Exception):
    """The signal was sent, but the answer is missing or has a 5xx status. Whether it had an effect is unknown."""


@dataclass(frozen=True, slots=True)
class RoleSession:
    """The parameters of AssumeRole. Credentials are reused only for a session whose fields are all equal."""

    role: str  # ARN
    name: str  # appears in CloudTrail; for a signal, it identifies the person
    source_identity: str | None = None
    external_id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def account(self) -> str:
        """The account of the role, as its ARN says: `arn:aws:iam::111122223333:role/…`; "" for another text."""
        return next(iter(self.role.split(":")[4:]), "")


@dataclass(frozen=True, slots=True)
class Signal:
    """One decision to send with `SendAutomationSignal`; a requester's cancellation uses `StopAutomationExecution`."""

    key: RequestKey
    execution_id: str
    action: Action
    comment: str  # at most 512 characters, including the person's name; not sent with a cancellation
    session: RoleSession | None  # the session of the role to assume; None: the bot's own credentials

    @property
    def role(self) -> str | None:
        """The ARN of the role to assume; None for the bot's own credentials."""
        return self.session.role if self.session else None

    @property
    def session_name(self) -> str | None:
        """The name of the role session, which AWS records; None for the bot's own credentials."""
        return self.session.name if self.session else None


@dataclass(frozen=True, slots=True)
class ListedRequest:
    """A request as a list call returns it: enough to decide whether to read it."""

    key: RequestKey
    status: Status | None = None
    modified_at: datetime | None = None
    step: str | None = None  # the current step, if the list shows it
    replica_of: RequestKey | None = None  # for a copy in the delegated administrator account: the original
    auto_approved: bool = False  # an auto-approval policy approves it
    requested_at: datetime | None = None  # of an auto-approved request, if the list shows it


class Requests(Protocol):
    """Reads access requests in AWS, and sends signals."""

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Read everything about one request. If a part cannot be read, it is left out, and `complete` is False.

        An execution is returned only after it was read and verified to be this request's.
        Raises RequestNotReadable, AwsUnavailable.
        """

    async def prepare(self, signal: Signal) -> None:
        """Do everything that may take long before the signal is sent: get the role's session, wait for AWS's quota.

        Does not send the signal. Raises SignalRefused, SignalThrottled.
        """

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Read the approval's automation execution, never from a cache. Raises AwsUnavailable, AwsThrottled.

        Raises AwsUnavailable also for another request's execution.
        """

    async def grant(self, key: RequestKey) -> Grant:
        """Read the access that is granted now, never from a cache. Raises AwsUnavailable, AwsThrottled.

        Raises AwsUnavailable also if the request has no execution, or one that is not verified to be this request's.
        """

    async def signal(self, signal: Signal) -> None:
        """Send a prepared signal once, immediately. Raises SignalRefused, SignalThrottled, SignalLost."""

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests that are pending, and those modified after `since`. Raises AwsUnavailable."""

    async def steps(self, account: str, region: str) -> Sequence[ListedRequest]:
        """List the requests whose approval runs, with its current step, as far as AWS shows them. Never raises."""

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests created after `since` that are revoked, as far as AWS shows them. Never raises."""


class Sessions(Protocol):
    """Sessions on nodes, and the access with which they may have been started. A list is complete, or raises."""

    async def active(self, account: str, region: str) -> Sequence[ListedSession]:
        """List the sessions that are open. Raises SessionsDenied, AwsUnavailable."""

    async def ended(self, account: str, region: str, since: datetime) -> Sequence[ListedSession]:
        """List the sessions that have ended and began after `since`; AWS keeps them for 30 days.

        Raises SessionsDenied, AwsUnavailable.
        """

    async def granted(self, account: str, region: str, since: datetime) -> Sequence[Access]:
        """List the access of all requests, automatically approved ones too, that may run at `since` or later.

        Raises AwsUnavailable.
        """

    async def prepare_end(self, key: RequestKey, session: RoleSession) -> None:
        """Do what `end` may have to wait for: assume the role, and wait for the quota. Ends nothing.

        Raises EndingRoleRefused, AwsUnavailable.
        """

    async def end(self, key: RequestKey, session_id: str, session: RoleSession) -> None:
        """Ask AWS to end a session on a node, in the role session of the person who ends it, after `prepare_end`.

        The answer proves nothing: AWS accepts any session id. Repeating the call is safe. Raises EndRefused,
        EndingRoleRefused, AwsUnavailable; after AwsUnavailable, the session may be open or ended.
        """


class Identities(Protocol):
    """Records of the users of AWS IAM Identity Center."""

    async def names(self, user_id: str) -> tuple[str, ...]:
        """Return the user name and the primary mail address of a user. A missing one is left out.

        Empty for an unknown id. Raises AwsUnavailable if the record could not be read within a few seconds.
        """


@dataclass(frozen=True, slots=True)
class Hint:
    """A message from the queue. `key` is its request; None for a valid message about something else, to be deleted."""

    receipt: str
    key: RequestKey | None
    event: str  # the detail-type of the event
    conflicting_policies: tuple[str, ...] = ()
    occurred_at: datetime | None = None  # as the event says; None if it does not say


class Queue(Protocol):
    """Events that mean "reconcile this request". Unreadable messages are left to the queue's redrive policy."""

    async def check(self) -> None:
        """Check that the queue answers, without waiting for messages. Raises AwsUnavailable."""

    async def receive(self) -> Sequence[Hint]:
        """Return the next messages, perhaps none; wait for them a few seconds at most. Raises AwsUnavailable."""

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Delete messages, at most as many as `receive` returns. Raises AwsUnavailable unless all are deleted."""


class SecretSource(Protocol):
    """A secret that AWS stores or makes for the bot: a client secret, or a signed token that proves its identity."""

    async def read(self) -> SecretStr:
        """Return the current secret, never from a cache. Raises AwsUnavailable, without any part of the secret."""
