"""Verifies the bearer tokens of inbound requests: every check that the vendor documents.

TokenVerifier checks the token itself. VerifiedToken then compares it with the body of the request.
https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import jwt
from cachetools import LRUCache

from bot.ports.clock import Clock
from bot.teams.inbound.keys import ALGORITHM, SigningKey, SigningKeys
from bot.teams.login.clouds import PUBLIC
from bot.teams.net.addresses import host_of

SKEW: Final = 300.0  # seconds; the clock skew that the vendor allows
REMEMBERED: Final = 2048  # verified tokens; Teams reuses one for about an hour, so this is more than one tenant needs
LATEST: Final = 1e11  # seconds since 1970, the year 5138; larger values, NaN and infinity are invalid


class Reason(StrEnum):
    """The reason for refusing a token. It is logged and never sent."""

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
    """The token does not prove that the Bot Framework sent the request.

    `seen` is the value that was wrong, from a token with a valid signature; empty for all others.
    """

    def __init__(self, reason: Reason, seen: object = "") -> None:
        super().__init__(reason.value)
        self.reason, self.seen = reason, str(seen)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token with a valid signature, issuer, audience and lifetime. Call `check_body` before you trust the body."""

    key: SigningKey
    service_url: str
    expires_at: float  # seconds since 1970

    def check_body(self, *, channel_id: str | None, service_url: str | None) -> None:
        """Raise TokenRefused unless the key endorses the body's channel and the body names the token's service."""
        if channel_id is None or not self.key.endorses(channel_id):
            raise TokenRefused(Reason.CHANNEL, channel_id or "no channel")
        if not service_url or _service(service_url) != _service(self.service_url):
            raise TokenRefused(Reason.SERVICE_URL, host_of(service_url or "no address"))


class TokenVerifier:
    """Verifies `Authorization` headers; remembers valid tokens."""

    def __init__(self, keys: SigningKeys, *, app_id: str, issuer: str = PUBLIC.issuer, clock: Clock) -> None:
        """Take the required audience (the app id) and issuer of tokens. Raises ValueError if the app id is empty."""
        if not app_id:
            raise ValueError("an empty app id would accept any audience")
        self._keys = keys
        self._app_id = app_id
        self._issuer = issuer
        self._clock = clock
        self._verified: LRUCache[bytes, VerifiedToken] = LRUCache(REMEMBERED)

    async def verify(self, authorization: str | None) -> VerifiedToken:
        """Return the token of a header. Raises TokenRefused, or KeysUnavailable before the first keys are fetched."""
        token = bearer(authorization)
        digest = hashlib.sha256(token.encode()).digest()
        if (known := self._remembered(digest)) is not None:
            return known
        verified = await self._verify_new(token)
        self._verified[digest] = verified
        return verified

    def _remembered(self, digest: bytes) -> VerifiedToken | None:
        known = self._verified.get(digest)
        if known is None:
            return None
        if self._clock.epoch() < known.expires_at and self._keys.trusted(known.key.kid) == known.key:
            return known
        del self._verified[digest]  # expired, or its key was withdrawn: verify it again
        return None

    async def _verify_new(self, token: str) -> VerifiedToken:
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise TokenRefused(Reason.KEY)
        claims = self._signed_claims(token, key)
        expires_at = self._check_times(claims)
        service_url = claims.get("serviceurl")
        if not isinstance(service_url, str) or not service_url:
            raise TokenRefused(Reason.SERVICE_URL, "no address in the token")
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
            reason = _reason(error)
            # the signature is verified before the claims
            claim = _CLAIMS.get(reason)
            raise TokenRefused(reason, _unverified(token).get(claim, "") if claim else "") from error

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        expires_at = _instant(claims["exp"])
        if self._clock.epoch() >= expires_at + SKEW:
            raise TokenRefused(Reason.EXPIRED, f"{_about(self._clock.epoch() - expires_at)} ago")
        if "nbf" in claims and self._clock.epoch() < (begins := _instant(claims["nbf"])) - SKEW:
            raise TokenRefused(Reason.NOT_YET_VALID, f"in {_about(begins - self._clock.epoch())}")
        return expires_at


def _about(seconds: float) -> str:
    """Return a rough span, in tens of minutes or in hours. An exact one would log a new warning for each token."""
    return f"about {round(seconds / 3600)} h" if seconds >= 3600 else f"about {round(seconds / 600) * 10} min"


_CLAIMS: Final[Mapping[Reason, str]] = {Reason.AUDIENCE: "aud", Reason.ISSUER: "iss"}


def _unverified(token: str) -> Mapping[str, Any]:
    claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


# `_check_times` checks the times, on the injected clock. `iat`, `sub` and `jti` are not part of the vendor's checks.
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
    """Return the token in an `Authorization` header. Raises TokenRefused for no token, or one that cannot be valid."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.casefold() != "bearer" or not token:
        raise TokenRefused(Reason.ABSENT)
    if token.count(".") != 2 or not token.isascii() or not token.isprintable():
        raise TokenRefused(Reason.MALFORMED)
    return token


def _service(url: str) -> str:
    """Return a service URL for comparison: letter case, slashes at the end and the default port do not count.

    Microsoft's SDKs ignore case and slashes, too.
    """
    if not url.isascii():
        return url  # some letters outside ASCII have ASCII lower case
    scheme, mark, rest = url.rstrip("/").lower().partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.removesuffix(':443') if scheme == 'https' else host}{slash}{path}"


def _key_id(token: str) -> str:
    # Checked before keys are fetched: a token with another algorithm must not cause a fetch.
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
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < LATEST:
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
