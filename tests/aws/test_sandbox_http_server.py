"""The HTTP server of the simulated AWS: connections stay open, as AWS's do, and end with the server."""

import http.client
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.sandbox.aws.http_server import HttpServer


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the request's body, and with its path as a header."""
    path, body = environ["PATH_INFO"], environ["wsgi.input"].read()
    if path == "/broken":
        raise ValueError("broken")
    if path == "/cut":
        raise ConnectionAbortedError
    start_response("201 Created", [("X-Path", path)])
    return [body[:2], body[2:]]


@pytest.fixture
def server() -> Iterator[HttpServer]:
    server = HttpServer(echo)
    yield server
    server.stop()


@pytest.fixture
def connection(server: HttpServer) -> Iterator[http.client.HTTPConnection]:
    """One connection to the server, which is not opened again if the server closes it."""
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=30)
    connection.auto_open = 0
    connection.connect()
    yield connection
    connection.close()


def answer(connection: http.client.HTTPConnection, *request: Any, **more: Any) -> tuple[int, str | None, bytes]:
    connection.request(*request, **more)
    response = connection.getresponse()
    return response.status, response.headers["X-Path"], response.read()


def test_one_connection_gets_the_answers_to_several_requests(connection: http.client.HTTPConnection) -> None:
    """Each request ends where its Content-Length says."""
    assert answer(connection, "POST", "/a", b"first") == (201, "/a", b"first")
    assert answer(connection, "GET", "/b") == (201, "/b", b"")
    assert answer(connection, "POST", "/c", b"third") == (201, "/c", b"third")


def test_body_is_accepted_after_100_continue(connection: http.client.HTTPConnection) -> None:
    """An SDK that uploads an object asks first whether it may send it."""
    connection.putrequest("PUT", "/object")
    connection.putheader("Expect", "100-continue")
    connection.putheader("Content-Length", "4")
    connection.endheaders()
    assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"body")
    assert connection.getresponse().read() == b"body"


def test_crash_of_the_application_is_answered_with_500_and_logged(connection: http.client.HTTPConnection) -> None:
    """The log has the path."""
    with capture_logs() as entries:
        assert answer(connection, "GET", "/broken")[0] == 500
    assert [(each["event"], each["operation"]) for each in entries] == [("sandbox_operation_failed", "/broken")]


def test_application_can_close_the_connection_without_an_answer(connection: http.client.HTTPConnection) -> None:
    """As if the network broke while the answer was on its way."""
    with pytest.raises(http.client.RemoteDisconnected):
        answer(connection, "GET", "/cut")


def test_request_whose_body_has_no_stated_length_is_refused(connection: http.client.HTTPConnection) -> None:
    """The server could not tell where the next request begins."""
    assert answer(connection, "POST", "/a", headers={"Transfer-Encoding": "chunked"})[0] == 411
    assert connection.sock is None  # the server closed the connection


def test_stop_closes_open_connections(server: HttpServer, connection: http.client.HTTPConnection) -> None:
    """A client with an open connection gets no answers from a stopped server."""
    assert answer(connection, "POST", "/a", b"")[0] == 201
    server.stop()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        answer(connection, "POST", "/a", b"")
