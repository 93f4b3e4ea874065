"""Builds everything that talks to AWS, for `bot.app`."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Protocol, Self

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import RATES
from bot.aws.client_secret import ClientSecret
from bot.aws.identity_center import IdentityCenter
from bot.aws.jit.access_requests import AccessRequests
from bot.aws.queue import SqsQueue
from bot.aws.web_identity import WebIdentity
from bot.boto.failures import CallFailed, unavailable
from bot.ports.clock import Clock
from bot.telemetry import Telemetry


class Account(Protocol):
    """A watched account. Without a `reader_role` it must be the bot's own account."""

    @property
    def id(self) -> str:
        """Twelve digits."""

    @property
    def reader_role(self) -> str | None:
        """The ARN of the role with which the bot reads the account."""


class AwsSide:
    """Everything that talks to AWS. Use `async with`: leaving it ends all work and closes all connections."""

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
        self.requests = AccessRequests(self._clients, clock=clock)
        self.identities = IdentityCenter(self._clients, clock=clock)
        self._stack = AsyncExitStack()
        self.queue = SqsQueue(self._clients, queue_url, clock=clock, telemetry=telemetry) if queue_url else None

    async def own_account(self) -> str:
        """Return the account of the bot's own credentials. Raises AwsUnavailable."""
        try:
            return await self._clients.own_account()
        except CallFailed as failed:
            raise unavailable(failed) from failed

    def client_secret(self, arn: str) -> ClientSecret:
        """Return the source of the app's client secret in AWS Secrets Manager."""
        return ClientSecret(self._clients, arn)

    def web_identity(self, audience: str) -> WebIdentity:
        """Return the source of tokens, signed by STS, that prove the bot's identity."""
        return WebIdentity(self._clients, audience)

    async def __aenter__(self) -> Self:
        """Return this object. No call to AWS is made."""
        self._stack.push_async_callback(self.identities.drain)
        self._stack.push_async_callback(self.requests.drain)
        await self._stack.enter_async_context(self._clients)  # closed first, so that the lookups end soon
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for running calls, at most their time-outs, and for running lookups; close all connections."""
        await self._stack.aclose()
