"""Microsoft's identity services on loopback: keys that sign inbound requests, and the bot's outbound token.

Owns the keys, the claims and the checks of the sandbox's sign-in. Knows nothing of activities or of the
Playground. Nothing here is a shortcut: the bot verifies these tokens exactly as it verifies Microsoft's.

https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bot.sandbox.teams.federated_credentials import JWT_BEARER, AssertionRefused, FederatedCredential, check

BOT_FRAMEWORK: Final = "https://api.botframework.com"  # issuer of inbound tokens, audience of outbound ones
SCOPE: Final = f"{BOT_FRAMEWORK}/.default"
METADATA_PATH: Final = "/v1/.well-known/openidconfiguration"
KEYS_PATH: Final = "/v1/.well-known/keys"
TOKEN_PATH: Final = "/{tenant}/oauth2/v2.0/token"
LIFETIME: Final = 3600  # seconds; what Microsoft's tokens of both directions live
ENDORSEMENTS: Final = ("msteams",)  # channels for which the key may sign


@dataclass(frozen=True, slots=True, kw_only=True)
class BotRegistration:
    """The Azure Bot as the sandbox's Microsoft knows it. Without a secret none is the right one."""

    app_id: str
    tenant_id: str
    app_secret: str = ""
    federated: FederatedCredential | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _SigningKey:
    kid: str
    private: rsa.RSAPrivateKey
    endorsements: tuple[str, ...]

    @classmethod
    def generate(cls, endorsements: tuple[str, ...]) -> "_SigningKey":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return cls(kid=secrets.token_urlsafe(16), private=private, endorsements=endorsements)

    def published(self) -> dict[str, Any]:
        public = json.loads(RSAAlgorithm.to_jwk(self.private.public_key()))
        wanted = {name: public[name] for name in ("kty", "n", "e")}
        about = {"use": "sig", "kid": self.kid, "x5t": self.kid, "endorsements": list(self.endorsements)}
        return wanted | about


class Microsoft:
    """Signs what reaches the bot, and gives the bot the token with which it answers."""

    def __init__(self, bot: BotRegistration, *, now: Callable[[], float] = time.time) -> None:
        self._bot = bot
        self._now = now
        self._keys = [_SigningKey.generate(ENDORSEMENTS)]
        self._entra_key = secrets.token_bytes(32)  # the bot must not look into its own token, so any key will do
        self.tokens_granted = 0

    def rotate_key(self, *, endorsements: tuple[str, ...] = ENDORSEMENTS) -> None:
        """Sign with a new key from now on; the earlier ones stay published, as Microsoft's do."""
        self._keys.append(_SigningKey.generate(endorsements))

    def inbound_token(self, *, service_url: str) -> str:
        """Mint the token that accompanies an activity whose `serviceUrl` is this one."""
        now = int(self._now())
        claims = {
            "iss": BOT_FRAMEWORK,
            "aud": self._bot.app_id,
            "nbf": now,
            "exp": now + LIFETIME,
            "serviceurl": service_url,
        }
        key = self._keys[-1]
        return jwt.encode(claims, key.private, algorithm="RS256", headers={"kid": key.kid, "x5t": key.kid})

    def accepts(self, authorization: str) -> bool:
        """Tell whether this Authorization header carries a live token that this sandbox gave to its bot."""
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer":
            return False
        try:
            claims = jwt.decode(
                token,
                self._entra_key,
                algorithms=["HS256"],
                audience=BOT_FRAMEWORK,
                options={"require": ["exp", "aud", "appid"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return False
        # expiry is measured on our own clock, so that a test may move it
        return bool(claims["appid"] == self._bot.app_id and claims["exp"] > self._now())

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to mount on the sandbox's one loopback address."""
        return [
            web.get(METADATA_PATH, self._metadata),
            web.get(KEYS_PATH, self._published_keys),
            web.post(TOKEN_PATH, self.token),
        ]

    async def _metadata(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": BOT_FRAMEWORK,
                "jwks_uri": str(request.url.with_path(KEYS_PATH)),
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _published_keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [key.published() for key in self._keys]})

    async def token(self, request: web.Request) -> web.Response:
        """Answer a token request of a path of TOKEN_PATH's form."""
        form = await request.post()
        values = {name: value for name, value in form.items() if isinstance(value, str)}
        refusal = await self._refusal(request.match_info["tenant"], values)
        if refusal is not None:
            return refusal
        self.tokens_granted += 1
        grant = {"token_type": "Bearer", "expires_in": LIFETIME - 1, "ext_expires_in": LIFETIME - 1}
        return web.json_response(grant | {"access_token": self._outbound_token()})

    def _outbound_token(self) -> str:
        now = int(self._now())
        claims = {
            "iss": f"https://sts.windows.net/{self._bot.tenant_id}/",
            "aud": BOT_FRAMEWORK,
            "appid": self._bot.app_id,
            "nbf": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._entra_key, algorithm="HS256")

    async def _refusal(self, tenant: str, form: dict[str, str]) -> web.Response | None:
        """Return Microsoft Entra's refusal of this token request, or None if there is nothing to refuse."""
        if tenant != self._bot.tenant_id:
            return _refused(400, "invalid_request", 90002, "Tenant not found.")
        if form.get("grant_type") != "client_credentials":
            return _refused(400, "unsupported_grant_type", 70003, "The grant type is not supported.")
        if form.get("client_id") != self._bot.app_id:
            return _refused(400, "unauthorized_client", 700016, "Application not found in the directory.")
        if form.get("scope") != SCOPE:
            return _refused(400, "invalid_scope", 70011, "The provided scope is not valid.")
        if "client_assertion" in form:
            return await self._disbelief(form)
        if not form.get("client_secret"):
            return _refused(401, "invalid_client", 7000216, "A client secret or assertion is required.")
        if not hmac.compare_digest(form["client_secret"].encode(), self._bot.app_secret.encode()):
            return _refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
        return None

    async def _disbelief(self, form: dict[str, str]) -> web.Response | None:
        """Return the refusal of what should prove the app without a secret."""
        if form.get("client_assertion_type") != JWT_BEARER or "client_secret" in form:
            return _refused(401, "invalid_client", 7000216, "One client secret, or an assertion of the known type.")
        try:
            await check(form["client_assertion"], self._bot.federated, now=self._now)
        except AssertionRefused as refused:
            return _refused(401, "invalid_client", refused.code, refused.text)
        return None


def _refused(status: int, error: str, code: int, text: str) -> web.Response:
    """Answer in the form of Entra's errors; the numbers are those of its AADSTS error list."""
    body = {"error": error, "error_description": f"AADSTS{code}: {text}", "error_codes": [code]}
    return web.json_response(body, status=status)
