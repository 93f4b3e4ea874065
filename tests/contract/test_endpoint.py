"""`POST /api/messages` over real HTTP: the status for each kind of request, the body for an invoke, and what is logged."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from botbuilder.core import InvokeResponse, TurnContext
from botbuilder.schema import Activity, AdaptiveCardInvokeResponse
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.teams.inbound import endpoint
from bot.teams.inbound.adapter import INBOUND, TeamsAdapter
from bot.teams.inbound.endpoint import LARGEST_BODY
from bot.telemetry import Telemetry
from tests.fakes import activities
from tests.fakes.edge import Edge, running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO
from tests.fakes.teams_world import APPROVERS
from tests.fakes.world import current_configuration

Json = dict[str, Any]


@pytest.fixture
async def ms() -> AsyncIterator[FakeMicrosoft]:
    """Microsoft's services."""
    async with FakeMicrosoft() as fake:
        yield fake


def _invoke(ms: FakeMicrosoft, **fields: Any) -> Json:
    place = ms.world.place(f"{APPROVERS};messageid=1")
    return activities.invoke(
        "approve", {"request": "r"}, sender=HANAKO, place=place, service_url=ms.service_url, **fields
    )


def _refresh(ms: FakeMicrosoft) -> Json:
    """Return an automatic refresh of a card."""
    place, data = ms.world.place(f"{APPROVERS};messageid=1"), {"request": "r"}
    common: Any = {"sender": HANAKO, "place": place, "service_url": ms.service_url}
    return activities.invoke("refresh", data, trigger="automatic", **common)


def _message(ms: FakeMicrosoft, **fields: Any) -> Json:
    place = ms.world.place(APPROVERS)
    return activities.message("help", sender=HANAKO, place=place, service_url=ms.service_url, **fields)


async def _answer_with(context: TurnContext, response: InvokeResponse) -> None:
    await context.send_activity(Activity(type="invokeResponse", value=response))


# --- statuses


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "", "multipart/form-data; boundary=x", "junk"]
)
async def test_content_types_other_than_json_are_answered_415(content_type: str, ms: FakeMicrosoft) -> None:
    """Teams sends every activity as JSON."""
    async with running_edge(ms) as edge:
        status, _ = await ms.send_raw(edge.url, b"{}", headers={"Content-Type": content_type})

    assert status == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_methods_other_than_post_are_answered_405(method: str, ms: FakeMicrosoft) -> None:
    """Only POST is accepted."""
    async with (
        running_edge(ms) as edge,
        aiohttp.ClientSession() as http,
        http.request(method, f"{edge.url}/api/messages") as answer,
    ):
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("size", [LARGEST_BODY + 1, 2 * 1024 * 1024])
async def test_bodies_above_256_kb_are_answered_413(size: int, ms: FakeMicrosoft) -> None:
    """One body is a byte too large, the second has 2 MB."""
    async with running_edge(ms) as edge:
        status, _ = await ms.send(edge.url, _message(ms, text="x" * size))

    assert status == 413


