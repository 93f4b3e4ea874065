"""The ports of the checks: questions to Microsoft and to AWS that change nothing there.

The exception is `AwsProbes.receive`: AWS counts how often a message was received.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from bot.domain.request import Level
from bot.ports.aws import RoleSession


class MicrosoftRefused(Exception):
    """Microsoft did not give what was asked for.

    `code` is Microsoft's code, or the name of the error. `answered` is True if an answer came, which may be that of a
    proxy. `detail` says what was called and what came back; it contains no secret.
    """

    def __init__(self, code: str, detail: str = "", *, answered: bool) -> None:
        super().__init__(code, detail)
        self.code, self.detail, self.answered = code, detail, answered


class TeamsProbes(Protocol):
    """Questions to Microsoft Entra, the Bot Framework and Teams."""

    async def sign_in(self) -> None:
        """Fetch a new token for the bot. Raises MicrosoftRefused."""

    async def fetch_keys(self) -> None:
        """Fetch the signing keys of the Bot Framework. Raises MicrosoftRefused."""

    @property
    def microsoft_ahead(self) -> float | None:
        """The seconds that Microsoft's clock was ahead of ours at the last answer; None if no answer has come."""

    async def read_members(self, conversation: str) -> None:
        """Read the first members of a channel now, and one of them singly if something is missing.

        Raises ChatRefused, ChatThrottled, ChatUnavailable.
        """

    def roster_problems(self, conversation: str) -> Sequence[str]:
        """Return what Teams has left out or refused in this channel's roster, as codes; empty if nothing."""


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """A manual approval policy. `levels` is None if the document cannot be parsed."""

    name: str
    levels: tuple[Level, ...] | None


@dataclass(frozen=True, slots=True)
class ApprovalPolicies:
    """The manual approval policies of an account and Region, as far as they are read.

    `listed` is their number; None if the list was not read to its end.
    """

    read: Sequence[ApprovalPolicy]
    listed: int | None

    @property
    def complete(self) -> bool:
        """True if all policies are read."""
        return self.listed == len(self.read)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What the queue's attributes say: whether its policy lets anybody send, and its KMS key.

    `kms_key` is an id, an ARN or an alias, as the queue has it; empty if the queue has no KMS key.
    """

    lets_somebody_send: bool
    kms_key: str


@dataclass(frozen=True, slots=True)
class SessionPreferences:
    """When Session Manager ends sessions: after `longest` (None: never for this reason), or `idle` without input."""

    longest: timedelta | None
    idle: timedelta


class AwsProbes(Protocol):
    """Questions to AWS. All raise AwsUnavailable."""

    async def assume(self, session: RoleSession) -> None:
        """Assume a role now, without a cache."""

    async def approval_policies(self, account: str, region: str, *, within: float) -> ApprovalPolicies:
        """Return the manual approval policies of an account and Region that are read within these seconds.

        What is read is kept: the next call continues from there.
        """

    async def session_preferences(self, account: str, region: str) -> SessionPreferences:
        """Return Session Manager's preferences of an account and Region, which bound how long a session runs."""

    async def queue_settings(self) -> QueueSettings | None:
        """Return the queue's settings; None if no queue is configured."""

    async def receive(self) -> None:
        """Receive at most one message from the queue, without waiting, and leave it visible to other receivers.

        Does nothing if no queue is configured. AWS counts the attempt, and moves a message that was received too often
        (five times with infra/aws/queue.json) to the dead-letter queue.
        """

    async def aws_ahead(self) -> float | None:
        """Return the seconds that AWS's clock is ahead of ours; None if the answer does not say."""
