"""Tests for bot.teams.inbound.keys: signing keys are fetched once, refreshed, rotated, and used through an outage."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import structlog

from bot.teams.inbound import keys
from bot.teams.inbound.keys import (
    EMPTY_GAP,
    MISSING_FOR,
    REFRESH_AFTER,
    REFRESH_GAP,
    TRUSTED_FOR,
    KeysUnavailable,
    SigningKeys,
)
from bot.teams.net.addresses import AddressRefused
from bot.teams.net.session import open_session
from tests.fakes.edge import Edge, Ticker
from tests.fakes.microsoft import FakeMicrosoft

JWKS = "known/keys$"


def fetches(ms: FakeMicrosoft) -> int:
    return len(ms.faults.matching("GET", "openidconfiguration"))


async def test_simultaneous_lookups_fetch_the_signing_keys_once(ms: FakeMicrosoft, edge: Edge) -> None:
    """A hundred lookups right after the start, and then the readiness check, cause only one fetch."""
    found = await asyncio.gather(*(edge.keys.find("key-1") for _ in range(100)))

    assert all(key is not None and key.kid == "key-1" for key in found)
    assert await edge.keys.warm()
    assert fetches(ms) == 1


async def test_new_signing_key_is_found_after_one_refresh(ms: FakeMicrosoft, edge: Edge, clock: Ticker) -> None:
    """After a key rotation the first token of a new key causes a single refresh."""
    await edge.keys.warm()
    ms.signer.rotate("key-2")
    clock.seconds += REFRESH_GAP

    found = await edge.keys.find("key-2")

    assert (found is not None, fetches(ms)) == (True, 2)


async def test_invented_key_ids_cause_twelve_fetches_in_130_seconds(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """In 130 seconds, 130 tokens with invented key ids cause twelve fetches beside the first one."""
    await edge.keys.warm()
    for second in range(130):
        assert await edge.keys.find(f"made-up-{second}") is None
        clock.seconds += 1

    assert fetches(ms) == 1 + 3 * 4


@pytest.mark.parametrize("gap", [0.0, 1.0, 7.0, 59.0])
async def test_invented_key_id_does_not_delay_the_lookup_of_a_new_signing_key(
    gap: float, ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """Although an invented key id arrives every minute, a real new key is found at its first lookup."""
    await edge.keys.warm()
    for minute in range(5):
        await edge.keys.find(f"made-up-{minute}")
        clock.seconds += 60
    await edge.keys.find("made-up")
    ms.signer.rotate("key-2")
    clock.seconds += gap

    assert await edge.keys.find("key-2") is not None


async def test_new_signing_key_right_after_the_start_is_found(ms: FakeMicrosoft, edge: Edge) -> None:
    """The fetch at the start does not delay the fetch for a new key."""
    await edge.keys.warm()
    ms.signer.rotate("key-2")

    assert await edge.keys.find("key-2") is not None


async def test_missing_key_id_is_looked_up_once_a_minute(ms: FakeMicrosoft, edge: Edge, clock: Ticker) -> None:
    """A thousand tokens with the same invented id cause one fetch. After a minute, the id is looked up again."""
    await edge.keys.warm()
    for _ in range(1000):
        assert await edge.keys.find("made-up") is None
    assert fetches(ms) == 2
    clock.seconds += MISSING_FOR + 1
    ms.signer.publish("made-up")

    assert await edge.keys.find("made-up") is not None


async def test_key_id_does_not_count_as_missing_after_a_failed_fetch(ms: FakeMicrosoft, edge: Edge) -> None:
    """Microsoft fails once while a new key is looked up: the next token of that key causes another fetch."""
    await edge.keys.warm()
    ms.signer.rotate("key-2")
    ms.fault("GET", JWKS, status=503)
    failed = await edge.keys.find("key-2")

    assert (failed, await edge.keys.find("key-2") is not None) == (None, True)


async def test_key_id_that_is_too_long_causes_no_fetch(ms: FakeMicrosoft, edge: Edge) -> None:
    """Microsoft's ids have 27 characters. Missing ids are kept in memory, so their length is limited."""
    await edge.keys.warm()

    assert (await edge.keys.find("x" * 257), fetches(ms)) == (None, 1)


