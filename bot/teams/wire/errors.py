"""What can go wrong with an outbound call to Teams: a closed set, and how an answer maps to it.

Owns the vendor's error codes. Knows no conversation and does no I/O.
https://learn.microsoft.com/microsoftteams/platform/bots/build-conversational-capability#status-code-retry-guidance
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable

LONGEST_RETRY_AFTER = 3600.0  # seconds; the longest window in the vendor's rate limits
DEFAULT_RETRY_AFTER = 1.0  # seconds, where a 429 names none; the vendor's shortest window
LONGEST_CODE = 64  # characters; codes go to the log, and a body is text from outside
_CODE = re.compile(rf"\w{{1,{LONGEST_CODE}}}", re.ASCII)  # a token is longer


class ConnectorError(Exception):
    """A call to the Connector that did not succeed: always one of the three below, which are the port's own errors.

    `status` is the HTTP status, None where there was no answer; `error_code` the vendor's word or ours.
    """

    status: int | None
    error_code: str


class ConnectorThrottled(ConnectorError, ChatThrottled):
    """Too many calls: nothing was done. Ask again after `retry_after` seconds."""

    def __init__(self, retry_after: float, *, error_code: str = "") -> None:
        ChatThrottled.__init__(self, retry_after)
        self.status, self.error_code = 429, error_code


class ConnectorUnavailable(ConnectorError, ChatUnavailable):
    """Teams could not be reached or failed. `ambiguous`: a new message may have been posted all the same."""

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
    """Teams, or we ourselves, will not do it: asking again does not help."""

    def __init__(self, problem: ChatProblem, *, status: int | None = None, error_code: str = "") -> None:
        ChatRefused.__init__(self, problem, error_code or str(status or ""))
        self.status, self.error_code = status, error_code


_BY_CODE: Mapping[str, ChatProblem] = {
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
ASSUMED: Mapping[str, ChatProblem] = {
    "UserNotFound": ChatProblem.UNKNOWN_PERSON,  # the Playground's word for a chat with nobody in it, sent with a 500
    "BotDisabledByUser": ChatProblem.BLOCKED,  # named in answers of Microsoft's staff, in none of the documents
}
"""Codes that no document of the vendor lists; one that never comes does no harm. Assumed too, as no document says so:
that writes to an archived team are answered with MessageWritesBlocked, which is documented for personal chats alone."""
_BY_STATUS: Mapping[int, ChatProblem] = {
    401: ChatProblem.UNAUTHORIZED,
    403: ChatProblem.FORBIDDEN,
    404: ChatProblem.CONVERSATION_NOT_FOUND,
    413: ChatProblem.TOO_LARGE,
}
_BY_NUMBER: Mapping[int, str] = {209: "MessageWritesBlocked"}  # {"errorCode": 209, "message": "{…}"}

TRANSIENT = frozenset({408, 412, 425, 500, 502, 503, 504})
NOT_TAKEN = frozenset({412, 425, 503})
"""Transient answers that say the message was not taken: a precondition failed, or no server was free. 408, 500, 502 and
504 say nothing of the kind: the message may stand in the channel although its answer was lost on the way back."""


def classify(status: int, headers: Mapping[str, str], raw: bytes, *, creates: bool, now: datetime) -> ConnectorError:
    """Return the error that an answer other than 2xx means; `creates`: the call would have made a new message."""
    code = error_code(raw)
    wait = retry_after(headers.get("Retry-After"), now=now)
    if status == 429:
        return ConnectorThrottled(DEFAULT_RETRY_AFTER if wait is None else wait, error_code=code)
    if problem := _BY_CODE.get(code) or ASSUMED.get(code):
        return ConnectorRefused(problem, status=status, error_code=code)
    if status in TRANSIENT or status > 504:
        lost = creates and status not in NOT_TAKEN
        return ConnectorUnavailable(code or f"http_{status}", ambiguous=lost, status=status, retry_after=wait)
    if 300 <= status < 400:
        return ConnectorRefused(ChatProblem.BAD_REQUEST, status=status, error_code="redirected")
    return ConnectorRefused(_BY_STATUS.get(status, ChatProblem.BAD_REQUEST), status=status, error_code=code)


def error_code(raw: bytes) -> str:
    """Return the vendor's code from an error body of any known form, else an empty text.

    `{"error": {"code", "message"}}` is the rule; `{"errorCode": 209, "message": "<JSON as text>"}` comes for blocked
    writes; gateways answer in HTML.
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
    """Return a code that is a word, as the vendor's are; what has another form may be what was sent."""
    return code if _CODE.fullmatch(code) else ""


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a `Retry-After` header (a number or a date), bounded; None if absent or unreadable."""
    if value is None:
        return None
    with suppress(ValueError):
        seconds = float(value)
        return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else None  # noqa: PLR0124 - NaN
    with suppress(ValueError):
        moment = parsedate_to_datetime(value)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
        return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
    return None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
