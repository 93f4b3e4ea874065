"""The connection itself: whether it is reused, which credentials sign a call, and how failures are classified."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from bot.aws.calls.clients import THREADS, Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, Failure
from bot.boto.sdk import Answer, Call, Credentials, Sdk, status_of
from bot.clock import SystemClock
from bot.ports.aws import RoleSession
from tests.contract.gateway import environment, unread_metrics

OBJECT = Call("s3", "ap-northeast-1", "get_object", {"Bucket": "node-access", "Key": "key", "IfNoneMatch": '"etag"'})
CALL = Call("ssm", "ap-northeast-1", "get_ops_item", {"OpsItemId": "oi-0123456789ab"})
SESSION = RoleSession("arn:aws:iam::111122223333:role/NodeAccessApprover", "hanako.sato@example.com")
UNTIL = datetime(2100, 1, 1, tzinfo=UTC)
HANAKO = Credentials(SESSION, "ASIASAMPLE", "sample-secret", "sample-token", UNTIL)

TARO = Credentials(
    RoleSession(SESSION.role, "taro.yamada@example.com"), "ASIATARO", "other-secret", "other-token", UNTIL
)


@dataclass(slots=True)
class Endpoint:
    """An AWS endpoint that keeps connections open and sends prepared answers, byte for byte."""

    status: int = 200
    body: bytes = b"{}"
    length: int | None = None  # Content-Length to send; None: the real one
    ports: list[int] = field(default_factory=list)  # client port of each call
    keys: list[str] = field(default_factory=list)  # access key id that signed each call
    tokens: list[str] = field(default_factory=list)  # session token of each call
    agents: list[str] = field(default_factory=list)  # user agent of each call
    url: str = ""

    def environment(self) -> dict[str, str]:
        """Return the program's own credentials, as a session does."""
        return {"AWS_ACCESS_KEY_ID": "AKIASAMPLE", "AWS_SECRET_ACCESS_KEY": "sample-secret"}


class Quiet(ThreadingHTTPServer):
    """A server that does not log callers that disconnect."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A running endpoint, set in the environment."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            endpoint.ports.append(self.client_address[1])
            endpoint.keys.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
            endpoint.tokens.append(self.headers.get("X-Amz-Security-Token", ""))
            endpoint.agents.append(self.headers["User-Agent"])
            self.send_response(endpoint.status)
            length = len(endpoint.body) if endpoint.length is None else endpoint.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(endpoint.body)
            self.close_connection = endpoint.length is not None

        def log_message(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with environment(endpoint.url, endpoint):
            yield endpoint
        server.shutdown()


@pytest.fixture
def sdk(endpoint: Endpoint) -> Iterator[Sdk]:
    """Return an Sdk whose calls go to the endpoint."""
    sdk = Sdk()
    yield sdk
    sdk.close()


def unlimited_clients() -> Clients:
    """Return clients without rate limits."""
    return Clients(region="ap-northeast-1", clock=SystemClock(), telemetry=unread_metrics(), rates={})


def test_second_read_uses_the_connection_of_the_first(endpoint: Endpoint, sdk: Sdk) -> None:
    """Connections are kept open."""
    sdk.call(CALL, None)
    sdk.call(CALL, None)
    assert len(set(endpoint.ports)) == 1


def test_call_once_uses_a_new_connection(endpoint: Endpoint, sdk: Sdk) -> None:
    """AWS may close a kept connection just as it is reused, and the result of the call would be unknown."""
    sdk.call(CALL, None)
    sdk.call_once(CALL, None)
    sdk.call_once(CALL, None)
    assert len(set(endpoint.ports)) == 3


def test_calls_of_two_people_on_new_connections_have_their_own_signatures(endpoint: Endpoint, sdk: Sdk) -> None:
    """A kept client belongs to one session."""
    for each in (HANAKO, TARO, HANAKO, None, HANAKO):
        sdk.call_once(CALL, each)
    assert endpoint.keys == ["ASIASAMPLE", "ASIATARO", "ASIASAMPLE", "AKIASAMPLE", "ASIASAMPLE"]
    assert len(set(endpoint.ports)) == len(endpoint.keys)


def test_call_with_renewed_credentials_has_their_signature(endpoint: Endpoint, sdk: Sdk) -> None:
    """A client that is kept for the same session and key must not sign with an older token."""
    for token in ("old", "new"):
        sdk.call_once(CALL, replace(HANAKO, session_token=token))
    assert endpoint.tokens == ["old", "new"]


def test_client_of_a_refused_call_is_not_kept(endpoint: Endpoint, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials a client stays without them, but the next decision may find some."""
    own = endpoint.environment()
    for name in own:
        monkeypatch.delenv(name)
    with pytest.raises(CallFailed):
        sdk.call_once(CALL, None)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    sdk.call_once(CALL, None)
    assert endpoint.keys == ["AKIASAMPLE"]


