"""STS's identity tokens for services outside AWS: GetWebIdentityToken, and the keys that the issuer publishes.

Owns the key, the claims and the issuer's two documents. IAM policies are not simulated.
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html

In AWS, each account that enables such tokens has an issuer with its own host name; here each account has its own path.
"""

import json
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from werkzeug.wrappers import Request, Response

from bot.sandbox.aws.callers import Caller
from bot.sandbox.aws.errors import AwsError

PREFIX: Final = "/_issuer/"
DISCOVERY: Final = "/.well-known/openid-configuration"
KEYS: Final = "/.well-known/jwks.json"
KID: Final = "RSA_0"  # the key id that AWS uses
DEFAULT_SECONDS: Final = 300
_ONE_KEY: Final = threading.Lock()


class WebIdentities:
    """The issuer. `enabled` says whether the accounts have enabled it. `endpoint` is set once the server listens."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now, self.enabled, self.endpoint = now, True, ""

    def issuer(self, account: str) -> str:
        """Return the claim `iss`, which is also the base address of the keys."""
        return f"{self.endpoint}{PREFIX}{account}"

    def get_web_identity_token(self, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
        """Answer sts:GetWebIdentityToken.

        Raises AwsError if the account has not enabled such tokens, for an algorithm other than RS256, or if the token
        would outlive the caller's session.
        """
        now = self._now()
        ends = now + timedelta(seconds=params.get("DurationSeconds", DEFAULT_SECONDS))
        self._check(caller, params["SigningAlgorithm"], ends)
        audience = params["Audience"]
        claims = {
            "iss": self.issuer(caller.account),
            "aud": audience[0] if len(audience) == 1 else audience,
            "sub": caller.session.role_arn,
            "iat": int(now.timestamp()),
            "exp": int(ends.timestamp()),
            "jti": str(uuid.uuid4()),
            "https://sts.amazonaws.com/": {"aws_account": caller.account, "source_region": caller.region},
        }
        return {"WebIdentityToken": self.signed(claims), "Expiration": ends}

    def signed(self, claims: dict[str, Any]) -> str:
        """Sign any claims with the issuer's key."""
        with _ONE_KEY:
            key = self._key
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": KID})

    def answer(self, request: Request) -> Response:
        """Return one of the issuer's two documents: its metadata or its keys; 404 for any other path."""
        account, slash, name = request.path.removeprefix(PREFIX).partition("/")
        documents = {DISCOVERY: self._discovery, KEYS: self._keys}
        document = documents.get(slash + name)
        if document is None:
            return Response("", 404)
        return Response(json.dumps(document(account)), content_type="application/json")

    def _check(self, caller: Caller, algorithm: str, ends: datetime) -> None:
        if not self.enabled:
            raise AwsError("OutboundWebIdentityFederationDisabledException", "It is not enabled for this account.", 403)
        if algorithm != "RS256":
            raise AwsError("NotInTheSandbox", "Statements are signed by RS256 here.")
        if caller.session.expires_at and ends > caller.session.expires_at:
            raise AwsError("SessionDurationEscalationException", "The token would outlive the session.", 403)

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _discovery(self, account: str) -> dict[str, Any]:
        issuer = self.issuer(account)
        return {
            "issuer": issuer,
            "jwks_uri": issuer + KEYS,
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        }

    def _keys(self, _account: str) -> dict[str, Any]:
        with _ONE_KEY:
            public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{"kty": "RSA", "n": public["n"], "e": public["e"], "use": "sig", "alg": "RS256", "kid": KID}]}
