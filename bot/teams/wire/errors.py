"""The errors of outbound calls to Teams: a closed set, and the mapping from HTTP responses to it.

https://learn.microsoft.com/microsoftteams/platform/bots/build-conversational-capability#status-code-retry-guidance
"""

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable

LONGEST_RETRY_AFTER: Final = 60.0  # seconds; a wrong header must not stop a channel for longer than until a probe
DEFAULT_RETRY_AFTER: Final = 1.0  # seconds, if a 429 has no Retry-After; the vendor's shortest window
LONGEST_CODE: Final = 64  # characters; codes go to the log, and a body is text from outside
_CODE: Final = re.compile(rf"\w{{1,{LONGEST_CODE}}}", re.ASCII)  # a bearer token is longer


class ConnectorError(Exception):
    """A failed call to the Connector: always one of the three classes below, which are the port's errors.

    `status` is the HTTP status, or None without a response. `error_code` is the vendor's code or the bot's own.
    """

    status: int | None
    error_code: str


class ConnectorThrottled(ConnectorError, ChatThrottled):
    """Too many calls. This one had no effect; try again after `retry_after` seconds."""

    def __init__(self, retry_after: float, *, error_code: str = "") -> None:
        ChatThrottled.__init__(self, retry_after)
        self.status, self.error_code = 429, error_code


class ConnectorUnavailable(ConnectorError, ChatUnavailable):
    """Teams could not be reached, or failed. If `ambiguous`, a new message may have been posted.

    `retry_after` is the seconds to wait that Teams demands; None if it demands none.
    """

    def __init__(
        self,
        error_code: str,
        *,
        ambiguous: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        ChatUnavailable.__init__(self, error_code, ambiguous=ambiguous)
        self.status, self.error_code, self.retry_after = status, error_code, retry_after


class ConnectorRefused(ConnectorError, ChatRefused):
    """Teams or this adapter refused the call. Now and then, Teams refuses one by mistake."""

    def __init__(self, problem: ChatProblem, *, status: int | None = None, error_code: str = "") -> None:
        ChatRefused.__init__(self, problem, error_code or str(status or ""))
        self.status, self.error_code = status, error_code

    @property
    def is_of_the_bot(self) -> bool:
        """Whether the refusal is about the bot's own login or settings, so that every such call is refused."""
        return self.status is None or self.problem is ChatProblem.UNAUTHORIZED


_BY_CODE: Final[Mapping[str, ChatProblem]] = {
    "BotNotInConversationRoster": ChatProblem.NOT_INSTALLED,
    "BotNotRegistered": ChatProblem.UNAUTHORIZED,
    "BotDisabledByAdmin": ChatProblem.BLOCKED,
    "ConversationBlockedByUser": ChatProblem.BLOCKED,
    "MessageWritesBlocked": ChatProblem.WRITES_BLOCKED,
    "NotEnoughPermissions": ChatProblem.FORBIDDEN,
    "ConversationNotFound": ChatProblem.CONVERSATION_NOT_FOUND,
    "ActivityNotFoundInConversation": ChatProblem.ACTIVITY_NOT_FOUND,
    "MemberNotFoundInConversation": ChatProblem.UNKNOWN_PERSON,
    "MessageSizeTooBig": ChatProblem.TOO_LARGE,
}
ASSUMED: Final[Mapping[str, ChatProblem]] = {
    "UserNotFound": ChatProblem.UNKNOWN_PERSON,  # the Playground's code for an empty chat, with status 500
    "BotDisabledByUser": ChatProblem.BLOCKED,  # only in posts of Microsoft's staff, in no document
}
"""Codes that no document of the vendor lists; one that never occurs does no harm. Also assumed: writes to an archived
team return MessageWritesBlocked, which is documented for personal chats only."""
_BY_STATUS: Final[Mapping[int, ChatProblem]] = {
    401: ChatProblem.UNAUTHORIZED,
    403: ChatProblem.FORBIDDEN,
    404: ChatProblem.CONVERSATION_NOT_FOUND,
    413: ChatProblem.TOO_LARGE,
}
ASSUMED_FOR_UPDATES: Final[Mapping[tuple[int, str], ChatProblem]] = {
    (403, "ServiceError"): ChatProblem.ACTIVITY_NOT_FOUND,  # BotFramework-Services#269: the message was deleted
    (404, ""): ChatProblem.ACTIVITY_NOT_FOUND,  # without a code, as gateways answer
}
"""Status and code of an answer to an update that perhaps mean that the message was deleted."""
_BY_NUMBER: Final[Mapping[int, str]] = {209: "MessageWritesBlocked"}  # {"errorCode": 209, "message": "{…}"}

TRANSIENT: Final = frozenset({408, 412, 425, 500, 502, 503, 504})
NOT_TAKEN: Final = frozenset({412, 425, 503})
"""Transient statuses that guarantee that no message was posted: a precondition failed, or no server was free. 408, 500,
502 and 504 do not: the message may be in the channel although its response was lost."""


def classify(
    status: int, headers: Mapping[str, str], raw: bytes, *, creates: bool, updates: bool = False, now: datetime
) -> ConnectorError:
    """Return the error for a status other than 2xx. If `creates`, the call posts a message; if `updates`, edits one."""
    code = error_code(raw)
    wait = retry_after(headers.get("Retry-After"), now=now)
    if status == 429:
        return ConnectorThrottled(DEFAULT_RETRY_AFTER if wait is None else wait, error_code=code)
    if problem := _BY_CODE.get(code) or ASSUMED.get(code):
        return ConnectorRefused(problem, status=status, error_code=code)
    if status in TRANSIENT or status > 504:
        lost = creates and status not in NOT_TAKEN
        return ConnectorUnavailable(code or f"http_{status}", ambiguous=lost, status=status, retry_after=wait)
    if updates and (problem := ASSUMED_FOR_UPDATES.get((status, code))):
        return ConnectorRefused(problem, status=status, error_code=code)
    if 300 <= status < 400:
        return ConnectorRefused(ChatProblem.BAD_REQUEST, status=status, error_code="redirected")
    return ConnectorRefused(_BY_STATUS.get(status, ChatProblem.BAD_REQUEST), status=status, error_code=code)


def error_code(raw: bytes) -> str:
    """Return the vendor's code in an error body, or an empty string.

    The usual body is `{"error": {"code", "message"}}`. Blocked writes return
    `{"errorCode": 209, "message": "<JSON as text>"}`. Gateways return HTML.
    """
    body = _object(raw)
    match body.get("error"):
        case {"code": str(code)}:
            return _word(code)
    number = body.get("errorCode")
    if isinstance(number, int) and number in _BY_NUMBER:
        return _BY_NUMBER[number]
    inner = body.get("message")
    nested = _object(inner.encode(errors="replace")) if isinstance(inner, str) else {}
    return _word(next((value for key in ("subCode", "code") if isinstance(value := nested.get(key), str)), ""))


def _word(code: str) -> str:
    """Return the code if it is one word, as the vendor's codes are, else "". A longer text may repeat the request."""
    return code if _CODE.fullmatch(code) else ""


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a `Retry-After` header (number or date), a minute at most; None if absent or unreadable."""
    seconds = None if value is None else _seconds(value, now)
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _seconds(value: str, now: datetime) -> float | None:
    with suppress(ValueError):
        return float(value)
    with suppress(ValueError, OverflowError):  # a year or a zone may have any number of digits
        moment = parsedate_to_datetime(value)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