async def test_signing_keys_are_refreshed_in_the_background_after_a_day(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """After a day a known key is returned immediately while new ones are fetched."""
    await edge.keys.warm()
    clock.seconds += REFRESH_AFTER + 1
    held = ms.hold("GET", JWKS)

    found = await edge.keys.find("key-1")
    await held.reached.wait()

    assert found is not None
    assert held.gate is not None
    held.gate.set()


async def test_known_signing_keys_are_trusted_for_five_days_of_an_outage(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """After five days, the keys are not trusted without a refresh."""
    await edge.keys.warm()
    ms.fault("GET", "openidconfiguration", status=503, times=None)

    clock.seconds += TRUSTED_FOR
    before = await edge.keys.find("key-1")
    clock.seconds += REFRESH_GAP + 1
    after = await edge.keys.find("key-1")

    assert (before is not None, after, edge.keys.ready) == (True, None, False)


async def test_signing_key_that_microsoft_withdraws_is_unknown_after_the_refresh(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """A key that Microsoft stops publishing is dropped."""
    await edge.keys.warm()
    ms.signer.rotate("key-2")
    ms.signer.withdraw("key-1")
    clock.seconds += REFRESH_GAP
    await edge.keys.find("key-2")

    assert edge.keys.trusted("key-1") is None


@pytest.mark.parametrize("warm", [False, True])
async def test_check_of_a_token_does_not_wait_for_a_hanging_fetch_of_keys(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker, monkeypatch: pytest.MonkeyPatch, *, warm: bool
) -> None:
    """A click must be answered within 3 seconds. The fetch continues, so that a later token finds the keys."""
    if warm:
        await edge.keys.warm()
        ms.signer.rotate("key-2")
        clock.seconds += REFRESH_GAP
    held = ms.hold("GET", JWKS)
    monkeypatch.setattr(keys, "WAIT_LIMIT", 0.01)
    looking = asyncio.create_task(edge.keys.find("key-2" if warm else "key-1"))
    answered, _ = await asyncio.wait({looking}, timeout=3)
    assert held.gate is not None
    held.gate.set()

    assert answered
    if warm:
        assert await looking is None
    else:
        with pytest.raises(KeysUnavailable):
            await looking
    monkeypatch.undo()

    assert await edge.keys.find("key-2" if warm else "key-1") is not None


async def test_fetch_of_the_first_signing_keys_is_repeated_only_after_five_seconds(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """Lookups between two attempts raise KeysUnavailable without a fetch."""
    ms.fault("GET", JWKS, drop="before", times=None)
    for _ in range(10):
        with pytest.raises(KeysUnavailable):
            await edge.keys.find("key-1")
    clock.seconds += EMPTY_GAP
    ms.faults.heal()

    assert await edge.keys.find("key-1") is not None
    assert fetches(ms) == 2


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "junk",
        '{"keys": null}',
        '{"keys": []}',
        '{"keys": [1, {"kid": "x"}, {"kid": "y", "kty": "RSA"}, {"kid": "z", "kty": "RSA", "n": 1, "e": "AQAB"}]}',
        "[" * 100_000,
    ],
)
async def test_bot_is_not_ready_after_a_key_document_without_a_usable_key(
    body: str, ms: FakeMicrosoft, edge: Edge
) -> None:
    """The document is empty, malformed, or has only keys that the bot cannot use."""
    ms.fault("GET", JWKS, status=200, body=body)

    assert await edge.keys.warm() is False


async def test_key_documents_behind_a_redirect_or_plain_http_are_refused(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """A redirect of the metadata is not followed. Keys are not fetched over plain http, except on loopback."""
    ms.fault("GET", "openidconfiguration", status=302, headers={"Location": ms.metadata_url})
    redirected = await edge.keys.warm()
    clock.seconds += EMPTY_GAP
    ms.fault("GET", "openidconfiguration", status=200, body='{"jwks_uri": "http://keys.example.com/"}')
    with structlog.testing.capture_logs() as lines:
        plain = await edge.keys.warm()

    assert (redirected, plain) == (False, False)
    assert [line["error"] for line in lines if line["event"] == "signing_keys_unavailable"] == ["AddressRefused"]


@pytest.mark.parametrize(
    ("path", "how", "answer"),
    [
        ("openidconfiguration", {"status": 200, "body": "<html>"}, (200, "text/html")),
        (JWKS, {"status": 403, "body": "blocked"}, (403, "text/plain")),
        (JWKS, {"status": 200, "body": "{}"}, (200, "application/json")),
        ("openidconfiguration", {"drop": "before"}, (None, None)),
    ],
)
async def test_failed_fetch_of_signing_keys_is_logged_with_address_and_answer(
    path: str, how: dict[str, object], answer: tuple[object, object], ms: FakeMicrosoft, edge: Edge
) -> None:
    """A proxy may answer in Microsoft's place. Log and readiness name the address, the status and the media type."""
    ms.fault("GET", path, times=None, headers={"Content-Type": str(answer[1])}, **how)
    with structlog.testing.capture_logs() as lines:
        assert not await edge.keys.warm()
    (line,) = [line for line in lines if line["event"] == "signing_keys_unavailable"]
    assert line["url"].startswith(ms.base)
    assert path.strip("$") in line["url"]
    assert (line["status"], line["content_type"]) == answer
    assert line["url"] in edge.keys.why_not
    assert ("was not answered" in edge.keys.why_not) is (answer == (None, None))
    ms.faults.heal()
    edge.clock.seconds += EMPTY_GAP
    assert await edge.keys.warm()
    assert edge.keys.why_not == ""


async def test_short_and_unsuitable_signing_keys_are_ignored(ms: FakeMicrosoft, edge: Edge) -> None:
    """RSA keys under 2048 bits, encryption keys, and keys of other types or algorithms are ignored.

    A key without a list of endorsements is known, but endorses no channel.
    """
    ms.signer.publish("short", bits=1024)
    ms.signer.publish("enc")
    ms.signer.published["enc"]["use"] = "enc"
    ms.signer.published["ec"] = {"kid": "ec", "kty": "EC", "crv": "P-256", "x": "x", "y": "y"}
    ms.signer.publish("ps256")
    ms.signer.published["ps256"]["alg"] = "PS256"
    ms.signer.publish("rs256")
    ms.signer.published["rs256"]["alg"] = "RS256"
    ms.signer.publish("silent", endorsements=None)
    ms.signer.publish("odd")
    ms.signer.published["odd"]["endorsements"] = "msteams"
    await edge.keys.warm()

    assert [edge.keys.trusted(kid) for kid in ("short", "enc", "ec", "ps256")] == [None] * 4
    assert {kid: key.endorses("msteams") for kid in ("rs256", "silent", "odd") if (key := edge.keys.trusted(kid))} == {
        "rs256": True,
        "silent": False,
        "odd": False,
    }


async def test_clock_that_is_set_back_does_not_prevent_a_refresh_of_signing_keys(
    ms: FakeMicrosoft, edge: Edge, clock: Ticker
) -> None:
    """New keys are still fetched after the machine's clock was set back."""
    await edge.keys.warm()
    ms.signer.rotate("key-2")
    clock.seconds -= 3600

    assert await edge.keys.find("key-2") is not None


async def test_metadata_address_of_the_signing_keys_with_plain_http_is_refused(clock: Ticker) -> None:
    """The address of the metadata must be https, except on loopback."""
    async with open_session() as session:
        with pytest.raises(AddressRefused):
            SigningKeys(session, metadata_url="http://login.example.com/openid", clock=clock)


async def test_date_of_a_cached_answer_is_corrected_by_its_age(ms: FakeMicrosoft, edge: Edge) -> None:
    """A cache between the bot and Microsoft keeps the date of the answer, and adds how long it has had it."""
    made = format_datetime(datetime.fromtimestamp(edge.clock.epoch() - 7200, UTC), usegmt=True)
    for age, ahead in (("7200", 0), ("7140", -60), ("", -7200), ("x" * 9, -7200), ("9" * 40, -7200)):
        headers = {"Date": made, "Age": age} if age else {"Date": made}
        ms.fault("GET", "openidconfiguration", status=403, body="", headers=headers)
        await edge.keys.warm()
        edge.clock.seconds += EMPTY_GAP
        assert edge.keys.microsoft_ahead == pytest.approx(ahead, abs=1)
        made = format_datetime(datetime.fromtimestamp(edge.clock.epoch() - 7200, UTC), usegmt=True)
