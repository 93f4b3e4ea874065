"""Verifies the tokens of inbound requests: every check that the vendor documents, and no way around them.

Owns the rules for a token. Knows no HTTP request and no activity: the caller hands in the header and, for the second
half of the checks, what the body says.
https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt
from cachetools import LRUCache

from bot.ports.clock import Clock
from bot.teams.inbound.keys import ALGORITHM, SigningKey, SigningKeys
from bot.teams.login.clouds import PUBLIC

SKEW = 300.0  # seconds; the vendor's industry-standard clock skew
REMEMBERED = 2048  # verified tokens; Teams reuses one for about an hour, so this is far more than one tenant needs
LAST_INSTANT = 1e11  # epoch seconds, the year 5138; beyond it (or NaN, or infinite) a claim is no date


class Reason(StrEnum):
    """Why a token was refused; for the log, never for the caller."""

    ABSENT = "absent"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    KEY = "key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    CLAIM_MISSING = "claim_missing"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CHANNEL = "channel"
    SERVICE_URL = "service_url"


class TokenRefused(Exception):
    """The token does not prove that the Bot Framework sent this."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature, issuer, audience and times hold; the body is still to be compared."""

    key: SigningKey
    service_url: str
    expires_at: float  # epoch seconds

    def check_body(self, *, channel_id: str | None, service_url: str | None) -> None:
        """Raise TokenRefused unless the key endorses the body's channel and the body names the token's service."""
        if channel_id is None or not self.key.endorses(channel_id):
            raise TokenRefused(Reason.CHANNEL)
        if service_url is None or service_url != self.service_url:
            raise TokenRefused(Reason.SERVICE_URL)


class TokenVerifier:
    """Judges `Authorization` headers; remembers the tokens that held."""

    def __init__(self, keys: SigningKeys, *, app_id: str, issuer: str = PUBLIC.issuer, clock: Clock) -> None:
        """Take the app id that tokens must be meant for, and who signs; raise ValueError if there is no app id."""
        if not app_id:
            raise ValueError("an empty app id would accept any audience")
        self._keys = keys
        self._app_id = app_id
        self._issuer = issuer
        self._clock = clock
        self._verified: LRUCache[bytes, VerifiedToken] = LRUCache(REMEMBERED)

    async def verify(self, authorization: str | None) -> VerifiedToken:
        """Return the token of a header; raise TokenRefused, or KeysUnavailable before any key was ever had."""
        token = bearer(authorization)
        digest = hashlib.sha256(token.encode()).digest()
        if (known := self._recall(digest)) is not None:
            return known
        verified = await self._judge(token)
        self._verified[digest] = verified
        return verified

    def _recall(self, digest: bytes) -> VerifiedToken | None:
        known = self._verified.get(digest)
        if known is None:
            return None
        if self._clock.epoch() < known.expires_at and self._keys.held(known.key.kid) == known.key:
            return known
        del self._verified[digest]  # expired, or its key was withdrawn: judge it anew
        return None

    async def _judge(self, token: str) -> VerifiedToken:
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise TokenRefused(Reason.KEY)
        claims = self._signed_claims(token, key)
        expires_at = self._check_times(claims)
        service_url = claims.get("serviceurl")
        if not isinstance(service_url, str) or not service_url:
            raise TokenRefused(Reason.SERVICE_URL)
        return VerifiedToken(key=key, service_url=service_url, expires_at=expires_at)

    def _signed_claims(self, token: str, key: SigningKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.public,
                algorithms=[ALGORITHM],
                audience=self._app_id,
                issuer=self._issuer,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenRefused(_reason(error)) from error

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        expires_at = _instant(claims["exp"])
        if self._clock.epoch() >= expires_at + SKEW:
            raise TokenRefused(Reason.EXPIRED)
        if "nbf" in claims and self._clock.epoch() < _instant(claims["nbf"]) - SKEW:
            raise TokenRefused(Reason.NOT_YET_VALID)
        return expires_at


# The times are checked by us, on the injected clock; `iat`, `sub` and `jti` are no part of the vendor's checks.
_OPTIONS: Any = {
    "require": ["exp", "iss", "aud"],
    "strict_aud": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}


def bearer(authorization: str | None) -> str:
    """Return the token in an `Authorization` header; raise TokenRefused if there is none that could ever hold."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.casefold() != "bearer" or not token:
        raise TokenRefused(Reason.ABSENT)
    if token.count(".") != 2 or not token.isascii() or not token.isprintable():
        raise TokenRefused(Reason.MALFORMED)
    return token


def _key_id(token: str) -> str:
    # Before any key is fetched: a token of another algorithm must not even cost a look-up.
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefused(Reason.MALFORMED) from error
    if header.get("alg") != ALGORITHM:
        raise TokenRefused(Reason.ALGORITHM)
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise TokenRefused(Reason.KEY)
    return kid


def _instant(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < LAST_INSTANT:
        raise TokenRefused(Reason.MALFORMED)
    return float(value)


def _reason(error: Exception) -> Reason:
    match error:
        case jwt.InvalidSignatureError():
            return Reason.SIGNATURE
        case jwt.InvalidIssuerError():
            return Reason.ISSUER
        case jwt.InvalidAudienceError():
            return Reason.AUDIENCE
        case jwt.MissingRequiredClaimError():
            return Reason.CLAIM_MISSING
        case _:
            return Reason.MALFORMED