async def test_chunked_bodies_above_256_kb_are_answered_413(ms: FakeMicrosoft) -> None:
    """Chunked bodies do not state their length."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * (LARGEST_BODY // 4)

    headers = {"Content-Type": "application/json", "Authorization": ms.signer.header(ms.service_url)}
    async with (
        running_edge(ms) as edge,
        aiohttp.ClientSession() as http,
        http.post(f"{edge.url}/api/messages", data=chunks(), headers=headers) as answer,
    ):
        assert answer.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "junk"])
async def test_compressed_bodies_are_answered_415(encoding: str, ms: FakeMicrosoft) -> None:
    """Teams does not compress requests, and a small compressed body could become a very large one."""
    raw = gzip.compress(json.dumps(_message(ms, text="x" * (LARGEST_BODY + 1))).encode())
    headers = {"Authorization": ms.signer.header(ms.service_url), "Content-Encoding": encoding}
    async with running_edge(ms) as edge:
        status, _ = await ms.send_raw(edge.url, raw, headers=headers)

    assert status == 415


def _broken_bodies(ms: FakeMicrosoft) -> dict[str, bytes]:
    good = _message(ms)

    def changed(**fields: Any) -> bytes:
        return json.dumps({**good, **fields}).encode()

    def without(name: str) -> bytes:
        return json.dumps({key: value for key, value in good.items() if key != name}).encode()

    return {
        "nothing": b"",
        "no JSON": b"{",
        "bytes that are no text": b"\xff\xfe\xfd",
        "a list": b"[]",
        "a text": b'"x"',
        "null": b"null",
        "not a number": changed(value=float("nan")),
        "nested without end": b"[" * 9_000,
        "nested too deep": changed(value=json.loads("[" * 70 + "]" * 70)),
        "no type": without("type"),
        "a type that is no text": changed(type=5),
        "an empty type": changed(type=""),
        "no sender": without("from"),
        "a sender without id": changed(**{"from": {"name": "x"}}),
        "a sender that is a list": changed(**{"from": []}),
        "an object id that is no text": changed(**{"from": {"id": "x", "aadObjectId": {}}}),
        "no recipient": without("recipient"),
        "no conversation": without("conversation"),
        "a conversation without id": changed(conversation={}),
        "a conversation that is a text": changed(conversation="x"),
        "channel data that is a list": changed(channelData=[1]),
        "a tenant that is a text": changed(channelData={"tenant": "x"}),
        "a text that is an object": changed(text={}),
        "members that are no list": changed(membersAdded={"id": "x"}),
        "members without id": changed(membersAdded=[{}]),
        "entities that are no objects": changed(entities=["x"]),
        "attachments that are no list": changed(attachments={}),
    }


async def test_invalid_activity_is_answered_400(ms: FakeMicrosoft) -> None:
    """A request with a valid token and a body that is not an activity runs no turn."""
    headers = {"Authorization": ms.signer.header(ms.service_url)}
    async with running_edge(ms) as edge:
        answers = {
            name: (await ms.send_raw(edge.url, body, headers=headers))[0] for name, body in _broken_bodies(ms).items()
        }

        assert answers == dict.fromkeys(answers, 400)
        assert edge.turns == []


async def test_invalid_body_without_a_token_is_answered_401(ms: FakeMicrosoft) -> None:
    """Without a token the sender does not learn whether a body is an activity."""
    async with running_edge(ms) as edge:
        status, _ = await ms.send_raw(edge.url, b"junk", headers={})

    assert status == 401


async def _send_partly(ms: FakeMicrosoft, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection, announce a body of 100 bytes, and send its first byte."""
    request = (
        "POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {ms.signer.header(ms.service_url)}\r\nContent-Length: 100\r\n\r\n{{"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(request.encode())
    await writer.drain()
    return reader, writer


async def test_client_that_disconnects_inside_a_body_does_not_affect_the_next_request(ms: FakeMicrosoft) -> None:
    """The interrupted request runs no turn. The next activity is answered as usual."""
    async with running_edge(ms) as edge:
        _, writer = await _send_partly(ms, edge.url)
        writer.close()
        await writer.wait_closed()

        status, _ = await ms.send(edge.url, _message(ms))

        assert (status, len(edge.turns)) == (200, 1)


async def test_request_whose_body_does_not_arrive_is_answered_408(
    ms: FakeMicrosoft, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that does not send the whole announced body within BODY_LIMIT gets 408."""
    monkeypatch.setattr(endpoint, "BODY_LIMIT", 0.05)
    async with running_edge(ms) as edge:
        reader, writer = await _send_partly(ms, edge.url)
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 408")


async def test_endpoint_without_a_tenant_is_not_built(ms: FakeMicrosoft) -> None:
    """An empty tenant id raises ValueError."""
    async with running_edge(ms) as edge:
        with pytest.raises(ValueError, match="tenant"):
            endpoint.Endpoint(
                verifier=edge.verifier,
                adapter=TeamsAdapter(),
                configuration=replace(current_configuration(), tenant_id=""),
                turn=_nothing,
                clock=edge.clock,
                telemetry=Telemetry(CollectorRegistry()),
                outcomes=edge.outcomes,
            )


# --- invokes


CARD_ANSWER = {"statusCode": 200, "type": "application/vnd.microsoft.card.adaptive", "value": {"text": "承認"}}


async def test_invoke_is_answered_200_with_the_body_of_the_turn(ms: FakeMicrosoft) -> None:
    """The response has the body that the turn returned, unchanged."""

    async def turn(context: TurnContext) -> None:
        await _answer_with(context, InvokeResponse(status=200, body=CARD_ANSWER))

    async with running_edge(ms, turn=turn) as edge:
        assert await ms.send(edge.url, _invoke(ms)) == (200, CARD_ANSWER)


async def test_invoke_is_answered_with_a_model_of_the_sdk_as_a_json_object(ms: FakeMicrosoft) -> None:
    """The turn returns the model as the body."""

    async def turn(context: TurnContext) -> None:
        body = AdaptiveCardInvokeResponse(status_code=200, type="x", value={"a": 1})
        await _answer_with(context, InvokeResponse(status=200, body=body))

    async with running_edge(ms, turn=turn) as edge:
        assert await ms.send(edge.url, _invoke(ms)) == (200, {"statusCode": 200, "type": "x", "value": {"a": 1}})


async def _fail(_context: TurnContext) -> None:
    raise RuntimeError("a defect")


async def _unserialisable(context: TurnContext) -> None:
    await _answer_with(context, InvokeResponse(status=200, body={"value": object()}))


async def _five_hundred(context: TurnContext) -> None:
    await _answer_with(context, InvokeResponse(status=500, body={"a": 1}))


async def _nothing(_context: TurnContext) -> None:
    return


@pytest.mark.parametrize(
    ("turn", "code"), [(_fail, 500), (_unserialisable, 500), (_five_hundred, 500), (_nothing, 400)]
)
async def test_invoke_whose_turn_fails_is_answered_200_with_an_error_body(
    turn: Any, code: int, ms: FakeMicrosoft
) -> None:
    """An error, or a missing answer, becomes the protocol's error body with status 200, so Teams does not resend it."""
    async with running_edge(ms, turn=turn) as edge:
        status, body = await ms.send(edge.url, _invoke(ms))

    assert (status, body["statusCode"], body["type"]) == (200, code, "application/vnd.microsoft.error")
    assert set(body["value"]) == {"code", "message"}


async def test_message_whose_turn_fails_is_answered_200(ms: FakeMicrosoft) -> None:
    """The turn raises an error. Teams gets no error status."""
    async with running_edge(ms, turn=_fail) as edge:
        assert await ms.send(edge.url, _message(ms)) == (200, None)


async def test_turn_receives_members_of_the_activity_that_the_bot_does_not_know(ms: FakeMicrosoft) -> None:
    """The turn gets the whole JSON object beside the parsed activity."""
    async with running_edge(ms) as edge:
        await ms.send(edge.url, _invoke(ms, somethingNew={"a": [1]}))

        inbound = edge.turns[0].turn_state[INBOUND]
        assert inbound.raw["somethingNew"] == {"a": [1]}
        assert inbound.raw["conversation"]["tenantId"] == inbound.wire.conversation.tenant_id


async def test_unpaired_surrogate_in_an_activity_is_replaced(ms: FakeMicrosoft) -> None:
    """A text that was cut inside an emoji contains such a half, which no store could encode."""
    async with running_edge(ms) as edge:
        status, _ = await ms.send(edge.url, _message(ms, text="ok \ud83d", **{"\udc00": "x"}))

        inbound = edge.turns[0].turn_state[INBOUND]
        assert (status, inbound.wire.text) == (200, "ok \ufffd")
        assert "\ufffd" in inbound.raw


# --- missing keys


async def test_requests_before_the_bot_has_signing_keys_are_answered_503(ms: FakeMicrosoft) -> None:
    """Once the bot has its first keys, requests are answered 200."""
    ms.fault("GET", "openidconfiguration", status=500, times=None)
    async with running_edge(ms) as edge:
        first, _ = await ms.send(edge.url, _message(ms))
        ms.faults.heal()
        edge.clock.seconds += 6
        second, _ = await ms.send(edge.url, _message(ms))

    assert (first, second) == (503, 200)


# --- overload


async def test_requests_above_the_limit_of_turns_are_refused(ms: FakeMicrosoft) -> None:
    """A click gets a message that nothing was sent, and another activity gets 429.

    After the first turn, requests work again.
    """
    free, under_way = asyncio.Event(), asyncio.Event()

    async def wait(_context: TurnContext) -> None:
        under_way.set()
        await free.wait()

    async with running_edge(ms, turn=wait, most_turns=1) as edge:
        first = asyncio.create_task(ms.send(edge.url, _message(ms)))
        await under_way.wait()
        status, body = await ms.send(edge.url, _invoke(ms))
        assert (status, body["statusCode"], body["value"]["code"]) == (200, 500, "Overloaded")
        assert "Nothing was sent" in body["value"]["message"]
        assert (await ms.send(edge.url, _message(ms)))[0] == 429
        assert len(edge.turns) == 1
        free.set()
        assert (await first)[0] == 200
        assert (await ms.send(edge.url, _message(ms)))[0] == 200


async def test_automatic_refreshes_give_way_to_clicks(ms: FakeMicrosoft) -> None:
    """While half of the turns are taken, a refresh runs no turn and is counted for itself; a click still runs.

    Refreshes take no turns of clicks. The client keeps its card.
    """
    free, started = asyncio.Event(), asyncio.Queue[None]()

    async def wait(_context: TurnContext) -> None:
        started.put_nowait(None)
        await free.wait()

    async with running_edge(ms, turn=wait, most_turns=2) as edge:
        first = asyncio.create_task(ms.send(edge.url, _refresh(ms)))
        await started.get()
        clicks = [asyncio.create_task(ms.send(edge.url, _invoke(ms))) for _ in range(2)]
        for _ in clicks:
            await started.get()
        second, turn = asyncio.create_task(ms.send(edge.url, _refresh(ms))), asyncio.create_task(started.get())
        await asyncio.wait({second, turn}, return_when=asyncio.FIRST_COMPLETED)
        turn.cancel()
        free.set()
        status, body = await second
        assert (status, len(edge.turns)) == (200, 3)
        assert (body["statusCode"], body["value"]["code"]) == (404, "NotRefreshed")
        assert [(await each)[0] for each in (first, *clicks)] == [200, 200, 200]


# --- what is refused is counted and, if Microsoft signed it, logged with the value that was wrong

OTHER = "99999999-8888-4777-8666-555555555555"


def _lines(logs: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return level and fields of each refusal."""
    refusals = [line for line in logs if line["event"] == "activity_refused"]
    return [
        (line["log_level"], {k: v for k, v in line.items() if k not in {"event", "log_level"}}) for line in refusals
    ]


def _counted(edge: Edge) -> dict[str, float]:
    """Return the counts of the metric by result."""
    return {
        sample.labels["result"]: sample.value
        for family in edge.registry.collect()
        for sample in family.samples
        if sample.name == "node_access_activities_total"
    }


async def _send(ms: FakeMicrosoft, edge: Edge, body: Json | None = None, **claims: Any) -> int:
    body = _message(ms) if body is None else body
    status, _ = await ms.send(edge.url, body, authorization=ms.signer.header(ms.service_url, **claims))
    return status


@pytest.mark.parametrize(
    ("claims", "changed", "reason", "shown"),
    [
        ({"aud": OTHER}, {}, "audience", {"audience": OTHER}),
        ({"aud": ["a", "b"]}, {}, "audience", {"audience": "['a', 'b']"}),
        ({"iss": "https://api.botframework.us"}, {}, "issuer", {"issuer": "https://api.botframework.us"}),
        ({}, {"serviceUrl": "https://smba.example.com/teams/"}, "service_url", {"host": "smba.example.com"}),
        ({}, {"serviceUrl": "x" * 9000}, "service_url", {"host": f"{'x' * 199}…"}),
        ({"serviceurl": None}, {}, "service_url", {"host": "no address in the token"}),
        ({}, {"channelId": "webchat"}, "channel", {"channel": "webchat"}),
        ({}, {"channelData": {"tenant": {"id": OTHER}}}, "other_tenant", {"tenant": OTHER}),
        ({}, {"channelData": {}, "conversation": {"id": "19:x"}}, "other_tenant", {"tenant": "none"}),
    ],
)
async def test_log_of_a_refused_activity_with_microsofts_signature_has_the_wrong_value(
    ms: FakeMicrosoft, claims: Json, changed: Json, reason: str, shown: Json
) -> None:
    """The line is a warning once in an hour, and otherwise at INFO. Every refusal is counted."""
    with capture_logs() as logs:
        async with running_edge(ms) as edge:
            for _ in range(2):
                status = await _send(ms, edge, _message(ms, **changed), **claims)
            assert _counted(edge) == {reason: 2.0}
            edge.clock.seconds += endpoint.WARNED_FOR + 1
            await _send(ms, edge, _message(ms, **changed), **claims)
            assert _counted(edge) == {reason: 3.0}
    expected = {"status": status, "reason": reason, **shown}
    assert _lines(logs) == [("warning", expected), ("info", expected), ("warning", expected)]


async def test_log_of_a_token_outside_its_lifetime_says_by_how_much(ms: FakeMicrosoft) -> None:
    """The token has expired, or is not valid yet.

    A second line with the same cause has the same words and is no warning.
    """
    with capture_logs() as logs:
        async with running_edge(ms) as edge:
            now = int(edge.clock.seconds)
            for _ in range(2):
                await _send(ms, edge, exp=now - 600, nbf=now - 4000)
                edge.clock.seconds += 7
            await _send(ms, edge, exp=now + 4000, nbf=now + 1200)
    expired, again, early = (fields for _, fields in _lines(logs))
    assert (expired["expired"], early["valid"]) == ("about 10 min ago", "in about 20 min")
    assert again == expired
    assert [level for level, _ in _lines(logs)] == ["warning", "info", "warning"]


async def test_junk_and_forged_tokens_are_logged_without_a_warning_and_without_values(ms: FakeMicrosoft) -> None:
    """Anyone can send them. They are counted, and logged at INFO."""
    forged = ms.signer.token(ms.signer.claims(ms.service_url, aud=OTHER), kid="key-1", signed_by="another-key")
    with capture_logs() as logs:
        async with running_edge(ms) as edge:
            await ms.send(edge.url, _message(ms), authorization=f"Bearer {forged}")
            await ms.send(edge.url, _message(ms), authorization="")
            await ms.send_raw(edge.url, b"<", headers={"Authorization": ms.signer.header(ms.service_url)})
            assert await _send(ms, edge) == 200
            assert _counted(edge) == {"signature": 1.0, "absent": 1.0, "not_an_activity": 1.0, "accepted": 1.0}
    assert {(level, *sorted(fields)) for level, fields in _lines(logs)} == {("info", "reason", "status")}


async def test_refused_activities_with_many_wrong_values_cause_ten_warnings_a_minute(ms: FakeMicrosoft) -> None:
    """Further refusals in this minute are logged at INFO."""
    with capture_logs() as logs:
        async with running_edge(ms) as edge:
            for number in range(30):
                await _send(ms, edge, aud=f"app-{number}")
            edge.clock.seconds += 61
            await _send(ms, edge, aud="app-30")
    assert [level for level, _ in _lines(logs)] == ["warning"] * 10 + ["info"] * 20 + ["warning"]


async def test_activity_that_is_refused_because_of_overload_is_counted_as_turned_away(ms: FakeMicrosoft) -> None:
    """It is not counted as accepted."""
    async with running_edge(ms, most_turns=0) as edge:
        await _send(ms, edge)
        assert _counted(edge) == {"turned_away": 1.0}


async def test_message_with_the_marks_of_a_refresh_counts_as_a_message(ms: FakeMicrosoft) -> None:
    """Only clients make invokes. A message takes no turn of refreshes, so that it cannot escape the limit of turns."""
    async with running_edge(ms, most_turns=0) as edge:
        marks = {key: value for key, value in _refresh(ms).items() if key in {"name", "value"}}
        assert (await ms.send(edge.url, _message(ms, **marks)))[0] == 429
        assert _counted(edge) == {"turned_away": 1.0}
