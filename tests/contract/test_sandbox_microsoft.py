"""The simulated Microsoft over real HTTP: sign-in, keys, Connector, faults."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.wrappers import Request
from yarl import URL

from bot.sandbox.aws.web_identities import KID, WebIdentities
from bot.sandbox.teams import inbound
from bot.sandbox.teams.faults import Effect, Fault
from bot.sandbox.teams.federated_credentials import ENTRA_AUDIENCE, JWT_BEARER, FederatedCredential
from bot.sandbox.teams.front import TeamsFront
from bot.sandbox.teams.graph import ON_CALL
from bot.sandbox.teams.microsoft import BotRegistration, Microsoft
from bot.sandbox.teams.people import ALEX, CASTS, MEI, SAMPLE_APP_ID, SAMPLE_TENANT, TARO
from tests.fakes.listening import listening
from tests.fakes.microsoft import FakeMicrosoft

BOT = BotRegistration(app_id=SAMPLE_APP_ID, app_secret="a-sample-secret", tenant_id=SAMPLE_TENANT)
GRANT = {
    "grant_type": "client_credentials",
    "client_id": BOT.app_id,
    "client_secret": BOT.app_secret,
    "scope": "https://api.botframework.com/.default",
}


class Double:
    """A bot and a Playground in one server: records every call and sends a fixed answer."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, Any, str]] = []
        self.answer: Any = {"id": "1"}

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = await request.json() if raw else None
        self.got.append((request.method, request.raw_path, body, request.headers.get("Authorization", "")))
        return web.json_response(self.answer) if self.answer is not None else web.Response()


@pytest.fixture
async def double() -> AsyncIterator[tuple[Double, str]]:
    """Start a bot's double, and return it with its address."""
    double = Double()
    async with listening(double.handle) as port:
        yield double, f"http://127.0.0.1:{port}"


@pytest.fixture
async def front(double: tuple[Double, str]) -> AsyncIterator[TeamsFront]:
    """Start the sandbox's Teams side, which sends activities to the double."""
    front = TeamsFront(BOT, bot_url=double[1])
    await front.start()
    front.connector.playground_url = double[1]
    yield front
    await front.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Return an HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


async def ask_for_token(front: TeamsFront, http: aiohttp.ClientSession, **changed: str) -> tuple[int, Any]:
    tenant = changed.pop("tenant", BOT.tenant_id)
    form = {name: value for name, value in (GRANT | changed).items() if value}
    async with http.post(f"{front.login_authority}/{tenant}/oauth2/v2.0/token", data=form) as response:
        return response.status, await response.json()