def test_calls_name_the_program_and_its_version(endpoint: Endpoint, sdk: Sdk) -> None:
    """CloudTrail shows the user agent, so that an admin can tell the bot's calls from others in the same role."""
    sdk.call(CALL, None)
    sdk.call_once(CALL, HANAKO)
    assert {each.partition(" ")[0] for each in endpoint.agents} == {f"node-access-bot/{version('node-access-bot')}"}


async def test_every_signal_uses_a_new_connection(endpoint: Endpoint) -> None:
    """A kept connection may be stale, and a signal has only one attempt."""
    signal = {"AutomationExecutionId": "0" * 36, "SignalType": "Approve"}
    async with unlimited_clients() as clients:
        for _ in range(2):
            await clients.send(Place("111122223333", "ap-northeast-1"), "send_automation_signal", HANAKO, **signal)
    assert len(set(endpoint.ports)) == 2


@pytest.fixture
def renew(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Return a function that writes an access key into the file that is the only source of own credentials."""
    for name in endpoint.environment():
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    def write(key: str) -> object:
        return file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = sample-secret\n")

    return write


@pytest.mark.parametrize(
    ("code", "signed_by"),
    [
        ("ExpiredTokenException", ["AKIAFIRST", "AKIASECOND"]),
        ("UnrecognizedClientException", ["AKIAFIRST", "AKIASECOND"]),
        ("AccessDeniedException", ["AKIAFIRST"]),
        ("ThrottlingException", ["AKIAFIRST"]),
    ],
)
def test_call_is_repeated_only_after_a_refusal_of_own_credentials(
    endpoint: Endpoint, sdk: Sdk, renew: Callable[[str], object], code: str, signed_by: list[str]
) -> None:
    """Other refusals are final, although the file has new credentials. There is one repetition at most."""
    renew("AKIAFIRST")
    sdk.call(CALL, None)
    endpoint.keys.clear()
    endpoint.status, endpoint.body = 400, f'{{"__type": "{code}"}}'.encode()
    renew("AKIASECOND")
    with pytest.raises(CallFailed, match=code):
        sdk.call(CALL, None)
    assert endpoint.keys == signed_by


def test_call_once_is_not_repeated_with_renewed_credentials(
    endpoint: Endpoint, sdk: Sdk, renew: Callable[[str], object]
) -> None:
    """A signal needs another state check before it is sent again. The next call has the new credentials."""
    renew("AKIAFIRST")
    sdk.call_once(CALL, None)
    endpoint.status, endpoint.body = 400, b'{"__type": "ExpiredTokenException"}'
    renew("AKIASECOND")
    with pytest.raises(CallFailed, match="ExpiredTokenException"):
        sdk.call_once(CALL, None)
    endpoint.status, endpoint.body = 200, b"{}"
    sdk.call_once(CALL, None)
    assert endpoint.keys == ["AKIAFIRST", "AKIAFIRST", "AKIASECOND"]


def test_expired_role_session_does_not_renew_own_credentials(
    endpoint: Endpoint, sdk: Sdk, renew: Callable[[str], object]
) -> None:
    """A call in a person's session is never repeated under the program's own credentials."""
    renew("AKIAFIRST")
    endpoint.status, endpoint.body = 400, b'{"__type": "ExpiredTokenException"}'
    for make in (sdk.call, sdk.call_once):
        renew("AKIASECOND")
        with pytest.raises(CallFailed, match="ExpiredTokenException"):
            make(CALL, HANAKO)
    assert endpoint.keys == ["ASIASAMPLE", "ASIASAMPLE"]


def test_call_is_not_repeated_with_the_same_own_credentials(
    endpoint: Endpoint, sdk: Sdk, renew: Callable[[str], object]
) -> None:
    """While the credentials in the file stay the same, AWS gets each call once, on the existing connection."""
    renew("AKIAFIRST")
    endpoint.status, endpoint.body = 400, b'{"__type": "ExpiredTokenException"}'
    for _ in range(2):
        with pytest.raises(CallFailed, match="ExpiredTokenException"):
            sdk.call(CALL, None)
    assert endpoint.keys == ["AKIAFIRST", "AKIAFIRST"]
    assert len(set(endpoint.ports)) == 1


async def test_signal_without_a_free_thread_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """While AWS hangs, such a signal is refused and may be repeated. It is not sent later."""
    answered, begun = threading.Event(), threading.Semaphore(0)
    left = []

    def hanging(_: Sdk, call: Call, __: Credentials | None) -> Answer:
        left.append(call)
        begun.release()
        answered.wait()
        return {}

    monkeypatch.setattr(Sdk, "call_once", hanging)
    most, place = THREADS[Lane.SIGNAL], Place("111122223333", "ap-northeast-1")
    async with unlimited_clients() as clients:
        sending = [asyncio.create_task(clients.send(place, "send_automation_signal", HANAKO)) for _ in range(2 * most)]
        for _ in range(most):
            await asyncio.to_thread(begun.acquire)
        answered.set()
        came = await asyncio.gather(*sending, return_exceptions=True)
    assert len(left) == most
    assert [each.failure for each in came if isinstance(each, CallFailed)] == [Failure.NOT_SENT] * most


def test_every_call_is_signed_with_the_credentials_of_its_session(endpoint: Endpoint, sdk: Sdk) -> None:
    """Own credentials and role sessions never mix, nor do an old and a new session of one role."""
    renewed = Credentials(SESSION, "ASIARENEWED", "sample-secret", "sample-token", UNTIL)
    for credentials in (None, HANAKO, renewed, renewed, None):
        sdk.call(CALL, credentials)
    sdk.call_once(CALL, HANAKO)
    assert endpoint.keys == ["AKIASAMPLE", "ASIASAMPLE", "ASIARENEWED", "ASIARENEWED", "AKIASAMPLE", "ASIASAMPLE"]


def test_repr_of_credentials_contains_no_secret() -> None:
    """A log line with credentials, written by mistake, contains no secret."""
    assert "sample-secret" not in repr(HANAKO)
    assert "sample-token" not in repr(HANAKO)


@pytest.mark.parametrize(
    ("status", "body", "length"),
    [
        (200, b'{"OpsItem": {', 400),  # half a body
        (200, b"<html>Please sign in</html>", None),
        (200, b'{"OpsItem": {"CreatedTime": "yesterday"}}', None),
        (200, b'{"OpsItem": {"CreatedTime": 1e30}}', None),
        (200, b'{"OpsItem": {"Notifications": {"a": 1}}}', None),
        (200, b'{"OpsItem": []}', None),
        (500, b"", None),
        (502, b"<html>Bad Gateway</html>", None),
        (302, b"", None),
    ],
)
def test_call_without_a_valid_answer_has_an_unknown_result(
    endpoint: Endpoint, sdk: Sdk, status: int, body: bytes, length: int | None
) -> None:
    """The answer is a redirect, a proxy's page, a server error, incomplete, or malformed. Each call is made once."""
    endpoint.status, endpoint.body, endpoint.length = status, body, length
    for make in (sdk.call, sdk.call_once):
        with pytest.raises(CallFailed) as caught:
            make(CALL, None)
        assert caught.value.failure is Failure.NO_ANSWER
    assert len(endpoint.ports) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"OK",
        b" ",
        b"{",
        b"{}}",
        b"{} {}",
        b"[]",
        b"null",
        b'""',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16-le"),
        b"<html>Please sign in</html>",
    ],
)
def test_signal_has_an_unknown_result_if_the_body_of_the_answer_is_not_a_json_object(
    endpoint: Endpoint, sdk: Sdk, body: bytes
) -> None:
    """The answer has status 200 and a body that is not empty. It may be a proxy's."""
    params = {"AutomationExecutionId": "4f2c8a1e-0f7d-4a53-9a3e-5d0a7b6c1e22", "SignalType": "Approve"}
    endpoint.body = body
    with pytest.raises(CallFailed) as caught:
        sdk.call_once(Call("ssm", "ap-northeast-1", "send_automation_signal", params), None)
    assert caught.value.failure is Failure.NO_ANSWER
    assert len(endpoint.ports) == 1


