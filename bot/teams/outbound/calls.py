"""Sends authenticated calls to the Connector: time-outs, retries, and which calls may be repeated.

The only module that sends the bot's token. Paths and bodies come from `connector.py`.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import structlog
from pydantic_core import PydanticSerializationError, to_json
from yarl import URL

from bot.concurrency.backoff import backoff
from bot.ports.clock import Clock
from bot.ports.teams import ChatProblem
from bot.service.checks.microsoft import HOST_NOT_LISTED
from bot.teams.login.credentials import AppCredentials
from bot.teams.net.addresses import AddressRefused, ServiceHosts, host_of
from bot.teams.net.session import OversizedAnswer, as_object, read_bounded
from bot.teams.wire.errors import (
    LONGEST_CODE,
    ConnectorError,
    ConnectorRefused,
    ConnectorThrottled,
    ConnectorUnavailable,
    classify,
)

ATTEMPTS: Final = 3  # per call; after that the caller tries again later, from the stored row
FIRST_PAUSE: Final = 0.3  # seconds before the second attempt, doubled before the third; with jitter
LONGEST_WAIT: Final = 1.0  # seconds; callers hold a lease, and must not sleep for long under it
# Seconds. Repeatable calls may time out early. A post waits longer, because a post that timed out is ambiguous.
REPEATABLE_TIMEOUT: Final = aiohttp.ClientTimeout(total=6, sock_connect=3)
POST_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, sock_connect=3)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the Connector."""

    method: str
    service_url: str
    path: tuple[str, ...]
    """Segments below the service URL, unquoted: ids contain `:`, `;` and `@`."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    creates: bool = False
    """Whether a repetition would be visible in Teams (a second new message)."""

    def address(self, base: str) -> URL:
        """Return the percent-encoded address of the call below `base`, the checked service URL."""
        path = "/".join(quote(segment, safe="", errors="replace") for segment in self.path)  # ids may be any text
        tail = f"?{urlencode(self.query, errors='replace')}" if self.query else ""
        return URL(f"{base}/{path}{tail}", encoded=True)


class ConnectorCalls:
    """Sends calls. Raises only ConnectorError."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credentials: AppCredentials,
        hosts: ServiceHosts,
        clock: Clock,
    ) -> None:
        self._session, self._credentials, self._hosts, self._clock = session, credentials, hosts, clock

    async def send(self, call: Call) -> dict[str, Any]:
        """Return the JSON object of the response, after at most ATTEMPTS attempts.

        Return {} for an empty body, and for a write also for any other body but an HTML page.
        """
        url = self._address(call)
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._once(call, url)
            except ConnectorError as error:
                wait = _wait(error, call=call, attempt=attempt)
                if wait is None:
                    raise
                log.info("connector_call_repeated", method=call.method, status=error.status, wait=wait)
            await self._clock.sleep(wait)
        return await self._once(call, url)

    def _address(self, call: Call) -> URL:
        try:
            return call.address(self._hosts.base(call.service_url))
        except AddressRefused as error:
            log.warning("service_host_refused", why=str(error), host=host_of(call.service_url)[:LONGEST_CODE])
            raise ConnectorRefused(ChatProblem.FORBIDDEN, error_code=HOST_NOT_LISTED) from error

    async def _once(self, call: Call, url: URL) -> dict[str, Any]:
        token = await self._credentials.bearer()
        status, headers, raw = await self._exchange(call, url, token.get_secret_value())
        if 200 <= status < 300:
            return _answer(raw, call)
        if status == 401:
            self._credentials.forget(token)
        updates = call.method == "PUT"
        raise classify(status, headers, raw, creates=call.creates, updates=updates, now=self._clock.now())

    async def _exchange(self, call: Call, url: URL, token: str) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with self._session.request(
                call.method,
                url,
                data=_encode(call.body),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                allow_redirects=False,  # the token goes only to the host that was checked
                timeout=POST_TIMEOUT if call.creates else REPEATABLE_TIMEOUT,
            ) as answer:
                return answer.status, answer.headers, await read_bounded(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ConnectorUnavailable("not_connected") from error  # nothing was sent
        except (aiohttp.ClientError, TimeoutError, OSError, OversizedAnswer) as error:
            raise ConnectorUnavailable("no_answer", ambiguous=call.creates) from error


def _wait(error: ConnectorError, *, call: Call, attempt: int) -> float | None:
    """Return the seconds to wait before the next attempt, or None if the call must not be repeated."""
    match error:
        case ConnectorThrottled(retry_after=seconds):
            return seconds if seconds <= LONGEST_WAIT else None
        case ConnectorRefused(problem=ChatProblem.UNAUTHORIZED, status=401) if attempt == 1:
            return 0.0  # the token was dropped: try once more with a new one
        case ConnectorUnavailable() if _may_repeat(error, call):
            return _pause(error, attempt)
        case _:
            return None


def _may_repeat(error: ConnectorUnavailable, call: Call) -> bool:
    # The vendor says not to repeat a 500. A new message is repeated only if it cannot have been posted.
    return error.status != 500 and not (call.creates and error.ambiguous)


def _pause(error: ConnectorUnavailable, attempt: int) -> float | None:
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_WAIT else None
    jitter = 0.5 + random.random()  # noqa: S311 - no secret
    return backoff(attempt - 1, first=FIRST_PAUSE, longest=LONGEST_WAIT) * jitter


def _encode(body: Mapping[str, Any] | None) -> bytes | None:
    # Not escaped: escapes would double the length of a Japanese card, and Teams limits the size.
    if body is None:
        return None
    try:
        return to_json(body)
    except PydanticSerializationError:  # half of a surrogate pair, which only a name from Teams could have
        return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def _answer(raw: bytes, call: Call) -> dict[str, Any]:
    """Return the JSON object in the body of a 2xx; {} for an empty body.

    A write needs no body, so return {} for any other body as well, except for the HTML page of a gateway. Raises
    ConnectorUnavailable for that page, and for an unreadable body of a GET.
    """
    if not raw.strip():
        return {}
    try:
        return as_object(raw)
    except ValueError as error:
        if call.method == "GET" or raw.lstrip().startswith(b"<"):
            raise ConnectorUnavailable("unreadable_answer", ambiguous=call.creates) from error
        return {}