async def call(
    front: TeamsFront, http: aiohttp.ClientSession, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    _, grant = await ask_for_token(front, http)
    headers = {"Authorization": f"Bearer {grant['access_token']}"}
    async with http.request(method, front.service_url + path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_sandbox_signs_and_completes_an_activity_of_the_playground(
    front: TeamsFront, double: tuple[Double, str]
) -> None:
    """An unsigned activity of the Playground reaches the bot with a token that verifies against the published keys."""
    await front.inbound.deliver({"type": "message", "from": {"id": MEI.mri}})
    method, path, activity, authorization = double[0].got[0]
    async with aiohttp.ClientSession() as http, http.get(front.openid_metadata_url) as response:
        metadata = await response.json()
        async with http.get(metadata["jwks_uri"]) as keys:
            key = jwt.PyJWKSet.from_dict(await keys.json()).keys[0]
    claims = jwt.decode(
        authorization.removeprefix("Bearer "),
        key.key,
        algorithms=["RS256"],
        audience=BOT.app_id,
        issuer="https://api.botframework.com",
        options={"require": ["exp"]},
    )
    assert (method, path) == ("POST", "/api/messages")
    assert claims["serviceurl"] == activity["serviceUrl"] == front.service_url
    assert activity["from"]["aadObjectId"] == MEI.object_id
    assert metadata["issuer"] == "https://api.botframework.com"


async def test_sandbox_in_english_has_one_colleague_with_a_japanese_client(
    front: TeamsFront, double: tuple[Double, str]
) -> None:
    """Activities of the others have the locale en-US, and those of the colleague ja-JP."""
    front.inbound.cast = CASTS["en"]
    for person in (TARO, MEI):
        await front.inbound.deliver({"type": "message", "from": {"id": person.mri}})
    assert [activity["locale"] for _, _, activity, *_ in double[0].got] == ["en-US", "ja-JP"]


async def test_signing_keys_of_the_sandbox_have_endorsements_and_rotate(
    front: TeamsFront, http: aiohttp.ClientSession
) -> None:
    """A rotation adds a key, signs with it, and keeps the old one. No private key is published."""
    front.microsoft.rotate_key(endorsements=("webchat",))
    async with http.get(f"{front.login_authority}/v1/.well-known/keys") as response:
        keys = (await response.json())["keys"]
    assert [key["endorsements"] for key in keys] == [["msteams"], ["webchat"]]
    signed_by = jwt.get_unverified_header(front.microsoft.inbound_token(service_url="x"))["kid"]
    assert signed_by == keys[1]["kid"]
    assert "d" not in keys[0], "a private key must never be published"


async def test_simulated_sign_in_has_the_response_formats_that_microsoft_documents(
    front: TeamsFront, http: aiohttp.ClientSession
) -> None:
    """The test spells out metadata, keys, token answer and claims, because the tests' fake Microsoft reuses them."""
    async with http.get(f"{front.login_authority}/v1/.well-known/openidconfiguration") as response:
        metadata = await response.json()
    async with http.get(f"{front.login_authority}/v1/.well-known/keys") as response:
        [key] = (await response.json())["keys"]
    signed = front.microsoft.inbound_token(service_url="https://service.example.com/")
    _, grant = await ask_for_token(front, http)

    assert metadata == {
        "issuer": "https://api.botframework.com",
        "jwks_uri": f"{front.login_authority}/v1/.well-known/keys",
        "id_token_signing_alg_values_supported": ["RS256"],
    }
    assert set(key) == {"kty", "use", "kid", "x5t", "n", "e", "endorsements"}
    assert (key["kty"], key["use"]) == ("RSA", "sig")
    assert set(jwt.get_unverified_header(signed)) == {"alg", "typ", "kid", "x5t"}
    claims = jwt.decode(signed, options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "nbf", "exp", "serviceurl"}
    assert (claims["aud"], claims["serviceurl"]) == (BOT.app_id, "https://service.example.com/")
    assert set(grant) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert (grant["token_type"], type(grant["expires_in"])) == ("Bearer", int)


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"tenant": "common"}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "somebody-else"}, 400, "unauthorized_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"scope": "https://graph.microsoft.com/.default"}, 400, "invalid_scope"),
    ],
)
async def test_sandbox_refuses_an_invalid_token_request_with_the_error_of_entra(
    front: TeamsFront, http: aiohttp.ClientSession, changed: dict[str, str], status: int, error: str
) -> None:
    """Tenant, grant, client, secret and scope are checked, and the errors have the form of Microsoft Entra's."""
    answered, body = await ask_for_token(front, http, **changed)
    assert (answered, body["error"]) == (status, error)
    assert body["error_description"].startswith("AADSTS")
    assert front.microsoft.tokens_granted == 0


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer junk", "Bearer"])
async def test_connector_call_without_a_token_of_the_sandbox_is_answered_401(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession, header: str
) -> None:
    """A call without a token that this sandbox granted does not reach the Playground."""
    async with http.get(front.service_url + "v3/conversations", headers={"Authorization": header}) as response:
        assert response.status == 401
    assert double[0].got == []


DIRECT = "v3/conversations"
POST = "v3/conversations/19%3Aapprovers%40thread.tacv2/activities"