@pytest.mark.parametrize("rows", [b"{}", b'"oi-0123456789ab"', b"[[]]", b'[{}, "oi-0123456789ab"]', b"[null]"])
def test_list_has_an_unknown_result_if_a_row_is_not_a_json_object(endpoint: Endpoint, sdk: Sdk, rows: bytes) -> None:
    """An answer without the other rows would look like a list in which requests are missing."""
    endpoint.body = b'{"OpsItemSummaries": ' + rows + b"}"
    with pytest.raises(CallFailed) as caught:
        sdk.call(Call("ssm", "ap-northeast-1", "describe_ops_items", {}), None)
    assert caught.value.failure is Failure.NO_ANSWER


@pytest.mark.parametrize("rows", [b"[]", b"null", b"[{}]"])
def test_list_may_be_empty_or_null(endpoint: Endpoint, sdk: Sdk, rows: bytes) -> None:
    """A null counts as a list that is left out."""
    endpoint.body = b'{"OpsItemSummaries": ' + rows + b"}"
    answer = sdk.call(Call("ssm", "ap-northeast-1", "describe_ops_items", {}), None)
    assert answer.get("OpsItemSummaries") == json.loads(rows)


def test_operation_without_an_output_may_answer_with_an_empty_object(endpoint: Endpoint, sdk: Sdk) -> None:
    """SQS answers most calls with an empty body."""
    endpoint.body = b"{}"
    queue = {"QueueUrl": f"{endpoint.url}/111122223333/events", "ReceiptHandle": "sample"}
    sdk.call(Call("sqs", "ap-northeast-1", "delete_message", queue), None)
    assert len(endpoint.ports) == 1


