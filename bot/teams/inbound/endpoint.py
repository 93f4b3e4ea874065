"""`POST /api/messages`: from the HTTP request to a turn of the bot.

Checks in this order: headers, token, body, then token against body, channel, tenant. It never returns 5xx, except 503
before the first signing keys are fetched.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import ClientError, web
from cachetools import TTLCache

from bot.concurrency.window import SlidingWindow
from bot.ports.clock import Clock
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.current_configuration import CurrentConfiguration
from bot.teams.inbound.adapter import TeamsAdapter, Turn
from bot.teams.inbound.keys import KeysUnavailable
from bot.teams.inbound.tokens import Reason, TokenRefused, TokenVerifier, VerifiedToken
from bot.teams.wire.activity import Inbound, NotAnActivity, parse
from bot.teams.wire.invoke import INVOKE, is_automatic, refresh_response
from bot.teams.wire.outgoing import Json, answer_json, error_answer
from bot.telemetry import Telemetry
from bot.text.escape import one_line

LARGEST_BODY: Final = 256 * 1024  # bytes; Teams sends less than 100 KB
MOST_VALUES: Final = 10_000  # JSON values in a body; Teams sends some hundred, and parsing 100,000 blocks other clicks
BODY_LIMIT: Final = 10.0  # seconds to receive the body; Teams waits as long for a response
MOST_TURNS: Final = 400  # activities at once: twice a rush of 200 clicks; more would be answered too late
MOST_REFRESHES: Final = 100  # automatic refreshes at once, beside the turns; more get no answer in time
TEAMS_CHANNEL_ID: Final = "msteams"
"""A channel in the Bot Framework's sense: a chat service, not a channel of a team. Only Teams is accepted: every Azure
Bot also has Web Chat and Direct Line, where the client itself states who its user is."""
OTHER_CHANNEL: Final = "other_channel"
OTHER_TENANT: Final = "other_tenant"
NO_HEADERS: Final[Mapping[str, str]] = {}

log = structlog.get_logger(__name__)


WARNED_FOR: Final = 3600.0  # seconds; each wrong value is one warning in this time, and otherwise a line at INFO
MOST_WARNINGS: Final = ((60.0, 10),)  # in 60 seconds, however many values are wrong
LONGEST_SEEN: Final = 200  # characters of a wrong value
SEEN_AS: Final[Mapping[str, str]] = {
    Reason.AUDIENCE: "audience",
    Reason.ISSUER: "issuer",
    Reason.EXPIRED: "expired",
    Reason.NOT_YET_VALID: "valid",
    Reason.CHANNEL: "channel",
    Reason.SERVICE_URL: "host",
    OTHER_CHANNEL: "channel",
    OTHER_TENANT: "tenant",
}
"""The field of the log event with the wrong value, by the reason for refusing an activity with a valid signature."""


class _Refused(Exception):
    """The request is refused. `reason` is for log and metric; `status` and `headers` are sent.

    `seen` is the value that was wrong. It is empty unless the signature is valid.

    `is_evidence` is False for an activity that says nothing about the settings, although Microsoft signed it.
    """

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        *,
        seen: str = "",
        is_evidence: bool = True,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(reason)
        self.status, self.reason, self.seen = status, reason, one_line(seen, LONGEST_SEEN)
        self.is_evidence, self.headers = is_evidence, headers


class Endpoint:
    """Serves `POST /api/messages`; `handle` is the aiohttp handler. Runs at most `most_turns` activities at a time."""

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        adapter: TeamsAdapter,
        configuration: CurrentConfiguration,
        turn: Turn,
        clock: Clock,
        telemetry: Telemetry,
        outcomes: Outcomes,
        most_turns: int = MOST_TURNS,
    ) -> None:
        """Take the configuration with the tenant to serve. Raises ValueError if the tenant is empty."""
        if not configuration.tenant_id:
            raise ValueError("the tenant id is empty")
        self._verifier = verifier
        self._adapter = adapter
        self._configuration, self._tenant = configuration, configuration.tenant_id
        self._turn, self._clock = turn, clock
        self._most_turns, self._turns, self._refreshes = most_turns, 0, 0
        self._refresh_outcomes = telemetry.refreshes
        self._activities, self._outcomes = telemetry.activities, outcomes
        self._warned: TTLCache[tuple[str, str], None] = TTLCache(256, WARNED_FOR, clock.epoch)
        self._warnings = SlidingWindow(MOST_WARNINGS)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request. Takes `received_at` first, because the check of the token may wait for signing keys."""
        received_at = self._clock.now()
        try:
            inbound = replace(await self._admit(request), received_at=received_at)
        except _Refused as refused:
            return self._refusal(refused)
        self._outcomes.succeeded(Work.ACTIVITY)
        return await self._run(inbound)

    async def _admit(self, request: web.Request) -> Inbound:
        _check_head(request)
        token = await self._verify(request)
        inbound = _parse(await _read(request))
        self._check_body(inbound, token)
        return inbound

    async def _verify(self, request: web.Request) -> VerifiedToken:
        headers = request.headers.getall("Authorization", [])
        if len(headers) > 1:
            raise _unauthorized("several_tokens")
        try:
            return await self._verifier.verify(headers[0] if headers else None)
        except TokenRefused as refused:
            raise _unauthorized(refused.reason.value, seen=refused.seen) from refused
        except KeysUnavailable as error:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no_signing_keys", headers={"Retry-After": "5"}) from error

    def _check_body(self, inbound: Inbound, token: VerifiedToken) -> None:
        wire = inbound.wire
        try:
            token.check_body(channel_id=wire.channel_id, service_url=wire.service_url)
        except TokenRefused as refused:
            raise _unauthorized(refused.reason.value, seen=refused.seen) from refused
        if wire.channel_id != TEAMS_CHANNEL_ID:
            raise _Refused(HTTPStatus.FORBIDDEN, OTHER_CHANNEL, seen=wire.channel_id or "")
        if not inbound.is_of_tenant(self._tenant):
            seen = ", ".join(sorted(inbound.tenants - {self._tenant.casefold()})) or "none"
            # People elsewhere may install a multi-tenant bot. In our channels, another tenant means a wrong setting.
            ours = self._configuration.value.channel_at(wire.conversation.id) is not None
            raise _Refused(HTTPStatus.FORBIDDEN, OTHER_TENANT, seen=seen, is_evidence=ours)

    async def _run(self, inbound: Inbound) -> web.Response:
        if is_automatic(inbound):
            return await self._run_refresh(inbound)
        kind = inbound.wire.type
        if self._turns >= self._most_turns:
            self._activities.labels(result="turned_away").inc()
            return _overloaded(kind)
        self._activities.labels(result="accepted").inc()
        self._turns += 1
        try:
            return await self._turned(inbound)
        finally:
            self._turns -= 1

    async def _run_refresh(self, inbound: Inbound) -> web.Response:
        """Run an automatic refresh, unless there are many, or clicks need the time. The client keeps its card then."""
        if self._refreshes >= MOST_REFRESHES or self._turns >= self._most_turns // 2:
            self._refresh_outcomes.labels(outcome="turned_away").inc()
            return _json(HTTPStatus.OK, refresh_response(None))
        self._refreshes += 1
        try:
            return await self._turned(inbound)
        finally:
            self._refreshes -= 1

    async def _turned(self, inbound: Inbound) -> web.Response:
        kind = inbound.wire.type
        try:
            status, body = await self._adapter.run(inbound, turn=self._turn)
            return _answer(kind, status, body)
        except Exception:  # the edge of the turn: after an error Teams must not send the activity again
            log.exception("turn_failed", activity_type=kind)
            return _answer(kind, HTTPStatus.INTERNAL_SERVER_ERROR, None)

    def _refusal(self, refused: _Refused) -> web.Response:
        """Count and log a refusal. The sender gets the status only: the reason would help to forge tokens."""
        reason = refused.reason.partition(":")[0]
        self._activities.labels(result=reason).inc()
        write = log.info
        if refused.seen:
            if refused.is_evidence:
                self._outcomes.failed(Work.ACTIVITY, reason, code=reason, detail=refused.seen)
            write = log.warning if self._may_warn(reason, refused.seen) else log.info
        value = {SEEN_AS[reason]: refused.seen} if refused.seen else {}
        write("activity_refused", status=refused.status.value, reason=refused.reason, **value)
        return _json(refused.status, {"error": refused.status.phrase}, refused.headers)

    def _may_warn(self, reason: str, seen: str) -> bool:
        """Return whether this wrong value is worth a warning: the first in an hour, and not too many at once."""
        if (reason, seen) in self._warned or not self._warnings.take(self._clock.epoch()):
            return False
        self._warned[reason, seen] = None
        return True