@pytest.mark.parametrize(
    ("token", "path", "body", "refusal"),
    [
        (False, POST, {}, (401, "Unauthorized", "Authorization has been denied for this request")),
        (True, POST, {"text": "x" * 51_201}, (413, "MessageSizeTooBig", "Message size too large")),
        (True, DIRECT, {"members": [{"id": MEI.mri}]}, (400, "BadSyntax", "Bad tenant id")),
        (
            True,
            DIRECT,
            {"members": [{"id": MEI.upn}], "tenantId": SAMPLE_TENANT},
            (400, "BadArgument", "Invalid user identity in provided tenant"),
        ),
    ],
)
async def test_sandbox_and_fake_connector_refuse_calls_in_the_documented_error_form(
    front: TeamsFront, token: bool, path: str, body: dict[str, Any], refusal: tuple[int, str, str]
) -> None:
    """The sandbox's Connector and that of the tests share these refusals; status and body are spelled out here."""
    status, code, message = refusal
    async with FakeMicrosoft() as fake, aiohttp.ClientSession() as http:
        for service_url, microsoft in ((front.service_url, front.microsoft), (fake.service_url, fake.sign_in)):
            headers = {"Authorization": f"Bearer {microsoft.outbound_token()}"} if token else {}
            url = URL(service_url + path, encoded=True)
            async with http.post(url, json=body, headers=headers) as response:
                assert response.status == status
                assert await response.json() == {"error": {"code": code, "message": message}}


@pytest.mark.parametrize("now", [1_000_000.0, time.time() + 31.0], ids=["in the past", "ahead of this machine"])
async def test_connector_token_of_the_sandbox_expires_after_an_hour(now: float) -> None:
    """The validity follows the injected clock, also if that clock is ahead of the machine's."""
    microsoft = Microsoft(BOT, now=lambda: now)
    token = microsoft.outbound_token()
    assert microsoft.accepts(f"Bearer {token}")
    now += 3601
    assert not microsoft.accepts(f"Bearer {token}")


async def test_conversation_ids_in_paths_reach_the_playground_percent_encoded_once(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession
) -> None:
    """A thread's id reaches the Playground percent-encoded exactly once, and is recorded decoded."""
    path = "v3/conversations/19%3Ac%40thread.tacv2%3Bmessageid%3D1/activities"
    _, grant = await ask_for_token(front, http)
    url = URL(front.service_url + path, encoded=True)
    async with http.post(
        url, json={"text": "済"}, headers={"Authorization": f"Bearer {grant['access_token']}"}
    ) as response:
        assert response.status == 200
    assert double[0].got[-1][1] == f"/_connector/{path}"
    assert front.connector.sent[-1].path == "v3/conversations/19:c@thread.tacv2;messageid=1/activities"
    assert front.connector.sent[-1].body == {"text": "済"}


async def test_fault_of_the_connector_applies_once_with_its_headers(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession
) -> None:
    """A fault that was added over HTTP affects only the next matching call, which gets its status, code and headers."""
    wanted = {"method": "PUT", "path": "activities/1$", "status": 429, "code": "Throttled"}
    async with http.post(
        f"{front.login_authority}/_sandbox/faults", json=wanted | {"headers": {"Retry-After": "7"}}
    ) as response:
        assert response.status == 204
    assert (await call(front, http, "PUT", "v3/conversations/c/activities/2", {}))[0] == 200
    authorization = {"Authorization": f"Bearer {front.microsoft.outbound_token()}"}
    url = f"{front.service_url}v3/conversations/c/activities/1"
    async with http.put(url, json={}, headers=authorization) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
        assert (await response.json())["error"]["code"] == "Throttled"
    assert (await call(front, http, "PUT", "v3/conversations/c/activities/1", {}))[0] == 200
    assert [sent.status for sent in front.connector.sent] == [200, 429, 200]
    assert len(double[0].got) == 2


@pytest.mark.parametrize(("effect", "performed"), [("disconnect", 0), ("lose_reply", 1)])
async def test_fault_can_close_the_connection_before_or_after_the_effect_of_a_call(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession, effect: str, performed: int
) -> None:
    """A call whose reply is lost took effect; a call whose connection was closed did not."""
    front.connector.faults.add(Fault(effect=Effect(effect)))
    with pytest.raises(aiohttp.ClientError):
        await call(front, http, "POST", "v3/conversations/c/activities", {"type": "message"})
    assert len(double[0].got) == performed


async def test_invalid_fault_for_the_connector_is_answered_400(front: TeamsFront, http: aiohttp.ClientSession) -> None:
    """An unknown effect, an unknown member, or a body that is not an object is refused."""
    wanted: Any
    for wanted in ({"effect": "explode"}, {"no_such_field": 1}, [], None):
        async with http.post(f"{front.login_authority}/_sandbox/faults", json=wanted) as response:
            assert response.status == 400


