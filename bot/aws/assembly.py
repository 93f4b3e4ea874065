"""Builds everything that talks to AWS, for `bot.app`."""

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Protocol, Self, TypeVar

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import RATES, Lane
from bot.aws.client_secret import ClientSecret
from bot.aws.configuration_object import ConfigurationObject
from bot.aws.identity_center import IdentityCenter
from bot.aws.jit.access_requests import AccessRequests
from bot.aws.jit.node_sessions import NodeSessions
from bot.aws.queue import SqsQueue
from bot.aws.session_preferences import read_session_preferences
from bot.aws.web_identity import WebIdentity
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import http_date, mapping
from bot.ports.aws import RoleSession
from bot.ports.clock import Clock
from bot.ports.configuration import ObjectPlace
from bot.ports.probes import ApprovalPolicies, QueueSettings, SessionPreferences
from bot.telemetry import Telemetry

_T = TypeVar("_T")


class Account(Protocol):
    """A watched account. Without a `reader_role` it must be the bot's own account."""

    @property
    def id(self) -> str:
        """Twelve digits."""

    @property
    def reader_role(self) -> str | None:
        """The ARN of the role with which the bot reads the account; None for the bot's own credentials."""


class AwsSide:
    """Everything that talks to AWS. Use `async with`: leaving it ends all work and closes all connections.

    `rates` has, by service, the calls a second of one operation, account and Region. `replicas` is the number of
    processes that share them.
    """

    def __init__(
        self,
        *,
        region: str,
        accounts: Sequence[Account],
        queue_url: str | None,
        external_id: str | None = None,
        clock: Clock,
        telemetry: Telemetry,
        rates: Mapping[str, float] = RATES,
        replicas: int = 1,
    ) -> None:
        roles = {account.id: account.reader_role for account in accounts if account.reader_role}
        self._clients = Clients(
            region=region,
            clock=clock,
            telemetry=telemetry,
            reader_roles=roles,
            external_id=external_id,
            rates=rates,
            share=replicas,
        )
        self._clock = clock
        self.requests = AccessRequests(self._clients, clock=clock)
        self.sessions = NodeSessions(self._clients)
        self.identities = IdentityCenter(self._clients, clock=clock)
        self._stack = AsyncExitStack()
        self.queue = SqsQueue(self._clients, queue_url, clock=clock, telemetry=telemetry) if queue_url else None

    async def own_account(self) -> str:
        """Return the account of the bot's own credentials. Raises AwsUnavailable."""
        return await _raising(self._clients.own_account())

    def client_secret(self, arn: str) -> ClientSecret:
        """Return the source of the app's client secret in AWS Secrets Manager."""
        return ClientSecret(self._clients, arn)

    def configuration_object(self, place: ObjectPlace) -> ConfigurationObject:
        """Return the source of a configuration that is kept in S3."""
        return ConfigurationObject(self._clients, place)

    def web_identity(self, audience: str) -> WebIdentity:
        """Return the source of tokens, signed by STS, that prove the bot's identity."""
        return WebIdentity(self._clients, audience)

    # --- ports.probes.AwsProbes

    async def assume(self, session: RoleSession) -> None:
        """Assume a role now, without a cache. Raises AwsUnavailable."""
        await _raising(self._clients.sessions.assume(session, Lane.SWEEP))

    async def approval_policies(self, account: str, region: str, *, within: float) -> ApprovalPolicies:
        """Return the manual approval policies of an account and Region. Raises AwsUnavailable."""
        return await _raising(self.requests.approval_policies(account, region, within=within))

    async def session_preferences(self, account: str, region: str) -> SessionPreferences:
        """Return Session Manager's preferences of an account and Region. Raises AwsUnavailable."""
        return await read_session_preferences(self._clients, account, region)

    async def queue_settings(self) -> QueueSettings | None:
        """Return the queue's settings; None if no queue is configured. Raises AwsUnavailable."""
        return await self.queue.settings() if self.queue else None

    async def receive(self) -> None:
        """Receive at most one message from the queue, without waiting, and leave it visible; nothing without a queue.

        AWS counts the attempt. Raises AwsUnavailable.
        """
        if self.queue:
            await self.queue.try_to_receive()

    async def aws_ahead(self) -> float | None:
        """Return the seconds that AWS's clock is ahead of ours; None if the answer does not say.

        Raises AwsUnavailable.
        """
        answer = await _raising(self._clients.own("sts", "get_caller_identity", Lane.SWEEP))
        headers = mapping(mapping(answer.get("ResponseMetadata")).get("HTTPHeaders"))
        at = http_date(headers.get("date"))
        return None if at is None else at.timestamp() - self._clock.epoch()

    async def __aenter__(self) -> Self:
        """Return this object. No call to AWS is made."""
        self._stack.push_async_callback(self.identities.drain)
        self._stack.push_async_callback(self.requests.drain)
        await self._stack.enter_async_context(self._clients)  # closed first, so that the lookups end soon
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for running calls, at most their time-outs, and for running lookups; close all connections."""
        await self._stack.aclose()


async def _raising(call: Awaitable[_T]) -> _T:
    """Return the result of a call. Raises the port's error instead of CallFailed."""
    try:
        return await call
    except CallFailed as failed:
        raise unavailable(failed) from failed
