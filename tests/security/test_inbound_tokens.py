"""An activity reaches the bot only with a token that is valid now, for this bot and for the activity's service URL."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from multidict import CIMultiDict

from bot.teams.inbound import tokens
from bot.teams.inbound.tokens import TokenVerifier
from tests.fakes import activities
from tests.fakes.activities import Place
from tests.fakes.edge import Edge, Ticker, running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, FOREIGN_TENANT_ID, HANAKO
from tests.fakes.signing import Signer, rsa_key
from tests.fakes.teams_world import APPROVERS
from tests.security.forged_tokens import FORGED

SERVICE = "https://smba.trafficmanager.net/teams/"
NOW = 1_795_000_000.0


@pytest.fixture
def clock() -> Ticker:
    """Return a clock that the test moves."""
    return Ticker(NOW)


@pytest.fixture
async def ms(clock: Ticker) -> AsyncIterator[FakeMicrosoft]:
    """Run a fake Microsoft with this clock."""
    async with FakeMicrosoft(now=clock.epoch) as fake:
        yield fake


@pytest.fixture
async def edge(ms: FakeMicrosoft, clock: Ticker) -> AsyncIterator[Edge]:
    """Run the bot's HTTP endpoint with the fake Microsoft and this clock."""
    async with running_edge(ms, clock=clock) as running:
        yield running


def _message(**fields: Any) -> dict[str, Any]:
    place = Place(id=APPROVERS, kind="channel", team="19:team@thread.tacv2")
    return activities.message("help", sender=HANAKO, place=place, service_url=SERVICE, **fields)


