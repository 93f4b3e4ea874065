"""Parses the responses of token endpoints: Microsoft Entra's and those of Azure's managed identities.

A response may repeat a secret from the request, so errors contain only documented error codes from it. Does no I/O.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import SecretStr

from bot.ports.teams import ChatProblem
from bot.teams.net.session import as_object
from bot.teams.wire.errors import LONGEST_CODE, ConnectorError, ConnectorRefused, ConnectorUnavailable

_OAUTH_ERROR: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)  # RFC 6749 section 5.2; no secret has this form


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A bearer token, and its remaining lifetime in seconds."""

    token: SecretStr
    seconds: float


class TokenSource(Protocol):
    """Fetches the bot's token. Implemented by Entra and ManagedIdentity."""

    async def fetch(self) -> TokenResponse:
        """Fetch a new token.

        Raises ConnectorError, aiohttp.ClientError, OSError or ValueError. No error contains a secret.
        """


def read_token_response(status: int, raw: bytes, *, transient: frozenset[int], now: float) -> TokenResponse:
    """Return the token in a response. `transient` are the statuses below 500 that do not mean a refusal of the app.

    `now` is in seconds since 1970.

    Raises ConnectorRefused or ConnectorUnavailable for a status other than 200, ValueError for a body without a token.
    """
    if status != 200:
        raise _refusal(status, raw, transient)
    body = _body(raw)
    token = body.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise ValueError("no access token")
    return TokenResponse(SecretStr(token), _seconds(body, now))


def _refusal(status: int, raw: bytes, transient: frozenset[int]) -> ConnectorError:
    code = _code(raw)
    if 400 <= status < 500 and status not in transient:
        # a wrong secret, assertion, app, identity or tenant
        return ConnectorRefused(ChatProblem.UNAUTHORIZED, status=status, error_code=code)
    return ConnectorUnavailable(code or f"http_{status}", status=status)


def _body(raw: bytes) -> dict[str, Any]:
    try:
        return as_object(raw)
    except ValueError:
        raise ValueError("no JSON object") from None  # the error of `json` contains the whole document


def _seconds(body: Mapping[str, Any], now: float) -> float:
    # Entra states the lifetime. App Service and Container Apps state only the end, in seconds since 1970.
    lifetime, end = _number(body.get("expires_in")), _number(body.get("expires_on"))
    if lifetime is None:
        return 0.0 if end is None else end - now
    return lifetime


def _number(value: object) -> float | None:
    if not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):
        raise ValueError("no number") from None  # Python's own message repeats the text
    if not math.isfinite(found):
        raise ValueError("no number")
    return found


def _code(raw: bytes) -> str:
    """Return the OAuth error and Entra's error numbers, for example `invalid_client AADSTS7000215`; or ""."""
    try:
        body = _body(raw)
    except ValueError:
        return ""
    word, numbers = body.get("error"), body.get("error_codes")
    named = [word] if isinstance(word, str) and _OAUTH_ERROR.fullmatch(word) else []
    listed = numbers if isinstance(numbers, list) else []
    named += [f"AADSTS{each}" for each in listed if type(each) is int and 0 < each < 10**9]
    return " ".join(named)[:LONGEST_CODE]
