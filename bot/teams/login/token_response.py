"""A token for the Connector as somebody grants it: its shape, and what an answer that grants nothing means.

Owns the reading of such answers, which Microsoft Entra and Azure's identity endpoints give alike. Does no I/O, and
repeats nothing of an answer but the codes that the vendor documents, for a body may hold what was sent.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import SecretStr

from bot.ports.teams import ChatProblem
from bot.teams.net.session import as_object
from bot.teams.wire.errors import LONGEST_CODE, ConnectorError, ConnectorRefused, ConnectorUnavailable

_WORD = re.compile(r"[a-z_]{1,40}", re.ASCII)  # an OAuth error, RFC 6749 section 5.2; no secret has this form


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A bearer token, and for how many seconds from now it lasts."""

    token: SecretStr
    seconds: float


class TokenSource(Protocol):
    """Where the bot's token comes from."""

    async def fetch(self) -> TokenResponse:
        """Get a new token. Raises ConnectorError, aiohttp.ClientError, OSError or ValueError; none holds a secret."""


def read_token_response(raw: bytes, *, now: float) -> TokenResponse:
    """Return what an answer grants; raise ValueError for one that grants nothing."""
    body = _body(raw)
    token = body.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise ValueError("no access token")
    return TokenResponse(SecretStr(token), _seconds(body, now))


def refusal(status: int, raw: bytes, *, transient: frozenset[int]) -> ConnectorError:
    """Return what an answer other than 200 means; `transient`: statuses below 500 that speak of the way, not of us."""
    code = _code(raw)
    if 400 <= status < 500 and status not in transient:
        # a wrong secret, assertion, app, identity or tenant
        return ConnectorRefused(ChatProblem.UNAUTHORIZED, status=status, error_code=code)
    return ConnectorUnavailable(code or f"http_{status}", status=status)


def _body(raw: bytes) -> dict[str, Any]:
    try:
        return as_object(raw)
    except ValueError:
        raise ValueError("no JSON object") from None  # json's own error keeps the whole document


def _seconds(body: Mapping[str, Any], now: float) -> float:
    # Entra says how long it lasts; App Service and Container Apps only when it ends, in seconds since 1970.
    lasts, ends = _number(body.get("expires_in")), _number(body.get("expires_on"))
    if lasts is None:
        return 0.0 if ends is None else ends - now
    return lasts


def _number(value: object) -> float | None:
    if not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):
        raise ValueError("no number") from None  # Python's own words repeat the text
    if not math.isfinite(found):
        raise ValueError("no number")
    return found


def _code(raw: bytes) -> str:
    """Return the OAuth error and Entra's own numbers: `invalid_client AADSTS7000215`."""
    try:
        body = _body(raw)
    except ValueError:
        return ""
    word, numbers = body.get("error"), body.get("error_codes")
    named = [word] if isinstance(word, str) and _WORD.fullmatch(word) else []
    listed = numbers if isinstance(numbers, list) else []
    named += [f"AADSTS{each}" for each in listed if type(each) is int and 0 < each < 10**9]
    return " ".join(named)[:LONGEST_CODE]