def _good(signer: Signer, **changed: Any) -> str:
    return signer.token(signer.claims(SERVICE, **changed))


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
async def test_forged_token_is_answered_401_and_no_turn_runs(
    forge: Callable[[Signer, str], str], ms: FakeMicrosoft, edge: Edge
) -> None:
    """Each invalid token is answered 401, and the bot does not see the activity."""
    status, _ = await ms.send(edge.url, _message(), authorization=f"Bearer {forge(ms.signer, SERVICE)}")

    assert (status, edge.turns) == (401, [])


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a.b", "Bearer a.b.c", "Bearer ..", "Bearer \xe4.b.c"],
)
async def test_header_without_a_token_is_answered_401(header: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """A header without a JWT is refused before any signing key is fetched."""
    status, _ = await ms.send(edge.url, _message(), authorization=header)

    assert status == 401
    assert ms.faults.matching("GET", "known") == []


async def test_no_keys_are_fetched_for_a_token_of_another_algorithm(ms: FakeMicrosoft, edge: Edge) -> None:
    """No key could make such a token valid."""
    for name in ("unsigned", "HMAC with the public key", "another RSA algorithm"):
        await ms.send(edge.url, _message(), authorization=f"Bearer {FORGED[name](ms.signer, SERVICE)}")

    assert ms.faults.matching("GET", "known") == []


@pytest.mark.parametrize("trick", ["jku", "x5u"])
async def test_key_address_in_a_token_is_not_called(trick: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """Key addresses in a token's header are ignored, also if the signature is valid."""
    elsewhere = f"{ms.base}/somebody/keys"
    for signed_by in (ms.signer.current, "stranger"):
        header = {"kid": ms.signer.current, trick: elsewhere}
        token = jwt.encode(ms.signer.claims(SERVICE), rsa_key(signed_by), algorithm="RS256", headers=header)
        await ms.send(edge.url, _message(), authorization=f"Bearer {token}")

    assert len(edge.turns) == 1  # the one signed with the published key; the rest of the header is ignored
    assert ms.faults.matching("GET", "somebody") == []


@pytest.mark.parametrize("size", [9_000, 1_000_000])
async def test_huge_token_is_answered_400(size: int, ms: FakeMicrosoft, edge: Edge) -> None:
    """The server answers a header beyond 8 KB with 400. The next request is served."""
    status, _ = await ms.send(edge.url, _message(), authorization=f"Bearer {'a' * size}.b.c")
    alive, _ = await ms.send(edge.url, _message())

    assert (status, alive, len(edge.turns)) == (400, 200, 1)


async def test_request_with_two_authorization_headers_is_refused(ms: FakeMicrosoft, edge: Edge) -> None:
    """The request is refused even if one of the two tokens is valid."""
    headers = CIMultiDict([("Authorization", f"Bearer {_good(ms.signer)}"), ("Authorization", "Bearer x.y.z")])

    status, _ = await ms.send_raw(edge.url, json.dumps(_message()).encode(), headers=headers)

    assert (status, edge.turns) == (401, [])


async def test_activity_with_a_valid_token_reaches_the_bot(ms: FakeMicrosoft, edge: Edge) -> None:
    """The positive control: the same request with a valid token runs a turn."""
    status, _ = await ms.send(edge.url, _message())

    assert (status, len(edge.turns)) == (200, 1)


@pytest.mark.parametrize("changed", [{"exp": int(NOW) - 299}, {"nbf": int(NOW) + 299}])
async def test_five_minutes_of_clock_skew_are_allowed(changed: dict[str, Any], ms: FakeMicrosoft, edge: Edge) -> None:
    """A token is accepted if it expired less than five minutes ago, or becomes valid in less than five minutes."""
    status, _ = await ms.send(edge.url, _message(), authorization=f"Bearer {_good(ms.signer, **changed)}")

    assert status == 200


@pytest.mark.parametrize("changed", [{"nbf": None}, {"jti": 5, "iat": "odd"}])
async def test_token_without_nbf_or_with_malformed_jti_and_iat_is_accepted(
    changed: dict[str, Any], ms: FakeMicrosoft, edge: Edge
) -> None:
    """The bot does not check `jti` and `iat`."""
    status, _ = await ms.send(edge.url, _message(), authorization=f"Bearer {_good(ms.signer, **changed)}")

    assert status == 200


@pytest.mark.parametrize(
    "service_url",
    [
        "https://attacker.example/",
        "https://smba.trafficmanager.net.attacker.example/teams/",
        "http://smba.trafficmanager.net/teams/",
        "https://smba.trafficmanager.net:8443/teams/",
        "https://smba.trafficmanager.net:0443/teams/",
        "https://smba.trafficmanager.net:/teams/",
        "http://smba.trafficmanager.net:443/teams/",
        "https://smba.trafficmanager.net:443@attacker.example/teams/",
        "https://smba.trafficmanager.net@attacker.example/teams/",
        "https://attacker@smba.trafficmanager.net/teams/",
        "https://smba.trafficmanager.net./teams/",
        "https://smba.tr\u0430fficmanager.net/teams/",
        "https://smba.xn--trfficmanager-jfj.net/teams/",
        "https://smba.trafficmanager.net\uff0eattacker.example/teams/",
        "https://smba.trafficmanager.net\\@attacker.example/teams/",
        "https:\\\\smba.trafficmanager.net\\teams\\",
        "https://smba.traffic\tmanager.net/teams/",
        "https://smba.trafficmanager.net/teams/../other",
        "//smba.trafficmanager.net/teams/",
        "https://smba.trafficmanager.net/",
        "https://smba.trafficmanager.net/teams/v3",
        "https://smba.trafficmanager.net/teams/%2F",
        "https://\u017fmba.trafficmanager.net/teams/",
        "https://smba.trafficmanager.net/teams\\",
        SERVICE + "?x",
        SERVICE + "?",
        SERVICE + "#x",
        SERVICE + " ",
        "",
        "/",
        None,
    ],
)
async def test_activity_whose_service_url_differs_from_the_tokens_is_refused(
    service_url: str | None, ms: FakeMicrosoft, edge: Edge
) -> None:
    """Otherwise replies could go to a server that the token does not name."""
    status, _ = await ms.send(edge.url, _message(serviceUrl=service_url), authorization=f"Bearer {_good(ms.signer)}")

    assert (status, edge.turns) == (401, [])


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        (SERVICE, SERVICE.rstrip("/")),
        (SERVICE.rstrip("/"), SERVICE),
        (SERVICE, SERVICE.upper()),
        ("https://SMBA.trafficmanager.net/Teams", SERVICE),
        (SERVICE, SERVICE + "/"),
        (SERVICE, "https://smba.trafficmanager.net:443/teams/"),
        ("HTTPS://smba.trafficmanager.net:443/teams", SERVICE),
    ],
    ids=["slash signed", "slash sent", "capitals sent", "capitals signed", "two slashes", "port sent", "port signed"],
)
async def test_service_url_may_differ_by_letter_case_a_final_slash_or_the_default_port(
    signed: str, sent: str, ms: FakeMicrosoft, edge: Edge
) -> None:
    """Like Microsoft's SDKs, the bot ignores letter case and final slashes. Port 443 is the default of https."""
    token = ms.signer.token(ms.signer.claims(signed))

    status, _ = await ms.send(edge.url, _message(serviceUrl=sent), authorization=f"Bearer {token}")

    assert (status, len(edge.turns)) == (200, 1)


# --- the signing keys


def _with_header(signer: Signer, head: str) -> str:
    """Return a token whose header is this text. Its signature is not valid."""
    encoded = base64.urlsafe_b64encode(head.encode()).rstrip(b"=").decode()
    return f"{encoded}.{_good(signer).split('.')[1]}.{'A' * 342}"


