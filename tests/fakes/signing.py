"""The sandbox's sign-in for tests: records and revokes tokens, rotates keys, and signs forged tokens."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.sandbox.teams.microsoft import ENDORSEMENTS, BotRegistration, Microsoft, SigningKey
from tests.fakes.people import APP_ID, TENANT_ID

SECRET = "the-app-secret-of-the-tests"
BOT = BotRegistration(app_id=APP_ID, tenant_id=TENANT_ID, app_secret=SECRET)
FIRST_KEY = "key-1"


@cache
def _make(_name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the private key of this name; generated once per process, because that is slow."""
    return _make(name, bits)


def signing_key(kid: str, *, bits: int = 2048, endorsements: Iterable[str] = ENDORSEMENTS) -> SigningKey:
    """Return the signing key of this name."""
    return SigningKey(kid=kid, private=rsa_key(kid, bits), endorsements=tuple(endorsements))


class SignIn(Microsoft):
    """The sandbox's Microsoft, which records the tokens that it grants and can revoke them."""

    def __init__(self, bot: BotRegistration = BOT, *, now: Callable[[], float] = time.time) -> None:
        super().__init__(bot, now=now, key=signing_key(FIRST_KEY))
        self.granted: list[str] = []
        self._revoked: set[str] = set()

    def outbound_token(self) -> str:
        """Return a new token for the bot's Connector calls, and record it."""
        self.granted.append(super().outbound_token())
        return self.granted[-1]

    def accepts(self, authorization: str) -> bool:
        """Return whether this header has a token that was granted here and is neither expired nor revoked."""
        return authorization.removeprefix("Bearer ") not in self._revoked and super().accepts(authorization)

    def revoke_tokens(self) -> None:
        """Refuse every token granted so far."""
        self._revoked.update(self.granted)

    def rotate_secret(self, secret: str) -> None:
        """Accept only this client secret from now on."""
        self.bot = replace(self.bot, app_secret=secret)


class Signer:
    """Publishes and withdraws keys of a Microsoft, and signs tokens with any claims and any key."""

    def __init__(self, microsoft: Microsoft) -> None:
        self._microsoft = microsoft
        self._headers: dict[tuple[str, str], str] = {}
        self.published = microsoft.published
        """The published keys by key id; a test may change their members."""

    @property
    def current(self) -> str:
        """The id of the key that signs now; a test may set it to an earlier one."""
        return self._microsoft.signing_key.kid

    @current.setter
    def current(self, kid: str) -> None:
        self._microsoft.signing_key = signing_key(kid)

    def rotate(self, kid: str, *, endorsements: Iterable[str] | None = ENDORSEMENTS) -> None:
        """Publish one more key and sign with it from now on."""
        self.publish(kid, endorsements=endorsements)
        self.current = kid

    def publish(self, kid: str, *, endorsements: Iterable[str] | None = ENDORSEMENTS, bits: int = 2048) -> None:
        """Publish a key. With `endorsements` None, the published key lacks this member."""
        self.published[kid] = signing_key(kid, bits=bits, endorsements=endorsements or ()).published()
        if endorsements is None:
            del self.published[kid]["endorsements"]

    def withdraw(self, kid: str) -> None:
        """Stop publishing a key."""
        del self.published[kid]

    def claims(self, service_url: str, **changed: Any) -> dict[str, Any]:
        """Return the claims of a good token, with changes; a value of None removes the claim."""
        good = self._microsoft.inbound_claims(service_url=service_url)
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, claims: Mapping[str, Any], *, kid: str | None = None, signed_by: str | None = None) -> str:
        """Return a token with these claims and the key id `kid`, signed with the key named `signed_by`.

        Without `kid`, it has the id of the current key; without `signed_by`, the key with that id signs.
        """
        if kid is None and signed_by is None:
            return self._microsoft.signed(claims)
        named = kid or self.current
        return jwt.encode(dict(claims), rsa_key(signed_by or named), algorithm="RS256", headers={"kid": named})

    def header(self, service_url: str, **changed: Any) -> str:
        """Return the `Authorization` header of a good token for this service address, with changes as in `claims`."""
        claims = self.claims(service_url, **changed)
        key = (self.current, repr(claims))  # the same claims give the same token, and a signature takes 1 ms
        if key not in self._headers:
            self._headers[key] = f"Bearer {self.token(claims)}"
        return self._headers[key]