async def test_held_updates_are_performed_in_order_when_they_are_released(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession
) -> None:
    """A held update is answered immediately. Posts, and updates after the release, are not held."""
    front.connector.hold_updates()
    for number in (1, 2):
        status, body = await call(front, http, "PUT", f"v3/conversations/c/activities/{number}", {})
        assert (status, body) == (200, {"id": str(number)})
    await call(front, http, "POST", "v3/conversations/c/activities", {})
    assert [got[0] for got in double[0].got] == ["POST"]
    await front.connector.release_updates()
    assert [got[1][-1] for got in double[0].got[1:]] == ["1", "2"]
    await call(front, http, "PUT", "v3/conversations/c/activities/3", {})
    assert len(double[0].got) == 4


async def test_sandbox_lists_sent_and_received_activities(front: TeamsFront, http: aiohttp.ClientSession) -> None:
    """`/_sandbox/deliver` sends an activity of any person."""
    async with http.post(
        f"{front.login_authority}/_sandbox/deliver", json={"type": "message", "from": {"id": ALEX.mri}}
    ) as response:
        assert (await response.json())["status"] == 200
    await call(front, http, "GET", "v3/conversations/c/members/x")
    async with http.get(f"{front.login_authority}/_sandbox/received") as response:
        assert [one["activity"]["from"]["name"] for one in await response.json()] == [ALEX.name]
    async with http.get(f"{front.login_authority}/_sandbox/sent") as response:
        assert [one["path"] for one in await response.json()] == ["v3/conversations/c/members/x"]


async def test_sandbox_answers_502_without_a_bot_and_503_without_the_playground(http: aiohttp.ClientSession) -> None:
    """Activities for the bot are answered 502, and the bot's calls 503."""
    front = TeamsFront(BOT)
    await front.start()
    async with http.head(front.inbound_url) as response:
        assert response.status == 200, "the Playground waits for this before it serves the connector"
    async with http.post(front.inbound_url, json={"type": "message"}) as response:
        assert response.status == 502
    status, body = await call(front, http, "POST", "v3/conversations/c/activities", {})
    assert (status, body["error"]["code"]) == (503, "ServiceUnavailable")
    await front.stop()


async def test_sandbox_passes_on_the_status_of_the_bot_with_or_without_a_body(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession
) -> None:
    """The Playground gets the bot's status, with or without a body."""
    for answer in (None, {"statusCode": 200}):
        double[0].answer = answer
        async with http.post(front.inbound_url, json={"type": "message"}) as response:
            raw = await response.read()
            assert (response.status, bool(raw)) == (200, answer is not None)


