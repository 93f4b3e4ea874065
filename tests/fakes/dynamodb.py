"""A DynamoDB on this machine: moto behind a server that records every call and applies planned faults.

moto keeps its state per process and is not safe for parallel requests, so the server passes on one request at a time.
`python -m tests.fakes.dynamodb` serves in a process of its own until it is killed, for proofs whose own work would slow
moto down. Its first line on stderr is a log event with the address.
"""

import atexit
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.wrappers import Request, Response

from bot.sandbox.aws.http_server import HttpServer

REGION = "ap-northeast-1"
SAMPLE = "sample"  # a credential without any permission
Body = dict[str, Any]


@dataclass(slots=True)
class Fault:
    """A fault in the next `times` calls of an operation. The operation `*` means any."""

    operation: str
    times: int = 1
    error: tuple[int, str] | None = None
    """Answer with this status and code."""
    reasons: tuple[str, ...] = ()
    """The reasons for a canceled transaction, one per item."""
    before: bool = True
    """True: `error`, `cut` or `body` replaces the effect. False: it comes after the effect."""
    cut: bool = False
    """Close the connection without an answer."""
    body: bytes | None = None
    """Answer 200 with this body."""
    gate: threading.Event | None = None
    """The call waits here first."""
    reached: threading.Event = field(default_factory=threading.Event)
    change: Callable[[Body], Body] | None = None
    """Changes the request before its effect."""
    meanwhile: Callable[[], None] | None = None
    """Called between the effect and the answer."""


class FakeDynamo:
    """A server on loopback. `calls` has operation and body of every call, in the order of arrival."""

    def __init__(self) -> None:
        self._moto = create_backend_app("dynamodb")
        self._one_at_a_time = threading.Lock()
        self.calls: list[tuple[str, Body]] = []
        self.faults: list[Fault] = []
        self._server = HttpServer(self, name="dynamodb")
        self.endpoint = self._server.endpoint

    def stop(self) -> None:
        """End all faults and stop the server."""
        self.heal()
        self._server.stop()

    def plan(self, operation: str, **how: Any) -> Fault:
        """Plan a fault. The first that matches is used."""
        fault = Fault(operation, **how)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """End every fault and release the calls that wait."""
        for fault in self.faults:
            if fault.gate is not None:
                fault.gate.set()
        self.faults.clear()

    def operations(self, since: int = 0) -> list[str]:
        """Return the operations called, in order, without the first `since` calls."""
        return [operation for operation, _ in self.calls[since:]]

    def client(self, whose: boto3.session.Session | None = None) -> Any:
        """Return a client with the credentials of `whose`, by default `session`. moto derives the account from them."""
        return (whose or session()).client("dynamodb", region_name=REGION, endpoint_url=self.endpoint)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        body: Body = json.loads(request.get_data(cache=True))
        self.calls.append((operation, body))
        fault = self._matching(operation)
        if fault is None:
            return self._answer(request, body)(environ, start_response)
        fault.reached.set()
        if fault.gate is not None:
            fault.gate.wait()
        response = None
        if not fault.before or (not fault.error and not fault.cut and fault.body is None):
            response = self._answer(request, fault.change(body) if fault.change else body)
        if fault.meanwhile:
            fault.meanwhile()
        if fault.cut:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return (_planned_answer(fault) or response or Response())(environ, start_response)

    def _matching(self, operation: str) -> Fault | None:
        for fault in self.faults:
            if fault.operation in ("*", operation) and fault.times:
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: Request, body: Body) -> Response:
        content = json.dumps(body).encode()
        environ = {**request.environ, "CONTENT_LENGTH": str(len(content)), "wsgi.input": _Input(content)}
        with self._one_at_a_time:
            return Response.from_app(self._moto, environ, buffered=True)


class _Input:
    """A request's body, to be read by moto."""

    def __init__(self, content: bytes) -> None:
        self.read = partial(_taken, bytearray(content))


def _taken(rest: bytearray, size: int = -1) -> bytes:
    part = bytes(rest if size < 0 else rest[:size])
    del rest[: len(part)]
    return part


def _planned_answer(fault: Fault) -> Response | None:
    if fault.body is not None:
        return Response(fault.body, 200, content_type="application/x-amz-json-1.0")
    if fault.error is None:
        return None
    status, code = fault.error
    answer: Body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "planned by the test"}
    if fault.reasons:
        answer["CancellationReasons"] = [{"Code": reason} for reason in fault.reasons]
    return Response(json.dumps(answer), status, content_type="application/x-amz-json-1.0")


@cache
def session() -> boto3.session.Session:
    """Return the one session of all tests: it keeps the service model, which is slow to load."""
    return boto3.session.Session(aws_access_key_id=SAMPLE, aws_secret_access_key=SAMPLE)


@cache
def shared() -> FakeDynamo:
    """Return the one server of this test run. The first caller starts it."""
    server = FakeDynamo()
    atexit.register(server.stop)
    return server


class DynamoEnvironment:
    """Sets the environment so that boto3 reaches a server, until `undo`."""

    def __init__(self, server: FakeDynamo) -> None:
        self._environment = pytest.MonkeyPatch()
        self._environment.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self._environment.setenv(name, SAMPLE)

    def undo(self) -> None:
        self._environment.undo()


STARTED = "dynamodb_started"  # the log event of the process


def main() -> None:
    """Serve until killed."""
    server = FakeDynamo()
    sys.stderr.write(json.dumps({"event": STARTED, "endpoint": server.endpoint}) + "\n")
    threading.Event().wait()


if __name__ == "__main__":
    main()
