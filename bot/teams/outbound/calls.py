"""One authenticated call to the Connector, with its retries: the only place that sends the bot's token.

Owns the wire, the time-outs and what may be sent twice. Knows no operation: paths and bodies come from connector.py.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import structlog
from yarl import URL

from bot.ports.teams import ChatProblem
from bot.teams.login.credentials import AppCredentials
from bot.teams.net.addresses import AddressRefused, ServiceHosts
from bot.teams.net.session import OversizedAnswer, as_object, read_bounded
from bot.teams.wire.errors import (
    ConnectorError,
    ConnectorRefused,
    ConnectorThrottled,
    ConnectorUnavailable,
    classify,
)

ATTEMPTS = 3  # per call; what fails longer is the caller's to take up again from its row
BACKOFF = 0.3  # seconds before the second attempt, twice that before the third; with jitter
LONGEST_WAIT = 1.0  # seconds; callers hold a lease, and nobody sleeps under a lease
REPEATABLE_TIMEOUT = aiohttp.ClientTimeout(total=6, sock_connect=3)  # seconds; gave up too early: ask again
POST_TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=3)  # seconds; a post given up stays unknown: be patient

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the Connector."""

    method: str
    service_url: str
    path: tuple[str, ...]
    """Segments below the service address, not yet quoted: ids carry `:`, `;` and `@`."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    creates: bool = False
    """Whether doing it twice would be seen twice (a new message)."""

    def address(self, base: str) -> URL:
        """Return the address below the checked service address, quoted once and for all."""
        path = "/".join(quote(segment, safe="") for segment in self.path)
        tail = f"?{urlencode(self.query)}" if self.query else ""
        return URL(f"{base}/{path}{tail}", encoded=True)


class ConnectorCalls:
    """Sends calls; raises ConnectorError and nothing else."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credentials: AppCredentials,
        hosts: ServiceHosts,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._hosts = hosts
        self._now = now
        self._sleep = sleep

    async def send(self, call: Call) -> dict[str, Any]:
        """Return the answer's JSON object (empty where there is none), after at most three attempts."""
        url = self._address(call)
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._once(call, url)
            except ConnectorError as error:
                wait = _wait(error, call=call, attempt=attempt)
                if wait is None:
                    raise
                log.info("connector_call_repeated", method=call.method, status=error.status, wait=wait)
            await self._sleep(wait)
        return await self._once(call, url)

    def _address(self, call: Call) -> URL:
        try:
            return call.address(self._hosts.base(call.service_url))
        except AddressRefused as error:
            log.warning("service_host_refused", why=str(error))
            raise ConnectorRefused(ChatProblem.FORBIDDEN, error_code="host_not_listed") from error

    async def _once(self, call: Call, url: URL) -> dict[str, Any]:
        token = await self._credentials.bearer()
        status, headers, raw = await self._exchange(call, url, token.get_secret_value())
        if 200 <= status < 300:
            return _answer(raw, call)
        if status == 401:
            self._credentials.forget(token)
        raise classify(status, headers, raw, creates=call.creates, now=datetime.fromtimestamp(self._now(), UTC))

    async def _exchange(self, call: Call, url: URL, token: str) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with self._session.request(
                call.method,
                url,
                data=_encode(call.body),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                allow_redirects=False,  # the token goes to the host that was checked and to no other
                timeout=POST_TIMEOUT if call.creates else REPEATABLE_TIMEOUT,
            ) as answer:
                return answer.status, answer.headers, await read_bounded(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ConnectorUnavailable("not_connected") from error  # nothing was sent
        except (aiohttp.ClientError, TimeoutError, OSError, OversizedAnswer) as error:
            raise ConnectorUnavailable("no_answer", ambiguous=call.creates) from error


def _wait(error: ConnectorError, *, call: Call, attempt: int) -> float | None:
    """Return the seconds to wait before the next attempt, or None if there must be none."""
    match error:
        case ConnectorThrottled(retry_after=seconds):
            return seconds if seconds <= LONGEST_WAIT else None
        case ConnectorRefused(problem=ChatProblem.UNAUTHORIZED, status=401) if attempt == 1:
            return 0.0  # the token was dropped: once more with a fresh one
        case ConnectorUnavailable() if _may_repeat(error, call):
            return _back_off(error, attempt)
        case _:
            return None


def _may_repeat(error: ConnectorUnavailable, call: Call) -> bool:
    # The vendor says not to repeat a 500; a new message is repeated only where nothing can have been posted.
    return error.status != 500 and not (call.creates and error.ambiguous)


def _back_off(error: ConnectorUnavailable, attempt: int) -> float | None:
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_WAIT else None
    return BACKOFF * attempt * (0.5 + random.random())  # noqa: S311 - jitter, no secret


def _encode(body: Mapping[str, Any] | None) -> bytes | None:
    # UTF-8 as it is: escapes would make a Japanese card twice as long, and Teams counts.
    return None if body is None else json.dumps(body, ensure_ascii=False).encode(errors="replace")


def _answer(raw: bytes, call: Call) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        return as_object(raw)
    except ValueError as error:
        raise ConnectorUnavailable("unreadable_answer", ambiguous=call.creates) from error