ODD_KEY_IDS = {
    "none": "{}",
    "null": '{"kid": null}',
    "a number": '{"kid": 1}',
    "a huge number": f'{{"kid": 1{"0" * 3000}}}',
    "true": '{"kid": true}',
    "a list": '{"kid": ["key-1"]}',
    "an object": '{"kid": {"kid": "key-1"}}',
    "empty": '{"kid": ""}',
    "too long": f'{{"kid": "{"k" * 4000}"}}',
    "not an object": '["kid"]',
    "not JSON": "kid",
    "deep": f'{{"kid": {"[" * 2000}{"]" * 2000}}}',
}


@pytest.mark.parametrize("head", ODD_KEY_IDS.values(), ids=ODD_KEY_IDS.keys())
async def test_no_keys_are_fetched_for_a_malformed_key_id(head: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """Anybody can send such tokens. They are answered 401, or 400 if they are too long."""
    await edge.keys.warm()
    before = len(ms.faults.matching("GET", "known"))
    for algorithm in ("", '"alg": "RS256", '):
        token = _with_header(ms.signer, head.replace("{", "{" + algorithm, 1))
        status, _ = await ms.send(edge.url, _message(), authorization=f"Bearer {token}")
        assert status in (400, 401)

    assert (len(ms.faults.matching("GET", "known")), edge.turns) == (before, [])


async def test_invented_key_ids_do_not_delay_activities_while_the_keys_cannot_be_fetched(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """A hundred callers wait for a fetch that hangs. An activity with a known key is answered meanwhile."""
    await edge.keys.warm()
    clock.seconds += 3600
    held = ms.hold("GET", "known", times=None)
    forged = [ms.signer.token(ms.signer.claims(SERVICE), kid="stranger", signed_by="stranger")] + [
        _with_header(ms.signer, f'{{"alg": "RS256", "kid": "made-up-{number}"}}') for number in range(100)
    ]
    waiting = [asyncio.create_task(ms.send(edge.url, _message(), authorization=f"Bearer {each}")) for each in forged]
    await held.reached.wait()
    status, _ = await ms.send(edge.url, _message())
    ms.faults.heal()

    assert (status, len(edge.turns)) == (200, 1)
    assert {status for status, _ in await asyncio.gather(*waiting)} == {401}


async def test_new_key_is_accepted_within_a_minute_despite_many_invented_key_ids(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """The invented key ids arrive right before a rotation, and then every second.

    The keys are fetched at most nine times.
    """
    await edge.keys.warm()
    for number in range(50):
        await edge.keys.find(f"first-{number}")
    ms.signer.rotate("key-2")
    accepted: list[int] = []
    for second in range(61):
        await edge.keys.find(f"made-up-{second}")
        accepted.append((await ms.send(edge.url, _message()))[0])
        clock.seconds += 1

    assert accepted[-1] == 200
    assert len(ms.faults.matching("GET", "openidconfiguration")) <= 1 + 2 * 4


@pytest.mark.parametrize(
    ("endorsements", "expected"),
    [
        (["msteams"], 200),
        (["webchat", "msteams"], 200),
        (["webchat"], 401),
        (["MSTEAMS"], 401),
        (["msteams "], 401),
        ([], 401),
        (None, 401),
    ],
)
async def test_token_is_refused_unless_its_key_endorses_the_channel(
    endorsements: list[str] | None, expected: int, ms: FakeMicrosoft, edge: Edge
) -> None:
    """The endorsement must be exactly `msteams`. A key without endorsements is not trusted."""
    ms.signer.rotate("other", endorsements=endorsements)

    status, _ = await ms.send(edge.url, _message(), authorization=f"Bearer {_good(ms.signer)}")

    assert status == expected


@pytest.mark.parametrize(("channel_id", "expected"), [("directline", 403), ("webchat", 403), (None, 401)])
async def test_activity_of_another_channel_than_teams_is_refused(
    channel_id: str | None, expected: int, ms: FakeMicrosoft, edge: Edge
) -> None:
    """On Direct Line and Web Chat, clients state their own identity, so even a valid token of these is refused.

    An activity without a channel is refused too.
    """
    ms.signer.rotate("all", endorsements=["msteams", "webchat", "directline"])

    status, _ = await ms.send(edge.url, _message(channelId=channel_id), authorization=f"Bearer {_good(ms.signer)}")

    assert (status, edge.turns) == (expected, [])


async def test_token_that_was_accepted_before_is_refused_after_it_expired(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """The bot caches accepted tokens. This one expired more than five minutes ago."""
    held = f"Bearer {_good(ms.signer, exp=int(NOW) + 60)}"
    first, _ = await ms.send(edge.url, _message(), authorization=held)
    clock.seconds = NOW + 60 + 301

    second, _ = await ms.send(edge.url, _message(), authorization=held)

    assert (first, second) == (200, 401)


async def test_token_that_was_accepted_before_is_refused_after_its_key_was_withdrawn(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """The bot has fetched the signing keys again since, and they do not contain that key."""
    held = f"Bearer {_good(ms.signer, exp=int(NOW) + 90_000)}"
    first, _ = await ms.send(edge.url, _message(), authorization=held)
    ms.signer.withdraw("key-1")
    ms.signer.rotate("key-2")
    clock.seconds += 61
    await ms.send(edge.url, _message(), authorization=f"Bearer {_good(ms.signer)}")

    second, _ = await ms.send(edge.url, _message(), authorization=held)

    assert (first, second) == (200, 401)


async def test_token_that_was_accepted_before_is_refused_for_another_service_url(ms: FakeMicrosoft, edge: Edge) -> None:
    """A token that was valid for one body is refused for a body with another serviceUrl."""
    held = f"Bearer {_good(ms.signer)}"
    first, _ = await ms.send(edge.url, _message(), authorization=held)

    second, _ = await ms.send(edge.url, _message(serviceUrl="https://attacker.example/"), authorization=held)

    assert (first, second) == (200, 401)


@pytest.mark.parametrize("channel_id", ["webchat", "", None])
async def test_token_that_was_accepted_before_is_refused_for_another_channel_id(
    channel_id: str | None, ms: FakeMicrosoft, edge: Edge
) -> None:
    """A token that was valid for Teams is refused for an activity of another channel, or of none."""
    held = f"Bearer {_good(ms.signer)}"
    await ms.send(edge.url, _message(), authorization=held)

    status, _ = await ms.send(edge.url, _message(channelId=channel_id), authorization=held)

    assert (status, len(edge.turns)) == (401, 1)


async def test_claims_of_an_accepted_token_with_another_signature_are_refused(ms: FakeMicrosoft, edge: Edge) -> None:
    """The bot caches the whole token. The signature is missing, invented or cut."""
    held = _good(ms.signer)
    await ms.send(edge.url, _message(), authorization=f"Bearer {held}")
    head, claims, _ = held.split(".")

    for signature in ("", "AAAA", held.rpartition(".")[2][:-4]):
        status, _ = await ms.send(edge.url, _message(), authorization=f"Bearer {head}.{claims}.{signature}")
        assert status == 401

    assert len(edge.turns) == 1


async def test_number_of_cached_tokens_is_limited(
    ms: FakeMicrosoft, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tokens do not fill the memory: the verifier keeps at most REMEMBERED of them."""
    monkeypatch.setattr(tokens, "REMEMBERED", 3)
    verifier = TokenVerifier(edge.keys, app_id=APP_ID, clock=edge.clock)
    for number in range(8):
        await verifier.verify(f"Bearer {_good(ms.signer, jti=str(number))}")

    assert len(verifier._verified) == 3


def _tenant_in(body: dict[str, Any], *, data: str | None, conversation: str | None) -> dict[str, Any]:
    body["channelData"] = {"tenant": {"id": data}} if data else {}
    body["conversation"].pop("tenantId")
    body["conversation"] |= {"tenantId": conversation} if conversation else {}
    return body


OURS = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("data", "conversation", "expected"),
    [
        (OURS, OURS, 200),
        (OURS, None, 200),
        (None, OURS.upper(), 200),
        (FOREIGN_TENANT_ID, None, 403),
        (FOREIGN_TENANT_ID, FOREIGN_TENANT_ID, 403),
        (FOREIGN_TENANT_ID, OURS, 403),
        (OURS, FOREIGN_TENANT_ID, 403),
        (None, FOREIGN_TENANT_ID, 403),
        (None, None, 403),
    ],
)
async def test_activity_must_have_the_tenant_of_the_bot_and_no_other(
    data: str | None, conversation: str | None, expected: int, ms: FakeMicrosoft, edge: Edge
) -> None:
    """The tenant must be in at least one of two fields. An activity with another tenant, or with none, is answered 403."""
    status, _ = await ms.send(
        edge.url,
        _tenant_in(_message(), data=data, conversation=conversation),
        authorization=f"Bearer {_good(ms.signer)}",
    )

    assert (status, len(edge.turns)) == (expected, int(expected == 200))


async def test_every_forged_token_gets_the_same_answer(ms: FakeMicrosoft, edge: Edge) -> None:
    """Callers do not learn which check failed."""
    answers = [
        await ms.send(edge.url, _message(), authorization=f"Bearer {forge(ms.signer, SERVICE)}")
        for forge in FORGED.values()
    ]

    assert {(status, json.dumps(body)) for status, body in answers} == {(401, '{"error": "Unauthorized"}')}


async def test_token_verifier_without_an_app_id_cannot_be_created(edge: Edge) -> None:
    """Without an app id, the verifier could not recognize the tokens for this bot."""
    with pytest.raises(ValueError, match="app id"):
        TokenVerifier(edge.keys, app_id="", clock=edge.clock)
