"""Tests for signed bodies and HTTP requests that could be read in two ways, and for connections kept open."""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bot.teams.wire.activity import NotAnActivity, parse
from bot.web import server
from tests.fakes import activities
from tests.fakes.edge import Edge, running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO
from tests.fakes.teams_world import APPROVERS

Json = dict[str, Any]
SOON = 5.0  # seconds after which a connection that should be closed counts as left open


@pytest.fixture
async def ms() -> AsyncIterator[FakeMicrosoft]:
    """Run a fake Microsoft."""
    async with FakeMicrosoft() as fake:
        yield fake


@pytest.fixture
async def edge(ms: FakeMicrosoft) -> AsyncIterator[Edge]:
    """Run the bot's HTTP endpoint with the fake Microsoft."""
    async with running_edge(ms) as running:
        yield running


def _message(ms: FakeMicrosoft, **fields: Any) -> Json:
    place = ms.world.place(APPROVERS)
    return activities.message("help", sender=HANAKO, place=place, service_url=ms.service_url, **fields)


async def _sent(ms: FakeMicrosoft, edge: Edge, raw: bytes) -> int:
    status, _ = await ms.send_raw(edge.url, raw, headers={"Authorization": ms.signer.header(ms.service_url)})
    return status


# --- one text, one meaning


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
async def test_body_in_another_encoding_than_plain_utf_8_is_refused(
    encoding: str, ms: FakeMicrosoft, edge: Edge
) -> None:
    """Only UTF-8 without a byte order mark is accepted: a filter in front of the bot may not understand other encodings."""
    raw = json.dumps(_message(ms, text="ok \ud83d")).encode(encoding)

    assert (await _sent(ms, edge, raw), edge.turns) == (400, [])


def test_unpaired_surrogate_is_refused_or_replaced() -> None:
    """In a UTF-8 body, an escaped surrogate becomes U+FFFD.

    A body with a raw surrogate, or in another encoding, is not valid UTF-8 and is refused.
    """
    body = {
        "type": "message",
        "from": {"id": "a"},
        "recipient": {"id": "b"},
        "conversation": {"id": "c"},
        "text": "\ud83d",
    }
    escaped = json.dumps(body)
    plain = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")

    assert parse(escaped.encode()).wire.text == "\ufffd"
    for raw in (plain, escaped.encode("utf-16"), escaped.encode("utf-32")):
        with pytest.raises(NotAnActivity):
            parse(raw)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("from", '{"id": "29:x", "aadObjectId": "aaaaaaaa-0000-4000-8000-000000000002"}'),
        ("serviceUrl", '"https://attacker.example/"'),
        ("channelId", '"webchat"'),
        ("channelData", "{}"),
        ("other", '{"verb": "approve", "verb": "reject"}'),
    ],
    ids=["from", "serviceUrl", "channelId", "channelData", "within value"],
)
async def test_duplicate_name_in_the_body_is_refused(name: str, second: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """A body with a duplicate name at any depth has two meanings."""
    whole = json.dumps(_message(ms))
    raw = f'{whole[:-1]}, "{name}": {second}}}'.encode()

    assert (await _sent(ms, edge, raw), edge.turns) == (400, [])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000])
async def test_number_that_cannot_be_written_as_json_again_is_refused(
    number: str, ms: FakeMicrosoft, edge: Edge
) -> None:
    """NaN, infinity, and numbers that are too long or too large for Python are refused."""
    raw = json.dumps(_message(ms, value="?")).replace('"?"', number).encode()

    assert (await _sent(ms, edge, raw), edge.turns) == (400, [])


@pytest.mark.parametrize("field", ["tenantId", "userRole", "role", "aadObjectId"])
@pytest.mark.parametrize("junk", [["99999999-9999-4999-8999-999999999999"], {"id": "guest"}, 5, True])
async def test_sender_field_that_is_not_a_string_is_refused(
    field: str, junk: object, ms: FakeMicrosoft, edge: Edge
) -> None:
    """Such a field is refused, not ignored: without the tenant or the role, a guest could pass as a member."""
    body = _message(ms)
    body["from"][field] = junk

    assert (await _sent(ms, edge, json.dumps(body).encode()), edge.turns) == (400, [])


# --- connections


