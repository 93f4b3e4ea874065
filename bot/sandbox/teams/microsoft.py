"""Microsoft's identity services on loopback: keys that sign inbound requests, and the bot's outbound tokens.

Owns the keys, the claims and the checks of the sign-in. Knows neither activities nor the Playground. There are no
shortcuts: the bot verifies these tokens exactly as it verifies Microsoft's.

https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bot.sandbox.teams.federated_credentials import JWT_BEARER, AssertionRefused, FederatedCredential, check

BOT_FRAMEWORK: Final = "https://api.botframework.com"  # issuer of inbound tokens, audience of outbound ones
METADATA_PATH: Final = "/v1/.well-known/openidconfiguration"
KEYS_PATH: Final = "/v1/.well-known/keys"
TOKEN_PATH: Final = "/{tenant}/oauth2/v2.0/token"
GRAPH_ROLE: Final = "GroupMember.Read.All"  # the app role that the bot needs for groups of approvers
LIFETIME: Final = 3600  # seconds; the lifetime of Microsoft's tokens in both directions
EXPIRES_IN: Final = LIFETIME - 1  # seconds, as Entra announces it
ENDORSEMENTS: Final = ("msteams",)  # channels for which the key may sign


@dataclass(frozen=True, slots=True, kw_only=True)
class BotRegistration:
    """The Azure Bot at the simulated Microsoft. With an empty `app_secret`, every client secret is refused."""

    app_id: str
    tenant_id: str
    app_secret: str = ""
    federated: FederatedCredential | None = None
    resource: str = BOT_FRAMEWORK  # audience of the bot's tokens: the Connector of its cloud

    @property
    def scope(self) -> str:
        """The scope that the bot must request."""
        return f"{self.resource}/.default"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key of the Bot Framework, with the channels for which it may sign."""

    kid: str
    private: rsa.RSAPrivateKey
    endorsements: tuple[str, ...]

    @classmethod
    def generate(cls, endorsements: tuple[str, ...]) -> "SigningKey":
        """Return a new key."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return cls(kid=secrets.token_urlsafe(16), private=private, endorsements=endorsements)

    def published(self) -> dict[str, Any]:
        """Return the public half as Microsoft publishes it."""
        public = json.loads(RSAAlgorithm.to_jwk(self.private.public_key()))
        wanted = {name: public[name] for name in ("kty", "n", "e")}
        about = {"use": "sig", "kid": self.kid, "x5t": self.kid, "endorsements": list(self.endorsements)}
        return wanted | about


class Microsoft:
    """Signs requests to the bot, and issues the tokens for the bot's calls to the Connector and to Graph.

    `bot` may be replaced, for example to rotate its secret. `published` holds the published keys by key id.
    """

    def __init__(
        self, bot: BotRegistration, *, now: Callable[[], float] = time.time, key: SigningKey | None = None
    ) -> None:
        self.bot = bot
        self.published: dict[str, dict[str, Any]] = {}
        self._now = now
        self.sign_with(key or SigningKey.generate(ENDORSEMENTS))
        self._entra_key = secrets.token_bytes(32)  # a random key is enough: the bot must not read its own token
        self.tokens_granted = 0
        self.graph_url = ""  # the origin of Microsoft Graph; tokens for it are issued once it is set
        self.graph_roles: tuple[str, ...] = (GRAPH_ROLE,)  # to which an administrator has consented

    def rotate_key(self, *, endorsements: tuple[str, ...] = ENDORSEMENTS) -> None:
        """Sign with a new key from now on."""
        self.sign_with(SigningKey.generate(endorsements))

    def sign_with(self, key: SigningKey) -> None:
        """Sign with this key from now on; earlier keys stay published, as Microsoft's do."""
        self.signing_key = key
        self.published[key.kid] = key.published()

    def inbound_token(self, *, service_url: str) -> str:
        """Return the token for an activity with this `serviceUrl`."""
        return self.signed(self.inbound_claims(service_url=service_url))

    def inbound_claims(self, *, service_url: str) -> dict[str, Any]:
        """Return the claims of the token for an activity with this `serviceUrl`."""
        now = int(self._now())
        return {
            "iss": BOT_FRAMEWORK,
            "aud": self.bot.app_id,
            "nbf": now,
            "exp": now + LIFETIME,
            "serviceurl": service_url,
        }

    def signed(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims, signed with the current key."""
        key = self.signing_key
        return jwt.encode(dict(claims), key.private, algorithm="RS256", headers={"kid": key.kid, "x5t": key.kid})

    def accepts(self, authorization: str) -> bool:
        """Return whether this Authorization header has an unexpired token that this object issued to the bot."""
        return self._claims_for(self.bot.resource, authorization) is not None

    def roles_for_graph(self, authorization: str) -> tuple[str, ...] | None:
        """Return the roles in the token for Graph in this Authorization header; None if it has no valid one."""
        claims = self._claims_for(self.graph_url, authorization) if self.graph_url else None
        return None if claims is None else tuple(claims.get("roles", ()))

    def _claims_for(self, resource: str, authorization: str) -> dict[str, Any] | None:
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer":
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._entra_key,
                algorithms=["HS256"],
                audience=resource,
                options={
                    "require": ["exp", "nbf", "aud", "appid"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError:
            return None
        # compares the times with the injected clock, which a test can move
        valid = claims["nbf"] <= self._now() < claims["exp"]
        return claims if valid and claims["appid"] == self.bot.app_id else None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the simulated Microsoft that this class answers."""
        return [
            web.get(METADATA_PATH, self._metadata),
            web.get(KEYS_PATH, self._published_keys),
            web.post(TOKEN_PATH, self._token),
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
        return web.json_response({"keys": list(self.published.values())})

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        values = {name: value for name, value in form.items() if isinstance(value, str)}
        refusal = await self._refusal(request.match_info["tenant"], values)
        if refusal is not None:
            return refusal
        self.tokens_granted += 1
        grant = {"token_type": "Bearer", "expires_in": EXPIRES_IN, "ext_expires_in": EXPIRES_IN}
        token = self.outbound_token() if values["scope"] == self.bot.scope else self.graph_token()
        return web.json_response(grant | {"access_token": token})

    def outbound_token(self) -> str:
        """Return a new token for the bot's Connector calls."""
        return self._issued(self.bot.resource)

    def graph_token(self) -> str:
        """Return a new token for Microsoft Graph. Without a consent it has no roles, as Entra's."""
        return self._issued(self.graph_url, **({"roles": list(self.graph_roles)} if self.graph_roles else {}))

    def _issued(self, resource: str, **more: object) -> str:
        now = int(self._now())
        claims = {
            **more,
            "iss": f"https://sts.windows.net/{self.bot.tenant_id}/",
            "aud": resource,
            "appid": self.bot.app_id,
            "uti": secrets.token_urlsafe(16),  # Entra's id of a token: no two are equal
            "nbf": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._entra_key, algorithm="HS256")

    async def _refusal(self, tenant: str, form: dict[str, str]) -> web.Response | None:
        """Return Microsoft Entra's refusal of this token request, or None if it is valid."""
        if tenant != self.bot.tenant_id:
            return _refused(400, "invalid_request", 90002, "Tenant not found.")
        if form.get("grant_type") != "client_credentials":
            return _refused(400, "unsupported_grant_type", 70003, "The grant type is not supported.")
        if form.get("client_id") != self.bot.app_id:
            return _refused(400, "unauthorized_client", 700016, "Application not found in the directory.")
        if form.get("scope") not in self._scopes():
            return _refused(400, "invalid_scope", 70011, "The provided scope is not valid.")
        if "client_assertion" in form:
            return await self._assertion_refusal(form)
        if not form.get("client_secret"):
            return _refused(401, "invalid_client", 7000216, "A client secret or assertion is required.")
        if not hmac.compare_digest(form["client_secret"].encode(), self.bot.app_secret.encode()):
            return _refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
        return None

    def _scopes(self) -> set[str]:
        return {self.bot.scope} | ({f"{self.graph_url}/.default"} if self.graph_url else set())

    async def _assertion_refusal(self, form: dict[str, str]) -> web.Response | None:
        """Return the refusal of this client assertion, or None if it is valid."""
        if form.get("client_assertion_type") != JWT_BEARER or "client_secret" in form:
            return _refused(401, "invalid_client", 7000216, "One client secret, or an assertion of the known type.")
        try:
            await check(form["client_assertion"], self.bot.federated, now=self._now)
        except AssertionRefused as refused:
            return _refused(401, "invalid_client", refused.code, refused.text)
        return None


def _refused(status: int, error: str, code: int, text: str) -> web.Response:
    """Return an error in Entra's form; `code` is a number of its AADSTS list."""
    body = {"error": error, "error_description": f"AADSTS{code}: {text}", "error_codes": [code]}
    return web.json_response(body, status=status)
