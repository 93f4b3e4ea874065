"""Microsoft Entra's check of a client assertion that another issuer signed (workload identity federation).

Fetches the keys from the issuer by OpenID Connect discovery, as Entra does.
https://learn.microsoft.com/entra/workload-id/workload-identity-federation
https://learn.microsoft.com/entra/identity-platform/reference-error-codes

Assumptions, because no page lists them for such assertions: AADSTS700027 for an invalid signature, AADSTS50027 for
an invalid JSON Web Token, and no tolerance for clock differences. AADSTS700211 to 700213 and 700024 are documented.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import jwt

JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ENTRA_AUDIENCE: Final = "api://AzureADTokenExchange"
_CLAIMS: Final = ("iss", "sub", "aud", "iat", "exp")


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedCredential:
    """Issuer, subject and audience that an app trusts; Entra compares all three exactly."""

    issuer: str
    subject: str
    audience: str = ENTRA_AUDIENCE


class AssertionRefused(Exception):
    """Entra refuses the assertion; `code` is the number of the AADSTS error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


async def check(assertion: str, trusted: FederatedCredential | None, *, now: Callable[[], float]) -> None:
    """Raise AssertionRefused unless the assertion authenticates the app. `now` returns seconds since 1970."""
    claims = _unverified(assertion)
    if trusted is None or claims["iss"] != trusted.issuer:
        raise AssertionRefused(700211, "No matching federated identity record found for presented assertion issuer.")
    if claims["sub"] != trusted.subject:
        raise AssertionRefused(700213, "No matching federated identity record found for presented assertion subject.")
    if claims["aud"] != trusted.audience:
        raise AssertionRefused(700212, "No matching federated identity record found for presented assertion audience.")
    _verify(assertion, await _published(trusted.issuer), audience=trusted.audience)
    if not claims["iat"] <= now() < claims["exp"]:
        raise AssertionRefused(700024, "Client assertion is not within its valid time range.")


def _unverified(assertion: str) -> Mapping[str, Any]:
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise AssertionRefused(50027, "JWT token is invalid or malformed.") from error
    numbers = all(isinstance(claims.get(name), int | float) for name in ("iat", "exp"))
    if not numbers or any(name not in claims for name in _CLAIMS):
        raise AssertionRefused(50027, "JWT token is invalid or malformed.")
    return claims


def _verify(assertion: str, keys: jwt.PyJWKSet, *, audience: str) -> None:
    try:
        key = keys[jwt.get_unverified_header(assertion)["kid"]]
        options: Any = {"verify_exp": False, "verify_iat": False}  # `check` compares times with the caller's clock
        jwt.decode(assertion, key, algorithms=["RS256"], audience=audience, options=options)
    except (jwt.PyJWTError, KeyError) as error:
        raise AssertionRefused(700027, "Client assertion contains an invalid signature.") from error


async def _published(issuer: str) -> jwt.PyJWKSet:
    try:
        async with aiohttp.ClientSession(trust_env=False, raise_for_status=True) as session:
            async with session.get(f"{issuer}/.well-known/openid-configuration") as answer:
                document = await answer.json()
            async with session.get(document["jwks_uri"]) as answer:
                return jwt.PyJWKSet.from_dict(await answer.json())
    except (aiohttp.ClientError, jwt.PyJWTError, KeyError, ValueError) as error:
        raise AssertionRefused(700027, "The issuer's keys could not be fetched.") from error