def _head(ms: FakeMicrosoft, *lines: str) -> bytes:
    good = ("Host: x", "Content-Type: application/json", f"Authorization: {ms.signer.header(ms.service_url)}")
    return "\r\n".join(("POST /api/messages HTTP/1.1", *good, *lines, "", "")).encode()


async def _first_line(edge: Edge, raw: bytes) -> bytes:
    """Send bytes to the server. Return the first line of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(edge.url.rpartition(":")[2]))
    writer.write(raw)
    answer = await asyncio.wait_for(reader.readline(), SOON)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_request_that_a_proxy_may_read_differently_is_refused(
    ms: FakeMicrosoft, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """Two lengths, a length with chunks, and broken headers are answered 400, with no turn, and nothing logged by aiohttp.

    The next valid request is served.
    """
    body = json.dumps(_message(ms)).encode()
    length, chunked = f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"
    heads = {
        "two lengths": (length, "Content-Length: 5"),
        "a length and chunks": (length, chunked),
        "chunks twice": (chunked, chunked),
        "an unknown coding": (length, "Transfer-Encoding: gzip"),
        "a negative length": ("Content-Length: -1",),
        "a length with a sign": (f"Content-Length: +{len(body)}",),
        "a length that is not a number": ("Content-Length: x",),
        "a name with a space": (length, "X y: z"),
        "a name followed by a space": (length, "X : z"),
        "a folded header": (length, "X: y", " z"),
        "a NUL in a header": (length, "X: \0"),
        "a NUL in another token": (length, "X-Also: Bearer \0"),
        "too many headers": (length, *(f"X-{number}: y" for number in range(300))),
        "a header beyond 8 KB": (length, f"X: {'y' * 9000}"),
    }
    answers = {name: await _first_line(edge, _head(ms, *lines) + body) for name, lines in heads.items()}

    assert {name: answer[9:12] for name, answer in answers.items()} == dict.fromkeys(heads, b"400")
    assert (edge.turns, caplog.records) == ([], [])
    assert await _sent(ms, edge, body) == 200


TARGETS = (
    "*",
    "x",
    "//",
    "/%ff",
    "/é",
    "http://[::1/",
    "http://[::1]:99999/",
    "http://x:y/",
    "/livez%00",
    "/" + "a" * 9000,
)
METHODS = ("GET", "POST", "OPTIONS", "CONNECT", "TRACE", "PRI", "GÉT")
ODD_HEADS = 1_000
AT_ONCE = 50
HEAD_ENDS = b"\r\n\r\n"  # appended, so that the server answers each at once


def _odd_heads() -> Iterator[bytes]:
    """Yield unusual request lines. Then yield without end: a plain request with some bytes changed, or random bytes."""
    yield from (f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for method in METHODS for target in TARGETS)
    plain = b"POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    rng = random.Random(20261123)
    while True:
        raw = bytearray(plain)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
        yield bytes(raw) if rng.random() < 0.9 else rng.randbytes(80)


async def test_malformed_http_requests_cause_no_server_error(
    ms: FakeMicrosoft, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand odd requests cause no 5xx and no turn, and aiohttp logs nothing. The next valid request is served."""
    odd = _odd_heads()
    statuses: Counter[bytes] = Counter()
    for _ in range(ODD_HEADS // AT_ONCE):
        answers = await asyncio.gather(*(_first_line(edge, next(odd) + HEAD_ENDS) for _ in range(AT_ONCE)))
        statuses.update(answer[9:12] for answer in answers)

    assert [status for status in statuses if not status.startswith((b"2", b"4"))] == []
    assert {b"400", b"401", b"404", b"415"} <= set(statuses)
    assert (edge.turns, caplog.records) == ([], [])
    assert await _sent(ms, edge, json.dumps(_message(ms)).encode()) == 200


async def test_connection_whose_request_header_does_not_end_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not finish its header is disconnected after a time limit, which the test shortens."""
    monkeypatch.setattr(server, "IDLE_TIME", 0.1)

    async def nothing(*_: Any) -> Any:
        return {}

    app = server.build_app(messages=nothing, ready=nothing)
    async with server.listen(app, host="127.0.0.1", port=0) as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        for part in (b"POST /api/messages HTTP/1.1\r\n", b"Host: x\r\n", b"X-Slow"):
            writer.write(part)
            await writer.drain()
        closed = asyncio.ensure_future(reader.read())
        await asyncio.wait({closed}, timeout=SOON)
        was_closed = closed.done()
        writer.close()
    await asyncio.wait({closed})

    assert was_closed


@pytest.mark.parametrize(
    "value",
    [
        [0] * 60_000,
        {str(number): 0 for number in range(15_000)},
        [[] for _ in range(20_000)],
        "[" * 20_000 + "]" * 20_000,
    ],
    ids=["numbers", "members", "lists", "nested"],
)
async def test_body_with_too_many_values_is_refused(value: Any, ms: FakeMicrosoft, edge: Edge) -> None:
    """Parsing many values takes long, so such a body is answered 413 and runs no turn of the bot."""
    body = json.dumps(_message(ms) | {"value": "VALUE"})
    many = value if isinstance(value, str) else json.dumps(value)
    assert await _sent(ms, edge, body.replace('"VALUE"', many).encode()) == 413
    assert edge.turns == []


async def test_long_comment_with_many_commas_is_accepted(ms: FakeMicrosoft, edge: Edge) -> None:
    """A comment of 9,000 commas and brackets, each of which could be counted as a value, is below the limit."""
    body = json.dumps(_message(ms) | {"value": {"comment": ",[{" * 3000}})
    assert await _sent(ms, edge, body.encode()) == 200


@pytest.mark.parametrize(
    "extra",
    [
        '"\\u0066rom": {"id": "29:x"}',
        '"conversation": null',
        '"a": {"b": [{"c": 1, "\\u0063": 2}]}',
    ],
    ids=["escaped", "null", "deep and escaped"],
)
async def test_duplicate_name_with_escapes_or_a_null_value_is_refused(
    extra: str, ms: FakeMicrosoft, edge: Edge
) -> None:
    """Names are compared after their escapes are read, at any depth, whatever their values are."""
    raw = f"{json.dumps(_message(ms))[:-1]}, {extra}}}".encode()

    assert (await _sent(ms, edge, raw), edge.turns) == (400, [])


@pytest.mark.parametrize(
    "value",
    [
        "[" + ",".join(["9" * 4000] * 60) + "]",
        "[" + ",".join(["0." + "3" * 4000] * 60) + "]",
        "[" + ",".join(["1e-400"] * 9000) + "]",
        "[" + ",".join(["-0"] * 9000) + "]",
        '"' + "\\ud83d" * 30_000 + '"',
    ],
    ids=["long integers", "long fractions", "tiny numbers", "negative zeros", "half surrogates"],
)
async def test_body_full_of_values_that_are_slow_to_parse_is_answered_within_three_seconds(
    value: str, ms: FakeMicrosoft, edge: Edge
) -> None:
    """The values are long or tiny numbers, negative zeros or unpaired surrogates. The status is 200 or 400."""
    raw = json.dumps(_message(ms) | {"value": "VALUE"}).replace('"VALUE"', value).encode()
    async with asyncio.timeout(3):
        assert await _sent(ms, edge, raw) in (200, 400)


async def test_request_without_a_valid_token_is_refused_before_its_body_arrives(ms: FakeMicrosoft, edge: Edge) -> None:
    """The request announces a body of 200,000 bytes and sends none. It is answered 401."""
    head = b"POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n"
    for token in (b"", b"Authorization: Bearer a.b.c\r\n", b"Authorization: Basic eDp5\r\n"):
        assert (await _first_line(edge, head + token + b"\r\n"))[9:12] == b"401"


async def test_activities_of_another_tenant_get_the_same_answer_whatever_they_contain(
    ms: FakeMicrosoft, edge: Edge
) -> None:
    """Four different activities are answered 403 with the same body. No turn runs."""
    body = _message(ms)
    body["conversation"]["tenantId"] = body["channelData"]["tenant"]["id"] = "99999999-9999-4999-8999-999999999999"
    odd = [body, body | {"value": [[[1]]] * 500}, body | {"type": "invoke", "name": "x"}, body | {"text": "t" * 9000}]

    headers = {"Authorization": ms.signer.header(ms.service_url)}
    answers = [await ms.send_raw(edge.url, json.dumps(each).encode(), headers=headers) for each in odd]
    assert answers == [(403, answers[0][1])] * len(odd)
    assert edge.turns == []
