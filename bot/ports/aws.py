"""AWS as the services see it: requests, signals, events and secrets, and the closed set of what goes wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import SecretStr

from bot.domain.request import AccessRequest, Action, Execution, Grant, RequestKey, Status


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
    verdict: Action
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
class ListedRequest:
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

        An execution is told only after it was read and is this request's. Raises RequestNotReadable, AwsUnavailable.
        """

    async def prepare(self, signal: Signal) -> None:
        """Get what sending needs and may have to wait for: the role's session and a turn in AWS's quota.

        Nothing leaves yet. Raises SignalRefused, SignalThrottled.
        """

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Read the approval's automation execution, never from a cache. Raises AwsUnavailable, AwsThrottled.

        One that is not this request's raises AwsUnavailable.
        """

    async def grant(self, key: RequestKey) -> Grant:
        """Read what access is granted now, never from a cache. Raises AwsUnavailable, AwsThrottled.

        AwsUnavailable too where AWS names an execution that is not, or cannot be seen to be, this request's, or none.
        """

    async def signal(self, signal: Signal) -> None:
        """Send what was prepared, at once and once. Raises SignalRefused, SignalThrottled, SignalLost."""

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests pending now and those modified since then. Raises AwsUnavailable."""

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the requests made since then that are revoked now, as far as AWS tells. Never raises."""


class Identities(Protocol):
    """Records of the users of AWS IAM Identity Center."""

    async def names(self, user_id: str) -> tuple[str, ...]:
        """Return what a user's record names them by, as far as it does: user name, primary mail address.

        Empty for an id that is nobody's. Waits for a moment at most. Raises AwsUnavailable: nothing is known.
        """


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
