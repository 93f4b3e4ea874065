"""Keys and tokens as the Bot Framework makes them, for tests."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://api.botframework.com"


@cache
def _make(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A private key per name; made once per process, because making one is slow."""
    return _make(name, bits)


class Signer:
    """Signs tokens for one app, and knows which keys are published."""

    def __init__(self, *, app_id: str, now: Callable[[], float] = time.time) -> None:
        self._app_id = app_id
        self._now = now
        self.published: dict[str, dict[str, Any]] = {}
        self.current = ""
        self.rotate("key-1")

    def rotate(self, kid: str, *, endorsements: Iterable[str] | None = ("msteams",)) -> None:
        """Publish one more key and sign with it from now on."""
        self.publish(kid, endorsements=endorsements)
        self.current = kid

    def publish(self, kid: str, *, endorsements: Iterable[str] | None = ("msteams",), bits: int = 2048) -> None:
        """Publish a key."""
        entry: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(rsa_key(kid, bits).public_key()))
        entry |= {"kid": kid, "use": "sig"}
        if endorsements is not None:
            entry["endorsements"] = list(endorsements)
        self.published[kid] = entry

    def withdraw(self, kid: str) -> None:
        """Publish a key no longer."""
        del self.published[kid]

    def claims(self, service_url: str, **changed: Any) -> dict[str, Any]:
        """The claims of a good token; a value of None leaves the claim out."""
        now = self._now()
        good = {
            "iss": ISSUER,
            "aud": self._app_id,
            "exp": int(now) + 3600,
            "nbf": int(now) - 60,
            "serviceurl": service_url,
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, claims: Mapping[str, Any], *, kid: str | None = None, signed_by: str | None = None) -> str:
        """A token of those claims, signed with the current key or as told."""
        named = kid or self.current
        key = rsa_key(signed_by or named)
        return jwt.encode(dict(claims), key, algorithm="RS256", headers={"kid": named})

    def header(self, service_url: str, **changed: Any) -> str:
        """A good `Authorization` header for activities from that service address."""
        return f"Bearer {self.token(self.claims(service_url, **changed))}"
