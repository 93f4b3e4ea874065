"""Invalid tokens: each differs in one way from a token that the Bot Framework signs for this bot."""

import base64
import hmac
import json
import math
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from tests.fakes.people import APP_ID
from tests.fakes.signing import Signer, rsa_key


def _good(signer: Signer, service: str, **changed: Any) -> str:
    return signer.token(signer.claims(service, **changed))


def _now(signer: Signer, service: str) -> int:
    """Return the current second of the signer's clock, in which its tokens are made."""
    return int(signer.claims(service)["nbf"])


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unsigned(signer: Signer, service: str) -> str:
    return jwt.encode(signer.claims(service), "", algorithm="none", headers={"kid": signer.current})


def _hs256(signer: Signer, service: str) -> str:
    # A classic attack: the public key, which everyone has, is used as the secret of an HMAC.
    # The token is made by hand, because PyJWT refuses to make it.
    head = _b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": signer.current}).encode())
    signed = f"{head}.{_b64(json.dumps(signer.claims(service)).encode())}"
    public = rsa_key(signer.current).public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{signed}.{_b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _rs512(signer: Signer, service: str) -> str:
    key = rsa_key(signer.current)
    return jwt.encode(signer.claims(service), key, algorithm="RS512", headers={"kid": signer.current})


def _with_header(signer: Signer, service: str, **header: Any) -> str:
    key = rsa_key(signer.current)
    return jwt.encode(signer.claims(service), key, algorithm="RS256", headers={"kid": signer.current, **header})


def _without_kid(signer: Signer, service: str) -> str:
    return jwt.encode(signer.claims(service), rsa_key(signer.current), algorithm="RS256")


def _tampered(signer: Signer, service: str) -> str:
    head, _, signature = _good(signer, service).split(".")
    claims = json.dumps(signer.claims(service, extra="x")).encode()
    return f"{head}.{_b64(claims)}.{signature}"


def _deep_header(_signer: Signer, _service: str) -> str:
    return f"{_b64(b'[' * 2500 + b']' * 2500)}.e30.e30"


def _claims_not_an_object(signer: Signer, _service: str) -> str:
    return jwt.PyJWS().encode(b"[1]", rsa_key(signer.current), algorithm="RS256", headers={"kid": signer.current})


def _by_hand(
    signer: Signer, service: str, *, encoded: bool = True, changed: dict[str, Any] | None = None, **header: Any
) -> str:
    """Return a token that PyJWT refuses to make, signed with the right key."""
    head = _b64(json.dumps({"alg": "RS256", "kid": signer.current, **header}).encode())
    claims = json.dumps(signer.claims(service, **(changed or {}))).encode()
    payload = _b64(claims).encode()
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(
        head.encode() + b"." + (payload if encoded else claims), rsa_key(signer.current)
    )
    return f"{head}.{payload.decode()}.{_b64(signature)}"


def _with_its_own_key(signer: Signer, service: str) -> str:
    own = json.loads(RSAAlgorithm.to_jwk(rsa_key("stranger").public_key()))
    header = {"kid": signer.current, "jwk": {**own, "kid": signer.current, "endorsements": ["msteams"]}}
    return jwt.encode(signer.claims(service), rsa_key("stranger"), algorithm="RS256", headers=header)


FORGED: dict[str, Callable[[Signer, str], str]] = {
    "unsigned": _unsigned,
    "HMAC with the public key": _hs256,
    "another RSA algorithm": _rs512,
    "a critical header extension": lambda s, url: _with_header(s, url, crit=["exp"]),
    "an unencoded payload, marked critical": lambda s, url: _by_hand(s, url, encoded=False, b64=False, crit=["b64"]),
    "an unencoded payload, not marked critical": lambda s, url: _by_hand(s, url, encoded=False, b64=False),
    "a key in the token's own header": _with_its_own_key,
    "no key id": _without_kid,
    "a key id that is not a string": lambda s, url: _by_hand(s, url, kid=[s.current]),
    "claims changed after signing": _tampered,
    "a deeply nested header": _deep_header,
    "claims that are not an object": _claims_not_an_object,
    "signed with another key": lambda s, url: s.token(s.claims(url), signed_by="stranger"),
    "a key id that is not published": lambda s, url: s.token(s.claims(url), kid="stranger"),
    "expired": lambda s, url: _good(s, url, exp=_now(s, url) - 301),
    "no exp": lambda s, url: _good(s, url, exp=None),
    "exp that is a string": lambda s, url: _good(s, url, exp="9999999999"),
    "exp beyond any date": lambda s, url: _good(s, url, exp=1e300),
    "exp that is NaN": lambda s, url: _good(s, url, exp=math.nan),
    "exp that is a boolean": lambda s, url: _good(s, url, exp=True),
    "not valid yet": lambda s, url: _good(s, url, nbf=_now(s, url) + 301),
    "nbf that is a string": lambda s, url: _good(s, url, nbf="0"),
    "nbf that is a boolean": lambda s, url: _good(s, url, nbf=True),
    "nbf that is NaN": lambda s, url: _good(s, url, nbf=math.nan),
    "no issuer": lambda s, url: _good(s, url, iss=None),
    "another issuer": lambda s, url: _good(s, url, iss="https://api.botframework.com/"),
    "the emulator's issuer": lambda s, url: _good(
        s, url, iss="https://sts.windows.net/d6d49420-f39b-4df7-a1dc-d59a935871db/"
    ),
    "no audience": lambda s, url: _good(s, url, aud=None),
    "another bot's audience": lambda s, url: _good(s, url, aud="33333333-3333-4333-8333-333333333333"),
    "several audiences": lambda s, url: _good(s, url, aud=[APP_ID, "somebody"]),
    "a list of the one audience": lambda s, url: _good(s, url, aud=[APP_ID]),
    "the audience in another case": lambda s, url: _good(s, url, aud="ABCDEF00-2222-4222-8222-222222222222"),
    "a list of the one issuer": lambda s, url: _by_hand(s, url, changed={"iss": ["https://api.botframework.com"]}),
    "no service URL": lambda s, url: _good(s, url, serviceurl=None),
    "empty service URL": lambda s, url: _good(s, url, serviceurl=""),
    "a service URL that is not a string": lambda s, url: _good(s, url, serviceurl=["x"]),
}
