"""What a signed body, or a connection, may say to be read in two ways, or to hold a place for ever."""

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
    async with FakeMicrosoft() as fake:
        yield fake


@pytest.fixture
async def edge(ms: FakeMicrosoft) -> AsyncIterator[Edge]:
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
async def test_body_is_utf_8(encoding: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """A body in another encoding, which a filter in front would not have understood, is no activity."""
    raw = json.dumps(_message(ms, text="ok \ud83d")).encode(encoding)

    assert (await _sent(ms, edge, raw), edge.turns) == (400, [])


def test_half_a_character_has_no_way_in() -> None:
    """Neither as bytes, nor escaped, in whatever encoding: what stands behind could not store it."""
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
async def test_name_that_stands_twice_is_refused(name: str, second: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """A body that says two things under one name is no activity, wherever in it that is."""
    whole = json.dumps(_message(ms))
    raw = f'{whole[:-1]}, "{name}": {second}}}'.encode()

    assert (await _sent(ms, edge, raw), edge.turns) == (400, [])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000])
async def test_number_without_bounds_is_refused(number: str, ms: FakeMicrosoft, edge: Edge) -> None:
    """What would be no JSON any more when it is written again is not let in."""
    raw = json.dumps(_message(ms, value="?")).replace('"?"', number).encode()

    assert (await _sent(ms, edge, raw), edge.turns) == (400, [])


@pytest.mark.parametrize("field", ["tenantId", "userRole", "role", "aadObjectId"])
@pytest.mark.parametrize("junk", [["99999999-9999-4999-8999-999999999999"], {"id": "guest"}, 5, True])
async def test_sender_is_named_in_texts(field: str, junk: object, ms: FakeMicrosoft, edge: Edge) -> None:
    """A tenant or a role that is no text is refused, not passed over: nobody becomes one of ours by it."""
    body = _message(ms)
    body["from"][field] = junk

    assert (await _sent(ms, edge, json.dumps(body).encode()), edge.turns) == (400, [])


# --- connections


def _head(ms: FakeMicrosoft, *lines: str) -> bytes:
    good = ("Host: x", "Content-Type: application/json", f"Authorization: {ms.signer.header(ms.service_url)}")
    return "\r\n".join(("POST /api/messages HTTP/1.1", *good, *lines, "", "")).encode()


async def _spoken(edge: Edge, raw: bytes) -> bytes:
    """Say something to the server; return the first line of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(edge.url.rpartition(":")[2]))
    writer.write(raw)
    answer = await asyncio.wait_for(reader.readline(), SOON)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_requests_that_proxies_read_otherwise_are_refused(
    ms: FakeMicrosoft, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """Two lengths, a length beside chunks, folded or broken headers: 400, no turn, nothing logged; it goes on."""
    body = json.dumps(_message(ms)).encode()
    length, chunked = f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"
    heads = {
        "two lengths": (length, "Content-Length: 5"),
        "a length and chunks": (length, chunked),
        "chunks twice": (chunked, chunked),
        "a coding that is unknown": (length, "Transfer-Encoding: gzip"),
        "a length below nothing": ("Content-Length: -1",),
        "a length with a sign": (f"Content-Length: +{len(body)}",),
        "a length that is no number": ("Content-Length: x",),
        "a name with a blank": (length, "X y: z"),
        "a name before a blank": (length, "X : z"),
        "a folded header": (length, "X: y", " z"),
        "a nothing in a header": (length, "X: \0"),
        "a token with a nothing": (length, "X-Also: Bearer \0"),
        "more headers than anybody sends": (length, *(f"X-{number}: y" for number in range(300))),
        "a header beyond 8 KB": (length, f"X: {'y' * 9000}"),
    }
    answers = {name: await _spoken(edge, _head(ms, *lines) + body) for name, lines in heads.items()}

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
HEAD_ENDS = b"\r\n\r\n"  # so that each is answered at once, and none waits for more


def _odd_heads() -> Iterator[bytes]:
    """Requests for strange things, then a plain one with some bytes changed, lost or added, and mere noise."""
    yield from (f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for method in METHODS for target in TARGETS)
    plain = b"POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    rng = random.Random(20261123)
    while True:
        raw = bytearray(plain)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
        yield bytes(raw) if rng.random() < 0.9 else rng.randbytes(80)


async def test_bytes_that_are_hardly_http_harm_nobody(
    ms: FakeMicrosoft, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand strange heads: no 5xx, no turn, not a line of trace; the next good request is served."""
    odd = _odd_heads()
    statuses: Counter[bytes] = Counter()
    for _ in range(ODD_HEADS // AT_ONCE):
        answers = await asyncio.gather(*(_spoken(edge, next(odd) + HEAD_ENDS) for _ in range(AT_ONCE)))
        statuses.update(answer[9:12] for answer in answers)

    assert [status for status in statuses if not status.startswith((b"2", b"4"))] == []
    assert {b"400", b"401", b"404", b"415"} <= set(statuses)
    assert (edge.turns, caplog.records) == ([], [])
    assert await _sent(ms, edge, json.dumps(_message(ms)).encode()) == 200


async def test_head_that_never_ends_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lets the head of a request drip holds a connection for a minute or so, not for an hour."""
    monkeypatch.setattr(server, "IDLE_TIME", 0.1)

    async def nothing(*_: Any) -> Any:
        return {}

    app = server.build_app(messages=nothing, ready=nothing)
    async with server.listen(app, host="127.0.0.1", port=0) as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        for drop in (b"POST /api/messages HTTP/1.1\r\n", b"Host: x\r\n", b"X-Slow"):
            writer.write(drop)
            await writer.drain()
        closed = asyncio.ensure_future(reader.read())
        await asyncio.wait({closed}, timeout=SOON)
        hung_up = closed.done()
        writer.close()
    await asyncio.wait({closed})

    assert hung_up