@pytest.mark.parametrize("body", [b"[]", b"junk", b""])
async def test_sandbox_refuses_to_sign_a_body_that_is_not_a_json_object(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession, body: bytes
) -> None:
    """Only a JSON object declared as JSON is signed and passed on."""
    async with http.post(front.inbound_url, data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400
    async with http.post(front.inbound_url, data=b"{}", headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 400
    assert double[0].got == []


async def test_sandbox_refuses_a_call_under_a_foreign_host_name(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession
) -> None:
    """A call under a foreign host name that points at 127.0.0.1 is refused and not signed."""
    headers = {"Host": "rebound.example.com"}
    async with http.post(front.inbound_url, json={"type": "message"}, headers=headers) as response:
        assert response.status == 421
    assert double[0].got == []


@pytest.mark.parametrize("origin", ["https://attacker.example", "http://127.0.0.1.attacker.example", "null"])
async def test_sandbox_refuses_a_call_from_a_page_of_a_foreign_origin(
    front: TeamsFront, double: tuple[Double, str], http: aiohttp.ClientSession, origin: str
) -> None:
    """A call from a page of another origin is refused and not signed."""
    async with http.post(front.inbound_url, json={"type": "message"}, headers={"Origin": origin}) as response:
        assert response.status == 403
    assert double[0].got == []


@pytest.mark.parametrize("origin", ["http://127.0.0.1:4000", "http://localhost:4000"])
async def test_sandbox_accepts_a_call_from_a_page_of_the_same_machine(
    front: TeamsFront, http: aiohttp.ClientSession, origin: str
) -> None:
    """A call from a page at another port of this machine, like the Playground's, is accepted."""
    async with http.post(front.inbound_url, json={"type": "message"}, headers={"Origin": origin}) as response:
        assert response.status == 200


async def test_activity_for_a_bot_that_hangs_is_answered_502(
    front: TeamsFront, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Playground gets 502 for a bot that does not answer in time."""
    forever = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await forever.wait()
        return web.Response()

    monkeypatch.setattr(inbound, "PATIENCE", aiohttp.ClientTimeout(total=0.05))
    async with listening(hang) as port:
        front.inbound.bot_url = f"http://127.0.0.1:{port}"
        async with http.post(front.inbound_url, json={"type": "message"}) as response:
            assert response.status == 502
        forever.set()


# --- client assertions of another issuer


@pytest.fixture
async def issuer() -> AsyncIterator[WebIdentities]:
    """Run an issuer on its own address, as AWS does."""
    made = WebIdentities(now=lambda: datetime.now(UTC))

    async def answer(request: web.Request) -> web.Response:
        document = made.answer(Request({"PATH_INFO": request.path, "REQUEST_METHOD": "GET"}))
        return web.Response(body=document.get_data(), status=document.status_code, content_type="application/json")

    async with listening(answer) as port:
        made.endpoint = f"http://127.0.0.1:{port}"
        yield made


@pytest.fixture
async def federated(issuer: WebIdentities) -> AsyncIterator[TeamsFront]:
    """A Microsoft whose bot has a federated credential, and no secret."""
    credential = FederatedCredential(issuer=issuer.issuer("111122223333"), subject="arn:of-the-bot")
    front = TeamsFront(BotRegistration(app_id=BOT.app_id, tenant_id=BOT.tenant_id, federated=credential))
    await front.start()
    yield front
    await front.stop()


def claims_of(issuer: WebIdentities, **changed: Any) -> dict[str, Any]:
    """Return the claims of a valid assertion, with changes."""
    now = int(time.time())
    right = {"iss": issuer.issuer("111122223333"), "sub": "arn:of-the-bot", "aud": ENTRA_AUDIENCE}
    return {**right, "iat": now, "exp": now + 60, **changed}


async def with_assertion(
    front: TeamsFront, http: aiohttp.ClientSession, assertion: str, **changed: str
) -> tuple[int, str, list[int]]:
    """Request a token with an assertion; return status, error and error numbers."""
    form = {"client_secret": "", "client_assertion": assertion, "client_assertion_type": JWT_BEARER, **changed}
    status, answer = await ask_for_token(front, http, **form)
    return status, answer.get("error", ""), answer.get("error_codes", [])


async def test_sandbox_grants_a_token_for_a_valid_client_assertion(
    federated: TeamsFront, issuer: WebIdentities, http: aiohttp.ClientSession
) -> None:
    """The assertion is checked with the keys that the issuer of the federated credential publishes."""
    assert await with_assertion(federated, http, issuer.signed(claims_of(issuer))) == (200, "", [])


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        ({"iss": "https://elsewhere.example.com"}, 700211),
        ({"sub": "arn:of-the-bo"}, 700213),
        ({"aud": "api://AzureADTokenExchangeUSGov"}, 700212),
        ({"aud": [ENTRA_AUDIENCE, "api://another"]}, 700212),
        ({"exp": 1}, 700024),
        ({"iat": 4_000_000_000, "exp": 4_000_000_060}, 700024),
        ({"exp": "soon"}, 50027),
        ({"sub": None}, 50027),
    ],
)
async def test_sandbox_refuses_an_invalid_client_assertion_with_entras_error_number(
    federated: TeamsFront, issuer: WebIdentities, http: aiohttp.ClientSession, changed: dict[str, Any], number: int
) -> None:
    """Issuer, subject, audience and times are checked, each with Entra's own error number."""
    claims = {name: value for name, value in claims_of(issuer, **changed).items() if value is not None}
    assert await with_assertion(federated, http, issuer.signed(claims)) == (401, "invalid_client", [number])


async def test_sandbox_refuses_a_client_assertion_without_the_signature_of_the_issuer(
    federated: TeamsFront, issuer: WebIdentities, http: aiohttp.ClientSession
) -> None:
    """An assertion is refused if it is unsigned or malformed, or has a false signature, under any key id."""
    claims, other = claims_of(issuer), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    right = issuer.signed(claims)
    forged = [
        jwt.encode(claims, "", algorithm="none", headers={"kid": KID}),
        jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": KID}),
        jwt.encode(claims, other, algorithm="RS256", headers={"kid": KID}),
        jwt.encode(claims, other, algorithm="RS256", headers={"kid": "RSA_1"}),
        f"{right.rpartition('.')[0]}.{'A' * 342}",
    ]
    assert [await with_assertion(federated, http, each) for each in forged] == [
        (401, "invalid_client", [700027])
    ] * len(forged)
    assert await with_assertion(federated, http, "no.token") == (401, "invalid_client", [50027])


async def test_sandbox_refuses_a_client_assertion_of_a_wrong_type_or_beside_a_secret(
    federated: TeamsFront, issuer: WebIdentities, http: aiohttp.ClientSession
) -> None:
    """Only the type JWT_BEARER is accepted."""
    right = issuer.signed(claims_of(issuer))
    saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
    refused = (401, "invalid_client", [7000216])
    assert await with_assertion(federated, http, right, client_assertion_type=saml) == refused
    assert await with_assertion(federated, http, right, client_assertion_type="") == refused
    assert await with_assertion(federated, http, right, client_secret="x") == refused


async def test_sandbox_accepts_only_the_configured_kind_of_credential(
    front: TeamsFront, federated: TeamsFront, issuer: WebIdentities, http: aiohttp.ClientSession
) -> None:
    """An app with only a secret refuses a valid assertion; an app with only a federated credential refuses secrets."""
    assert (await with_assertion(front, http, issuer.signed(claims_of(issuer))))[2] == [700211]
    for secret in ("", "x", BOT.app_secret):
        status, _ = await ask_for_token(federated, http, client_secret=secret)
        assert status == 401


async def test_controls_set_how_graph_answers_and_who_is_in_a_group(
    front: TeamsFront, http: aiohttp.ClientSession
) -> None:
    """A person who explores the sandbox can try each failure with curl. Invalid switches and members change nothing."""

    async def post(path: str, body: Any) -> int:
        async with http.post(f"{front.graph_url}/_sandbox/{path}", json=body) as response:
            return response.status

    async def members() -> tuple[int, Any]:
        _, grant = await ask_for_token(front, http, scope=f"{front.graph_url}/.default")
        headers = {"Authorization": f"Bearer {grant['access_token']}"}
        path = f"/v1.0/groups/{ON_CALL}/transitiveMembers"
        query = {"$select": "id", "$top": "999"}
        async with http.get(front.graph_url + path, params=query, headers=headers) as response:
            return response.status, await response.json()

    invalid = [("graph", {"consent_given": True}), ("groups", {"members": []})]
    invalid += [("groups", {"group": ON_CALL, "members": [{"id": MEI.object_id, "kind": "ghost"}]})]
    assert [await post(path, body) for path, body in invalid] == [400, 400, 400]
    assert [len((await members())[1]["value"]), await post("graph", {"page_size": 2})] == [6, 204]
    status, page = await members()
    assert (status, len(page["value"]), "@odata.nextLink" in page) == (200, 2, True)
    await post("groups", {"group": ON_CALL, "members": [{"id": MEI.object_id}]})
    assert (await members())[1]["value"] == [{"@odata.type": "#microsoft.graph.user", "id": MEI.object_id}]
    await post("graph", {"consent": False})
    status, refused = await members()
    assert (status, refused["error"]["code"]) == (403, "Authorization_RequestDenied")


async def test_token_for_the_connector_is_not_accepted_by_graph(front: TeamsFront, http: aiohttp.ClientSession) -> None:
    """Nor is that for Graph accepted by the Connector: each has one audience."""
    connector, of_graph = f"Bearer {front.microsoft.outbound_token()}", f"Bearer {front.microsoft.graph_token()}"
    assert (front.microsoft.roles_for_graph(connector), front.microsoft.accepts(of_graph)) == (None, False)
    headers = {"Authorization": connector}
    async with http.get(f"{front.graph_url}/v1.0/groups/{ON_CALL}/transitiveMembers", headers=headers) as response:
        assert response.status == 401