@pytest.mark.parametrize("body", [b"{}", b"", b' {"a": 1} '])
def test_signal_is_accepted_if_the_body_of_the_answer_is_empty_or_a_json_object(
    endpoint: Endpoint, sdk: Sdk, body: bytes
) -> None:
    """AWS documents an empty body for SendAutomationSignal."""
    params = {"AutomationExecutionId": "4f2c8a1e-0f7d-4a53-9a3e-5d0a7b6c1e22", "SignalType": "Approve"}
    endpoint.body = body
    sdk.call_once(Call("ssm", "ap-northeast-1", "send_automation_signal", params), None)
    assert len(endpoint.ports) == 1


def test_object_with_a_truncated_body_counts_as_no_answer(endpoint: Endpoint, sdk: Sdk) -> None:
    """Half a configuration can be a valid one with half of the approvers."""
    endpoint.body, endpoint.length = b"[[channels]]\n", 100
    with pytest.raises(CallFailed) as raised:
        sdk.call(OBJECT, None)
    assert raised.value.failure is Failure.NO_ANSWER


def test_answer_304_to_a_conditional_read_has_no_body(endpoint: Endpoint, sdk: Sdk) -> None:
    """The answer may have the length of the body that it leaves out."""
    endpoint.status, endpoint.body, endpoint.length = 304, b"", 100
    answer = sdk.call(OBJECT, None)
    assert (status_of(answer), "Body" in answer) == (304, False)


def test_answer_403_of_a_proxy_counts_as_a_denial(endpoint: Endpoint, sdk: Sdk) -> None:
    """A call that a proxy refuses had no effect, like a call that AWS refuses."""
    endpoint.status, endpoint.body = 403, b"<html>Forbidden</html>"
    with pytest.raises(CallFailed) as caught:
        sdk.call_once(CALL, None)
    assert (caught.value.failure, caught.value.code) == (Failure.DENIED, "403")
