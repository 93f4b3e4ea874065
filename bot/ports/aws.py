"""The ports to AWS: requests, signals, events, identities and secrets, with a closed set of errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import SecretStr

from bot.domain.request import AccessRequest, Action, Execution, Grant, RequestKey, Status


class AwsUnavailable(Exception):
    """AWS did not answer usefully; try again later. `code` is AWS's error code or one of the bot's own."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AwsThrottled(AwsUnavailable):
    """AWS throttled the call, or the bot's rate limit is used up."""


class RequestNotReadable(Exception):
    """The OpsItem does not exist (`missing`), now or at all, or is not an access request; `code` says which."""

    def __init__(self, code: str, *, missing: bool = False) -> None:
        super().__init__(code)
        self.code, self.missing = code, missing


class SignalRefused(Exception):
    """AWS refused the signal: no effect. `denied`: a permission is missing, also for assuming the role."""

    def __init__(self, code: str, *, denied: bool) -> None:
        super().__init__(code)
        self.code, self.denied = code, denied


class SignalThrottled(Exception):
    """The signal was throttled or not sent: no effect."""


class SignalLost(Exception):
    """The signal was sent, but the answer is missing or a 5xx: whether it had an effect is unknown."""


@dataclass(frozen=True, slots=True)
class RoleSession:
    """A role session, as AssumeRole makes it. Sessions that differ in any field are never shared."""

    role: str  # ARN
    name: str  # the person's name in CloudTrail
    source_identity: str | None = None
    external_id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """One decision to be sent by `SendAutomationSignal`, or a cancellation by `StopAutomationExecution`."""

    key: RequestKey
    execution_id: str
    action: Action
    comment: str  # at most 512 characters, including the person; not sent with a cancellation
    session: RoleSession | None  # the session of the role to assume; None: the bot's own credentials

    @property
    def role(self) -> str | None:
        """The ARN of the role to assume."""
        return self.session.role if self.session else None

    @property
    def session_name(self) -> str | None:
        """The session name that AWS records; None: the bot's own."""
        return self.session.name if self.session else None


@dataclass(frozen=True, slots=True)
class ListedRequest:
    """A request as a list call returns it: enough to decide whether to read it."""

    key: RequestKey
    status: Status | None = None
    modified_at: datetime | None = None
    step: str | None = None  # the current step, if the list shows it
    replica_of: RequestKey | None = None  # original of a copy in the delegated administrator account


class Requests(Protocol):
    """Access requests in AWS."""

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Read everything about one request. If a part cannot be read it is left out, and `complete` is False.

        An execution is returned only after it was read and verified to be this request's.
        Raises RequestNotReadable, AwsUnavailable.
        """

    async def prepare(self, signal: Signal) -> None:
        """Do everything for which `signal` may have to wait: get the role's session, and wait for AWS's quota.

        Sends nothing. Raises SignalRefused, SignalThrottled.
        """

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Read the approval's automation execution, never from a cache. Raises AwsUnavailable, AwsThrottled.

        Raises AwsUnavailable also for another request's execution.
        """

    async def grant(self, key: RequestKey) -> Grant:
        """Read the access that is granted now, never from a cache. Raises AwsUnavailable, AwsThrottled.

        Raises AwsUnavailable also if AWS names no execution, or one that is not verified to be this request's.
        """

    async def signal(self, signal: Signal) -> None:
        """Send a prepared signal once, immediately. Raises SignalRefused, SignalThrottled, SignalLost."""

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests that are pending, and those modified after `since`. Raises AwsUnavailable."""

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests created after `since` that are revoked, as far as AWS shows them. Never raises."""


class Identities(Protocol):
    """Records of the users of AWS IAM Identity Center."""

    async def names(self, user_id: str) -> tuple[str, ...]:
        """Return the names in a user's record: user name and primary mail address, as far as it has them.

        Empty for an unknown id. Answers within seconds. Raises AwsUnavailable if the record could not be read.
        """


@dataclass(frozen=True, slots=True)
class Hint:
    """A message from the queue. `key` None: valid, but not about a request; it is only deleted."""

    receipt: str
    key: RequestKey | None
    event: str  # the detail-type of the event
    conflicting_policies: tuple[str, ...] = ()


class Queue(Protocol):
    """Events that mean "reconcile this request". Unreadable messages are never returned; redrive moves them."""

    async def check(self) -> None:
        """Check that the queue answers, without waiting for messages. Raises AwsUnavailable."""

    async def receive(self) -> Sequence[Hint]:
        """Wait for some messages, at most a few seconds. Raises AwsUnavailable."""

    async def delete(self, hint: Hint) -> None:
        """Delete a message. Raises AwsUnavailable."""


class SecretSource(Protocol):
    """A secret that AWS stores or makes for the bot: a client secret, or a signed token that proves its identity."""

    async def read(self) -> SecretStr:
        """Return the current secret, never from a cache. Raises AwsUnavailable, without any part of the secret."""