def _check_head(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        # Teams does not compress its requests, and a small compressed body could fill the memory.
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "compressed")
    if (request.content_length or 0) > LARGEST_BODY:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")


async def _read(request: web.Request) -> bytes:
    try:
        if request.content.is_eof():  # it came with the head, as most do: no time limit is needed
            return await _bounded(request)
        async with asyncio.timeout(BODY_LIMIT):
            return await _bounded(request)
    except TimeoutError as error:
        raise _Refused(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow") from error
    except (web.RequestPayloadError, ClientError, ConnectionError) as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, "body_unreadable") from error


async def _bounded(request: web.Request) -> bytes:
    # Counted while reading: a chunked body has no length in advance.
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > LARGEST_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")
    return bytes(body)


def _parse(raw: bytes) -> Inbound:
    if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:  # at least the number of values; before any is built
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_values")
    try:
        return parse(raw)
    except NotAnActivity as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, f"not_an_activity: {error}") from error


def _unauthorized(reason: str, *, seen: str = "") -> _Refused:
    return _Refused(HTTPStatus.UNAUTHORIZED, reason, seen=seen, headers={"WWW-Authenticate": "Bearer"})


def _answer(kind: str, status: int, body: Any) -> web.Response:
    if kind != INVOKE:
        return web.Response()
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _json(HTTPStatus.OK, _error_body(status))
    return web.Response(status=status) if body is None else _json(status, body)


def _overloaded(kind: str) -> web.Response:
    """Refuse an activity before any work: a click gets a message, other activities a 429 so that Teams retries."""
    log.warning("activity_turned_away", activity_type=kind)
    if kind == INVOKE:
        return _json(HTTPStatus.OK, _error_body(HTTPStatus.TOO_MANY_REQUESTS))
    status = HTTPStatus.TOO_MANY_REQUESTS
    return _json(status, {"error": status.phrase}, {"Retry-After": "1"})


_ERRORS: Mapping[int, tuple[int, str, str]] = {
    HTTPStatus.NOT_IMPLEMENTED: (400, "NotSupported", "This is not something the bot can do."),
    HTTPStatus.TOO_MANY_REQUESTS: (500, "Overloaded", "The bot is very busy. Nothing was sent; please press again."),
}
"""Status, code and text of the error in the response body, by the HTTP status of the turn."""
_FAILED = (500, "InternalServerError", "The bot could not finish this. Please look at the card again in a moment.")


def _error_body(turn_status: int) -> Json:
    status, code, message = _ERRORS.get(turn_status, _FAILED)
    return error_answer(code, message, status=status)


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=answer_json(body), content_type="application/json", charset="utf-8", headers=headers
    )
